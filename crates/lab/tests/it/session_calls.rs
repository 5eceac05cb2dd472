// SPDX-License-Identifier: BSD-3-Clause
//! Each public function of the session is called by a scenario of the lab: which one, stands here.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use becket_lab::adapters::HEALTHY;
use becket_lab::choice::Choices;
use becket_lab::config::Config;
use becket_lab::fault::FaultPlan;
use becket_lab::replay::Case;
use becket_lab::scenario::{self, Profile};
use becket_lab::trace::{EventKind, Kept, SessionCall, Trace};
use becket_lab::world;

/// In every run: the trace shows what comes of it.
const EVERY: &str = "every scenario";
/// Asked of the sessions: while flows go on, or when all of them are over.
const ASKED: &str = "asked in every scenario";
/// Beside flows: the trace has an event for each call.
const BUSY: &str = "session_calls";

/// Beside flows: every second request, and its reply.
const PARTS: &str = "session_calls, as one of the calls without parts";

/// Which scenario makes which call.
const MAP: &[(&str, &str)] = &[
    ("accept", BUSY),
    ("ack", BUSY),
    ("cancel", BUSY),
    ("charged_bytes", ASKED),
    ("close", BUSY),
    ("counters", ASKED),
    ("credit", ASKED),
    ("deadline", ASKED),
    ("drain", BUSY),
    ("element_bytes_max", NOT_ASKED),
    ("end", BUSY),
    ("give_back", BUSY),
    ("grant", BUSY),
    ("has_steady_deadline", NOT_ASKED),
    ("hold", BUSY),
    ("is_closed", ASKED),
    ("is_draining", ASKED),
    ("is_idle", NOT_ASKED),
    ("is_ready", ASKED),
    ("join", NO_FRAME),
    ("let_go", BUSY),
    ("limits", ASKED),
    ("listed", NOT_ASKED),
    ("nack", BUSY),
    ("new", EVERY),
    ("notice", BUSY),
    ("on_deadline", BUSY),
    ("open", BUSY),
    ("outstanding_bytes", ASKED),
    ("queued", NOT_ASKED),
    ("queued_bytes", ASKED),
    ("queued_control", ASKED),
    ("receive", EVERY),
    ("refuse", BUSY),
    ("region", BUSY),
    ("release", BUSY),
    ("renew", EVERY),
    ("reply", BUSY),
    ("reply_parts", PARTS),
    ("request", BUSY),
    ("request_parts", PARTS),
    ("request_through", NOT_MADE),
    ("requests", ASKED),
    ("reset", BUSY),
    ("revoke", BUSY),
    ("role", NOT_ASKED),
    ("send", BUSY),
    ("send_through", BUSY),
    ("session_credit", ASKED),
    ("streams", ASKED),
    ("take_unsent", BUSY),
    ("take_unsent_blocks", ASKED),
    ("transmit", EVERY),
    ("unregion", BUSY),
    ("withdraw", BUSY),
];
/// What says something of a session that no run depends on: it changes nothing.
const NOT_ASKED: &str = "none: it only says what is";
/// What no scenario makes: the tests of becket-process do, with every call.
const NOT_MADE: &str = "none: it sends what `request_parts` sends, sooner";
/// What concerns no peer.
const NO_FRAME: &str = "none: it makes a body, which other calls take";

/// The text of all files of a folder.
fn sources(folder: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(folder);
    let mut folders = vec![root];
    let mut all = String::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                all.push_str(&std::fs::read_to_string(path).unwrap());
            }
        }
    }
    all
}

/// Public functions of `impl Session`, by their text.
fn public() -> BTreeSet<String> {
    let text = sources("wire/src/session");
    let mut found = BTreeSet::new();
    for part in text.split("\nimpl Session {").skip(1) {
        let part = part.split("\n}\n").next().unwrap();
        for line in part.lines() {
            let rest = line.strip_prefix("    pub fn ").or(line.strip_prefix("    pub const fn "));
            let name = rest.map(|rest| rest.split(['(', '<']).next().unwrap());
            found.extend(name.map(str::to_owned));
        }
    }
    found
}

fn run(name: &str, seed: u64) -> Trace {
    let scenario = scenario::of_name(name).unwrap();
    let profile = Profile::draw(seed).of(scenario);
    let config = Config { max_chunk_bytes: 4096, max_buffered_bytes: 1 << 16, ..profile.config };
    let case = Case {
        config: config.clone(),
        plans: scenario.plans(&config),
        behaviour: scenario.behaviours[0],
        window_bytes: profile.window_bytes.max(64),
        link: profile.link,
        faults: FaultPlan::NONE,
    };
    let limits = scenario.limits(&Profile { config: config.clone(), ..Profile::draw(seed) });
    let mut trace = Trace::new(1 << 17);
    let mut choices = Choices::seeded(seed);
    world::run_with(&case, &|| (HEALTHY[0].make)(limits), &mut choices, &mut trace);
    trace
}

#[test]
fn every_public_call_of_the_session_is_made_by_the_scenario_that_is_said() {
    let map: BTreeMap<_, _> = MAP.iter().copied().collect();
    let known: BTreeSet<_> = map.keys().map(|name| (*name).to_owned()).collect();
    assert_eq!(public(), known, "a public function of the session has no scenario here");

    let world = sources("lab/src/world");
    for (name, scenario) in &map {
        let is_called =
            world.contains(&format!(".{name}(")) || world.contains(&format!("::{name}("));
        assert_eq!(
            is_called,
            ![NOT_ASKED, NOT_MADE, NO_FRAME].contains(scenario),
            "{name}: {scenario}"
        );
    }

    let (mut made, mut seeds) = (BTreeSet::new(), 0);
    for seed in 1..=40 {
        seeds += 1;
        for event in run(BUSY, seed).events() {
            match event.what {
                EventKind::SessionCall { call, is_right: true, .. } => made.extend([call.name()]),
                EventKind::SessionCall { .. }
                | EventKind::SessionKeeps { .. }
                | EventKind::SessionError { .. } => {
                    panic!("seed {seed}: {event:?}")
                }
                _ => {}
            }
        }
    }
    let busy = map.iter().filter(|(_, scenario)| **scenario == BUSY).map(|(name, _)| *name);
    assert_eq!(made, busy.collect(), "of {seeds} runs");
}

/// Each call is made often enough that a check of three profiles makes nearly all.
#[test]
fn three_runs_make_nearly_all_of_them() {
    let all = MAP.iter().filter(|(_, scenario)| *scenario == BUSY).count();
    for first in [1, 4, 7] {
        let calls = (first..first + 3).flat_map(|seed| {
            let trace = run(BUSY, seed);
            let calls = trace.events().iter().filter_map(|event| match event.what {
                EventKind::SessionCall { call, .. } => Some(call),
                _ => None,
            });
            calls.collect::<Vec<SessionCall>>()
        });
        let made: BTreeSet<_> = calls.collect();
        assert!(made.len() + 3 >= all, "{first}: {made:?}");
    }
}

#[test]
fn what_sessions_keep_has_a_name_of_its_own() {
    let all = [
        Kept::Streams,
        Kept::Requests,
        Kept::Frames,
        Kept::QueuedBytes,
        Kept::ChargedBytes,
        Kept::LostCredit,
        Kept::Memory,
    ];
    assert_eq!(all.map(Kept::name).into_iter().collect::<BTreeSet<_>>().len(), all.len());
}
