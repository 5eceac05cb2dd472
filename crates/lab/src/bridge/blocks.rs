// SPDX-License-Identifier: BSD-3-Clause
//! Backends of `becket-zcopy`: what crosses are descriptors of blocks, never bytes.
//!
//! ```text
//!   bytes ──► lease ──► freeze ──► descriptor ══ ZChannel, whatever backend ══► claim ──► bytes
//!               ▲                                                                │
//!               └──────────────── the block comes back to its pool ◄─────────────┘
//! ```
//!
//! A flow has a channel and a pool of its own. The pool has one block more than the channel holds,
//! so that who sends waits now and then for a block that is still read, and is woken when it comes back.
//!
//! | the flow | channel and pool |
//! |---|---|
//! | bytes | a lease, which may wait, and a `send` of its descriptor, which may wait |
//! | half-close, reset | `close` |
//! | the end comes out | `Closed`, which a receive answers |
//!
//! At the end, what was sent was received, nothing is in flight, and every block is back in the pool:
//! else the flow fails.

use std::rc::Rc;

use becket_zcopy::{Block, Class, Failure as Refusal, Meta, Pool, Region, ZChannel};
use bytes::Bytes;

use super::operations::{Ends, Operations, Pending};
use super::{Failure, Spec};
use crate::adapters::Pair;
use crate::contract::Limits;

/// A bounded channel holds so many descriptors.
const CAPACITY: u32 = 4;
/// With the one that a send has in its hands, and what is left of the one that came out last.
const ITEMS_BESIDE: u64 = 2;

/// Makes the channel of a flow.
pub type MakeChannel = Rc<dyn Fn() -> Result<ZChannel, Refusal>>;

/// A backend and a kind of channel, which are examined as a pair of adapters.
#[derive(Debug, Clone, Copy)]
pub struct Backend {
    /// Its name.
    pub name: &'static str,
    /// What it is.
    pub about: &'static str,
    /// Makes a pair: each flow, each way, has a channel and a pool.
    pub make: fn(Limits) -> Pair,
}

/// The backends that are built in, with the kinds of channels that lose nothing.
pub const BACKENDS: &[Backend] = &[
    Backend {
        name: "zref-rendezvous",
        about: "descriptors are handed over in this process, one at a time; the blocks lie on the heap",
        make: |limits| zref("zref-rendezvous", limits, 0, Memory::Heap),
    },
    Backend {
        name: "zref-bounded",
        about: "a few descriptors are held in this process; the blocks lie on the heap",
        make: |limits| zref("zref-bounded", limits, CAPACITY, Memory::Heap),
    },
    Backend {
        name: "zref-memfd",
        about: "a few descriptors are held in this process; the blocks lie in memory that others \
                may map",
        make: |limits| zref("zref-memfd", limits, CAPACITY, Memory::Memfd),
    },
];

/// Where blocks lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Memory {
    /// In this process.
    Heap,
    /// In a file in memory, which other processes may map.
    Memfd,
}

/// All backends that are built in.
#[must_use]
pub const fn backends() -> &'static [Backend] {
    BACKENDS
}

/// A pair of adapters. `open` makes the channel of a flow, which holds `capacity` descriptors and loses
/// none; each names no more bytes than the limits of the spec have room for.
#[must_use]
pub fn pair(spec: &Spec, capacity: u32, memory: Memory, open: &MakeChannel) -> Pair {
    let items = u64::from(capacity) + ITEMS_BESIDE;
    let most = (spec.limits.flow_buffered_bytes_max / items).max(1);
    let block_bytes = usize::try_from(most).unwrap_or(usize::MAX);
    super::pair(spec, || {
        let open = Rc::clone(open);
        move |_| {
            let blocks = Blocks::new(open().map_err(refused)?, capacity, memory, block_bytes)?;
            Ok(Ends::new(blocks, block_bytes))
        }
    })
}

fn zref(name: &str, limits: Limits, capacity: u32, memory: Memory) -> Pair {
    let open: MakeChannel = Rc::new(move || {
        Ok(if capacity == 0 {
            ZChannel::rendezvous()
        } else {
            ZChannel::bounded(capacity as usize)
        })
    });
    pair(&Spec::new(name, limits), capacity, memory, &open)
}

/// Its words are numbers and names of states.
fn refused(refusal: impl Into<Refusal>) -> Failure {
    Failure::new(refusal.into().to_string())
}

/// The channel of a flow, and the pool of what crosses it.
struct Blocks {
    channel: ZChannel,
    pool: Pool,
    /// After the pool.
    _region: Region,
}

impl Blocks {
    fn new(
        channel: ZChannel,
        capacity: u32,
        memory: Memory,
        block_bytes: usize,
    ) -> Result<Self, Failure> {
        let blocks = capacity + 1;
        let bytes = blocks as usize * block_bytes.next_multiple_of(STRIDE_BYTES);
        let region = match memory {
            Memory::Heap => Region::heap(bytes, Meta::default()),
            Memory::Memfd => Region::memfd(bytes, Meta::default()),
        };
        let region = region.map_err(refused)?;
        let pool = Pool::new(&region, &[Class { block_bytes, blocks }]).map_err(refused)?;
        Ok(Self { channel, pool, _region: region })
    }
}

/// Blocks begin at multiples of this.
const STRIDE_BYTES: usize = 64;

/// At its end nothing is in flight, and every block came back.
fn ended(channel: &ZChannel, pool: &Pool) -> Result<Option<Bytes>, Failure> {
    let counters = channel.counters();
    if (counters.sent, channel.in_flight()) != (counters.received, 0) {
        return Err(Failure::new("what was sent was not received, once"));
    }
    if pool.snapshot().iter().any(|class| class.free != class.blocks) || pool.tampered() > 0 {
        return Err(Failure::new("a block did not come back, or was written to by who had it not"));
    }
    Ok(None)
}

impl Operations for Blocks {
    fn send(&mut self, item: Bytes) -> Pending<()> {
        let (channel, pool) = (self.channel.clone(), self.pool.clone());
        Box::pin(async move {
            let leasing = pool.lease(item.len()).map_err(refused)?;
            let leased = leasing.await;
            let mut lease =
                leased.map_err(|_| Failure::new("a lease without limits ended by one"))?;
            lease.copy_from_slice(&item);
            let desc = lease.freeze().into_desc();
            let mut desc = desc.map_err(|_| Failure::new("a block has no descriptor"))?;
            channel.send(&mut desc).await.map_err(refused)
        })
    }

    fn recv(&mut self) -> Pending<Option<Bytes>> {
        let (channel, pool) = (self.channel.clone(), self.pool.clone());
        Box::pin(async move {
            match channel.recv().await {
                // The block is held until its last byte was put out.
                Ok(desc) => Ok(Some(Bytes::from_owner(Block::claim(&desc).map_err(refused)?))),
                Err(Refusal::Closed) => ended(&channel, &pool),
                Err(refusal) => Err(refused(refusal)),
            }
        })
    }

    fn close(&mut self) {
        self.channel.close();
    }

    fn may_cancel_recv(&self) -> bool {
        true
    }
}
