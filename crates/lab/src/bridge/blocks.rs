// SPDX-License-Identifier: BSD-3-Clause
//! Backends of `becket-zcopy`: descriptors of blocks are sent, never bytes.
//!
//! ```text
//!   bytes ──► lease ──► freeze ──► descriptor ══ ZChannel, whatever backend ══► claim ──► bytes
//!               ▲                                                                │
//!               └──────────────── the block comes back to its pool ◄─────────────┘
//! ```
//!
//! Each flow has its own channel and pool. The pool has one block more than the channel holds, so
//! that the sender sometimes waits for a block that is still being read, and is woken when it is
//! returned.
//!
//! | the flow | channel and pool |
//! |---|---|
//! | bytes | a lease and a `send` of its descriptor; both may wait |
//! | half-close, reset | `close` |
//! | the end comes out | a receive returns `Closed` |
//!
//! At the end, everything that was sent has been received, nothing is in flight, and every block is
//! back in the pool; otherwise the flow fails.

use std::rc::Rc;

use becket_zcopy::{Block, Class, Failure as Refusal, Meta, Pool, Region, ZChannel};
use bytes::Bytes;

use super::operations::{Ends, Operations, Pending};
use super::{Failure, Spec};
use crate::adapters::Pair;
use crate::contract::Limits;

/// Capacity of a bounded channel, in descriptors.
const CAPACITY: u32 = 4;
/// The item of the current send, and the rest of the item that came out last.
const ITEMS_BESIDE: u64 = 2;

/// Creates the channel of a flow.
pub type MakeChannel = Rc<dyn Fn() -> Result<ZChannel, Refusal>>;

/// A backend and a kind of channel, examined as a pair of adapters.
#[derive(Debug, Clone, Copy)]
pub struct Backend {
    /// Name.
    pub name: &'static str,
    /// Description.
    pub about: &'static str,
    /// Creates a pair: each flow has a channel and a pool per direction.
    pub make: fn(Limits) -> Pair,
}

/// The built-in backends, with the kinds of channels that lose nothing.
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

/// Where blocks are allocated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Memory {
    /// In this process.
    Heap,
    /// In a memory file, which other processes may map.
    Memfd,
}

/// All built-in backends.
#[must_use]
pub const fn backends() -> &'static [Backend] {
    BACKENDS
}

/// A pair of adapters. `open` creates the channel of a flow, which holds `capacity` descriptors and
/// loses none; each descriptor covers no more bytes than the limits of the spec have room for.
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

/// Refusals contain only numbers and names of states.
fn refused(refusal: impl Into<Refusal>) -> Failure {
    Failure::new(refusal.into().to_string())
}

/// The channel of a flow, and the pool of its blocks.
struct Blocks {
    channel: ZChannel,
    pool: Pool,
    /// Dropped after the pool.
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

/// Alignment of blocks, in bytes.
const STRIDE_BYTES: usize = 64;

/// At its end nothing is in flight, and every block was returned.
fn ended(channel: &ZChannel, pool: &Pool) -> Result<Option<Bytes>, Failure> {
    let counters = channel.counters();
    if (counters.sent, channel.in_flight()) != (counters.received, 0) {
        return Err(Failure::new("what was sent was not received, once"));
    }
    if pool.snapshot().iter().any(|class| class.free != class.blocks) || pool.tampered() > 0 {
        return Err(Failure::new("a block was not returned, or was modified without its lease"));
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
