// SPDX-License-Identifier: BSD-3-Clause
//! Tests of stacks as a whole.
//!
//! - [`pools`]: allocation and free, and the owner of the memory.
//! - [`limits`]: what happens at the bounds.
//! - [`overflows`]: a coroutine that outgrows its stack.
//! - [`faults`]: other faults.
//!
//! A test that ends its process or changes it as a whole runs in a child: this very program, run
//! again for one test, with [`CHILD`] set.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests, with their helpers")]

mod faults;
// AddressSanitizer takes more addresses than the limit that is set here leaves.
#[cfg(not(feature = "sanitizer"))]
mod limits;
#[cfg(not(feature = "threads"))]
mod overflows;
mod pools;

use std::process::{Command, Output};

use corosensei::stack::Stack as _;

use super::class::page_bytes;
use super::slab::{GuardHit, guard_of};
use super::*;

/// Set in a child's environment: its task.
const CHILD: &str = "BECKET_STACK_TEST_CHILD";

/// Runs the test `name` of this program as a child with the task `what`.
fn run_child(name: &str, what: &str) -> Output {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture", "--test-threads=1"])
        .env(CHILD, what)
        .output()
        .unwrap()
}

/// The task of this process, if it is a child.
fn task() -> Option<String> {
    std::env::var(CHILD).ok()
}

/// Writes to the stack, `below_base` bytes below its base.
fn touch(stack: &Stack, below_base: usize) {
    poke(stack.base().get() - below_base);
}

/// Writes one byte to memory that is the caller's.
fn poke(address: usize) {
    // SAFETY: every test pokes into stacks of its own.
    unsafe { std::ptr::with_exposed_provenance_mut::<u8>(address).write_volatile(1) };
}

/// Whether a read at `address` would fault. The kernel tries, and returns an error instead.
fn faults(address: usize) -> bool {
    let mut ends = [0; 2];
    // SAFETY: fills an array of two, of which both are closed below; `write` reads one byte, and
    // fails if it cannot.
    unsafe {
        assert_eq!(libc::pipe(ends.as_mut_ptr()), 0);
        let written = libc::write(ends[1], std::ptr::with_exposed_provenance(address), 1);
        let faulted =
            written == -1 && std::io::Error::last_os_error().raw_os_error() == Some(libc::EFAULT);
        assert!(faulted || written == 1);
        libc::close(ends[0]);
        libc::close(ends[1]);
        faulted
    }
}

/// Whether the page at `address` is in memory.
fn resident(address: usize) -> bool {
    let page = std::ptr::with_exposed_provenance_mut(address & !(page_bytes() - 1));
    let mut answer = 0_u8;
    // SAFETY: one page, one byte of answer.
    assert_eq!(unsafe { libc::mincore(page, page_bytes(), &raw mut answer) }, 0);
    answer & 1 == 1
}

#[test]
fn a_stack_is_as_large_as_asked_and_writable_to_its_end() {
    for size in [1, 16 * 1024, 64 * 1024, 100_000, 1 << 20] {
        let stack = acquire(size).unwrap();
        assert!(stack.size_bytes() >= size);
        assert_eq!(stack.base().get() % page_bytes(), 0);
        assert_eq!(stack.base().get() - stack.limit().get(), stack.size_bytes() + page_bytes());
        touch(&stack, 1);
        touch(&stack, stack.size_bytes());
    }
}

#[test]
fn the_guard_is_found_and_nothing_else_is() {
    let stack = acquire(64 * 1024).unwrap();
    let (base, limit) = (stack.base().get(), stack.limit().get());
    let hit = Some(GuardHit { stack_size: stack.size_bytes(), base });
    assert_eq!(guard_of(limit), hit);
    assert_eq!(guard_of(limit + page_bytes() - 1), hit);
    assert_eq!(guard_of(limit + page_bytes()), None);
    assert_eq!(guard_of(base - 1), None);
    assert_eq!(guard_of(&raw const base as usize), None);
    assert_eq!(guard_of(0), None);
    assert_eq!(guard_of(usize::MAX), None);
}

#[test]
fn the_guard_faults_and_the_stack_does_not() {
    let stack = acquire(32 * 1024).unwrap();
    let limit = stack.limit().get();
    assert!(faults(limit));
    assert!(faults(limit + page_bytes() - 1));
    assert!(!faults(limit + page_bytes()));
    assert!(!faults(stack.base().get() - 1));
}
