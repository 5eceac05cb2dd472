// SPDX-License-Identifier: BSD-3-Clause
//! A link with impairments: frames arrive late, twice, out of order, or not at all.
//!
//! It wraps any link and impairs what that link receives; wrap both ends to impair both directions.
//! It has no thread and no clock: [`ImpairedClock::advance`] sets the time, and
//! [`ImpairedClock::deadline`] returns when the next frame is due. It is deterministic in the seed,
//! the frames and the times.
//!
//! ```text
//!   inner.take ──► drop? twice? late by latency + jitter ──► held, by due time ──► sink
//!                                                               ▲
//!                                   ImpairedClock::advance(now)──┘
//! ```
//!
//! # Invariants
//!
//! 1. Frames keep their order, except reordered ones: those arrive `reorder_by` later and delay no
//!    other frame.
//! 2. At most `held_frames_max` frames are held (and a duplicate of the last); beyond that the
//!    inner link is not read, so that its sender gets backpressure. One `take` reads at most as
//!    many frames.
//! 3. The end of the inner link is reported after all held frames.

use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use becket_ipc::transport::{Ancillary, Link, LinkCounters, LinkError, OnReady, Peer, Watch};
use becket_wire::{Frame, Full, Head, Outlet};
use fastrand::Rng;
use parking_lot::Mutex;

/// The impairments. Probabilities are per million.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Impairments {
    /// The latency of each frame.
    pub(crate) latency: Duration,
    /// Additional latency, uniform from 0 to this.
    pub(crate) jitter: Duration,
    /// The frame is lost.
    pub(crate) drop_per_million: u32,
    /// The frame arrives twice (without its descriptors the second time).
    pub(crate) duplicate_per_million: u32,
    /// The frame arrives `reorder_by` later, and later frames do not wait for it.
    pub(crate) reorder_per_million: u32,
    /// The additional latency of a reordered frame.
    pub(crate) reorder_by: Duration,
    /// The maximum number of frames held.
    pub(crate) held_frames_max: usize,
}

impl Default for Impairments {
    /// No impairment; up to 1024 frames held.
    fn default() -> Self {
        Self {
            latency: Duration::ZERO,
            jitter: Duration::ZERO,
            drop_per_million: 0,
            duplicate_per_million: 0,
            reorder_per_million: 0,
            reorder_by: Duration::ZERO,
            held_frames_max: 1024,
        }
    }
}

/// The number of frames that were impaired.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Damage {
    /// Lost.
    pub(crate) dropped: u64,
    /// Arrived twice.
    pub(crate) duplicated: u64,
    /// Delayed by `reorder_by`.
    pub(crate) reordered: u64,
}

/// A link with impairments; see the module's documentation.
pub(crate) struct Impaired<L> {
    inner: L,
    impairments: Impairments,
    rng: Rng,
    /// Sorted by due time; equal ones in the order of their arrival.
    held: VecDeque<Held>,
    /// The due time of the last frame that keeps the order.
    last_due: Instant,
    ended: Option<(Instant, LinkError)>,
    shared: Arc<Mutex<Shared>>,
    counters: DeliveredCounters,
}

struct Held {
    due: Instant,
    head: Head,
    body: Vec<u8>,
    descriptors: Vec<OwnedFd>,
}

/// Frames that were passed on, which differ from the inner link's.
#[derive(Default)]
struct DeliveredCounters {
    frames: u64,
    bytes: u64,
    descriptors_closed: u64,
}

/// The clock of an [`Impaired`] link, for a caller that has given the link away. Clones share it.
#[derive(Clone)]
pub(crate) struct ImpairedClock {
    shared: Arc<Mutex<Shared>>,
}

struct Shared {
    now: Instant,
    deadline: Option<Instant>,
    wake: Option<OnReady>,
    damage: Damage,
}

impl ImpairedClock {
    /// Sets the time to `now`, or keeps a later one. Calls the link's `on_ready` when a frame is
    /// due.
    pub(crate) fn advance(&self, now: Instant) {
        let wake = {
            let mut shared = self.shared.lock();
            shared.now = shared.now.max(now);
            let due = shared.deadline.is_some_and(|deadline| deadline <= shared.now);
            due.then(|| shared.wake.clone()).flatten()
        };
        if let Some(wake) = wake {
            wake();
        }
    }

    /// When the next frame, or the end, is due, of those that the link has read.
    #[must_use]
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.shared.lock().deadline
    }

    /// The impairments so far.
    #[must_use]
    pub(crate) fn damage(&self) -> Damage {
        self.shared.lock().damage
    }
}

impl<L: Link> Impaired<L> {
    /// Impairs what `inner` receives, starting at `now`; random choices are a function of `seed`.
    #[must_use]
    pub(crate) fn new(
        inner: L,
        impairments: Impairments,
        seed: u64,
        now: Instant,
    ) -> (Self, ImpairedClock) {
        let shared = Shared { now, deadline: None, wake: None, damage: Damage::default() };
        let shared = Arc::new(Mutex::new(shared));
        let clock = ImpairedClock { shared: Arc::clone(&shared) };
        let link = Self {
            inner,
            impairments,
            rng: Rng::with_seed(seed),
            held: VecDeque::new(),
            last_due: now,
            ended: None,
            shared,
            counters: DeliveredCounters::default(),
        };
        (link, clock)
    }

