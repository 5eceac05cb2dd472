// SPDX-License-Identifier: BSD-3-Clause
//! What an adapter is.
//!
//! An adapter carries flows of bytes between something outside and the runtime. It is written
//! without I/O, clock, thread or randomness of its own: it is called, and what it needs of the world
//! comes with each call in a [`Context`]. So the lab decides everything that happens to it.
//!
//! ```text
//!            ingress adapter                                  egress adapter
//!   source ──offer──► [ … ] ──poll: Outlet──► runtime ──accept──► [ … ] ──poll: Outlet──► sink
//! ```
//!
//! | file | holds |
//! |---|---|
//! | `flow` | flows, and the life of one |
//! | `manifest` | what an adapter says that it can do, and the negotiation |
//! | `context` | what comes with a call |
//! | `outlet` | where an adapter puts what it has |
//! | `error` | how an adapter refuses |
//!
//! # Rules for implementers
//!
//! 1. A call does what it can and returns. What it cannot do yet it says: an offer may be taken in
//!    part or not at all.
//! 2. Who took less than it was offered says [`Context::has_room`] when it would take more. Who
//!    has something to put out says [`Context::wants_poll`], and is polled. Nobody is asked again
//!    and again: an adapter that does not say so is left alone, and its flows stand still.
//! 3. It puts out no more than an [`Outlet`] has room for.
//! 4. What its manifest does not name it refuses with [`AdapterError::Unsupported`], and goes on.

mod context;
mod error;
mod flow;
mod manifest;
pub(crate) mod outlet;

pub use context::{Calls, Context};
pub use error::{AdapterError, ErrorClass};
pub use flow::{
    Cause, Chunk, Class, Descriptor, FlowEvent, FlowId, FlowState, Hidden, Lifecycle, Resolved,
    Tick, TransitionError,
};
pub use manifest::{
    Capabilities, Capability, Limits, Manifest, ManifestError, Negotiated, NegotiationError,
    negotiate,
};
pub use outlet::{Outlet, Refused};

/// What both adapters of a pair have.
///
/// Errors end a flow, never the adapter: it is called for its other flows as before.
pub trait Adapter {
    /// What it can do, the same at every call.
    fn manifest(&self) -> Manifest;

    /// A flow begins. Its number is not in use; it may have been in use before.
    ///
    /// # Errors
    ///
    /// [`AdapterError::TooManyFlows`] beyond what the manifest says, or another refusal: then the flow
    /// never was.
    fn open(
        &mut self,
        cx: &mut Context<'_>,
        flow: FlowId,
        descriptor: &Descriptor,
    ) -> Result<(), AdapterError>;

    /// No more comes in on this flow. What came before is still put out, then the end.
    ///
    /// # Errors
    ///
    /// [`AdapterError::Unsupported`] without the capability `flow_half_close`;
    /// [`AdapterError::Closed`] on a flow that is over.
    fn half_close(&mut self, cx: &mut Context<'_>, flow: FlowId) -> Result<(), AdapterError>;

    /// Who gives to the adapter breaks the flow off: a source, or the runtime. What was not put out is
    /// lost, and [`Outlet::reset`] says so at the other end. Does nothing to a flow that is over.
    ///
    /// # Errors
    ///
    /// [`AdapterError::Unsupported`] without the capability `flow_reset`: the flow is closed then.
    fn reset(
        &mut self,
        cx: &mut Context<'_>,
        flow: FlowId,
        cause: Cause,
    ) -> Result<(), AdapterError>;

    /// The flow is over: nothing comes in any more, nothing is to be put out any more, and its number
    /// may be used again. Does nothing to a flow that is over.
    ///
    /// # Errors
    ///
    /// [`AdapterError::UnknownFlow`] for a flow that never was.
    fn close(&mut self, cx: &mut Context<'_>, flow: FlowId) -> Result<(), AdapterError>;

    /// Puts out what it has and there is room for. Called after [`Context::wants_poll`], when there
    /// is room again, and at its deadline.
    fn poll(&mut self, cx: &mut Context<'_>, outlet: &mut Outlet<'_>);

    /// When it is to be polled without another reason.
    fn deadline(&self) -> Option<Tick> {
        None
    }

    /// Bytes that it holds, of all flows.
    fn buffered_bytes(&self) -> u64;

    /// What it says about itself, for people: counts and classes, never payload.
    fn summary(&self) -> String;

    /// What it wrote for people since it was asked last, if it keeps a log: searched as what is shown
    /// for debugging.
    fn log(&self) -> String {
        String::new()
    }
}

/// Carries what a source gives into the runtime.
pub trait IngressAdapter: Adapter {
    /// The source offers bytes, the first of which has the chunk's offset. Gives how many it took.
    ///
    /// # Errors
    ///
    /// [`AdapterError::Closed`] on a flow that is over or half-closed, [`AdapterError::Malformed`] for
    /// a chunk that cannot be: the flow has failed then.
    fn offer(
        &mut self,
        cx: &mut Context<'_>,
        chunk: &Chunk,
        bytes: &[u8],
    ) -> Result<usize, AdapterError>;
}

/// Carries what the runtime gives to a sink.
pub trait EgressAdapter: Adapter {
    /// The runtime offers bytes, as a source does to an ingress adapter.
    ///
    /// # Errors
    ///
    /// As [`IngressAdapter::offer`].
    fn accept(
        &mut self,
        cx: &mut Context<'_>,
        chunk: &Chunk,
        bytes: &[u8],
    ) -> Result<usize, AdapterError>;
}
