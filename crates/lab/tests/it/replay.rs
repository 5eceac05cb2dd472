// SPDX-License-Identifier: BSD-3-Clause
//! Replays: what is written is read back, repeats the run, and nothing that was damaged is taken.

use becket_lab::adapters::{HEALTHY, Pair};
use becket_lab::choice::{Choices, Scheduler};
use becket_lab::config::Config;
use becket_lab::contract::{Class, FlowId, Limits, Tick};
use becket_lab::fault::{FaultKinds, FaultPlan};
use becket_lab::link::Link;
use becket_lab::replay::{Case, Diff, Expected, Replay, ReplayError, step, steps};
use becket_lab::source::{End, FlowPlan, Planned, Source};
use becket_lab::target::Behaviour;
use becket_lab::trace::{FaultKind, Trace, TraceHash};
use becket_lab::world;
use proptest::prelude::*;

const LIMITS: Limits =
    Limits { flows_max: 16, buffered_bytes_max: 4000, flow_buffered_bytes_max: 1000 };

fn adapters() -> Pair {
    (HEALTHY[0].make)(LIMITS)
}

/// A run that was really made.
fn recorded(source: Source, seed: u64, scheduler: Scheduler, faults: FaultPlan) -> Replay {
    let config = Config { deterministic_seed: seed, max_chunk_bytes: 4 << 10, ..Config::default() };
    let plans = source.plan(&config, 4);
    let link = Link::ALL[seed as usize % Link::ALL.len()];
    let behaviour = Behaviour::ALL[seed as usize % Behaviour::ALL.len()];
    let case = Case { config, plans, behaviour, window_bytes: 2000, link, faults };
    let mut choices = Choices::scheduled(seed, scheduler).recording();
    let mut trace = Trace::new(case.config.max_events);
    let (mut ingress, mut egress) = adapters();
    world::run(&case, (&mut *ingress, &mut *egress), &mut choices, &mut trace);
    Replay {
        adapter: "memory".into(),
        limits: LIMITS,
        scenario: "mixed_flows".into(),
        profile: "quick 1".into(),
        case,
        recording: choices.into_recording(),
        expected: Expected { rule: Some("integrity.order".into()), trace: trace.hash() },
    }
}

fn sample() -> Replay {
    let kinds = FaultKinds::only(FaultKind::Delay).with(FaultKind::Cancel);
    recorded(Source::MixedFlow, 3, Scheduler::Random, FaultPlan::new(kinds, 9, Tick(50)))
}

#[test]
fn what_is_written_repeats_the_run_whoever_decided_it() {
    for source in Source::ALL {
        for seed in 0..10 {
            for scheduler in [
                Scheduler::Random,
                Scheduler::RoundRobin,
                Scheduler::Pct { changes: 3, steps: 300 },
            ] {
                let faults = [FaultPlan::NONE, FaultPlan::new(FaultKinds::ALL, 20, Tick(40))];
                let replay = recorded(source, seed, scheduler, faults[seed as usize % 2]);
                let read = Replay::parse(&replay.to_text()).unwrap();
                assert_eq!(read, replay);
                let (mut ingress, mut egress) = adapters();
                let (trace, choices) = read.run((&mut *ingress, &mut *egress));
                assert!(read.is_repeated_by(&trace), "{source:?} {seed} {scheduler:?}");
                assert_eq!(choices.into_recording(), read.recording);
            }
        }
    }
}

