// SPDX-License-Identifier: BSD-3-Clause
//! Faults of flows, adapters, sink and time. Faults of the network are in `link`.
//!
//! Some faults are injected where the thing that they change happens: a poll that finds less room,
//! an offer of a part, a jump while time passes. The others may be injected before each task, and
//! so at any point of a flow's life.

use std::ops::{Deref, DerefMut};

use becket_wire::Session;
use bytes::Bytes;

use super::client_side::RESET;
use super::{Parts, RUN, World};
use crate::contract::{Cause, EgressAdapter, FlowId, IngressAdapter, Tick};
use crate::fault::{BLOCKED_MS_MAX, CLEARED_MS_MAX};
use crate::target::Ending;
use crate::trace::{Call, EventKind, FaultKind, Stage};

/// Chance of a fault before a task: one in this many. Faults that change something that happens
/// anyway are more frequent.
const ONCE_IN_TASKS: u32 = 32;
const ONCE_IN_CHANCES: u32 = 6;
/// Chance that the sink blocks a flow when the egress adapter took bytes of it: one in this many.
/// Frequent enough for flows of few chunks, and rare enough that it is not always the first flow.
const ONCE_IN_BLOCKS: u32 = 3;
/// Longest duration of a lasting fault, in ticks.
const LASTS_MS_MAX: u32 = 32;
const JUMP_MS_MAX: u32 = 500;
/// Number of polls by a greedy sink.
const GREEDY_POLLS: u32 = 32;
/// Room of a greedy sink, in chunks of maximum length.
const GREEDY_CHUNKS: usize = 4;
/// Minimum number of bytes per tick that a slow sink takes; also the minimum of reduced room.
const FEW_BYTES: u32 = 64;

/// The faults that last for a while.
#[derive(Debug, Clone, Copy)]
pub(super) struct Lasting {
    until: Tick,
    /// Room of the current poll.
    once: usize,
    /// Room of every poll.
    shrunk: usize,
    /// Bytes that the sink takes per tick, and the rest for this tick.
    slow: Option<(usize, usize)>,
    /// Polls that the greedy sink still makes.
    greedy: u32,
    /// The flow of which the sink takes nothing, and until when.
    blocked: Option<(FlowId, Tick)>,
}

impl Default for Lasting {
    fn default() -> Self {
        let (once, shrunk) = (usize::MAX, usize::MAX);
        Self { until: Tick(0), once, shrunk, slow: None, greedy: 0, blocked: None }
    }
}

impl Lasting {
    /// The room of a flow that the faults leave.
    #[inline]
    pub(super) fn room(&self, place: Stage, flow: FlowId, room: usize) -> usize {
        let room = room.min(self.once).min(self.shrunk);
        if place == Stage::Ingress || room == 0 {
            return room;
        }
        if self.blocked.is_some_and(|(blocked, _)| blocked == flow) {
            return 0;
        }
        let room = if self.greedy > 0 { room.saturating_mul(GREEDY_CHUNKS) } else { room };
        self.slow.map_or(room, |(_, left)| room.min(left))
    }

    /// The sink took this many bytes.
    #[inline]
    pub(super) fn took(&mut self, bytes: usize) {
        if let Some((_, left)) = &mut self.slow {
            *left = left.saturating_sub(bytes);
        }
    }

    fn is_over(&self, now: Tick) -> bool {
        now >= self.until && self.greedy == 0 && self.blocked.is_none()
    }
}

/// An adapter: a borrowed one, or a replacement after a crash.
pub(super) enum Slot<'a, T: ?Sized> {
    Lent(&'a mut T),
    Made(Box<T>),
}

impl<T: ?Sized> Deref for Slot<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        match self {
            Self::Lent(adapter) => adapter,
            Self::Made(adapter) => adapter,
        }
    }
}

impl<T: ?Sized> DerefMut for Slot<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        match self {
            Self::Lent(adapter) => adapter,
            Self::Made(adapter) => adapter,
        }
    }
}

/// Creates a pair of adapters; called repeatedly.
pub type Factory<'a> = &'a dyn Fn() -> (Box<dyn IngressAdapter>, Box<dyn EgressAdapter>);

