// SPDX-License-Identifier: BSD-3-Clause
//! An operation of a side, and its check.

use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};

use becket_cluster::Kind;
use bytes::Bytes;

use crate::error::{BenchError, check};

pub(crate) type Future<'a, T = ()> =
    Pin<Box<dyn std::future::Future<Output = Result<T, BenchError>> + Send + 'a>>;

/// The work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Case {
    /// A value is stored: its send is complete when the server has acknowledged it.
    Publish(Kind),
    /// A call of a plugin's entry, which answers the payload.
    Request { nodes: usize },
    /// A value is stored, received, and its acknowledgement confirmed.
    Queue,
    /// Values that were stored are received and acknowledged by this many consumers, each of which has a connection
    /// and does one after the other.
    Drain { consumers: usize },
    /// Values replace each other while a consumer receives what is there.
    Watch,
    /// A value is given to a receiver that waits; the send completes when it has it.
    Rendezvous,
}

impl Case {
    /// The kind of its channel.
    pub(crate) const fn kind(self) -> Option<Kind> {
        match self {
            Self::Publish(kind) => Some(kind),
            Self::Queue | Self::Drain { .. } => Some(BOUNDED),
            Self::Watch => Some(Kind::Conflated),
            Self::Rendezvous => Some(Kind::Rendezvous),
            Self::Request { .. } => None,
        }
    }
}

/// More than any round sends.
pub(crate) const BOUNDED: Kind = Kind::Bounded { capacity: 1 << 20 };
pub(crate) const UNLIMITED: Kind = Kind::Unlimited { bytes_max: 256 << 20 };

/// The side of a case: it does operations, any number at once.
pub(crate) trait Side: Send + Sync {
    fn column(&self) -> &'static str;

    /// Before a round of `n` operations, untimed.
    fn prepare(&self, n: u64) -> Future<'_> {
        let _ = n;
        Box::pin(async { Ok(()) })
    }

    fn operation(&self, number: u64) -> Future<'_>;

    /// After the operations of a round, timed: what it waits for.
    fn complete(&self) -> Future<'_> {
        Box::pin(async { Ok(()) })
    }

    /// After a round of `n` operations, untimed: checks it, and removes what it left on the server.
    fn settle(&self, n: u64) -> Future<'_>;
}

/// Bytes of a payload.
pub(crate) const BYTES: usize = 64;

/// A payload that has the number of its operation.
pub(crate) fn payload(number: u64) -> Bytes {
    let mut bytes = [0x5a; BYTES];
    bytes[..8].copy_from_slice(&number.to_le_bytes());
    Bytes::copy_from_slice(&bytes)
}

/// The number in a payload.
pub(crate) fn number_of(column: &'static str, payload: &[u8]) -> Result<u64, BenchError> {
    check(column, "bytes of a value", BYTES, payload.len())?;
    Ok(payload.first_chunk().map_or(u64::MAX, |bytes| u64::from_le_bytes(*bytes)))
}

/// What was received in a round: each value once.
#[derive(Default)]
pub(crate) struct Received {
    count: AtomicU64,
    sum: AtomicU64,
    square: AtomicU64,
}

impl Received {
    pub(crate) fn add(&self, column: &'static str, payload: &[u8]) -> Result<(), BenchError> {
        let number = number_of(column, payload)?;
        self.count.fetch_add(1, Ordering::Relaxed);
        self.sum.fetch_add(number, Ordering::Relaxed);
        self.square.fetch_add(number.wrapping_mul(number), Ordering::Relaxed);
        Ok(())
    }

    /// The numbers 0 to `n`, each once; and begins anew.
    pub(crate) fn check(&self, column: &'static str, n: u64) -> Result<(), BenchError> {
        let take = |of: &AtomicU64| of.swap(0, Ordering::Relaxed);
        let got = (take(&self.count), take(&self.sum), take(&self.square));
        let square = (0..n).fold(0, |sum: u64, i| sum.wrapping_add(i * i));
        check(column, "what was received", (n, n * n.saturating_sub(1) / 2, square), got)
    }
}
