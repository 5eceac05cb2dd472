// SPDX-License-Identifier: BSD-3-Clause
//! What a bridge needs of a thing: a conduit for each flow, and a medium that makes them.

use std::io::{self, ErrorKind};
use std::task::{Context, Poll};

use crate::contract::{Cause, FlowId};

/// A thing did not do what it was asked: what kind of failure it was, in words of its kind, never
/// those of an error, which may have payload in them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what}")]
pub struct Failure {
    what: String,
    cause: Cause,
}

impl Failure {
    /// Something failed.
    pub fn new(what: impl Into<String>) -> Self {
        Self { what: what.into(), cause: Cause::Error }
    }

    /// The other end broke it off.
    pub fn reset(what: impl Into<String>) -> Self {
        Self { what: what.into(), cause: Cause::Reset }
    }

    /// What an error is, without its words: a kind that says that the other end broke it off is a
    /// reset.
    #[must_use]
    pub fn of_io(error: &io::Error) -> Self {
        let kind = error.kind();
        match kind {
            ErrorKind::ConnectionReset => Self::reset(kind.to_string()),
            _ => Self::new(kind.to_string()),
        }
    }

    /// What a flow that ends by it is said to have ended by.
    #[must_use]
    pub const fn cause(&self) -> Cause {
        self.cause
    }
}

/// The thing that carries one flow: what is written comes out where it is read, and then the end.
///
/// Each method is that of a future: ready, or pending, with the waker kept. It is called again when
/// that waker was woken, and not before. Writing, flushing and finishing have one waker, reading
/// another.
pub trait Conduit {
    /// Takes some of the bytes, of which there is at least one. Gives how many.
    ///
    /// # Errors
    ///
    /// It takes nothing more: the flow has failed.
    fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize, Failure>>;

    /// Sees to it that all that was taken comes out without another call.
    ///
    /// # Errors
    ///
    /// It cannot: the flow has failed.
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failure>>;

    /// Nothing more is written: what was taken comes out, and then the end.
    ///
    /// # Errors
    ///
    /// It cannot: the flow has failed.
    fn poll_finish(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failure>>;

    /// The writing end goes away without having finished. Who reads hears of it: by the end, or by a
    /// failure.
    fn abandon(&mut self);

    /// What comes out next, at the start of `into`, which has room for a byte. Gives how many bytes;
    /// none: the end.
    ///
    /// # Errors
    ///
    /// Nothing more comes out: the flow has failed.
    fn poll_read(&mut self, cx: &mut Context<'_>, into: &mut [u8]) -> Poll<Result<usize, Failure>>;

    /// Gives up writing that is pending, as who drops a future does, and begins anew, if it can do
    /// that. Called now and then, as the seed decides.
    ///
    /// # Errors
    ///
    /// What was given up was not as if it never had been, or what is begun anew does not wait, though
    /// nobody was woken: the flow has failed.
    fn cancel_write(&mut self, _: &mut Context<'_>) -> Result<(), Failure> {
        Ok(())
    }

    /// The same of reading.
    ///
    /// # Errors
    ///
    /// As for [`cancel_write`](Self::cancel_write).
    fn cancel_read(&mut self, _: &mut Context<'_>) -> Result<(), Failure> {
        Ok(())
    }

    /// Gives up writing that was woken before it is polled again, and begins anew: what had happened by
    /// then has happened, and nothing happens twice. Called now and then, as the seed decides.
    ///
    /// # Errors
    ///
    /// As for [`poll_flush`](Self::poll_flush).
    fn drop_write(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        Poll::Ready(Ok(()))
    }

    /// Gives up reading that was woken before it is polled again. What it was handed by then is not
    /// lost: the next [`poll_read`](Self::poll_read) begins anew, and finds it.
    fn drop_read(&mut self) {}
}

/// Makes the conduits of an adapter. Each adapter of a pair has its own.
pub trait Medium: 'static {
    /// What carries a flow.
    type Conduit: Conduit;

    /// A flow begins.
    ///
    /// # Errors
    ///
    /// There is no conduit for it: the flow never was.
    fn open(&mut self, flow: FlowId) -> Result<Self::Conduit, Failure>;

    /// What is to be done besides, for all flows: a connection that they share. Called when its waker
    /// was woken, and once when a flow was opened.
    ///
    /// # Errors
    ///
    /// All flows have failed.
    fn poll_work(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        Poll::Pending
    }
}

impl<C: Conduit, F: FnMut(FlowId) -> Result<C, Failure> + 'static> Medium for F {
    type Conduit = C;

    fn open(&mut self, flow: FlowId) -> Result<C, Failure> {
        self(flow)
    }
}
