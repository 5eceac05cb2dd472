// SPDX-License-Identifier: BSD-3-Clause
//! Free slots and stacks of the calling thread: its worker's, or its own.

use std::cell::Cell;

use crate::{
    context,
    slot::{self, Slot},
    stack::{self, Stack, StackError},
};

struct FreeLists {
    slots: slot::Cache,
    stacks: stack::Cache,
}

thread_local! {
    static FREE_LISTS: FreeLists = FreeLists {
        slots: slot::Cache::new(),
        stacks: stack::Cache::new(stack::SIZE_DEFAULT_BYTES),
    };
}

fn with<R>(f: impl FnOnce(&slot::Cache, &stack::Cache) -> R) -> Option<R> {
    // In a cell, since one of two closures takes it.
    let f = Cell::new(Some(f));
    let run = |slots: &slot::Cache, stacks: &stack::Cache| f.take().map(|f| f(slots, stacks));
    context::with_worker(|worker| match worker {
        Some(worker) => run(&worker.slots, &worker.stacks),
        None => FREE_LISTS.try_with(|lists| run(&lists.slots, &lists.stacks)).ok().flatten(),
    })
}

/// A free slot, now held by the caller.
#[inline]
pub(crate) fn take_slot() -> Option<&'static Slot> {
    // While the thread is torn down: from the process's list.
    with(|slots, _| slots.take()).unwrap_or_else(|| slot::Cache::new().take())
}

/// Frees a slot whose generation was closed.
#[inline]
pub(crate) fn give_slot(slot: &'static Slot) {
    if with(|slots, _| slots.give(slot)).is_none() {
        slot::Cache::new().give(slot);
    }
}

/// A stack of at least `size_bytes`.
#[inline]
pub(crate) fn take_stack(size_bytes: usize) -> Result<Stack, StackError> {
    with(|_, stacks| stacks.get_sized(size_bytes)).unwrap_or_else(|| stack::acquire(size_bytes))
}

/// Frees a stack.
#[inline]
pub(crate) fn give_stack(stack: Stack) {
    // If it cannot be kept, it is dropped, and goes to the pool.
    with(|_, stacks| stacks.put(stack));
}
