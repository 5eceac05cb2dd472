// SPDX-License-Identifier: BSD-3-Clause
//! Anything that is `AsyncRead + AsyncWrite` of tokio.
//!
//! As `futures_io`, whose table holds here too; `poll_shutdown` is its `poll_close`.
//!
//! ```
//! use becket_lab::bridge::{Spec, io};
//! use becket_lab::check::{self, Options};
//! use becket_lab::contract::Limits;
//!
//! let make = |limits: Limits| {
//!     let bytes = limits.flow_buffered_bytes_max as usize;
//!     io::pair(&Spec::new("tokio-duplex", limits), move || Ok(tokio::io::duplex(bytes)))
//! };
//! let report = check::run(&Options::quick("tokio-duplex", &make));
//! assert!(report.gates.iter().all(|gate| gate.verdict != "fail"));
//! ```

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_io::{AsyncRead, AsyncWrite};
use tokio::io::ReadBuf;

use super::Spec;
use crate::adapters::Pair;

/// A pair of adapters. `open` creates the two ends of a flow: the writer, and the reader of what it
/// writes.
pub fn pair<W, R, F>(spec: &Spec, open: F) -> Pair
where
    W: tokio::io::AsyncWrite + 'static,
    R: tokio::io::AsyncRead + 'static,
    F: Fn() -> io::Result<(W, R)> + 'static,
{
    let open = move || open().map(|(to, from)| (End(Box::pin(to)), End(Box::pin(from))));
    super::futures_io::pair(spec, open)
}

/// An end with the traits of `futures-io`.
struct End<T>(Pin<Box<T>>);

impl<W: tokio::io::AsyncWrite> AsyncWrite for End<W> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.0.as_mut().poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.as_mut().poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.as_mut().poll_shutdown(cx)
    }
}

impl<R: tokio::io::AsyncRead> AsyncRead for End<R> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let mut buffer = ReadBuf::new(into);
        ready!(self.0.as_mut().poll_read(cx, &mut buffer))?;
        Poll::Ready(Ok(buffer.filled().len()))
    }
}
