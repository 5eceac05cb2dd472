// SPDX-License-Identifier: BSD-3-Clause
//! A wake-up is missing, or there are wake-ups without end.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};

use super::defect::{
    Carries, Defect, Done, FlowCall, Healthy, Took, detached, egress, ingress, poll_through,
};
use super::{Mutant, Witness};
use crate::contract::{Calls, Cause, Chunk, Context, FlowId, Outlet, Refused, Tick};
use crate::source::Source;
use crate::target::Behaviour;
use crate::trace::FaultKind;

const FULL: Witness = Witness::new(Source::LargeObject, Behaviour::Discard).room(20_000, 5_000);

pub(super) const ALL: &[Mutant] = &[
    Mutant::egress(
        "does_not_ask_for_a_poll",
        "it takes a chunk and does not say that it has something to put out",
        |limits| egress(limits, NoPoll),
        Witness::new(Source::SmallBurst, Behaviour::Echo),
    )
    .breaks(&["LIV-01", "LIV-05"]),
    Mutant::ingress(
        "does_not_tell_of_room",
        "a source that found no room is never notified when there is some",
        |limits| ingress(limits, RoomFor(0)),
        FULL,
    )
    .breaks(&["BPR-03", "LIV-01"])
    .spares(Witness::new(Source::SmallBurst, Behaviour::Echo)),
    Mutant::ingress(
        "tells_one_of_room",
        "of several flows that found no room only one is notified when there is some",
        |limits| ingress(limits, RoomFor(1)),
        Witness::new(Source::SmallBurst, Behaviour::Discard).flows(8).room(100, 50),
    )
    .breaks(&["BPR-03", "LIV-01"])
    .spares(Witness::new(Source::SmallBurst, Behaviour::Echo)),
    Mutant::egress(
        "asks_for_polls_for_ever",
        "whenever it is polled it asks to be polled again, with nothing to put out",
        |limits| egress(limits, Busy),
        Witness::new(Source::SmallBurst, Behaviour::Echo),
    )
    .breaks(&["LIV-04"]),
    Mutant::egress(
        "has_a_deadline_in_the_past",
        "its deadline is long past, and stays",
        |limits| egress(limits, Past),
        Witness::new(Source::SmallBurst, Behaviour::Echo),
    )
    .breaks(&["LIV-04"]),
    Mutant::egress(
        "stops_at_its_budget",
        "what is left when it has moved as much as it may in a call is left for ever",
        |limits| egress(limits, StopsAtBudget),
        Witness::new(Source::SmallBurst, Behaviour::LargeObject),
    )
    .breaks(&["LIV-05"])
    .spares(Witness::new(Source::SmallBurst, Behaviour::Echo)),
    Mutant::egress(
        "waits_half_a_minute",
        "the end of a flow is reported half a minute after it came",
        |limits| egress(limits, Waits::default()),
        Witness::new(Source::SmallBurst, Behaviour::Echo).fault(FaultKind::Delay),
    )
    .breaks(&["LIV-07"]),
    Mutant::ingress(
        "tells_of_room_late",
        "a source that found no room is notified a fifth of a second late",
        |limits| ingress(limits, RoomLate::default()),
        FULL,
    )
    .breaks(&["BPR-03"])
    .spares(Witness::new(Source::SmallBurst, Behaviour::Echo)),
    Mutant::egress(
        "sleeps_when_its_sink_is_full",
        "when its sink takes nothing of a flow, it tries again a second later, and not before",
        |limits| egress(limits, Sleeps::default()),
        Witness::new(Source::ElephantAndMice, Behaviour::Echo)
            .fault(FaultKind::BlockedConsumer)
            .room(64_000, 16_000),
    )
    .breaks(&["BPR-07"])
    .spares(Witness::new(Source::SmallBurst, Behaviour::Echo)),
];

/// Flows of which the sink took nothing, and when each is tried again.
#[derive(Default)]
struct Sleeps {
    now: Tick,
    until: RefCell<BTreeMap<FlowId, Tick>>,
}

impl Defect for Sleeps {
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

/// Flows that have ended, and when the end is reported.
#[derive(Default)]
struct Waits(VecDeque<(Tick, FlowId)>, Tick);

impl Defect for Waits {
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

impl Defect for NoPoll {
    fn take(&mut self, on: &mut FlowCall<'_, '_>, chunk: &Chunk, bytes: &[u8]) -> Took {
        let (result, calls) = on.detached(|on| on.take(chunk, bytes));
        calls.with_room.into_iter().for_each(|flow| on.cx.has_room(flow));
        result
    }
}

/// Requests of the healthy adapter are passed on, but only this many room notifications.
struct RoomFor(usize);

impl RoomFor {
    fn hear(&self, cx: &mut Context<'_>, calls: Calls) {
        if calls.wants_poll {
            cx.wants_poll();
        }
        calls.with_room.into_iter().take(self.0).for_each(|flow| cx.has_room(flow));
    }
}

impl Defect for RoomFor {
    fn poll(&mut self, it: Healthy<'_>, cx: &mut Context<'_>, out: &mut Outlet<'_>) {
        let ((), calls) = detached(cx, |cx| poll_through(self, it, cx, out));
        self.hear(cx, calls);
    }

    fn reset(&mut self, on: &mut FlowCall<'_, '_>, cause: Cause) -> Done {
        let (done, calls) = on.detached(|on| on.reset(cause));
        self.hear(on.cx, calls);
        done
    }

    fn close(&mut self, on: &mut FlowCall<'_, '_>) -> Done {
        let (done, calls) = on.detached(|on| on.close());
        self.hear(on.cx, calls);
        done
    }
}

struct Busy;

impl Defect for Busy {
    fn poll(&mut self, it: Healthy<'_>, cx: &mut Context<'_>, out: &mut Outlet<'_>) {
        poll_through(self, it, cx, out);
        cx.wants_poll();
    }
}

struct Past;

impl Defect for Past {
    fn deadline(&self, _: &dyn Carries) -> Option<Tick> {
        Some(Tick(0))
    }
}

struct StopsAtBudget;

impl Defect for StopsAtBudget {
    fn poll(&mut self, it: Healthy<'_>, cx: &mut Context<'_>, out: &mut Outlet<'_>) {
        let ((), calls) = detached(cx, |cx| poll_through(self, it, cx, out));
        calls.with_room.into_iter().for_each(|flow| cx.has_room(flow));
    }
}

/// Flows whose source is to be notified of room, and when.
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

impl Defect for RoomLate {
    fn poll(&mut self, it: Healthy<'_>, cx: &mut Context<'_>, out: &mut Outlet<'_>) {
        let ((), calls) = detached(cx, |cx| poll_through(self, it, cx, out));
        self.hear(cx, calls);
    }

    fn reset(&mut self, on: &mut FlowCall<'_, '_>, cause: Cause) -> Done {
        let (done, calls) = on.detached(|on| on.reset(cause));
        self.hear(on.cx, calls);
        done
    }

    fn close(&mut self, on: &mut FlowCall<'_, '_>) -> Done {
        let (done, calls) = on.detached(|on| on.close());
        self.hear(on.cx, calls);
        done
    }

    fn deadline(&self, _: &dyn Carries) -> Option<Tick> {
        self.0.front().map(|(then, _)| *then)
    }
}
