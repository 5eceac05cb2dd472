// SPDX-License-Identifier: BSD-3-Clause
//! Shrinking by itself: what fails is said of the input, without a run.

use super::*;
use crate::config::Config;
use crate::contract::{Class, FlowId, Tick};
use crate::fault::{FaultKinds, FaultPlan};
use crate::link::Link;
use crate::source::{End, FlowPlan, Planned, Source};
use crate::target::Behaviour;
use crate::trace::FaultKind;

fn candidate(recording: Vec<u32>) -> Candidate {
    let config = Config::default();
    let plans = Source::MixedFlow.plan(&config, 4);
    let behaviour = Behaviour::DripResponse;
    let kinds = FaultKinds::only(FaultKind::Drop).with(FaultKind::Stall).with(FaultKind::Cancel);
    let faults = FaultPlan::new(kinds, 50, Tick(99));
    let link = Link::LossyReordered;
    let case = Case { config, plans, behaviour, window_bytes: 9, link, faults };
    Candidate { case, recording }
}

fn small(start: Candidate, tries_max: u32, fails: impl Fn(&Candidate) -> bool) -> Option<Shrunk> {
    let asked = start.recording.len() as u64;
    let failed = |it: &Candidate| fails(it).then_some(Failed { events: 7, asked });
    let (mut tries, mut size) = (0, None);
    let shrunk = shrink(start, tries_max, failed, |progress| {
        assert_eq!(progress.tries, tries + 1);
        assert!(size.is_none_or(|before| progress.size <= before));
        (tries, size) = (progress.tries, Some(progress.size));
    });
    if let Some(shrunk) = &shrunk {
        assert!(fails(&shrunk.candidate) && shrunk.size <= shrunk.before);
        assert_eq!((shrunk.tries, Some(shrunk.size)), (tries, size));
        assert!(tries <= tries_max);
    }
    shrunk
}

/// A hanging adapter costs a timeout per run: there are fewer runs, and the result is reported as
/// not minimal.
#[test]
fn a_failure_that_hangs_is_tried_less_often() {
    use crate::bridge::hangs;
    use crate::check::{self, TRIES_A_HANG};
    use crate::contract::Limits;
    use crate::mutant::MUTANTS;

    const TRIES: u32 = 100;
    let mutant = MUTANTS.iter().find(|it| it.name == "duplicates_chunk").unwrap();
    let kept = parking_lot::Mutex::new(None);
    let keeps = |it: &check::Artefact<'_>| {
        kept.lock().get_or_insert_with(|| it.replay.clone());
    };
    let options = check::Options::quick(mutant.name, &mutant.make);
    let options = check::Options { artefacts: Some(&keeps), shrink_tries: 1, ..options };
    let _report = check::run(&check::Options { gates_of_lab: false, ..options });
    let replay = kept.into_inner().unwrap();
    let small = |make: check::Make<'_>| check::smaller(make, &replay, TRIES, |_| ()).unwrap().1;
    let plain = small(&mutant.make);
    assert!(plain.is_minimal && plain.tries > TRIES / TRIES_A_HANG, "{plain:?}");
    let hangs = |limits: Limits| {
        hangs::count();
        (mutant.make)(limits)
    };
    let hung = small(&hangs);
    assert!(!hung.is_minimal && hung.tries <= TRIES / TRIES_A_HANG, "{hung:?}");
}

#[test]
fn recordings_get_short_plain_and_small() {
    let start = || (0..400).map(|at| at * 7 % 23).collect::<Vec<u32>>();
    type Fails = fn(&[u32]) -> bool;
    let tried: [(Fails, &[u32]); 6] = [
        (|_| true, &[]),
        (|it| it.iter().any(|answer| *answer >= 13), &[13]),
        (|it| it.iter().filter(|answer| **answer >= 5).count() >= 2, &[5, 5]),
        (|it| it.get(3) == Some(&21), &[0, 0, 0, 21]),
        (|it| it.windows(2).any(|pair| pair[0] + 7 == pair[1]), &[0, 7]),
        (|it| it.len() >= 5, &[0, 0, 0, 0, 1]),
    ];
    for (at, (fails, expected)) in tried.into_iter().enumerate() {
        let shrunk = small(candidate(start()), 10_000, |it| fails(&it.recording)).unwrap();
        assert!(shrunk.is_minimal);
        assert_eq!(shrunk.candidate.recording, expected, "{at}");
    }
}

