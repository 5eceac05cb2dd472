// SPDX-License-Identifier: BSD-3-Clause
//! Turns envelopes back into bytes in order.
//!
//! # Invariants
//!
//! 1. Bodies are delivered in the order of their numbers, each once.
//! 2. Of early envelopes no more than the window is kept; others are dropped, and retransmitted.

use std::collections::BTreeMap;

use super::{WINDOW, envelope};

#[derive(Debug)]
pub(super) struct Receiver {
    next: u64,
    early: BTreeMap<u64, Vec<u8>>,
    /// Wrong envelopes are retransmitted.
    repairs: bool,
}

/// An envelope is wrong or out of order, and this link has no retransmission.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Wrong;

impl Receiver {
    pub(super) const fn new(repairs: bool) -> Self {
        Self { next: 1, early: BTreeMap::new(), repairs }
    }

    /// Takes an envelope. Bytes in order are appended to `out`; returns the number to acknowledge,
    /// if any.
    pub(super) fn take(&mut self, sealed: &[u8], out: &mut Vec<u8>) -> Result<Option<u64>, Wrong> {
        match envelope::open(sealed) {
            Some((number, body)) if number == self.next => {
                out.extend_from_slice(body);
                self.next += 1;
                while let Some(body) = self.early.remove(&self.next) {
                    out.extend_from_slice(&body);
                    self.next += 1;
                }
            }
            _ if !self.repairs => return Err(Wrong),
            Some((number, body)) if number > self.next && number - self.next < WINDOW => {
                self.early.entry(number).or_insert_with(|| body.to_vec());
            }
            // A duplicate, or too early: the ack reports it.
            Some(_) => {}
            None => return Ok(None),
        }
        Ok(self.repairs.then_some(self.next))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::choice::Choices;

    #[test]
    fn bodies_come_out_in_order_and_once() {
        for seed in 0..100 {
            let (mut choices, mut receiver) = (Choices::seeded(seed), Receiver::new(true));
            let (mut out, mut wanted) = (Vec::new(), 1);
            while wanted <= 100 {
                let number = 1 + u64::from(choices.below(100));
                let mut sealed = envelope::seal(number, &[number as u8; 3]);
                let is_broken = choices.happens(1, 8);
                if is_broken {
                    sealed[0] ^= 1;
                }
                let acked = receiver.take(&sealed, &mut out);
                assert_eq!(acked == Ok(None), is_broken);
                wanted = acked.unwrap_or(None).unwrap_or(wanted);
                assert!(receiver.early.len() < WINDOW as usize);
                assert_eq!(out.len() as u64, 3 * (wanted - 1));
            }
            assert!(out.iter().enumerate().all(|(at, byte)| usize::from(*byte) == 1 + at / 3));
        }
    }

    #[test]
    fn without_repair_an_error_is_reported_at_once() {
        let good = |number| envelope::seal(number, &[1]);
        let mut corrupt = good(2);
        corrupt[25 - 5] ^= 8;
        let cut = good(2)[..20].to_vec();
        for wrong in [good(1), good(3), corrupt, cut] {
            let (mut receiver, mut out) = (Receiver::new(false), Vec::new());
            assert_eq!(receiver.take(&good(1), &mut out), Ok(None));
            assert_eq!(receiver.take(&wrong, &mut out), Err(Wrong));
            assert_eq!(out, [1]);
        }
    }
}
