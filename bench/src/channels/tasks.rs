// SPDX-License-Identifier: BSD-3-Clause
//! Workload: values from n tokio tasks to m others. As between threads (`threads`), but a runtime's
//! workers wake each other, or one worker runs all.

use std::sync::Arc;

use tokio::runtime::Runtime;
use tokio::task::JoinHandle;

use super::channel::{Channel, Refused, TaskRx, TaskTx, clones, sum_below};
use super::crew::{Role, Work, crew};
use super::peer::Peer;
use super::stage::{Scheduler, Stage};
use super::threads::MANY;
use crate::error::BenchError;
use crate::harness::Contestant;

/// From one task to another.
pub(crate) fn one_to_one<C>(stage: &Stage, on: Scheduler) -> Result<Contestant, BenchError>
where
    C: Channel<u64, Tx: TaskTx<u64>, Rx: TaskRx<u64>>,
{
    let (tx, rx) = C::open();
    tasks(stage, on, C::PEER, vec![tx], vec![rx])
}

/// From four tasks to one.
pub(crate) fn four_to_one<C>(stage: &Stage, on: Scheduler) -> Result<Contestant, BenchError>
where
    C: Channel<u64, Tx: TaskTx<u64> + Clone, Rx: TaskRx<u64>>,
{
    let (tx, rx) = C::open();
    tasks(stage, on, C::PEER, clones(tx, MANY as usize), vec![rx])
}

/// From four tasks to four.
pub(crate) fn four_to_four<C>(stage: &Stage, on: Scheduler) -> Result<Contestant, BenchError>
where
    C: Channel<u64, Tx: TaskTx<u64> + Clone, Rx: TaskRx<u64> + Clone>,
{
    let (tx, rx) = C::open();
    tasks(stage, on, C::PEER, clones(tx, MANY as usize), clones(rx, MANY as usize))
}

fn tasks<Tx, Rx>(
    stage: &Stage,
    on: Scheduler,
    peer: Peer,
    mut senders: Vec<Tx>,
    mut receivers: Vec<Rx>,
) -> Result<Contestant, BenchError>
where
    Tx: TaskTx<u64> + Send + 'static,
    Rx: TaskRx<u64> + Send + 'static,
{
    let (runtime, cpu) = stage.runtime(on)?;
    let total = senders.len() as u64;
    // One thread gives the runtime its tasks and waits for them. The handles go with the tasks and
    // come back with their answers.
    let work: Work = Box::new(move |n| {
        let runtime: &Arc<Runtime> = &runtime;
        runtime.block_on(async {
            let each = n * senders.len() as u64 / receivers.len() as u64;
            let ordered = senders.len() == 1;
            let receiving: Vec<_> =
                receivers.drain(..).map(|rx| runtime.spawn(receive(rx, each, ordered))).collect();
            let sending: Vec<_> = (0_u64..)
                .zip(senders.drain(..))
                .map(|(index, tx)| runtime.spawn(send(tx, index * n..(index + 1) * n)))
                .collect();
            let mut sum = 0_u64;
            for task in receiving {
                let (rx, part) = joined(peer, task).await?;
                receivers.push(rx);
                sum = sum.wrapping_add(part);
            }
            for task in sending {
                senders.push(joined(peer, task).await?);
            }
            Ok(sum)
        })
    });
    crew(stage, peer, "tasks to tasks", vec![Role { cpu, work }], move |n| sum_below(total * n))
}

async fn joined<V>(peer: Peer, task: JoinHandle<Result<V, Refused>>) -> Result<V, BenchError> {
    task.await.map_err(|_| BenchError::Worker)?.map_err(|refused| refused.by(peer))
}

async fn send<Tx: TaskTx<u64>>(mut tx: Tx, numbers: std::ops::Range<u64>) -> Result<Tx, Refused> {
    for number in numbers {
        tx.send_task(number).await?;
    }
    Ok(tx)
}

async fn receive<Rx: TaskRx<u64>>(
    mut rx: Rx,
    count: u64,
    ordered: bool,
) -> Result<(Rx, u64), Refused> {
    let mut sum = 0_u64;
    for turn in 0..count {
        let got = rx.recv_task().await?;
        let in_turn = !ordered || got == turn;
        sum = sum.wrapping_add(if in_turn { got } else { u64::MAX });
    }
    Ok((rx, sum))
}
