// SPDX-License-Identifier: BSD-3-Clause
//! The trait of a transport between two processes, and how its two ends are made.

use std::os::fd::OwnedFd;

use super::work::Work;
use crate::error::BenchError;

/// One end of a way: numbers go out and come in, each with the payload of the row.
pub(crate) trait Way {
    /// Sends this number. What is put off goes out before anything is waited for.
    fn put(&mut self, number: u64) -> Result<(), BenchError>;

    /// Waits for the next number; looks at all of its payload.
    fn take(&mut self) -> Result<u64, BenchError>;

    /// The next number, if it is here and the kernel need not be asked.
    fn take_now(&mut self) -> Result<Option<u64>, BenchError> {
        Ok(None)
    }

    /// Sends what was put off.
    fn flush(&mut self) -> Result<(), BenchError> {
        Ok(())
    }
}

/// What the other process needs to join.
#[derive(Debug, Default)]
pub(crate) struct Invitation {
    /// Inherited.
    pub(crate) descriptors: Vec<OwnedFd>,
    /// An address.
    pub(crate) text: String,
}

impl Invitation {
    /// By descriptors only.
    pub(crate) fn of(descriptors: impl Into<Vec<OwnedFd>>) -> Self {
        Self { descriptors: descriptors.into(), text: String::new() }
    }

    /// The next descriptor.
    pub(crate) fn descriptor(&mut self) -> Result<OwnedFd, BenchError> {
        if self.descriptors.is_empty() {
            return Err(BenchError::Worker);
        }
        Ok(self.descriptors.remove(0))
    }
}

/// A kind of way.
pub(crate) trait Kind: 'static {
    /// Its column.
    const COLUMN: &str;
    /// What this process keeps until the other one has joined.
    type Host;
    /// An end.
    type End: Way;

    /// Makes what the other process needs.
    fn invite(work: Work) -> Result<(Invitation, Self::Host), BenchError>;

    /// This process's end; the other process has been started.
    fn accept(host: Self::Host, work: Work) -> Result<Self::End, BenchError>;

    /// The other process's end.
    fn join(invitation: Invitation, work: Work) -> Result<Self::End, BenchError>;
}
