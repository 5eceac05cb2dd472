// SPDX-License-Identifier: BSD-3-Clause
//! A coroutine that needs some megabytes of stack. The argument is the size of its stack in bytes.
//!
//! `cargo run -p becket-coro --example overflow -- 65536` ends with a message that names the
//! coroutine, and SIGABRT; with 8388608 it fits.

use std::error::Error;
use std::hint::black_box;

use becket_coro::Spawn;

#[allow(dead_code, reason = "the test of this example calls `run`")]
fn main() -> Result<(), Box<dyn Error>> {
    let stack_size = match std::env::args().nth(1) {
        Some(bytes) => bytes.parse()?,
        None => 64 * 1024,
    };
    println!("went {} calls deep", run(stack_size)?);
    Ok(())
}

/// Goes 300 calls deep in a coroutine.
pub(crate) fn run(stack_size: usize) -> Result<usize, Box<dyn Error>> {
    let parser = Spawn::new().name("parser").stack_size(stack_size).spawn(|| descend(300))?;
    Ok(parser.join()?)
}

#[inline(never)]
fn descend(levels: usize) -> usize {
    let frame = black_box([1_u8; 3000]);
    let below = if levels > 1 { descend(levels - 1) } else { 0 };
    below + usize::from(black_box(frame).iter().all(|byte| *byte == 1))
}
