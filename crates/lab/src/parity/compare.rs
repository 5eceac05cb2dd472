// SPDX-License-Identifier: BSD-3-Clause
//! One comparison: the interpreted and the generated side with the same inputs.

use std::fmt::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::face;
use super::plug::Generated;
use super::report::{CaseReport, Difference};
use super::text::of_text_in_lab;
use crate::adapters::Pair;
use crate::choice::{Choices, Random};
use crate::config::Config;
use crate::fault::FaultPlan;
use crate::generate::drive::{Log, lives};
use crate::generate::{
    Interpreted, Profile, constants, drive_log, lives_rows, plan, plan_log, sha256, vocabulary,
};
use crate::replay::{Case, Diff, step};
use crate::scenario::Scenario;
use crate::source::FlowPlan;
use crate::target::Behaviour;
use crate::trace::Trace;
use crate::world;

/// The name of this module's random numbers among those of a seed.
const PARITY: u64 = 0x7061_7269_7479;
/// Maximum number of lines of the two traces that a difference shows.
const DIFF_LINES_MAX: usize = 24;

/// A module with its profile.
pub(super) struct Subject<'a> {
    pub(super) profile: Profile,
    pub(super) text: Option<&'a str>,
    pub(super) generated: Generated,
}

/// A kind of comparison.
pub(super) enum Kind<'a> {
    Text(&'a str),
    Constants,
    Lifecycle,
    Plan(u64),
    Drive(u64),
    /// A run of the profile itself.
    Run(u64),
    Scenario(u64, &'static Scenario),
}

/// The hashes of both sides, and the first difference.
struct Compared {
    events: usize,
    interpreted: String,
    generated: String,
    difference: Option<Difference>,
}

impl Subject<'_> {
    /// Whether the limits can carry a scenario.
    pub(super) fn carries(&self, scenario: &Scenario) -> bool {
        let config = &self.profile.config;
        scenario.flows <= config.max_flows && scenario.chunk_bytes_min <= config.max_chunk_bytes
    }

    pub(super) fn compare(&self, kind: &Kind<'_>) -> CaseReport {
        let (what, seed, scenario) = match kind {
            Kind::Text(_) => ("text", None, None),
            Kind::Constants => ("constants", None, None),
            Kind::Lifecycle => ("lifecycle", None, None),
            Kind::Plan(seed) => ("plan", Some(*seed), None),
            Kind::Drive(seed) => ("drive", Some(*seed), None),
            Kind::Run(seed) => ("run", Some(*seed), None),
            Kind::Scenario(seed, scenario) => ("run", Some(*seed), Some(scenario.name)),
        };
        let caught = catch_unwind(AssertUnwindSafe(|| match *kind {
            Kind::Text(text) => self.texts(text),
            Kind::Constants => self.constants(),
            Kind::Lifecycle => self.lifecycles(),
            Kind::Plan(seed) => {
                let expected = plan_log(&plan::of_seed(&self.profile, seed));
                logs(&expected, &plan_log(&self.generated.plan(seed)))
            }
            Kind::Drive(seed) => logs(&drive_log(&self.profile, seed), &self.generated.drive(seed)),
            Kind::Run(seed) => self.runs(seed, None),
            Kind::Scenario(seed, scenario) => self.runs(seed, Some(scenario)),
        }));
        let compared = caught.unwrap_or_else(|_| Compared {
            events: 0,
            interpreted: String::new(),
            generated: String::new(),
            difference: Some(Difference::plain("a backend panicked".into())),
        });
        CaseReport {
            profile: self.profile.config.name.clone(),
            what,
            scenario,
            seed,
            verdict: if compared.difference.is_none() { "pass" } else { "fail" },
            events: compared.events as u64,
            interpreted: compared.interpreted,
            generated: compared.generated,
            difference: compared.difference,
        }
    }

    fn texts(&self, text: &str) -> Compared {
        let result = of_text_in_lab(&self.profile, text);
        let expected = crate::generate::module_in_lab(&self.profile).unwrap_or_default();
        Compared {
            events: expected.lines().count(),
            interpreted: sha256(&expected),
            generated: sha256(text),
            difference: result.err().map(|error| Difference::plain(error.to_string())),
        }
    }

    fn constants(&self) -> Compared {
        let said = &self.generated.said.constants;
        let known = constants(&self.profile);
        let logged = |all: &mut dyn Iterator<Item = (&str, &str)>| {
            all.fold(String::new(), |mut text, (name, value)| {
                // Writing to a `String` cannot fail.
                let _written = writeln!(text, "{name} = {value}");
                text
            })
        };
        let one = logged(&mut known.iter().map(|known| (known.name, known.value.as_str())));
        let other = logged(&mut said.iter().map(|(name, value)| (*name, value.as_str())));
        let mut pairs = known.iter().zip(said);
        let wrong = pairs.find(|(known, said)| (known.name, &known.value) != (said.0, &said.1));
        let difference = wrong.map(|(known, (name, value))| match known.name == *name {
            true => {
                let said =
                    format!("the constant {name} is {value}, and {} by the profile", known.value);
                Difference { constant: Some((*name).into()), ..Difference::plain(said) }
            }
            false => Difference::plain(format!("{name} stands where {} has to", known.name)),
        });
        let count = (known.len() != said.len()).then(|| {
            Difference::plain(format!(
                "{} constants, and {} by the profile",
                said.len(),
                known.len()
            ))
        });
        Compared {
            events: known.len(),
            interpreted: sha256(&one),
            generated: sha256(&other),
            difference: difference.or(count),
        }
    }

    fn lifecycles(&self) -> Compared {
        let (one, other) = (lives_rows(), lives(self.generated.said.next));
        let mut pairs = one.iter().zip(&other).zip(vocabulary::State::ALL);
        let difference = pairs.find_map(|((one, other), state)| {
            let mut cells = one.chars().zip(other.chars()).zip(vocabulary::Event::ALL);
            let ((one, other), event) = cells.find(|((one, other), _)| one != other)?;
            let said = format!(
                "LIFECYCLE: {event:?} of a flow that is {state:?} is `{other}`, and `{one}` by the \
                 contract (. cannot be, = nothing, else the state's letter)"
            );
            let constant = Some("LIFECYCLE".into());
            Some(Difference { constant, ..Difference::plain(said) })
        });
        let hash = |rows: &[String; 8]| sha256(&rows.join("\n"));
        Compared {
            events: vocabulary::State::ALL.len() * vocabulary::Event::ALL.len(),
            interpreted: hash(&one),
            generated: hash(&other),
            difference,
        }
    }

    fn runs(&self, seed: u64, scenario: Option<&'static Scenario>) -> Compared {
        let profile = &self.profile;
        let one =
            run(profile, seed, scenario, plan::of_seed(profile, seed), &|| interpreted(profile));
        let plan = self.generated.plan(seed);
        let other = claimed(&self.generated.said.constants)
            .map(|claimed| run(&claimed, seed, scenario, plan, &|| self.generated.pair()));
        let Some(other) = other else {
            return Compared {
                events: one.events().len(),
                interpreted: one.hash().to_string(),
                generated: String::new(),
                difference: Some(Difference::plain("the constants are no profile".into())),
            };
        };
        let difference = (one.hash() != other.hash()).then(|| first_difference(&one, &other));
        Compared {
            events: one.events().len(),
            interpreted: one.hash().to_string(),
            generated: other.hash().to_string(),
            difference,
        }
    }
}

