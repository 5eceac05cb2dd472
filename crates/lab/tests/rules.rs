// SPDX-License-Identifier: BSD-3-Clause
//! Each rule breaks: a healthy trace, in which one thing is made wrong.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::BTreeSet;

use becket_lab::adapters::{HEALTHY, Healthy};
use becket_lab::carrier::Carrier;
use becket_lab::choice::Choices;
use becket_lab::config::Config;
use becket_lab::contract::{Capability, ErrorClass, FlowId, FlowState, Limits, Manifest, Tick};
use becket_lab::fault::{CALM_MS, FaultPlan};
use becket_lab::hygiene::{Canary, Search, Text, TextKind};
use becket_lab::pattern::Direction;
use becket_lab::rules::{
    CATALOGUE, Examination, Examined, Exit, Family, Level, Marks, Outcome, Verdict, examine, rule,
};
use becket_lab::source::{FlowPlan, Source};
use becket_lab::target::Behaviour;
use becket_lab::trace::{Call, Event, FaultKind, Place, Said, Trace, What};
use becket_lab::world::{self, Setup};

const IN: Place = Place::Ingress;
const OUT: Place = Place::Egress;

/// A run, and what is said about it. A case changes one of it.
struct Run {
    source: Source,
    behaviour: Behaviour,
    config: Config,
    limits: Limits,
    events: Vec<Event>,
    manifests: [Manifest; 2],
    after: [Manifest; 2],
    again: [bool; 2],
    texts: [(TextKind, Place, String); 4],
}

const SECRET: [u8; 16] = *b"\x93q\x07\xfeZ8\x11\xc4R\x9d\xe2/k\xb0\x1aF";

fn healthy() -> &'static Healthy {
    HEALTHY.iter().find(|pair| pair.name == "memory").expect("there is one")
}

impl Run {
    fn of(source: Source, behaviour: Behaviour, buffer: u64) -> Self {
        let config = Config { deterministic_seed: 5, ..Config::default() };
        let limits = Limits {
            flows_max: 16,
            buffered_bytes_max: 4 * buffer,
            flow_buffered_bytes_max: buffer,
        };
        let trace = trace(&setup(&config, behaviour, source.plan(&config, 4)), limits);
        let (ingress, egress) = (healthy().make)(limits);
        let manifests = [ingress.manifest(), egress.manifest()];
        let texts = [
            (TextKind::Summary, IN, ingress.summary()),
            (TextKind::Error, OUT, "flow 1 takes nothing more".to_owned()),
            (TextKind::Debug, OUT, "Adapter { flows: 0 }".to_owned()),
            (TextKind::Report, Place::Network, "all is well".to_owned()),
        ];
        let after = manifests.clone();
        let (events, again) = (trace.events().to_vec(), [true; 2]);
        Self { source, behaviour, config, limits, events, manifests, after, again, texts }
    }

