// SPDX-License-Identifier: BSD-3-Clause
//! Bridges: existing channels, streams and plugins as a pair of adapters.
//!
//! ```text
//!   offer ──► poll_write ──► [ a duplex · a sink and a stream · a channel · blocks ] ──► poll_read ──► poll
//!                    the thing carries the bytes, a conduit for each flow
//! ```
//!
//! A bridge adds only what the contract needs: numbers and offsets, the ends of flows, and
//! wake-ups. It has no buffer of its own: what was read is put out at once, and what the thing does
//! not take is not taken.
//!
//! | module | carries a flow by | feature |
//! |---|---|---|
//! | [`pair`] | any [`Medium`]: your own implementation | |
//! | `io` | anything that is `AsyncRead + AsyncWrite` of tokio | `io` |
//! | `futures_io` | the same of `futures-io` | `futures-io` |
//! | `stream` | anything that is `Sink` and `Stream` of bytes | `stream` |
//! | [`operations`] | anything that sends and receives with futures | |
//! | `channel` | each kind of channel of `becket-chan` | `channel` |
//! | `blocks` | a backend of `becket-zcopy`: descriptors are sent | `blocks` |
//! | `plugin` | a plugin that echoes its input | `plugin` |
//! | `transport` | a channel of `becket-ipc`, over a transport of one's own | `transport` |
//!
//! [`exec`] is not among them: there the adapter itself is a process, in any language.
//!
//! | file | holds |
//! |---|---|
//! | `conduit` | what a bridge requires of a thing |
//! | `adapter` | the adapter around it |
//! | `flow` | one flow: its writer, its reader, and their wakers |
//! | `waker_flag` | wakers |
//! | `crashes` | whether a process crashed, and how |
//! | `hangs` | number of timeouts |
//!
//! # What is examined
//!
//! 1. **Wakes.** A thing that returned pending is polled again only after the waker that it was
//!    given was woken. If a wake-up is lost, or comes from another thread, the flow makes no
//!    progress, which violates LIV-01. The summary counts wakes from elsewhere.
//! 2. **The end.** A flow that ends is finished (shut down, closed), and everything that was
//!    written must come out before the end: INT-05, LIV-05.
//! 3. **Reset.** The writing end is dropped. What still comes out is discarded, and the reset is
//!    reported when the reading end has noticed it: LIV-06. The cause is passed beside the thing,
//!    since few things can carry one. When a flow is closed, either end may be dropped first.
//! 4. **Cancellation.** Reads and writes are sometimes cancelled, as the seed decides, and started
//!    anew: futures are dropped while they wait, and after a wake-up before the next poll.
//! 5. **Memory.** What was taken and has not come out is held by the thing, and counts against the
//!    limits that its maker declared: RES-02, RES-03.
//! 6. **Errors** are reported by their kind. Their texts may contain payload, and are left out.

mod adapter;
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
#[cfg(feature = "transport")]
pub mod transport;
mod waker_flag;

pub use adapter::Bridge;
pub use conduit::{Conduit, Failure, Medium};

use crate::adapters::Pair;
use crate::contract::{Capabilities, Capability, Limits};

/// The claims of a thing: its manifest without the direction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spec {
    /// Name in reports.
    pub name: String,
    /// Its limits.
    pub limits: Limits,
    /// Its capabilities: by default all but `flow_priority`, which no bridge has.
    pub capabilities: Capabilities,
}

impl Spec {
    /// The spec of a thing that holds at most `limits` in total.
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

    /// The same spec without this capability.
    #[must_use]
    pub const fn without(mut self, capability: Capability) -> Self {
        self.capabilities = self.capabilities.without(capability);
        self
    }
}

/// A pair of adapters, each over its own medium.
pub fn pair<M: Medium>(spec: &Spec, mut medium: impl FnMut() -> M) -> Pair {
    let ingress = Bridge::new(spec, Capability::AdapterIngress, medium());
    let egress = Bridge::new(spec, Capability::AdapterEgress, medium());
    (Box::new(ingress), Box::new(egress))
}
