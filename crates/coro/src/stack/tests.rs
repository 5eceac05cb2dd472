// SPDX-License-Identifier: BSD-3-Clause
//! Tests of stacks as a whole.

use corosensei::stack::Stack as _;

use super::class::page_bytes;
use super::*;

fn touch(stack: &Stack, below_base: usize) {
    let address = stack.base().get() - below_base;
    // SAFETY: within the stack, which is ours.
    unsafe { std::ptr::with_exposed_provenance_mut::<u8>(address).write_volatile(1) };
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
