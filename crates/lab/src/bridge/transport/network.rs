// SPDX-License-Identifier: BSD-3-Clause
//! When the sides of links are woken, and the faults of a turn.
//!
//! It takes the place of the thread that waits for descriptors. A side that waits is woken by a
//! pass: when its link has called back, or a descriptor that it watches is ready.
//!
//! ```text
//!   on_ready ──┐
//!   poll(2) ───┴─► due ──pass──► wake ──► the connection is dispatched
//!                   └ now, or in a disturbed turn a few ticks later
//! ```
//!
//! # Invariants
//!
//! 1. Each call into a link that may have moved bytes requests a pass, and so does each pass in
//!    which anything happened: nothing is ready and unseen when passes end.
//! 2. A disturbance ends after [`LATE_TICKS_MAX`] ticks, and there are at most
//!    [`DISTURBED_TURNS_MAX`] disturbed turns: each flow goes on.
//! 3. No waker is woken and no link is called under the lock.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::task::Waker;

use becket_ipc::transport::{OnReady, Watch};
use fastrand::Rng;
use parking_lot::Mutex;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::super::Failure;
use super::wire::{Passed, Wire};
use crate::contract::Tick;

/// One turn in this many is disturbed.
const DISTURBED_ONCE_IN: u32 = 4;
/// Disturbed turns of an adapter, at most.
const DISTURBED_TURNS_MAX: u32 = 500;
/// Ticks by which a wake is late, at most.
const LATE_TICKS_MAX: u64 = 4;

/// The links of one adapter.
pub(super) struct Network(Mutex<State>);

struct State {
    now: u64,
    /// How flows are reset, and behind which byte.
    ends: Rng,
    has_begun: bool,
    /// The random numbers of a disturbed turn.
    random: Option<Rng>,
    disturbed_turns: u32,
    next: u64,
    sides: BTreeMap<u64, SideState>,
    wires: BTreeMap<u64, Wire>,
    /// Requests a pass.
    work: Option<Waker>,
    /// Woken after a pass in which something happened.
    waits: Vec<Waker>,
}

#[derive(Default)]
struct SideState {
    wake: Option<OnReady>,
    /// When it is woken.
    due: Option<u64>,
    /// It waits for these, since its last look.
    armed: Option<Armed>,
    /// A descriptor was ready, and nothing was taken since.
    is_ready: bool,
}

/// Descriptors that a side waits for: duplicates, since the link has its own.
struct Armed {
    readable: Option<OwnedFd>,
    writable: Option<OwnedFd>,
}

impl Network {
    pub(super) fn new() -> Arc<Self> {
        let state = State {
            now: 0,
            ends: Rng::with_seed(0),
            has_begun: false,
            random: None,
            disturbed_turns: 0,
            next: 0,
            sides: BTreeMap::new(),
            wires: BTreeMap::new(),
            work: None,
            waits: Vec::new(),
        };
        Arc::new(Self(Mutex::new(state)))
    }

    /// A connection of two sockets, and its number.
    pub(super) fn connect(&self) -> Result<(UnixStream, UnixStream, u64), Failure> {
        let (wire, one, other) = Wire::new().map_err(|error| Failure::of_io(&error))?;
        let mut state = self.0.lock();
        let number = state.number();
        state.wires.insert(number, wire);
        Ok((one, other, number))
    }

    /// A number for a side of a link.
    pub(super) fn add_side(&self) -> u64 {
        let mut state = self.0.lock();
        let number = state.number();
        state.sides.insert(number, SideState::default());
        number
    }

    pub(super) fn remove_side(&self, side: u64) {
        self.0.lock().sides.remove(&side);
        self.request_pass();
    }

    pub(super) fn remove_wire(&self, wire: u64) {
        let gone = self.0.lock().wires.remove(&wire);
        drop(gone);
    }

    /// Cuts a connection behind any byte, if the seed wants that. False: it is not cut.
    pub(super) fn cut(&self, wire: u64) -> bool {
        let mut state = self.0.lock();
        let State { ends, wires, .. } = &mut *state;
        let cut = ends.bool().then(|| wires.get_mut(&wire)).flatten();
        let is_cut = cut.map(|wire| wire.cut(ends)).is_some();
        drop(state);
        self.request_pass();
        is_cut
    }

    /// How a side's connection is woken.
    pub(super) fn set_wake(&self, side: u64, wake: OnReady) {
        if let Some(state) = self.0.lock().sides.get_mut(&side) {
            state.wake = Some(wake);
        }
    }

    /// The side waits: it found nothing at its last look.
    pub(super) fn arm(&self, side: u64, watch: Watch<'_>) {
        let armed = Armed {
            readable: watch.readable_one().and_then(|one| one.try_clone_to_owned().ok()),
            writable: watch.writable_one().and_then(|one| one.try_clone_to_owned().ok()),
        };
        if let Some(state) = self.0.lock().sides.get_mut(&side) {
            state.armed = (!watch.is_empty()).then_some(armed);
        }
        self.request_pass();
    }

