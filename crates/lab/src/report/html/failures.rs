// SPDX-License-Identifier: BSD-3-Clause
//! Failures: a card for each violated rule, with its first case.

use super::{Part, class, command, mark, timeline};
use crate::report::view::{self, Case, Group, Sums, Tone, face};
use crate::report::words::{count, escaped, plural};
use crate::report::{Also, EventReport};

/// Number of cases of a failure that are listed.
const CASES_MAX: usize = 100;

pub(super) fn failures(out: &mut String, part: &Part<'_>) {
    let failures = view::groups(part.report);
    if failures.is_empty() {
        return;
    }
    let id = &part.id;
    let noun = plural(failures.len() as u64, "finding");
    out.push_str(&format!(
        "<h2 id=\"{id}-failures\">EventKind went wrong <small>{noun}, the gravest first, and of those the \
         earliest</small></h2>\n"
    ));
    for (at, failure) in failures.iter().enumerate() {
        card(out, part, failure, at == 0);
    }
}

fn card(out: &mut String, part: &Part<'_>, failure: &Group<'_>, is_first: bool) {
    let Some(case) = failure.cases.first() else { return };
    let face = face(failure.verdict);
    let sums = Sums::of(part.report);
    out.push_str(&format!("<article class=\"card failure {}\">\n<header>", class(face.tone)));
    let symbol = face.symbol;
    out.push_str(&format!(
        "<span class=\"mark\" aria-hidden=\"true\">{symbol}</span><h3>{}</h3>",
        escaped(failure.title())
    ));
    if let Some(rule) = failure.rule {
        let (level, family) = (rule.level.name(), rule.family.name());
        out.push_str(&format!(
            "<span class=\"tag strong\">{level}</span><span class=\"tag\">{family}</span>"
        ));
    }
    out.push_str(&format!("<span class=\"tag strong\">{}</span>", failure.verdict));
    let (in_runs, all) = (failure.cases.len() as u64, sums.runs - sums.not_run);
    let of = plural(all, "run");
    out.push_str(&format!("<span class=\"tag\">in {} of {of}</span></header>\n", count(in_runs)));
    if let Some(rule) = failure.rule {
        out.push_str(&format!("<blockquote>{}</blockquote>\n", escaped(rule.sentence)));
    }
    let soft = if face.tone == Tone::Bad { "" } else { " soft" };
    out.push_str(&format!(
        "<dl class=\"facts\"><dt>Cause</dt><dd class=\"cause{soft}\">{}</dd>",
        escaped(case.said())
    ));
    out.push_str(&format!("<dt>Where</dt><dd class=\"place\">{}</dd>", place(case)));
    for Also { rule, said } in failure.also() {
        let said = escaped(said);
        out.push_str(&format!("<dt>Also</dt><dd>{rule} is violated in this run: {said}</dd>"));
    }
    if let Some(explained) = failure.explained() {
        let (why, look) = (escaped(explained.why), escaped(explained.look));
        out.push_str(&format!("<dt>Users see</dt><dd>{why}</dd><dt>Look at</dt><dd>{look}</dd>"));
    }
    out.push_str("</dl>\n");
    match failure.shown_with() {
        Some(with) => out.push_str(&format!(
            "<p class=\"note\">This run violates {} first: its events and commands are shown there.</p>\n",
            escaped(with)
        )),
        None => {
            for text in failure.commands(part.report) {
                command(out, &text);
            }
            if !failure.events().is_empty() {
                evidence(out, failure, is_first);
            }
        }
    }
    others(out, failure);
    out.push_str("</article>\n");
}

/// The position of a case, number by number.
fn place(case: &Case<'_>) -> String {
    let mut parts = vec![("scenario", case.run.scenario.to_owned())];
    parts.push(("seed", case.profile.seed.to_string()));
    if let Some(finding) = case.finding {
        match finding.flow {
            0 => parts.push(("flow", "none: the run as a whole".into())),
            flow => parts.push(("flow", flow.to_string())),
        }
        parts.extend(finding.offset.map(|offset| ("offset", count(offset))));
        parts.push(("tick", format!("{} ms", count(finding.tick))));
        parts.push(("event", count(finding.event as u64 + 1)));
    }
    parts.iter().map(|(name, value)| format!("<span>{name} <b>{value}</b></span> ")).collect()
}

