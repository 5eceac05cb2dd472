// SPDX-License-Identifier: BSD-3-Clause
//! A failure, as an engineer needs it: what, where, the events before it, and how to repeat it.

use std::fmt::{self, Write as _};

use serde::Serialize;

use super::EventReport;
use crate::replay::Case;
use crate::source::End;

/// Maximum number of events in the text of a failure: the last ones.
const LINES_MAX: usize = 12;

/// The first failure of a rule, or of a scenario without a violated rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Failure {
    /// Name of the adapter under test.
    pub adapter: String,
    /// Verdict of its run.
    pub verdict: &'static str,
    /// The violated rule. `None`: the scenario did not show its demand, or an adapter panicked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<&'static str>,
    /// MUST, SHOULD or MAY.
    pub level: &'static str,
    /// The rule's sentence, or what went wrong.
    pub sentence: &'static str,
    /// The scenario.
    pub scenario: &'static str,
    /// The seed of the profile.
    pub seed: u64,
    /// The flow; 0: the whole run.
    pub flow: u32,
    /// Offset in the flow.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub offset: Option<u64>,
    /// Time.
    pub tick: u64,
    /// Index of the event in the trace, from 0; the length of the trace: the end.
    pub event: usize,
    /// The actual and the expected value.
    pub said: String,
    /// The last events before it: of the flow, and of all.
    pub last_events: Vec<EventReport>,
    /// Other rules that the same run is the first to violate.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub also: Vec<Also>,
    /// The rule or scenario of an earlier failure of the same run; for people, this failure is
    /// shown there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shown_with: Option<&'static str>,
    /// The file of its replay, the shrunk one if there is one, without a directory: the writer of
    /// the file prepends it before the failure is shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replay: Option<String>,
    /// The shrunk failure.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub small: Option<Small>,
    /// The command that repeats it without a file.
    pub command: String,
}

/// Another rule that the same run violates.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Also {
    /// The rule.
    pub rule: &'static str,
    /// The actual and the expected value.
    pub said: String,
}

impl Also {
    pub(crate) fn new(rule: &'static str, said: &str) -> Self {
        Self { rule, said: said.into() }
    }
}

/// The inputs of a run, which an engineer has to understand. The simplest flow with one chunk has
/// 2.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Inputs {
    /// Flows that are opened.
    pub flows: usize,
    /// Chunks that are offered.
    pub chunks: usize,
    /// Ends other than a final chunk.
    pub ends: usize,
    /// Faults that may be injected.
    pub faults: usize,
    /// Choices that deviate from the default, of the next task or of an amount.
    pub choices: usize,
}

impl Inputs {
    pub(crate) fn of(case: &Case, recording: &[u32]) -> Self {
        Self {
            flows: case.plans.len(),
            chunks: case.plans.iter().map(|plan| plan.chunks.len()).sum(),
            ends: case.plans.iter().filter(|plan| plan.end != End::Final).count(),
            faults: if case.faults.is_none() { 0 } else { case.faults.budget as usize },
            choices: recording.iter().filter(|answer| **answer != 0).count(),
        }
    }

    /// Their sum.
    #[must_use]
    pub const fn sum(&self) -> usize {
        let Self { flows, chunks, ends, faults, choices } = *self;
        flows + chunks + ends + faults + choices
    }
}

/// For people; zeros are left out.
impl fmt::Display for Inputs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { flows, chunks, ends, faults, choices } = *self;
        let counts = [
            (flows, "flow", "flows"),
            (chunks, "chunk", "chunks"),
            (ends, "other end", "other ends"),
            (faults, "fault", "faults"),
            (choices, "choice", "choices"),
        ];
        for (at, (count, one, many)) in counts.iter().filter(|it| it.0 > 0).enumerate() {
            let between = if at == 0 { "" } else { ", " };
            write!(f, "{between}{count} {}", if *count == 1 { one } else { many })?;
        }
        Ok(())
    }
}

/// A shrunk failure.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Small {
    /// Total number of inputs of the shrunk run.
    pub size: usize,
    /// Inputs of the shrunk run.
    pub inputs: Inputs,
    /// Inputs of the original run.
    pub inputs_before: Inputs,
    /// Number of events of the original trace.
    pub events_before: usize,
    /// Number of events of the shrunk trace.
    pub events: usize,
    /// Runs that shrinking took.
    pub tries: u32,
    /// No simpler run was left to try.
    pub is_minimal: bool,
    /// Its last events.
    pub steps: Vec<EventReport>,
}

impl Small {
    /// The heading of its events.
    pub(crate) fn title(&self) -> String {
        format!("shrunk: {}; from {}", self.inputs, self.inputs_before)
    }
}

impl Failure {
    /// The commands that repeat it.
    #[must_use]
    pub fn commands(&self) -> Vec<String> {
        let replay = self.replay.as_deref();
        let replay = replay.map(|file| format!("becket lab replay {}", quoted(file)));
        replay.into_iter().chain([self.command.clone()]).collect()
    }