    fn examine(&self) -> Examination {
        let plans = self.source.plan(&self.config, 4);
        let alone = |plan: &FlowPlan| {
            let plan = FlowPlan { flow: FlowId::new(1), ..plan.clone() };
            trace(&setup(&self.config, self.behaviour, vec![plan]), self.limits)
        };
        let alone: Vec<_> = plans.iter().map(alone).collect();
        let mut trace = Trace::new(1 << 16);
        for event in &self.events {
            trace.push(event.tick, event.flow, event.what);
        }
        let other = Trace::new(1).hash();
        let [again, elsewhere] = self.again.map(|same| if same { trace.hash() } else { other });
        let search = Search::new(&[Canary { name: "payload", bytes: SECRET.to_vec() }]);
        let text = |(kind, place, text): &'_ (TextKind, Place, String)| Text {
            kind: *kind,
            place: *place,
            text: text.clone().leak(),
        };
        let texts: Vec<_> = self.texts.iter().map(text).collect();
        let setup = setup(&self.config, self.behaviour, plans);
        let mut examined = Examined::new(&trace, &setup, self.manifests.each_ref());
        examined.solo = Some(&alone);
        (examined.again, examined.elsewhere) = (Some(again), Some(elsewhere));
        examined.claimed_after = Some(self.after.each_ref());
        (examined.texts, examined.search) = (&texts, Some(&search));
        examine(&examined)
    }

    /// The number of the first event that is so.
    fn first(&self, is_so: impl Fn(u32, &What) -> bool) -> usize {
        let position = self.events.iter().position(|it| is_so(it.flow.number(), &it.what));
        position.expect("it happens in a healthy run")
    }

    fn edit(&mut self, is_so: impl Fn(u32, &What) -> bool, edit: impl Fn(&mut What)) {
        let at = self.first(is_so);
        edit(&mut self.events[at].what);
    }

    fn remove(&mut self, is_so: impl Fn(u32, &What) -> bool) {
        let at = self.first(is_so);
        self.events.remove(at);
    }

    /// Puts something behind the first event that is so, at the same moment.
    fn insert(&mut self, is_so: impl Fn(u32, &What) -> bool, flow: u32, what: What) {
        let at = self.first(is_so);
        let tick = self.events[at].tick;
        self.events.insert(at + 1, Event { tick, flow: FlowId::new(flow), what });
    }

    fn begin_with(&mut self, flow: u32, what: What) {
        self.events.insert(0, Event { tick: Tick(0), flow: FlowId::new(flow), what });
    }

    /// Everything from an event on happens later.
    fn delay(&mut self, from: usize, ms: u64) {
        for event in &mut self.events[from..] {
            event.tick = event.tick.after(ms);
        }
    }

    fn forget(&mut self, side: usize, capability: Capability) {
        let manifest = &mut self.manifests[side];
        manifest.capabilities = manifest.capabilities.without(capability);
    }
}

fn setup<'a>(config: &'a Config, behaviour: Behaviour, plans: Vec<FlowPlan>) -> Setup<'a> {
    let (carrier, faults) = (Carrier::Stream, FaultPlan::NONE);
    Setup { config, plans, behaviour, window_bytes: 64 << 10, carrier, faults }
}

fn trace(setup: &Setup<'_>, limits: Limits) -> Trace {
    let mut trace = Trace::new(1 << 16);
    let (mut ingress, mut egress) = (healthy().make)(limits);
    let mut choices = Choices::seeded(setup.config.deterministic_seed);
    world::run(setup, (&mut *ingress, &mut *egress), &mut choices, &mut trace);
    trace
}

fn is_out(what: &What, at: Place) -> bool {
    matches!(what, What::Out { place, bytes, .. } if *place == at && *bytes > 0)
}

fn is_said(what: &What, at: Place, expected: Said) -> bool {
    *what == What::Said { place: at, said: expected }
}

fn is_moved(what: &What, to: FlowState) -> bool {
    *what == What::Moved { state: to }
}

fn is_called(what: &What, at: Place, expected: Call) -> bool {
    matches!(what, What::Called { place, call, .. } if *place == at && *call == expected)
}

const fn is_took(what: &What) -> bool {
    matches!(what, What::Took { bytes, .. } if *bytes > 0)
}

fn is_finished(_: u32, what: &What) -> bool {
    *what == What::Finished
}

fn out_bytes(what: &mut What, change: impl Fn(u64) -> u64) {
    match what {
        What::Out { bytes, .. } | What::Took { bytes, .. } | What::Crossed { bytes, .. } => {
            *bytes = change(*bytes);
        }
        _ => panic!("nothing was carried"),
    }
}

fn refuse(what: &mut What, class: ErrorClass) {
    match what {
        What::Called { refused, .. } => *refused = Some(class),
        What::Took { place, .. } => *what = What::OfferRefused { place: *place, class },
        _ => panic!("nothing was asked"),
    }
}

/// The first flow that gets into a state gets into another.
fn moves(run: &mut Run, from: FlowState, to: FlowState) {
    run.edit(|_, what| is_moved(what, from), |what| *what = What::Moved { state: to });
}

/// So many more, or fewer, bytes are carried by the first event that is so.
fn carries(run: &mut Run, is_so: fn(&What) -> bool, change: i64) {
    run.edit(
        |_, what| is_so(what),
        |what| out_bytes(what, |bytes| bytes.saturating_add_signed(change)),
    );
}