fn cases() -> impl Strategy<Value = Case> {
    let ticks = 0_u64..1 << 40;
    let chunk = (ticks.clone(), 0_u64..=256 << 10);
    let chunks = prop::collection::vec(chunk, 0..5);
    let ends = [End::Final, End::HalfClose, End::Reset, End::LateWrite, End::Malformed];
    let classes = [Class::Interactive, Class::Normal, Class::Bulk];
    let plan = (
        prop::sample::select(classes.to_vec()),
        ticks.clone(),
        chunks,
        prop::sample::select(ends.to_vec()),
    )
        .prop_map(|(class, opens_at, chunks, end)| {
            let planned = |(at, bytes)| Planned { at: Tick(at), bytes };
            let chunks = chunks.into_iter().map(planned).collect();
            FlowPlan { flow: FlowId::new(0), class, opens_at: Tick(opens_at), chunks, end }
        });
    let kinds = prop::collection::vec(prop::sample::select(&FaultKind::ALL[..]), 0..5);
    let faults =
        (kinds, any::<u32>(), ticks.clone(), ticks).prop_map(|(kinds, budget, from, until)| {
            let kinds = kinds.into_iter().fold(FaultKinds::NONE, FaultKinds::with);
            FaultPlan { kinds, budget, from: Tick(from), until: Tick(until) }
        });
    let config = ("[a-z ü\"\\\\]{1,64}", any::<u64>(), 1..=64_u32, 1..=1_u32 << 18, any::<bool>());
    let made_of = (
        prop::collection::vec(plan, 0..6),
        prop::sample::select(&Behaviour::ALL[..]),
        prop::sample::select(&Link::ALL[..]),
        0..=1_u64 << 30,
        faults,
        config,
    );
    made_of.prop_map(|(mut plans, behaviour, link, window_bytes, faults, config)| {
        for (number, plan) in (1..).zip(&mut plans) {
            plan.flow = FlowId::new(number);
        }
        let (name, seed, max_flows, max_events, trace_enabled) = config;
        let config = Config {
            name,
            runtime_id: !seed,
            max_flows,
            max_buffered_bytes: 8 << 20,
            max_chunk_bytes: 1 + seed % (256 << 10),
            max_events,
            trace_enabled,
            deterministic_seed: seed,
        };
        Case { config, plans, behaviour, window_bytes, link, faults }
    })
}

fn replays() -> impl Strategy<Value = Replay> {
    let answers = prop::collection::vec((any::<u32>(), 1..9_usize), 0..30);
    let texts = ["[ -~]{0,60}", "\\PC{0,60}", "[a-z0-9]{0,20}"].map(|text| {
        // What looks like a secret is not written, so it is not read back.
        text.prop_filter("a secret", |text: &String| !becket_lab::config::is_secret(text))
    });
    let hash = "[0-9a-f]{32}";
    (cases(), answers, texts, prop::option::of("[a-z.]{1,20}"), hash, any::<[u16; 3]>())
        .prop_filter("a secret", |it| !becket_lab::config::is_secret(&it.0.config.name))
        .prop_map(|(case, answers, [adapter, scenario, profile], rule, hash, limits)| {
            let repeated = |(answer, count)| std::iter::repeat_n(answer, count);
            Replay {
                adapter,
                scenario,
                profile,
                limits: Limits {
                    flows_max: u32::from(limits[0]).max(1),
                    buffered_bytes_max: limits[1].into(),
                    flow_buffered_bytes_max: limits[2].into(),
                },
                case,
                recording: answers.into_iter().flat_map(repeated).collect(),
                expected: Expected {
                    rule: rule.filter(|rule| !becket_lab::config::is_secret(rule)),
                    trace: TraceHash::parse(&hash).unwrap(),
                },
            }
        })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_replay_is_read_back_as_it_is(replay in replays()) {
        let text = replay.to_text();
        let read = Replay::parse(&text);
        prop_assert_eq!(read.as_ref(), Ok(&replay));
        prop_assert_eq!(read.unwrap().to_text(), text);
    }

    /// Whatever a file says is a run, and the same one each time.
    #[test]
    fn every_replay_is_a_run(mut replay in replays()) {
        replay.case.config.max_events = 300;
        for chunk in replay.case.plans.iter_mut().flat_map(|plan| &mut plan.chunks) {
            // So that it does not take long.
            chunk.bytes %= 5000;
        }
        let traces = [(); 2].map(|()| {
            let (mut ingress, mut egress) = (HEALTHY[2].make)(replay.limits);
            replay.run((&mut *ingress, &mut *egress)).0.hash()
        });
        prop_assert_eq!(traces[0], traces[1]);
    }

    #[test]
    fn whatever_is_read_is_no_panic(text in "\\PC{0,300}", at in any::<prop::sample::Index>()) {
        prop_assert!(Replay::parse(&text).is_err());
        let mut file = sample().to_text();
        let at = at.index(file.len());
        if file.is_char_boundary(at) {
            file.insert_str(at, &text);
            if let Ok(read) = Replay::parse(&file) {
                prop_assert_eq!(read, sample());
            }
        }
    }
}

