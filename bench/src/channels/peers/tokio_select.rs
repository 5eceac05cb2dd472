// SPDX-License-Identifier: BSD-3-Clause
//! tokio's `select!` over its own `mpsc`: a macro, so there is one function for each number of
//! channels.

use std::pin::pin;
use std::task::{Context, Poll, Waker};

use tokio::sync::mpsc::{Receiver, Sender, channel};

use super::super::channel::Refused;
use super::super::parked::Parked;
use super::super::peer::Peer;
use super::super::ready::{Ready, rounds};

macro_rules! select_of {
    ($name:ident: $($rx:ident)+) => {
        async fn $name(receivers: &mut [Receiver<u64>]) -> Option<u64> {
            let [$($rx),+] = receivers else { return None };
            tokio::select! { $(value = $rx.recv() => value,)+ }
        }
    };
}

select_of!(of_2: r0 r1);
select_of!(of_8: r0 r1 r2 r3 r4 r5 r6 r7);
select_of!(
    of_64:
    r0 r1 r2 r3 r4 r5 r6 r7 r8 r9 r10 r11 r12 r13 r14 r15 r16 r17 r18 r19 r20 r21 r22 r23 r24 r25
    r26 r27 r28 r29 r30 r31 r32 r33 r34 r35 r36 r37 r38 r39 r40 r41 r42 r43 r44 r45 r46 r47 r48
    r49 r50 r51 r52 r53 r54 r55 r56 r57 r58 r59 r60 r61 r62 r63
);

async fn select(receivers: &mut [Receiver<u64>]) -> Result<u64, Refused> {
    let value = match receivers.len() {
        2 => of_2(receivers).await,
        8 => of_8(receivers).await,
        64 => of_64(receivers).await,
        _ => None,
    };
    value.ok_or(Refused)
}

fn channels(count: usize) -> (Vec<Sender<u64>>, Vec<Receiver<u64>>) {
    (0..count).map(|_| channel(16)).unzip()
}

/// Channels with a value in one of them: the select is ready when it is polled for the first time.
pub(crate) struct SelectReady {
    senders: Vec<Sender<u64>>,
    receivers: Vec<Receiver<u64>>,
}

impl Ready for SelectReady {
    const PEER: Peer = Peer::Tokio;

    fn open(count: usize) -> Self {
        let (senders, receivers) = channels(count);
        Self { senders, receivers }
    }

    fn rounds(&mut self, n: u64) -> Result<u64, Refused> {
        let mut context = Context::from_waker(Waker::noop());
        rounds(n, self.senders.len(), |channel, number| {
            let tx = self.senders.get(channel).ok_or(Refused)?;
            tx.try_send(number).map_err(|_| Refused)?;
            match pin!(select(&mut self.receivers)).poll(&mut context) {
                Poll::Ready(value) => value,
                Poll::Pending => Err(Refused),
            }
        })
    }
}

/// Channels that a task waits for.
pub(crate) struct SelectParked(Vec<Receiver<u64>>);

impl Parked for SelectParked {
    const PEER: Peer = Peer::Tokio;
    type Tx = Sender<u64>;

    fn open(count: usize) -> (Vec<Sender<u64>>, Self) {
        let (senders, receivers) = channels(count);
        (senders, Self(receivers))
    }

    fn send(tx: &mut Sender<u64>, value: u64) -> Result<(), Refused> {
        tx.try_send(value).map_err(|_| Refused)
    }

    async fn receive(&mut self, n: u64) -> Result<u64, Refused> {
        let mut sum = 0_u64;
        for _ in 0..n {
            sum = sum.wrapping_add(select(&mut self.0).await?);
        }
        Ok(sum)
    }
}
