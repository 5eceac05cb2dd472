// SPDX-License-Identifier: BSD-3-Clause
//! The top of the page: the verdict, figures, and the gates.

use super::{Part, class, mark, words_of};
use crate::check::Mode;
use crate::report::Report;
use crate::report::view::{self, Sums, Tone, face};
use crate::report::words::{count, elapsed, escaped, plural, share};
use crate::rules::Verdict;

/// The verdict of a report, as a banner.
pub(super) fn verdict(out: &mut String, part: &Part<'_>) {
    let report = part.report;
    let face = face(report.verdict);
    let (class, symbol) = (class(face.tone), face.symbol);
    let (name, word) = (escaped(&report.adapter), face.word);
    let level = if part.is_alone { "h1" } else { "h2" };
    let shown = if part.is_alone { "" } else { " class=\"name\"" };
    let took = report.timing.map(|timing| format!(" · in {}", elapsed(timing.elapsed_ms)));
    out.push_str(&format!(
        "<section class=\"card verdict {class}\">\n\
         <div class=\"seal\" aria-hidden=\"true\">{symbol}</div>\n\
         <{level}{shown}>{name} <b>{word}</b></{level}>\n\
         <p><b>{sentence}</b> · {mode} · {seeds}{took} · verdict <b>{verdict}</b> · exit code \
         <b>{code}</b>{idle}</p>\n</section>\n",
        sentence = view::sentence(report),
        mode = report.mode,
        seeds = view::seeds(report),
        took = took.unwrap_or_default(),
        verdict = report.verdict,
        code = report.exit_code,
        idle = idle(report) + &orders(report) + &obstacles(report),
    ));
}

/// What was never tried, if a check is inconclusive for that.
fn idle(report: &Report) -> String {
    let is_why = report.verdict == Verdict::NotExercised.name() && report.mode == Mode::Full.name();
    if !is_why || report.not_exercised.is_empty() {
        return String::new();
    }
    let rules = report.not_exercised.iter();
    let rules: Vec<_> = rules.map(|id| format!("<a href=\"#rule-{id}\">{id}</a>")).collect();
    format!("<br/>No occasion for {}", rules.join(", "))
}

/// The runs that were made in every order.
fn orders(report: &Report) -> String {
    view::orders(report).map(|said| format!("<br/>{}", escaped(&said))).unwrap_or_default()
}

/// Why there are no runs.
fn obstacles(report: &Report) -> String {
    let lines = view::obstacles(report);
    lines.map(|line| format!("<br/><b>{}</b>", escaped(&line))).collect()
}

/// What both adapters claim, folded.
pub(super) fn agreements(out: &mut String, part: &Part<'_>) {
    if part.report.agreements.is_empty() {
        return;
    }
    out.push_str(
        "<details><summary><h2>EventKind was agreed on <small>what the adapters claim, and what they do \
         not</small></h2></summary>\n<div class=\"card wide\" tabindex=\"0\" role=\"region\" \
         aria-label=\"EventKind was agreed on\">\n<table class=\"list\"><thead><tr><th>Adapter</th>\
         <th>Claims</th><th>Does not claim</th><th>Hash</th></tr></thead><tbody>\n",
    );
    for agreement in &part.report.agreements {
        let names = |names: &[&str]| match names {
            [] => "–".to_owned(),
            names => names.iter().map(|name| format!("<code>{name}</code> ")).collect(),
        };
        let hash = match agreement.hash.get(..16) {
            Some(short) => format!("<code title=\"{}\">{short}…</code>", agreement.hash),
            None => "none".into(),
        };
        out.push_str(&format!(
            "<tr><th scope=\"row\">{}</th><td>{}</td><td>{}</td><td>{hash}</td></tr>\n",
            agreement.place,
            names(&agreement.claims),
            names(&agreement.claims_not),
        ));
    }
    out.push_str("</tbody></table>\n</div>\n</details>\n");
}

/// Parts of a whole, as a bar.
fn bar(parts: &[(u64, Tone)]) -> String {
    let mut out = String::from("<div class=\"share\" aria-hidden=\"true\">");
    for (part, tone) in parts.iter().filter(|(part, _)| *part > 0) {
        out.push_str(&format!("<i class=\"{}\" style=\"flex:{part}\"></i>", class(*tone)));
    }
    out.push_str("</div>");
    out
}

/// A figure: its name, value, total, a bar, and a description.
fn figure(out: &mut String, what: &str, value: &str, of: &str, bar: &str, more: &str) {
    out.push_str(&format!(
        "<div><dt>{what}</dt><dd>{value} <small>{of}</small></dd><dd class=\"more\">{bar}{more}</dd></div>\n"
    ));
}

