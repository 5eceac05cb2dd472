// SPDX-License-Identifier: BSD-3-Clause
//! The same seed is the same run.

use super::Examined;
use super::catalogue::Id;
use super::flow::Pass;
use super::tally::{Fact, Value};
use crate::contract::FlowId;

pub(super) fn run_finished(pass: &mut Pass<'_>, examined: &Examined<'_>) {
    pass.tally.mark.flow = FlowId::new(0);
    let others = [(Id::Again, examined.again), (Id::Elsewhere, examined.elsewhere)];
    if others.iter().all(|(_, other)| other.is_none()) {
        return;
    }
    let hash = examined.trace.hash();
    for (id, other) in others {
        let Some(other) = other else { continue };
        pass.tally.check(id, other == hash, move || {
            let (found, expected) = (Value::Named("another"), Value::Named("the same"));
            Fact::new("the trace of the same run", found, expected)
        });
    }
}
