// SPDX-License-Identifier: BSD-3-Clause
//! Each rule breaks: a healthy trace, in which one thing is made wrong.

use std::collections::BTreeSet;

use becket_lab::contract::{Capability, ErrorClass, FlowId, FlowState, Tick};
use becket_lab::fault::{BLOCKED_MS_MAX, CLEARED_MS_MAX};
use becket_lab::pattern::Direction;
use becket_lab::rules::{CATALOGUE, Examination, Family, Outcome};
use becket_lab::source::Source;
use becket_lab::target::Behaviour;
use becket_lab::trace::{Call, Event, EventKind, FaultKind, Kept, OutletEvent, SessionCall, Stage};

mod run;

use self::run::{
    IN, OUT, Run, SECRET, blocks, is_called, is_finished, is_moved, is_out, is_said, is_took,
    out_bytes, refuse,
};

/// The first flow that gets into a state gets into another.
fn moves(run: &mut Run, from: FlowState, to: FlowState) {
    run.edit(|_, what| is_moved(what, from), |what| *what = EventKind::Moved { state: to });
}

/// So many more, or fewer, bytes are carried by the first event that is so.
fn carries(run: &mut Run, is_so: fn(&EventKind) -> bool, change: i64) {
    run.edit(
        |_, what| is_so(what),
        |what| out_bytes(what, |bytes| bytes.saturating_add_signed(change)),
    );
}

/// The first offer to the ingress adapter is huge, and taken.
fn takes_much(run: &mut Run) {
    run.edit(
        |_, what| matches!(what, EventKind::Offered { .. }),
        |what| {
            if let EventKind::Offered { bytes, .. } = what {
                *bytes = 1 << 40;
            }
        },
    );
    run.edit(|_, what| is_took(what), |what| out_bytes(what, |_| 1 << 40));
}

type Make = fn() -> Run;
type Break = fn(&mut Run);

fn burst() -> Run {
    Run::of(Source::SmallBurst, Behaviour::Echo, 64 << 10)
}

fn resetting() -> Run {
    Run::of(Source::Resetting, Behaviour::Echo, 64 << 10)
}

/// Sources are turned away again and again.
fn tight() -> Run {
    Run::of(Source::SmallBurst, Behaviour::Echo, 7)
}

