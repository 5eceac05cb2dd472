// SPDX-License-Identifier: BSD-3-Clause
//! The contract of adapters.
//!
//! An adapter carries flows of bytes between something outside and the runtime. It has no I/O,
//! clock, thread or randomness of its own: it only acts when called, and everything that it needs
//! of its environment comes with the call in a [`Context`]. So the lab decides everything that
//! happens to it.
//!
//! ```text
//!            ingress adapter                                  egress adapter
//!   source ──offer──► [ … ] ──poll: Outlet──► runtime ──accept──► [ … ] ──poll: Outlet──► sink
//! ```
//!
//! | file | holds |
//! |---|---|
//! | `flow` | flows and their lifecycle |
//! | `manifest` | what an adapter claims, and the negotiation |
//! | `context` | the context that comes with each call |
//! | `outlet` | where an adapter puts its output |
//! | `error` | errors of adapters |
//!
//! # Rules for implementers
//!
//! 1. A call never blocks: it does what it can and returns. An offer may be taken in part or not at
//!    all.
//! 2. An adapter that took less than it was offered calls [`Context::has_room`] when it would take
//!    more. An adapter with output calls [`Context::wants_poll`], and is polled. There is no other
//!    polling: without these calls its flows make no progress.
//! 3. It puts out no more than an [`Outlet`] has room for.
//! 4. It refuses what its manifest does not claim with [`AdapterError::Unsupported`], and
//!    continues.

mod context;
mod error;
mod flow;
mod manifest;
pub(crate) mod outlet;

pub use context::{Calls, Context};
pub use error::{AdapterError, ErrorClass};
pub use flow::{
    Cause, Chunk, Class, Descriptor, FlowEvent, FlowId, FlowState, Lifecycle, Secret, Tick,
    Transition, TransitionError,
};
pub use manifest::{
    Capabilities, Capability, Limits, Manifest, ManifestError, Negotiated, NegotiationError,
    negotiate,
};
pub use outlet::{Outlet, Refused};

/// The result of a call of an adapter.
pub type Done = Result<(), AdapterError>;

/// The result of an offer: how many bytes the adapter took.
pub type Took = Result<usize, AdapterError>;

/// The methods of both adapters of a pair.
///
/// An error ends one flow, never the adapter: calls for other flows continue as before.
pub trait Adapter {
    /// The claims of the adapter. Every call returns the same.
    fn manifest(&self) -> Manifest;

    /// Opens a flow. Its number is not in use; it may have been in use before.
    ///
    /// # Errors
    ///
    /// [`AdapterError::TooManyFlows`] beyond the limit of the manifest, or another refusal: then
    /// the flow does not exist.
    fn open(&mut self, cx: &mut Context<'_>, flow: FlowId, descriptor: &Descriptor) -> Done;

    /// No more bytes come in on this flow. Those that came before are still put out, followed by
    /// the end.
    ///
    /// # Errors
    ///
    /// [`AdapterError::Unsupported`] without the capability `flow_half_close`;
    /// [`AdapterError::Closed`] on a flow that is over.
    fn half_close(&mut self, cx: &mut Context<'_>, flow: FlowId) -> Done;

    /// Resets the flow, on behalf of the side that offers: a source, or the runtime. Bytes that
    /// were not put out are dropped, and [`Outlet::reset`] reports the reset at the other end. No
    /// effect on a flow that is over.
    ///
    /// # Errors
    ///
    /// [`AdapterError::Unsupported`] without the capability `flow_reset`: the flow is closed then.
    fn reset(&mut self, cx: &mut Context<'_>, flow: FlowId, cause: Cause) -> Done;

    /// The flow is over: no more bytes come in or are put out, and its number may be used again. No
    /// effect on a flow that is over.
    ///
    /// # Errors
    ///
    /// [`AdapterError::UnknownFlow`] for a flow that never existed.
    fn close(&mut self, cx: &mut Context<'_>, flow: FlowId) -> Done;

    /// Puts out what it has, as far as there is room. Called after [`Context::wants_poll`], when
    /// there is room again, and at its deadline.
    fn poll(&mut self, cx: &mut Context<'_>, outlet: &mut Outlet<'_>);

    /// The time at which it must be polled even without another reason.
    fn deadline(&self) -> Option<Tick> {
        None
    }

    /// Bytes that it holds, of all flows together.
    fn buffered_bytes(&self) -> u64;

    /// A summary for people: counts and classes, never payload.
    fn summary(&self) -> String;

    /// The log lines since the last call, if it keeps a log. They are searched for leaks like its
    /// other texts.
    fn log(&self) -> String {
        String::new()
    }
}

/// Carries flows from a source into the runtime.
pub trait IngressAdapter: Adapter {
    /// The source offers bytes; the first one is at the chunk's offset. Returns how many were
    /// taken.
    ///
    /// # Errors
    ///
    /// [`AdapterError::Closed`] on a flow that is over or half-closed; [`AdapterError::Malformed`]
    /// for an invalid chunk: the flow has failed then.
    fn offer(&mut self, cx: &mut Context<'_>, chunk: &Chunk, bytes: &[u8]) -> Took;
}

/// Carries flows from the runtime to a sink.
pub trait EgressAdapter: Adapter {
    /// The runtime offers bytes, as a source does to an ingress adapter.
    ///
    /// # Errors
    ///
    /// As [`IngressAdapter::offer`].
    fn accept(&mut self, cx: &mut Context<'_>, chunk: &Chunk, bytes: &[u8]) -> Took;
}
