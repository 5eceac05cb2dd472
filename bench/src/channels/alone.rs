// SPDX-License-Identifier: BSD-3-Clause
//! Workload: one thread, or one task, sends a value and receives it. There is no contention and no
//! wait: the figure is the cost of the channel itself. Or it sends many values and then receives
//! them: the cost of an unlimited channel with a backlog.

use futures_lite::future::block_on;

use super::channel::{
    Channel, Message, Refused, TaskRx, TaskTx, TryRx, TryTx, WaitRx, WaitTx, sum_below,
};
use super::stage::Stage;
use crate::error::{BenchError, check};
use crate::harness::Contestant;

/// With the operations that would wait.
pub(crate) fn wait<C>(_: &Stage) -> Result<Contestant, BenchError>
where
    C: Channel<u64, Tx: WaitTx<u64>, Rx: WaitRx<u64>>,
{
    let (mut tx, mut rx) = C::open();
    Ok(Contestant::timed(C::PEER.name(), move |n| {
        let mut sum = 0_u64;
        for number in 0..n {
            tx.send_wait(number).map_err(|refused| refused.by(C::PEER))?;
            let got = rx.recv_wait().map_err(|refused| refused.by(C::PEER))?;
            sum = sum.wrapping_add(got);
        }
        check(C::PEER.name(), "send, recv", sum_below(n), sum)
    }))
}

/// With those that never wait.
pub(crate) fn now<C>(_: &Stage) -> Result<Contestant, BenchError>
where
    C: Channel<u64, Tx: TryTx<u64>, Rx: TryRx<u64>>,
{
    Ok(tried::<C, u64>(C::PEER.name()))
}

/// The same with any kind of message.
pub(crate) fn tried<C, T>(column: &'static str) -> Contestant
where
    T: Message,
    C: Channel<T, Tx: TryTx<T>, Rx: TryRx<T>>,
{
    let (mut tx, mut rx) = C::open();
    Contestant::timed(column, move |n| {
        let mut sum = 0_u64;
        for number in 0..n {
            tx.send_now(T::of(number)).map_err(|refused| refused.by(C::PEER))?;
            let got = rx.recv_now().map_err(|refused| refused.by(C::PEER))?;
            sum = sum.wrapping_add(got.number());
        }
        check(column, "try_send, try_recv", sum_below(n), sum)
    })
}

/// Sends `depth` values, then receives them, repeatedly.
pub(crate) fn backlog<C>(_: &Stage, depth: u64) -> Result<Contestant, BenchError>
where
    C: Channel<u64, Tx: TryTx<u64>, Rx: TryRx<u64>>,
{
    let (mut tx, mut rx) = C::open();
    Ok(Contestant::timed(C::PEER.name(), move |rounds| {
        let mut sum = 0_u64;
        for round in 0..rounds {
            let numbers = round * depth..(round + 1) * depth;
            for number in numbers.clone() {
                tx.send_now(number).map_err(|refused| refused.by(C::PEER))?;
            }
            for number in numbers {
                let got = rx.recv_now().map_err(|refused| refused.by(C::PEER))?;
                let in_turn = got == number;
                sum = sum.wrapping_add(if in_turn { got } else { u64::MAX });
            }
        }
        check(C::PEER.name(), "a backlog", sum_below(rounds * depth), sum)
    }))
}

/// With futures, in one task.
pub(crate) fn task<C>(_: &Stage) -> Result<Contestant, BenchError>
where
    C: Channel<u64, Tx: TaskTx<u64>, Rx: TaskRx<u64>>,
{
    let (mut tx, mut rx) = C::open();
    Ok(Contestant::timed(C::PEER.name(), move |n| {
        let sum = block_on(async {
            let mut sum = 0_u64;
            for number in 0..n {
                tx.send_task(number).await?;
                sum = sum.wrapping_add(rx.recv_task().await?);
            }
            Ok(sum)
        });
        let sum = sum.map_err(|refused: Refused| refused.by(C::PEER))?;
        check(C::PEER.name(), "send, recv, awaited", sum_below(n), sum)
    }))
}
