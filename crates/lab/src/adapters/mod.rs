// SPDX-License-Identifier: BSD-3-Clause
//! Adapters that the lab brings along: healthy ones, built in different ways, so that rules are
//! tried on more than one idea of how an adapter works.
//!
//! | file | how |
//! |---|---|
//! | `memory` | a queue of bytes for each flow |

mod memory;

pub use memory::{MemoryEgressAdapter, MemoryIngressAdapter, MemoryPipeAdapter};
