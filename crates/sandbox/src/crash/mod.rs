// SPDX-License-Identifier: BSD-3-Clause
//! What a worker leaves when a signal of its own ends it: a record of the thread, in a pipe.
//!
//! ```text
//!   worker                                              host
//!   signal ─▶ handler ── record ──▶ pipe ─────────────▶ reads it when the process has ended
//!                └─▶ the action that was there before: the process ends by the same signal
//! ```
//!
//! The record is what a stack can be read from elsewhere: the registers, the end of the stack that is in use,
//! and which files are mapped as code. Nothing is unwound in the process that ends.
//!
//! ```text
//!   0       8         12       16     20       24        32   40   48   56   64            80
//!   ┌───────┬─────────┬────────┬──────┬────────┬─────────┬────┬────┬────┬────┬─────────────┬──────┬───┬────┬───────┐
//!   │ magic │ machine │ signal │ code │ thread │ address │ pc │ sp │ fp │ lr │ thread name │ maps │ 0 │ at │ stack │
//!   └───────┴─────────┴────────┴──────┴────────┴─────────┴────┴────┴────┴────┴─────────────┴──────┴───┴────┴───────┘
//! ```
//!
//! Numbers are in the machine's order of bytes. `maps` are the lines of `/proc/self/maps` that can be
//! executed. The stack is last, and ends with the pipe: where memory ends, or the pipe is full, it is shorter.
//! It begins `at` the stack pointer, or where there is memory above it: one that overflowed points into a guard.
//!
//! # What holds
//!
//! 1. The process ends as without the handler, by the same signal, and never waits for a reader.
//! 2. A plugin that installs handlers of its own replaces these, as it replaces any.
//! 3. A record is bounded by [`RECORD_BYTES_MAX`]. It comes from a process that is not trusted, and may
//!    contain anything: [`Record::parse`] refuses what has not this form.
//!
//! A thread without a stack for signals (`sigaltstack`) leaves no record when its own stack has overflowed:
//! threads that a plugin starts in C have none, those of Rust and Go do.

mod handler;
mod record;

pub use handler::install;
pub use record::{Mapping, Record, RecordError, Registers};

/// The most bytes of a record. A pipe has as many unless it is given more.
pub const RECORD_BYTES_MAX: usize = 64 << 10;
/// The most bytes of its maps.
const MAPS_BYTES_MAX: usize = 24 << 10;
/// The most bytes of its stack.
const STACK_BYTES_MAX: usize = 32 << 10;
/// How many pages the stack may begin above the stack pointer.
const GUARD_PAGES_MAX: usize = 64;

const MAGIC: [u8; 8] = *b"bkcrash1";
/// Before the maps.
const HEAD_BYTES: usize = 80;
/// Of a thread's name, with the zero that ends it.
const NAME_BYTES: usize = 16;

/// The number of this machine in ELF files; 0: one whose registers are not known here.
const MACHINE: u32 = if cfg!(target_arch = "x86_64") {
    62
} else if cfg!(target_arch = "aarch64") {
    183
} else {
    0
};
