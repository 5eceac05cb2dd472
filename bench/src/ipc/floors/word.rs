// SPDX-License-Identifier: BSD-3-Clause
//! A word for each direction, on which the other side spins. There is no payload.

use std::hint::spin_loop;
use std::sync::atomic::Ordering::{Acquire, Release};

use super::duplex::Duplex;
use crate::error::BenchError;
use crate::ipc::shared::LINE;
use crate::ipc::way::{Invitation, Kind, Way};
use crate::ipc::work::Work;

/// The kind.
pub(crate) enum Word {}

/// An end.
pub(crate) struct End {
    lines: Duplex,
    /// The last value that was taken, which no number is.
    seen: u64,
}

impl Kind for Word {
    const COLUMN: &str = "spinning word";
    type Host = Duplex;
    type End = End;

    fn invite(_: Work) -> Result<(Invitation, Duplex), BenchError> {
        Duplex::invite(LINE)
    }

    fn accept(lines: Duplex, _: Work) -> Result<End, BenchError> {
        Ok(End { lines, seen: 0 })
    }

    fn join(invitation: Invitation, _: Work) -> Result<End, BenchError> {
        Ok(End { lines: Duplex::join(invitation, LINE)?, seen: 0 })
    }
}

impl Way for End {
    fn put(&mut self, number: u64) -> Result<(), BenchError> {
        // Two in a row are never the same, and none is 0: the gate comes between blocks.
        self.lines.memory.word(self.lines.out)?.store(number.wrapping_add(2).max(1), Release);
        Ok(())
    }

    fn take(&mut self) -> Result<u64, BenchError> {
        let word = self.lines.memory.word(self.lines.inward)?;
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
