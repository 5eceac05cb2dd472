// SPDX-License-Identifier: BSD-3-Clause
//! Workload: a select over n channels, of which one holds a value, a different one each time.
//! Sending the value is part of the operation. Whatever a peer can reuse from select to select is
//! reused.

use super::channel::{Refused, sum_below};
use super::peer::Peer;
use super::stage::Stage;
use crate::error::{BenchError, check};
use crate::harness::Contestant;

/// Some channels, and a way to receive from whichever has a value.
pub(crate) trait Ready: 'static {
    /// Whose they are.
    const PEER: Peer;
    /// So many channels.
    fn open(channels: usize) -> Self;
    /// That many [`rounds`]; returns their answer.
    fn rounds(&mut self, n: u64) -> Result<u64, Refused>;
}

/// A select that finds its value at once.
pub(crate) fn ready<R: Ready>(_: &Stage, channels: usize) -> Result<Contestant, BenchError> {
    let mut select = R::open(channels);
    Ok(Contestant::timed(R::PEER.name(), move |n| {
        let sum = select.rounds(n).map_err(|refused| refused.by(R::PEER))?;
        check(R::PEER.name(), "select", sum_below(n), sum)
    }))
}

/// Does rounds: each is given the number of its channel and the value to send through it, and
/// answers with what it received. Returns the sum of the answers.
pub(crate) fn rounds(
    n: u64,
    channels: usize,
    mut round: impl FnMut(usize, u64) -> Result<u64, Refused>,
) -> Result<u64, Refused> {
    let mut sum = 0_u64;
    for number in 0..n {
        sum = sum.wrapping_add(round(pick(number, channels), number)?);
    }
    Ok(sum)
}

/// The channel of a round: no order that a branch predictor or a fair select could learn.
pub(crate) fn pick(round: u64, channels: usize) -> usize {
    let scattered = round.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
    ((scattered * channels as u64) >> 32) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_channel_has_its_rounds() {
        for channels in [1, 2, 8, 64] {
            let mut seen = vec![0; channels];
            for round in 0..64 * channels as u64 {
                seen[pick(round, channels)] += 1;
            }
            assert!(seen.iter().all(|&rounds| rounds > 16), "{seen:?}");
        }
    }
}
