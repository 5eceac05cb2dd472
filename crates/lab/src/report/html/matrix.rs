// SPDX-License-Identifier: BSD-3-Clause
//! Two tables with a column for each rule, families grouped: adapters × rules, and saboteurs × rules.

use super::class;
use super::rules::{legend, outcome};
use crate::report::words::{escaped, plural};
use crate::report::{Kill, Kills, Report};
use crate::rules::{CATALOGUE, Family, Rule, Subject, rule};
use crate::saboteur::{self, Saboteur};

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
        // A name stands where it has room, else the mark of its rules.
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

/// A line between families.
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

/// A row for each saboteur, those that are about the same family together.
pub(super) fn of_saboteurs(out: &mut String, kills: &Kills) {
    let judged = || CATALOGUE.iter().filter(|rule| rule.of == Subject::Adapter);
    let tried = kills.rows.iter().filter(|row| row.result != "not-tried").count();
    let found = kills.rows.iter().filter(|row| row.result == "found").count();
    let idle = judged().filter(|rule| !kills.rows.iter().any(|row| row.killers.contains(&rule.id)));
    let idle = idle.count();
    out.push_str(&format!(
        "<h2 id=\"kills\">Saboteurs and the rules that find them <small>{found} of {} found, {} \
         without a saboteur here</small></h2>\n<div class=\"card\">\n<p class=\"note\">Each saboteur is \
         a faulty adapter, wrong in one behaviour. A lab that does not find it is no lab.</p>\n\
         <div class=\"wide\" tabindex=\"0\" role=\"region\" aria-label=\"Saboteurs and rules\">\n",
        plural(tried as u64, "saboteur"),
        plural(idle as u64, "rule"),
    ));
    head(out, "Saboteur", judged());
    let mut group = None;
    out.push_str("<tbody>\n");
    let rows = kills.rows.iter().map(|row| {
        let saboteur = saboteur::of_name(&row.saboteur);
        (row, saboteur, saboteur.and_then(family))
    });
    let mut rows: Vec<_> = rows.collect();
    rows.sort_by_key(|(.., family)| family.map_or(u8::MAX, |family| family as u8));
    for (row, saboteur, family) in rows {
        if family != group && kills.rows.len() > GROUPS_MIN {
            let name = family.map_or("others", Family::name);
            let columns = judged().count() + 1;
            out.push_str(&format!(
                "</tbody>\n<tbody>\n<tr><th class=\"group\" colspan=\"{columns}\" scope=\"rowgroup\">\
                 {name}</th></tr>\n"
            ));
            group = family;
        }
        line(out, row, saboteur, judged());
    }
    out.push_str("</tbody>\n<tfoot>\n<tr><th class=\"row\" scope=\"row\">saboteurs found</th>");
    let mut before = None;
    for rule in judged() {
        let found = kills.rows.iter().filter(|row| row.killers.contains(&rule.id)).count();
        let edge = edge(&mut before, rule);
        let found = if found == 0 { "–".into() } else { found.to_string() };
        out.push_str(&format!("<td class=\"{}\">{found}</td>", edge.trim_start()));
    }
    out.push_str(
        "</tr>\n</tfoot>\n</table>\n</div>\n<ul class=\"legend\"><li><i class=\"kill\" \
         aria-hidden=\"true\">●</i>found by the rule that is about it</li><li><i class=\"also\" \
         aria-hidden=\"true\">•</i>found by this rule too</li><li><i class=\"bad\" \
         aria-hidden=\"true\">!</i>missed</li></ul>\n</div>\n",
    );
}

/// Fewer saboteurs than this stand without headings.
const GROUPS_MIN: usize = 12;

/// The family of the first rule that is about it.
fn family(saboteur: &Saboteur) -> Option<Family> {
    saboteur.expected_rules.first().and_then(|id| rule(id)).map(|rule| rule.family)
}

fn line<'a>(
    out: &mut String,
    row: &Kill,
    saboteur: Option<&Saboteur>,
    rules: impl Iterator<Item = &'a Rule>,
) {
    let name = escaped(row.saboteur.strip_prefix("local_adapter_").unwrap_or(&row.saboteur));
    let wrong = escaped(saboteur.map_or("", |saboteur| saboteur.wrong));
    let (class, sign) = match row.result {
        "found" => ("", ""),
        "not-tried" => ("", " <small>(not tried)</small>"),
        _ => (" class=\"missed\"", " <small>! missed</small>"),
    };
    out.push_str(&format!(
        "<tr{class}><th class=\"row\" scope=\"row\" title=\"{name}: {wrong}\">{name}{sign}</th>"
    ));
    let mut before = None;
    for rule in rules {
        let edge = edge(&mut before, rule);
        let is_about = saboteur.is_some_and(|it| it.expected_rules.contains(&rule.id));
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
                "<td class=\"{class}\" title=\"{name} is found by {}\">{symbol}</td>",
                rule.id
            )),
        }
    }
    out.push_str("</tr>\n");
}
