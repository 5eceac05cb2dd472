// SPDX-License-Identifier: BSD-3-Clause
//! What a program sees of a stack: enough of it, or a message and an end.
//!
//! What ends a process happens in a child: this very program, run again for one test, with
//! [`CHILD`] set.
#![cfg(not(any(miri, feature = "threads")))]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Output};

use becket_coro::fiber::Fiber;
use becket_coro::{Runtime, Spawn, SpawnError, StackError};

#[path = "../examples/overflow.rs"]
mod overflow;

const CHILD: &str = "BECKET_STACK_TEST_CHILD";

fn is_child() -> bool {
    std::env::var_os(CHILD).is_some()
}

fn run_child(name: &str) -> Output {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture", "--test-threads=1"])
        .env(CHILD, "1")
        .output()
        .unwrap()
}

/// The error output of a child that was aborted.
fn aborted(name: &str) -> String {
    let child = run_child(name);
    let output = String::from_utf8(child.stderr).unwrap();
    assert_eq!(child.status.signal(), Some(libc::SIGABRT), "{output}");
    output
}

#[test]
fn the_example_fits_on_a_large_stack() {
    assert_eq!(overflow::run(8 << 20).unwrap(), 300);
}

#[test]
fn the_example_overflows_a_small_stack() {
    if is_child() {
        let depth = overflow::run(64 * 1024);
        panic!("that did not fit, and answered {depth:?}");
    }
    let output = aborted("the_example_overflows_a_small_stack");
    let (first, hint) = output.split_once('\n').unwrap();
    assert!(first.starts_with("error: coroutine 'parser' ("), "{output}");
    assert!(first.contains("spawned at ") && first.contains("examples/overflow.rs:"), "{output}");
    assert!(first.ends_with(") overflowed its stack of 65536 bytes"), "{output}");
    assert_eq!(hint, "hint: give it more with Spawn::stack_size\n");
}

#[test]
fn sizes_are_rounded_up() {
    if is_child() {
        let runtime = Runtime::builder().workers(1).stack_size(100_000).build().unwrap();
        let depth = runtime.spawn(|| overflow::run(100_000).unwrap()).join().unwrap();
        panic!("that did not fit, and answered {depth}");
    }
    let output = aborted("sizes_are_rounded_up");
    assert!(output.contains("overflowed its stack of 131072 bytes\n"), "{output}");
}

#[test]
fn a_fiber_by_hand_is_reported_as_well() {
    if is_child() {
        #[allow(unconditional_recursion, reason = "that is the point")]
        fn dive(depth: usize) -> usize {
            let frame = std::hint::black_box([depth; 32]);
            dive(depth + 1) + std::hint::black_box(frame)[depth % 32]
        }
        let mut fiber = Fiber::new(0, || {
            dive(0);
        })
        .unwrap();
        let resumed = fiber.resume();
        panic!("that did not fit, and answered {resumed:?}");
    }
    let output = aborted("a_fiber_by_hand_is_reported_as_well");
    assert!(output.starts_with("error: coroutine "), "{output}");
    assert!(output.contains("overflowed its stack of 65536 bytes\n"), "{output}");
}

#[test]
fn a_size_that_cannot_be_had_is_an_error() {
    let refused = Spawn::new().stack_size(usize::MAX).spawn(|| ()).map(|_| ());
    let Err(SpawnError::Stack(StackError::TooLarge { size_bytes, size_max_bytes })) = refused
    else {
        panic!("{refused:?}");
    };
    assert_eq!((size_bytes, size_max_bytes), (usize::MAX, 1 << 30));
}
