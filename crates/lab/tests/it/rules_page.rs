// SPDX-License-Identifier: BSD-3-Clause
//! The book's page of rules is what the catalogue says. `SNAPSHOTS=overwrite` writes it anew.

use std::fmt::Write as _;

use becket_lab::contract::Capability;
use becket_lab::rules::{CATALOGUE, Family, Rule, Subject, explanation};
use becket_lab::saboteur::SABOTEURS;

const BEGINNING: &str = "\
<!-- SPDX-License-Identifier: BSD-3-Clause -->
# The rules

Each thing that the lab finds wrong is the breach of a rule. A rule has an id that it keeps for ever, one
sentence, and one checker, which looks at the recorded trace of a run and at nothing else.

* **MUST**: who breaks it does not conform. **SHOULD**: there may be a reason; the verdict is *non-strict*.
* A rule that *needs* a capability is applied to adapters that claim it in their manifest.
* *Shown by* names faulty adapters that the lab brings along and that break the rule: each is an
  adapter's code with one thing wrong. `becket lab explain RULE` says the same on the command line.
* Seven rules are about the runtime and not about adapters. When one of them is broken the verdict is
  *lab-error*, and the adapter is not to blame.
";

fn rule(text: &mut String, rule: &Rule) {
    let told = explanation(rule.id).unwrap();
    let needs = rule.needs.map(Capability::name);
    let needs = needs.map(|name| format!(", needs `{name}`")).unwrap_or_default();
    let of = if rule.of == Subject::Runtime { ", of the runtime" } else { "" };
    let saboteurs = SABOTEURS.iter().filter(|one| one.expected_rules.first() == Some(&rule.id));
    let names: Vec<_> = saboteurs.map(|one| format!("`{}`", one.name)).collect();
    let level = rule.level.name();
    writeln!(text, "\n### {}\n\n**{}** ({level}{needs}{of})\n", rule.id, rule.sentence).unwrap();
    writeln!(text, "*When it is broken:* {}\n\n*Where to look:* {}", told.why, told.look).unwrap();
    if !names.is_empty() {
        writeln!(text, "\n*Shown by:* {}", names.join(", ")).unwrap();
    }
}

#[test]
fn the_page_is_the_catalogue() {
    let mut text = String::from(BEGINNING);
    for family in Family::ALL {
        writeln!(text, "\n## {}", family.name()).unwrap();
        CATALOGUE.iter().filter(|one| one.family == family).for_each(|one| rule(&mut text, one));
    }
    snapbox::assert_data_eq!(text, snapbox::file!["../../../../docs/src/lab/rules.md"].raw());
}
