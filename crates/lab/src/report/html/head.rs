// SPDX-License-Identifier: BSD-3-Clause
//! The top of the page: the verdict, figures, and the gates.

use maud::{Markup, PreEscaped, html};

use super::{Part, class, mark, region, symbol, table, words_of};
use crate::check::Mode;
use crate::report::Report;
use crate::report::view::{self, Sums, Tone, face};
use crate::report::words::{count, elapsed, plural, share, shown};
use crate::rules::Verdict;

const BREAK: PreEscaped<&str> = PreEscaped("<br/>");

/// The verdict of a report, as a banner.
pub(super) fn verdict(part: &Part<'_>) -> Markup {
    let report = part.report;
    let face = face(report.verdict);
    let title = html! { (shown(&report.adapter)) " " b { (face.word) } };
    html! {
        section.card.verdict.(class(face.tone)) {
            div.seal aria-hidden="true" { (face.symbol) }
            @if part.is_alone { h1 { (title) } } @else { h2.name { (title) } }
            p {
                b { (view::sentence(report)) } " · " (report.mode) " · " (view::seeds(report))
                @if let Some(timing) = report.timing { " · in " (elapsed(timing.elapsed_ms)) }
                " · verdict " b { (report.verdict) } " · exit code " b { (report.exit_code) }
                (idle(report))
                @if let Some(orders) = view::orders(report) { (BREAK) (shown(&orders)) }
                @for line in view::obstacles(report) { (BREAK) b { (shown(&line)) } }
            }
        }
    }
}

/// The rules that had no occasion, if the check is inconclusive for that reason.
fn idle(report: &Report) -> Markup {
    let is_why = report.verdict == Verdict::NotExercised.name() && report.mode == Mode::Full.name();
    html! {
        @if is_why && !report.not_exercised.is_empty() {
            (BREAK) "No occasion for "
            @for (at, id) in report.not_exercised.iter().enumerate() {
                @if at > 0 { ", " }
                a href={ "#rule-" (id) } { (id) }
            }
        }
    }
}

/// What both adapters claim, folded.
pub(super) fn agreements(part: &Part<'_>) -> Markup {
    let names = |names: &[&str]| {
        html! {
            @if names.is_empty() { "–" }
            @for name in names { code { (name) } " " }
        }
    };
    let rows = html! {
        @for agreement in &part.report.agreements {
            tr {
                th scope="row" { (agreement.place) }
                td { (names(&agreement.claims)) }
                td { (names(&agreement.claims_not)) }
                td {
                    @match agreement.hash.get(..16) {
                        Some(short) => code title=(agreement.hash) { (short) "…" },
                        None => "none",
                    }
                }
            }
        }
    };
    let table = table(&["Adapter", "Claims", "Does not claim", "Hash"], &rows);
    html! {
        @if !part.report.agreements.is_empty() {
            details {
                summary {
                    h2 {
                        "What was agreed on "
                        small { "what the adapters claim, and what they do not" }
                    }
                }
                (region("card wide", "What was agreed on", &table))
            }
        }
    }
}

/// A figure: its name, value, total, parts of the whole as a bar, and a description.
fn figure(what: &str, value: &str, of: &str, parts: &[(u64, Tone)], more: &str) -> Markup {
    html! {
        div {
            dt { (what) }
            dd { (value) " " small { (of) } }
            dd.more {
                div.share aria-hidden="true" {
                    @for (part, tone) in parts.iter().filter(|(part, _)| *part > 0) {
                        i.(class(*tone)) style={ "flex:" (part) } {}
                    }
                }
                (more)
            }
        }
    }
}

