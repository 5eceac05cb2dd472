// SPDX-License-Identifier: BSD-3-Clause
//! Workload: one slot; a newer value replaces one that was not received.

use super::channel::{Refused, sum_below};
use super::peer::Peer;
use super::stage::Stage;
use crate::error::{BenchError, check};
use crate::harness::Contestant;

/// A slot with both of its handles.
pub(crate) trait Slot: 'static {
    /// Whose it is.
    const PEER: Peer;
    /// An empty one.
    fn open() -> Self;
    /// Puts a value in the place of the one that is there.
    fn replace(&mut self, value: u64) -> Result<(), Refused>;
    /// Takes the value.
    fn take(&mut self) -> Result<u64, Refused>;
}

/// Every value is taken.
pub(crate) fn send_take<S: Slot>(_: &Stage) -> Result<Contestant, BenchError> {
    let mut slot = S::open();
    Ok(Contestant::timed(S::PEER.name(), move |n| {
        let mut sum = 0_u64;
        for number in 0..n {
            slot.replace(number).map_err(|refused| refused.by(S::PEER))?;
            sum = sum.wrapping_add(slot.take().map_err(|refused| refused.by(S::PEER))?);
        }
        check(S::PEER.name(), "replace, take", sum_below(n), sum)
    }))
}

/// Only the last value of a block is taken: all others are replaced.
pub(crate) fn overwrite<S: Slot>(_: &Stage) -> Result<Contestant, BenchError> {
    let mut slot = S::open();
    Ok(Contestant::timed(S::PEER.name(), move |n| {
        for number in 0..n {
            slot.replace(number).map_err(|refused| refused.by(S::PEER))?;
        }
        let last = slot.take().map_err(|refused| refused.by(S::PEER))?;
        check(S::PEER.name(), "replace", n - 1, last)?;
        check(S::PEER.name(), "replace: what is left", false, slot.take().is_ok())
    }))
}
