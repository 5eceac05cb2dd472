// SPDX-License-Identifier: BSD-3-Clause
//! A futex for each direction, on which the other side sleeps without spinning first.

use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use rustix::io::Errno;
use rustix::thread::futex;

use super::duplex::Duplex;
use crate::error::BenchError;
use crate::ipc::shared::LINE;
use crate::ipc::way::{Invitation, Kind, Way};
use crate::ipc::work::Work;

/// The kind.
pub(crate) enum Futex {}

/// An end.
///
/// ```text
///   line    ├ turn, the word that is slept on ┤ number ┤
/// ```
pub(crate) struct End {
    lines: Duplex,
    turn: u32,
}

const NUMBER: usize = 8;

impl Kind for Futex {
    const COLUMN: &str = "futex";
    type Host = Duplex;
    type End = End;

    fn invite(_: Work) -> Result<(Invitation, Duplex), BenchError> {
        Duplex::invite(LINE)
    }

    fn accept(lines: Duplex, _: Work) -> Result<End, BenchError> {
        Ok(End { lines, turn: 0 })
    }

    fn join(invitation: Invitation, _: Work) -> Result<End, BenchError> {
        Ok(End { lines: Duplex::join(invitation, LINE)?, turn: 0 })
    }
}

impl Way for End {
    fn put(&mut self, number: u64) -> Result<(), BenchError> {
        self.lines.memory.word(self.lines.out + NUMBER)?.store(number, Relaxed);
        let turn = self.lines.memory.half_word(self.lines.out)?;
        turn.fetch_add(1, Release);
        futex::wake(turn, futex::Flags::empty(), 1).map_err(refused)?;
        Ok(())
    }

    fn take(&mut self) -> Result<u64, BenchError> {
        let turn = self.lines.memory.half_word(self.lines.inward)?;
        while turn.load(Acquire) == self.turn {
            match futex::wait(turn, futex::Flags::empty(), self.turn, None) {
                Ok(()) | Err(Errno::AGAIN | Errno::INTR) => {}
                Err(error) => return Err(refused(error)),
            }
        }
        self.turn = self.turn.wrapping_add(1);
        Ok(self.lines.memory.word(self.lines.inward + NUMBER)?.load(Relaxed))
    }
}

fn refused(error: Errno) -> BenchError {
    BenchError::System { what: "sleep on a futex", source: error.into() }
}