/// A rule, a healthy run, and what breaks the rule in it.
const CASES: &[(&str, Make, Break)] = &[
    ("INT-01", burst, |run| {
        run.insert(|_, what| is_out(what, OUT), 1, EventKind::OtherByte { place: OUT, offset: 9 })
    }),
    ("INT-02", burst, |run| {
        run.edit(
            |_, what| is_out(what, IN),
            |what| {
                if let EventKind::Out { sequence, .. } = what {
                    *sequence = 2;
                }
            },
        )
    }),
    ("INT-03", burst, |run| {
        run.edit(
            |_, what| is_out(what, IN),
            |what| {
                if let EventKind::Out { offset, .. } = what {
                    *offset = 5;
                }
            },
        )
    }),
    ("INT-04", burst, |run| carries(run, |what| is_out(what, IN), 1)),
    ("INT-05", burst, |run| carries(run, |what| is_out(what, IN), -1)),
    ("INT-06", burst, |run| {
        run.edit(
            |_, what| matches!(what, EventKind::Crossed { direction: Direction::Request, .. }),
            |what| out_bytes(what, |bytes| bytes - 1),
        )
    }),
    ("INT-07", burst, |run| carries(run, |what| is_out(what, OUT), -1)),
    ("INT-08", burst, |run| {
        run.insert(
            |_, what| matches!(what, EventKind::Crossed { .. }),
            1,
            EventKind::OtherByte { place: Stage::Network, offset: 0 },
        )
    }),
    ("INT-09", burst, |run| {
        run.insert(
            |_, what| is_out(what, IN),
            1,
            EventKind::Out { place: IN, sequence: 1, offset: 0, bytes: 0, is_final: false },
        )
    }),
    ("INT-10", burst, |run| {
        run.edit(
            |_, what| matches!(what, EventKind::Crossed { .. }),
            |what| out_bytes(what, |bytes| bytes + 1),
        )
    }),
    ("INT-11", burst, |run| {
        let (is_client, call, is_right) = (false, SessionCall::Nack, false);
        run.begin_with(0, EventKind::SessionCall { is_client, call, is_right });
    }),
    ("LIF-01", burst, |run| {
        run.edit(
            |_, what| is_called(what, IN, Call::Open),
            |what| refuse(what, ErrorClass::TooManyFlows),
        )
    }),
    ("LIF-02", burst, |run| run.remove(|_, what| is_moved(what, FlowState::Open))),
    ("LIF-03", burst, |run| {
        run.insert(
            |flow, what| flow == 1 && is_called(what, OUT, Call::Close),
            1,
            EventKind::OutOnNoFlow { place: OUT, bytes: 1, state: FlowState::Closed },
        )
    }),
    ("LIF-04", burst, |run| {
        run.insert(
            |flow, what| flow == 1 && is_said(what, IN, OutletEvent::HalfClosed),
            1,
            EventKind::OutOnNoFlow { place: IN, bytes: 1, state: FlowState::HalfClosed },
        )
    }),
    ("LIF-05", burst, |run| {
        run.insert(
            |flow, what| flow == 1 && is_said(what, IN, OutletEvent::HalfClosed),
            1,
            EventKind::Signalled { place: IN, said: OutletEvent::HalfClosed },
        )
    }),
    ("LIF-06", burst, |run| {
        run.insert(
            |flow, what| flow == 1 && matches!(what, EventKind::Stream { .. }),
            1,
            EventKind::Signalled { place: IN, said: OutletEvent::HalfClosed },
        )
    }),
    (
        "LIF-07",
        || Run::of(Source::LateWrite, Behaviour::Echo, 64 << 10),
        |run| {
            run.edit(
                |_, what| matches!(what, EventKind::OfferRefused { .. }),
                |what| *what = EventKind::Took { place: IN, bytes: 16 },
            )
        },
    ),
    ("LIF-08", burst, |run| {
        run.edit(
            |_, what| is_called(what, IN, Call::Close),
            |what| refuse(what, ErrorClass::UnknownFlow),
        )
    }),
    ("LIF-09", burst, |run| moves(run, FlowState::Closed, FlowState::Failed)),
    ("BPR-01", burst, |run| {
        run.insert(
            |_, what| is_out(what, IN),
            1,
            EventKind::OutBeyondRoom { place: IN, bytes: 9, room: 8 },
        )
    }),
    ("BPR-02", burst, |run| carries(run, is_took, 1)),
    (
        "BPR-03",
        || Run::of(Source::SlowDrip, Behaviour::Echo, 7),
        |run| {
            let at = run.first(|_, what| *what == EventKind::Resumed);
            run.delay(at, 65);
        },
    ),
    ("BPR-04", tight, takes_much),
    ("BPR-05", burst, |run| run.edit(|_, what| is_took(what), |what| out_bytes(what, |_| 0))),
    ("BPR-06", burst, |run| {
        run.edit(|_, what| is_out(what, IN), |what| out_bytes(what, |_| 65 << 10))
    }),
    ("BPR-07", burst, |run| _ = blocks(run, 65)),
    ("ISO-01", burst, |run| {
        run.insert(
            |_, what| is_out(what, IN),
            99,
            EventKind::OutOnNoFlow { place: IN, bytes: 1, state: FlowState::New },
        )
    }),
    ("ISO-02", resetting, |run| {
        let reset = run.first(|_, what| is_moved(what, FlowState::Reset));
        let closed =
            run.events.iter().rposition(|it| is_moved(&it.what, FlowState::Closed)).unwrap();
        assert!(reset < closed);
        run.events[closed].what = EventKind::Moved { state: FlowState::Reset };
    }),
    ("ISO-03", tight, |run| {
        // The first is turned away; nothing moves from then on.
        let at = run.first(|flow, what| flow == 1 && *what == EventKind::Stalled);
        let tick = run.events[at].tick;
        run.events.truncate(at + 1);
        let stuck = EventKind::Stuck { state: FlowState::Open };
        run.events.push(Event { tick, flow: FlowId::new(2), what: stuck });
        run.events.push(Event { tick, flow: FlowId::new(0), what: EventKind::Finished });
    }),
    ("ISO-04", burst, |run| carries(run, |what| is_out(what, OUT), -1)),
    ("ISO-05", burst, |run| {
        for event in &mut run.events {
            if let EventKind::Stream { stream } = &mut event.what {
                *stream = 7;
            }
        }
    }),
    (
        "ERR-01",
        || Run::of(Source::SmallBurst, Behaviour::ErrorResponse, 64 << 10),
        |run| moves(run, FlowState::Failed, FlowState::Closed),
    ),
    (
        "ERR-02",
        || Run::of(Source::SmallBurst, Behaviour::ResetMidstream, 64 << 10),
        |run| moves(run, FlowState::Reset, FlowState::Failed),
    ),
    ("ERR-03", resetting, |run| moves(run, FlowState::Reset, FlowState::Closed)),
    ("ERR-04", burst, |run| {
        run.insert(
            |flow, what| flow == 1 && matches!(what, EventKind::Stream { .. }),
            1,
            EventKind::Signalled { place: OUT, said: OutletEvent::Failed },
        )
    }),
    ("ERR-05", resetting, |run| {
        run.edit(
            |_, what| is_said(what, OUT, OutletEvent::Reset),
            |what| *what = EventKind::Signalled { place: OUT, said: OutletEvent::Failed },
        )
    }),
    ("ERR-06", resetting, |run| {
        run.edit(
            |_, what| is_said(what, OUT, OutletEvent::Reset),
            |what| *what = EventKind::Signalled { place: OUT, said: OutletEvent::HalfClosed },
        )
    }),
    ("ERR-07", burst, |run| {
        run.edit(|_, what| is_took(what), |what| refuse(what, ErrorClass::Closed))
    }),
    (
        "ERR-08",
        || Run::of(Source::Malformed, Behaviour::Echo, 64 << 10),
        |run| {
            run.edit(
                |_, what| matches!(what, EventKind::OfferRefused { .. }),
                |what| *what = EventKind::Took { place: IN, bytes: 16 },
            )
        },
    ),
    ("LIV-01", burst, |run| {
        run.remove(|flow, what| flow == 1 && is_moved(what, FlowState::Closed));
    }),
    ("LIV-02", burst, |run| {
        let at = run.first(is_finished);
        let what = EventKind::Stuck { state: FlowState::Closed };
        run.events.insert(at, Event { tick: Tick(0), flow: FlowId::new(1), what });
    }),
    ("LIV-03", burst, |run| run.remove(is_finished)),
    ("LIV-04", burst, |run| run.begin_with(0, EventKind::OutOfSteps)),
    ("LIV-05", burst, |run| run.remove(|_, what| is_said(what, IN, OutletEvent::HalfClosed))),
    ("LIV-06", resetting, |run| run.remove(|_, what| is_said(what, OUT, OutletEvent::Reset))),
    ("LIV-07", burst, |run| {
        run.delay(0, CLEARED_MS_MAX + 1);
        run.begin_with(0, EventKind::FaultsCleared);
    }),
    ("ROB-01", burst, |run| {
        moves(run, FlowState::Closed, FlowState::Failed);
        run.begin_with(0, EventKind::Fault(FaultKind::Delay));
    }),
    ("ROB-02", burst, |run| {
        carries(run, |what| is_out(what, OUT), -1);
        run.begin_with(0, EventKind::Fault(FaultKind::Corrupt));
    }),
    ("ROB-03", burst, |run| {
        run.edit(
            |flow, what| flow == 1 && is_moved(what, FlowState::Closed),
            |what| *what = EventKind::Stuck { state: FlowState::Open },
        );
        run.begin_with(1, EventKind::Fault(FaultKind::Cancel));
    }),
    ("ROB-04", burst, |run| {
        moves(run, FlowState::Closed, FlowState::Failed);
        run.begin_with(0, EventKind::Fault(FaultKind::Crash));
    }),
    ("ROB-05", burst, |run| {
        run.begin_with(0, EventKind::SessionError { is_client: true, code: 1 })
    }),
    ("DET-01", burst, |run| run.again[0] = false),
    ("DET-02", burst, |run| run.again[1] = false),
    ("HYG-01", burst, |run| run.texts[0].2 = format!("{:?}", &SECRET[..9])),
    ("HYG-02", burst, |run| run.texts[1].2 = format!("bad {:02x?}", &SECRET[4..])),
    ("HYG-03", burst, |run| run.texts[2].2 = format!("b\"{}\"", SECRET[..8].escape_ascii())),
    ("HYG-04", burst, |run| run.texts[3].2 = format!("{:?}", &SECRET[8..])),
    ("HYG-05", burst, |run| run.texts[0].2 = "its password".to_owned()),
    (
        "CAP-01",
        || Run::of(Source::HalfClose, Behaviour::Echo, 64 << 10),
        |run| run.forget(0, Capability::FlowHalfClose),
    ),
    ("CAP-02", resetting, |run| run.forget(1, Capability::FlowReset)),
    (
        "CAP-03",
        || Run::of(Source::HalfClose, Behaviour::Echo, 64 << 10),
        |run| {
            run.edit(
                |_, what| is_called(what, IN, Call::HalfClose),
                |what| refuse(what, ErrorClass::Unsupported),
            )
        },
    ),
    ("CAP-04", resetting, |run| {
        run.edit(
            |_, what| is_called(what, IN, Call::Reset),
            |what| refuse(what, ErrorClass::Unsupported),
        )
    }),
    (
        "CAP-05",
        || Run::of(Source::MixedFlow, Behaviour::Echo, 64 << 10),
        |run| {
            // What is interactive has waited since it was taken and its flow was open.
            let came = run
                .first(|flow, what| flow == 2 && matches!(what, EventKind::Took { place: IN, .. }));
            let opened = run.first(|flow, what| flow == 2 && is_moved(what, FlowState::Open));
            let went = run.first(|flow, what| flow == 2 && is_out(what, IN));
            assert!(came.max(opened) < went);
            let what =
                EventKind::Out { place: IN, sequence: 1, offset: 0, bytes: 1, is_final: false };
            run.events
                .insert(came.max(opened) + 1, Event { tick: Tick(0), flow: FlowId::new(1), what });
        },
    ),
    ("CAP-06", burst, |run| run.forget(1, Capability::AdapterEgress)),
    ("CAP-07", burst, |run| run.after[0].limits.flows_max += 1),
    ("RES-01", burst, |run| run.begin_with(0, EventKind::Holds { place: OUT, bytes: 1 << 30 })),
    ("RES-02", burst, takes_much),
    ("RES-03", burst, takes_much),
    ("RES-04", burst, |run| {
        run.events.retain(|event| !matches!(event.what, EventKind::Holds { place: IN, .. }))
    }),
    ("RES-05", burst, |run| run.manifests[1].limits.flows_max = 1),
    ("RES-06", burst, |run| {
        let at = run.first(is_finished);
        let what = EventKind::Left { place: OUT, bytes: 3 };
        run.events.insert(at, Event { tick: Tick(0), flow: FlowId::new(0), what });
    }),
    ("RES-07", burst, |run| {
        let at = run.first(is_finished);
        let what = EventKind::Waits { place: IN };
        run.events.insert(at, Event { tick: Tick(0), flow: FlowId::new(0), what });
    }),
    ("RES-08", burst, |run| {
        let at = run.first(is_finished);
        let what = EventKind::SessionKeeps { is_client: true, kept: Kept::Streams, amount: 1 };
        run.events.insert(at, Event { tick: Tick(0), flow: FlowId::new(0), what });
    }),
];

