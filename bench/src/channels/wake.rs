// SPDX-License-Identifier: BSD-3-Clause
//! Workload: ten thousand tasks wait, and are all woken at once. One thread does everything.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::channel::{Channel, TaskRx};
use super::parked::let_others_run;
use super::peer::Peer;
use super::stage::{Stage, current_thread};
use crate::error::{BenchError, check};
use crate::harness::Contestant;

/// The number of waiters.
pub(crate) const WAITERS: u64 = 10_000;
/// The number of passes over the worker's queue after which all must have run.
const TURNS_MAX: usize = 100;

/// A primitive that can wake many waiters.
pub(crate) trait WakesAll: Sized + Send + Sync + 'static {
    /// Whose it is.
    const PEER: Peer;
    /// A new one.
    fn open() -> Self;
    /// Waits; whether it was woken as it should be.
    fn wait(&self) -> impl Future<Output = bool> + Send + 'static;
    /// Wakes all waiters.
    fn wake(self);
}

/// A channel whose only sender goes while many receive.
pub(crate) struct Closing<C: Channel<u64>> {
    tx: C::Tx,
    rx: C::Rx,
}

impl<C> WakesAll for Closing<C>
where
    C: Channel<u64, Tx: Sync, Rx: TaskRx<u64> + Clone + Sync> + Send + Sync,
{
    const PEER: Peer = C::PEER;

    fn open() -> Self {
        let (tx, rx) = C::open();
        Self { tx, rx }
    }

    fn wait(&self) -> impl Future<Output = bool> + Send + 'static {
        let mut rx = self.rx.clone();
        async move { rx.recv_task().await.is_err() }
    }

    fn wake(self) {
        drop(self.tx);
    }
}

/// Each operation wakes [`WAITERS`] tasks, which were started and have begun to wait before. Timed
/// is from the call that wakes until the last of them has run to its end.
pub(crate) fn wake_all<W: WakesAll>(_: &Stage) -> Result<Contestant, BenchError> {
    let runtime = current_thread()?;
    let side = move |n| {
        let mut taken = Duration::ZERO;
        for _ in 0..n {
            // A task as well: it takes its turns in the same queue.
            let done = runtime.block_on(runtime.spawn(once::<W>()));
            taken += done.map_err(|_| BenchError::Worker)??;
        }
        Ok(taken)
    };
    Ok(Contestant { column: W::PEER.name(), side: Box::new(side) })
}

async fn once<W: WakesAll>() -> Result<Duration, BenchError> {
    let wakes = W::open();
    let woken = Arc::new(AtomicU64::new(0));
    for _ in 0..WAITERS {
        let (wait, woken) = (wakes.wait(), Arc::clone(&woken));
        tokio::spawn(async move {
            if wait.await {
                woken.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    let_others_run().await;
    check(W::PEER.name(), "woken too early", 0, woken.load(Ordering::Relaxed))?;
    let begin = Instant::now();
    wakes.wake();
    for _ in 0..TURNS_MAX {
        let_others_run().await;
        if woken.load(Ordering::Relaxed) == WAITERS {
            return Ok(begin.elapsed());
        }
    }
    check(W::PEER.name(), "woken", WAITERS, woken.load(Ordering::Relaxed))?;
    Ok(begin.elapsed())
}