#[test]
fn cases_get_plain() {
    let shrunk = small(candidate(vec![3]), 1000, |_| true).unwrap();
    let case = &shrunk.candidate.case;
    assert_eq!((case.plans.len(), case.behaviour), (0, Behaviour::Discard));
    assert_eq!((case.window_bytes, case.link), (64 << 10, Link::Stream));
    assert_eq!(case.faults, FaultPlan::NONE);
}

/// As one that loses a little credit at each choice, and stops when a window is lost.
#[test]
fn what_adds_up_to_a_window_needs_few_choices_of_a_small_one() {
    let mut start = candidate(vec![1; 100]);
    start.case.window_bytes = 512;
    let deviations = |it: &Candidate| it.recording.iter().filter(|answer| **answer != 0).count();
    let shrunk = small(start, 100_000, |it| deviations(it) as u64 * 8 >= it.case.window_bytes);
    let shrunk = shrunk.unwrap();
    assert!(shrunk.is_minimal && shrunk.size.deviations <= 1, "{shrunk:?}");
}

/// As one that loses the credit of a chunk at each choice: a smaller window than a chunk loses none.
#[test]
fn what_is_lost_by_the_chunk_needs_one_choice_of_a_window_of_one_chunk() {
    const CHUNK: u64 = 16;
    let mut start = candidate(vec![1; 100]);
    start.case.window_bytes = 1024;
    let deviations = |it: &Candidate| it.recording.iter().filter(|answer| **answer != 0).count();
    let shrunk = small(start, 100_000, |it| {
        it.case.window_bytes >= CHUNK && deviations(it) as u64 * CHUNK >= it.case.window_bytes
    });
    assert_eq!(shrunk.unwrap().size.deviations, 1);
}

/// A long recording: in fewer runs than a try of each answer would take.
#[test]
fn a_small_window_is_tried_before_single_choices() {
    let mut start = candidate(vec![1; 2000]);
    start.case.window_bytes = 8192;
    let deviations = |it: &Candidate| it.recording.iter().filter(|answer| **answer != 0).count();
    let shrunk = small(start, 200, |it| deviations(it) as u64 * 8 >= it.case.window_bytes).unwrap();
    assert!(shrunk.size.deviations <= 1, "{shrunk:?}");
}

#[test]
fn a_run_that_is_too_long_gets_no_small_window() {
    let mut start = candidate(vec![1; 100]);
    start.case.window_bytes = 512;
    let events = start.case.config.max_events as usize;
    let failed = |it: &Candidate| {
        let deviations = it.recording.iter().filter(|answer| **answer != 0).count() as u64;
        (deviations * 8 >= it.case.window_bytes).then_some(Failed { events, asked: 100 })
    };
    let shrunk = shrink(start, 10_000, failed, |_| ()).unwrap();
    assert_eq!((shrunk.candidate.case.window_bytes, shrunk.size.deviations), (512, 64));
}

