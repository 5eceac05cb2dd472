// SPDX-License-Identifier: BSD-3-Clause
//! What is kept after every flow is over: it must be nothing.

use becket_wire::Session;

use super::flow::Flow;
use super::pipe::Pipe;
use super::{Parts, RUN, World};
use crate::contract::Tick;
use crate::trace::{Event, EventKind, FaultKind, Kept, Stage};

impl World<'_> {
    #[cold]
    #[inline(never)]
    pub(super) fn say_what_is_left(&mut self) {
        let held = [self.ingress.buffered_bytes(), self.egress.buffered_bytes()];
        for (place, bytes) in [Stage::Ingress, Stage::Egress].into_iter().zip(held) {
            if bytes > 0 {
                self.parts.say(RUN, EventKind::Left { place, bytes });
            }
        }
    }

    /// Every flow is over: records adapters that wait for a later time.
    pub(super) fn say_who_waits(&mut self, deadlines: [Option<Tick>; 2]) {
        for (place, deadline) in [Stage::Ingress, Stage::Egress].into_iter().zip(deadlines) {
            let said = self.parts.said_waits.get_mut(place as usize);
            let is_news = said.is_some_and(|said| !std::mem::replace(said, deadline.is_some()));
            if is_news && deadline.is_some() {
                self.parts.say(RUN, EventKind::Waits { place });
            }
        }
    }
}

impl Parts<'_> {
    /// Nothing is in flight, and every flow is over: records what a session keeps, and credit that
    /// neither of them has.
    #[cold]
    #[inline(never)]
    pub(super) fn say_what_sessions_keep(&mut self) {
        let is_under_way = |pipe: &Pipe| pipe.next_due(self.now).is_some();
        let is_ready = self.client.is_ready() && self.server.is_ready();
        if self.is_broken || !is_ready || is_under_way(self.up) || is_under_way(self.down) {
            return;
        }
        // A session has not noticed yet that a link without retransmission lost something.
        let is_drop = |event: &Event| event.what == EventKind::Fault(FaultKind::Drop);
        let may_lose = self.up.may_lose() || self.down.may_lose();
        if may_lose && self.trace.events().iter().any(is_drop) {
            return;
        }
        // The egress adapter put out an end before the response had ended: the stream is still
        // open, correctly.
        let is_early =
            |flow: &Flow| flow.stream.is_some() && flow.broken.is_none() && !flow.is_answered;
        if self.flows.iter().any(is_early) {
            return;
        }
        let granted =
            |session: &Session| session.limits().session_credit_bytes - session.charged_bytes();
        let (client, server) = (&*self.client, &*self.server);
        let sides = [(true, client, granted(server)), (false, server, granted(client))];
        let kept = sides.map(|(is_client, session, granted)| {
            let (asked, asking) = session.requests();
            let kept = [
                (Kept::Streams, session.streams() as u64),
                (Kept::Requests, (asked + asking) as u64),
                (Kept::Frames, session.queued_control() as u64),
                (Kept::QueuedBytes, session.queued_bytes()),
                (Kept::ChargedBytes, session.outstanding_bytes()),
                (Kept::LostCredit, granted.abs_diff(session.session_credit())),
            ];
            (is_client, kept)
        });
        for (is_client, kept) in kept {
            for (kept, amount) in kept.into_iter().filter(|(_, amount)| *amount > 0) {
                self.say(RUN, EventKind::SessionKeeps { is_client, kept, amount });
            }
        }
        if !self.pool.is_back() {
            let (is_client, kept) = (true, Kept::Memory);
            self.say(RUN, EventKind::SessionKeeps { is_client, kept, amount: 1 });
        }
        self.end_sessions();
    }
}