pub(super) fn figures(part: &Part<'_>) -> Markup {
    let sums = Sums::of(part.report);
    let runs = [
        (sums.passed, Tone::Good),
        (sums.failed, Tone::Bad),
        (sums.other, Tone::Warn),
        (sums.not_run, Tone::Dim),
    ];
    let mut failed = format!("{} failed", count(sums.failed));
    for (part, word) in [(sums.other, "undecided"), (sums.not_run, "not applicable")] {
        if part > 0 {
            failed.push_str(&format!(", {} {word}", count(part)));
        }
    }
    let of_runs = format!("of {} passed", plural(sums.runs - sums.not_run, "run"));
    let rules = [
        (sums.rules_held, Tone::Good),
        (sums.rules_violated, Tone::Bad),
        (sums.rules_idle, Tone::Warn),
        (sums.rules_not_applicable, Tone::Dim),
    ];
    let all = part.report.rules.len() as u64 - sums.rules_not_applicable;
    let of_rules = format!("of {} held", plural(all, "rule"));
    let violated = format!("{} violated, {} not exercised", sums.rules_violated, sums.rules_idle);
    let (tried, killed) = (sums.mutants_tried, sums.mutants_killed);
    let mutants = [(killed, Tone::Good), (tried - killed, Tone::Bad)];
    let of_mutants = format!("of {} killed", plural(tried, "mutant"));
    let seen = &part.report.adversary;
    let same = seen.runs.saturating_sub(seen.distinct);
    let kinds = [(seen.distinct, Tone::Good), (same, Tone::Dim)];
    let of_kinds = format!("kinds of {}", plural(seen.runs, "run"));
    let ratios = format!(
        "commonest {}, diversity {}, success {}",
        share(seen.dominant_per_mille),
        share(seen.diversity_per_mille),
        share(seen.success_per_mille)
    );
    let why = "faulty adapters that this very lab has to find";
    html! {
        dl.figures {
            (figure("Runs", &count(sums.passed), &of_runs, &runs, &failed))
            (figure("Rules", &sums.rules_held.to_string(), &of_rules, &rules, &violated))
            (figure("The lab itself", &killed.to_string(), &of_mutants, &mutants, why))
            (figure("Diversity", &count(seen.distinct), &of_kinds, &kinds, &ratios))
        }
    }
}

pub(super) fn gates(part: &Part<'_>) -> Markup {
    html! {
        h2 id={ (part.id) "-gates" } { "Gates" }
        ul.gates {
            @for gate in &part.report.gates {
                li.(class(face(gate.verdict).tone)) title=(gate.name) {
                    (mark(gate.verdict))
                    div {
                        b { (words_of(gate.name)) }
                        span.note {
                            (view::gate_counts(gate))
                            @if let Some(reason) = &gate.reason { " · " (shown(reason)) }
                        }
                    }
                }
            }
        }
    }
}

/// All reports of a page, one line each.
pub(super) fn overview(reports: &[Report]) -> Markup {
    let is_bad = |report: &&Report| face(report.verdict).tone == Tone::Bad;
    let failed = match reports.iter().filter(is_bad).count() {
        0 => "None".to_owned(),
        failed => failed.to_string(),
    };
    let all = plural(reports.len() as u64, "adapter");
    let row = |at: usize, report: &Report| {
        let sums = Sums::of(report);
        html! {
            tr {
                td { (mark(report.verdict)) }
                th scope="row" { a href={ "#r" (at) } { (shown(&report.adapter)) } }
                td.verdicts {
                    @for gate in &report.gates { (symbol(&words_of(gate.name), gate.verdict)) }
                }
                td.n { (count(sums.runs - sums.not_run)) }
                td.n { (count(sums.failed)) }
                td.n { (sums.rules_violated) }
                td { (report.mode) ", " (view::seeds(report)) }
                td.n { (report.exit_code) }
            }
        }
    };
    let rows = html! { @for (at, report) in reports.iter().enumerate() { (row(at, report)) } };
    let heads = [
        "",
        "Adapter",
        "Gates",
        "#Runs",
        "#Failed",
        "#Rules violated",
        "Mode, seeds",
        "#Exit code",
    ];
    html! {
        h1.all { (failed) " of " (all) " failed" }
        (region("card wide", "All reports", &table(&heads, &rows)))
    }
}
