// SPDX-License-Identifier: BSD-3-Clause
//! Anything that is `AsyncRead + AsyncWrite` of `futures-io`; `io` is the same for tokio, by way of this.
//!
//! What is written into one end of a flow is read at the other one: the ends of a duplex, both ends
//! of a connection, or a writer and a reader with something between them.
//!
//! | the flow | the ends |
//! |---|---|
//! | bytes | `poll_write`, then `poll_flush` when all of an offer was taken |
//! | half-close | `poll_close` |
//! | reset | the writing end is dropped |
//! | close | both are dropped, in either order |
//! | the end comes out | a read of no bytes |
//! | an error | the flow has failed; reset, if its kind is `ConnectionReset` |

use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use futures_io::{AsyncRead, AsyncWrite};

use super::{Conduit, Failure, Spec};
use crate::adapters::Pair;

/// The two ends of a flow.
struct Ends<W, R> {
    /// Declared before the writer: it is dropped first.
    reader: Pin<Box<R>>,
    /// `None`: it was dropped.
    writer: Option<Pin<Box<W>>>,
}

/// A pair of adapters. `open` creates the two ends of a flow: the writer, and the reader of what it
/// writes.
pub fn pair<W, R, F>(spec: &Spec, open: F) -> Pair
where
    W: AsyncWrite + 'static,
    R: AsyncRead + 'static,
    F: Fn() -> io::Result<(W, R)> + 'static,
{
    let open = Rc::new(open);
    super::pair(spec, || {
        let open = Rc::clone(&open);
        move |_| {
            let (writer, reader) = open().map_err(failed)?;
            Ok(Ends { reader: Box::pin(reader), writer: Some(Box::pin(writer)) })
        }
    })
}

fn failed(error: io::Error) -> Failure {
    Failure::of_io(&error)
}

impl<W: AsyncWrite, R> Ends<W, R> {
    fn writer(&mut self) -> Result<Pin<&mut W>, Failure> {
        let writer = self.writer.as_mut().map(Pin::as_mut);
        writer.ok_or_else(|| Failure::new("the writing end is gone"))
    }
}

impl<W: AsyncWrite, R: AsyncRead> Conduit for Ends<W, R> {
    fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize, Failure>> {
        self.writer()?.poll_write(cx, bytes).map_err(failed)
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        self.writer()?.poll_flush(cx).map_err(failed)
    }

    fn poll_finish(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        self.writer()?.poll_close(cx).map_err(failed)
    }

    fn abandon(&mut self) {
        self.writer = None;
    }

    fn poll_read(&mut self, cx: &mut Context<'_>, into: &mut [u8]) -> Poll<Result<usize, Failure>> {
        self.reader.as_mut().poll_read(cx, into).map_err(failed)
    }
}
