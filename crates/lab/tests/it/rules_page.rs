// SPDX-License-Identifier: BSD-3-Clause
//! The book's page of rules is generated from the catalogue. `SNAPSHOTS=overwrite` updates it.

use std::fmt::Write as _;

use becket_lab::contract::Capability;
use becket_lab::mutant::MUTANTS;
use becket_lab::rules::{CATALOGUE, Explanation, Family, Rule, Subject, explanation};

const BEGINNING: &str = "\
<!-- SPDX-License-Identifier: BSD-3-Clause -->
# The rules

Each thing that the lab finds wrong is the breach of a rule. A rule has an id that it keeps for ever, one
sentence, and one checker, which looks at the recorded trace of a run and at nothing else.

* **MUST**: an adapter that violates it does not conform. **SHOULD**: there may be a reason; the verdict is *non-strict*.
* A rule that *needs* a capability is applied to adapters that claim it in their manifest.
* *Shown by* names faulty adapters that the lab brings along and that break the rule: each is an
  adapter's code with one thing wrong. `becket lab explain RULE` says the same on the command line.
* Seven rules are about the runtime and not about adapters. When one of them is violated the verdict is
  *lab-error*, and the adapter is not to blame.
";

fn rule(text: &mut String, rule: &Rule) {
    let explained = explanation(rule.id).unwrap();
    let needs = rule.needs.map(Capability::name);
    let needs = needs.map(|name| format!(", needs `{name}`")).unwrap_or_default();
    let of = if rule.of == Subject::Runtime { ", of the runtime" } else { "" };
    let mutants = MUTANTS.iter().filter(|one| one.expected_rules.first() == Some(&rule.id));
    let names: Vec<_> = mutants.map(|one| format!("`{}`", one.name)).collect();
    let level = rule.level.name();
    writeln!(text, "\n### {}\n\n**{}** ({level}{needs}{of})\n", rule.id, rule.sentence).unwrap();
    let Explanation { why, look } = explained;
    writeln!(text, "*When it is violated:* {why}\n\n*Where to look:* {look}").unwrap();
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
