// SPDX-License-Identifier: BSD-3-Clause
//! Shared memory with a part for each direction.

use crate::error::BenchError;
use crate::ipc::shared::Shared;
use crate::ipc::way::Invitation;

/// One end's.
pub(crate) struct Duplex {
    pub(super) memory: Shared,
    /// Where the part begins that this end writes.
    pub(super) out: usize,
    /// Where the part begins that the other end writes.
    pub(super) inward: usize,
}

impl Duplex {
    /// The host's, of parts this long; and by what the other end joins.
    pub(super) fn invite(bytes: usize) -> Result<(Invitation, Self), BenchError> {
        let (memory, descriptor) = Shared::create(2 * bytes)?;
        Ok((Invitation::of([descriptor]), Self { memory, out: 0, inward: bytes }))
    }

    /// The other end's, of the same length.
    pub(super) fn join(mut invitation: Invitation, bytes: usize) -> Result<Self, BenchError> {
        let memory = Shared::open(&invitation.descriptor()?, 2 * bytes)?;
        Ok(Self { memory, out: bytes, inward: 0 })
    }
}
