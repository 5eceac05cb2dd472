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

use super::parts::{GateReport, ProfileReport, RunReport};
use super::view::{self, Case};
use super::words::{escaped, shown};
use super::{Failure, Report, Unended};
use crate::rules::{Verdict, explanation, rule};

/// How a server treats a case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Passed,
    Failed,
    Error,
    Skipped,
}

fn kind(verdict: &str) -> Kind {
    match Verdict::of_name(verdict) {
        Some(Verdict::Pass | Verdict::NonStrict) => Kind::Passed,
        Some(Verdict::Fail | Verdict::UnexpectedPass | Verdict::Nondeterministic) => Kind::Failed,
        Some(
            Verdict::Unsupported
            | Verdict::NotApplicable
            | Verdict::NotExercised
            | Verdict::Inconclusive
            | Verdict::KnownFail,
        ) => Kind::Skipped,
        Some(Verdict::LabError) | None => Kind::Error,
    }
}

#[derive(Debug, Clone, Copy, Default)]
struct Counts {
    tests: u64,
    failures: u64,
    errors: u64,
    skipped: u64,
}

impl Counts {
    fn of<'a>(verdicts: impl Iterator<Item = &'a str>) -> Self {
        verdicts.fold(Self::default(), |mut counts, verdict| {
            counts.tests += 1;
            match kind(verdict) {
                Kind::Passed => {}
                Kind::Failed => counts.failures += 1,
                Kind::Error => counts.errors += 1,
                Kind::Skipped => counts.skipped += 1,
            }
            counts
        })
    }

    fn attributes(self, has_skipped: bool) -> String {
        let Self { tests, failures, errors, skipped } = self;
        let mut text = format!(r#"tests="{tests}" failures="{failures}" errors="{errors}""#);
        if has_skipped {
            text.push_str(&format!(r#" skipped="{skipped}""#));
        }
        text
    }
}

/// The report as JUnit XML. The same report gives the same bytes.
#[must_use]
pub fn junit(report: &Report) -> String {
    junit_all(std::slice::from_ref(report))
}

/// Several reports as one file of JUnit XML.
#[must_use]
pub fn junit_all(reports: &[Report]) -> String {
    let verdicts = reports.iter().flat_map(|report| {
        let gates = report.gates.iter().map(|gate| gate.verdict);
        gates.chain(view::runs(report).map(|(_, run)| run.verdict))
    });
    let counts = Counts::of(verdicts).attributes(false);
    let ms: u64 = reports.iter().filter_map(|report| report.timing).map(|it| it.elapsed_ms).sum();
    let time = match reports.iter().any(|report| report.timing.is_some()) {
        true => format!(r#" time="{}.{:03}""#, ms / 1000, ms % 1000),
        false => String::new(),
    };
    let mut out = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    out.push_str(&format!("<testsuites name=\"becket check\" {counts}{time}>\n"));
    for report in reports {
        let name = escaped(&report.adapter);
        of_gates(&mut out, report, &name);
        for profile in &report.profiles {
            of_profile(&mut out, report, profile, &name);
        }
    }
    out.push_str("</testsuites>\n");
    out
}

fn of_gates(out: &mut String, report: &Report, name: &str) {
    let counts = Counts::of(report.gates.iter().map(|gate| gate.verdict)).attributes(true);
    out.push_str(&format!("  <testsuite name=\"{name}: gates\" {counts}>\n"));
    let properties = [
        ("verdict", report.verdict.to_owned()),
        ("exit_code", report.exit_code.to_string()),
        ("mode", report.mode.to_owned()),
        ("start_seed", report.start_seed.to_string()),
    ];
    out.push_str("    <properties>\n");
    for (name, value) in properties {
        let value = escaped(&value);
        out.push_str(&format!("      <property name=\"{name}\" value=\"{value}\"/>\n"));
    }
    out.push_str("    </properties>\n");
    for gate in &report.gates {
        let (message, text) = gate_said(report, gate);
        let class = format!("{name}.gates");
        case(out, &Test { class: &class, name: gate.name, verdict: gate.verdict, message, text });
    }
    out.push_str("  </testsuite>\n");
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

fn of_profile(out: &mut String, report: &Report, profile: &ProfileReport, name: &str) {
    let counts = Counts::of(profile.runs.iter().map(|run| run.verdict)).attributes(true);
    let seed = profile.seed;
    out.push_str(&format!("  <testsuite name=\"{name}: seed {seed}\" {counts}>\n"));
    let properties = [
        ("seed", seed.to_string()),
        ("link", profile.link.to_owned()),
        ("faults", profile.faults.to_owned()),
        ("scheduler", profile.scheduler.to_owned()),
        ("max_flows", profile.max_flows.to_string()),
        ("max_chunk_bytes", profile.max_chunk_bytes.to_string()),
        ("max_buffered_bytes", profile.max_buffered_bytes.to_string()),
        ("flow_bytes_max", profile.flow_bytes_max.to_string()),
        ("window_bytes", profile.window_bytes.to_string()),
    ];
    out.push_str("    <properties>\n");
    for (name, value) in properties {
        out.push_str(&format!("      <property name=\"{name}\" value=\"{value}\"/>\n"));
    }
    out.push_str("    </properties>\n");
    for run in &profile.runs {
        let (message, text) = run_said(report, profile, run);
        let class = format!("{name}.seed_{seed}");
        case(out, &Test { class: &class, name: run.scenario, verdict: run.verdict, message, text });
    }
    out.push_str("  </testsuite>\n");
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

struct Test<'a> {
    /// Already escaped.
    class: &'a str,
    name: &'a str,
    verdict: &'a str,
    message: String,
    /// Lines, each of which is escaped separately.
    text: String,
}

fn case(out: &mut String, test: &Test<'_>) {
    let (class, name) = (test.class, test.name);
    let head = format!("    <testcase classname=\"{class}\" name=\"{name}\"");
    let (message, verdict) = (escaped(&test.message), test.verdict);
    let element = match kind(verdict) {
        Kind::Passed if verdict == Verdict::Pass.name() => {
            out.push_str(&format!("{head}/>\n"));
            return;
        }
        // Only SHOULD rules were violated: listed, but not a failure.
        Kind::Passed => {
            let text = lines(&test.text);
            out.push_str(&format!(
                "{head}>\n      <system-out>{verdict}: {message}\n{text}</system-out>\n    </testcase>\n"
            ));
            return;
        }
        Kind::Skipped => {
            let said = format!("{verdict}: {message}");
            out.push_str(&format!(
                "{head}>\n      <skipped message=\"{said}\"/>\n    </testcase>\n"
            ));
            return;
        }
        Kind::Failed => "failure",
        Kind::Error => "error",
    };
    let text = lines(&test.text);
    out.push_str(&format!(
        "{head}>\n      <{element} type=\"{verdict}\" message=\"{message}\">{text}</{element}>\n    </testcase>\n"
    ));
}

fn lines(text: &str) -> String {
    let lines: Vec<_> = text.lines().map(escaped).collect();
    lines.join("\n")
}
