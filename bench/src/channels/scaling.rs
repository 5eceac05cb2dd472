// SPDX-License-Identifier: BSD-3-Clause
//! Workloads whose cost must not grow: many channels alive, many receivers waiting at one.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::channel::{Channel, Refused, TaskRx, TryRx, TryTx, sum_below};
use super::crew::{Role, Work, crew};
use super::parked::let_others_run;
use super::ready::pick;
use super::stage::{Scheduler, Stage};
use crate::error::{BenchError, check};
use crate::harness::Contestant;

/// So many channels are alive; a value goes through one of them, another each time.
pub(crate) fn alive<C>(_: &Stage, count: usize) -> Result<Contestant, BenchError>
where
    C: Channel<u64, Tx: TryTx<u64>, Rx: TryRx<u64>>,
{
    let mut channels: Vec<_> = (0..count).map(|_| C::open()).collect();
    Ok(Contestant::timed(C::PEER.name(), move |n| {
        let mut sum = 0_u64;
        for number in 0..n {
            let got = channels.get_mut(pick(number, count)).ok_or(Refused).and_then(|(tx, rx)| {
                tx.send_now(number)?;
                rx.recv_now()
            });
            sum = sum.wrapping_add(got.map_err(|refused| refused.by(C::PEER))?);
        }
        check(C::PEER.name(), "one of many channels", sum_below(n), sum)
    }))
}

/// So many channels are alive; one of them is used.
pub(crate) fn one_used<C>(_: &Stage, count: usize) -> Result<Contestant, BenchError>
where
    C: Channel<u64, Tx: TryTx<u64>, Rx: TryRx<u64>>,
{
    let mut channels: Vec<_> = (0..count).map(|_| C::open()).collect();
    Ok(Contestant::timed(C::PEER.name(), move |n| {
        let (tx, rx) = channels.first_mut().ok_or(BenchError::Worker)?;
        let mut sum = 0_u64;
        for number in 0..n {
            tx.send_now(number).map_err(|refused| refused.by(C::PEER))?;
            let got = rx.recv_now().map_err(|refused| refused.by(C::PEER))?;
            sum = sum.wrapping_add(got);
        }
        check(C::PEER.name(), "one of many channels", sum_below(n), sum)
    }))
}

/// So many tasks receive from one channel, all on one worker. Each value wakes one of them, which
/// takes it and waits again.
pub(crate) fn waiters<C>(stage: &Stage, count: u64) -> Result<Contestant, BenchError>
where
    C: Channel<u64, Tx: TryTx<u64>, Rx: TaskRx<u64> + Clone>,
{
    let (runtime, cpu) = stage.runtime(Scheduler::CurrentThread)?;
    let (tx, rx) = C::open();
    let taken = Arc::new((AtomicU64::new(0), AtomicU64::new(0)));
    for _ in 0..count {
        let (mut rx, taken) = (rx.clone(), Arc::clone(&taken));
        runtime.spawn(async move {
            while let Ok(value) = rx.recv_task().await {
                taken.0.fetch_add(1, Ordering::Relaxed);
                taken.1.fetch_add(value, Ordering::Relaxed);
            }
        });
    }
    // The last in the queue: when it has run, all of them wait.
    runtime.block_on(runtime.spawn(async {})).map_err(|_| BenchError::Worker)?;
    let mut kept = Some(tx);
    let work: Work = Box::new(move |n| {
        let before = taken.1.load(Ordering::Relaxed);
        let (tx, counted) = (kept.take().ok_or(BenchError::Worker)?, Arc::clone(&taken));
        // A task as well: it takes its turns in the same queue.
        let sending = runtime.block_on(runtime.spawn(send_one_by_one(tx, n, counted)));
        let sent = sending.map_err(|_| BenchError::Worker)?;
        kept = Some(sent.map_err(|refused| refused.by(C::PEER))?);
        Ok(taken.1.load(Ordering::Relaxed).wrapping_sub(before))
    });
    crew(stage, C::PEER, "one of many receivers", vec![Role { cpu, work }], sum_below)
}

/// Sends a value, waits until it was taken, sends the next.
async fn send_one_by_one<Tx: TryTx<u64>>(
    mut tx: Tx,
    n: u64,
    taken: Arc<(AtomicU64, AtomicU64)>,
) -> Result<Tx, Refused> {
    for number in 0..n {
        let turns = taken.0.load(Ordering::Relaxed);
        tx.send_now(number)?;
        while taken.0.load(Ordering::Relaxed) == turns {
            let_others_run().await;
        }
    }
    Ok(tx)
}
