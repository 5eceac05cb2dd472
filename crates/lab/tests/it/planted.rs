// SPDX-License-Identifier: BSD-3-Clause
//! A planted bug, from the check that finds it to the run that shows that it is fixed: found,
//! shrunk, written to a file, read back, repeated, compared with a healthy run.
//!
//! The adapter is one that somebody might write: a queue of bytes for each flow. What is planted is one
//! byte: of a chunk that does not fit, one less is kept than is said to have been taken. Or a room that is
//! rounded up, as that of a buffer is that has whole pages.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use becket_lab::adapters::{MemoryEgressAdapter, Pair};
use becket_lab::check::{self, Artefact, Options};
use becket_lab::contract::{
    Adapter, AdapterError, Capabilities, Capability, Cause, Chunk, Context, Descriptor, FlowId,
    IngressAdapter, Limits, Manifest, Outlet,
};
use becket_lab::replay::{Diff, Replay, as_test};
use becket_lab::trace::{EventKind, Stage};
use parking_lot::Mutex;

use crate::bridged::alone;

#[derive(Clone, Copy, PartialEq)]
enum Bug {
    None,
    KeepsOneLess,
    RoundsUp,
}

/// A power of two, as most limits are that people write.
const PAGE_BYTES: u64 = 256;

struct Postbox {
    limits: Limits,
    bug: Bug,
    flows: BTreeMap<FlowId, Letters>,
}

#[derive(Default)]
struct Letters {
    bytes: VecDeque<u8>,
    taken: u64,
    out: u64,
    chunks: u64,
    is_ended: bool,
    is_said: bool,
    is_waited_for: bool,
    broken: Option<Cause>,
}

impl Postbox {
    fn room(&self, flow: FlowId) -> usize {
        let most = |bytes: u64| match self.bug {
            Bug::RoundsUp => bytes.next_multiple_of(PAGE_BYTES),
            _ => bytes,
        };
        let own = self.flows.get(&flow).map_or(0, |letters| letters.bytes.len() as u64);
        let own = most(self.limits.flow_buffered_bytes_max).saturating_sub(own);
        own.min(most(self.limits.buffered_bytes_max).saturating_sub(self.buffered_bytes())) as usize
    }

    fn open_flow(&mut self, flow: FlowId) -> Result<&mut Letters, AdapterError> {
        let letters = self.flows.get_mut(&flow).ok_or(AdapterError::UnknownFlow(flow))?;
        let is_open = !letters.is_ended && letters.broken.is_none();
        if is_open { Ok(letters) } else { Err(AdapterError::Closed(flow)) }
    }

    fn tell_waiting(&mut self, cx: &mut Context<'_>) {
        let flows = self.flows.keys().copied();
        let with_room: Vec<_> = flows.filter(|flow| self.room(*flow) > 0).collect();
        for flow in with_room {
            let letters = self.flows.get_mut(&flow);
            if letters.is_some_and(|it| std::mem::take(&mut it.is_waited_for)) {
                cx.has_room(flow);
            }
        }
    }
}

impl Adapter for Postbox {
    fn manifest(&self) -> Manifest {
        let capabilities = [
            Capability::AdapterIngress,
            Capability::FlowBackpressure,
            Capability::FlowHalfClose,
            Capability::FlowLifecycle,
            Capability::FlowReset,
            Capability::TraceSafeAdapterSummary,
        ];
        let capabilities = capabilities.into_iter().fold(Capabilities::NONE, Capabilities::with);
        Manifest { name: "postbox".into(), capabilities, limits: self.limits }
    }

    fn open(
        &mut self,
        _: &mut Context<'_>,
        flow: FlowId,
        _: &Descriptor,
    ) -> Result<(), AdapterError> {
        if self.flows.len() as u32 >= self.limits.flows_max {
            return Err(AdapterError::TooManyFlows(self.limits.flows_max));
        }
        self.flows.insert(flow, Letters::default());
        Ok(())
    }

    fn half_close(&mut self, cx: &mut Context<'_>, flow: FlowId) -> Result<(), AdapterError> {
        self.open_flow(flow)?.is_ended = true;
        cx.wants_poll();
        Ok(())
    }

    fn reset(
        &mut self,
        cx: &mut Context<'_>,
        flow: FlowId,
        cause: Cause,
    ) -> Result<(), AdapterError> {
        if let Some(letters) = self.flows.get_mut(&flow) {
            letters.bytes.clear();
            letters.broken.get_or_insert(cause);
            cx.wants_poll();
        }
        Ok(())
    }

    fn close(&mut self, cx: &mut Context<'_>, flow: FlowId) -> Result<(), AdapterError> {
        self.flows.remove(&flow);
        self.tell_waiting(cx);
        Ok(())
    }

    fn poll(&mut self, cx: &mut Context<'_>, outlet: &mut Outlet<'_>) {
        for (&flow, letters) in &mut self.flows {
            if let Some(cause) = letters.broken {
                outlet.reset(flow, cause);
                continue;
            }
            let count = letters.bytes.len().min(outlet.room(flow));
            if count > 0 {
                let bytes: Vec<_> = letters.bytes.iter().take(count).copied().collect();
                let (sequence, offset) = (letters.chunks + 1, letters.out);
                let chunk = Chunk { flow, sequence, offset, bytes: count as u64, is_final: false };
                outlet.data(&chunk, &bytes).expect("there was room");
                letters.bytes.drain(..count);
                letters.chunks += 1;
                letters.out += count as u64;
            }
            if letters.is_ended && letters.bytes.is_empty() && !letters.is_said {
                letters.is_said = true;
                outlet.half_closed(flow);
            }
        }
        self.flows.retain(|_, letters| letters.broken.is_none());
        self.tell_waiting(cx);
    }

