// SPDX-License-Identifier: BSD-3-Clause
//! Every element: intended, accepted or not, received, left in its channel.

use std::collections::HashMap;

use becket_chan::Kind;

use crate::part::CHANNELS;
use crate::report::{Report, What};

/// The elements of one server's life, and what happened to each.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    elements: HashMap<u64, Fate>,
    /// The maximum number of elements that killed receivers may have been handed, per channel.
    handed_max: u64,
}

#[derive(Debug, Default)]
struct Fate {
    intended: bool,
    accepted: bool,
    refused: bool,
    received: u32,
    left: u32,
}

/// The totals.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Sum {
    pub(crate) accepted: u64,
    pub(crate) received: u64,
    pub(crate) left: u64,
    /// Handed to receivers that were killed.
    pub(crate) handed: u64,
}

impl Ledger {
    pub(crate) fn note(&mut self, report: Report) {
        let mut fate = |mark: fn(&mut Fate)| mark(self.elements.entry(report.number).or_default());
        match report.what {
            What::Intended => fate(|fate| fate.intended = true),
            What::Accepted => fate(|fate| fate.accepted = true),
            What::Refused => fate(|fate| fate.refused = true),
            What::Received => fate(|fate| fate.received += 1),
            What::Left => fate(|fate| fate.left += 1),
            What::Wrong => panic!("an error or an element that must not be: {report:?}"),
            What::Ready | What::Unknown | What::Ended | What::Idle | What::Done => {}
        }
    }

    /// A receiver with this window was killed.
    pub(crate) fn receiver_killed(&mut self, window: u32) {
        self.handed_max += u64::from(window) + 1;
    }

    /// Every report has been noted. `is_whole`: the server survived, and has reported what is left.
    pub(crate) fn close(&mut self, is_whole: bool) -> Sum {
        let mut sum = Sum::default();
        let mut lost = [0_u64; 4];
        for (number, fate) in self.elements.drain() {
            let delivered = fate.received + fate.left;
            assert!(delivered <= 1, "{number:x} was delivered {delivered} times: {fate:?}");
            assert!(delivered == 0 || fate.intended, "{number:x} was made up: {fate:?}");
            assert!(delivered == 0 || !fate.refused, "{number:x} was refused: {fate:?}");
            sum.accepted += u64::from(fate.accepted);
            sum.received += u64::from(fate.received);
            sum.left += u64::from(fate.left);
            if fate.accepted && delivered == 0 {
                lost[(number >> 40) as usize & 3] += 1;
            }
        }
        for ((name, kind), lost) in CHANNELS.into_iter().zip(lost) {
            // A conflated channel replaces values that were not received yet.
            if is_whole && kind != Kind::Conflated {
                let most = self.handed_max;
                assert!(lost <= most, "{name}: {lost} are lost, of {most} handed to the killed");
                sum.handed += lost;
            }
        }
        self.handed_max = 0;
        sum
    }
}
