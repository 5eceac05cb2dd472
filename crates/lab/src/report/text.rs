// SPDX-License-Identifier: BSD-3-Clause
//! A report for a terminal: one line per gate, failures with their cause and where to look, and a
//! last line with verdict, counts and exit code.
//!
//! The caller provides colours: each piece of text with a [`Tone`] passes through its painter.

use super::view::{self, Face, Group, Sums, Tone, face};
use super::{Also, Report, words};
use crate::check::Mode;
use crate::rules::Verdict;

/// Paints a text in a tone.
pub type Paint<'a> = &'a dyn Fn(Tone, &str) -> String;

/// Number of failures that are shown in full; further ones, and those that are shown with another
/// one, get a line each.
const FAILURES_FULL_MAX: usize = 8;

/// Events of each failure after the first one, which has all.
const EVENTS_MAX: usize = 5;

/// The painter without colours.
#[must_use]
pub fn plain(_: Tone, text: &str) -> String {
    text.into()
}

/// The report as text. The same report and painter give the same bytes.
#[must_use]
pub fn text(report: &Report, paint: Paint<'_>) -> String {
    let mut out = String::new();
    let head = format!("{}: {}, {}", view::name(report), report.mode, view::seeds(report));
    push(&mut out, &paint(Tone::Head, &head));
    push(&mut out, "");
    for obstacle in view::obstacles(report) {
        push(&mut out, &format!("{} {obstacle}\n", paint(Tone::Bad, "✗")));
    }
    gates(&mut out, report, paint);
    let failures = view::groups(report);
    let (in_full, rest) = view::in_full(&failures, FAILURES_FULL_MAX);
    for (at, failure) in in_full.into_iter().enumerate() {
        push(&mut out, "");
        let events_max = if at == 0 { usize::MAX } else { EVENTS_MAX };
        full(&mut out, report, failure, events_max, paint);
    }
    if !rest.is_empty() {
        push(&mut out, "");
    }
    for failure in rest {
        let with = failure.shown_with().map(|with| format!(", first beside {with}"));
        let with = paint(Tone::Dim, &with.unwrap_or_default());
        push(&mut out, &format!("{}{with}", title(report, failure, paint)));
    }
    expectations(&mut out, report, paint);
    if let Some(orders) = view::orders(report) {
        push(&mut out, &paint(Tone::Dim, &format!("\n{orders}")));
    }
    if !report.not_exercised.is_empty() {
        let rules = report.not_exercised.join(" ");
        let is_why = report.verdict == Verdict::NotExercised.name();
        let label = match is_why && report.mode == Mode::Full.name() {
            true => paint(Tone::Warn, "not exercised:"),
            false => paint(Tone::Dim, "not exercised:"),
        };
        push(&mut out, &format!("\n{label} {rules}"));
    }
    push(&mut out, "");
    push(&mut out, &last(report, paint));
    out
}

fn push(out: &mut String, line: &str) {
    out.push_str(line);
    out.push('\n');
}

fn symbol(face: Face, paint: Paint<'_>) -> String {
    paint(face.tone, face.symbol)
}

fn gates(out: &mut String, report: &Report, paint: Paint<'_>) {
    let width = report.gates.iter().map(|gate| gate.name.len()).max().unwrap_or(0);
    for gate in &report.gates {
        let face = face(gate.verdict);
        let mut line = format!("  {} {:<width$}  ", symbol(face, paint), gate.name);
        let tone = if face.tone == Tone::Good { Tone::Dim } else { face.tone };
        line.push_str(&paint(tone, &view::gate_counts(gate)));
        if let Some(reason) = &gate.reason {
            line.push_str(&paint(Tone::Dim, &format!("  {}", words::shown(reason))));
        }
        push(out, &line);
    }
}

fn title(report: &Report, failure: &Group<'_>, paint: Paint<'_>) -> String {
    let face = face(failure.verdict);
    let sums = Sums::of(report);
    let (in_runs, all) = (failure.cases.len() as u64, sums.runs - sums.not_run);
    let of = match failure.rule {
        Some(rule) => format!(" {} {}", rule.level.name(), rule.family.name()),
        None => String::new(),
    };
    format!(
        "{} {}{}",
        symbol(face, paint),
        paint(face.tone, failure.title()),
        paint(
            Tone::Dim,
            &format!("{of}, in {} of {}", words::count(in_runs), words::plural(all, "run"))
        ),
    )
}

/// A failure with all details of its first case.
fn full(
    out: &mut String,
    report: &Report,
    failure: &Group<'_>,
    events_max: usize,
    paint: Paint<'_>,
) {
    push(out, &title(report, failure, paint));
    let Some(case) = failure.cases.first() else { return };
    let mut line = |tone, label: &str, text: &str| {
        push(out, &format!("  {} {text}", paint(tone, &format!("{label:<7}"))));
    };
    if let Some(rule) = failure.rule {
        line(Tone::Dim, "rule:", rule.sentence);
    }
    line(Tone::Warn, "cause:", &words::shown(case.said()));
    line(Tone::Dim, "where:", &case.place());
    let (events, broken) = (failure.events(), failure.broken_event());
    if !events.is_empty() {
        line(Tone::Dim, "events:", &failure.events_title().to_lowercase());
    }
    for event in events.iter().skip(events.len().saturating_sub(events_max)) {
        let tone = if Some(event.event) == broken { Tone::Bad } else { Tone::Dim };
        line(Tone::Dim, "", &paint(tone, &words::shown(&event.line())));
    }
    for Also { rule, said } in failure.also() {
        line(
            Tone::Warn,
            "also:",
            &format!("{rule} is violated in this run: {}", words::shown(said)),
        );
    }
    if let Some(explained) = failure.explained() {
        line(Tone::Dim, "seen:", explained.why);
        line(Tone::Good, "hint:", explained.look);
    }
    let mut label = "repeat:";
    for command in failure.commands(report) {
        line(Tone::Good, label, &words::shown(&command));
        label = "or:";
    }
}

/// The outcomes of known failures.
fn expectations(out: &mut String, report: &Report, paint: Paint<'_>) {
    if !report.expectations.is_empty() {
        push(out, "");
    }
    for known in &report.expectations {
        let face = face(known.verdict);
        let about = [known.rule, known.scenario].into_iter().flatten().collect::<Vec<_>>();
        let (failed, runs) = (words::count(known.failed), words::plural(known.runs, "run"));
        push(
            out,
            &format!(
                "{} {} {}: in {failed} of {runs}, line {}: {}",
                symbol(face, paint),
                about.join(" in "),
                paint(face.tone, face.word),
                known.line,
                words::shown(&known.reason),
            ),
        );
    }
}

fn last(report: &Report, paint: Paint<'_>) -> String {
    let face = face(report.verdict);
    let verdict = paint(face.tone, &report.verdict.to_uppercase());
    let mut line = format!("{verdict}  {}", view::sentence(report));
    let sums = Sums::of(report);
    if sums.mutants_tried > 0 {
        let (killed, tried) = (sums.mutants_killed, sums.mutants_tried);
        line.push_str(&format!(", {killed} of {tried} mutants killed"));
    }
    if let Some(timing) = report.timing {
        line.push_str(&format!(", in {}", words::elapsed(timing.elapsed_ms)));
    }
    line.push_str(&format!(" (exit code {})", report.exit_code));
    line
}
