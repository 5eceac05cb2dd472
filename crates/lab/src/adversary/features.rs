// SPDX-License-Identifier: BSD-3-Clause
//! The features of a run, from its trace alone: classes and buckets.

use std::collections::BTreeSet;

use crate::trace::{Call, EventKind, OutletEvent, Stage, Trace, byte_bucket, count_bucket};

/// States of a path that are kept; a longer path is cut.
const PATH_STATES_MAX: usize = 8;

/// The features of a run.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Features {
    /// The states that flows went through, path by path, each once.
    pub paths: BTreeSet<String>,
    /// Chunks that came out, at the ingress adapter and at the egress adapter.
    pub chunks: [&'static str; 2],
    /// Bytes that came out, likewise.
    pub bytes: [&'static str; 2],
    /// Flows that adapters reported as reset or failed.
    pub resets: &'static str,
    /// Flows that were closed.
    pub closes: &'static str,
    /// The kinds of refusals, each once.
    pub refusals: BTreeSet<&'static str>,
    /// Codes by which streams were reset, each once.
    pub codes: BTreeSet<u16>,
    /// How often offers of sources were refused, and continued.
    pub stalls: [&'static str; 2],
    /// How flows are mapped to streams.
    pub streams: &'static str,
    /// Flows besides one on which bytes came out, at the ingress adapter and at the egress adapter.
    pub others: [&'static str; 2],
    /// How often the ingress adapter took less than it was offered.
    pub pushbacks: &'static str,
    /// How the session ended.
    pub session: &'static str,
    /// Kinds of failures, each once.
    pub failures: BTreeSet<&'static str>,
}

/// The features of a run that did not finish: there is no trace.
pub(crate) static OF_NOTHING: Features = Features {
    paths: BTreeSet::new(),
    chunks: [""; 2],
    bytes: [""; 2],
    resets: "",
    closes: "",
    refusals: BTreeSet::new(),
    codes: BTreeSet::new(),
    stalls: [""; 2],
    streams: "",
    others: [""; 2],
    pushbacks: "",
    session: "",
    failures: BTreeSet::new(),
};

impl Features {
    /// The features of a run of `flows` flows.
    #[must_use]
    pub fn of(trace: &Trace, flows: usize) -> Self {
        let (mut chunks, mut bytes) = ([0_u64; 2], [0_u64; 2]);
        let (mut resets, mut closes, mut stalls) = (0, 0, [0; 2]);
        let mut paths = vec![Vec::new(); flows];
        let mut carried = vec![[false; 2]; flows];
        let (mut offered, mut pushbacks) = (0, 0);
        let mut streams = Vec::new();
        let mut features = Self { session: "in order", ..Self::default() };
        for event in trace.events() {
            let flow = (event.flow.number() as usize).wrapping_sub(1);
            match event.what {
                EventKind::Moved { state } => {
                    if let Some(path) = paths.get_mut(flow) {
                        path.push(state.name());
                    }
                }
                EventKind::Out { place, bytes: count, .. } => {
                    let at = place as usize;
                    if let Some(chunks) = chunks.get_mut(at) {
                        *chunks += 1;
                    }
                    if let Some(bytes) = bytes.get_mut(at) {
                        *bytes += count;
                    }
                    if let Some(carried) = carried.get_mut(flow).and_then(|of| of.get_mut(at)) {
                        *carried = true;
                    }
                }
                EventKind::Signalled { said: OutletEvent::Reset | OutletEvent::Failed, .. } => {
                    resets += 1
                }
                EventKind::Called { place: Stage::Ingress, call: Call::Close, refused: None } => {
                    closes += 1;
                }
                EventKind::OfferRefused { class, .. }
                | EventKind::Called { refused: Some(class), .. } => {
                    features.refusals.insert(class.name());
                }
                EventKind::StreamOver { is_reset: true, code } => {
                    features.codes.insert(code);
                }
                EventKind::Offered { place: Stage::Ingress, bytes, .. } => offered = bytes,
                EventKind::Took { place: Stage::Ingress, bytes } => {
                    pushbacks += u64::from(bytes < offered);
                }
                EventKind::Stalled => stalls[0] += 1,
                EventKind::Resumed => stalls[1] += 1,
                EventKind::Stream { stream } => streams.push(stream),
                EventKind::SessionError { is_client, .. } => {
                    features.session = if is_client { "client's error" } else { "server's error" };
                }
                what => features.failures.extend(failure(&what)),
            }
        }
        let path = |path: Vec<&str>| -> String {
            let states: Vec<_> = path.into_iter().take(PATH_STATES_MAX).collect();
            states.join(" ")
        };
        features.paths = paths.into_iter().map(path).collect();
        features.chunks = chunks.map(count_bucket);
        features.bytes = bytes.map(byte_bucket);
        features.resets = count_bucket(resets);
        features.closes = count_bucket(closes);
        features.stalls = stalls.map(count_bucket);
        features.pushbacks = count_bucket(pushbacks);
        features.others = [0, 1].map(|at| {
            let flows = carried.iter().filter(|of| of.get(at) == Some(&true)).count() as u64;
            count_bucket(flows.saturating_sub(1))
        });
        let given = streams.len();
        streams.sort_unstable();
        streams.dedup();
        features.streams = match (given, streams.len()) {
            (0, _) => "none",
            (given, distinct) if distinct < given => "shared",
            (given, _) if given < flows => "some",
            (_, _) => "one each",
        };
        features
    }

    /// The same features without the numbers of bytes and of flows, and without those that follow
    /// from sizes.
    #[must_use]
    pub fn without_sizes(mut self) -> Self {
        (self.bytes, self.others, self.pushbacks) = ([""; 2], [""; 2], "");
        self
    }
}

const fn failure(what: &EventKind) -> Option<&'static str> {
    Some(match what {
        EventKind::OtherByte { .. } => "other byte",
        EventKind::Changed { part, .. } => part.name(),
        EventKind::OutOfPlace { .. } => "out of place",
        EventKind::OutBeyondRoom { .. } => "beyond room",
        EventKind::OutOnNoFlow { .. } => "on no flow",
        EventKind::Illegal { .. } => "illegal",
        EventKind::Stuck { .. } => "stuck",
        EventKind::OutOfSteps => "out of steps",
        EventKind::Left { .. } => "bytes left",
        EventKind::Waits { .. } => "a timer left",
        EventKind::SessionKeeps { .. } => "kept by a session",
        EventKind::SessionCall { is_right: false, .. } => "a call of a session",
        _ => return None,
    })
}
