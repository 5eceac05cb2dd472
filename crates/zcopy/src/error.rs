// SPDX-License-Identifier: BSD-3-Clause
//! Why a descriptor, a region or a pool was refused.

use rustix::io::Errno;

/// What was refused, and why. Nothing was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A descriptor, a region or a lease of no bytes.
    #[error("the length is 0 bytes, expected at least 1")]
    Empty,
    /// The region that the descriptor names was deregistered.
    #[error("region {region_id:#x} is gone: the descriptor is stale")]
    Stale {
        /// The descriptor's region.
        region_id: u64,
    },
    /// The descriptor names a region that was never registered in this process.
    #[error("there is no region {region_id:#x} in this process")]
    Unknown {
        /// The descriptor's region.
        region_id: u64,
    },
    /// The region is being deregistered and accepts no more descriptors.
    #[error("region {region_id:#x} is being deregistered")]
    Leaving {
        /// The region.
        region_id: u64,
    },
    /// The region was revoked.
    #[error("region {region_id:#x} was revoked")]
    Revoked {
        /// The region.
        region_id: u64,
    },
    /// The region has as many pins as it can count. Descriptors in flight are not among them.
    #[error("region {region_id:#x} is pinned too many times")]
    Busy {
        /// The region.
        region_id: u64,
    },
    /// The bytes are not all in the region.
    #[error("{len} bytes at offset {offset} are not within the region's {bytes}")]
    OutOfRange {
        /// The descriptor's offset.
        offset: u64,
        /// The descriptor's length, in bytes.
        len: u64,
        /// The region's length, in bytes.
        bytes: u64,
    },
    /// The address space ends before the last of the bytes.
    #[error("{len} bytes from that address on do not fit into the address space")]
    Wraps {
        /// The descriptor's length, in bytes.
        len: u64,
    },
    /// The descriptor's address is not that of its offset in its region.
    #[error("the address is not that of offset {offset} in region {region_id:#x}")]
    Elsewhere {
        /// The descriptor's region.
        region_id: u64,
        /// The descriptor's offset.
        offset: u64,
    },
    /// The bytes do not begin at a multiple of the region's element alignment.
    #[error("offset {offset} is not a multiple of the element alignment {align}")]
    Misaligned {
        /// The descriptor's offset.
        offset: u64,
        /// The region's alignment, in bytes.
        align: u32,
    },
    /// The region's contents differ from what its user expects.
    #[error("the region's {what} is {found}, expected {expected}")]
    Mismatch {
        /// What differs.
        what: &'static str,
        /// The region's value.
        found: u64,
        /// The user's value.
        expected: u64,
    },
    /// The maximum number of regions is registered.
    #[error("{max} regions are registered, which is the maximum")]
    TableFull {
        /// The maximum.
        max: usize,
    },
    /// The region has no file descriptor: it is not a memfd.
    #[error("the region has no file descriptor to export: create it by `Region::memfd`")]
    NotExportable,
    /// The file can still be truncated or grown, or is no memfd at all.
    #[error("the file is not sealed against shrinking and growing (seals {seals:#x})")]
    NotSealed {
        /// Its seals, as returned by `F_GET_SEALS`; 0 if the file cannot have any.
        seals: u32,
    },
    /// The file's length differs from the announced one.
    #[error("the file has {found} bytes, {announced} were announced")]
    WrongSize {
        /// The length that the peer announced, in bytes.
        announced: u64,
        /// The file's length, in bytes.
        found: u64,
    },
    /// The region already belongs to a pool, or its bytes are immutable.
    #[error("the region cannot hold a pool: it has one already, or its bytes are immutable")]
    NotPoolable,
    /// The pool's classes are invalid: none, too many, an empty one, two of one length, or more
    /// bytes than the region has.
    #[error("invalid pool classes: {asked} bytes needed, the region has {bytes}")]
    BadClasses {
        /// The bytes that the classes need; 0 if they are invalid in another way.
        asked: u64,
        /// The region's length, in bytes.
        bytes: u64,
    },
    /// No block of the pool is that long.
    #[error("{len} bytes exceed the pool's longest block, {max} bytes")]
    TooLong {
        /// The requested length, in bytes.
        len: usize,
        /// The longest block, in bytes.
        max: usize,
    },
    /// Every block of the smallest class that fits is in use.
    #[error("every block of {class_bytes} bytes is in use")]
    WouldBlock {
        /// The class's block length, in bytes.
        class_bytes: usize,
    },
    /// The descriptor carries no reference to a block, or the block was reused since.
    #[error("the descriptor carries no reference to a block of a pool")]
    NotLent,
    /// An alignment that is not a power of two, or above the maximum.
    #[error("invalid alignment {align}: expected a power of two up to 4096")]
    BadAlignment {
        /// The requested alignment, in bytes.
        align: u32,
    },
    /// A system call failed.
    #[error("{call}: {errno}")]
    System {
        /// The system call.
        call: &'static str,
        /// Its error.
        errno: Errno,
    },
}

/// Converts the error of a system call.
pub(crate) fn system(call: &'static str) -> impl FnOnce(Errno) -> Error {
    move |errno| Error::System { call, errno }
}
