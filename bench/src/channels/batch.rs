// SPDX-License-Identifier: BSD-3-Clause
//! Workload: one thread sends 64 values into a channel and receives them, by the calls for batches
//! if the peer has them.

use super::channel::{Refused, sum_below};
use super::peer::Peer;
use super::stage::Stage;
use crate::error::{BenchError, check};
use crate::harness::Contestant;

/// How many values a batch has.
pub(crate) const BATCH: u64 = 64;

/// A channel that moves batches, with both of its handles and its own buffers.
pub(crate) trait Batches: 'static {
    /// Whose it is.
    const PEER: Peer;
    /// An empty one, with room for more than a batch.
    fn open() -> Self;
    /// Sends these values: [`BATCH`] of them.
    fn send_all(&mut self, values: std::ops::Range<u64>) -> Result<(), Refused>;
    /// Receives all that were sent, and hands each to the function.
    fn recv_all(&mut self, each: impl FnMut(u64)) -> Result<(), Refused>;
}

/// `batched!(Peer Name, Tx, Rx, open; send |tx, values, buffer: Type| …; recv |rx, each, buffer: Type| …)`:
/// a channel that moves batches in this way, with buffers that are kept.
macro_rules! batched {
    (
        $(#[$doc:meta])+
        $peer:ident $name:ident, $tx_type:ty, $rx_type:ty, $open:expr;
        send |$tx:ident, $values:ident, $outgoing:ident: $outgoing_type:ty| $send:expr;
        recv |$rx:ident, $each:ident, $incoming:ident: $incoming_type:ty| $recv:expr
    ) => {
        $(#[$doc])+
        pub(crate) struct $name {
            tx: $tx_type,
            rx: $rx_type,
            outgoing: $outgoing_type,
            incoming: $incoming_type,
        }

        impl $crate::channels::batch::Batches for $name {
            const PEER: Peer = Peer::$peer;

            fn open() -> Self {
                let (tx, rx) = $open;
                Self { tx, rx, outgoing: Default::default(), incoming: Default::default() }
            }

            fn send_all(&mut self, $values: std::ops::Range<u64>) -> Result<(), Refused> {
                let Self { tx: $tx, outgoing: $outgoing, .. } = self;
                $send
            }

            fn recv_all(&mut self, $each: impl FnMut(u64)) -> Result<(), Refused> {
                let Self { rx: $rx, incoming: $incoming, .. } = self;
                $recv;
                Ok(())
            }
        }
    };
}

pub(crate) use batched;

/// Batch after batch.
pub(crate) fn batches<B: Batches>(_: &Stage) -> Result<Contestant, BenchError> {
    let mut channel = B::open();
    Ok(Contestant::timed(B::PEER.name(), move |n| {
        let (mut sum, mut count) = (0_u64, 0_u64);
        for batch in 0..n {
            channel
                .send_all(batch * BATCH..(batch + 1) * BATCH)
                .map_err(|refused| refused.by(B::PEER))?;
            let each = |value| {
                sum = sum.wrapping_add(value);
                count += 1;
            };
            channel.recv_all(each).map_err(|refused| refused.by(B::PEER))?;
        }
        check(B::PEER.name(), "batches", (n * BATCH, sum_below(n * BATCH)), (count, sum))
    }))
}