    /// Whether a descriptor of the side was ready since the last call.
    pub(super) fn take_ready(&self, side: u64) -> bool {
        let mut state = self.0.lock();
        state.sides.get_mut(&side).is_some_and(|side| std::mem::take(&mut side.is_ready))
    }

    /// Something is ready for the side: it is woken by a pass.
    pub(super) fn notify(&self, side: u64) {
        self.0.lock().make_due(side);
        self.request_pass();
    }

    /// A number of frames to take at a time, in a disturbed turn.
    pub(super) fn frames_max(&self) -> Option<usize> {
        self.0.lock().random.as_mut().map(|random| random.usize(1..=3))
    }

    /// Whether a flush is put off: the side is woken for it later.
    pub(super) fn puts_off_flush(&self, side: u64) -> bool {
        let mut state = self.0.lock();
        let now = state.now;
        let Some(random) = &mut state.random else { return false };
        if random.u8(..4) > 0 {
            return false;
        }
        let due = now + random.u64(1..=LATE_TICKS_MAX);
        if let Some(side) = state.sides.get_mut(&side) {
            side.due = Some(side.due.unwrap_or(due).min(due));
        }
        drop(state);
        self.request_pass();
        true
    }

    /// Wakes after the next pass in which something happens.
    pub(super) fn wait_for_news(&self, waker: &Waker) {
        self.0.lock().waits.push(waker.clone());
    }

    pub(super) fn request_pass(&self) {
        let work = self.0.lock().work.clone();
        if let Some(work) = work {
            work.wake();
        }
    }

    /// Begins a turn, which is disturbed or not.
    pub(super) fn turn(&self, now: Tick, random: &mut dyn FnMut(u32) -> u32) {
        let mut state = self.0.lock();
        state.now = now.0;
        state.random = None;
        if !std::mem::replace(&mut state.has_begun, true) {
            state.ends = Rng::with_seed(random(1 << 16).into());
        }
        if state.disturbed_turns < DISTURBED_TURNS_MAX
            && random(DISTURBED_ONCE_IN) == DISTURBED_ONCE_IN - 1
        {
            state.disturbed_turns += 1;
            state.random = Some(Rng::with_seed(random(1 << 16).into()));
        }
    }

    /// When something is due that is late.
    pub(super) fn deadline(&self) -> Option<Tick> {
        let state = self.0.lock();
        let sides = state.sides.values().filter_map(|side| side.due);
        let wires = state.wires.values().filter_map(|wire| wire.due(state.now));
        sides.chain(wires).min().map(Tick)
    }

    /// Passes bytes on, and wakes the sides for which something is ready.
    pub(super) fn pass(&self, work: &Waker) {
        let (wakes, waits) = {
            let mut state = self.0.lock();
            state.work = Some(work.clone());
            let has_moved = state.pass_bytes();
            state.look_at_descriptors();
            let wakes = state.take_due();
            let any = has_moved || !wakes.is_empty();
            (wakes, if any { Some(std::mem::take(&mut state.waits)) } else { None })
        };
        for wake in wakes {
            wake();
        }
        if let Some(waits) = waits {
            waits.into_iter().for_each(Waker::wake);
            work.wake_by_ref();
        }
    }
}

impl State {
    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    fn make_due(&mut self, side: u64) {
        let now = self.now;
        if let Some(side) = self.sides.get_mut(&side) {
            side.due.get_or_insert(now);
        }
    }

    fn pass_bytes(&mut self) -> bool {
        let Self { now, random, wires, .. } = self;
        let mut any = false;
        wires.retain(|_, wire| match wire.pass(*now, random.as_mut()) {
            Passed::Nothing => true,
            Passed::Some => {
                any = true;
                true
            }
            Passed::Gone => {
                any = true;
                false
            }
        });
        any
    }

    fn look_at_descriptors(&mut self) {
        let now = self.now;
        for side in self.sides.values_mut() {
            let Some(armed) = &side.armed else { continue };
            let readable = armed.readable.as_ref().map(|one| PollFd::new(one, PollFlags::IN));
            let writable = armed.writable.as_ref().map(|one| PollFd::new(one, PollFlags::OUT));
            let mut both: Vec<_> = readable.into_iter().chain(writable).collect();
            if matches!(poll(&mut both, Some(&Timespec::default())), Ok(1..)) {
                side.armed = None;
                side.is_ready = true;
                side.due.get_or_insert(now);
            }
        }
    }

    /// The wakes that are due; in a disturbed turn some are put off, and one comes without reason.
    fn take_due(&mut self) -> Vec<OnReady> {
        let Self { now, random, sides, .. } = self;
        let without_reason = random.as_mut().map(|random| random.usize(..=sides.len()));
        let mut wakes = Vec::new();
        for (at, side) in sides.values_mut().enumerate() {
            let is_due = side.due.is_some_and(|due| due <= *now);
            if let Some(random) = random.as_mut().filter(|_| is_due)
                && random.u8(..4) == 0
            {
                side.due = Some(*now + random.u64(1..=LATE_TICKS_MAX));
            } else if is_due || without_reason == Some(at) {
                side.due = side.due.filter(|_| !is_due);
                wakes.extend(side.wake.clone());
            }
        }
        wakes
    }
}
