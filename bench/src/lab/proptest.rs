// SPDX-License-Identifier: BSD-3-Clause
//! proptest: a strategy decides how the bytes of all flows are cut and which flow is next; a loop
//! carries them through queues, there and back.

use std::cell::Cell;
use std::collections::VecDeque;

use proptest::collection::vec;
use proptest::prelude::any;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestRng, TestRunner};

use super::rows::PROPTEST;
use super::work::{are_right, byte, check_bytes, length};
use crate::error::BenchError;

/// Cuts that are drawn; they are used again and again.
const CUTS: usize = 16;

/// One flow: what is under way to the target, and back.
#[derive(Default)]
struct Flow {
    sent: usize,
    there: VecDeque<u8>,
    taken: usize,
    back: VecDeque<u8>,
    had: usize,
}

/// So many runs, from this seed on.
pub(super) fn run(first: u64, runs: u64, flows: u32) -> Result<(), BenchError> {
    let config = Config { cases: runs as u32, failure_persistence: None, ..Config::default() };
    let mut seed = [0; 32];
    for (place, byte) in seed.iter_mut().zip(first.to_le_bytes()) {
        *place = byte;
    }
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &seed);
    let (next, right) = (Cell::new(first), Cell::new(0));
    let case = |cuts: Vec<u16>| {
        let seed = next.replace(next.get() + 1);
        right.set(right.get() + once(seed, flows, &cuts)?);
        Ok(())
    };
    let strategy = vec(any::<u16>(), CUTS);
    let result = TestRunner::new_with_rng(config, rng).run(&strategy, case);
    result.map_err(|error| BenchError::host(PROPTEST, error.to_string()))?;
    check_bytes(PROPTEST, first..first + runs, flows, right.get())
}

/// One run. Gives how many bytes were right.
fn once(seed: u64, flows: u32, cuts: &[u16]) -> Result<u64, TestCaseError> {
    let mut all: Vec<_> = (0..flows).map(|_| Flow::default()).collect();
    let mut right = 0;
    for cut in cuts.iter().cycle() {
        let waiting = (0..flows).zip(&mut all);
        let mut waiting: Vec<_> =
            waiting.filter(|(number, flow)| flow.had < length(seed, *number)).collect();
        let chosen = usize::from(cut >> 8) % waiting.len().max(1);
        let Some((number, flow)) = waiting.get_mut(chosen) else { break };
        let most = 1 + usize::from(cut & 0x7f);
        let count = most.min(length(seed, *number) - flow.sent);
        flow.there.extend((flow.sent..flow.sent + count).map(|at| byte(seed, *number, at)));
        flow.sent += count;
        let came: Vec<u8> = flow.there.drain(..most.min(flow.there.len())).collect();
        let had: Vec<u8> = flow.back.drain(..most.min(flow.back.len())).collect();
        if !are_right(seed, *number, flow.taken, &came) || !are_right(seed, *number, flow.had, &had)
        {
            return Err(TestCaseError::fail("another byte"));
        }
        flow.taken += came.len();
        flow.had += had.len();
        right += (came.len() + had.len()) as u64;
        flow.back.extend(came);
    }
    Ok(right)
}
