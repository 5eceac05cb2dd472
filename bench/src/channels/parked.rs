// SPDX-License-Identifier: BSD-3-Clause
//! Workload: a task waits in a select over n channels; another task, on the same worker, sends a
//! value into one of them, a different one each time, and yields to the first task.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;

use futures_util::future::select_all;

use super::channel::{Channel, Refused, TaskRx, TryTx, sum_below};
use super::crew::{Role, Work, crew};
use super::peer::Peer;
use super::ready::pick;
use super::stage::{Scheduler, Stage};
use crate::error::BenchError;
use crate::harness::Contestant;

/// Some channels, and a task's way to wait for whichever has a value first.
pub(crate) trait Parked: Sized + Send + 'static {
    /// Whose they are.
    const PEER: Peer;
    /// The sender of one of them.
    type Tx: Send + 'static;
    /// So many channels.
    fn open(channels: usize) -> (Vec<Self::Tx>, Self);
    /// Sends; there is room.
    fn send(tx: &mut Self::Tx, value: u64) -> Result<(), Refused>;
    /// Receives so many values; returns their sum.
    fn receive(&mut self, n: u64) -> impl Future<Output = Result<u64, Refused>> + Send;
}

/// A select that has to wait.
pub(crate) fn parked<P: Parked>(stage: &Stage, channels: usize) -> Result<Contestant, BenchError> {
    let (senders, select) = P::open(channels);
    let mut kept = Some((senders, select));
    let (runtime, cpu) = stage.runtime(Scheduler::CurrentThread)?;
    let work: Work = Box::new(move |n| {
        let (mut senders, mut select) = kept.take().ok_or(BenchError::Worker)?;
        let runtime = Arc::clone(&runtime);
        runtime.block_on(async {
            // The receiver first, so that it waits when the first value comes.
            let receiving = runtime.spawn(async move {
                let sum = select.receive(n).await?;
                Ok((select, sum))
            });
            let sending = runtime.spawn(async move {
                for number in 0..n {
                    let tx = senders.get_mut(pick(number, channels)).ok_or(Refused)?;
                    P::send(tx, number)?;
                    let_others_run().await;
                }
                Ok(senders)
            });
            let (received, sent) = (receiving.await, sending.await);
            let refused = |refused: Refused| refused.by(P::PEER);
            let (select, sum) = received.map_err(|_| BenchError::Worker)?.map_err(refused)?;
            let senders = sent.map_err(|_| BenchError::Worker)?.map_err(refused)?;
            kept = Some((senders, select));
            Ok(sum)
        })
    });
    crew(stage, P::PEER, "select, waiting", vec![Role { cpu, work }], sum_below)
}

/// Yields to the end of the worker's queue. tokio's own `yield_now` first lets the worker poll
/// timers and files.
pub(crate) async fn let_others_run() {
    let mut done = false;
    poll_fn(|context| {
        if done {
            return Poll::Ready(());
        }
        done = true;
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// Channels of a crate without a select: futures' `select_all` over receives that are made for each
/// select and dropped after it.
pub(crate) struct SelectAll<C: Channel<u64>>(Vec<C::Rx>);

impl<C> Parked for SelectAll<C>
where
    C: Channel<u64, Tx: TryTx<u64>, Rx: TaskRx<u64>>,
{
    const PEER: Peer = C::PEER;
    type Tx = C::Tx;

    fn open(channels: usize) -> (Vec<C::Tx>, Self) {
        let (senders, receivers) = (0..channels).map(|_| C::open()).unzip();
        (senders, Self(receivers))
    }

    fn send(tx: &mut C::Tx, value: u64) -> Result<(), Refused> {
        tx.send_now(value)
    }

    async fn receive(&mut self, n: u64) -> Result<u64, Refused> {
        let mut sum = 0_u64;
        for _ in 0..n {
            let receives = self.0.iter_mut().map(|rx| Box::pin(rx.recv_task()));
            let (value, _, _) = select_all(receives).await;
            sum = sum.wrapping_add(value?);
        }
        Ok(sum)
    }
}
