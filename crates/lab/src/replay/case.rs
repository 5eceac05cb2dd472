// SPDX-License-Identifier: BSD-3-Clause
//! The inputs of a run as a value: it can be kept, shrunk and written to a file.

use crate::config::Config;
use crate::fault::FaultPlan;
use crate::link::Link;
use crate::source::FlowPlan;
use crate::target::Behaviour;

/// The inputs of a run without adapters and choices. It contains the plans and not their generator:
/// it gives the same run when the generator changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Case {
    /// The limits.
    pub config: Config,
    /// The plans of the sources: flow 1, flow 2 and so on.
    pub plans: Vec<FlowPlan>,
    /// The behaviour of the target.
    pub behaviour: Behaviour,
    /// Bytes of each flow that may be in flight.
    pub window_bytes: u64,
    /// The link between the sessions.
    pub link: Link,
    /// The faults.
    pub faults: FaultPlan,
}