fn outcome(examination: &Examination, id: &str) -> Outcome {
    let found = examination.outcomes.iter().find(|(rule, _)| rule.id == id);
    found.expect("a rule of the catalogue").1.clone()
}

#[test]
fn every_rule_breaks_when_its_sentence_is_no_longer_true() {
    for (id, run, make_wrong) in CASES {
        let mut run = run();
        let before = run.examine();
        let findings: Vec<_> = before.findings().collect();
        assert!(findings.is_empty(), "{id}, in a healthy run: {findings:?}");
        make_wrong(&mut run);
        let after = run.examine();
        let Outcome::Violated(finding) = outcome(&after, id) else {
            panic!("{id} is {:?} though it was broken", outcome(&after, id));
        };
        println!("{id} flow {} event {}: {}", finding.flow, finding.event, finding.said);
        assert!(finding.rule == *id && finding.event <= run.events.len(), "{finding:?}");
        assert!(finding.said.contains(" is ") && finding.said.contains("has to be"), "{finding:?}");
    }
}

#[test]
fn every_rule_has_its_case() {
    let cases: Vec<_> = CASES.iter().map(|(id, ..)| *id).collect();
    let rules: Vec<_> = CATALOGUE.iter().map(|rule| rule.id).collect();
    assert_eq!(cases, rules);
}