pub(super) fn figures(out: &mut String, part: &Part<'_>) {
    let sums = Sums::of(part.report);
    out.push_str("<dl class=\"figures\">\n");
    let run = sums.runs - sums.not_run;
    let runs = [
        (sums.passed, Tone::Good),
        (sums.failed, Tone::Bad),
        (sums.other, Tone::Warn),
        (sums.not_run, Tone::Dim),
    ];
    let mut more = format!("{} failed", count(sums.failed));
    for (part, word) in [(sums.other, "undecided"), (sums.not_run, "not applicable")] {
        if part > 0 {
            more.push_str(&format!(", {} {word}", count(part)));
        }
    }
    let of = format!("of {} passed", plural(run, "run"));
    figure(out, "Runs", &count(sums.passed), &of, &bar(&runs), &more);

    let rules = [
        (sums.rules_held, Tone::Good),
        (sums.rules_violated, Tone::Bad),
        (sums.rules_idle, Tone::Warn),
        (sums.rules_not_applicable, Tone::Dim),
    ];
    let all = part.report.rules.len() as u64 - sums.rules_not_applicable;
    let more = format!("{} violated, {} not exercised", sums.rules_violated, sums.rules_idle);
    let of = format!("of {} held", plural(all, "rule"));
    figure(out, "Rules", &sums.rules_held.to_string(), &of, &bar(&rules), &more);

    let survived = sums.mutants_tried - sums.mutants_killed;
    let mutants = [(sums.mutants_killed, Tone::Good), (survived, Tone::Bad)];
    let of = format!("of {} killed", plural(sums.mutants_tried, "mutant"));
    let more = "faulty adapters that this very lab has to find";
    figure(out, "The lab itself", &sums.mutants_killed.to_string(), &of, &bar(&mutants), more);

    let seen = &part.report.adversary;
    let (distinct, same) = (seen.distinct, seen.runs.saturating_sub(seen.distinct));
    let parts = [(distinct, Tone::Good), (same, Tone::Dim)];
    let of = format!("kinds of {}", plural(seen.runs, "run"));
    let more = format!(
        "commonest {}, diversity {}, success {}",
        share(seen.dominant_per_mille),
        share(seen.diversity_per_mille),
        share(seen.success_per_mille)
    );
    figure(out, "Diversity", &count(distinct), &of, &bar(&parts), &more);
    out.push_str("</dl>\n");
}

pub(super) fn gates(out: &mut String, part: &Part<'_>) {
    let Part { report, id, .. } = part;
    out.push_str(&format!("<h2 id=\"{id}-gates\">Gates</h2>\n<ul class=\"gates\">\n"));
    for gate in &report.gates {
        let face = face(gate.verdict);
        let counts = view::gate_counts(gate);
        let reason = gate.reason.as_deref().map(|reason| format!(" · {}", escaped(reason)));
        out.push_str(&format!(
            "<li class=\"{}\" title=\"{}\">{}<div><b>{}</b><span class=\"note\">{counts}{}</span></div></li>\n",
            class(face.tone),
            gate.name,
            mark(gate.verdict),
            words_of(gate.name),
            reason.unwrap_or_default(),
        ));
    }
    out.push_str("</ul>\n");
}

/// All reports of a page, one line each.
pub(super) fn overview(out: &mut String, reports: &[Report]) {
    let is_bad = |report: &&Report| face(report.verdict).tone == Tone::Bad;
    let failed = match reports.iter().filter(is_bad).count() {
        0 => "None".to_owned(),
        failed => failed.to_string(),
    };
    let all = plural(reports.len() as u64, "adapter");
    out.push_str(&format!(
        "<h1 class=\"all\">{failed} of {all} failed</h1>\n<div class=\"card wide\" tabindex=\"0\" \
         role=\"region\" aria-label=\"All reports\">\n<table class=\"list\">\n<thead><tr><th></th>\
         <th>Adapter</th><th>Gates</th><th class=\"n\">Runs</th><th class=\"n\">Failed</th>\
         <th class=\"n\">Rules violated</th><th>Mode, seeds</th><th class=\"n\">Exit code</th></tr>\
         </thead>\n<tbody>\n"
    ));
    for (at, report) in reports.iter().enumerate() {
        let sums = Sums::of(report);
        let gates: String = report
            .gates
            .iter()
            .map(|gate| {
                let face = face(gate.verdict);
                let (class, symbol) = (class(face.tone), face.symbol);
                let title = format!("{}: {}", words_of(gate.name), gate.verdict);
                format!("<i class=\"{class}\" title=\"{title}\">{symbol}</i>")
            })
            .collect();
        out.push_str(&format!(
            "<tr><td>{}</td><th scope=\"row\"><a href=\"#r{at}\">{}</a></th><td class=\"verdicts\">{gates}</td>\
             <td class=\"n\">{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td><td>{}, {}</td>\
             <td class=\"n\">{}</td></tr>\n",
            mark(report.verdict),
            escaped(&report.adapter),
            count(sums.runs - sums.not_run),
            count(sums.failed),
            sums.rules_violated,
            report.mode,
            view::seeds(report),
            report.exit_code,
        ));
    }
    out.push_str("</tbody>\n</table>\n</div>\n");
}
