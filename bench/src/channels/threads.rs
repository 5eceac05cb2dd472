// SPDX-License-Identifier: BSD-3-Clause
//! Workload: values from n threads to m others.
//!
//! One operation is one value from each sender. Every receiver takes its equal part and no more, so
//! that the channel stays open from block to block. The receiver of a single sender checks the
//! order as well: a value out of order enters its sum as `u64::MAX`.

use super::channel::{Channel, Message, WaitRx, WaitTx, clones, sum_below};
use super::crew::{Role, Work, crew};
use super::peer::Peer;
use super::stage::Stage;
use crate::error::BenchError;
use crate::harness::Contestant;
use crate::machine::{FIRST_CPU, SECOND_CPU};

/// Senders of the rows with many.
pub(crate) const MANY: u64 = 4;

/// From one thread to another, each on a CPU of its own.
pub(crate) fn one_to_one<C, T>(stage: &Stage) -> Result<Contestant, BenchError>
where
    T: Message,
    C: Channel<T, Tx: WaitTx<T>, Rx: WaitRx<T>>,
{
    let (tx, mut rx) = C::open();
    let receiver: Work = Box::new(move |n| {
        let mut sum = 0_u64;
        for number in 0..n {
            let value = rx.recv_wait().map_err(|refused| refused.by(C::PEER))?;
            let got = if value.number() == number { number } else { u64::MAX };
            sum = sum.wrapping_add(got);
        }
        Ok(sum)
    });
    let roles = vec![
        Role { cpu: Some(SECOND_CPU), work: sender(C::PEER, tx, 0) },
        Role { cpu: Some(FIRST_CPU), work: receiver },
    ];
    crew(stage, C::PEER, "one thread to another", roles, sum_below)
}

/// From four threads to one, wherever the kernel puts them.
pub(crate) fn four_to_one<C>(stage: &Stage) -> Result<Contestant, BenchError>
where
    C: Channel<u64, Tx: WaitTx<u64> + Clone, Rx: WaitRx<u64>>,
{
    let (tx, rx) = C::open();
    many::<u64, _, _>(stage, C::PEER, clones(tx, MANY as usize), vec![rx])
}

/// From four threads to four.
pub(crate) fn four_to_four<C, T>(stage: &Stage) -> Result<Contestant, BenchError>
where
    T: Message,
    C: Channel<T, Tx: WaitTx<T> + Clone, Rx: WaitRx<T> + Clone>,
{
    let (tx, rx) = C::open();
    many::<T, _, _>(stage, C::PEER, clones(tx, MANY as usize), clones(rx, MANY as usize))
}

/// From each of four senders to as many receivers as there are.
pub(crate) fn many<T, Tx, Rx>(
    stage: &Stage,
    peer: Peer,
    senders: Vec<Tx>,
    receivers: Vec<Rx>,
) -> Result<Contestant, BenchError>
where
    T: Message,
    Tx: WaitTx<T> + Send + 'static,
    Rx: WaitRx<T> + Send + 'static,
{
    let each = MANY / receivers.len() as u64;
    let mut roles = Vec::new();
    for mut rx in receivers {
        let work: Work = Box::new(move |n| {
            let mut sum = 0_u64;
            for _ in 0..n * each {
                let value = rx.recv_wait().map_err(|refused| refused.by(peer))?;
                sum = sum.wrapping_add(value.number());
            }
            Ok(sum)
        });
        roles.push(Role { cpu: None, work });
    }
    for (index, tx) in senders.into_iter().enumerate() {
        roles.push(Role { cpu: None, work: sender::<T, _>(peer, tx, index as u64) });
    }
    crew(stage, peer, "threads to threads", roles, |n| sum_below(MANY * n))
}

/// Sends the numbers of the sender with this index: each sender has a range of its own.
fn sender<T, Tx>(peer: Peer, mut tx: Tx, index: u64) -> Work
where
    T: Message,
    Tx: WaitTx<T> + Send + 'static,
{
    Box::new(move |n| {
        for number in index * n..(index + 1) * n {
            tx.send_wait(T::of(number)).map_err(|refused| refused.by(peer))?;
        }
        Ok(0)
    })
}
