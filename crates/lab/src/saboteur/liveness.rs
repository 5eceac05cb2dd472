// SPDX-License-Identifier: BSD-3-Clause
//! Somebody waits who is not woken, or nobody rests.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};

use super::deviation::{
    Carries, Deviation, Done, Healthy, On, Took, egress, ingress, poll_through, unheard,
};
use super::{Saboteur, Witness};
use crate::contract::{Calls, Cause, Chunk, Context, FlowId, Outlet, Refused, Tick};
use crate::source::Source;
use crate::target::Behaviour;
use crate::trace::FaultKind;

const FULL: Witness = Witness::new(Source::LargeObject, Behaviour::Discard).room(20_000, 5_000);

pub(super) const ALL: &[Saboteur] = &[
    Saboteur::egress(
        "local_adapter_does_not_ask_for_a_poll",
        "it takes a chunk and does not say that it has something to put out",
        |limits| egress(limits, NoPoll),
        Witness::new(Source::SmallBurst, Behaviour::Echo),
    )
    .breaks(&["LIV-01", "LIV-05"]),
    Saboteur::ingress(
        "local_adapter_does_not_tell_of_room",
        "who found no room never hears that there is some",
        |limits| ingress(limits, RoomFor(0)),
        FULL,
    )
    .breaks(&["BPR-03", "LIV-01"])
    .spares(Witness::new(Source::SmallBurst, Behaviour::Echo)),
    Saboteur::ingress(
        "local_adapter_tells_one_of_room",
        "of several flows that found no room one hears that there is some",
        |limits| ingress(limits, RoomFor(1)),
        Witness::new(Source::SmallBurst, Behaviour::Discard).flows(8).room(100, 50),
    )
    .breaks(&["BPR-03", "LIV-01"])
    .spares(Witness::new(Source::SmallBurst, Behaviour::Echo)),
    Saboteur::egress(
        "local_adapter_asks_for_polls_for_ever",
        "whenever it is polled it asks to be polled again, with nothing to put out",
        |limits| egress(limits, Busy),
        Witness::new(Source::SmallBurst, Behaviour::Echo),
    )
    .breaks(&["LIV-04"]),
    Saboteur::egress(
        "local_adapter_has_a_deadline_in_the_past",
        "its deadline is long past, and stays",
        |limits| egress(limits, Past),
        Witness::new(Source::SmallBurst, Behaviour::Echo),
    )
    .breaks(&["LIV-04"]),
    Saboteur::egress(
        "local_adapter_stops_at_its_budget",
        "what is left when it has moved as much as it may in a call is left for ever",
        |limits| egress(limits, StopsAtBudget),
        Witness::new(Source::SmallBurst, Behaviour::LargeObject),
    )
    .breaks(&["LIV-05"])
    .spares(Witness::new(Source::SmallBurst, Behaviour::Echo)),
    Saboteur::egress(
        "local_adapter_waits_half_a_minute",
        "the end of a flow is told half a minute after it came",
        |limits| egress(limits, Waits::default()),
        Witness::new(Source::SmallBurst, Behaviour::Echo).fault(FaultKind::Delay),
    )
    .breaks(&["LIV-07"]),
    Saboteur::ingress(
        "local_adapter_tells_of_room_late",
        "who found no room hears that there is some a fifth of a second later",
        |limits| ingress(limits, RoomLate::default()),
        FULL,
    )
    .breaks(&["BPR-03"])
    .spares(Witness::new(Source::SmallBurst, Behaviour::Echo)),
    Saboteur::egress(
        "local_adapter_sleeps_when_its_sink_is_full",
        "when its sink takes nothing of a flow, it tries again a second later, and not before",
        |limits| egress(limits, Sleeps::default()),
        Witness::new(Source::ElephantAndMice, Behaviour::Echo)
            .fault(FaultKind::BlockedConsumer)
            .room(64_000, 16_000),
    )
    .breaks(&["BPR-07"])
    .spares(Witness::new(Source::SmallBurst, Behaviour::Echo)),
];

/// Flows of which the sink took nothing, and when it is tried again.
#[derive(Default)]
struct Sleeps {
    now: Tick,
    until: RefCell<BTreeMap<FlowId, Tick>>,
}

impl Deviation for Sleeps {
    fn poll(&mut self, it: Healthy<'_>, cx: &mut Context<'_>, out: &mut Outlet<'_>) {
        self.now = cx.now();
        self.until.get_mut().retain(|_, until| *until > cx.now());
        poll_through(self, it, cx, out);
    }

    fn room(&self, out: &Outlet<'_>, flow: FlowId) -> usize {
        const SLEEP_MS: u64 = 1000;
        let mut until = self.until.borrow_mut();
        if out.room(flow) == 0 {
            until.entry(flow).or_insert(self.now.after(SLEEP_MS));
        }
        if until.contains_key(&flow) { 0 } else { out.room(flow) }
    }

    fn deadline(&self, _: &dyn Carries) -> Option<Tick> {
        self.until.borrow().values().min().copied()
    }
}

