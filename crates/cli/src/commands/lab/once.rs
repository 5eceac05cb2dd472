// SPDX-License-Identifier: BSD-3-Clause
//! One run: made, judged like in a check, and described.

use becket_lab::check::{Repeated, repeat};
use becket_lab::choice::{Choices, Scheduler};
use becket_lab::contract::Limits;
use becket_lab::replay::{Case, Expected, Replay};
use becket_lab::rules::{Exit as LabExit, Family, Finding, Level, Subject, rule};
use becket_lab::trace::Trace;
use becket_lab::world;

use super::adapter::Adapter;
use crate::exit::Exit;
use crate::ui::{BAD, DIM, GOOD, HEAD, Ui, WARN, paint, text};

/// Columns of a line of text.
const WIDTH: usize = 96;

/// Makes the run and records its choices. [`judge`] finds the violations.
pub(super) fn record(
    adapter: &Adapter,
    (scenario, profile): (&str, u64),
    (case, limits): (Case, Limits),
    scheduler: Scheduler,
) -> Replay {
    let seed = case.config.deterministic_seed;
    let mut choices = Choices::scheduled(seed, scheduler).recording();
    let mut trace = Trace::new(case.config.max_events);
    let make = adapter.make();
    world::run_with(&case, &|| make(limits), &mut choices, &mut trace);
    Replay {
        adapter: adapter.name.clone(),
        limits,
        scenario: scenario.into(),
        profile: profile.to_string(),
        case,
        recording: choices.into_recording(),
        expected: Expected { rule: None, trace: trace.hash() },
    }
}

/// Repeats the run, and finds its violations.
pub(super) fn judge(adapter: &Adapter, replay: &Replay) -> Repeated {
    repeat(adapter.make(), replay)
}

/// Prints the events of the adapters' processes that no trace shows.
pub(super) fn note_mishaps(adapter: &Adapter, ui: &Ui) {
    if let Some(mishaps) = adapter.mishaps() {
        ui.note(&mishaps);
    }
}

/// The lab's exit code for these findings.
pub(super) fn exit_of(findings: &[Finding]) -> LabExit {
    findings.iter().fold(LabExit::Ok, |all, finding| {
        let exit = match rule(finding.rule) {
            Some(rule) if rule.family == Family::Determinism => LabExit::Nondeterministic,
            Some(rule) if rule.level != Level::Must => LabExit::Ok,
            Some(rule) if rule.of == Subject::Runtime => LabExit::Internal,
            Some(_) => LabExit::Conformance,
            None => LabExit::Internal,
        };
        all.worse(exit)
    })
}

/// The same as the exit of the process.
pub(super) fn exit(findings: &[Finding]) -> Exit {
    Exit::Lab(exit_of(findings))
}

/// A description of the run's inputs, in a few lines.
pub(super) fn about(replay: &Replay) -> String {
    let Replay { case, limits, .. } = replay;
    let kinds: Vec<_> = case.faults.kinds.iter().map(|kind| kind.name()).collect();
    let faults = match kinds.is_empty() {
        true => "none".to_owned(),
        false => format!(
            "up to {} until tick {}: {}",
            case.faults.budget,
            case.faults.until.0,
            kinds.join(", ")
        ),
    };
    let chunks: usize = case.plans.iter().map(|plan| plan.chunks.len()).sum();
    let bytes: u64 = case.plans.iter().map(becket_lab::source::FlowPlan::bytes).sum();
    let mut said = format!(
        "{}\n",
        paint(
            HEAD,
            &format!(
                "{}: {}, seed {}",
                replay.adapter, replay.scenario, case.config.deterministic_seed
            )
        ),
    );
    let mut part = |label: &str, what: &str| {
        let label = paint(DIM, &format!("  {label:<9}"));
        said.push_str(&format!("{label}{}\n", text::wrapped(what, WIDTH, 11)));
    };
    let flows = text::plural(case.plans.len() as u64, "flow");
    let chunks = text::plural(chunks as u64, "chunk");
    part("sources", &format!("{flows}, {chunks}, {}", text::plural(bytes, "byte")));
    part("target", case.behaviour.name());
    part("link", case.link.name());
    part("faults", &faults);
    part(
        "limits",
        &format!(
            "{} a flow and {} in all in an adapter, window {}",
            text::count(limits.flow_buffered_bytes_max),
            text::count(limits.buffered_bytes_max),
            text::count(case.window_bytes)
        ),
    );
    said
}

/// The violations, or a line that there are none.
pub(super) fn verdict(repeated: &Repeated) -> String {
    let events = text::plural(repeated.trace.events().len() as u64, "event");
    let mut said = String::new();
    for finding in &repeated.findings {
        said.push_str(&tell(finding));
    }
    let (style, word) = match repeated.findings.is_empty() {
        true => (GOOD, "no rule is violated".to_owned()),
        false => {
            let count = repeated.findings.len();
            (BAD, format!("{count} {} violated", if count == 1 { "rule is" } else { "rules are" }))
        }
    };
    let trace = format!("({events}, trace {})", repeated.trace.hash());
    said.push_str(&format!("{} {}\n", paint(style, &word), paint(DIM, &trace)));
    said
}

/// One finding.
pub(super) fn tell(finding: &Finding) -> String {
    let flow = match finding.flow.number() {
        0 => "the run".to_owned(),
        flow => format!("flow {flow}"),
    };
    let offset = finding.offset.map(|offset| format!(", offset {offset}")).unwrap_or_default();
    let known = rule(finding.rule);
    let (style, word) = match known.map(|rule| rule.level) {
        Some(Level::Must) | None => (BAD, "FAIL"),
        Some(_) => (WARN, "warn"),
    };
    let mut said = format!(
        "{} {}  {flow}{offset}, tick {}, event {}\n",
        paint(style, word),
        paint(HEAD, finding.rule),
        finding.tick.0,
        finding.event + 1
    );
    if let Some(rule) = known {
        said.push_str(&format!("     {}\n", text::wrapped(rule.sentence, WIDTH, 5)));
    }
    said.push_str(&format!(
        "     {} {}\n",
        paint(WARN, "found:"),
        text::wrapped(&finding.said, WIDTH, 12)
    ));
    said
}
