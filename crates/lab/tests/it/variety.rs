// SPDX-License-Identifier: BSD-3-Clause
//! The gate that looks for collapse: healthy pairs pass it however many profiles are asked for and from
//! whatever seed, and pairs that do the same whatever they are given do not.

use becket_lab::adapters::{HEALTHY, Pair};
use becket_lab::adversary::DIVERSITY_MIN;
use becket_lab::check::{self, Make, Mode, Options};
use becket_lab::contract::{
    Adapter, AdapterError, Capabilities, Cause, Chunk, Context, Descriptor, EgressAdapter, FlowId,
    IngressAdapter, Limits, Manifest, Outlet,
};
use becket_lab::gate::Gate;
use becket_lab::mutant;
use becket_lab::report::{GateReport, Report};

use crate::long::or_long;

fn checked(make: Make<'_>, mode: Mode, start_seed: u64, profiles: u32) -> Report {
    let quick = Options::quick("pair", make);
    let profiles = Some(profiles);
    check::run(&Options { mode, start_seed, profiles, gates_of_lab: false, jobs: 2, ..quick })
}

fn collapse(report: &Report) -> &GateReport {
    report.gate(Gate::CollapseResistance).unwrap()
}

/// From some of these seeds three scenarios in twenty profiles have too few kinds of runs for the ratio alone.
#[test]
fn profiles_that_are_alike_are_no_fault_of_a_healthy_pair() {
    let mut alike = 0;
    for pair in HEALTHY.iter().take(or_long(2, HEALTHY.len())) {
        for start_seed in [361, 362, 363, 365, 821] {
            let report = checked(&pair.make, Mode::Quick, start_seed, 20);
            assert_eq!(collapse(&report).verdict, "pass", "{} {start_seed}", pair.name);
            alike += u32::from(report.adversary.diversity_per_mille < DIVERSITY_MIN);
            let is_compared = report.adversary.reference.is_some();
            assert_eq!(is_compared, report.adversary.diversity_per_mille < DIVERSITY_MIN);
        }
    }
    assert!(alike >= 4, "{alike}: the seeds are no longer those");
}

/// Claims everything, and does the same with every flow.
struct Dull(Option<FlowId>, Dullness);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Dullness {
    RefusesAll,
    ResetsAll,
    TakesAllAndGivesNothing,
}

impl Adapter for Dull {
    fn manifest(&self) -> Manifest {
        let limits = Limits {
            flows_max: 4096,
            buffered_bytes_max: u64::MAX >> 1,
            flow_buffered_bytes_max: u64::MAX >> 1,
        };
        Manifest { name: "dull".into(), capabilities: Capabilities::ALL, limits }
    }

    fn open(
        &mut self,
        cx: &mut Context<'_>,
        flow: FlowId,
        _: &Descriptor,
    ) -> Result<(), AdapterError> {
        if self.1 == Dullness::RefusesAll {
            return Err(AdapterError::Failed { flow, what: String::new() });
        }
        self.0 = Some(flow);
        cx.wants_poll();
        Ok(())
    }

    fn half_close(&mut self, _: &mut Context<'_>, _: FlowId) -> Result<(), AdapterError> {
        Ok(())
    }

    fn reset(&mut self, _: &mut Context<'_>, _: FlowId, _: Cause) -> Result<(), AdapterError> {
        Ok(())
    }

    fn close(&mut self, _: &mut Context<'_>, _: FlowId) -> Result<(), AdapterError> {
        Ok(())
    }

    fn poll(&mut self, _: &mut Context<'_>, outlet: &mut Outlet<'_>) {
        if let Some(flow) = self.0.take().filter(|_| self.1 == Dullness::ResetsAll) {
            outlet.reset(flow, Cause::Error);
        }
    }

    fn buffered_bytes(&self) -> u64 {
        0
    }

    fn summary(&self) -> String {
        String::new()
    }
}

impl IngressAdapter for Dull {
    fn offer(
        &mut self,
        _: &mut Context<'_>,
        _: &Chunk,
        bytes: &[u8],
    ) -> Result<usize, AdapterError> {
        Ok(bytes.len())
    }
}

impl EgressAdapter for Dull {
    fn accept(
        &mut self,
        _: &mut Context<'_>,
        _: &Chunk,
        bytes: &[u8],
    ) -> Result<usize, AdapterError> {
        Ok(bytes.len())
    }
}

#[test]
fn pairs_that_do_the_same_whatever_they_are_given_fail_it() {
    let dull = |of: Dullness| {
        move |_: Limits| -> Pair { (Box::new(Dull(None, of)), Box::new(Dull(None, of))) }
    };
    let kinds = [
        ("refuses", Dullness::RefusesAll),
        ("resets", Dullness::ResetsAll),
        ("takes", Dullness::TakesAllAndGivesNothing),
    ];
    for (name, of) in kinds {
        for start_seed in [1, 361, 821].into_iter().take(or_long(1, 3)) {
            let report = checked(&dull(of), Mode::Quick, start_seed, 20);
            assert_eq!(collapse(&report).verdict, "fail", "{name} from {start_seed}");
        }
    }
    let padding = mutant::of_name("padding_only_diversity").unwrap();
    for start_seed in [1, 361, 821].into_iter().take(or_long(1, 3)) {
        for profiles in [3, 20, 40] {
            let report = checked(&padding.make, Mode::Quick, start_seed, profiles);
            let verdict = (collapse(&report).verdict, report.exit_code);
            assert_eq!(verdict, ("fail", 1), "{start_seed}, {profiles} profiles");
        }
    }
}

/// Each mutant is fixed in one respect, and the gate names that one.
#[test]
fn what_a_pair_does_the_same_way_in_each_run_is_flagged_one_by_one() {
    let fixed = [
        ("fixed_mapping", "fixed mapping of flows at the ingress adapter"),
        ("fixed_backpressure", "fixed backpressure"),
        ("fixed_reset", "fixed resets"),
    ];
    for (name, expected) in fixed {
        let mutant = mutant::of_name(name).unwrap();
        let report = checked(&mutant.make, Mode::Full, 1, or_long(6, 20));
        let gate = collapse(&report);
        let reason = gate.reason.as_deref().unwrap_or_default();
        assert_eq!((gate.verdict, report.exit_code), ("fail", 1), "{name}");
        for (_, suspicion) in fixed {
            let is_expected = suspicion == expected;
            assert_eq!(reason.contains(suspicion), is_expected, "{name}: {reason}");
        }
    }
}

#[test]
#[ignore = "a long proof: every healthy pair from two hundred start seeds"]
fn healthy_pairs_pass_it_from_two_hundred_start_seeds() {
    for pair in HEALTHY {
        let (mut least, mut alike) = (u64::MAX, 0);
        for start_seed in (0..4000).step_by(20) {
            let report = checked(&pair.make, Mode::Quick, start_seed, 20);
            let seen = &report.adversary;
            if let Some(shown) = &seen.reference {
                alike += 1;
                least = least.min(1000 * seen.diversity_per_mille / shown.diversity_per_mille);
            }
            assert_eq!(report.verdict, "not-exercised", "{} from {start_seed}", pair.name);
            assert_eq!(collapse(&report).verdict, "pass", "{} from {start_seed}", pair.name);
        }
        println!("{}: {alike} alike, the least {least} of a thousand", pair.name);
    }
}