#[test]
fn every_beginning_of_a_file_is_refused() {
    let text = sample().to_text();
    for length in 0..text.trim_end().len() {
        let Some(part) = text.get(..length) else { continue };
        let error = Replay::parse(part).unwrap_err();
        assert!(matches!(error, ReplayError::Cut { .. }), "{length}: {error}");
    }
    assert!(Replay::parse(text.trim_end()).is_ok());
}

/// Every byte, changed in many ways, lost or doubled: refused, or the same replay.
#[test]
fn every_damage_is_refused_or_says_the_same() {
    let replay = sample();
    let text = replay.to_text();
    let (mut refused, mut harmless) = (0_u32, 0_u32);
    let mut tried = |damaged: &[u8]| {
        let Ok(damaged) = std::str::from_utf8(damaged) else { return };
        match Replay::parse(damaged) {
            Ok(read) => {
                assert_eq!(read, replay, "{damaged}");
                harmless += 1;
            }
            Err(_) => refused += 1,
        }
    };
    for at in 0..text.len() {
        for other in *b"0 \"},-\n\0" {
            let mut damaged = text.clone().into_bytes();
            damaged[at] = other;
            tried(&damaged);
        }
        for bit in 0..7 {
            let mut damaged = text.clone().into_bytes();
            damaged[at] ^= 1 << bit;
            tried(&damaged);
        }
        let mut lost = text.clone().into_bytes();
        lost.remove(at);
        tried(&lost);
        let mut doubled = text.clone().into_bytes();
        doubled.insert(at, doubled[at]);
        tried(&doubled);
    }
    assert!(refused > 10 * harmless, "{refused} {harmless}");
    // Lines that are lost, doubled, or stand where others do. The check itself may be removed.
    let lines: Vec<_> = text.lines().collect();
    for at in 0..lines.len() {
        let without = [&lines[..at], &lines[at + 1..]].concat().join("\n");
        if lines[at].contains("\"check\"")
            || lines.get(at + 1).is_some_and(|it| it.contains("check"))
        {
            continue;
        }
        assert!(Replay::parse(&without).is_err(), "{}", lines[at]);
    }
}

#[test]
fn errors_say_where_and_why() {
    let text = sample().to_text();
    let changed = |from: &str, to: &str| {
        assert!(text.contains(from), "{from} in {text}");
        let error = Replay::parse(&text.replacen(from, to, 1)).unwrap_err();
        assert!(!error.cause().is_empty() && !error.hint().is_empty());
        error.to_string()
    };
    for (from, to, expected) in [
        (
            "\"version\": 1",
            "\"version\": 2",
            "the replay has version 2, and this lab reads version 1",
        ),
        ("-replay\"", "-reply\"", "the file is no replay: its `format` is not `becket-lab-replay`"),
        (
            "\"end\": \"final\"",
            "\"end\": \"finale\"",
            "the replay has a wrong `flows[0].end` in line 42, column 21: no end of a flow is \
             \"finale\": final, half_close, reset, late_write, malformed",
        ),
        (
            "\"max_events\": 4096",
            "\"max_events\": 0",
            "the replay has a wrong `config` in line 28, column 3: max_events is 0, and must be from \
             1 to 262144",
        ),
        (
            "\"window_bytes\": 2000",
            "\"window_bytes\": 2000000000000",
            "the replay has a wrong `window_bytes` in line 97, column 31: 2000000000000, and it is \
             from 0 to 1073741824",
        ),
        (
            "\"flows\": [",
            "\"flows\": [,",
            "the replay is no JSON in line 29, column 13: expected value",
        ),
        (
            "\"window_bytes\": 2000",
            "\"window_bytes\": 2001",
            "the replay was changed after it was written: its `check` is not that of what is in it",
        ),
    ] {
        let said = changed(from, to);
        // The lines are those of this sample.
        assert_eq!(without_line(&said), without_line(expected));
        assert_eq!(said.contains(" line "), expected.contains(" line "));
    }
    let said = changed("\"profile\"", "\"prefix\"");
    let expected =
        "a wrong `prefix` in line 7, column 10: unknown field `prefix`, expected one of `form";
    assert!(said.contains(expected), "{said}");
    let line = text.lines().position(|line| line.contains("window_bytes")).unwrap() + 1;
    let said = changed("\"window_bytes\": 2000", "\"window_bytes\": true");
    assert!(said.contains(&format!("`window_bytes` in line {line}, ")), "{said}");
}