    /// The events to show: of the shrunk run if there is one, else the last ones.
    pub(crate) fn events(&self) -> &[EventReport] {
        self.small.as_ref().map_or(&self.last_events, |small| &small.steps)
    }

    /// The failure for people, in lines. Empty if it is shown with another one.
    #[must_use]
    pub fn text(&self) -> String {
        let Self { scenario, seed, sentence, .. } = self;
        let mut text = String::new();
        if self.shown_with.is_some() {
            return text;
        }
        let mut line = |line: String| {
            // Writing to a `String` cannot fail.
            let _taken = writeln!(text, "{line}");
        };
        line(match self.rule {
            Some(rule) => {
                format!("error: {rule} is violated in {scenario}, seed {seed}: {sentence}")
            }
            None => format!("error: {scenario} fails, seed {seed}: {sentence}"),
        });
        let flow = match self.flow {
            0 => "the run".into(),
            flow => format!("flow {flow}"),
        };
        let offset = self.offset.map(|offset| format!(", offset {offset}")).unwrap_or_default();
        let (tick, event, said) = (self.tick, self.event, &self.said);
        line(format!("cause: {flow}{offset}, tick {tick}, event {}: {said}", event + 1));
        if let Some(small) = &self.small {
            line(format!("  {}", small.title()));
        }
        let steps = self.events();
        for event in steps.iter().skip(steps.len().saturating_sub(LINES_MAX)) {
            line(format!("  {}", event.line()));
        }
        for Also { rule, said } in &self.also {
            line(format!("  also violated in this run: {rule} ({said})"));
        }
        for (at, command) in self.commands().into_iter().enumerate() {
            line(format!("{}{command}", if at == 0 { "hint: " } else { "  or: " }));
        }
        text
    }
}

/// A word of a command, quoted for a shell.
pub(crate) fn quoted(word: &str) -> String {
    let is_plain = |char: char| char.is_ascii_alphanumeric() || "-_./:=@+,".contains(char);
    match !word.is_empty() && word.chars().all(is_plain) {
        true => word.into(),
        false => format!("'{}'", word.replace('\'', r"'\''")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stalled(event: usize, tick: u64, flow: u32) -> EventReport {
        EventReport { event, tick, flow, kind: "stall", place: "source", said: "stalled".into() }
    }

    fn failure() -> Failure {
        Failure {
            adapter: "ring".into(),
            verdict: "fail",
            rule: Some("ISO-03"),
            level: "MUST",
            sentence: "While one flow is stalled, the others go on.",
            scenario: "queue_pressure",
            seed: 7,
            flow: 2,
            offset: Some(128),
            tick: 14,
            event: 51,
            said: "events of others: 0, at least 1".into(),
            last_events: vec![stalled(51, 14, 2)],
            also: Vec::new(),
            shown_with: None,
            replay: None,
            small: None,
            command: "becket check local-adapter --adapter ring --start-seed 7 --profiles 1".into(),
        }
    }

    #[test]
    fn a_failure_says_what_where_and_how_to_repeat_it() {
        let expected = "\
error: ISO-03 is violated in queue_pressure, seed 7: While one flow is stalled, the others go on.
cause: flow 2, offset 128, tick 14, event 52: events of others: 0, at least 1
     52     14 ms  flow 2   stalled
hint: becket check local-adapter --adapter ring --start-seed 7 --profiles 1
";
        assert_eq!(failure().text(), expected);
    }

    #[test]
    fn the_small_one_is_shown_if_there_is_one() {
        let inputs = Inputs { flows: 2, chunks: 3, ends: 1, faults: 0, choices: 1 };
        let small = Small {
            size: inputs.sum(),
            inputs,
            inputs_before: Inputs { flows: 4, chunks: 9, ends: 0, faults: 6, choices: 70 },
            events_before: 900,
            events: 4,
            tries: 200,
            is_minimal: true,
            steps: vec![stalled(3, 0, 1)],
        };
        let replay = Some("my reports/ISO-03-queue_pressure-7.small.replay".into());
        let also = vec![Also::new("INT-07", "bytes at the sink: 0, at least 64")];
        let failure = Failure { small: Some(small), replay, also, ..failure() };
        let text = failure.text();
        let steps = "\
  shrunk: 2 flows, 3 chunks, 1 other end, 1 choice; from 4 flows, 9 chunks, 6 faults, 70 choices
      4      0 ms  flow 1   stalled
  also violated in this run: INT-07 (bytes at the sink: 0, at least 64)
hint: ";
        assert!(text.contains(steps), "{text}");
        assert_eq!(Failure { shown_with: Some("INT-05"), ..failure }.text(), "");
        assert!(text.contains(
            "hint: becket lab replay 'my reports/ISO-03-queue_pressure-7.small.replay'\n  or: "
        ));
    }

    #[test]
    fn words_of_commands_are_words_of_a_shell() {
        assert_eq!(quoted("plugin:./a-b_c.so"), "plugin:./a-b_c.so");
        assert_eq!(quoted("exec:sh -c 'x'"), r"'exec:sh -c '\''x'\'''");
        assert_eq!(quoted(""), "''");
    }
}