/// The interpreted backend, as a pair.
pub(crate) fn interpreted(profile: &Profile) -> Pair {
    let make = || Interpreted::new(profile);
    face::pair("generated", profile.capabilities(), profile.limits(), make)
}

/// One run of one side.
pub(super) fn run(
    profile: &Profile,
    seed: u64,
    scenario: Option<&Scenario>,
    own: Vec<FlowPlan>,
    factory: &dyn Fn() -> Pair,
) -> Trace {
    let config = Config { deterministic_seed: seed, ..profile.config.clone() };
    let (plans, behaviour, has_faults) = match scenario {
        None => (own, profile.behaviour, true),
        Some(scenario) => {
            let all = scenario.behaviours;
            let drawn = Random::new(seed).fork(PARITY).below(all.len() as u32);
            let behaviour = all.get(drawn as usize).copied().unwrap_or(Behaviour::Echo);
            // Every second seed has no faults.
            (scenario.plans(&config), behaviour, seed.is_multiple_of(2))
        }
    };
    let max_events = config.max_events;
    let case = Case {
        config,
        plans,
        behaviour,
        window_bytes: profile.window_bytes,
        link: profile.link,
        faults: if has_faults { profile.fault_plan() } else { FaultPlan::NONE },
    };
    let mut trace = Trace::new(max_events);
    let mut choices = Choices::scheduled(seed, profile.scheduler);
    world::run_with(&case, factory, &mut choices, &mut trace);
    trace
}

