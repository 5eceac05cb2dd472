// SPDX-License-Identifier: BSD-3-Clause
//! An eventfd for each direction, whose value is the number.

use std::os::fd::OwnedFd;

use rustix::event::{EventfdFlags, eventfd};
use rustix::io::{Errno, read, write};

use crate::error::BenchError;
use crate::ipc::way::{Invitation, Kind, Way};
use crate::ipc::work::Work;

/// The kind.
pub(crate) enum Eventfd {}

/// An end.
pub(crate) struct End {
    out: OwnedFd,
    inward: OwnedFd,
}

impl Kind for Eventfd {
    const COLUMN: &str = "eventfd";
    type Host = End;
    type End = End;

    fn invite(_: Work) -> Result<(Invitation, End), BenchError> {
        let make = || eventfd(0, EventfdFlags::CLOEXEC).map_err(refused);
        let (out, inward) = (make()?, make()?);
        let copy = |fd: &OwnedFd| {
            fd.try_clone().map_err(|source| BenchError::System { what: COPY, source })
        };
        Ok((Invitation::of([copy(&out)?, copy(&inward)?]), End { out, inward }))
    }

    fn accept(end: End, _: Work) -> Result<End, BenchError> {
        Ok(end)
    }

    fn join(mut invitation: Invitation, _: Work) -> Result<End, BenchError> {
        let inward = invitation.descriptor()?;
        Ok(End { out: invitation.descriptor()?, inward })
    }
}

impl Way for End {
    fn put(&mut self, number: u64) -> Result<(), BenchError> {
        // The value has to be neither 0 nor all ones.
        let value = number.wrapping_add(2).max(1);
        write(&self.out, &value.to_ne_bytes()).map_err(refused)?;
        Ok(())
    }

    fn take(&mut self) -> Result<u64, BenchError> {
        let mut value = [0; 8];
        read(&self.inward, &mut value).map_err(refused)?;
        Ok(u64::from_ne_bytes(value).wrapping_sub(2))
    }
}

const COPY: &str = "copy an eventfd";

fn refused(error: Errno) -> BenchError {
    BenchError::System { what: "use an eventfd", source: error.into() }
}
