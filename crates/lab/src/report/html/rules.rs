// SPDX-License-Identifier: BSD-3-Clause
//! Rules: by family for one report, and all of them with their sentences.

use maud::{Markup, html};

use super::{Part, class, legend, region, table};
use crate::report::Report;
use crate::report::parts::RuleReport;
use crate::report::view::{Sums, Tone};
use crate::report::words::{count, plural};
use crate::rules::{CATALOGUE, Family, Level, Subject};

/// The outcome of a rule over all runs: a symbol, a tone, and words.
pub(super) fn outcome(report: &RuleReport, level: Level) -> (&'static str, Tone, &'static str) {
    match () {
        () if report.violated > 0 && level == Level::Must => ("✗", Tone::Bad, "violated"),
        () if report.violated > 0 => ("≈", Tone::Warn, "violated, a SHOULD rule"),
        () if report.exercised > 0 => ("✓", Tone::Good, "held"),
        () if report.applicable > 0 => ("○", Tone::Warn, "not exercised"),
        () => ("–", Tone::Dim, "not applicable"),
    }
}

/// The legend of the outcomes.
pub(super) const OUTCOMES: [(&str, &str, &str); 5] = [
    ("✓", "good", "held"),
    ("✗", "bad", "violated"),
    ("≈", "warn", "a SHOULD violated"),
    ("○", "warn", "not exercised"),
    ("–", "dim", "not applicable"),
];

/// The rules of one report, one line per family.
pub(super) fn by_family(part: &Part<'_>) -> Markup {
    let Part { report, id, .. } = part;
    let sums = Sums::of(report);
    let of_family = |family: Family| {
        CATALOGUE.iter().zip(&report.rules).filter(move |(rule, _)| rule.family == family)
    };
    html! {
        h2 id={ (id) "-rules" } {
            "Rules "
            small {
                (sums.rules_held) " held, " (sums.rules_violated) " violated, "
                (sums.rules_idle) " not exercised, " (sums.rules_not_applicable) " not applicable"
            }
        }
        div.card {
            dl.families {
                @for family in Family::ALL {
                    div {
                        dt { (family.name()) }
                        dd {
                            @for (rule, of) in of_family(family) {
                                @let (symbol, tone, word) = outcome(of, rule.level);
                                a.cell.(class(tone)) href={ "#rule-" (rule.id) } title={
                                    (rule.id) ": " (rule.sentence) " " (word) " (exercised in "
                                    (plural(of.exercised, "run")) ")"
                                } {
                                    span aria-hidden="true" { (symbol) }
                                    span {
                                        span.hidden { (rule.id) " " (word) ": " }
                                        (rule.id.split('-').nth(1).unwrap_or(rule.id))
                                    }
                                }
                            }
                        }
                    }
                }
            }
            (legend(OUTCOMES))
        }
    }
}

/// All rules, with their sentences.
pub(super) fn catalogue(reports: &[Report]) -> Markup {
    let sum = |at: usize, count: fn(&RuleReport) -> u64| -> u64 {
        reports.iter().filter_map(|report| report.rules.get(at)).map(count).sum()
    };
    let rows = html! {
        @for (at, rule) in CATALOGUE.iter().enumerate() {
            tr id={ "rule-" (rule.id) } {
                th scope="row" { (rule.id) }
                td { (rule.level.name()) }
                td { (rule.family.name()) }
                td { @match rule.of { Subject::Adapter => "adapter", Subject::Runtime => "runtime" } }
                td {
                    (rule.sentence)
                    @if let Some(needs) = rule.needs { " " code { (needs.name()) } }
                }
                td.n { (count(sum(at, |rule| rule.exercised))) }
                td.n { (count(sum(at, |rule| rule.violated))) }
            }
        }
    };
    let heads = ["Rule", "Level", "Family", "Judges", "Says", "#Exercised", "#Broken"];
    html! {
        details #catalogue {
            summary { h2 { "Catalogue of rules" } }
            (region("card wide", "Catalogue of rules", &table(&heads, &rows)))
        }
    }
}
