// SPDX-License-Identifier: BSD-3-Clause
//! Two tables with a column for each rule, families grouped: adapters × rules, and mutants × rules.

use maud::{Markup, html};

use super::rules::{OUTCOMES, outcome};
use super::{class, legend, region};
use crate::mutant::{self, Mutant};
use crate::report::words::{plural, shown};
use crate::report::{MutantReport, Report};
use crate::rules::{CATALOGUE, Family, Rule, Subject, rule};

/// The columns: rules, each with whether a family begins with it, which has a border.
fn columns<'a>(rules: &[&'a Rule]) -> Vec<(&'a Rule, bool)> {
    let before = [None].into_iter().chain(rules.iter().map(|rule| Some(rule.family)));
    let is_first = |rule: &Rule, before: Option<Family>| before.is_some_and(|it| it != rule.family);
    rules.iter().zip(before).map(|(rule, before)| (*rule, is_first(rule, before))).collect()
}

/// The heads of the columns: families, and the numbers of their rules.
fn head(first: &str, rules: &[&Rule]) -> Markup {
    let families = rules.chunk_by(|one, other| one.family == other.family).filter_map(|of| {
        let (name, prefix) = (of.first()?.family.name(), of.first()?.id.split('-').next()?);
        // The name of a family if it fits, else the prefix of its rules.
        Some((of.len(), name, if name.len() <= of.len() * 2 { name } else { prefix }))
    });
    html! {
        thead {
            tr {
                th.row rowspan="2" { (first) }
                @for (columns, name, shown) in families {
                    th.family colspan=(columns) scope="colgroup" title=(name) { (shown) }
                }
            }
            tr {
                @for rule in rules {
                    th.id scope="col" {
                        a href={ "#rule-" (rule.id) } title={ (rule.id) ": " (rule.sentence) }
                            aria-label=(rule.id) { (number(rule)) }
                    }
                }
            }
        }
    }
}

/// The number of a rule in its family.
pub(super) fn number(rule: &Rule) -> &'static str {
    rule.id.split('-').nth(1).unwrap_or(rule.id).trim_start_matches('0')
}

/// A row for each report.
pub(super) fn of_adapters(reports: &[Report]) -> Markup {
    let rules: Vec<_> = CATALOGUE.iter().collect();
    let columns = columns(&rules);
    let row = |at: usize, report: &Report| {
        let name = shown(&report.adapter);
        html! {
            tr {
                th.row scope="row" title=(name) { a href={ "#r" (at) } { (name) } }
                @for ((rule, is_first), of) in columns.iter().zip(&report.rules) {
                    @let (symbol, tone, word) = outcome(of, rule.level);
                    td.(class(tone)).first[*is_first] title={
                        (name) ", " (rule.id) ": " (word) ", exercised in "
                        (plural(of.exercised, "run"))
                    } { (symbol) }
                }
            }
        }
    };
    let table = html! {
        table.matrix {
            (head("Adapter", &rules))
            tbody { @for (at, report) in reports.iter().enumerate() { (row(at, report)) } }
        }
    };
    html! {
        h2 #matrix { "Adapters and rules" }
        div.card {
            (region("wide", "Adapters and rules", &table))
            (legend(OUTCOMES))
        }
    }
}

/// With fewer mutants there are no group headings.
const GROUPS_MIN: usize = 12;

/// A row for each mutant, grouped by family.
pub(super) fn of_mutants(kills: &[MutantReport]) -> Markup {
    let judged: Vec<_> = CATALOGUE.iter().filter(|rule| rule.of == Subject::Adapter).collect();
    let count =
        |is_one: &dyn Fn(&MutantReport) -> bool| kills.iter().filter(|row| is_one(row)).count();
    let tried = count(&|row| row.result != "not-tried");
    let killed = count(&|row| row.result == "killed");
    let killed_by = |rule: &Rule| count(&|row| row.rules.contains(&rule.id));
    let idle = judged.iter().filter(|rule| killed_by(rule) == 0).count();
    let rows = kills.iter().map(|row| {
        let mutant = mutant::of_name(row.name);
        (mutant.and_then(family), mutant, row)
    });
    let mut rows: Vec<_> = rows.collect();
    rows.sort_by_key(|(family, ..)| family.map_or(u8::MAX, |family| family as u8));
    let columns = columns(&judged);
    let table = html! {
        table.matrix {
            (head("Mutant", &judged))
            @for group in rows.chunk_by(|one, other| one.0 == other.0) {
                tbody {
                    @if let Some((family, ..)) = group.first() && rows.len() > GROUPS_MIN {
                        tr {
                            th.group colspan=(judged.len() + 1) scope="rowgroup" {
                                (family.map_or("others", Family::name))
                            }
                        }
                    }
                    @for (_, mutant, row) in group { (line(row, *mutant, &columns)) }
                }
            }
            tfoot {
                tr {
                    th.row scope="row" { "mutants killed" }
                    @for (rule, is_first) in &columns {
                        @let killed = killed_by(rule);
                        td.first[*is_first] { @if killed == 0 { "–" } @else { (killed) } }
                    }
                }
            }
        }
    };
    html! {
        h2 #kills {
            "Mutants and the rules that kill them "
            small {
                (killed) " of " (plural(tried as u64, "mutant")) " killed, "
                (plural(idle as u64, "rule")) " without a mutant here"
            }
        }
        div.card {
            p.note {
                "Each mutant is a faulty adapter, wrong in one behaviour. If one survives, the lab \
                 is at fault."
            }
            (region("wide", "Mutants and rules", &table))
            (legend([
                ("●", "kill", "killed by a rule that it is made to violate"),
                ("•", "also", "killed by another rule"),
                ("!", "bad", "survived"),
            ]))
        }
    }
}

/// The family of the first rule that the mutant is made to violate.
fn family(mutant: &Mutant) -> Option<Family> {
    mutant.expected_rules.first().and_then(|id| rule(id)).map(|rule| rule.family)
}

fn line(row: &MutantReport, mutant: Option<&Mutant>, columns: &[(&Rule, bool)]) -> Markup {
    let name = shown(row.name);
    let (class, sign) = match row.result {
        "killed" => (None, None),
        "not-tried" => (None, Some("(not tried)")),
        _ => (Some("survived"), Some("! survived")),
    };
    let kill = |rule: &Rule| {
        let is_expected = mutant.is_some_and(|it| it.expected_rules.contains(&rule.id));
        row.rules.contains(&rule.id).then_some(if is_expected {
            ("kill", "●")
        } else {
            ("also", "•")
        })
    };
    html! {
        tr class=[class] {
            th.row scope="row" title={ (name) ": " (mutant.map_or("", |mutant| mutant.wrong)) } {
                (name)
                @if let Some(sign) = sign { " " small { (sign) } }
            }
            @for (rule, is_first) in columns {
                @match kill(rule) {
                    Some((class, symbol)) => {
                        td.(class).first[*is_first] title={ (name) " is killed by " (rule.id) } {
                            (symbol)
                        }
                    },
                    None => td.first[*is_first] {},
                }
            }
        }
    }
}
