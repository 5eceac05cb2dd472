// SPDX-License-Identifier: BSD-3-Clause
//! Payload and secrets appear in no text.

use super::Examined;
use super::catalogue::Id;
use super::flow::Pass;
use super::recorder::{Value, Violation};
use crate::contract::{Capability, FlowId};
use crate::hygiene::{Text, TextKind};

pub(super) fn run_finished(pass: &mut Pass<'_>, examined: &Examined<'_>) {
    pass.recorder.mark.flow = FlowId::new(0);
    for text in examined.texts {
        let (id, what) = match text.kind {
            TextKind::Summary => (Id::Summary, "its summary"),
            TextKind::Error => (Id::Error, "an error of it"),
            TextKind::Debug => (Id::Debug, "what is shown of it"),
            TextKind::Report => (Id::Report, "a report"),
        };
        canaries(pass, examined, text, (id, what));
        if text.kind != TextKind::Report {
            pass.recorder.check(Id::NoMark, !text.has_secret_mark(), move || {
                let (found, expected) = (Value::Named("marked as a secret"), Value::Named("plain"));
                Violation::new(what, found, expected).by(text.place)
            });
        }
    }
}

fn canaries(
    pass: &mut Pass<'_>,
    examined: &Examined<'_>,
    text: &Text<'_>,
    (id, what): (Id, &'static str),
) {
    let Some(search) = examined.search else { return };
    let is_claimed = pass.run.claims(text.place, Capability::TraceSafeAdapterSummary);
    if id == Id::Summary && !is_claimed {
        return;
    }
    match search.find(text.text.as_bytes()) {
        None => pass.recorder.holds(id),
        Some(leak) => {
            let found = Value::Leak(leak.name, leak.encoding.name());
            let violation = Violation::new(what, found, Value::Named("without")).by(text.place);
            pass.recorder.breaks(id, violation.at(leak.at as u64));
        }
    }
}
