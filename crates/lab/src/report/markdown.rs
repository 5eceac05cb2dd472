// SPDX-License-Identifier: BSD-3-Clause
//! A report as Markdown, for a comment in a pull request: GitHub's dialect, as GitLab and Forgejo
//! read it too.
//!
//! Verdict, gates and failures with their first case are visible; long parts are folded. Text from
//! outside the lab is in code spans, so that none of it is markup.

use super::parts::{EventReport, ProfileReport};
use super::view::{self, Group, Sums, face};
use super::{Also, Report, words};

/// Number of failures that are shown in full. Comments have a bounded length.
const FAILURES_FULL_MAX: usize = 12;
/// Maximum number of further cases that are listed for a failure.
const CASES_MAX: usize = 20;
/// Maximum number of profiles in the folded table.
const PROFILES_MAX: usize = 100;

/// The report as Markdown. The same report gives the same bytes.
#[must_use]
pub fn markdown(report: &Report) -> String {
    let mut out = String::new();
    let face = face(report.verdict);
    let symbol = icon(report.verdict);
    line(&mut out, &format!("## {symbol} {} {}", code(&report.adapter), face.word));
    line(&mut out, "");
    summary(&mut out, report);
    for obstacle in view::obstacles(report) {
        line(&mut out, &format!("\n❌ {}", prose(&obstacle)));
    }
    gates(&mut out, report);
    failures(&mut out, report);
    expectations(&mut out, report);
    rules(&mut out, report);
    profiles(&mut out, report);
    mutants(&mut out, report);
    out
}

fn line(out: &mut String, text: &str) {
    out.push_str(text);
    out.push('\n');
}

/// Symbols with a colour of their own, because Markdown has no colours.
fn icon(verdict: &str) -> &'static str {
    match face(verdict).tone {
        view::Tone::Good => "✅",
        view::Tone::Bad => "❌",
        view::Tone::Warn => "⚠️",
        view::Tone::Head | view::Tone::Dim => "➖",
    }
}

/// A code span, fenced by more backticks than it contains. Bars are escaped, for tables.
fn code(text: &str) -> String {
    let text = words::shown(text).replace('|', "\\|");
    let fence = "`".repeat(longest_fence(&text) + 1);
    let is_edgy = text.starts_with(['`', ' ']) || text.ends_with(['`', ' ']) || text.is_empty();
    let space = if is_edgy { " " } else { "" };
    format!("{fence}{space}{text}{space}{fence}")
}

/// A code block, fenced by more backticks than it contains.
fn block(out: &mut String, kind: &str, lines: impl IntoIterator<Item = String>) {
    let lines: Vec<_> = lines.into_iter().collect();
    let longest = lines.iter().map(|line| longest_fence(line)).max().unwrap_or(0);
    let fence = "`".repeat(longest.max(2) + 1);
    line(out, &format!("{fence}{kind}"));
    for text in lines {
        line(out, &text);
    }
    line(out, &fence);
}

fn longest_fence(text: &str) -> usize {
    text.split(|c| c != '`').map(str::len).max().unwrap_or(0)
}

/// Text of the lab, escaped for a table or a paragraph: no markup, no bar, no tag.
fn prose(text: &str) -> String {
    let text = words::shown(text);
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '\\' | '`' | '*' | '[' | ']' | '|' | '~' | '#' | '!' => {
                out.push('\\');
                out.push(c);
            }
            // A word joiner, so that it is no mention of an account.
            '@' => out.push_str("@\u{2060}"),
            c => out.push(c),
        }
    }
    out
}

