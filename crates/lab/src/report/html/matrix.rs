// SPDX-License-Identifier: BSD-3-Clause
//! Two tables with a column for each rule, families grouped: adapters × rules, and mutants × rules.

use super::class;
use super::rules::{legend, outcome};
use crate::mutant::{self, Mutant};
use crate::report::words::{escaped, plural};
use crate::report::{Kill, Kills, Report};
use crate::rules::{CATALOGUE, Family, Rule, Subject, rule};

/// The columns' heads: families, and the numbers of their rules.
fn head<'a>(out: &mut String, first: &str, rules: impl Iterator<Item = &'a Rule> + Clone) {
    out.push_str(&format!(
        "<table class=\"matrix\">\n<thead>\n<tr><th class=\"row\" rowspan=\"2\">{first}</th>"
    ));
    for family in Family::ALL {
        let columns = rules.clone().filter(|rule| rule.family == family).count();
        if columns == 0 {
            continue;
        }
        let name = family.name();
        // The name of a family if it fits, else the prefix of its rules.
        let mut of_family = rules.clone().filter(|rule| rule.family == family);
        let mark = of_family.next().and_then(|rule| rule.id.split('-').next()).unwrap_or(name);
        let shown = if name.len() <= columns * 2 { name } else { mark };
        out.push_str(&format!(
            "<th class=\"family\" colspan=\"{columns}\" scope=\"colgroup\" title=\"{name}\">{shown}</th>"
        ));
    }
    out.push_str("</tr>\n<tr>");
    for rule in rules {
        let number = rule.id.split('-').nth(1).unwrap_or(rule.id).trim_start_matches('0');
        out.push_str(&format!(
            "<th class=\"id\" scope=\"col\"><a href=\"#rule-{id}\" title=\"{id}: {}\" \
             aria-label=\"{id}\">{number}</a></th>",
            escaped(rule.sentence),
            id = rule.id,
        ));
    }
    out.push_str("</tr>\n</thead>\n");
}

/// A border between families.
fn edge(before: &mut Option<Family>, rule: &Rule) -> &'static str {
    let is_first = before.is_some_and(|before| before != rule.family);
    *before = Some(rule.family);
    if is_first { " first" } else { "" }
}

/// A row for each report.
pub(super) fn of_adapters(out: &mut String, reports: &[Report]) {
    out.push_str(
        "<h2 id=\"matrix\">Adapters and rules</h2>\n<div class=\"card\">\n<div class=\"wide\" \
         tabindex=\"0\" role=\"region\" aria-label=\"Adapters and rules\">\n",
    );
    head(out, "Adapter", CATALOGUE.iter());
    out.push_str("<tbody>\n");
    for (at, report) in reports.iter().enumerate() {
        let name = escaped(&report.adapter);
        out.push_str(&format!(
            "<tr><th class=\"row\" scope=\"row\" title=\"{name}\"><a href=\"#r{at}\">{name}</a></th>"
        ));
        let mut before = None;
        for (rule, of) in CATALOGUE.iter().zip(&report.rules) {
            let (symbol, tone, word) = outcome(of, rule.level);
            let edge = edge(&mut before, rule);
            let runs = plural(of.exercised, "run");
            out.push_str(&format!(
                "<td class=\"{}{edge}\" title=\"{name}, {}: {word}, exercised in {runs}\">{symbol}</td>",
                class(tone),
                rule.id,
            ));
        }
        out.push_str("</tr>\n");
    }
    out.push_str("</tbody>\n</table>\n</div>\n");
    legend(out);
    out.push_str("</div>\n");
}

