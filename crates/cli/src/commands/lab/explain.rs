// SPDX-License-Identifier: BSD-3-Clause
//! `becket lab explain RULE…`: the purpose of a rule, the mutants that violate it, and the
//! scenarios that try it.

use becket_lab::adapters::{HEALTHY, Pair};
use becket_lab::choice::Choices;
use becket_lab::contract::{Limits, Manifest};
use becket_lab::gate::Gate;
use becket_lab::mutant::{MUTANTS, Mutant};
use becket_lab::replay::Case;
use becket_lab::rules::{
    CATALOGUE, Examined, Exit as LabExit, Family, Outcome, Rule, Subject, examine, explanation,
};
use becket_lab::scenario::{Profile, SCENARIOS, Scenario};
use becket_lab::trace::Trace;
use becket_lab::world;
use serde::Serialize;

use super::rules::Row;
use crate::commands::pick;
use crate::commands::program;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::ui::{DIM, GOOD, HEAD, Ui, WARN, paint, text};

/// Seeds that are tried to find a run that exercises a rule.
const SEEDS: u64 = 20;
/// Columns of the words on the left.
const LABEL: usize = 12;
/// Columns of a line of text.
const WIDTH: usize = 96;

/// Explain rules: why they matter, where to look, which mutant breaks them, where they are tried
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Which rules, such as INT-05; `becket lab rules` lists them
    #[arg(required = true, value_name = "RULE")]
    rules: Vec<String>,
}

/// A rule, explained, for programs.
#[derive(Debug, Serialize)]
struct Explained {
    #[serde(flatten)]
    rule: Row,
    why: &'static str,
    look: &'static str,
    gates: Vec<&'static str>,
    mutants: Vec<&'static str>,
    scenarios: Vec<Occasion>,
}

/// Where a rule could have been broken.
#[derive(Debug, Serialize)]
struct Occasion {
    scenario: &'static str,
    seed: u64,
}

pub(super) fn run(args: Args, ui: &Ui) -> Result<Exit, Failure> {
    let one = |asked: &String| pick::one("rule", asked, CATALOGUE, |rule| rule.id);
    let rules: Vec<&Rule> =
        args.rules.iter().map(one).collect::<Result<_, _>>().map_err(|error| {
            if error.advice().is_some() {
                return error;
            }
            error.hint(format!("`{} lab rules` lists all", program()))
        })?;
    let mut texts = Vec::new();
    for rule in rules {
        let explained = explained(rule)?;
        if ui.json() {
            ui.data(&explained)?;
        } else {
            texts.push(shown(rule, &explained));
        }
    }
    ui.text(&texts.join("\n"))?;
    Ok(Exit::Ok)
}

fn explained(rule: &Rule) -> Result<Explained, Failure> {
    let Some(said) = explanation(rule.id) else {
        let error = format!("{} is not explained", rule.id);
        return Err(Failure::new(Exit::Lab(LabExit::Internal), error));
    };
    Ok(Explained {
        rule: Row::of(rule),
        why: said.why,
        look: said.look,
        gates: Gate::ALL.iter().filter(|gate| gate.has(rule)).map(|gate| gate.name()).collect(),
        mutants: mutants(rule).map(|mutant| mutant.name).collect(),
        scenarios: SCENARIOS.iter().filter_map(|scenario| occasion(rule, scenario)).collect(),
    })
}

/// Those that are made to break it.
fn mutants(rule: &Rule) -> impl Iterator<Item = &'static Mutant> {
    let id = rule.id;
    MUTANTS.iter().filter(move |mutant| mutant.expected_rules.contains(&id))
}

/// The first seed in which the scenario gives a healthy pair an occasion to break the rule.
fn occasion(rule: &Rule, scenario: &'static Scenario) -> Option<Occasion> {
    let make = HEALTHY.first()?.make;
    let is_tried = |seed: &u64| {
        // All texts are searched, and every run is repeated: these rules are exercised in every
        // run.
        matches!(rule.family, Family::Hygiene | Family::Determinism)
            || is_exercised(rule, scenario, &Profile::draw(*seed), make)
    };
    let seed = (1..=SEEDS).find(is_tried)?;
    Some(Occasion { scenario: scenario.name, seed })
}

