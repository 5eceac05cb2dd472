// SPDX-License-Identifier: BSD-3-Clause
//! Why a descriptor, a region or a pool said no.

use rustix::io::Errno;

/// What was refused, and why. Nothing was touched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A descriptor, a region or a lease of no bytes.
    #[error("there are no bytes in it")]
    Empty,
    /// The region that the descriptor names was here, and is gone.
    #[error("region {region_id:#x} is gone: the descriptor is stale")]
    Stale {
        /// What the descriptor says.
        region_id: u64,
    },
    /// The descriptor names no region that was ever here.
    #[error("there is no region {region_id:#x} in this process")]
    Unknown {
        /// What the descriptor says.
        region_id: u64,
    },
    /// The region is being deregistered and takes no descriptor any more.
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
    /// More descriptors are in flight in the region than it can count.
    #[error("too many descriptors are in flight in region {region_id:#x}")]
    Busy {
        /// The region.
        region_id: u64,
    },
    /// The bytes are not all in the region.
    #[error("{len} bytes at offset {offset} are not within the region's {bytes}")]
    OutOfRange {
        /// What the descriptor says.
        offset: u64,
        /// What the descriptor says, in bytes.
        len: u64,
        /// The region's length, in bytes.
        bytes: u64,
    },
    /// The bytes do not begin where the region's elements do.
    #[error("offset {offset} is not a multiple of the element alignment {align}")]
    Misaligned {
        /// What the descriptor says.
        offset: u64,
        /// What the region asks for, in bytes.
        align: u32,
    },
    /// The region holds something else than its user expects.
    #[error("the region's {what} is {found}, expected {expected}")]
    Mismatch {
        /// What differs.
        what: &'static str,
        /// The region's.
        found: u64,
        /// The user's.
        expected: u64,
    },
    /// As many regions are registered as there may be.
    #[error("{max} regions are registered, which is as many as there may be")]
    TableFull {
        /// The bound.
        max: usize,
    },
    /// The region has no file descriptor: it is not a memfd.
    #[error("the region has no file descriptor to export: make it by `Region::memfd`")]
    NotExportable,
    /// The file can still be truncated or grown, or is no memfd at all.
    #[error("the file is not sealed against shrinking and growing (seals {seals:#x})")]
    NotSealed {
        /// The seals that it has, as `F_GET_SEALS` says; 0 if it cannot have any.
        seals: u32,
    },
    /// The file is not as long as was announced.
    #[error("the file has {found} bytes, {announced} were announced")]
    WrongSize {
        /// What the peer said, in bytes.
        announced: u64,
        /// What the file has, in bytes.
        found: u64,
    },
    /// The region is in a pool already, or its bytes may not change.
    #[error("the region cannot be a pool's: it is one's already, or its bytes may not change")]
    NotPoolable,
    /// The pool's classes do not fit: too many, an empty one, or more than the region holds.
    #[error("the pool's classes ask for {asked} bytes of the region's {bytes}, or are no classes")]
    BadClasses {
        /// What the classes need, in bytes.
        asked: u64,
        /// The region's length, in bytes.
        bytes: u64,
    },
    /// No block of the pool is that long.
    #[error("{len} bytes are more than a block of the pool has: {max}")]
    TooLong {
        /// What was asked for, in bytes.
        len: usize,
        /// The longest block, in bytes.
        max: usize,
    },
    /// Every block of the fitting class is lent out.
    #[error("every block of {class_bytes} bytes is lent out")]
    WouldBlock {
        /// The class, in bytes.
        class_bytes: usize,
    },
    /// The descriptor carries no share of a block, or the block has since been somebody else's.
    #[error("the descriptor carries no share of a block of a pool")]
    NotLent,
    /// An alignment that is not a power of two, or too large.
    #[error("{align} is not an alignment")]
    BadAlignment {
        /// What was asked for, in bytes.
        align: u32,
    },
    /// The system refused.
    #[error("{call}: {errno}")]
    System {
        /// The system call.
        call: &'static str,
        /// Its answer.
        errno: Errno,
    },
}

/// Makes the error of a system call.
pub(crate) fn system(call: &'static str) -> impl FnOnce(Errno) -> Error {
    move |errno| Error::System { call, errno }
}
