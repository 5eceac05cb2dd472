// SPDX-License-Identifier: BSD-3-Clause
//! The same seed is the same run.

use super::catalogue::Id;
use super::flow::Pass;
use super::tally::{Fact, Value};
use super::{Examined, Parting};
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
        let parts = examined.parts.filter(|_| id == Id::Again);
        if let Some(Parting { event, events: [first, second] }) = parts {
            let (known, end) = (first.or(second), pass.tally.mark);
            pass.tally.mark.event = event;
            pass.tally.mark.flow = known.map_or(FlowId::new(0), |event| event.flow);
            pass.tally.mark.tick = known.map_or(pass.tally.mark.tick, |event| event.tick);
            pass.tally.check(id, other == hash, move || {
                let what = "the first event that differs when the same run is made once more";
                Fact::new(what, Value::Event(second), Value::Event(first))
            });
            pass.tally.mark = end;
            continue;
        }
        pass.tally.check(id, other == hash, move || {
            let (found, expected) = (Value::Named("another"), Value::Named("the same"));
            Fact::new("the trace of the same run", found, expected)
        });
    }
}
