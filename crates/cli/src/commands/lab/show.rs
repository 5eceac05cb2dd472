// SPDX-License-Identifier: BSD-3-Clause
//! A run's events, for people and for programs.

use becket_lab::check::Repeated;
use becket_lab::replay::{Replay, step};
use becket_lab::rules::{Exit as LabExit, Finding};
use becket_lab::trace::{FaultKind, Trace};
use serde::Serialize;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::ui::Ui;

/// The first line for programs.
#[derive(Debug, Serialize)]
struct Head<'a> {
    adapter: &'a str,
    scenario: &'a str,
    seed: u64,
    flows: usize,
    target: &'static str,
    link: &'static str,
    faults: Vec<&'static str>,
    max_chunk_bytes: u64,
    window_bytes: u64,
    flow_buffered_bytes_max: u64,
}

/// A line for each event.
#[derive(Debug, Serialize)]
struct Line<'a> {
    event: usize,
    tick: u64,
    flow: u32,
    said: &'a str,
}

/// The last line.
#[derive(Debug, Serialize)]
struct Tail<'a> {
    trace: String,
    events: usize,
    findings: Vec<Found<'a>>,
    exit_code: u8,
}

/// A finding, for programs.
#[derive(Debug, Serialize)]
struct Found<'a> {
    rule: &'static str,
    flow: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    offset: Option<u64>,
    tick: u64,
    event: usize,
    said: &'a str,
}

impl<'a> Found<'a> {
    fn of(finding: &'a Finding) -> Self {
        Self {
            rule: finding.rule,
            flow: finding.flow.number(),
            offset: finding.offset,
            tick: finding.tick.0,
            event: finding.event + 1,
            said: &finding.said,
        }
    }
}

/// Fails if the run does not have the flow that is to be shown alone.
pub(super) fn has(replay: &Replay, only: Option<u32>) -> Result<(), Failure> {
    let flows = || replay.case.plans.iter().map(|plan| plan.flow.number());
    let Some(missing) = only.filter(|only| flows().all(|flow| flow != *only)) else {
        return Ok(());
    };
    let known: Vec<_> = flows().map(|flow| flow.to_string()).collect();
    Err(Failure::new(Exit::Lab(LabExit::Usage), format!("the run has no flow {missing}"))
        .cause(format!("it has {}", known.join(", ")))
        .hint("without --only-flow all are shown"))
}

/// The events, a line each.
pub(super) fn events(trace: &Trace, only: Option<u32>) -> String {
    let mut said = String::new();
    for (at, event) in trace.events().iter().enumerate() {
        if only.is_none_or(|only| event.flow.number() == only) {
            said.push_str(&step(at + 1, event));
            said.push('\n');
        }
    }
    said
}

/// The run as lines of JSON.
pub(super) fn lines(
    replay: &Replay,
    repeated: &Repeated,
    only: Option<u32>,
    exit: LabExit,
    ui: &Ui,
) -> Result<(), Failure> {
    let case = &replay.case;
    ui.data(&Head {
        adapter: &replay.adapter,
        scenario: &replay.scenario,
        seed: case.config.deterministic_seed,
        flows: case.plans.len(),
        target: case.behaviour.name(),
        link: case.link.name(),
        faults: case.faults.kinds.iter().map(FaultKind::name).collect(),
        max_chunk_bytes: case.config.max_chunk_bytes,
        window_bytes: case.window_bytes,
        flow_buffered_bytes_max: replay.limits.flow_buffered_bytes_max,
    })?;
    for (at, event) in repeated.trace.events().iter().enumerate() {
        let flow = event.flow.number();
        if only.is_some_and(|only| flow != only) {
            continue;
        }
        let line = step(at + 1, event);
        // Number and tick have their own fields.
        let said = line.split_once(" ms  ").map_or(line.as_str(), |(_, said)| said);
        ui.data(&Line { event: at + 1, tick: event.tick.0, flow, said })?;
    }
    ui.data(&Tail {
        trace: repeated.trace.hash().to_string(),
        events: repeated.trace.events().len(),
        findings: repeated.findings.iter().map(Found::of).collect(),
        exit_code: exit.code(),
    })
}
