// SPDX-License-Identifier: BSD-3-Clause
//! Two reports compared: what is worse, better, new and gone.

use std::sync::LazyLock;

use becket_lab::adapters::{HEALTHY, Pair};
use becket_lab::check::{self, Make, Options};
use becket_lab::contract::Limits;
use becket_lab::mutant;
use becket_lab::report::{Comparison, Direction, Thing, compare, json};

fn healthy(limits: Limits) -> Pair {
    (HEALTHY[0].make)(limits)
}

/// The report of the healthy pair, which most of the tests compare with another.
static HEALTHY_REPORT: LazyLock<String> = LazyLock::new(|| report(&healthy, 1));

fn report(make: Make<'_>, start_seed: u64) -> String {
    let profiles = Some(2);
    json(&check::run(&Options { start_seed, profiles, ..Options::quick("pair", make) })).unwrap()
}

fn has(compared: &Comparison, thing: Thing, name: &str, direction: Direction) -> bool {
    let mut changes = compared.changes.iter();
    changes.any(|it| (it.thing, it.name.as_str(), it.direction) == (thing, name, direction))
}

#[test]
fn a_report_is_compared_with_a_worse_one_and_back() {
    let mutant = mutant::of_name("duplicates_chunk").unwrap();
    let (good, bad) = (&*HEALTHY_REPORT, report(&mutant.make, 1));

    let same = compare(good, good).unwrap();
    assert_eq!((same.changes.len(), same.exit_code), (0, 0));
    assert!(same.same > 20);

    let worse = compare(good, &bad).unwrap();
    assert_eq!(worse.exit_code, 1);
    assert!(worse.changes.iter().all(|it| it.direction == Direction::Worse));
    assert!(has(&worse, Thing::Check, "", Direction::Worse));
    assert!(has(&worse, Thing::Gate, "local_adapter_sequence_integrity", Direction::Worse));
    assert!(has(&worse, Thing::Rule, "INT-04", Direction::Worse));
    let run = worse.changes.iter().find(|it| it.thing == Thing::Run).unwrap();
    assert_eq!((run.old.as_deref(), run.new.as_deref()), (Some("pass"), Some("fail")));
    let text = worse.to_string();
    assert!(text.contains("worse  pair: rule INT-04: held → violated\n"), "{text}");

    let better = compare(&bad, good).unwrap();
    assert_eq!((better.changes.len(), better.exit_code), (worse.changes.len(), 0));
    assert!(better.changes.iter().all(|it| it.direction == Direction::Better));
}

#[test]
fn what_one_has_alone_is_new_or_gone() {
    let (old, new) = (&*HEALTHY_REPORT, report(&healthy, 2));
    let compared = compare(old, &new).unwrap();
    assert!(has(&compared, Thing::Run, "single_flow_echo, seed 1", Direction::Gone));
    assert!(has(&compared, Thing::Run, "single_flow_echo, seed 3", Direction::New));
    assert_eq!(compared.exit_code, 0);

    let list =
        format!("[{old},{}]", old.replace("\"adapter\": \"pair\"", "\"adapter\": \"other\""));
    let compared = compare(old, &list).unwrap();
    assert!(compared.changes.iter().all(|it| it.adapter == "other"));
    assert!(
        compared.changes.iter().all(|it| it.direction == Direction::New || it.thing != Thing::Run)
    );
}

#[test]
fn what_is_no_report_is_refused_with_its_place() {
    let good = &*HEALTHY_REPORT;
    let half: String = good.chars().take(good.len() / 2).collect();
    let newer = good.replace("becket-lab-check/2", "becket-lab-check/3");
    for (old, new, said) in [
        ("", good.as_str(), "the old report is none in line 1"),
        (good, "{}", "the new report is none in line 1"),
        (good, &half, "the new report is none in line"),
        (&newer, good, "the old report has the schema \"becket-lab-check/3\""),
        (good, "[1, 2]", "the new report is none"),
    ] {
        let error = compare(old, new).unwrap_err();
        assert!(error.to_string().starts_with(said), "{error}");
        assert!(!error.cause().is_empty() && !error.hint().is_empty());
    }
}

#[test]
fn what_is_as_grave_as_before_is_neither_worse_nor_better() {
    let old = &*HEALTHY_REPORT;
    let changed = |from: &str, to: &str| old.replacen(from, to, 1);
    let run = "\"scenario\": \"many_small_flows\",\n          \"verdict\": ";
    let idle = changed(&format!("{run}\"pass\""), &format!("{run}\"not-applicable\""));
    let untried = changed("\"result\": \"killed\"", "\"result\": \"not-tried\"");
    for new in [idle, untried] {
        for (old, new) in [(old, &new), (&new, old)] {
            let compared = compare(old, new).unwrap();
            let directions: Vec<_> = compared.changes.iter().map(|it| it.direction).collect();
            assert_eq!((directions, compared.exit_code), (vec![Direction::Other], 0));
            assert!(compared.to_string().contains("0 worse, 0 better, 1 other, "), "{compared}");
        }
    }
}

#[test]
fn what_files_say_is_shown_without_what_moves_a_terminal() {
    let old = &*HEALTHY_REPORT;
    let hostile = r"\u001b[2J\u202e";
    let new = old
        .replace("\"adapter\": \"pair\"", &format!("\"adapter\": \"pair{hostile}\""))
        .replace("\"result\": \"killed\"", &format!("\"result\": \"{hostile}\""))
        .replace("\"name\": \"local_adapter_", &format!("\"name\": \"{hostile}"));
    let text = compare(old, &new).unwrap().to_string();
    assert!(text.contains("pair\u{fffd}[2J\u{fffd}"), "{text}");
    assert!(!text.contains(|c: char| c.is_control() && c != '\n' || c == '\u{202e}'), "{text:?}");
}
