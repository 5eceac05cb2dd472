// SPDX-License-Identifier: BSD-3-Clause
//! Bridges: what people already have, as a pair of adapters.
//!
//! ```text
//!   offer ──► poll_write ──► [ a duplex · a sink and a stream · a channel · blocks ] ──► poll_read ──► poll
//!                    the thing carries the bytes, a conduit for each flow
//! ```
//!
//! A bridge adds what the contract needs and nothing else: numbers and offsets, how a flow ends, and
//! who is to be polled. It has no buffer of its own: what was read is put out at once, and what the
//! thing does not take is not taken.
//!
//! | module | carries a flow by | feature |
//! |---|---|---|
//! | [`pair`] | any [`Medium`]: what you write yourself | |
//! | `io` | anything that is `AsyncRead + AsyncWrite` of tokio | `io` |
//! | `futures_io` | the same of `futures-io` | `futures-io` |
//! | `stream` | anything that is `Sink` and `Stream` of bytes | `stream` |
//! | [`operations`] | anything that sends and receives by futures | |
//! | `channel` | each kind of channel of `becket-chan` | `channel` |
//! | `blocks` | a backend of `becket-zcopy`: what crosses are descriptors | `blocks` |
//! | `plugin` | a plugin that gives back what it is given | `plugin` |
//!
//! [`exec`] is none of these: there the adapter itself is a process, in any language.
//!
//! | file | holds |
//! |---|---|
//! | `conduit` | what a bridge needs of a thing |
//! | `adapter` | the adapter around it |
//! | `flow` | one flow: who writes, who reads, who waits |
//! | `bell` | wakers |
//! | `crashes` | whether a process crashed, and how |
//! | `hangs` | how often a thing was waited for in vain |
//!
//! # What is examined
//!
//! 1. **Wakes.** A thing that said pending is polled again when the waker that it was given was woken,
//!    and not before. A wake that is lost, or comes from another thread, leaves the flow where it
//!    is, and LIV-01 says so. The summary counts wakes from elsewhere.
//! 2. **The end.** A flow that ends is finished (shut down, closed), and what was written has to come
//!    out before the end: INT-05, LIV-05.
//! 3. **Reset** is the writing end going away. What still comes out is thrown away, and the reset is
//!    said when the reading end has heard of it: LIV-06. Its cause goes beside the thing, since few
//!    things can carry one; of two ends of a flow that is closed either may go first.
//! 4. **Giving up.** Reading and writing are given up now and then, as the seed decides, and begun anew:
//!    futures are dropped while they wait, and after they were woken, before the next poll.
//! 5. **Memory.** What was taken and has not come out is held by the thing, and counts against the
//!    limits that its maker named: RES-02, RES-03.
//! 6. **Errors** are told by their kind. Their words may have payload in them, and are left out.

mod adapter;
mod bell;
#[cfg(feature = "blocks")]
pub mod blocks;
#[cfg(feature = "channel")]
pub mod channel;
mod conduit;
pub(crate) mod crashes;
pub mod exec;
mod flow;
#[cfg(feature = "futures-io")]
pub mod futures_io;
pub(crate) mod hangs;
#[cfg(feature = "io")]
pub mod io;
pub mod operations;
#[cfg(feature = "plugin")]
pub mod plugin;
mod rest;
#[cfg(feature = "stream")]
pub mod stream;

pub use adapter::Bridge;
pub use conduit::{Conduit, Failure, Medium};

use crate::adapters::Pair;
use crate::contract::{Capabilities, Capability, Limits};

/// What is said of a thing: its manifest, but for the way in which it carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spec {
    /// What it is called in reports.
    pub name: String,
    /// How much it carries.
    pub limits: Limits,
    /// What it can do. All but `flow_priority`, which no bridge has, unless said otherwise.
    pub capabilities: Capabilities,
}

impl Spec {
    /// Of a thing that holds no more than this, whoever writes into it.
    #[must_use]
    pub fn new(name: impl Into<String>, limits: Limits) -> Self {
        let capabilities = Capabilities::NONE
            .with(Capability::FlowBackpressure)
            .with(Capability::FlowHalfClose)
            .with(Capability::FlowLifecycle)
            .with(Capability::FlowMetadataOnly)
            .with(Capability::FlowReset)
            .with(Capability::RuntimeStreamMapping)
            .with(Capability::TraceSafeAdapterSummary);
        Self { name: name.into(), limits, capabilities }
    }

    /// It cannot do this.
    #[must_use]
    pub const fn without(mut self, capability: Capability) -> Self {
        self.capabilities = self.capabilities.without(capability);
        self
    }
}

/// A pair of adapters, each over a medium of its own.
pub fn pair<M: Medium>(spec: &Spec, mut medium: impl FnMut() -> M) -> Pair {
    let ingress = Bridge::new(spec, Capability::AdapterIngress, medium());
    let egress = Bridge::new(spec, Capability::AdapterEgress, medium());
    (Box::new(ingress), Box::new(egress))
}
