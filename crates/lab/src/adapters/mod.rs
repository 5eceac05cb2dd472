// SPDX-License-Identifier: BSD-3-Clause
//! Healthy adapters that are part of the lab, built in different ways, so that the rules are tried
//! on more than one design.
//!
//! | file | how |
//! |---|---|
//! | `memory` | a queue of bytes for each flow |
//! | `ring` | a ring of fixed length for each flow, in a table of fixed length; all in turn |
//! | `blame` | whether a panic came from an adapter or from the lab |
//! | `chunks` | a queue of chunks for each flow, put out with their original borders |
//! | `faces` | their common interface |
//! | `listened` | any of them, with its texts recorded |

mod blame;
mod chunks;
mod faces;
mod listened;
mod memory;
mod ring;

pub(crate) use blame::{Guilty, caught, of_adapter};
pub use chunks::{ChunksEgressAdapter, ChunksIngressAdapter};
pub use listened::{Transcript, listen};
pub use memory::{MemoryEgressAdapter, MemoryIngressAdapter, MemoryPipeAdapter};
pub use ring::{RingEgressAdapter, RingIngressAdapter};

use crate::contract::{Capabilities, Capability, EgressAdapter, IngressAdapter, Limits, Manifest};

/// Two adapters that are examined together.
pub type Pair = (Box<dyn IngressAdapter>, Box<dyn EgressAdapter>);

/// A pair of healthy adapters.
#[derive(Debug, Clone, Copy)]
pub struct Healthy {
    /// Name.
    pub name: &'static str,
    /// Creates a pair with these limits.
    pub make: fn(Limits) -> Pair,
}

/// All healthy pairs. Any two adapters may form one: `ring-memory` has two kinds.
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

/// The capabilities of all of them, besides their directions.
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
