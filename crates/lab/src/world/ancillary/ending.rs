// SPDX-License-Identifier: BSD-3-Clause
//! The end of the ancillary calls: open obligations are settled, and when all flows are over the
//! sessions check that their peer is alive, drain and close.

use becket_wire::{Event, Refused, UnsentBlocks, codes};
use bytes::Bytes;

use super::ledger::{Fate, Line};
use super::{Ancillary, Parts, SessionCall, Side};
use crate::contract::Tick;

/// Maximum number of deadlines that pass: enough for both sessions to ping and to be answered.
const LOOKS: usize = 5;
/// Maximum number of rounds until nothing is in flight.
const TURNS_MAX: usize = 4096;

impl Ancillary {
    /// Settles one obligation. False: nothing can be done before something arrives.
    pub(super) fn settle(&mut self, parts: &mut Parts<'_>) -> bool {
        [Side::CLIENT, Side::SERVER].into_iter().any(|side| {
            self.answer(parts, side)
                || self.decide(parts, side, Fate::Accepted)
                || self.let_go(parts, side)
                || self.unregion(parts, side)
                || self.end(parts, side)
        })
    }

    /// Open obligations, by the call without a result.
    fn missed(&self) -> Vec<(Side, SessionCall)> {
        let mut missed = Vec::new();
        for line in self.ledger.lines.iter().filter(|line| !line.is_over()) {
            let is_opening = line.phase == super::Phase::Opening;
            let call = if is_opening { SessionCall::Open } else { SessionCall::End };
            missed.push((line.opener, call));
        }
        for (book, side) in self.ledger.books.iter().zip([Side::CLIENT, Side::SERVER]) {
            let owed = [
                (!book.requests.is_empty(), SessionCall::Request),
                (!book.news.is_empty(), SessionCall::Notice),
                (!book.regions.is_empty(), SessionCall::Unregion),
            ];
            missed.extend(owed.iter().filter(|(owed, _)| *owed).map(|(_, call)| (side, *call)));
        }
        missed
    }
}

impl Parts<'_> {
    /// All flows are over: there are no obligations, a silent session is pinged, and both end in
    /// order.
    pub(in super::super) fn end_sessions(&mut self) {
        let Some(it) = &mut self.ancillary else { return };
        it.is_ending = true;
        let mut missed = it.missed();
        if it.ledger.lines.iter().all(Line::is_over) && it.ledger.lines.is_empty() {
            missed.push((Side::CLIENT, SessionCall::Open));
        }
        for (side, call) in missed {
            self.call_of(side, call, false);
        }
        self.look();
        if !self.is_broken {
            self.drain();
        }
    }

    fn look(&mut self) {
        for _ in 0..LOOKS {
            let due = [&*self.client, &*self.server].map(|session| self.deadline(session));
            let Some(due) = due.into_iter().flatten().min() else { break };
            self.now = due.max(self.now.after(1));
            let now = self.moment();
            let failed = [self.client.on_deadline(now).err(), self.server.on_deadline(now).err()];
            if let Some(error) = failed.into_iter().flatten().next() {
                return self.session_over(failed[0].is_some(), error.code());
            }
            self.pump();
        }
        let pings = self.client.counters().pings.min(self.server.counters().pings);
        self.call_of(Side::CLIENT, SessionCall::OnDeadline, pings > 0);
    }

    fn drain(&mut self) {
        self.client.drain();
        self.pump();
        let is_refused = self.client.request(0, Bytes::new()) == Err(Refused::Draining);
        let knows = self.server.is_draining();
        let now = self.moment();
        let drained = matches!(self.client.on_deadline(now), Ok(Some(Event::Drained)));
        self.call_of(Side::CLIENT, SessionCall::Drain, is_refused && knows && drained);
        self.client.close(codes::DONE, Bytes::new());
        // Each release was sent before.
        let is_all_sent = self.client.take_unsent_blocks() == UnsentBlocks::default();
        self.pump();
        let is_closed = self.ancillary.as_ref().is_some_and(|it| it.is_closed);
        let are_closed = self.client.is_closed() && self.server.is_closed();
        self.call_of(Side::CLIENT, SessionCall::Close, is_closed && are_closed && is_all_sent);
    }

    fn moment(&self) -> std::time::Instant {
        self.origin + std::time::Duration::from_millis(self.now.0)
    }

    /// Runs the network until nothing is in flight.
    fn pump(&mut self) {
        for _ in 0..TURNS_MAX {
            self.client.transmit(self.up);
            self.server.transmit(self.down);
            let (up, down) = (self.up.is_due(self.now), self.down.is_due(self.now));
            if up {
                self.deliver(true);
            }
            if down {
                self.deliver(false);
            }
            if self.is_broken {
                return;
            }
            if !up && !down {
                let next = [self.up.next_due(self.now), self.down.next_due(self.now)];
                let Some(next) = next.into_iter().flatten().min() else { return };
                self.now = Tick::max(next, self.now.after(1));
            }
        }
    }
}
