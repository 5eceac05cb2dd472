// SPDX-License-Identifier: BSD-3-Clause
//! A report as JUnit XML, in the form that Jenkins' schema describes and other servers read.
//!
//! | JUnit | here |
//! |---|---|
//! | `testsuite` | the gates; then each profile |
//! | `testcase` | a gate; a run of a scenario |
//! | `failure` | the adapter does not conform: one element, with all findings |
//! | `error` | the lab itself failed |
//! | `skipped` | no verdict: not applicable, not exercised, unsupported, known to fail |
//!
//! There is no `timestamp`, and no `time` unless the report has a timing.

use std::time::Duration;

use quick_junit::{NonSuccessKind, Property, Report as JUnit, TestCase, TestCaseStatus, TestSuite};

use super::parts::{GateReport, ProfileReport, RunReport};
use super::view::{self, Case};
use super::words::shown;
use super::{Failure, Report, Unended};
use crate::rules::{Verdict, explanation, rule};

/// Reports as one file of JUnit XML. The same reports give the same bytes.
#[must_use]
pub fn junit(reports: &[Report]) -> String {
    let mut all = JUnit::new("becket check");
    for report in reports {
        all.add_test_suite(gates(report));
        all.add_test_suites(report.profiles.iter().map(|profile| runs(report, profile)));
    }
    if reports.iter().any(|report| report.timing.is_some()) {
        let timings = reports.iter().filter_map(|report| report.timing);
        all.set_time(Duration::from_millis(timings.map(|it| it.elapsed_ms).sum()));
    }
    // Writing to memory does not fail.
    all.to_string().unwrap_or_default()
}

fn suite<const N: usize>(name: &str, properties: [(&str, String); N]) -> TestSuite {
    let mut suite = TestSuite::new(name);
    suite.add_properties(properties.map(|(name, value)| Property::new(name, shown(&value))));
    suite
}

fn gates(report: &Report) -> TestSuite {
    let name = shown(&report.adapter);
    let mut suite = suite(
        &format!("{name}: gates"),
        [
            ("verdict", report.verdict.to_owned()),
            ("exit_code", report.exit_code.to_string()),
            ("mode", report.mode.to_owned()),
            ("start_seed", report.start_seed.to_string()),
        ],
    );
    suite.add_test_cases(report.gates.iter().map(|gate| {
        let mut case = case(gate.name, gate.verdict, &gate_said(report, gate));
        case.set_classname(format!("{name}.gates"));
        case
    }));
    suite
}

fn gate_said(report: &Report, gate: &GateReport) -> (String, String) {
    let reason = gate.reason.as_deref().unwrap_or(view::face(gate.verdict).word);
    let profiles = match report.profiles.len() {
        0 => String::new(),
        count => format!(" --profiles {count}"),
    };
    let mut text = format!(
        "{} of {} failed.\nThe command: {} --{} --start-seed {}{profiles}\n",
        gate.failed,
        gate.counted,
        shown(&report.command),
        report.mode,
        report.start_seed,
    );
    for command in report.unended.iter().flat_map(Unended::commands) {
        text.push_str(&format!("Kept: {}\n", shown(&command)));
    }
    if gate.counted == 0 {
        text.insert_str(0, "Nothing counted in this gate: ");
    }
    (reason.to_owned(), text)
}

fn runs(report: &Report, profile: &ProfileReport) -> TestSuite {
    let (name, seed) = (shown(&report.adapter), profile.seed);
    let mut suite = suite(
        &format!("{name}: seed {seed}"),
        [
            ("seed", seed.to_string()),
            ("link", profile.link.to_owned()),
            ("faults", profile.faults.to_owned()),
            ("scheduler", profile.scheduler.to_owned()),
            ("max_flows", profile.max_flows.to_string()),
            ("max_chunk_bytes", profile.max_chunk_bytes.to_string()),
            ("max_buffered_bytes", profile.max_buffered_bytes.to_string()),
            ("flow_bytes_max", profile.flow_bytes_max.to_string()),
            ("window_bytes", profile.window_bytes.to_string()),
        ],
    );
    suite.add_test_cases(profile.runs.iter().map(|run| {
        let mut case = case(run.scenario, run.verdict, &run_said(report, profile, run));
        case.set_classname(format!("{name}.seed_{seed}"));
        case
    }));
    suite
}

fn run_said(report: &Report, profile: &ProfileReport, run: &RunReport) -> (String, String) {
    let mut text = String::new();
    for finding in &run.findings {
        let case = Case { profile, run, finding: Some(finding) };
        text.push_str(&format!("{}: {}\n", finding.rule, shown(&finding.said)));
        text.push_str(&format!("  where: {}\n", case.place()));
        if let Some(rule) = rule(finding.rule) {
            text.push_str(&format!("  rule:  {} {}\n", rule.level.name(), rule.sentence));
        }
        if let Some(explained) = explanation(finding.rule) {
            text.push_str(&format!("  hint:  {}\n", explained.look));
        }
        let is_it = |it: &&Failure| {
            let (rule, place) = (Some(finding.rule), (profile.seed, run.scenario));
            it.rule == rule && (it.seed, it.scenario) == place
        };
        // A failure that is shown with another one has its events and files there: in this same
        // case.
        let mut listed = report.failures.iter().filter(|it| it.shown_with.is_none());
        if let Some(failure) = listed.find(is_it) {
            if let Some(small) = &failure.small {
                text.push_str(&format!("  {}\n", small.title()));
            }
            for event in failure.events() {
                text.push_str(&format!("  {}\n", shown(&event.line())));
            }
            for command in failure.commands().iter().take(failure.commands().len() - 1) {
                text.push_str(&format!("  file:  {}\n", shown(command)));
            }
        }
    }
    if !run.trace.is_empty() {
        text.push_str(&format!("Trace: {}\n", run.trace));
    }
    let command = report.repeat(profile.seed, run.scenario);
    text.push_str(&format!("The command: {}\n", shown(&command)));
    let message = match (run.reason, run.findings.first()) {
        (Some(reason), _) => reason.to_owned(),
        (None, Some(finding)) => format!("{}: {}", finding.rule, finding.said),
        (None, None) => view::face(run.verdict).word.to_owned(),
    };
    (message, text)
}

/// A case with its message, and its text of several lines.
fn case(name: &str, verdict: &str, (message, text): &(String, String)) -> TestCase {
    let message = shown(message);
    let lines: Vec<_> = text.lines().map(shown).collect();
    let text = lines.join("\n");
    let failed = |kind| {
        let mut status = TestCaseStatus::non_success(kind);
        status.set_type(verdict).set_message(&message).set_description(&text);
        TestCase::new(name, status)
    };
    match Verdict::of_name(verdict) {
        Some(Verdict::Pass) => TestCase::new(name, TestCaseStatus::success()),
        // Only SHOULD rules were violated: listed, but not a failure.
        Some(Verdict::NonStrict) => {
            let mut case = TestCase::new(name, TestCaseStatus::success());
            case.set_system_out(format!("{verdict}: {message}\n{text}"));
            case
        }
        Some(Verdict::Fail | Verdict::UnexpectedPass | Verdict::Nondeterministic) => {
            failed(NonSuccessKind::Failure)
        }
        Some(
            Verdict::Unsupported
            | Verdict::NotApplicable
            | Verdict::NotExercised
            | Verdict::Inconclusive
            | Verdict::KnownFail,
        ) => {
            let mut status = TestCaseStatus::skipped();
            status.set_message(format!("{verdict}: {message}"));
            TestCase::new(name, status)
        }
        Some(Verdict::LabError) | None => failed(NonSuccessKind::Error),
    }
}
