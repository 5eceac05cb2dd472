// SPDX-License-Identifier: BSD-3-Clause
//! Failures: a card for each violated rule, with its first case.

use maud::{Markup, html};

use super::{Part, class, command, mark, region, table, timeline};
use crate::report::view::{self, Case, Group, Sums, Tone, face};
use crate::report::words::{count, plural, shown};
use crate::report::{Also, EventReport};

/// Number of cases of a failure that are listed.
const CASES_MAX: usize = 100;

pub(super) fn failures(part: &Part<'_>) -> Markup {
    let failures = view::groups(part.report);
    html! {
        @if !failures.is_empty() {
            h2 id={ (part.id) "-failures" } {
                "What went wrong "
                small {
                    (plural(failures.len() as u64, "finding"))
                    ", the gravest first, and of those the earliest"
                }
            }
            @for (at, failure) in failures.iter().enumerate() {
                @if let Some(case) = failure.cases.first() { (card(part, failure, case, at == 0)) }
            }
        }
    }
}

fn card(part: &Part<'_>, failure: &Group<'_>, case: &Case<'_>, is_first: bool) -> Markup {
    let face = face(failure.verdict);
    let sums = Sums::of(part.report);
    let (in_runs, all) = (failure.cases.len() as u64, sums.runs - sums.not_run);
    html! {
        article.card.failure.(class(face.tone)) {
            header {
                span.mark aria-hidden="true" { (face.symbol) }
                h3 { (failure.title()) }
                @if let Some(rule) = failure.rule {
                    span.tag.strong { (rule.level.name()) }
                    span.tag { (rule.family.name()) }
                }
                span.tag.strong { (failure.verdict) }
                span.tag { "in " (count(in_runs)) " of " (plural(all, "run")) }
            }
            @if let Some(rule) = failure.rule { blockquote { (rule.sentence) } }
            dl.facts {
                dt { "Cause" }
                dd.cause.soft[face.tone != Tone::Bad] { (shown(case.said())) }
                dt { "Where" }
                dd.place { (place(case)) }
                @for Also { rule, said } in failure.also() {
                    dt { "Also" }
                    dd { (rule) " is violated in this run: " (shown(said)) }
                }
                @if let Some(explained) = failure.explained() {
                    dt { "Users see" } dd { (explained.why) }
                    dt { "Look at" } dd { (explained.look) }
                }
            }
            @if let Some(with) = failure.shown_with() {
                p.note {
                    "This run violates " (with) " first: its events and commands are shown there."
                }
            } @else {
                @for text in failure.commands(part.report) { (command(&text)) }
                @if !failure.events().is_empty() { (evidence(failure, is_first)) }
            }
            (others(failure))
        }
    }
}

/// The position of a case, number by number.
fn place(case: &Case<'_>) -> Markup {
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
    html! { @for (name, value) in parts { span { (name) " " b { (value) } } " " } }
}

/// The events, as a drawing and in words.
fn evidence(failure: &Group<'_>, is_first: bool) -> Markup {
    let title = failure.events_title();
    html! {
        div.evidence {
            div { (timeline::timeline(failure.events(), failure.broken_event(), &title)) }
            details open=[is_first.then_some("open")] {
                summary { (title) }
                (region("wide", "Last events", &events(failure)))
            }
        }
    }
}

fn events(failure: &Group<'_>) -> Markup {
    let events = failure.events();
    let before = [None].into_iter().chain(events.iter().map(Some));
    let is_gap = |before: Option<&EventReport>, event: &EventReport| {
        before.is_some_and(|before| before.event + 1 < event.event)
    };
    html! {
        table.events {
            thead.hidden {
                tr { th { "Event" } th { "Tick" } th { "Flow" } th { "What happened" } }
            }
            tbody {
                @for (event, before) in events.iter().zip(before) {
                    @if is_gap(before, event) { tr { td.n { "⋮" } td {} td {} td {} } }
                    tr class=[(failure.broken_event() == Some(event.event)).then_some("it")] {
                        td.n { (count(event.event as u64 + 1)) }
                        td.n { (count(event.tick)) " ms" }
                        td { @if event.flow == 0 { "the run" } @else { "flow " (event.flow) } }
                        td { (shown(&event.said)) }
                    }
                }
            }
        }
    }
}

/// The other cases, folded.
fn others(failure: &Group<'_>) -> Markup {
    let others = failure.cases.len().saturating_sub(1);
    let number = |value: Option<u64>| value.map_or_else(|| "–".into(), count);
    let rows = html! {
        @for case in failure.cases.iter().skip(1).take(CASES_MAX) {
            @let finding = case.finding;
            @let flow = finding.map(|it| u64::from(it.flow)).filter(|flow| *flow != 0);
            tr {
                td { (case.run.scenario) }
                td.n { (case.profile.seed) }
                td.n { (number(flow)) }
                td.n { (number(finding.map(|it| it.tick))) }
                td.n { (number(finding.map(|it| it.event as u64 + 1))) }
                td { (shown(case.said())) }
            }
        }
    };
    html! {
        @if others > 0 {
            details {
                summary { (plural(others as u64, "more case")) }
                div.wide {
                    (table(&["Scenario", "#Seed", "#Flow", "#Tick", "#Event", "Cause"], &rows))
                }
                @if others > CASES_MAX { p.note { "And " (others - CASES_MAX) " more." } }
            }
        }
    }
}

/// The outcomes of known failures.
pub(super) fn expectations(part: &Part<'_>) -> Markup {
    let all = &part.report.expectations;
    let rows = html! {
        @for known in all {
            tr {
                td { (mark(known.verdict)) }
                td { (known.rule.unwrap_or("any")) }
                td { (known.scenario.unwrap_or("any")) }
                td.n { (count(known.failed)) " of " (count(known.runs)) }
                td { (shown(&known.reason)) }
            }
        }
    };
    let table = table(&["", "Rule", "Scenario", "#Failed", "Because"], &rows);
    html! {
        @if !all.is_empty() {
            h2 { "Known failures" }
            (region("card wide", "Known failures", &table))
        }
    }
}