fn is_exercised(
    rule: &Rule,
    scenario: &Scenario,
    profile: &Profile,
    make: fn(Limits) -> Pair,
) -> bool {
    let profile = &profile.of(scenario);
    let limits = scenario.limits(profile);
    let manifests = || -> [Manifest; 2] {
        let (ingress, egress) = make(limits);
        [ingress.manifest(), egress.manifest()]
    };
    let claimed = manifests();
    if scenario.obstacle(&profile.config, &claimed).is_some() {
        return false;
    }
    let case = Case {
        config: profile.config.clone(),
        plans: scenario.plans(&profile.config),
        behaviour: profile.behaviour(scenario),
        window_bytes: profile.window_bytes,
        link: profile.link,
        faults: profile.faults,
    };
    let run = |case: &Case| {
        let seed = profile.config.deterministic_seed;
        let mut choices = Choices::scheduled(seed, profile.scheduler);
        let mut trace = Trace::new(case.config.max_events);
        world::run_with(case, &|| make(limits), &mut choices, &mut trace);
        trace
    };
    let trace = run(&case);
    let alone: Vec<Trace> = case
        .plans
        .iter()
        .map(|plan| {
            let plan = becket_lab::source::FlowPlan {
                flow: becket_lab::contract::FlowId::new(1),
                ..plan.clone()
            };
            run(&Case { plans: vec![plan], ..case.clone() })
        })
        .collect();
    let after = manifests();
    let mut examined = Examined::new(&trace, &case, claimed.each_ref());
    examined.solo = (case.faults.is_none() && alone.len() > 1).then_some(alone.as_slice());
    examined.claimed_after = Some(after.each_ref());
    let outcomes = examine(&examined).outcomes;
    outcomes.iter().any(|(one, outcome)| {
        one.id == rule.id && matches!(outcome, Outcome::Held | Outcome::Violated(_))
    })
}

fn shown(rule: &Rule, explained: &Explained) -> String {
    let mut text =
        format!("{}  {}  {}", paint(HEAD, rule.id), rule.level.name(), rule.family.name());
    if rule.of == Subject::Runtime {
        text.push_str(", of the runtime: an adapter cannot break it");
    }
    text.push_str(&format!("\n\n{}\n\n", text::wrapped(rule.sentence, WIDTH, 0)));
    let mut part = |label: &str, said: &str| {
        let label = paint(DIM, &format!("{label:<LABEL$}"));
        text.push_str(&format!("{label}{}\n", text::wrapped(said, WIDTH, LABEL)));
    };
    part("why", explained.why);
    part("look", explained.look);
    if let Some(needs) = rule.needs {
        part("claimed", &format!("it is applied to adapters that claim {}", needs.name()));
    }
    part("gates", &explained.gates.join(", "));
    let occasions: Vec<_> = explained
        .scenarios
        .iter()
        .map(|it| format!("{}\u{a0}(seed\u{a0}{})", it.scenario, it.seed))
        .collect();
    match (occasions.is_empty(), rule.family) {
        (_, Family::Hygiene) => {
            part("tried in", "every scenario: all that is said is searched");
        }
        (_, Family::Determinism) => part("tried in", "every scenario: each run is made again"),
        (true, _) => part("tried in", "no scenario with the memory pair; mutants show it"),
        (false, _) => part("tried in", &occasions.join(", ")),
    }
    let mut broken_by = mutants(rule).peekable();
    let first = broken_by.peek().map(|mutant| mutant.name);
    for (at, mutant) in broken_by.enumerate() {
        let label = if at == 0 { "violated by" } else { "" };
        part(label, &format!("{}: {}", mutant.name, mutant.wrong));
    }
    if let Some(name) = first {
        let command = format!("{} lab run --adapter {name} --witness", program());
        text.push_str(&format!("\n{} {command}\n", paint(GOOD, "see it violated:")));
    } else {
        let none = "no mutant violates it";
        text.push_str(&format!("{}\n", paint(WARN, none)));
    }
    text
}
