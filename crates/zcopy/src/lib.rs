// SPDX-License-Identifier: BSD-3-Clause
//! Descriptors instead of bytes: regions, pools and the backends that move them.
//!
//! A megabyte goes through a channel as 40 bytes that say where it is. Who writes it, who reads it and
//! when the memory may go is what this crate keeps straight.
//!
//! ```
//! use becket_zcopy::{Block, Class, Meta, Pool, Region};
//!
//! let region = Region::heap(1 << 20, Meta::default())?;
//! let pool = Pool::new(&region, &[Class { block_bytes: 4096, blocks: 16 }])?;
//!
//! let mut lease = pool.try_lease(5)?;      // O(1); exhausted: would-block, never growth
//! lease.copy_from_slice(b"hello");
//! let desc = lease.freeze().into_desc().unwrap();
//!
//! let block = Block::claim(&desc)?;        // once; a stale or copied descriptor is refused
//! assert_eq!(&*block, b"hello");
//! assert!(Block::claim(&desc).is_err());
//! # Ok::<(), becket_zcopy::Error>(())
//! ```
//!
//! | module | what lives there |
//! |---|---|
//! | `desc` | [`Desc`], 40 bytes |
//! | `region` | [`Region`]: memory with a number; [`ImportedRegion`]: another process's |
//! | `pool` | [`Pool`], [`Lease`], [`Block`]: blocks of a region, lent in O(1) |
//! | `channel`, `operation` | [`ZChannel`]: descriptors through whatever backend is attached; its sends and receives |
//! | `backend`, `binding` | what a backend is ([`Backend`], [`Link`]); those of one channel |
//! | `registry`, `zref` | backends by name; the one that is built in |
//! | `counters`, `limits` | what is counted; what may end an operation |
//! | `conformance` | with the feature of that name: the suite that any backend passes |
//! | `error`, `failure` | [`Error`]: why a descriptor is refused; [`Failure`]: why an operation did not happen |
//!
//! # Ownership
//!
//! The bytes that a descriptor names are the producer's until its send has succeeded, and then one
//! consumer's. When the send fails they are the producer's again. With a [`Block`] the compiler and
//! the pool see to that; with a bare [`Desc`] it is a promise between the two sides.
//!
//! # Safety
//!
//! | modules | why they need it | what makes it sound |
//! |---|---|---|
//! | `region` | memory behind a number | it is followed under a pin, which a stale number does not get |
//! | `region::import`, `region::copy` | memory that another process may write | sealed against shrinking; read once, by volatile reads |
//! | `pool` | bytes that are written, then shared | one word says who has a block: a lease alone, or blocks that only read |

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
mod zref;

pub use crate::{
    backend::{Backend, Carrier, Link, Pending},
    binding::{Binding, Bound, DetachError},
    channel::ZChannel,
    counters::{CounterSnapshot, Counters, Event, FailureCounts, Side},
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
