// SPDX-License-Identifier: BSD-3-Clause
//! What follows from the rules that are broken: verdicts, and what a program ends with.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeSet;

use becket_lab::rules::{CATALOGUE, Exit, Level, RuleSets, Verdict, rule};

fn rule_sets(broken: &[&str]) -> RuleSets {
    let bit = |id: &&str| 1_u128 << CATALOGUE.iter().position(|rule| rule.id == *id).unwrap();
    let broken = broken.iter().map(bit).fold(0, |all, bit| all | bit);
    let all = u128::MAX >> (128 - CATALOGUE.len());
    RuleSets { applicable: all, exercised: all, broken }
}

#[test]
fn verdicts_follow_from_rules() {
    assert_eq!(rule("BPR-05").unwrap().level, Level::Should);
    assert_eq!(Verdict::of(&rule_sets(&[])), Verdict::Pass);
    assert_eq!(Verdict::of(&rule_sets(&["BPR-05"])), Verdict::NonStrict);
    assert_eq!(Verdict::of(&rule_sets(&["BPR-05", "INT-01"])), Verdict::Fail);
    assert_eq!(Verdict::of(&rule_sets(&["ROB-05"])), Verdict::LabError);
    assert_eq!(Verdict::of(&rule_sets(&["ROB-05", "INT-01"])), Verdict::Fail);
    assert_eq!(Verdict::of(&rule_sets(&["DET-02", "INT-01"])), Verdict::Nondeterministic);
    assert_eq!(Verdict::of(&RuleSets::default()), Verdict::NotExercised);
    assert_eq!(
        rule_sets(&["INT-01"]).join(rule_sets(&["INT-02"])),
        rule_sets(&["INT-01", "INT-02"])
    );
}

#[test]
fn verdicts_have_names_and_exit_codes() {
    let names: BTreeSet<_> = Verdict::ALL.map(Verdict::name).into();
    assert_eq!(names.len(), 11);
    for verdict in Verdict::ALL {
        assert_eq!(Verdict::of_name(verdict.name()), Some(verdict));
    }
    let codes = Verdict::ALL.map(|verdict| verdict.exit().code());
    assert_eq!(codes, [0, 0, 1, 0, 0, 3, 3, 0, 1, 5, 70]);
    assert_eq!([Exit::Usage, Exit::Baseline].map(Exit::code), [2, 4]);
    assert_eq!(Exit::Inconclusive.worse(Exit::Conformance), Exit::Conformance);
    assert_eq!(Exit::Internal.worse(Exit::Nondeterministic), Exit::Internal);
    assert_eq!(Exit::Ok.worse(Exit::Inconclusive), Exit::Inconclusive);
}
