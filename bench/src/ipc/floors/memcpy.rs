// SPDX-License-Identifier: BSD-3-Clause
//! A copy within one process: from private memory to private memory.

use std::hint::black_box;
use std::time::Instant;

use crate::error::{BenchError, check};
use crate::ipc::contest::Contestant;
use crate::ipc::payload::Payload;

const COLUMN: &str = "memcpy";

/// Copies so many bytes.
pub(crate) fn side(bytes: usize) -> Result<Contestant, BenchError> {
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