/// A rule that holds was tried: most are, in a handful of runs, the others need faults or claims.
#[test]
fn rules_that_had_no_occasion_are_not_held() {
    let held = |run: Run| {
        let examination = run.examine();
        let outcomes = examination.outcomes.into_iter();
        let held = outcomes.filter(|(_, outcome)| *outcome == Outcome::Held);
        held.map(|(rule, _)| rule.id).collect::<BTreeSet<_>>()
    };
    let (burst, resetting) = (held(burst()), held(resetting()));
    for id in ["BPR-03", "BPR-04", "ERR-03", "ERR-05", "LIV-06", "ROB-01", "CAP-04", "RES-05"] {
        assert!(!burst.contains(id), "{id}");
    }
    for id in ["ERR-03", "ERR-05", "ERR-06", "LIV-06", "CAP-04", "ISO-02", "INT-01"] {
        assert!(resetting.contains(id), "{id}");
    }
    let mut nothing = Run::of(Source::SmallBurst, Behaviour::Echo, 64 << 10);
    nothing.events.clear();
    let examination = nothing.examine();
    for family in [Family::Integrity, Family::Lifecycle, Family::Backpressure, Family::Errors] {
        let of_family = examination.outcomes.iter().filter(|(rule, _)| rule.family == family);
        assert!(of_family.clone().all(|(_, outcome)| *outcome == Outcome::NotExercised));
    }
}

