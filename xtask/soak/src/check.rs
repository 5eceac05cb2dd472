// SPDX-License-Identifier: BSD-3-Clause
//! The accounts: numbered messages, their counts and checksums, and the report of a scenario.
//!
//! ```text
//!   message   sender (16 bits) │ number (48 bits), which counts up from 0 for each sender
//! ```

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use becket_chan::Snapshot;

/// Senders of one scenario.
const SENDERS_MAX: usize = 64;
const NUMBER_BITS: u32 = 48;
/// A receiver reports progress once per this many messages.
const TICK: u64 = 256;

static MOVED: AtomicU64 = AtomicU64::new(0);

/// A number that changes while messages are received.
pub(crate) fn moved() -> u64 {
    MOVED.load(Ordering::Relaxed)
}

/// The message number `number` of a sender.
pub(crate) fn message(sender: u64, number: u64) -> u64 {
    sender << NUMBER_BITS | number
}

/// How many messages, and two checksums of them that do not depend on their order.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sum {
    pub(crate) count: u64,
    sum: u64,
    xor: u64,
}

impl Sum {
    #[inline]
    pub(crate) fn add(&mut self, message: u64) {
        let mixed = message.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let mixed = mixed ^ (mixed >> 29);
        self.count += 1;
        self.sum = self.sum.wrapping_add(mixed);
        self.xor ^= mixed.rotate_left(21);
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        self.count += other.count;
        self.sum = self.sum.wrapping_add(other.sum);
        self.xor ^= other.xor;
    }
}

/// What one receiver has seen.
#[derive(Debug)]
pub(crate) struct Watch {
    pub(crate) sum: Sum,
    next: [u64; SENDERS_MAX],
    /// A message that came after a later one of its sender, or a second time.
    disorder: u64,
}

impl Watch {
    pub(crate) fn new() -> Self {
        Self { sum: Sum::default(), next: [0; SENDERS_MAX], disorder: 0 }
    }

    #[inline]
    pub(crate) fn saw(&mut self, message: u64) {
        let (sender, number) = (message >> NUMBER_BITS, message & ((1 << NUMBER_BITS) - 1));
        match self.next.get_mut(sender as usize) {
            Some(next) => {
                self.disorder += u64::from(number < *next);
                *next = number + 1;
            }
            None => self.disorder += 1,
        }
        self.sum.add(message);
        if self.sum.count.is_multiple_of(TICK) {
            MOVED.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// The result of a scenario.
#[derive(Debug, Default)]
pub(crate) struct Report {
    pub(crate) sent: Sum,
    received: Sum,
    undelivered: Sum,
    disorder: u64,
    pub(crate) selects: u64,
    /// Operations that a limit or a drop raced with.
    pub(crate) races: u64,
    /// Those of them that ended without a match.
    pub(crate) races_lost: u64,
    notes: Vec<String>,
}

impl Report {
    pub(crate) fn sent(&mut self, sum: &Sum) {
        self.sent.merge(sum);
    }

    /// `ordered`: each sender's messages must have come in order.
    pub(crate) fn received(&mut self, watch: &Watch, ordered: bool) {
        self.received.merge(&watch.sum);
        self.disorder += if ordered { watch.disorder } else { 0 };
    }

    pub(crate) fn undelivered(&mut self, sum: &Sum) {
        self.undelivered.merge(sum);
    }

    /// Adds a defect that the counts do not show.
    pub(crate) fn note(&mut self, what: Option<String>) {
        self.notes.extend(what);
    }

    /// The channel's own counters must balance, and no operation may wait any more.
    pub(crate) fn balance(&mut self, channel: &Snapshot) {
        let out = channel.receives + channel.len as u64 + channel.undelivered;
        if channel.sends != out || channel.senders_waiting + channel.receivers_waiting > 0 {
            self.notes.push(format!("the counters do not balance: {channel:?}"));
        }
    }

    pub(crate) fn lost(&self) -> u64 {
        self.sent.count.saturating_sub(self.received.count + self.undelivered.count)
    }

    pub(crate) fn repeated(&self) -> u64 {
        (self.received.count + self.undelivered.count).saturating_sub(self.sent.count)
    }

    pub(crate) fn holds(&self) -> bool {
        self.broken().is_empty()
    }

    pub(crate) fn broken(&self) -> Vec<String> {
        let mut broken = self.notes.clone();
        let mut out = self.received;
        out.merge(&self.undelivered);
        if self.lost() > 0 {
            broken.push(format!("{} messages are lost", self.lost()));
        } else if self.repeated() > 0 {
            broken.push(format!("{} messages came twice", self.repeated()));
        } else if out != self.sent {
            broken.push("as many messages came as were sent, but other ones".into());
        }
        if self.disorder > 0 {
            broken.push(format!("{} messages came out of order or twice", self.disorder));
        }
        broken
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>11} messages", self.sent.count)?;
        if self.undelivered.count > 0 {
            write!(f, ", {} undelivered", self.undelivered.count)?;
        }
        if self.selects > 0 {
            write!(f, ", {} selects", self.selects)?;
        }
        if self.races > 0 {
            write!(f, ", {} races of which {} ended the wait", self.races, self.races_lost)?;
        }
        write!(f, ", {} lost, {} repeated", self.lost(), self.repeated())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(sent: &[u64], received: &[u64]) -> Report {
        let (mut report, mut sum, mut watch) = (Report::default(), Sum::default(), Watch::new());
        sent.iter().for_each(|message| sum.add(*message));
        received.iter().for_each(|message| watch.saw(*message));
        report.sent(&sum);
        report.received(&watch, true);
        report
    }

    #[test]
    fn what_is_lost_repeated_changed_or_out_of_order_is_told() {
        let all: Vec<_> = (0..10).map(|n| message(n % 2, n / 2)).collect();
        assert!(report(&all, &all).holds());
        assert_eq!(report(&all, &all[1..]).lost(), 1);
        let mut twice = all.clone();
        twice.push(all[9]);
        assert!(report(&all, &twice).repeated() == 1 && !report(&all, &twice).holds());
        let mut swapped = all.clone();
        swapped.swap(0, 2);
        assert!(!report(&all, &swapped).holds());
        let mut changed = all.clone();
        changed[9] = message(1, 40);
        assert!(!report(&all, &changed).holds());
    }
}
