// SPDX-License-Identifier: BSD-3-Clause
//! Rules: by family for one report, and all of them with their sentences.

use super::{Part, class};
use crate::report::Report;
use crate::report::parts::RuleReport;
use crate::report::view::{Sums, Tone};
use crate::report::words::{count, escaped, plural};
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

/// The meaning of the symbols.
pub(super) fn legend(out: &mut String) {
    out.push_str("<ul class=\"legend\">");
    let all = [
        ("✓", "good", "held"),
        ("✗", "bad", "violated"),
        ("≈", "warn", "a SHOULD violated"),
        ("○", "warn", "not exercised"),
        ("–", "dim", "not applicable"),
    ];
    for (symbol, class, word) in all {
        out.push_str(&format!(
            "<li><i class=\"{class}\" aria-hidden=\"true\">{symbol}</i>{word}</li>"
        ));
    }
    out.push_str("</ul>\n");
}

/// The rules of one report, one line per family.
pub(super) fn by_family(out: &mut String, part: &Part<'_>) {
    let Part { report, id, .. } = part;
    let sums = Sums::of(report);
    out.push_str(&format!(
        "<h2 id=\"{id}-rules\">Rules <small>{} held, {} violated, {} not exercised, {} not applicable\
         </small></h2>\n<div class=\"card\">\n<dl class=\"families\">\n",
        sums.rules_held, sums.rules_violated, sums.rules_idle, sums.rules_not_applicable
    ));
    for family in Family::ALL {
        out.push_str(&format!("<div><dt>{}</dt><dd>", family.name()));
        let rules = CATALOGUE.iter().zip(&report.rules).filter(|(rule, _)| rule.family == family);
        for (rule, of) in rules {
            let (symbol, tone, word) = outcome(of, rule.level);
            let number = rule.id.split('-').nth(1).unwrap_or(rule.id);
            let runs = plural(of.exercised, "run");
            out.push_str(&format!(
                "<a class=\"cell {}\" href=\"#rule-{}\" title=\"{}: {} {word} (exercised in {runs})\">\
                 <span aria-hidden=\"true\">{symbol}</span><span><span class=\"hidden\">{} {word}: \
                 </span>{number}</span></a>",
                class(tone),
                rule.id,
                rule.id,
                escaped(rule.sentence),
                rule.id,
            ));
        }
        out.push_str("</dd></div>\n");
    }
    out.push_str("</dl>\n");
    legend(out);
    out.push_str("</div>\n");
}

/// All rules, with their sentences.
pub(super) fn catalogue(out: &mut String, reports: &[Report]) {
    out.push_str(
        "<details id=\"catalogue\"><summary><h2>Catalogue of rules</h2></summary>\n<div class=\"card \
         wide\" tabindex=\"0\" role=\"region\" aria-label=\"Catalogue of rules\">\n\
         <table class=\"list\"><thead><tr><th>Rule</th><th>Level</th><th>Family</th><th>Judges</th>\
         <th>Says</th><th class=\"n\">Exercised</th><th class=\"n\">Broken</th></tr></thead><tbody>\n",
    );
    for (at, rule) in CATALOGUE.iter().enumerate() {
        let of = reports.iter().filter_map(|report| report.rules.get(at));
        let (exercised, violated) =
            of.fold((0, 0), |(e, b), one| (e + one.exercised, b + one.violated));
        let judges = match rule.of {
            Subject::Adapter => "adapter",
            Subject::Runtime => "runtime",
        };
        let needs = rule.needs.map(|needs| format!(" <code>{}</code>", needs.name()));
        out.push_str(&format!(
            "<tr id=\"rule-{id}\"><th scope=\"row\">{id}</th><td>{}</td><td>{}</td><td>{judges}</td>\
             <td>{}{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td></tr>\n",
            rule.level.name(),
            rule.family.name(),
            escaped(rule.sentence),
            needs.unwrap_or_default(),
            count(exercised),
            count(violated),
            id = rule.id,
        ));
    }
    out.push_str("</tbody></table>\n</div>\n</details>\n");
}