/// A row for each mutant, grouped by family.
pub(super) fn of_mutants(out: &mut String, kills: &Kills) {
    let judged = || CATALOGUE.iter().filter(|rule| rule.of == Subject::Adapter);
    let tried = kills.rows.iter().filter(|row| row.result != "not-tried").count();
    let killed = kills.rows.iter().filter(|row| row.result == "killed").count();
    let idle = judged().filter(|rule| !kills.rows.iter().any(|row| row.killers.contains(&rule.id)));
    let idle = idle.count();
    out.push_str(&format!(
        "<h2 id=\"kills\">Mutants and the rules that kill them <small>{killed} of {} killed, {} \
         without a mutant here</small></h2>\n<div class=\"card\">\n<p class=\"note\">Each mutant is \
         a faulty adapter, wrong in one behaviour. If one survives, the lab is at fault.</p>\n\
         <div class=\"wide\" tabindex=\"0\" role=\"region\" aria-label=\"Mutants and rules\">\n",
        plural(tried as u64, "mutant"),
        plural(idle as u64, "rule"),
    ));
    head(out, "Mutant", judged());
    let mut group = None;
    out.push_str("<tbody>\n");
    let rows = kills.rows.iter().map(|row| {
        let mutant = mutant::of_name(&row.mutant);
        (row, mutant, mutant.and_then(family))
    });
    let mut rows: Vec<_> = rows.collect();
    rows.sort_by_key(|(.., family)| family.map_or(u8::MAX, |family| family as u8));
    for (row, mutant, family) in rows {
        if family != group && kills.rows.len() > GROUPS_MIN {
            let name = family.map_or("others", Family::name);
            let columns = judged().count() + 1;
            out.push_str(&format!(
                "</tbody>\n<tbody>\n<tr><th class=\"group\" colspan=\"{columns}\" scope=\"rowgroup\">\
                 {name}</th></tr>\n"
            ));
            group = family;
        }
        line(out, row, mutant, judged());
    }
    out.push_str("</tbody>\n<tfoot>\n<tr><th class=\"row\" scope=\"row\">mutants killed</th>");
    let mut before = None;
    for rule in judged() {
        let killed = kills.rows.iter().filter(|row| row.killers.contains(&rule.id)).count();
        let edge = edge(&mut before, rule);
        let killed = if killed == 0 { "–".into() } else { killed.to_string() };
        out.push_str(&format!("<td class=\"{}\">{killed}</td>", edge.trim_start()));
    }
    out.push_str(
        "</tr>\n</tfoot>\n</table>\n</div>\n<ul class=\"legend\"><li><i class=\"kill\" \
         aria-hidden=\"true\">●</i>killed by a rule that it is made to violate</li><li><i class=\"also\" \
         aria-hidden=\"true\">•</i>killed by another rule</li><li><i class=\"bad\" \
         aria-hidden=\"true\">!</i>survived</li></ul>\n</div>\n",
    );
}

/// With fewer mutants there are no group headings.
const GROUPS_MIN: usize = 12;

/// The family of the first rule that the mutant is made to violate.
fn family(mutant: &Mutant) -> Option<Family> {
    mutant.expected_rules.first().and_then(|id| rule(id)).map(|rule| rule.family)
}

fn line<'a>(
    out: &mut String,
    row: &Kill,
    mutant: Option<&Mutant>,
    rules: impl Iterator<Item = &'a Rule>,
) {
    let name = escaped(&row.mutant);
    let wrong = escaped(mutant.map_or("", |mutant| mutant.wrong));
    let (class, sign) = match row.result {
        "killed" => ("", ""),
        "not-tried" => ("", " <small>(not tried)</small>"),
        _ => (" class=\"survived\"", " <small>! survived</small>"),
    };
    out.push_str(&format!(
        "<tr{class}><th class=\"row\" scope=\"row\" title=\"{name}: {wrong}\">{name}{sign}</th>"
    ));
    let mut before = None;
    for rule in rules {
        let edge = edge(&mut before, rule);
        let is_about = mutant.is_some_and(|it| it.expected_rules.contains(&rule.id));
        let (class, symbol) = match (row.killers.contains(&rule.id), is_about) {
            (true, true) => ("kill", "●"),
            (true, false) => ("also", "•"),
            (false, _) => ("", ""),
        };
        let class = format!("{class}{edge}");
        match (class.trim(), symbol) {
            ("", _) => out.push_str("<td></td>"),
            (class, "") => out.push_str(&format!("<td class=\"{class}\"></td>")),
            (class, symbol) => out.push_str(&format!(
                "<td class=\"{class}\" title=\"{name} is killed by {}\">{symbol}</td>",
                rule.id
            )),
        }
    }
    out.push_str("</tr>\n");
}