fn without_line(text: &str) -> String {
    let Some((front, back)) = text.split_once(" in line ") else { return text.into() };
    let back = back.split_once(": ").map_or(back, |(_, back)| back);
    format!("{front}: {back}")
}

#[test]
fn without_its_check_an_edited_file_is_read() {
    let text = sample().to_text();
    let edited: Vec<_> = text.lines().filter(|line| !line.contains("\"check\"")).collect();
    let edited = edited.join("\n").replace("\"window_bytes\": 2000", "\"window_bytes\": 2001");
    // The comma before it goes, too.
    let edited = edited.replacen("\n  },\n}", "\n  }\n}", 1);
    let read = Replay::parse(&edited).unwrap();
    assert_eq!(read.case.window_bytes, 2001);
}

#[test]
fn bombs_are_refused() {
    let text = sample().to_text();
    let (front, back) = text.split_once("\"recording\": [").unwrap();
    let (_, back) = back.split_once(']').unwrap();
    let with = |answers: &str| format!("{front}\"recording\": [{answers}]{back}");
    for answers in ["\"0*4294967295\"", "\"0*16777216 0\"", "\"0*16777216\", \"1*1\""] {
        let said = Replay::parse(&with(answers)).unwrap_err().to_string();
        assert!(said.contains("more than 16777216 answers"), "{said}");
    }
    for answers in ["\"+1\"", "\"1**2\"", "\"*\"", "\"4294967296\"", "\"-1\"", "\"1 x\"", "7"] {
        let said = Replay::parse(&with(answers)).unwrap_err().to_string();
        assert!(said.contains("`recording"), "{said}");
    }
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    assert!(Replay::parse(&deep).is_err());
    let long = " ".repeat((64 << 20) + 1);
    assert!(matches!(Replay::parse(&long), Err(ReplayError::TooLong { .. })));
}

#[test]
fn secrets_get_neither_into_a_file_nor_into_a_message() {
    let mut replay = sample();
    replay.adapter = "exec:run --password=71af".into();
    replay.case.config.name = "my-token-71af".into();
    let text = replay.to_text();
    assert!(!text.contains("71af") && text.contains("(hidden)"));
    assert!(Replay::parse(&text).is_ok());
    let damaged = sample().to_text().replacen("\"final\"", "\"password-71af\"", 1);
    let said = Replay::parse(&damaged).unwrap_err().to_string();
    assert!(!said.contains("71af") && said.contains("flows[0].end"), "{said}");
}

#[test]
fn steps_are_a_line_each() {
    let (mut ingress, mut egress) = adapters();
    let (trace, _) = sample().run((&mut *ingress, &mut *egress));
    let lines: Vec<_> = steps(&trace).collect();
    assert_eq!(lines.len(), trace.events().len());
    for (at, (line, event)) in lines.iter().zip(trace.events()).enumerate() {
        assert_eq!(line, &step(at + 1, event));
        assert!(line.starts_with(&format!("{:>5} {:>6} ms  ", at + 1, event.tick.0)));
        // In words: nothing of what the program calls it.
        assert!(!line.contains(['{', '}', '\n']) && !line.contains("::"), "{line}");
    }
    assert!(lines.last().unwrap().ends_with("the run  is over"));
}

#[test]
fn traces_of_two_runs_stand_side_by_side() {
    let replay = recorded(Source::MixedFlow, 0, Scheduler::Random, FaultPlan::NONE);
    let [one, other] = [1000, 300].map(|flow_buffered_bytes_max| {
        let limits = Limits { flow_buffered_bytes_max, ..LIMITS };
        let (mut ingress, mut egress) = (HEALTHY[0].make)(limits);
        replay.run((&mut *ingress, &mut *egress)).0
    });
    assert_eq!(Diff::new(&one, &one).differences(), 0);
    let diff = Diff::new(&one, &other);
    assert!(diff.differences() > 0);
    let text = diff.to_string();
    assert!(text.lines().count() > 3 && text.starts_with("healthy"));
}