    /// Reads frames that have arrived, and impairs them.
    fn pull(&mut self, now: Instant) {
        for _ in 0..self.impairments.held_frames_max.max(1) {
            if self.ended.is_some() || !self.has_room() {
                break;
            }
            // One at a time: each may become two.
            let mut came = None;
            let taken = self.inner.take(1, &mut |frame, ancillary| {
                came = Some((frame.head, frame.body.to_vec(), ancillary.take()));
            });
            match (taken, came) {
                (Err(error), _) => {
                    let due = self.last_due.max(now + self.impairments.latency);
                    let due = self.held.back().map_or(due, |last| due.max(last.due));
                    self.ended = Some((due, error));
                }
                (Ok(_), Some((head, body, descriptors))) => {
                    self.expose(now, head, body, descriptors);
                }
                (Ok(_), None) => break,
            }
        }
    }

    /// Applies the impairments to a frame. Each frame draws as many random numbers, whatever the
    /// result.
    fn expose(&mut self, now: Instant, head: Head, body: Vec<u8>, descriptors: Vec<OwnedFd>) {
        let Impairments { drop_per_million, duplicate_per_million, reorder_per_million, .. } =
            self.impairments;
        let [dropped, duplicated, reordered] =
            [drop_per_million, duplicate_per_million, reorder_per_million]
                .map(|chance| self.rng.u32(0..1_000_000) < chance);
        let jitters = [self.jitter(), self.jitter()];
        let damage = &mut self.shared.lock().damage;
        damage.dropped += u64::from(dropped);
        damage.duplicated += u64::from(duplicated && !dropped);
        damage.reordered += u64::from(reordered && !dropped);
        if dropped {
            self.counters.descriptors_closed += descriptors.len() as u64;
            return;
        }
        let copy = duplicated.then(|| (body.clone(), Vec::new()));
        for ((body, descriptors), jitter) in
            [Some((body, descriptors)), copy].into_iter().flatten().zip(jitters)
        {
            let mut due = now + self.impairments.latency + jitter;
            if reordered {
                due += self.impairments.reorder_by;
            } else {
                due = due.max(self.last_due);
                self.last_due = due;
            }
            let at = self.held.partition_point(|held| held.due <= due);
            self.held.insert(at, Held { due, head, body, descriptors });
        }
    }

    fn jitter(&mut self) -> Duration {
        let nanos_max = u64::try_from(self.impairments.jitter.as_nanos()).unwrap_or(u64::MAX);
        Duration::from_nanos(self.rng.u64(0..=nanos_max))
    }

    fn has_room(&self) -> bool {
        self.held.len() < self.impairments.held_frames_max.max(1)
    }

    fn next_due(&self) -> Option<Instant> {
        self.held.front().map(|held| held.due).or(self.ended.map(|(due, _)| due))
    }
}

impl<L: Link> Outlet for Impaired<L> {
    fn put(&mut self, head: &Head, body: &[u8]) -> Result<(), Full> {
        self.inner.put(head, body)
    }
}

impl<L: Link> Link for Impaired<L> {
    fn take(
        &mut self,
        frames_max: usize,
        sink: &mut dyn FnMut(Frame<'_>, Ancillary<'_>),
    ) -> Result<usize, LinkError> {
        let now = self.shared.lock().now;
        let mut frames = 0;
        self.pull(now);
        while frames < frames_max {
            let Some(mut held) = self.held.pop_front_if(|held| held.due <= now) else { break };
            frames += 1;
            self.counters.frames += 1;
            self.counters.bytes += (becket_wire::HEAD_BYTES + held.body.len()) as u64;
            sink(Frame { head: held.head, body: &held.body }, Ancillary::of(&mut held.descriptors));
            self.counters.descriptors_closed += held.descriptors.len() as u64;
        }
        self.shared.lock().deadline = self.next_due();
        match self.ended {
            Some((due, error)) if frames == 0 && self.held.is_empty() && due <= now => Err(error),
            _ => Ok(frames),
        }
    }

    fn flush(&mut self) -> Result<bool, LinkError> {
        self.inner.flush()
    }

    fn put_descriptors(&mut self, descriptors: Vec<OwnedFd>) -> Result<(), LinkError> {
        self.inner.put_descriptors(descriptors)
    }

    fn watch(&self) -> Watch<'_> {
        let inner = self.inner.watch();
        if self.has_room() && self.ended.is_none() {
            inner
        } else {
            Watch::nothing().and_writable(inner.writable_one())
        }
    }

    fn on_ready(&mut self, wake: OnReady) {
        self.shared.lock().wake = Some(Arc::clone(&wake));
        self.inner.on_ready(wake);
    }

    fn prepare_wait(&mut self) -> bool {
        let now = self.shared.lock().now;
        self.next_due().is_some_and(|due| due <= now)
            || (self.has_room() && self.ended.is_none() && self.inner.prepare_wait())
    }

    fn peer(&self) -> &Peer {
        self.inner.peer()
    }

    fn name(&self) -> &'static str {
        "impaired"
    }

    fn body_bytes_max(&self) -> usize {
        self.inner.body_bytes_max()
    }

    fn counters(&self) -> LinkCounters {
        let DeliveredCounters { frames, bytes, descriptors_closed } = self.counters;
        let mut counters = self.inner.counters();
        counters.frames_in = frames;
        counters.bytes_in = bytes;
        counters.descriptors_closed += descriptors_closed;
        counters
    }

    fn close(&mut self) {
        self.inner.close();
    }
}