#[test]
fn what_is_not_claimed_is_not_asked_for() {
    let mut run = burst();
    for side in 0..2 {
        run.forget(side, Capability::FlowPriority);
        run.forget(side, Capability::FlowBackpressure);
        run.forget(side, Capability::TraceSafeAdapterSummary);
    }
    run.after = run.manifests.clone();
    let examination = run.examine();
    for id in ["BPR-03", "BPR-04", "BPR-07", "CAP-05", "HYG-01", "CAP-01", "CAP-02"] {
        assert_eq!(outcome(&examination, id), Outcome::NotApplicable, "{id}");
    }
    assert_eq!(outcome(&examination, "INT-01"), Outcome::Held);
    // What is said of nothing that is claimed can be broken all the same.
    let mut leaks = burst();
    leaks.texts[0].2 = format!("{SECRET:?}");
    assert!(matches!(outcome(&leaks.examine(), "HYG-01"), Outcome::Violated(_)));
}

#[test]
fn a_finding_says_where() {
    let mut run = burst();
    run.edit(
        |flow, what| flow == 3 && is_out(what, OUT),
        |what| {
            if let EventKind::Out { offset, .. } = what {
                *offset = 41;
            }
        },
    );
    let at = run.first(|flow, what| flow == 3 && is_out(what, OUT));
    let Outcome::Violated(finding) = outcome(&run.examine(), "INT-03") else { panic!("broken") };
    assert_eq!((finding.flow.number(), finding.offset, finding.event), (3, Some(41), at));
    assert_eq!(finding.tick, run.events[at].tick);
    let said = "egress adapter: the offset of a chunk is 41, and has to be 0";
    assert_eq!(finding.said, said);
}