impl World<'_> {
    /// Injects faults before a task is taken, and ends those that are over.
    #[cold]
    #[inline(never)]
    pub(super) fn inject(&mut self) {
        let parts = &mut self.parts;
        let lasting = &mut parts.lasting;
        if parts.injector.is_spent(parts.now) && lasting.is_over(parts.now) {
            return self.clear();
        }
        let [_, egress] = &mut parts.wants_poll;
        if lasting.greedy > 0 && !*egress {
            *egress = true;
            lasting.greedy -= 1;
        }
        self.strike_flows();
        self.strike_around();
    }

    fn strike_flows(&mut self) {
        let one = |parts: &mut Parts<'_>, kind| -> Option<FlowId> {
            let flow = parts.any_flow(kind)?;
            parts.strikes_at(kind, Some(flow), ONCE_IN_TASKS).then_some(flow)
        };
        if let Some(flow) = one(&mut self.parts, FaultKind::Reset) {
            self.reset(flow);
        }
        if let Some(flow) = one(&mut self.parts, FaultKind::Cancel) {
            self.cancel(flow);
        }
        if let Some(flow) = one(&mut self.parts, FaultKind::HalfClose) {
            self.half_close(flow);
        }
        self.see_to_ended();
    }

    /// Half-closes by its source, or by its target, whatever was to come. The other direction
    /// continues.
    fn half_close(&mut self, flow: FlowId) {
        let parts = &mut self.parts;
        let ends_in_order = parts.case.behaviour.ends_in_order();
        let is_by_target = ends_in_order && parts.choices.below(2) == 1;
        let Some(known) = super::by_id(parts.flows, flow) else { return };
        if let Some(stream) = known.target.stream.filter(|_| is_by_target && !known.target.is_done)
        {
            known.target.is_done = true;
            // Elements that are not echoed any more return their credit.
            while let Some(bytes) = known.target.echoes.front().map(<[u8]>::len) {
                known.target.echoes.pop();
                // Refused: the stream is over.
                let _over = parts.server.grant(stream, 1, bytes as u64);
            }
            return parts.end_answer(flow, stream, Ending::Final);
        }
        known.source.is_done = true;
        if !self.ask(Stage::Ingress, Call::HalfClose, flow) {
            self.parts.break_off(flow, Cause::Error);
        }
    }

    /// Resets by its source, or by its target.
    fn reset(&mut self, flow: FlowId) {
        let parts = &mut self.parts;
        let is_by_target = parts.choices.below(2) == 1;
        let Some(known) = parts.flow(flow) else { return };
        if let Some(stream) = known.target.stream.filter(|_| is_by_target && !known.target.is_done)
        {
            known.target.is_done = true;
            known.target.echoes.clear();
            // Refused: it is over already.
            let _over = parts.server.reset(stream, RESET, Bytes::new());
            drop(parts.server.take_unsent(stream));
            parts.server_has = true;
            return;
        }
        known.source.is_done = true;
        known.broken_by_source = true;
        if !self.ask(Stage::Ingress, Call::Reset, flow) {
            self.parts.break_off(flow, Cause::Reset);
        }
    }

    /// Cancels by the runtime, or by its source, which does not wait for the adapter.
    fn cancel(&mut self, flow: FlowId) {
        let is_by_source = self.parts.choices.below(2) == 1;
        let Some(known) = self.parts.flow(flow) else { return };
        known.source.is_done = true;
        if is_by_source && known.is_open {
            self.ask(Stage::Ingress, Call::Reset, flow);
        }
        self.parts.break_off(flow, Cause::Reset);
    }

    fn strike_around(&mut self) {
        let parts = &mut self.parts;
        if parts.strikes_at(FaultKind::SpuriousWake, None, ONCE_IN_TASKS) {
            let at = parts.choices.below(2) as usize;
            if let Some(wants) = parts.wants_poll.get_mut(at) {
                *wants = true;
            }
        }
        if parts.strikes_at(FaultKind::BufferShrink, None, ONCE_IN_TASKS) {
            parts.lasting.shrunk = parts.few_bytes();
            parts.lasts();
        }
        if parts.strikes_at(FaultKind::SlowConsumer, None, ONCE_IN_TASKS) {
            let few = parts.few_bytes();
            parts.lasting.slow = Some((few, few));
            parts.lasts();
        }
        if parts.strikes_at(FaultKind::GreedyConsumer, None, ONCE_IN_TASKS) {
            parts.lasting.greedy = GREEDY_POLLS;
        }
        if self.factory.is_some() && parts.strikes_at(FaultKind::Crash, None, ONCE_IN_TASKS) {
            let is_ingress = parts.choices.below(2) == 0;
            self.crash(if is_ingress { Stage::Ingress } else { Stage::Egress });
        }
    }

    /// Drops an adapter and creates another one, which does not know the open flows: they have
    /// failed.
    fn crash(&mut self, place: Stage) {
        let Some(factory) = self.factory else { return };
        let (ingress, egress) = factory();
        match place {
            Stage::Ingress => self.ingress = Slot::Made(ingress),
            _ => self.egress = Slot::Made(egress),
        }
        let parts = &mut self.parts;
        let at = place as usize;
        if let (Some(wants), Some(held)) = (parts.wants_poll.get_mut(at), parts.held.get_mut(at)) {
            (*wants, *held) = (false, 0);
        }
        for number in 1..=parts.flows.len() as u32 {
            let id = FlowId::new(number);
            let Some(flow) = parts.flow(id).filter(|flow| flow.is_open && !flow.is_settled())
            else {
                continue;
            };
            if let Some(lost) = flow.lost.get_mut(at) {
                *lost = true;
            }
            // The sink notices that the adapter is gone.
            flow.sink_knows |= place == Stage::Egress;
            parts.break_off(id, Cause::Error);
        }
        self.see_to_ended();
    }

    /// Nothing moves while faults are still possible: clears them. False: they were cleared before.
    #[cold]
    #[inline(never)]
    pub(super) fn clears(&mut self) -> bool {
        let clears = !self.parts.injector.is_cleared();
        if clears {
            self.clear();
        }
        clears
    }

    /// Clears the faults: from here on every flow must end.
    fn clear(&mut self) {
        let parts = &mut self.parts;
        parts.unblock();
        parts.injector.clear();
        parts.say(RUN, EventKind::FaultsCleared);
        parts.ends_by = Some(parts.now.after(CLEARED_MS_MAX));
        let was = std::mem::take(&mut parts.lasting);
        if was.shrunk != usize::MAX || was.slow.is_some() {
            // There is more room, so both adapters are polled once. If one forgot to request a
            // poll, its flows stay stuck.
            parts.wants_poll = [true; 2];
        }
    }

    /// Before a poll: may reduce the room.
    #[cold]
    #[inline(never)]
    pub(super) fn narrow(&mut self) {
        let parts = &mut self.parts;
        if parts.strikes_at(FaultKind::WouldBlock, None, ONCE_IN_CHANCES) {
            parts.lasting.once = 0;
        } else if parts.strikes_at(FaultKind::PartialWrite, None, ONCE_IN_CHANCES) {
            parts.lasting.once = parts.few_bytes();
        }
    }

    /// After a poll: restores the room.
    pub(super) fn widen(&mut self, place: Stage) {
        let parts = &mut self.parts;
        if std::mem::replace(&mut parts.lasting.once, usize::MAX) != usize::MAX
            && let Some(wants) = parts.wants_poll.get_mut(place as usize)
        {
            *wants = true;
        }
    }
}