/// The events, as a drawing and in words.
fn evidence(out: &mut String, failure: &Group<'_>, is_first: bool) {
    let title = failure.events_title();
    out.push_str("<div class=\"evidence\">\n<div>\n");
    timeline::timeline(out, failure.events(), failure.broken_event(), &title);
    let open = if is_first { " open=\"open\"" } else { "" };
    out.push_str(&format!("</div>\n<details{open}><summary>{title}</summary>\n"));
    events(out, failure);
    out.push_str("</details>\n</div>\n");
}

fn events(out: &mut String, failure: &Group<'_>) {
    out.push_str(
        "<div class=\"wide\" tabindex=\"0\" role=\"region\" aria-label=\"Last events\">\
         <table class=\"events\"><thead class=\"hidden\"><tr><th>Event</th><th>Tick</th><th>Flow</th>\
         <th>EventKind happened</th></tr></thead><tbody>\n",
    );
    let mut before: Option<&EventReport> = None;
    for event in failure.events() {
        let is_gap = before.is_some_and(|before| before.event + 1 < event.event);
        if is_gap {
            out.push_str("<tr><td class=\"n\">⋮</td><td></td><td></td><td></td></tr>\n");
        }
        let is_it = failure.broken_event() == Some(event.event);
        let class = if is_it { " class=\"it\"" } else { "" };
        let flow = match event.flow {
            0 => "the run".into(),
            flow => format!("flow {flow}"),
        };
        out.push_str(&format!(
            "<tr{class}><td class=\"n\">{}</td><td class=\"n\">{} ms</td><td>{flow}</td><td>{}</td></tr>\n",
            count(event.event as u64 + 1),
            count(event.tick),
            escaped(&event.said),
        ));
        before = Some(event);
    }
    out.push_str("</tbody></table></div>\n");
}

/// The other cases, folded.
fn others(out: &mut String, failure: &Group<'_>) {
    let others = failure.cases.len().saturating_sub(1);
    if others == 0 {
        return;
    }
    let summary = plural(others as u64, "more case");
    out.push_str(&format!(
        "<details><summary>{summary}</summary>\n<div class=\"wide\"><table class=\"list\"><thead><tr>\
         <th>Scenario</th><th class=\"n\">Seed</th><th class=\"n\">Flow</th><th class=\"n\">Tick</th>\
         <th class=\"n\">Event</th><th>Cause</th></tr></thead><tbody>\n"
    ));
    for case in failure.cases.iter().skip(1).take(CASES_MAX) {
        let finding = case.finding;
        let number = |value: Option<u64>| value.map_or_else(|| "–".into(), count);
        out.push_str(&format!(
            "<tr><td>{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td>\
             <td class=\"n\">{}</td><td>{}</td></tr>\n",
            case.run.scenario,
            case.profile.seed,
            number(finding.map(|finding| finding.flow.into()).filter(|flow| *flow != 0)),
            number(finding.map(|finding| finding.tick)),
            number(finding.map(|finding| finding.event as u64 + 1)),
            escaped(case.said()),
        ));
    }
    out.push_str("</tbody></table></div>\n");
    if others > CASES_MAX {
        out.push_str(&format!("<p class=\"note\">And {} more.</p>\n", others - CASES_MAX));
    }
    out.push_str("</details>\n");
}

/// The outcomes of known failures.
pub(super) fn expectations(out: &mut String, part: &Part<'_>) {
    if part.report.expectations.is_empty() {
        return;
    }
    out.push_str(
        "<h2>Known failures</h2>\n<div class=\"card wide\" tabindex=\"0\" role=\"region\" \
         aria-label=\"Known failures\">\n<table class=\"list\"><thead><tr><th></th><th>Rule</th>\
         <th>Scenario</th><th class=\"n\">Failed</th><th>Because</th></tr></thead><tbody>\n",
    );
    for known in &part.report.expectations {
        out.push_str(&format!(
            "<tr><td>{}</td><td>{}</td><td>{}</td><td class=\"n\">{} of {}</td><td>{}</td></tr>\n",
            mark(known.verdict),
            known.rule.unwrap_or("any"),
            known.scenario.unwrap_or("any"),
            count(known.failed),
            count(known.runs),
            escaped(&known.reason),
        ));
    }
    out.push_str("</tbody></table>\n</div>\n");
}
