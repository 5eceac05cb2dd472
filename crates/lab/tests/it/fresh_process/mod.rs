// SPDX-License-Identifier: BSD-3-Clause
//! Runs of witnesses: in a fresh process, which is the test's own program that is asked for one test,
//! and with an ear at the adapters.

use std::cell::RefCell;
use std::process::Command;
use std::rc::Rc;

use becket_lab::adapters::{HEALTHY, Pair, Transcript, listen};
use becket_lab::contract::Limits;
use becket_lab::mutant::{self, MUTANTS, Mutant, Witness};
use becket_lab::trace::TraceHash;

/// What the fresh process is to run: a mutant's runs, with a healthy pair or with its own, and the
/// seed.
const RUN: &str = "BECKET_LAB_TEST_RUN";
/// The test that does.
const TEST: &str = "kill::in_a_fresh_process";
const ANSWER: &str = "trace hash ";

pub(crate) fn healthy(limits: Limits) -> Pair {
    (HEALTHY[0].make)(limits)
}

pub(crate) fn run(make: fn(Limits) -> Pair, witness: &Witness) -> becket_lab::trace::Trace {
    witness.run(&|| make(witness.limits))
}

/// Everything that both adapters say in a run.
pub(crate) fn said(make: fn(Limits) -> Pair, witness: &Witness) -> Transcript {
    let said = Rc::<RefCell<Transcript>>::default();
    let _trace = witness.run(&|| listen(make(witness.limits), &said));
    said.take()
}

/// The hash of a run of the mutant's witness, or of the healthy pair's.
pub(crate) fn hash(mutant: &Mutant, is_healthy: bool, seed: u64) -> TraceHash {
    let this = std::env::current_exe().expect("a program");
    let output = Command::new(this)
        .args(["--exact", TEST, "--nocapture"])
        .env(RUN, format!("{} {is_healthy} {seed}", mutant.name))
        .output()
        .expect("a process");
    let said = String::from_utf8(output.stdout).expect("text");
    let answer = said.lines().find_map(|line| line.split_once(ANSWER));
    let (_, digits) = answer.unwrap_or_else(|| panic!("no answer: {said}"));
    TraceHash::parse(digits.trim()).expect("a hash")
}

/// Runs what is asked for, if this is the fresh process.
pub(crate) fn answer() {
    let Ok(asked) = std::env::var(RUN) else {
        // It is not: nothing is asked for, and every mutant can be.
        assert!(MUTANTS.iter().all(|known| mutant::of_name(known.name).is_some()));
        return;
    };
    let asked: Vec<_> = asked.split(' ').collect();
    let [name, is_healthy, seed] = asked[..] else { panic!("{asked:?}") };
    let mutant = mutant::of_name(name).expect("a mutant of this name");
    let witness = mutant.witness.seed(seed.parse().expect("a number"));
    let make = if is_healthy == "true" { healthy } else { mutant.make };
    println!("{ANSWER}{}", run(make, &witness).hash());
}
