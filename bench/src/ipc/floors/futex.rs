// SPDX-License-Identifier: BSD-3-Clause
//! A word for each direction, on which the other side sleeps at once.

use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use rustix::io::Errno;
use rustix::thread::futex;

use crate::error::BenchError;
use crate::ipc::shared::{LINE, Shared};
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
    memory: Shared,
    out: usize,
    inward: usize,
    turn: u32,
}

const NUMBER: usize = 8;

impl Kind for Futex {
    const COLUMN: &str = "futex";
    type Host = Shared;
    type End = End;

    fn invite(_: Work) -> Result<(Invitation, Shared), BenchError> {
        let (memory, descriptor) = Shared::create(2 * LINE)?;
        Ok((Invitation::of([descriptor]), memory))
    }

    fn accept(memory: Shared, _: Work) -> Result<End, BenchError> {
        Ok(End { memory, out: 0, inward: LINE, turn: 0 })
    }

    fn join(mut invitation: Invitation, _: Work) -> Result<End, BenchError> {
        let memory = Shared::open(&invitation.descriptor()?, 2 * LINE)?;
        Ok(End { memory, out: LINE, inward: 0, turn: 0 })
    }
}

impl Way for End {
    fn put(&mut self, number: u64) -> Result<(), BenchError> {
        self.memory.word(self.out + NUMBER)?.store(number, Relaxed);
        let turn = self.memory.half_word(self.out)?;
        turn.fetch_add(1, Release);
        futex::wake(turn, futex::Flags::empty(), 1).map_err(refused)?;
        Ok(())
    }

    fn take(&mut self) -> Result<u64, BenchError> {
        let turn = self.memory.half_word(self.inward)?;
        while turn.load(Acquire) == self.turn {
            match futex::wait(turn, futex::Flags::empty(), self.turn, None) {
                Ok(()) | Err(Errno::AGAIN | Errno::INTR) => {}
                Err(error) => return Err(refused(error)),
            }
        }
        self.turn = self.turn.wrapping_add(1);
        Ok(self.memory.word(self.inward + NUMBER)?.load(Relaxed))
    }
}

fn refused(error: Errno) -> BenchError {
    BenchError::System { what: "sleep on a futex", source: error.into() }
}
