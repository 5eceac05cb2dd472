// SPDX-License-Identifier: BSD-3-Clause
//! Anything that is `AsyncRead + AsyncWrite` of `futures-io`: like [`super::io`] for tokio.

use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use futures_io::{AsyncRead, AsyncWrite};

use super::{Conduit, Failure, Spec};
use crate::adapters::Pair;

/// The two ends of a flow.
#[derive(Debug)]
pub struct Ends<W, R> {
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
        let failed = |error: io::Error| Failure::of_io(&error);
        move |_| open().map(|(writer, reader)| Ends::new(writer, reader)).map_err(failed)
    })
}

impl<W, R> Ends<W, R> {
    /// What is written into `writer` is read from `reader`.
    #[must_use]
    pub fn new(writer: W, reader: R) -> Self {
        Self { reader: Box::pin(reader), writer: Some(Box::pin(writer)) }
    }
}

impl<W: AsyncWrite, R> Ends<W, R> {
    fn writer(&mut self) -> Result<Pin<&mut W>, Failure> {
        let writer = self.writer.as_mut().map(Pin::as_mut);
        writer.ok_or_else(|| Failure::new("the writing end is gone"))
    }
}

impl<W: AsyncWrite, R: AsyncRead> Conduit for Ends<W, R> {
    fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize, Failure>> {
        self.writer()?.poll_write(cx, bytes).map_err(|error| Failure::of_io(&error))
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        self.writer()?.poll_flush(cx).map_err(|error| Failure::of_io(&error))
    }

    fn poll_finish(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        self.writer()?.poll_close(cx).map_err(|error| Failure::of_io(&error))
    }

    fn abandon(&mut self) {
        self.writer = None;
    }

    fn poll_read(&mut self, cx: &mut Context<'_>, into: &mut [u8]) -> Poll<Result<usize, Failure>> {
        self.reader.as_mut().poll_read(cx, into).map_err(|error| Failure::of_io(&error))
    }
}