/// The first offer to the ingress adapter is huge, and taken.
fn takes_much(run: &mut Run) {
    run.edit(
        |_, what| matches!(what, What::Offered { .. }),
        |what| {
            if let What::Offered { bytes, .. } = what {
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
        run.insert(|_, what| is_out(what, OUT), 1, What::OtherByte { place: OUT, offset: 9 })
    }),
    ("INT-02", burst, |run| {
        run.edit(
            |_, what| is_out(what, IN),
            |what| {
                if let What::Out { sequence, .. } = what {
                    *sequence = 2;
                }
            },
        )
    }),
    ("INT-03", burst, |run| {
        run.edit(
            |_, what| is_out(what, IN),
            |what| {
                if let What::Out { offset, .. } = what {
                    *offset = 5;
                }
            },
        )
    }),
    ("INT-04", burst, |run| carries(run, |what| is_out(what, IN), 1)),
    ("INT-05", burst, |run| carries(run, |what| is_out(what, IN), -1)),
    ("INT-06", burst, |run| {
        run.edit(
            |_, what| matches!(what, What::Crossed { direction: Direction::Request, .. }),
            |what| out_bytes(what, |bytes| bytes - 1),
        )
    }),
    ("INT-07", burst, |run| carries(run, |what| is_out(what, OUT), -1)),
    ("INT-08", burst, |run| {
        run.insert(
            |_, what| matches!(what, What::Crossed { .. }),
            1,
            What::OtherByte { place: Place::Network, offset: 0 },
        )
    }),
    ("INT-09", burst, |run| {
        run.insert(
            |_, what| is_out(what, IN),
            1,
            What::Out { place: IN, sequence: 1, offset: 0, bytes: 0, is_final: false },
        )
    }),
    ("INT-10", burst, |run| {
        run.edit(
            |_, what| matches!(what, What::Crossed { .. }),
            |what| out_bytes(what, |bytes| bytes + 1),
        )
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
            What::OutOnNoFlow { place: OUT, bytes: 1, state: FlowState::Closed },
        )
    }),
    ("LIF-04", burst, |run| {
        run.insert(
            |flow, what| flow == 1 && is_said(what, IN, Said::HalfClosed),
            1,
            What::OutOnNoFlow { place: IN, bytes: 1, state: FlowState::HalfClosed },
        )
    }),
    ("LIF-05", burst, |run| {
        run.insert(
            |flow, what| flow == 1 && is_said(what, IN, Said::HalfClosed),
            1,
            What::Said { place: IN, said: Said::HalfClosed },
        )
    }),
    ("LIF-06", burst, |run| {
        run.insert(
            |flow, what| flow == 1 && matches!(what, What::Stream { .. }),
            1,
            What::Said { place: IN, said: Said::HalfClosed },
        )
    }),
    (
        "LIF-07",
        || Run::of(Source::LateWrite, Behaviour::Echo, 64 << 10),
        |run| {
            run.edit(
                |_, what| matches!(what, What::OfferRefused { .. }),
                |what| *what = What::Took { place: IN, bytes: 16 },
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
            What::OutBeyondRoom { place: IN, bytes: 9, room: 8 },
        )
    }),
    ("BPR-02", burst, |run| carries(run, is_took, 1)),
    (
        "BPR-03",
        || Run::of(Source::SlowDrip, Behaviour::Echo, 7),
        |run| {
            let at = run.first(|_, what| *what == What::Resumed);
            run.delay(at, 65);
        },
    ),
    ("BPR-04", tight, takes_much),
    ("BPR-05", burst, |run| run.edit(|_, what| is_took(what), |what| out_bytes(what, |_| 0))),
    ("BPR-06", burst, |run| {
        run.edit(|_, what| is_out(what, IN), |what| out_bytes(what, |_| 65 << 10))
    }),
    ("ISO-01", burst, |run| {
        run.insert(
            |_, what| is_out(what, IN),
            99,
            What::OutOnNoFlow { place: IN, bytes: 1, state: FlowState::New },
        )
    }),
    ("ISO-02", resetting, |run| {
        let reset = run.first(|_, what| is_moved(what, FlowState::Reset));
        let closed =
            run.events.iter().rposition(|it| is_moved(&it.what, FlowState::Closed)).unwrap();
        assert!(reset < closed);
        run.events[closed].what = What::Moved { state: FlowState::Reset };
    }),
    ("ISO-03", tight, |run| {
        // The first is turned away; nothing moves from then on.
        let at = run.first(|flow, what| flow == 1 && *what == What::Stalled);
        let tick = run.events[at].tick;
        run.events.truncate(at + 1);
        let stuck = What::Stuck { state: FlowState::Open };
        run.events.push(Event { tick, flow: FlowId::new(2), what: stuck });
        run.events.push(Event { tick, flow: FlowId::new(0), what: What::Finished });
    }),
    ("ISO-04", burst, |run| carries(run, |what| is_out(what, OUT), -1)),
    ("ISO-05", burst, |run| {
        for event in &mut run.events {
            if let What::Stream { stream } = &mut event.what {
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
            |flow, what| flow == 1 && matches!(what, What::Stream { .. }),
            1,
            What::Said { place: OUT, said: Said::Failed },
        )
    }),
    ("ERR-05", resetting, |run| {
        run.edit(
            |_, what| is_said(what, OUT, Said::Reset),
            |what| *what = What::Said { place: OUT, said: Said::Failed },
        )
    }),
    ("ERR-06", resetting, |run| {
        run.edit(
            |_, what| is_said(what, OUT, Said::Reset),
            |what| *what = What::Said { place: OUT, said: Said::HalfClosed },
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
                |_, what| matches!(what, What::OfferRefused { .. }),
                |what| *what = What::Took { place: IN, bytes: 16 },
            )
        },
    ),
    ("LIV-01", burst, |run| {
        run.remove(|flow, what| flow == 1 && is_moved(what, FlowState::Closed));
    }),
    ("LIV-02", burst, |run| {
        let at = run.first(is_finished);
        let what = What::Stuck { state: FlowState::Closed };
        run.events.insert(at, Event { tick: Tick(0), flow: FlowId::new(1), what });
    }),
    ("LIV-03", burst, |run| run.remove(is_finished)),
    ("LIV-04", burst, |run| run.begin_with(0, What::OutOfSteps)),
    ("LIV-05", burst, |run| run.remove(|_, what| is_said(what, IN, Said::HalfClosed))),
    ("LIV-06", resetting, |run| run.remove(|_, what| is_said(what, OUT, Said::Reset))),
    ("LIV-07", burst, |run| {
        run.delay(0, CALM_MS + 1);
        run.begin_with(0, What::Calm);
    }),
    ("ROB-01", burst, |run| {
        moves(run, FlowState::Closed, FlowState::Failed);
        run.begin_with(0, What::Fault(FaultKind::Delay));
    }),
    ("ROB-02", burst, |run| {
        carries(run, |what| is_out(what, OUT), -1);
        run.begin_with(0, What::Fault(FaultKind::Corrupt));
    }),
    ("ROB-03", burst, |run| {
        run.edit(
            |flow, what| flow == 1 && is_moved(what, FlowState::Closed),
            |what| *what = What::Stuck { state: FlowState::Open },
        );
        run.begin_with(1, What::Fault(FaultKind::Cancel));
    }),
    ("ROB-04", burst, |run| {
        moves(run, FlowState::Closed, FlowState::Failed);
        run.begin_with(0, What::Fault(FaultKind::Crash));
    }),
    ("ROB-05", burst, |run| run.begin_with(0, What::SessionError { is_client: true, code: 1 })),
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
            let came =
                run.first(|flow, what| flow == 2 && matches!(what, What::Took { place: IN, .. }));
            let opened = run.first(|flow, what| flow == 2 && is_moved(what, FlowState::Open));
            let went = run.first(|flow, what| flow == 2 && is_out(what, IN));
            assert!(came.max(opened) < went);
            let what = What::Out { place: IN, sequence: 1, offset: 0, bytes: 1, is_final: false };
            run.events
                .insert(came.max(opened) + 1, Event { tick: Tick(0), flow: FlowId::new(1), what });
        },
    ),
    ("CAP-06", burst, |run| run.forget(1, Capability::AdapterEgress)),
    ("CAP-07", burst, |run| run.after[0].limits.flows_max += 1),
    ("RES-01", burst, |run| run.begin_with(0, What::Holds { place: OUT, bytes: 1 << 30 })),
    ("RES-02", burst, takes_much),
    ("RES-03", burst, takes_much),
    ("RES-04", burst, |run| {
        run.events.retain(|event| !matches!(event.what, What::Holds { place: IN, .. }))
    }),
    ("RES-05", burst, |run| run.manifests[1].limits.flows_max = 1),
    ("RES-06", burst, |run| {
        let at = run.first(is_finished);
        let what = What::Left { place: OUT, bytes: 3 };
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
        let Outcome::Broken(finding) = outcome(&after, id) else {
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
    for id in ["BPR-03", "BPR-04", "CAP-05", "HYG-01", "CAP-01", "CAP-02"] {
        assert_eq!(outcome(&examination, id), Outcome::NotApplicable, "{id}");
    }
    assert_eq!(outcome(&examination, "INT-01"), Outcome::Held);
    // What is said of nothing that is claimed can be broken all the same.
    let mut leaks = burst();
    leaks.texts[0].2 = format!("{SECRET:?}");
    assert!(matches!(outcome(&leaks.examine(), "HYG-01"), Outcome::Broken(_)));
}

#[test]
fn a_finding_says_where() {
    let mut run = burst();
    run.edit(
        |flow, what| flow == 3 && is_out(what, OUT),
        |what| {
            if let What::Out { offset, .. } = what {
                *offset = 41;
            }
        },
    );
    let at = run.first(|flow, what| flow == 3 && is_out(what, OUT));
    let Outcome::Broken(finding) = outcome(&run.examine(), "INT-03") else { panic!("broken") };
    assert_eq!((finding.flow.number(), finding.offset, finding.event), (3, Some(41), at));
    assert_eq!(finding.tick, run.events[at].tick);
    let said = "egress adapter: the offset of a chunk is 41, and has to be 0";
    assert_eq!(finding.said, said);
}

fn marks(broken: &[&str]) -> Marks {
    let bit = |id: &&str| 1_u128 << CATALOGUE.iter().position(|rule| rule.id == *id).unwrap();
    let broken = broken.iter().map(bit).fold(0, |all, bit| all | bit);
    let all = u128::MAX >> (128 - CATALOGUE.len());
    Marks { applicable: all, exercised: all, broken }
}

#[test]
fn verdicts_follow_from_rules() {
    assert_eq!(rule("BPR-05").unwrap().level, Level::Should);
    assert_eq!(Verdict::of(&marks(&[])), Verdict::Pass);
    assert_eq!(Verdict::of(&marks(&["BPR-05"])), Verdict::NonStrict);
    assert_eq!(Verdict::of(&marks(&["BPR-05", "INT-01"])), Verdict::Fail);
    assert_eq!(Verdict::of(&marks(&["ROB-05"])), Verdict::LabError);
    assert_eq!(Verdict::of(&marks(&["ROB-05", "INT-01"])), Verdict::Fail);
    assert_eq!(Verdict::of(&marks(&["DET-02", "INT-01"])), Verdict::Nondeterministic);
    assert_eq!(Verdict::of(&Marks::default()), Verdict::NotExercised);
    assert_eq!(marks(&["INT-01"]).join(marks(&["INT-02"])), marks(&["INT-01", "INT-02"]));

    assert_eq!(Verdict::Fail.expected_to_fail(), Verdict::KnownFail);
    assert_eq!(Verdict::Pass.expected_to_fail(), Verdict::UnexpectedPass);
    assert_eq!(Verdict::NotExercised.expected_to_fail(), Verdict::NotExercised);
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
