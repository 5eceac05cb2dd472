// SPDX-License-Identifier: BSD-3-Clause
//! A copy within one process: from private memory to private memory.

use std::hint::black_box;
use std::time::Instant;

use crate::error::{BenchError, check};
use crate::harness::Contestant;
use crate::ipc::case::Sides;
use crate::ipc::payload::Payload;
use crate::ipc::place::Place;
use crate::ipc::work::Work;

const COLUMN: &str = "memcpy";

/// These sides, and a copy of as many bytes.
pub(crate) fn beside(
    sides: Sides,
    place: Place,
    work: Work,
) -> Result<Vec<Contestant>, BenchError> {
    let mut sides = sides(place, work)?;
    sides.push(side(work.bytes())?);
    Ok(sides)
}

fn side(bytes: usize) -> Result<Contestant, BenchError> {
    let mut payload = Payload::new(COLUMN, bytes);
    let mut copy = vec![0; payload.bytes()];
    let side = move |n: u64| {
        let begin = Instant::now();
        for number in 0..n {
            copy.copy_from_slice(payload.stamped(number));
            black_box(&mut copy);
        }
        let taken = begin.elapsed();
        check(COLUMN, "the last copy", n.wrapping_sub(1), payload.read(&copy)?)?;
        Ok(taken)
    };
    Ok(Contestant { column: COLUMN, side: Box::new(side) })
}
