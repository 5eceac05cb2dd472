// SPDX-License-Identifier: BSD-3-Clause
//! The rules of channels, proven against a model of a server in virtual time.
//!
//! ```text
//!   senders, receivers ── the channel's own rules ── Engine ── mutant ── network ── server
//!        │                                                                │
//!     what they saw ──► rules                 order, delays, faults: the lab's choices
//! ```
//!
//! A seed decides everything: a failure is repeated by its seed, and shrunk by the lab over its recorded choices.
//!
//! | file | contents |
//! |---|---|
//! | `world` | virtual time and tasks |
//! | `network` | ways between clients and the server; faults |
//! | `server` | streams, consumers, subjects |
//! | `client` | the client of a process |
//! | `scenario`, `rules` | what the processes do; what must hold |
//! | `mutant` | faulty channels, which the rules must find |
//! | `real` | the model and the real server give the same answers |

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "the model of a test fails as tests do"
)]

pub(crate) mod client;
mod mutant;
mod network;
mod real;
mod rules;
mod scenario;
mod server;
mod world;

use std::time::Duration;

use becket_lab::choice::Choices;
use becket_lab::config::Config;
use becket_lab::fault::FaultPlan;
use becket_lab::link::Link;
use becket_lab::replay::Case;
use becket_lab::shrink::{Candidate, Failed, shrink};
use becket_lab::target::Behaviour;

use self::mutant::Mutant;
use self::scenario::{Run, Setup};
use crate::options::Kind;

const KINDS: [Kind; 5] = [
    Kind::Rendezvous,
    Kind::Bounded { capacity: 1 },
    Kind::Bounded { capacity: 3 },
    Kind::Conflated,
    Kind::Unlimited { bytes_max: 520 },
];

/// Seeds of each setup.
fn seeds() -> u64 {
    if std::env::var_os("BECKET_TEST_LONG").is_some() { 20_000 } else { 200 }
}

fn setups(kind: Kind, mutant: Option<Mutant>) -> [Setup; 5] {
    let setups = [
        (false, true, false),
        (false, false, false),
        (true, false, false),
        (false, false, true),
        (true, false, true),
    ];
    setups.map(|(is_faulty, is_plain, drops)| Setup { kind, is_faulty, is_plain, drops, mutant })
}

/// A failure, shrunk: its run, and a text to read.
fn report(setup: Setup, run: &Run, tries_max: u32) -> (Run, String) {
    let rule = |run: &Run| {
        let first = rules::violations(setup, run).into_iter().next()?;
        Some(first.split(':').next().unwrap_or_default().to_owned())
    };
    let found = rule(run);
    // Of the lab's case nothing but the choices is used.
    let case = Case {
        config: Config::default(),
        plans: Vec::new(),
        behaviour: Behaviour::Discard,
        window_bytes: 64 << 10,
        link: Link::ALL[0],
        faults: FaultPlan::NONE,
    };
    let fails = |candidate: &Candidate| {
        let run = scenario::run(setup, Choices::replayed(candidate.recording.clone()));
        let events = run.seen.sent.len() + run.seen.received.len() + run.faults.len();
        (rule(&run) == found).then_some(Failed { events, asked: run.asked })
    };
    let failure = Candidate { case, recording: run.recording.clone() };
    let shrunk = shrink(failure, tries_max, fails, |_| {}).expect("the failure repeats");
    let recording = shrunk.candidate.recording;
    let run = scenario::run(setup, Choices::replayed(recording.clone()));
    let mut text = format!("{setup:?}\nchoices {recording:?}\n");
    for (at, what) in &run.faults {
        text += &format!("fault {at:?} {what}\n");
    }
    for sent in &run.seen.sent {
        text += &format!("{sent:?}\n");
    }
    for (at, receiver, what) in &run.seen.receives {
        text += &format!("{at:?} receiver {receiver}: {what}\n");
    }
    for received in &run.seen.received {
        text += &format!("{received:?}\n");
    }
    text += &format!("stored {:x?}, closed {:?}\n", run.accepted, run.seen.closed);
    for violation in rules::violations(setup, &run) {
        text += &format!("violation of {violation}\n");
    }
    (run, text)
}

fn holds(kind: Kind) {
    for setup in setups(kind, None) {
        for seed in 0..seeds() {
            let run = scenario::run(setup, Choices::seeded(seed));
            if !rules::violations(setup, &run).is_empty() {
                panic!("seed {seed}: {}", report(setup, &run, 800).1);
            }
        }
    }
}

#[test]
fn the_rules_hold_for_a_rendezvous() {
    holds(KINDS[0]);
}

#[test]
fn the_rules_hold_for_one_slot() {
    holds(KINDS[1]);
}

#[test]
fn the_rules_hold_for_a_bounded_channel() {
    holds(KINDS[2]);
}

#[test]
fn the_rules_hold_for_a_conflated_channel() {
    holds(KINDS[3]);
}

#[test]
fn the_rules_hold_for_an_unlimited_channel() {
    holds(KINDS[4]);
}

/// Runs in which a rule did not hold once.
#[test]
fn the_rules_hold_where_they_did_not() {
    // A receiver acknowledged the last value before it knew of the close, and no note of that reached the others; and
    // values whose sends had been left were stored behind later ones.
    let seeds = [(3, 0, 5370), (2, 2, 1689), (4, 2, 1018)];
    for (kind, setup, seed) in seeds {
        let setup = setups(KINDS[kind], None)[setup];
        let run = scenario::run(setup, Choices::seeded(seed));
        assert_eq!(rules::violations(setup, &run), [""; 0], "seed {seed} of {setup:?}");
    }
}

/// Each faulty channel is found, and what found it is repeated by its choices alone.
#[test]
fn every_mutant_is_found() {
    for mutant in Mutant::ALL {
        let drops = mutant == Mutant::ForgetsTheHandBack;
        let setups = KINDS.into_iter().flat_map(|kind| setups(kind, Some(mutant)));
        let setups = setups.filter(|setup| setup.drops == drops);
        let mut runs = setups.flat_map(|setup| (0..100).map(move |seed| (setup, seed)));
        let found = runs.find_map(|(setup, seed)| {
            let run = scenario::run(setup, Choices::seeded(seed));
            (!rules::violations(setup, &run).is_empty()).then_some((setup, run))
        });
        let (setup, run) = found.unwrap_or_else(|| panic!("{mutant:?} was not found"));
        let (shrunk, text) = report(setup, &run, 25);
        assert!(shrunk.recording.len() <= run.recording.len(), "{text}");
        assert!(!rules::violations(setup, &shrunk).is_empty(), "{text}");
        let healthy = Setup { mutant: None, ..setup };
        let again = scenario::run(healthy, Choices::replayed(shrunk.recording));
        assert_eq!(rules::violations(healthy, &again), [""; 0], "without the mutant: {text}");
    }
}

/// A receive that waits asks every half minute, and looks at the gate.
#[test]
fn a_receive_that_waits_is_idle() {
    for kind in KINDS {
        let frames = scenario::idle(kind, Duration::from_secs(600));
        assert!((20..=100).contains(&frames), "{kind:?}: {frames} frames in ten minutes");
    }
}

#[test]
fn a_seed_repeats_its_run() {
    for setup in KINDS.into_iter().flat_map(|kind| setups(kind, None)) {
        for seed in 0..5 {
            let [first, second] = [(); 2].map(|()| scenario::run(setup, Choices::seeded(seed)));
            assert_eq!(first.recording, second.recording, "{setup:?}, seed {seed}");
            assert_eq!(format!("{:?}", first.seen.received), format!("{:?}", second.seen.received));
        }
    }
}
