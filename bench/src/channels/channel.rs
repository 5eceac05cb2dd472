// SPDX-License-Identifier: BSD-3-Clause
//! The traits of a channel that the workloads use: making one, and sending and receiving by
//! waiting, by trying, or by a future. The handles of each peer implement the traits that they
//! support; a workload requires those it needs.
//!
//! All methods take `&mut self`, so that handles that cannot be shared can implement them too.

use super::peer::Peer;
use crate::error::BenchError;

/// What travels.
pub(crate) trait Message: Send + Unpin + 'static {
    /// The one with this number.
    fn of(number: u64) -> Self;
    /// The number of one that arrived.
    fn number(&self) -> u64;
}

impl Message for u64 {
    fn of(number: u64) -> Self {
        number
    }

    fn number(&self) -> u64 {
        *self
    }
}

/// 256 bytes: the number in the first word and in the last.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wide([u64; 32]);

impl Message for Wide {
    fn of(number: u64) -> Self {
        Self([number; 32])
    }

    fn number(&self) -> u64 {
        // The whole value must be copied, not only the two words that are compared.
        let [first, .., last] = std::hint::black_box(self).0;
        if first == last { first } else { u64::MAX }
    }
}

/// A channel refused a value, or had none: it was closed, or unexpectedly full or empty.
#[derive(Debug, thiserror::Error)]
#[error("the channel refused a value, or had none to give")]
pub(crate) struct Refused;

impl Refused {
    /// As an error of this peer.
    pub(crate) fn by(self, peer: Peer) -> BenchError {
        BenchError::host(peer.name(), self)
    }
}

/// One kind of channel of one peer.
pub(crate) trait Channel<T>: 'static {
    /// Whose it is.
    const PEER: Peer;
    /// Its sender.
    type Tx: Send + 'static;
    /// Its receiver.
    type Rx: Send + 'static;
    /// A new one.
    fn open() -> (Self::Tx, Self::Rx);
}

/// Sends, and waits for room on the calling thread.
pub(crate) trait WaitTx<T> {
    /// Sends one value.
    fn send_wait(&mut self, value: T) -> Result<(), Refused>;
}

/// Receives, and waits for a value on the calling thread.
pub(crate) trait WaitRx<T> {
    /// Receives one value.
    fn recv_wait(&mut self) -> Result<T, Refused>;
}

/// Sends if there is room.
pub(crate) trait TryTx<T> {
    /// Sends one value.
    fn send_now(&mut self, value: T) -> Result<(), Refused>;
}

/// Receives if there is a value.
pub(crate) trait TryRx<T> {
    /// Receives one value.
    fn recv_now(&mut self) -> Result<T, Refused>;
}

/// Sends from a task.
pub(crate) trait TaskTx<T> {
    /// Sends one value.
    fn send_task(&mut self, value: T) -> impl Future<Output = Result<(), Refused>> + Send;
}

/// Receives in a task.
pub(crate) trait TaskRx<T> {
    /// Receives one value.
    fn recv_task(&mut self) -> impl Future<Output = Result<T, Refused>> + Send;
}

/// `channel!(Peer, Kind<N>, N: open, Tx<T>, Rx<T>)`: a kind of channel of a peer.
macro_rules! channel {
    ($peer:ident, $kind:ty $(, $capacity:ident)?: $open:expr, $tx:ty, $rx:ty) => {
        impl<T: Message $(, const $capacity: usize)?> $crate::channels::channel::Channel<T>
            for $kind
        {
            const PEER: Peer = Peer::$peer;
            type Tx = $tx;
            type Rx = $rx;

            fn open() -> (Self::Tx, Self::Rx) {
                $open
            }
        }
    };
}

/// `sender!(Tx<T>; wait |tx, value| …; now |tx, value| …; task |tx, value| ….await)`: how a sender
/// sends, in each of the ways that it has. Whatever the error, it is a refusal.
macro_rules! sender {
    ($type:ty $(; $way:ident |$tx:ident, $value:ident| $send:expr)+) => {
        $(sender!(@$way $type, $tx, $value, $send);)+
    };
    (@wait $type:ty, $tx:ident, $value:ident, $send:expr) => {
        impl<T: Message> $crate::channels::channel::WaitTx<T> for $type {
            fn send_wait(&mut self, $value: T) -> Result<(), Refused> {
                let $tx = self;
                $send.map_err(|_| Refused)
            }
        }
    };
    (@now $type:ty, $tx:ident, $value:ident, $send:expr) => {
        impl<T: Message> $crate::channels::channel::TryTx<T> for $type {
            fn send_now(&mut self, $value: T) -> Result<(), Refused> {
                let $tx = self;
                $send.map_err(|_| Refused)
            }
        }
    };
    (@task $type:ty, $tx:ident, $value:ident, $send:expr) => {
        impl<T: Message> $crate::channels::channel::TaskTx<T> for $type {
            fn send_task(&mut self, $value: T) -> impl Future<Output = Result<(), Refused>> + Send {
                let $tx = self;
                async move { $send.map_err(|_| Refused) }
            }
        }
    };
}

/// As [`sender!`]: how a receiver receives.
macro_rules! receiver {
    ($type:ty $(; $way:ident |$rx:ident| $recv:expr)+) => {
        $(receiver!(@$way $type, $rx, $recv);)+
    };
    (@wait $type:ty, $rx:ident, $recv:expr) => {
        impl<T: Message> $crate::channels::channel::WaitRx<T> for $type {
            fn recv_wait(&mut self) -> Result<T, Refused> {
                let $rx = self;
                $recv.map_err(|_| Refused)
            }
        }
    };
    (@now $type:ty, $rx:ident, $recv:expr) => {
        impl<T: Message> $crate::channels::channel::TryRx<T> for $type {
            fn recv_now(&mut self) -> Result<T, Refused> {
                let $rx = self;
                $recv.map_err(|_| Refused)
            }
        }
    };
    (@task $type:ty, $rx:ident, $recv:expr) => {
        impl<T: Message> $crate::channels::channel::TaskRx<T> for $type {
            fn recv_task(&mut self) -> impl Future<Output = Result<T, Refused>> + Send {
                let $rx = self;
                async move { $recv.map_err(|_| Refused) }
            }
        }
    };
}

pub(crate) use {channel, receiver, sender};

/// As many handles as asked for.
pub(crate) fn clones<H: Clone>(handle: H, count: usize) -> Vec<H> {
    vec![handle; count]
}

/// The sum of `0..n`, as it wraps.
pub(crate) fn sum_below(n: u64) -> u64 {
    let (even, odd) =
        if n.is_multiple_of(2) { (n / 2, n.wrapping_sub(1)) } else { (n, (n - 1) / 2) };
    even.wrapping_mul(odd)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sum_below_is_the_sum() {
        for n in 0..9 {
            assert_eq!(sum_below(n), (0..n).sum::<u64>());
        }
    }
}
