// SPDX-License-Identifier: BSD-3-Clause
//! Where an adapter puts its output: the runtime, or a sink.

use super::{Cause, Chunk, FlowId};

/// The receiving end of an [`Outlet`].
pub(crate) trait Receiver {
    fn room(&self, flow: FlowId) -> usize;
    fn data(&mut self, chunk: &Chunk, bytes: &[u8]) -> Result<(), Refused>;
    fn half_closed(&mut self, flow: FlowId);
    fn reset(&mut self, flow: FlowId, cause: Cause);
    fn closed(&mut self, flow: FlowId);
}

/// Where an adapter puts its output during one poll.
pub struct Outlet<'a> {
    receiver: &'a mut dyn Receiver,
}

/// The output was refused, and the refusal recorded. An adapter that keeps to the rules never sees
/// this.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refused {
    /// More bytes than there is room for.
    #[error("there is no room for so many bytes")]
    NoRoom,
    /// The flow does not exist, or it is over.
    #[error("there is no such flow")]
    UnknownFlow,
}

impl<'a> Outlet<'a> {
    pub(crate) const fn new(receiver: &'a mut dyn Receiver) -> Self {
        Self { receiver }
    }

    /// How many bytes of this flow would be taken now. An adapter that finds too little room is
    /// polled again when there is more.
    #[must_use]
    pub fn room(&self, flow: FlowId) -> usize {
        self.receiver.room(flow)
    }

    /// Puts out the next bytes of a flow. The adapter numbers its chunks, from 1 in each flow;
    /// their borders may differ from those of the input.
    ///
    /// # Errors
    ///
    /// [`Refused`]: nothing was taken.
    pub fn data(&mut self, chunk: &Chunk, bytes: &[u8]) -> Result<(), Refused> {
        self.receiver.data(chunk, bytes)
    }

    /// Ends the output of this flow: everything that came in before its half-close has been put
    /// out. A final chunk has the same effect.
    pub fn half_closed(&mut self, flow: FlowId) {
        self.receiver.half_closed(flow);
    }

    /// The flow was reset at the other end, or failed in the adapter.
    pub fn reset(&mut self, flow: FlowId, cause: Cause) {
        self.receiver.reset(flow, cause);
    }

    /// The flow ended in order, and the adapter holds nothing of it.
    pub fn closed(&mut self, flow: FlowId) {
        self.receiver.closed(flow);
    }
}