#[test]
fn what_a_failure_needs_stays() {
    let plan = |number, bytes, at, end| {
        let chunks = [bytes; 6].map(|bytes| Planned { at: Tick(at), bytes }).to_vec();
        FlowPlan { flow: FlowId::new(number), class: Class::Bulk, opens_at: Tick(at), chunks, end }
    };
    let mut start = candidate(vec![1, 2, 3]);
    start.case.plans = (1..=9).map(|at| plan(at, 10_000, at.into(), End::Final)).collect();
    start.case.plans[5] = plan(6, 9000, 5, End::Reset);
    // A flow that is reset behind 777 bytes or more that come at tick 3 or later, and one before it.
    let fails = |it: &Candidate| {
        let is_it = |plan: &&FlowPlan| {
            let late = plan.chunks.iter().filter(|chunk| chunk.at.0 >= 3);
            plan.end == End::Reset && late.map(|chunk| chunk.bytes).sum::<u64>() >= 777
        };
        let found = it.case.plans.iter().find(is_it);
        found.is_some_and(|plan| plan.flow.number() >= 2)
            && it.case.behaviour == Behaviour::DripResponse
    };
    let shrunk = small(start, 10_000, fails).unwrap();
    let Candidate { case, recording } = shrunk.candidate;
    let [before, reset] = &case.plans[..] else { panic!("{case:?}") };
    assert!(shrunk.is_minimal && recording.is_empty());
    assert_eq!((before.chunks.len(), before.bytes()), (1, 1));
    assert_eq!((before.flow, reset.flow), (FlowId::new(1), FlowId::new(2)));
    assert_eq!((reset.class, reset.opens_at, reset.end), (Class::Normal, Tick(0), End::Reset));
    assert!(matches!(reset.chunks[..], [Planned { at: Tick(3), bytes: 777 }]), "{reset:?}");
}

#[test]
fn faults_that_a_failure_does_not_need_go() {
    let fails = |it: &Candidate| {
        let faults = it.case.faults;
        let strikes = faults.kinds.has(FaultKind::Stall) && faults.budget >= 7;
        strikes && faults.until >= Tick(20) && it.case.link != Link::Stream
    };
    let case = small(candidate(vec![3]), 1000, fails).unwrap().candidate.case;
    let kinds = FaultKinds::only(FaultKind::Stall);
    assert_eq!(case.faults, FaultPlan::new(kinds, 7, Tick(20)));
    assert_eq!(case.link, Link::Message);
}

#[test]
fn what_does_not_fail_is_no_failure_and_the_bound_holds() {
    assert_eq!(small(candidate(vec![1]), 100, |_| false), None);
    assert_eq!(small(candidate(vec![1]), 0, |_| true), None);
    let start = candidate((1..500).collect());
    for tries_max in [1, 2, 10, 50] {
        let fails = |it: &Candidate| it.recording.iter().filter(|it| **it % 3 == 1).count() > 40;
        let shrunk = small(start.clone(), tries_max, fails).unwrap();
        assert_eq!((shrunk.tries, shrunk.is_minimal), (tries_max, false));
    }
}

/// A plainer input may be a longer run: what a person has to read counts first.
#[test]
fn what_makes_the_run_longer_is_not_kept() {
    let failed = |it: &Candidate| {
        let events = if it.recording.contains(&3) { 5 } else { 50 };
        Some(Failed { events, asked: 9 })
    };
    let shrunk = shrink(candidate(vec![7, 3, 5]), 1000, failed, |progress| {
        assert_eq!(progress.size.events, 5);
    });
    assert_eq!(shrunk.unwrap().candidate.recording, [3]);
}

#[test]
fn unused_answers_are_removed_without_a_try() {
    let failed = |it: &Candidate| Some(Failed { events: it.recording.len().min(2), asked: 2 });
    let shrunk = shrink(candidate(vec![0, 3, 5, 7]), 1, failed, |_| ()).unwrap();
    assert_eq!(shrunk.candidate.recording, [0, 3]);
}

#[test]
fn a_number_is_found_in_few_steps() {
    for most in [0_u64, 1, 2, 17, 1000, u64::from(u32::MAX)] {
        for target in [0, 1, 2, 3, 16, 999, most / 2, most] {
            let target = target.min(most);
            let (mut found, mut tries) = (most, 0);
            least(most, |at| {
                assert!(at < found);
                tries += 1;
                if at >= target {
                    found = at;
                }
                at >= target
            });
            assert_eq!(found, target);
            assert!(tries < 300, "{tries} tries for {target} of {most}");
        }
    }
}