/// The profile that the constants describe. `None`: they are not a valid profile.
pub(super) fn claimed(constants: &[(&str, String)]) -> Option<Profile> {
    let value = |name: &str| {
        let found = constants.iter().find(|(known, _)| *known == name);
        found.map_or("", |(_, value)| value.as_str())
    };
    let faults = value("FAULTS").split_ascii_whitespace().map(|name| format!("{name:?}"));
    let faults = faults.collect::<Vec<_>>().join(", ");
    let mut text = format!("name = {:?}\n", value("NAME"));
    for (table, keys) in [
        (
            "limits",
            &[
                ("runtime_id", "RUNTIME_ID", ""),
                ("max_flows", "MAX_FLOWS", ""),
                ("max_buffered_bytes", "MAX_BUFFERED_BYTES", ""),
                ("max_chunk_bytes", "MAX_CHUNK_BYTES", ""),
                ("max_events", "MAX_EVENTS", ""),
                ("trace_enabled", "TRACE_ENABLED", ""),
                ("deterministic_seed", "DETERMINISTIC_SEED", ""),
            ][..],
        ),
        ("source", &[("model", "SOURCE", "\""), ("flows", "FLOWS", "")]),
        ("target", &[("behaviour", "TARGET", "\"")]),
        ("carrier", &[("kind", "CARRIER", "\""), ("window_bytes", "WINDOW_BYTES", "")]),
        ("run", &[("scheduler", "SCHEDULER", "\""), ("fault_budget", "FAULT_BUDGET", "")]),
        (
            "policies",
            &[
                ("flow_bytes_max", "FLOW_BYTES_MAX", ""),
                ("out_bytes_max", "OUT_BYTES_MAX", ""),
                ("budget_bytes_max", "BUDGET_BYTES_MAX", ""),
                ("order", "ORDER", "\""),
                ("room", "ROOM", "\""),
                ("half_close", "HALF_CLOSE", ""),
                ("reset", "RESET", ""),
            ],
        ),
    ] {
        // Writing to a `String` cannot fail.
        let _written = writeln!(text, "[{table}]");
        for (key, name, quote) in keys {
            let _written = writeln!(text, "{key} = {quote}{}{quote}", value(name));
        }
        if table == "run" {
            let _written = writeln!(text, "faults = [{faults}]");
        }
    }
    Profile::from_toml(&text, "the constants").ok()
}

/// Compares two logs of calls, or of a plan.
fn logs(one: &Log, other: &Log) -> Compared {
    let (interpreted, generated) = (one.hash(), other.hash());
    let difference = (interpreted != generated).then(|| {
        let pairs = one.seen.iter().zip(&other.seen);
        let at = pairs.take_while(|(one, other)| one == other).count();
        let said = |log: &Log| match log.seen.get(at) {
            Some(seen) => {
                format!("in call {} flow {} {} {}", seen.call, seen.flow, seen.what, seen.value)
            }
            None => "nothing more".into(),
        };
        Difference { event: Some(at), ..Difference::both(&said(one), &said(other)) }
    });
    Compared { events: one.seen.len(), interpreted, generated, difference }
}

