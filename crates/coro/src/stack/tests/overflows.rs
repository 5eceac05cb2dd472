// SPDX-License-Identifier: BSD-3-Clause
//! A coroutine that outgrows its stack, in a child.

use std::os::unix::process::ExitStatusExt;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::switch::{Link, Switch};

const SIZE: usize = 64 * 1024;

/// Overflows the stack it runs on.
#[inline(never)]
#[allow(unconditional_recursion, reason = "that is the point")]
fn dive(depth: usize) -> usize {
    let frame = std::hint::black_box([depth; 32]);
    dive(depth + 1) + std::hint::black_box(frame)[depth % 32]
}

/// The lowest address of the neighbour, which is filled with ones.
static NEIGHBOUR: AtomicUsize = AtomicUsize::new(0);

/// Called last in the handler: checks that the neighbour is unchanged.
fn describe(sink: &mut dyn FnMut(&[u8])) {
    let low = NEIGHBOUR.load(Ordering::Relaxed);
    // SAFETY: a stack that is held until the process ends.
    let intact = (low..low + SIZE).all(|address| unsafe {
        std::ptr::with_exposed_provenance::<u8>(address).read_volatile() == 1
    });
    sink(b"'diver' (7, spawned at here.rs:1, neighbour ");
    sink(if intact { b"intact)" } else { b"hurt)" });
}

#[test]
fn an_overflow_names_the_coroutine_and_aborts() {
    if task().is_none() {
        let name = "stack::tests::overflows::an_overflow_names_the_coroutine_and_aborts";
        let child = run_child(name, "x");
        assert_eq!(child.status.signal(), Some(libc::SIGABRT));
        let message = "error: coroutine 'diver' (7, spawned at here.rs:1, neighbour intact) \
                       overflowed its stack of 65536 bytes\n\
                       hint: give it more with Spawn::stack_size\n";
        assert_eq!(String::from_utf8_lossy(&child.stderr), message);
        return;
    }
    unsafe fn entry(_: *mut (), _: Link) {
        dive(0);
    }
    overflow::set_describe(describe);
    overflow::prepare_thread();
    overflow::prepare_thread();
    // Two that lie side by side: the lower one is where an overflow of the upper would go.
    let mut stacks: Vec<_> = (0..40).map(|_| acquire(SIZE).unwrap()).collect();
    stacks.sort_by_key(|stack| stack.base());
    let upper =
        (1..stacks.len()).find(|upper| stacks[*upper].limit() == stacks[upper - 1].base()).unwrap();
    let neighbour = stacks[upper - 1].base().get() - SIZE;
    (neighbour..neighbour + SIZE).for_each(poke);
    NEIGHBOUR.store(neighbour, Ordering::Relaxed);
    let mut switch = Switch::new(stacks.swap_remove(upper), entry, std::ptr::null_mut());
    // SAFETY: new, and `entry` asks for nothing.
    unsafe { switch.resume() };
}
