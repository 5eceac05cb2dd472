// SPDX-License-Identifier: BSD-3-Clause
//! Adapters that the lab brings along: healthy ones, built in different ways, so that rules are
//! tried on more than one idea of how an adapter works.
//!
//! | file | how |
//! |---|---|
//! | `memory` | a queue of bytes for each flow |
//! | `ring` | a ring of fixed length for each flow, in a table of fixed length; all in turn |
//! | `blame` | whose panic it was: an adapter's, or the lab's |
//! | `chunks` | a queue of chunks for each flow, put out with the borders with which they came |
//! | `faces` | what they have in common: how they are called |
//! | `listened` | any of them, with somebody who writes down what it says |

mod blame;
mod chunks;
mod faces;
mod listened;
mod memory;
mod ring;

pub(crate) use blame::{Guilty, caught, of_adapter};
pub use chunks::{ChunksEgressAdapter, ChunksIngressAdapter};
pub use listened::{Said, listen};
pub use memory::{MemoryEgressAdapter, MemoryIngressAdapter, MemoryPipeAdapter};
pub use ring::{RingEgressAdapter, RingIngressAdapter};

use crate::contract::{Capabilities, Capability, EgressAdapter, IngressAdapter, Limits, Manifest};

/// Two adapters that are examined together.
pub type Pair = (Box<dyn IngressAdapter>, Box<dyn EgressAdapter>);

/// A pair of adapters in which nothing is wrong.
#[derive(Debug, Clone, Copy)]
pub struct Healthy {
    /// What it is called by.
    pub name: &'static str,
    /// Makes one with these limits.
    pub make: fn(Limits) -> Pair,
}

/// All of them. Any two may be a pair: `ring-memory` is one of two kinds.
pub const HEALTHY: &[Healthy] = &[
    Healthy {
        name: "memory",
        make: |limits| {
            let ingress = Box::new(MemoryIngressAdapter::new(limits));
            (ingress, Box::new(MemoryEgressAdapter::new(limits)))
        },
    },
    Healthy {
        name: "pipe",
        make: |limits| {
            let ingress = Box::new(MemoryPipeAdapter::new(limits));
            (ingress, Box::new(MemoryPipeAdapter::new(limits)))
        },
    },
    Healthy {
        name: "ring",
        make: |limits| {
            let ingress = Box::new(RingIngressAdapter::new(limits));
            (ingress, Box::new(RingEgressAdapter::new(limits)))
        },
    },
    Healthy {
        name: "chunks",
        make: |limits| {
            let ingress = Box::new(ChunksIngressAdapter::new(limits));
            (ingress, Box::new(ChunksEgressAdapter::new(limits)))
        },
    },
    Healthy {
        name: "ring-memory",
        make: |limits| {
            let ingress = Box::new(RingIngressAdapter::new(limits));
            (ingress, Box::new(MemoryEgressAdapter::new(limits)))
        },
    },
];

/// What all of them can do, besides the ways in which one carries.
fn manifest(name: &str, ways: Capabilities, limits: Limits) -> Manifest {
    let capabilities = ways
        .with(Capability::FlowBackpressure)
        .with(Capability::FlowHalfClose)
        .with(Capability::FlowLifecycle)
        .with(Capability::FlowMetadataOnly)
        .with(Capability::FlowPriority)
        .with(Capability::FlowReset)
        .with(Capability::RuntimeStreamMapping)
        .with(Capability::TraceSafeAdapterSummary);
    Manifest { name: name.into(), capabilities, limits }
}
