// SPDX-License-Identifier: BSD-3-Clause
//! Threads that are kept from block to block, for a row of this group.

use super::peer::Peer;
use super::stage::Stage;
use crate::crew::{self, Job};
pub(crate) use crate::crew::{Role, Work};
use crate::error::BenchError;
use crate::harness::Contestant;

/// A side whose work is done by these roles. `expected` says what the roles' answers have to sum
/// up to after `n` operations.
pub(crate) fn crew(
    stage: &Stage,
    peer: Peer,
    operation: &'static str,
    roles: Vec<Role>,
    expected: impl Fn(u64) -> u64 + 'static,
) -> Result<Contestant, BenchError> {
    let tries_max = stage.plan.tries_max() / 3;
    let job = Job { host: peer.name(), operation, cpus: stage.cpus, tries_max };
    Ok(Contestant { column: peer.name(), side: crew::crew(job, roles, expected)? })
}
