// SPDX-License-Identifier: BSD-3-Clause
//! Retransmission of unacknowledged envelopes: a timer for each envelope and a cumulative ack, as
//! in TCP (Jacobson, 1988) but without its round-trip estimates, because nothing else uses this
//! network.
//!
//! # Invariants
//!
//! 1. At most one window of envelopes is kept; their numbers are consecutive.
//! 2. An unacknowledged envelope is sent again after a time that doubles up to a bound.

use std::collections::VecDeque;

use super::envelope;
use super::packer::Packed;
use crate::contract::Tick;

/// Time before the first retransmission, in milliseconds.
const AGAIN_MS: u64 = 8;
/// Maximum number of doublings.
const DOUBLINGS_MAX: u32 = 4;

#[derive(Debug)]
pub(super) struct Sender {
    kept: VecDeque<Kept>,
    next: u64,
    window: Option<u64>,
    short_first: bool,
}

#[derive(Debug)]
struct Kept {
    number: u64,
    sealed: Vec<u8>,
    is_short: bool,
    /// The earliest time to send it.
    due: Tick,
    times: u32,
}

impl Sender {
    pub(super) const fn new(window: Option<u64>, short_first: bool) -> Self {
        Self { kept: VecDeque::new(), next: 1, window, short_first }
    }

    /// Whether another envelope may be kept.
    pub(super) fn has_room(&self) -> bool {
        self.window.is_none_or(|window| (self.kept.len() as u64) < window)
    }

    #[cfg(test)]
    pub(super) fn kept(&self) -> usize {
        self.kept.len()
    }

    /// Keeps an envelope and sends it as soon as possible.
    pub(super) fn keep(&mut self, packed: Packed, now: Tick) {
        let sealed = envelope::seal(self.next, &packed.body);
        let (number, is_short) = (self.next, packed.is_short);
        self.next += 1;
        self.kept.push_back(Kept { number, sealed, is_short, due: now, times: 0 });
    }

    /// When the next one is to be sent.
    pub(super) fn next_due(&self) -> Option<Tick> {
        self.kept.iter().map(|kept| kept.due).min()
    }

    /// The next envelope that is to be sent.
    pub(super) fn send(&mut self, now: Tick) -> Option<Vec<u8>> {
        let mut due = self.kept.iter().enumerate().filter(|(_, kept)| kept.due <= now);
        let (at, _) = if self.short_first {
            // Of equal ones the first is the minimum.
            due.min_by_key(|(_, kept)| !kept.is_short)?
        } else {
            due.next()?
        };
        if self.window.is_none() {
            return self.kept.remove(at).map(|kept| kept.sealed);
        }
        let kept = self.kept.get_mut(at)?;
        kept.due = now.after(AGAIN_MS << kept.times.min(DOUBLINGS_MAX));
        kept.times += 1;
        Some(kept.sealed.clone())
    }

    /// All envelopes before this number have arrived.
    pub(super) fn acked(&mut self, wanted: u64) {
        while self.kept.front().is_some_and(|kept| kept.number < wanted) {
            self.kept.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(sealed: Option<Vec<u8>>) -> Option<u64> {
        envelope::open(&sealed?).map(|(number, _)| number)
    }

    fn packed(length: usize) -> Packed {
        Packed { body: vec![7; length], is_short: length < 100 }
    }

    #[test]
    fn what_is_not_acknowledged_is_sent_again_later_and_later() {
        let mut sender = Sender::new(Some(2), false);
        sender.keep(packed(1), Tick(0));
        sender.keep(packed(1), Tick(0));
        assert!(!sender.has_room());
        assert_eq!(
            [number(sender.send(Tick(0))), number(sender.send(Tick(0)))],
            [Some(1), Some(2)]
        );
        assert!(sender.send(Tick(7)).is_none());
        sender.acked(2);
        assert!(sender.has_room() && sender.next_due() == Some(Tick(8)));
        assert_eq!(number(sender.send(Tick(8))), Some(2));
        assert_eq!(sender.next_due(), Some(Tick(24)));
        for _ in 0..20 {
            let due = sender.next_due().unwrap_or_default();
            assert!(sender.send(due).is_some());
            assert!(sender.next_due().is_some_and(|next| next.0 <= due.0 + 128));
        }
        sender.acked(3);
        assert_eq!(sender.next_due(), None);
    }

    #[test]
    fn short_ones_go_first_if_they_may() {
        for (short_first, order) in [(true, [2, 3, 1]), (false, [1, 2, 3])] {
            let mut sender = Sender::new(Some(9), short_first);
            for length in [500, 5, 6] {
                sender.keep(packed(length), Tick(0));
            }
            let sent = [(); 3].map(|()| number(sender.send(Tick(0))).unwrap_or(0));
            assert_eq!(sent, order);
        }
    }
}
