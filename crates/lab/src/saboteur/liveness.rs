// SPDX-License-Identifier: BSD-3-Clause
//! Somebody waits who is not woken, or nobody rests.

use std::collections::VecDeque;

use super::deviation::{Carries, Deviation, Healthy, egress, ingress, poll_through, unheard};
use super::{Saboteur, Witness};
use crate::contract::{AdapterError, Cause, Chunk, Context, FlowId, Outlet, Refused, Tick};
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
        |limits| ingress(limits, NoRoom),
        FULL,
    )
    .breaks(&["BPR-03", "LIV-01"])
    .spares(Witness::new(Source::SmallBurst, Behaviour::Echo)),
    Saboteur::ingress(
        "local_adapter_tells_one_of_room",
        "of several flows that found no room one hears that there is some",
        |limits| ingress(limits, OneRoom),
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
];

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
    fn take(
        &mut self,
        it: Healthy<'_>,
        cx: &mut Context<'_>,
        chunk: &Chunk,
        bytes: &[u8],
    ) -> Result<usize, AdapterError> {
        let (result, calls) = unheard(cx, |cx| it.take(cx, chunk, bytes));
        calls.with_room.into_iter().for_each(|flow| cx.has_room(flow));
        result
    }
}

/// Everything is heard but who has room, of which so many are.
fn room_for(
    cx: &mut Context<'_>,
    count: usize,
    act: impl FnOnce(&mut Context<'_>) -> Result<(), AdapterError>,
) -> Result<(), AdapterError> {
    let (result, calls) = unheard(cx, act);
    if calls.wants_poll {
        cx.wants_poll();
    }
    calls.with_room.into_iter().take(count).for_each(|flow| cx.has_room(flow));
    result
}

/// Calls in which the healthy adapter tells of room, of which so many are heard.
macro_rules! tells_of_room {
    ($($name:ident: $count:literal;)*) => {$(
        struct $name;

        impl Deviation for $name {
            fn poll(&mut self, it: Healthy<'_>, cx: &mut Context<'_>, out: &mut Outlet<'_>) {
                // A poll does not fail.
                let _done = room_for(cx, $count, |cx| {
                    poll_through(self, it, cx, out);
                    Ok(())
                });
            }

            fn reset(
                &mut self,
                it: Healthy<'_>,
                cx: &mut Context<'_>,
                flow: FlowId,
                cause: Cause,
            ) -> Result<(), AdapterError> {
                room_for(cx, $count, |cx| it.reset(cx, flow, cause))
            }

            fn close(
                &mut self,
                it: Healthy<'_>,
                cx: &mut Context<'_>,
                flow: FlowId,
            ) -> Result<(), AdapterError> {
                room_for(cx, $count, |cx| it.close(cx, flow))
            }
        }
    )*};
}

tells_of_room! {
    NoRoom: 0;
    OneRoom: 1;
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