/// The sink took nothing of one flow for as long as it may, and others have not ended: but for those
/// for which that flow left no room.
#[test]
fn a_flow_that_stops_beside_a_blocked_one_is_found() {
    let after = |ms, buffered_bytes_max| {
        let mut run = burst();
        let at = blocks(&mut run, 0);
        run.delay(at, ms);
        run.manifests[1].limits.buffered_bytes_max = buffered_bytes_max;
        outcome(&run.examine(), "ISO-03")
    };
    let Outcome::Violated(finding) = after(BLOCKED_MS_MAX, 1 << 20) else { panic!("broken") };
    assert!(finding.flow.number() > 1, "{finding:?}");
    assert!(
        finding.said.contains("a flow, while the sink took nothing of another,"),
        "{finding:?}"
    );
    for (ms, buffered) in [(BLOCKED_MS_MAX - 1, 1 << 20), (BLOCKED_MS_MAX, 64 << 10)] {
        assert!(!matches!(after(ms, buffered), Outcome::Violated(_)), "{ms} {buffered}");
    }
}

/// It takes what comes and gives back nothing: what its source gave lies nowhere.
#[test]
fn a_target_that_ended_early_is_no_room_for_what_came_behind() {
    let mut run = tight();
    takes_much(&mut run);
    let Outcome::Violated(finding) = outcome(&run.examine(), "BPR-04") else { panic!("broken") };
    run.begin_with(finding.flow.number(), EventKind::Fault(FaultKind::HalfClose));
    assert!(!matches!(outcome(&run.examine(), "BPR-04"), Outcome::Violated(_)));
}

/// The sink takes of a flow again: the adapter has so long to go on, unless something else was in its
/// way, or it holds nothing.
#[test]
fn a_flow_that_continues_late_after_a_block_is_found() {
    let after = |change: &dyn Fn(&mut Run)| {
        let mut run = burst();
        blocks(&mut run, 0);
        change(&mut run);
        outcome(&run.examine(), "BPR-07")
    };
    let goes_on = |run: &mut Run, ms| {
        let at = run.first(|_, what| *what == EventKind::Unblocked);
        run.delay(at + 1, ms);
    };
    let never = |run: &mut Run| {
        goes_on(run, 65);
        let at = run.first(|_, what| *what == EventKind::Unblocked);
        let behind = run.events.split_off(at + 1).into_iter();
        run.events.extend(behind.filter(|it| it.flow.number() != 1));
    };
    let another_is_blocked = |run: &mut Run| {
        goes_on(run, 65);
        let at = run.first(|_, what| *what == EventKind::Unblocked);
        let of_another =
            Event { flow: FlowId::new(2), tick: run.events[at + 1].tick, ..run.events[at] };
        run.events.insert(at + 1, of_another);
    };
    assert_eq!(after(&|run| goes_on(run, 64)), Outcome::Held);
    for change in
        [&|run: &mut Run| goes_on(run, 65) as _, &never as &dyn Fn(&mut Run), &another_is_blocked]
    {
        let Outcome::Violated(finding) = after(change) else { panic!("broken") };
        assert_eq!(finding.flow.number(), 1);
        assert!(finding.said.contains("the time until it puts out again is"), "{finding:?}");
    }
    let slow = |run: &mut Run| {
        goes_on(run, 65);
        run.begin_with(1, EventKind::Fault(FaultKind::SlowConsumer));
    };
    let empty = |run: &mut Run| {
        never(run);
        run.events.retain(|it| it.flow.number() != 1 || !is_took(&it.what));
    };
    for change in [&slow as &dyn Fn(&mut Run), &empty] {
        assert_eq!(after(change), Outcome::NotExercised);
    }
    // What comes in later is not what it held.
    let mut later = burst();
    later.begin_with(1, EventKind::Unblocked);
    later.begin_with(1, EventKind::Fault(FaultKind::BlockedConsumer));
    later.delay(2, 65);
    assert_eq!(outcome(&later.examine(), "BPR-07"), Outcome::NotExercised);
}