impl Parts<'_> {
    #[cold]
    #[inline(never)]
    fn strikes_at(&mut self, kind: FaultKind, flow: Option<FlowId>, once_in: u32) -> bool {
        let to = (&mut *self.choices, &mut *self.trace);
        self.injector.inject(kind, flow, once_in, self.now, to)
    }

    /// How many of these bytes are passed on: all, without a fault.
    #[inline]
    pub(super) fn part_of(&mut self, flow: FlowId, bytes: u64) -> u64 {
        if self.injector.is_cleared() { bytes } else { self.part_injected(flow, bytes) }
    }

    #[cold]
    #[inline(never)]
    fn part_injected(&mut self, flow: FlowId, bytes: u64) -> u64 {
        if bytes < 2 || !self.strikes_at(FaultKind::PartialRead, Some(flow), ONCE_IN_CHANCES) {
            return bytes;
        }
        1 + u64::from(self.choices.below(u32::try_from(bytes - 1).unwrap_or(u32::MAX)))
    }

    /// How far time jumps ahead.
    pub(super) fn jump(&mut self) -> u64 {
        if !self.strikes_at(FaultKind::ClockJump, None, ONCE_IN_CHANCES) {
            return 0;
        }
        1 + u64::from(self.choices.below(JUMP_MS_MAX))
    }

    /// After the egress adapter took bytes of a flow: the sink may block the flow from here on, if
    /// others can continue.
    #[inline]
    pub(super) fn may_block(&mut self, flow: FlowId) {
        if !self.injector.is_cleared() {
            self.block(flow);
        }
    }

    #[cold]
    #[inline(never)]
    fn block(&mut self, id: FlowId) {
        let may = self.injector.may(FaultKind::BlockedConsumer, self.now)
            && self.lasting.blocked.is_none()
            && self.others_go_on(id)
            && self.known(id).is_some_and(|flow| !flow.life.state().is_over());
        if may && self.strikes_at(FaultKind::BlockedConsumer, Some(id), ONCE_IN_BLOCKS) {
            self.lasting.blocked = Some((id, self.now.after(BLOCKED_MS_MAX)));
        }
    }

    /// Whether another flow has not ended everywhere, and does not wait for the number of this one.
    fn others_go_on(&self, id: FlowId) -> bool {
        let number = self.numbers.seen(id);
        // The last ones mostly end last.
        let mut others = self.flows.iter().rev().filter(|flow| !flow.is_settled());
        others.any(|flow| self.numbers.seen(flow.id) != number)
    }

    /// Unblocks a flow when its time is over.
    #[inline]
    pub(super) fn may_unblock(&mut self) {
        if let Some((id, until)) = self.lasting.blocked {
            let is_settled = self.known(id).is_none_or(super::Flow::is_settled);
            if is_settled || self.now >= until || !self.others_go_on(id) {
                self.unblock();
            }
        }
    }

    fn unblock(&mut self) {
        if let Some((id, _)) = self.lasting.blocked.take() {
            self.say(id, EventKind::Unblocked);
            let [_, egress] = &mut self.wants_poll;
            *egress = true;
        }
    }

    fn few_bytes(&mut self) -> usize {
        (FEW_BYTES + self.choices.below(FEW_BYTES * 7)) as usize
    }

    fn lasts(&mut self) {
        let ms = 1 + u64::from(self.choices.below(LASTS_MS_MAX));
        self.lasting.until = self.lasting.until.max(self.now.after(ms));
    }

    /// A flow that this kind can affect, if it may be injected now.
    fn any_flow(&mut self, kind: FaultKind) -> Option<FlowId> {
        if !self.injector.may(kind, self.now) {
            return None;
        }
        let can: Vec<_> = self
            .flows
            .iter()
            .zip(&self.case.plans)
            .filter(|(flow, plan)| {
                !flow.life.state().is_over()
                    && match kind {
                        FaultKind::Cancel => true,
                        FaultKind::Reset => flow.is_open && !flow.broken_by_source,
                        _ if flow.source.is_done => false,
                        // After its last chunk it would end anyway.
                        _ => flow.is_open && flow.source.chunk < plan.chunks.len(),
                    }
            })
            .map(|(flow, _)| flow.id)
            .collect();
        can.get(self.choices.below(can.len() as u32) as usize).copied()
    }

    /// Time has passed: the sink has its bytes per tick again.
    pub(super) fn refill(&mut self) {
        if let Some((each, left)) = &mut self.lasting.slow {
            *left = *each;
            let [_, egress] = &mut self.wants_poll;
            *egress = true;
        }
    }

    /// When something is due because of faults: the sink takes more, or a session checks that its
    /// peer is alive. Without faults no session is silent that long.
    pub(super) fn fault_due(&self) -> Option<Tick> {
        if self.case.faults.is_none() || self.flows.iter().all(super::Flow::is_settled) {
            return None;
        }
        let slow = self.lasting.slow.filter(|(_, left)| *left == 0).map(|_| self.now.after(1));
        let blocked = self.lasting.blocked.map(|(_, until)| until);
        let sessions = [&*self.client, &*self.server].map(|session| self.deadline(session));
        slow.into_iter().chain(blocked).chain(sessions.into_iter().flatten()).min()
    }

    pub(super) fn deadline(&self, session: &Session) -> Option<Tick> {
        let after = session.deadline().filter(|_| !self.is_broken)?.duration_since(self.origin);
        Some(Tick(after.as_millis() as u64))
    }

    /// Handles the deadlines of the sessions.
    pub(super) fn see_to_deadlines(&mut self) {
        if self.case.faults.is_none() {
            return;
        }
        let now = self.origin + std::time::Duration::from_millis(self.now.0);
        let client = self.client.on_deadline(now).err();
        let server = self.server.on_deadline(now).err();
        (self.client_has, self.server_has) = (true, true);
        let is_client = client.is_some();
        if let Some(error) = client.or(server) {
            self.session_over(is_client, error.code());
        }
    }
}