/// The first different event.
fn first_difference(one: &Trace, other: &Trace) -> Difference {
    let pairs = one.events().iter().zip(other.events());
    let at = pairs.take_while(|(one, other)| one == other).count();
    let said = |trace: &Trace| match trace.events().get(at) {
        Some(event) => step(at + 1, event).trim_start().to_owned(),
        None => "nothing more".into(),
    };
    let diff = Diff::new(one, other).to_string();
    // The header of the two columns.
    let diff = diff.replacen("healthy    ", "interpreted", 1).replacen("faulty", "generated", 1);
    let lines = diff.lines().take(DIFF_LINES_MAX).map(Into::into).collect();
    Difference { event: Some(at), lines, ..Difference::both(&said(one), &said(other)) }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::generate::vocabulary::{Event, State};
    use crate::generate::{STEADY, STEADY_TEXT};

    use crate::generate::example::steady;

    fn subject() -> Subject<'static> {
        let generated = crate::plug!(steady);
        Subject { profile: STEADY.profile().unwrap(), text: Some(STEADY_TEXT), generated }
    }

    fn constant(case: &CaseReport) -> Option<&str> {
        case.difference.as_ref()?.constant.as_deref()
    }

    thread_local! {
        /// The wrong cell of the lifecycle.
        static WRONG: Cell<(State, Event)> = const { Cell::new((State::New, Event::Open)) };
    }

    /// The lifecycle of a module with one wrong cell.
    fn wrong(state: State, event: Event) -> Option<State> {
        let healthy = steady::LIFECYCLE;
        let next = healthy[state as usize][event as usize];
        let next = next.map(|next| State::ALL[next as usize]);
        match (WRONG.get() == (state, event), next) {
            (false, next) => next,
            (true, None) => Some(State::Closed),
            (true, Some(_)) => None,
        }
    }

    #[test]
    fn every_wrong_cell_of_a_lifecycle_is_reported() {
        let mut subject = subject();
        assert!(subject.compare(&Kind::Lifecycle).difference.is_none());
        subject.generated.said.next = wrong;
        for state in State::ALL {
            for event in Event::ALL {
                WRONG.set((state, event));
                let case = subject.compare(&Kind::Lifecycle);
                assert_eq!((case.verdict, constant(&case)), ("fail", Some("LIFECYCLE")));
                let said = case.to_string();
                assert!(said.contains(&format!("{event:?} of a flow that is {state:?}")), "{said}");
            }
        }
    }

    #[test]
    fn a_text_that_was_changed_is_reported() {
        let subject = subject();
        let text = subject.text.unwrap();
        assert_eq!(subject.compare(&Kind::Text(text)).verdict, "pass");
        let changed = text.replace("MAX_FLOWS: u32 = 16;", "MAX_FLOWS: u32 = 4;");
        let case = subject.compare(&Kind::Text(&changed));
        assert_eq!(case.verdict, "fail");
        assert!(case.to_string().contains("MAX_FLOWS") && case.interpreted != case.generated);
    }

    #[test]
    fn every_wrong_constant_is_reported_by_name() {
        let healthy = subject().generated.said.constants;
        for (at, (name, _)) in healthy.iter().enumerate() {
            let mut subject = subject();
            subject.generated.said.constants[at].1.push('0');
            let case = subject.compare(&Kind::Constants);
            assert_eq!(constant(&case), Some(*name));
            subject.generated.said.constants.remove(at);
            assert_eq!(subject.compare(&Kind::Constants).verdict, "fail");
        }
    }

    /// The lengths of this module's chunks are constant, so that a salt has no effect.
    #[test]
    fn every_wrong_number_of_a_plan_is_reported() {
        type Change = fn(&mut crate::parity::Planned);
        let changes: [Change; 8] = [
            |flow| flow.number += 1,
            |flow| flow.class = vocabulary::Class::Bulk,
            |flow| flow.opens_at += 1,
            |flow| flow.end = vocabulary::End::HalfClose,
            |flow| flow.pieces[0].at += 1,
            |flow| flow.pieces[0].base -= 1,
            |flow| flow.pieces[0].bytes_max -= 1,
            |flow| flow.pieces[0].span = 0,
        ];
        for (at, change) in changes.into_iter().enumerate() {
            let mut subject = subject();
            change(&mut subject.generated.said.plan[1]);
            let case = subject.compare(&Kind::Plan(40));
            assert!(case.difference.is_some_and(|it| it.event.is_some()), "{at}");
        }
    }

    /// A backend that panics has failed; what comes behind it is compared.
    #[test]
    fn a_backend_that_panics_has_failed() {
        let mut subject = subject();
        subject.generated.said.next = |_, _| panic!("no such state");
        let case = subject.compare(&Kind::Lifecycle);
        assert_eq!(case.verdict, "fail");
        assert!(case.to_string().ends_with("a backend panicked"), "{case}");
        assert_eq!(subject.compare(&Kind::Constants).verdict, "pass");
    }

    #[test]
    fn constants_that_are_no_profile_fail_runs() {
        let mut subject = subject();
        let constants = &mut subject.generated.said.constants;
        let carrier = constants.iter_mut().find(|(name, _)| *name == "CARRIER").unwrap();
        carrier.1 = "pigeon".into();
        let case = subject.compare(&Kind::Run(1));
        assert!(case.to_string().ends_with("the constants are no profile"), "{case}");
    }
}
