// SPDX-License-Identifier: BSD-3-Clause
//! What a bridge requires of a thing: a conduit for each flow, and a medium that creates them.

use std::io::{self, ErrorKind};
use std::task::{Context, Poll};

use crate::contract::{Cause, FlowId, Tick};

/// An operation of a thing failed: the kind of the failure. Texts of errors are not part of it,
/// because they may contain payload.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what}")]
pub struct Failure {
    what: String,
    cause: Cause,
}

impl Failure {
    /// A failure of the thing.
    pub fn new(what: impl Into<String>) -> Self {
        Self { what: what.into(), cause: Cause::Error }
    }

    /// A reset by the other end.
    pub fn reset(what: impl Into<String>) -> Self {
        Self { what: what.into(), cause: Cause::Reset }
    }

    /// The kind of an I/O error, without its text. Kinds that mean a reset by the other end become
    /// a reset.
    #[must_use]
    pub fn of_io(error: &io::Error) -> Self {
        let kind = error.kind();
        match kind {
            ErrorKind::ConnectionReset => Self::reset(kind.to_string()),
            _ => Self::new(kind.to_string()),
        }
    }

    /// The cause that is reported for a flow that ends by it.
    #[must_use]
    pub const fn cause(&self) -> Cause {
        self.cause
    }
}

/// Carries one flow: everything that is written is read at the other end, followed by the end.
///
/// Each method works like a future's poll: ready, or pending with the waker kept. After pending it
/// is called again only when that waker was woken. Writing, flushing and finishing share one waker,
/// reading has its own.
pub trait Conduit {
    /// Writes some of the bytes, of which there is at least one. Returns how many.
    ///
    /// # Errors
    ///
    /// It takes nothing more: the flow has failed.
    fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize, Failure>>;

    /// Ensures that everything taken so far comes out without another call.
    ///
    /// # Errors
    ///
    /// It cannot: the flow has failed.
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failure>>;

    /// Ends the writing side: what was taken comes out, followed by the end.
    ///
    /// # Errors
    ///
    /// It cannot: the flow has failed.
    fn poll_finish(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failure>>;

    /// Drops the writing end without finishing. The reader notices: by the end, or by a failure.
    fn abandon(&mut self);

    /// Reads the next bytes to the start of `into`, which is not empty. Returns how many; 0 is the
    /// end.
    ///
    /// # Errors
    ///
    /// Nothing more comes out: the flow has failed.
    fn poll_read(&mut self, cx: &mut Context<'_>, into: &mut [u8]) -> Poll<Result<usize, Failure>>;

    /// Cancels a pending write, like dropping its future, and starts anew, if the thing supports
    /// that. Called occasionally, as the seed decides.
    ///
    /// # Errors
    ///
    /// The cancellation had an effect, or the new write does not wait though the waker was not
    /// woken: the flow has failed.
    fn cancel_write(&mut self, _: &mut Context<'_>) -> Result<(), Failure> {
        Ok(())
    }

    /// As [`cancel_write`](Self::cancel_write), for reading.
    ///
    /// # Errors
    ///
    /// As for [`cancel_write`](Self::cancel_write).
    fn cancel_read(&mut self, _: &mut Context<'_>) -> Result<(), Failure> {
        Ok(())
    }

    /// Cancels a write after its wake-up and before the next poll, and starts anew: the effect that
    /// it had by then remains, and nothing happens twice. Called occasionally, as the seed decides.
    ///
    /// # Errors
    ///
    /// As for [`poll_flush`](Self::poll_flush).
    fn drop_write(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        Poll::Ready(Ok(()))
    }

    /// Cancels a read after its wake-up and before the next poll. An item that it was assigned by
    /// then is not lost: the next [`poll_read`](Self::poll_read) returns it.
    fn drop_read(&mut self) {}
}

/// Creates the conduits of an adapter. Each adapter of a pair has its own medium.
pub trait Medium: 'static {
    /// The conduit of a flow.
    type Conduit: Conduit;

    /// Opens a flow.
    ///
    /// # Errors
    ///
    /// There is no conduit for it: the flow does not exist.
    fn open(&mut self, flow: FlowId) -> Result<Self::Conduit, Failure>;

    /// What a medium with delays and faults of its own needs: virtual time, and numbers below a
    /// bound that the seed decides, of which 0 is no fault. Called before each
    /// [`poll_work`](Self::poll_work).
    fn turn(&mut self, _: Tick, _: &mut dyn FnMut(u32) -> u32) {}

    /// When `poll_work` is called even if its waker was not woken.
    fn deadline(&self) -> Option<Tick> {
        None
    }

    /// Drives work that all flows share, such as a common connection. Called when its waker was
    /// woken, at its deadline, and once after each opened flow.
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
