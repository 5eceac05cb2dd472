// SPDX-License-Identifier: BSD-3-Clause
//! Where an adapter puts what it has: into the runtime, or into a sink.

use super::{Cause, Chunk, FlowId};

/// What stands behind an [`Outlet`].
pub(crate) trait Receiver {
    fn room(&self, flow: FlowId) -> usize;
    fn data(&mut self, chunk: &Chunk, bytes: &[u8]) -> Result<(), Refused>;
    fn half_closed(&mut self, flow: FlowId);
    fn reset(&mut self, flow: FlowId, cause: Cause);
    fn closed(&mut self, flow: FlowId);
}

/// Where an adapter puts what it has, during one poll.
pub struct Outlet<'a> {
    receiver: &'a mut dyn Receiver,
}

/// It was not taken, and this was written down: who keeps to the rules never sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refused {
    /// More bytes than there is room for.
    #[error("there is no room for so many bytes")]
    NoRoom,
    /// There is no such flow, or it is over.
    #[error("there is no such flow")]
    UnknownFlow,
}

impl<'a> Outlet<'a> {
    pub(crate) const fn new(receiver: &'a mut dyn Receiver) -> Self {
        Self { receiver }
    }

    /// Bytes of this flow that are taken at the moment. When it was less than an adapter wanted,
    /// the adapter is polled again when there is more.
    #[must_use]
    pub fn room(&self, flow: FlowId) -> usize {
        self.receiver.room(flow)
    }

    /// Puts out the next bytes of a flow. The chunk is numbered by the adapter, from 1 in each flow;
    /// it need not be cut as what came in.
    ///
    /// # Errors
    ///
    /// See [`Refused`]: nothing of it was taken.
    pub fn data(&mut self, chunk: &Chunk, bytes: &[u8]) -> Result<(), Refused> {
        self.receiver.data(chunk, bytes)
    }

    /// Nothing more comes out on this flow: everything that came in before its half-close has been put
    /// out. A chunk that is final says the same.
    pub fn half_closed(&mut self, flow: FlowId) {
        self.receiver.half_closed(flow);
    }

    /// The flow was broken off at the other end, or failed in the adapter.
    pub fn reset(&mut self, flow: FlowId, cause: Cause) {
        self.receiver.reset(flow, cause);
    }

    /// The flow is over, in order, and the adapter has forgotten it.
    pub fn closed(&mut self, flow: FlowId) {
        self.receiver.closed(flow);
    }
}