/// Flows that have ended, and when that is told.
#[derive(Default)]
struct Waits(VecDeque<(Tick, FlowId)>, Tick);

impl Deviation for Waits {
    fn poll(&mut self, it: Healthy<'_>, cx: &mut Context<'_>, out: &mut Outlet<'_>) {
        self.1 = cx.now();
        poll_through(self, it, cx, out);
        while let Some((_, flow)) = self.0.pop_front_if(|(due, _)| *due <= cx.now()) {
            out.half_closed(flow);
        }
    }

    fn deadline(&self, _: &dyn Carries) -> Option<Tick> {
        self.0.front().map(|(due, _)| *due)
    }

    fn data(&mut self, out: &mut Outlet<'_>, chunk: &Chunk, bytes: &[u8]) -> Result<(), Refused> {
        out.data(&Chunk { is_final: false, ..*chunk }, bytes)?;
        if chunk.is_final {
            self.says_half_closed(out, chunk.flow);
        }
        Ok(())
    }

    fn says_half_closed(&mut self, _: &mut Outlet<'_>, flow: FlowId) {
        const LATE_MS: u64 = 30_000;
        self.0.push_back((self.1.after(LATE_MS), flow));
    }
}

struct NoPoll;

impl Deviation for NoPoll {
    fn take(&mut self, on: &mut On<'_, '_>, chunk: &Chunk, bytes: &[u8]) -> Took {
        let (result, calls) = on.unheard(|on| on.take(chunk, bytes));
        calls.with_room.into_iter().for_each(|flow| on.cx.has_room(flow));
        result
    }
}

/// Everything is heard but who has room, of which so many are.
struct RoomFor(usize);

impl RoomFor {
    fn hear(&self, cx: &mut Context<'_>, calls: Calls) {
        if calls.wants_poll {
            cx.wants_poll();
        }
        calls.with_room.into_iter().take(self.0).for_each(|flow| cx.has_room(flow));
    }
}

impl Deviation for RoomFor {
    fn poll(&mut self, it: Healthy<'_>, cx: &mut Context<'_>, out: &mut Outlet<'_>) {
        let ((), calls) = unheard(cx, |cx| poll_through(self, it, cx, out));
        self.hear(cx, calls);
    }

    fn reset(&mut self, on: &mut On<'_, '_>, cause: Cause) -> Done {
        let (done, calls) = on.unheard(|on| on.reset(cause));
        self.hear(on.cx, calls);
        done
    }

    fn close(&mut self, on: &mut On<'_, '_>) -> Done {
        let (done, calls) = on.unheard(|on| on.close());
        self.hear(on.cx, calls);
        done
    }
}

struct Busy;

impl Deviation for Busy {
    fn poll(&mut self, it: Healthy<'_>, cx: &mut Context<'_>, out: &mut Outlet<'_>) {
        poll_through(self, it, cx, out);
        cx.wants_poll();
    }
}

struct Past;

impl Deviation for Past {
    fn deadline(&self, _: &dyn Carries) -> Option<Tick> {
        Some(Tick(0))
    }
}

struct StopsAtBudget;

impl Deviation for StopsAtBudget {
    fn poll(&mut self, it: Healthy<'_>, cx: &mut Context<'_>, out: &mut Outlet<'_>) {
        let ((), calls) = unheard(cx, |cx| poll_through(self, it, cx, out));
        calls.with_room.into_iter().for_each(|flow| cx.has_room(flow));
    }
}

/// Who is to hear of room, and when.
#[derive(Default)]
struct RoomLate(VecDeque<(Tick, FlowId)>);

impl RoomLate {
    const LATE_MS: u64 = 200;

    fn hear(&mut self, cx: &mut Context<'_>, calls: Calls) {
        if calls.wants_poll {
            cx.wants_poll();
        }
        let then = cx.now().after(Self::LATE_MS);
        self.0.extend(calls.with_room.into_iter().map(|flow| (then, flow)));
        while let Some((_, flow)) = self.0.pop_front_if(|(then, _)| *then <= cx.now()) {
            cx.has_room(flow);
        }
    }
}

impl Deviation for RoomLate {
    fn poll(&mut self, it: Healthy<'_>, cx: &mut Context<'_>, out: &mut Outlet<'_>) {
        let ((), calls) = unheard(cx, |cx| poll_through(self, it, cx, out));
        self.hear(cx, calls);
    }

    fn reset(&mut self, on: &mut On<'_, '_>, cause: Cause) -> Done {
        let (done, calls) = on.unheard(|on| on.reset(cause));
        self.hear(on.cx, calls);
        done
    }

    fn close(&mut self, on: &mut On<'_, '_>) -> Done {
        let (done, calls) = on.unheard(|on| on.close());
        self.hear(on.cx, calls);
        done
    }

    fn deadline(&self, _: &dyn Carries) -> Option<Tick> {
        self.0.front().map(|(then, _)| *then)
    }
}
