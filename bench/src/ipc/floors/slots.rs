// SPDX-License-Identifier: BSD-3-Clause
//! Slots in shared memory, filled and read in place by two processes that spin: the shortest way
//! for a payload.
//!
//! ```text
//!   direction   ├ sequence 0 ┼ sequence 1 ┼ … ┼ payload 0 ┼ payload 1 ┼ …
//! ```
//!
//! Slot `i` of `k` is the sender's while its sequence is `2·turn`, the receiver's while it is
//! `2·turn + 1`, where `turn` is the number of complete rounds over all slots.

use std::hint::spin_loop;
use std::sync::atomic::Ordering::{Acquire, Release};

use super::duplex::Duplex;
use crate::error::BenchError;
use crate::ipc::payload::Payload;
use crate::ipc::shared::{LINE, Shared};
use crate::ipc::way::{Invitation, Kind, Way};
use crate::ipc::work::Work;

/// The kind.
pub(crate) enum Slots {}

/// An end.
pub(crate) struct End {
    memory: Shared,
    payload: Payload,
    shape: Shape,
    out: Side,
    inward: Side,
}

#[derive(Debug, Clone, Copy)]
struct Shape {
    slots: usize,
    stride: usize,
}

#[derive(Debug, Clone, Copy)]
struct Side {
    base: usize,
    /// How many slots have gone through.
    count: usize,
}

impl Shape {
    fn of(work: Work) -> Self {
        Self { slots: work.depth(), stride: work.bytes().next_multiple_of(LINE) }
    }

    fn direction(self) -> usize {
        (self.slots * (LINE + self.stride)).next_multiple_of(4096)
    }

    fn sequence(self, side: Side) -> usize {
        side.base + side.count % self.slots * LINE
    }

    fn payload(self, side: Side) -> usize {
        side.base + self.slots * LINE + side.count % self.slots * self.stride
    }

    /// The sequence of the side's next slot while it is the sender's.
    fn turn(self, side: Side) -> u64 {
        2 * (side.count / self.slots) as u64
    }
}

impl Kind for Slots {
    const COLUMN: &str = "slots, spinning";
    type Host = Duplex;
    type End = End;

    fn invite(work: Work) -> Result<(Invitation, Duplex), BenchError> {
        Duplex::invite(Shape::of(work).direction())
    }

    fn accept(host: Duplex, work: Work) -> Result<End, BenchError> {
        Ok(end(host, work))
    }

    fn join(invitation: Invitation, work: Work) -> Result<End, BenchError> {
        Ok(end(Duplex::join(invitation, Shape::of(work).direction())?, work))
    }
}

fn end(Duplex { memory, out, inward }: Duplex, work: Work) -> End {
    let side = |base| Side { base, count: 0 };
    let payload = Payload::new(Slots::COLUMN, work.bytes());
    End { memory, payload, shape: Shape::of(work), out: side(out), inward: side(inward) }
}

impl Way for End {
    fn put(&mut self, number: u64) -> Result<(), BenchError> {
        let sequence = self.memory.word(self.shape.sequence(self.out))?;
        let turn = self.shape.turn(self.out);
        while sequence.load(Acquire) != turn {
            spin_loop();
        }
        let place = self.shape.payload(self.out);
        // SAFETY: the slot is the sender's until its sequence is stored below.
        let bytes = unsafe { self.memory.bytes_mut(place, self.payload.bytes()) }?;
        self.payload.fill(bytes, number)?;
        sequence.store(turn + 1, Release);
        self.out.count += 1;
        Ok(())
    }

    fn take(&mut self) -> Result<u64, BenchError> {
        loop {
            if let Some(number) = self.take_now()? {
                return Ok(number);
            }
            spin_loop();
        }
    }

    fn take_now(&mut self) -> Result<Option<u64>, BenchError> {
        let sequence = self.memory.word(self.shape.sequence(self.inward))?;
        let turn = self.shape.turn(self.inward);
        if sequence.load(Acquire) != turn + 1 {
            return Ok(None);
        }
        let place = self.shape.payload(self.inward);
        // SAFETY: the slot is the receiver's until its sequence is stored below.
        let bytes = unsafe { self.memory.bytes(place, self.payload.bytes()) }?;
        let number = self.payload.read(bytes)?;
        sequence.store(turn + 2, Release);
        self.inward.count += 1;
        Ok(Some(number))
    }
}
