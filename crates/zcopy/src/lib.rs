// SPDX-License-Identifier: BSD-3-Clause
//! Descriptors instead of bytes: regions, pools and the backends that move them.
//!
//! A megabyte crosses a channel as 40 bytes that locate it. This crate keeps track of which side
//! may write or read the memory, and of when the memory may be released.
//!
//! ```
//! use becket_zcopy::{Block, Class, Meta, Pool, Region};
//!
//! let region = Region::heap(1 << 20, Meta::default())?;
//! let pool = Pool::new(&region, &[Class { block_bytes: 4096, blocks: 16 }])?;
//!
//! let mut lease = pool.try_lease(5)?;      // O(1); an exhausted pool would block, it never grows
//! lease.copy_from_slice(b"hello");
//! let desc = lease.freeze().into_desc().unwrap();
//!
//! let block = Block::claim(&desc)?;        // once; a stale or copied descriptor is refused
//! assert_eq!(&*block, b"hello");
//! assert!(Block::claim(&desc).is_err());
//! # Ok::<(), becket_zcopy::Error>(())
//! ```
//!
//! | module | contents |
//! |---|---|
//! | `desc` | [`Desc`], 40 bytes |
//! | `region` | [`Region`]: memory with an id; [`ImportedRegion`]: a region of another process |
//! | `pool` | [`Pool`], [`Lease`], [`Block`]: blocks of a region, leased in O(1) |
//! | `channel`, `operation` | [`ZChannel`]: descriptors through any backend; its sends and receives |
//! | `backend`, `binding` | what a backend is ([`Backend`], [`Link`]); the links of one channel |
//! | `registry`, `zref` | backends by name; the built-in one, a channel of `becket_chan` |
//! | `counters`, `limits` | the counters of a channel; deadline and token of an operation |
//! | `shard`, `sync` | which counters a thread changes alone; the atomics that have models |
//! | `conformance` | with the feature of that name: the suite that any backend passes |
//! | `error`, `failure` | [`Error`]: why a descriptor is refused; [`Failure`]: why an operation failed |
//!
//! # Ownership
//!
//! The bytes that a descriptor names belong to the producer until its send has succeeded, and then
//! to one consumer. When the send fails they stay the producer's. With a [`Block`] the compiler and
//! the pool enforce this; with a [`Desc`] alone, producer and consumer must follow it.
//!
//! # Safety
//!
//! | modules | why they need unsafe code | why it is sound |
//! |---|---|---|
//! | `region` | memory behind a number | it is accessed under a pin, and a stale number cannot be pinned |
//! | `region::import`, `region::copy` | memory that another process may write | sealed against shrinking; each byte is read once, by a volatile read |
//! | `pool` | bytes that are written, then shared | one atomic word per block counts its references: one lease, or blocks that only read |
//! | `binding` | a pointer to the bound link, read without a lock | it points into a list that only grows |

mod backend;
mod binding;
mod channel;
#[cfg(feature = "conformance")]
pub mod conformance;
mod counters;
mod desc;
mod error;
mod failure;
mod limits;
mod operation;
mod pool;
mod region;
mod registry;
mod shard;
mod sync;
mod zref;

pub use crate::{
    backend::{Backend, Carrier, Link, Pending},
    binding::{Binding, Bound, DetachError},
    channel::ZChannel,
    counters::{CounterSnapshot, Event, FailureCounts},
    desc::Desc,
    error::Error,
    failure::Failure,
    limits::{Limits, Time},
    operation::{ZRecv, ZSend},
    pool::{Block, CLASSES_MAX, Class, ClassSnapshot, Lease, LeaseError, Leasing, POISON, Pool},
    region::{
        Check, DIMENSIONS_MAX, Deregister, DeregisterError, Export, ImportedRegion, InFlight, Meta,
        Pinned, REGIONS_MAX, Region, View, regions,
    },
    registry::{
        BACKENDS_MAX, BackendId, NAME_BYTES_MAX, RegisterError, Registered, backends, register,
        resolve,
    },
    zref::Zref,
};
