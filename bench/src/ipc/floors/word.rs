// SPDX-License-Identifier: BSD-3-Clause
//! A word for each direction, at which the other side looks without end. There is no payload.

use std::hint::spin_loop;
use std::sync::atomic::Ordering::{Acquire, Release};

use crate::error::BenchError;
use crate::ipc::shared::{LINE, Shared};
use crate::ipc::way::{Invitation, Kind, Way};
use crate::ipc::work::Work;

/// The kind.
pub(crate) enum Word {}

/// An end.
pub(crate) struct End {
    memory: Shared,
    out: usize,
    inward: usize,
    /// The last value that was taken, which no number is.
    seen: u64,
}

impl Kind for Word {
    const COLUMN: &str = "spinning word";
    type Host = Shared;
    type End = End;

    fn invite(_: Work) -> Result<(Invitation, Shared), BenchError> {
        let (memory, descriptor) = Shared::create(2 * LINE)?;
        Ok((Invitation::of([descriptor]), memory))
    }

    fn accept(memory: Shared, _: Work) -> Result<End, BenchError> {
        Ok(End { memory, out: 0, inward: LINE, seen: 0 })
    }

    fn join(mut invitation: Invitation, _: Work) -> Result<End, BenchError> {
        let memory = Shared::open(&invitation.descriptor()?, 2 * LINE)?;
        Ok(End { memory, out: LINE, inward: 0, seen: 0 })
    }
}

impl Way for End {
    fn put(&mut self, number: u64) -> Result<(), BenchError> {
        // Two in a row are never the same, and none is 0: the gate comes between blocks.
        self.memory.word(self.out)?.store(number.wrapping_add(2).max(1), Release);
        Ok(())
    }

    fn take(&mut self) -> Result<u64, BenchError> {
        let word = self.memory.word(self.inward)?;
        loop {
            let value = word.load(Acquire);
            if value != self.seen {
                self.seen = value;
                return Ok(value.wrapping_sub(2));
            }
            spin_loop();
        }
    }
}
