// SPDX-License-Identifier: BSD-3-Clause
//! The same seed gives the same run.

use super::catalogue::Id;
use super::flow::Pass;
use super::recorder::{Value, Violation};
use super::{Examined, Parting};
use crate::contract::FlowId;

pub(super) fn run_finished(pass: &mut Pass<'_>, examined: &Examined<'_>) {
    pass.recorder.mark.flow = FlowId::new(0);
    let others = [(Id::Again, examined.again), (Id::FreshProcess, examined.fresh_process)];
    if others.iter().all(|(_, other)| other.is_none()) {
        return;
    }
    let hash = examined.trace.hash();
    for (id, other) in others {
        let Some(other) = other else { continue };
        let parts = examined.parts.filter(|_| id == Id::Again);
        if let Some(Parting { event, events: [first, second] }) = parts {
            let (known, end) = (first.or(second), pass.recorder.mark);
            pass.recorder.mark.event = event;
            pass.recorder.mark.flow = known.map_or(FlowId::new(0), |event| event.flow);
            pass.recorder.mark.tick = known.map_or(pass.recorder.mark.tick, |event| event.tick);
            pass.recorder.check(id, other == hash, move || {
                let what = "the first event that differs when the same run is made once more";
                Violation::new(what, Value::Event(second), Value::Event(first))
            });
            pass.recorder.mark = end;
            continue;
        }
        pass.recorder.check(id, other == hash, move || {
            let (found, expected) = (Value::Named("another"), Value::Named("the same"));
            Violation::new("the trace of the same run", found, expected)
        });
    }
}