    fn buffered_bytes(&self) -> u64 {
        self.flows.values().map(|letters| letters.bytes.len() as u64).sum()
    }

    fn summary(&self) -> String {
        format!("{} flows", self.flows.len())
    }
}

impl IngressAdapter for Postbox {
    fn offer(
        &mut self,
        cx: &mut Context<'_>,
        chunk: &Chunk,
        bytes: &[u8],
    ) -> Result<usize, AdapterError> {
        let taken = bytes.len().min(self.room(chunk.flow));
        // The bug.
        let is_cut = self.bug == Bug::KeepsOneLess && taken < bytes.len();
        let letters = self.open_flow(chunk.flow)?;
        if chunk.offset != letters.taken {
            let rule = "its offset is that of the next byte";
            return Err(AdapterError::Malformed { flow: chunk.flow, rule });
        }
        letters.bytes.extend(&bytes[..taken.saturating_sub(usize::from(is_cut))]);
        letters.taken += taken as u64;
        letters.is_ended |= chunk.is_final && taken == bytes.len();
        letters.is_waited_for = taken < bytes.len();
        cx.wants_poll();
        Ok(taken)
    }
}

fn pair(limits: Limits, bug: Bug) -> Pair {
    let ingress = Postbox { limits, bug, flows: BTreeMap::new() };
    (Box::new(ingress), Box::new(MemoryEgressAdapter::new(limits)))
}

fn healthy(limits: Limits) -> Pair {
    pair(limits, Bug::None)
}

fn planted(limits: Limits) -> Pair {
    pair(limits, Bug::KeepsOneLess)
}

/// Rounding up is correct as long as limits are round: quick checks draw others too.
#[test]
fn rounding_up_is_found_by_limits_that_are_not_round() {
    let make = |limits| pair(limits, Bug::RoundsUp);
    let quick = alone("postbox", &make);
    let found = |start_seed: u64| {
        let report = check::run(&Options { start_seed, ..quick });
        let broken = report.failures.iter().filter_map(|failure| failure.rule);
        let broken: BTreeSet<_> = broken.collect();
        assert!(broken.is_subset(&BTreeSet::from(["RES-01", "RES-02", "RES-03"])), "{broken:?}");
        !broken.is_empty()
    };
    let found = (0..30).filter(|at| found(1 + 3 * at)).count();
    assert!(found >= 15, "{found} of 30");
}

#[test]
fn without_the_bug_nothing_is_wrong() {
    let quick = alone("postbox", &healthy);
    let report = check::run(&Options { profiles: Some(10), ..quick });
    assert!(report.failures.is_empty(), "{:#?}", report.failures);
}

#[test]
fn with_it_the_way_from_the_check_to_the_mended_adapter() {
    // Found, and kept as it was and shrunk.
    let kept = Mutex::new(Vec::new());
    let keeps = |it: &Artefact<'_>| {
        let small = it.shrunk.is_some();
        kept.lock().push((small, it.name.to_owned(), it.replay.to_text()));
    };
    let quick = alone("postbox", &planted);
    let report = check::run(&Options { artefacts: Some(&keeps), profiles: Some(1), ..quick });
    assert_eq!((report.verdict, report.exit_code), ("fail", 1));
    let failure = &report.failures[0];
    assert!(failure.text().contains("becket lab replay"), "{}", failure.text());

    // Written, and read back: the smallest of them, as an engineer would.
    let kept = kept.into_inner();
    let inputs = |text: &str| Replay::parse(text).unwrap().candidate().inputs();
    let small = kept.iter().filter(|(small, ..)| *small);
    let (_, name, text) = small.min_by_key(|(_, _, text)| inputs(text)).unwrap();
    let path = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::write(&path, text).unwrap();
    let replay = Replay::parse(&std::fs::read_to_string(&path).unwrap()).unwrap();
    let rule = replay.expected.rule.as_deref().unwrap();
    assert!(name.starts_with(rule));
    assert!(replay.candidate().inputs() <= 5, "{replay:#?}");

    // Repeated, and laid beside a run in which all is well.
    let again = check::repeat(&planted, &replay);
    assert!(replay.is_repeated_by(&again.trace));
    assert!(again.findings.iter().any(|finding| finding.rule == rule), "{:?}", again.findings);
    let mended = check::repeat(&healthy, &replay);
    assert!(mended.findings.is_empty(), "{:?}", mended.findings);
    let diff = Diff::new(&mended.trace, &again.trace);
    assert!(diff.differences() > 0 && diff.to_string().lines().count() > 3, "{diff}");
    // They are the same until the adapter holds less than it took.
    let both = mended.trace.events().iter().zip(again.trace.events());
    let (other, _) = both.into_iter().find(|(one, other)| one.what != other.what).unwrap();
    assert!(matches!(other.what, EventKind::Holds { place: Stage::Ingress, .. }), "{diff}");
    assert!(as_test(&replay, "planted(limits)").contains(rule));
}