fn summary(out: &mut String, report: &Report) {
    let sums = Sums::of(report);
    let mut text = format!(
        "**{}** · {} · {} · {} of {} rules held",
        view::sentence(report),
        report.mode,
        view::seeds(report),
        sums.rules_held,
        report.rules.len() as u64 - sums.rules_not_applicable,
    );
    if sums.mutants_tried > 0 {
        let (killed, tried) = (sums.mutants_killed, sums.mutants_tried);
        text.push_str(&format!(" · {killed} of {tried} mutants killed"));
    }
    if let Some(timing) = report.timing {
        text.push_str(&format!(" · {}", words::elapsed(timing.elapsed_ms)));
    }
    text.push_str(&format!(" · exit code {}", report.exit_code));
    line(out, &text);
    if let Some(orders) = view::orders(report) {
        line(out, &format!("\n{}", prose(&orders)));
    }
}

fn gates(out: &mut String, report: &Report) {
    line(out, "\n| | Gate | Counted | Failed | |\n|---|---|---:|---:|---|");
    for gate in &report.gates {
        let (symbol, name) = (icon(gate.verdict), gate.name);
        let reason = match &gate.reason {
            Some(reason) => prose(reason),
            None if gate.verdict == "pass" => String::new(),
            None => face(gate.verdict).word.into(),
        };
        let counts = [gate.counted, gate.failed].map(words::count);
        line(out, &format!("| {symbol} | `{name}` | {} | {} | {reason} |", counts[0], counts[1]));
    }
}

fn failures(out: &mut String, report: &Report) {
    let failures = view::groups(report);
    if failures.is_empty() {
        return;
    }
    line(out, "\n### What went wrong");
    let (in_full, rest) = view::in_full(&failures, FAILURES_FULL_MAX);
    for failure in in_full {
        full(out, report, failure);
    }
    if !rest.is_empty() {
        let rest: Vec<_> = rest.iter().map(|failure| format!("**{}**", failure.title())).collect();
        line(out, &format!("\nAnd {}.", rest.join(", ")));
    }
}

fn full(out: &mut String, report: &Report, failure: &Group<'_>) {
    let Some(case) = failure.cases.first() else { return };
    let sums = Sums::of(report);
    let of = words::plural(sums.runs - sums.not_run, "run");
    let in_runs = words::count(failure.cases.len() as u64);
    let symbol = icon(failure.verdict);
    let kind =
        failure.rule.map(|rule| format!(" · {} · {}", rule.level.name(), rule.family.name()));
    let (title, kind) = (failure.title(), kind.unwrap_or_default());
    line(out, &format!("\n#### {symbol} {title}{kind} · in {in_runs} of {of}"));
    line(out, "");
    if let Some(rule) = failure.rule {
        line(out, &format!("> {}", prose(rule.sentence)));
        line(out, "");
    }
    line(out, &format!("**Cause:** {}  ", prose(case.said())));
    line(out, &format!("**Where:** {}  ", prose(&case.place())));
    for Also { rule, said } in failure.also() {
        line(out, &format!("**Also:** {rule} is violated in this run: {}  ", prose(said)));
    }
    if let Some(explained) = failure.explained() {
        line(out, &format!("**Seen by users:** {}  ", prose(explained.why)));
        line(out, &format!("**Look at:** {}", prose(explained.look)));
    }
    line(out, "");
    let commands = failure.commands(report);
    block(out, "sh", commands.iter().map(|command| words::shown(command).into_owned()));
    if !failure.events().is_empty() {
        fold(out, &failure.events_title());
        let broken = failure.broken_event();
        let mark = |event: &EventReport| if Some(event.event) == broken { '>' } else { ' ' };
        let lines = failure
            .events()
            .iter()
            .map(|event| format!("{}{}", mark(event), words::shown(&event.line())));
        block(out, "text", lines);
        line(out, "\n</details>");
    }
    if failure.cases.len() > 1 {
        let others = failure.cases.len() - 1;
        fold(out, &words::plural(others as u64, "more case"));
        for case in failure.cases.iter().skip(1).take(CASES_MAX) {
            line(out, &format!("- {}: {}", prose(&case.place()), prose(case.said())));
        }
        if others > CASES_MAX {
            line(out, &format!("- and {} more", others - CASES_MAX));
        }
        line(out, "\n</details>");
    }
}

