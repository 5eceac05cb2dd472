// SPDX-License-Identifier: BSD-3-Clause
//! Rounds: each side does the same number of operations, in turns, with so many in flight.

use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::runtime::Runtime;

use crate::error::BenchError;
use crate::harness::Figures;
use crate::side::Side;

/// How long a round lasts at least.
const ROUND: Duration = Duration::from_millis(60);
/// An operation that takes longer is stuck.
const STUCK: Duration = Duration::from_secs(60);

/// What a side took.
#[derive(Default)]
pub(crate) struct Taken {
    /// Nanoseconds for one operation, of the whole round.
    pub(crate) each: Vec<f64>,
    pub(crate) p50: Vec<f64>,
    pub(crate) p99: Vec<f64>,
}

impl Taken {
    fn round(&mut self, n: u64, elapsed: Duration, mut latencies: Vec<u64>) {
        latencies.sort_unstable();
        let at = |part: f64| {
            let index = (latencies.len() as f64 * part) as usize;
            latencies
                .get(index.min(latencies.len().saturating_sub(1)))
                .map_or(f64::NAN, |ns| *ns as f64)
        };
        self.each.push(elapsed.as_nanos() as f64 / n as f64);
        self.p50.push(at(0.5));
        self.p99.push(at(0.99));
    }

    /// By name.
    pub(crate) fn figures(self) -> [Figures; 3] {
        [self.each, self.p50, self.p99].map(Figures::new)
    }
}

/// Does `n` operations, and returns how long they took and how long each.
pub(crate) async fn round(
    side: &dyn Side,
    n: u64,
    window: usize,
) -> Result<(Duration, Vec<u64>), BenchError> {
    side.prepare(n).await?;
    let mut latencies = Vec::with_capacity(n as usize);
    let mut flying = FuturesUnordered::new();
    let begin = Instant::now();
    let mut begun = 0;
    loop {
        while begun < n && flying.len() < window {
            let operation = side.operation(begun);
            let at = Instant::now();
            flying.push(async move { operation.await.map(|()| at.elapsed()) });
            begun += 1;
        }
        let Some(ended) = flying.next().await else { break };
        latencies.push(u64::try_from(ended?.as_nanos()).unwrap_or(u64::MAX));
    }
    side.complete().await?;
    let elapsed = begin.elapsed();
    side.settle(n).await?;
    Ok((elapsed, latencies))
}

fn on(
    runtime: &Runtime,
    side: &dyn Side,
    n: u64,
    window: usize,
) -> Result<(Duration, Vec<u64>), BenchError> {
    let stuck =
        BenchError::Stuck { host: side.column(), operation: "a round", limit_s: STUCK.as_secs() };
    runtime.block_on(async {
        tokio::time::timeout(STUCK, round(side, n, window)).await.unwrap_or(Err(stuck))
    })
}

/// Rounds of these sides in turns.
pub(crate) fn contest(
    rounds: usize,
    window: usize,
    sides: &[(Runtime, Box<dyn Side>)],
) -> Result<Vec<Taken>, BenchError> {
    let mut n = 2 * window as u64;
    // What the fastest needs to fill a round; what runs here also warms the sides up.
    for (runtime, side) in sides {
        loop {
            let (elapsed, _) = on(runtime, &**side, n, window)?;
            if elapsed >= ROUND {
                break;
            }
            let missing = ROUND.as_nanos() / elapsed.as_nanos().max(1) + 1;
            n *= u64::try_from(missing).unwrap_or(u64::MAX).clamp(2, 8);
        }
    }
    let mut taken: Vec<_> = sides.iter().map(|_| Taken::default()).collect();
    for repetition in 0..rounds {
        for turn in 0..sides.len() {
            let index = (repetition + turn) % sides.len();
            let (Some((runtime, side)), Some(taken)) = (sides.get(index), taken.get_mut(index))
            else {
                continue;
            };
            let (elapsed, latencies) = on(runtime, &**side, n, window)?;
            taken.round(n, elapsed, latencies);
        }
    }
    Ok(taken)
}