fn fold(out: &mut String, summary: &str) {
    line(out, &format!("\n<details><summary>{summary}</summary>\n"));
}

/// The outcomes of known failures.
fn expectations(out: &mut String, report: &Report) {
    if report.expectations.is_empty() {
        return;
    }
    line(out, "\n### Known failures\n");
    line(out, "| | Rule | Scenario | Failed | Because |\n|---|---|---|---:|---|");
    for known in &report.expectations {
        let symbol = icon(known.verdict);
        let (rule, scenario) = (known.rule.unwrap_or("any"), known.scenario.unwrap_or("any"));
        let failed = format!("{} of {}", words::count(known.failed), words::count(known.runs));
        let reason = code(&known.reason);
        line(out, &format!("| {symbol} | {rule} | {scenario} | {failed} | {reason} |"));
    }
}

fn rules(out: &mut String, report: &Report) {
    let sums = Sums::of(report);
    let summary = format!(
        "Rules: {} held, {} violated, {} not exercised, {} not applicable",
        sums.rules_held, sums.rules_violated, sums.rules_idle, sums.rules_not_applicable
    );
    fold(out, &summary);
    line(out, "| | Rule | Exercised | Broken | Says |\n|---|---|---:|---:|---|");
    for of in &report.rules {
        let symbol = match () {
            () if of.violated > 0 => "❌",
            () if of.exercised > 0 => "✅",
            () if of.applicable > 0 => "⚠️",
            () => "➖",
        };
        let sentence = crate::rules::rule(of.rule).map_or("", |rule| rule.sentence);
        let counts = [of.exercised, of.violated].map(words::count);
        let (rule, sentence) = (of.rule, prose(sentence));
        line(out, &format!("| {symbol} | {rule} | {} | {} | {sentence} |", counts[0], counts[1]));
    }
    line(out, "\n</details>");
}

fn profiles(out: &mut String, report: &Report) {
    fold(out, &words::plural(report.profiles.len() as u64, "profile"));
    line(out, "| Seed | Link | Faults | Scheduler | Flows | Chunk | Runs |");
    line(out, "|---:|---|---|---|---:|---:|---|");
    for profile in report.profiles.iter().take(PROFILES_MAX) {
        let ProfileReport { seed, link, faults, scheduler, max_flows, .. } = profile;
        let chunk = words::bytes(profile.max_chunk_bytes);
        let runs: String = profile.runs.iter().map(|run| face(run.verdict).symbol).collect();
        line(
            out,
            &format!(
                "| {seed} | {link} | {faults} | {scheduler} | {max_flows} | {chunk} | {runs} |"
            ),
        );
    }
    if report.profiles.len() > PROFILES_MAX {
        let more = report.profiles.len() - PROFILES_MAX;
        line(out, &format!("\nAnd {}.", words::plural(more as u64, "more profile")));
    }
    if let Some(profile) = report.profiles.first() {
        let names: Vec<_> = profile.runs.iter().map(|run| format!("`{}`", run.scenario)).collect();
        line(out, &format!("\nRuns, in this order: {}.", names.join(", ")));
    }
    line(out, "\n</details>");
}

fn mutants(out: &mut String, report: &Report) {
    if report.mutants.is_empty() {
        return;
    }
    let sums = Sums::of(report);
    let (killed, tried) = (sums.mutants_killed, sums.mutants_tried);
    fold(out, &format!("Mutants: {killed} of {tried} killed"));
    line(out, "| | Mutant | Killed by |\n|---|---|---|");
    for mutant in &report.mutants {
        let symbol = match mutant.result {
            "killed" => "✅",
            "survived" => "❌",
            _ => "➖",
        };
        line(out, &format!("| {symbol} | `{}` | {} |", mutant.name, mutant.rules.join(" ")));
    }
    line(out, "\n</details>");
}
