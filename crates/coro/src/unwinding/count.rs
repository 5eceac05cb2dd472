// SPDX-License-Identifier: BSD-3-Clause
//! Moves panics from one thread's count to another thread's.
//!
//! The standard library counts, for each thread, the panics that have started and were not caught
//! yet. It offers no way to set that count; but it adds one to the count of the thread on which a
//! panic starts, and subtracts one from the count of the thread on which it is caught, and a
//! coroutine can be suspended in between and continue on another thread. So a small coroutine
//! panics, suspends in the middle of the panic, and catches it when it is resumed. While it is
//! suspended, it is a **held panic**:
//!
//! ```text
//!   take       start one on the panic thread: +1 there   finish it here: -1 here
//!   put back   start one here: +1 here                   finish it on the panic thread: -1 there
//! ```
//!
//! The **panic thread** does nothing else. There is one in the process, started when it is first
//! needed; it sleeps when there is nothing to do. A `take` waits for it. A `put_back` does not: the
//! held panic that it started serves the next `take`, or else the panic thread finishes it.
//!
//! # Invariants
//!
//! 1. The counts of all threads add up to the panics that are not caught. So the count of the panic
//!    thread is the number of panics that were taken and are not put back, plus those in `held`.
//! 2. `held` and `requested` together, and the one that the panic thread is starting or finishing,
//!    are at least as many as the waiting `take`s: each adds one to `requested`, and no other
//!    thread removes from `held` what a `take` waits for.
//! 3. The stack of a held panic is returned: by the `take` that waited for it, or by the panic
//!    thread, since neither waits for a stack. At least one stack is kept. So a `put_back` after a
//!    `take` succeeds, though perhaps not at once.
//! 4. Once a `take` has failed (no thread, not one stack), every `take` fails. Otherwise a panic
//!    that a coroutine had to leave on its thread could be taken there by another coroutine, and
//!    the first one's catch would subtract one from a count of 0.
//!
//! After such a failure panics stay on the thread, as if this module did not exist: coroutines see
//! `panicking()` while a neighbour waits in a destructor, and those that are to end meanwhile
//! continue to wait, so that the end of a runtime waits until they are woken otherwise. No count
//! becomes wrong: where nothing was taken, nothing is put back. A process forked from one that has
//! a panic thread has none, and must not take.
//!
//! # Assumptions
//!
//! Of the standard library: that `resume_unwind` adds one to the count of the thread it is called
//! on, and `catch_unwind` subtracts one from the count of the thread it catches on. This is not
//! documented, but can hardly be otherwise as long as counts are per thread; the tests below fail
//! if it is. Then the result of `panicking()` would be wrong, not memory.
//!
//! That the coroutine may change threads in the middle of a panic: an exception of Rust is a box on
//! the heap; while a destructor runs, the unwinder has only that box and the frames, and searches
//! for the next handler anew when the destructor returns. There is no user code on the stack, and
//! nothing that is bound to a thread. Nothing may keep the address of a thread-local across the
//! suspension either: so the functions that panic, suspend and catch are separate, without loops,
//! and none of them reads the count on both sides of the suspension.

use std::{
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    process::abort,
    ptr, thread,
};

use parking_lot::{Condvar, Mutex, MutexGuard};

use crate::{
    stack::{self, Stack},
    switch::{Link, Switch},
};

/// One panic that was moved to the panic thread's count. If it is dropped, it stays there for good.
#[must_use]
pub(super) struct Taken(());

/// Subtracts one panic from the calling thread's count, which is not 0. `None`: it stays.
pub(super) fn take() -> Option<Taken> {
    PANIC_THREAD.take()
}

/// Adds it to the calling thread's count again.
pub(super) fn put_back(taken: Taken) {
    PANIC_THREAD.put_back(taken);
}

/// A coroutine that is suspended in the middle of its panic: the thread that finishes it subtracts
/// one from its own count.
struct HeldPanic(Switch);

impl HeldPanic {
    /// Adds one to the calling thread's count.
    fn start(stack: Stack) -> Self {
        let mut switch = Switch::new(stack, entry, ptr::null_mut());
        // SAFETY: it is new, and `entry` needs only its own link, which it is given.
        if unsafe { switch.resume() } {
            abort();
        }
        Self(switch)
    }

    /// Takes one off the calling thread's count.
    fn finish(mut self) -> Stack {
        // SAFETY: suspended by `start`; nothing on its stack is bound to a thread, see above.
        let finished = unsafe { self.0.resume() };
        match self.0.into_stack() {
            Some(stack) if finished => stack,
            _ => abort(),
        }
    }
}

/// The coroutine of a held panic. The panic starts above `pass`, and is caught here.
///
/// # Safety
///
/// `link` is that of the coroutine this is called in.
unsafe fn entry(_data: *mut (), link: Link) {
    let _caught = catch_unwind(AssertUnwindSafe(|| pass(link)));
}

#[inline(never)]
fn pass(link: Link) {
    let _suspends = SuspendsOnDrop(link);
    start_panic();
}

#[inline(never)]
fn start_panic() {
    resume_unwind(Box::new(()));
}

struct SuspendsOnDrop(Link);

impl Drop for SuspendsOnDrop {
    #[inline(never)]
    fn drop(&mut self) {
        // SAFETY: `entry` was given it, and runs below.
        unsafe { Switch::suspend(self.0) };
    }
}

/// The number of free stacks that are kept.
const FREE_STACKS_MAX: usize = 16;

static PANIC_THREAD: PanicThread = PanicThread::new(Thread::NotYet);

struct PanicThread {
    state: Mutex<State>,
    /// Notified when there is work for the thread.
    work: Condvar,
    /// Notified when `held` has one for a waiting `take`.
    given: Condvar,
    /// Notified when `free_stacks` has one.
    freed: Condvar,
}

struct State {
    thread: Thread,
    /// Stacks that no held panic uses.
    free_stacks: Vec<Stack>,
    /// The number of all stacks: free, and of held panics.
    stacks: usize,
    /// Stacks for held panics that the thread is to start.
    requested: Vec<Stack>,
    held: Vec<HeldPanic>,
    /// The number of `take`s that wait for a held panic.
    waiting: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Thread {
    NotYet,
    Runs,
    Failed,
}

impl PanicThread {
    const fn new(thread: Thread) -> Self {
        let state = State {
            thread,
            free_stacks: Vec::new(),
            stacks: 0,
            requested: Vec::new(),
            held: Vec::new(),
            waiting: 0,
        };
        Self {
            state: Mutex::new(state),
            work: Condvar::new(),
            given: Condvar::new(),
            freed: Condvar::new(),
        }
    }

    fn take(&'static self) -> Option<Taken> {
        let stack = self.held()?.finish();
        self.free(&mut self.state.lock(), stack);
        Some(Taken(()))
    }

    fn held(&'static self) -> Option<HeldPanic> {
        let mut state = self.state.lock();
        self.ensure_thread(&mut state);
        if state.thread == Thread::Failed {
            return None;
        }
        if state.held.len() > state.waiting {
            return state.held.pop();
        }
        let Some(stack) = self.stack(&mut state) else {
            state.thread = Thread::Failed;
            return None;
        };
        state.requested.push(stack);
        state.waiting += 1;
        self.work.notify_one();
        loop {
            if let Some(held) = state.held.pop() {
                state.waiting -= 1;
                return Some(held);
            }
            self.given.wait(&mut state);
        }
    }

    fn ensure_thread(&'static self, state: &mut State) {
        if state.thread == Thread::NotYet {
            let run = || self.serve();
            let started = thread::Builder::new().name("becket-panics".to_owned()).spawn(run);
            state.thread = if started.is_ok() { Thread::Runs } else { Thread::Failed };
        }
    }

    fn put_back(&self, Taken(()): Taken) {
        let mut state = self.state.lock();
        // There is one: a `take` has used one before.
        let Some(stack) = self.stack(&mut state) else { abort() };
        let held = MutexGuard::unlocked(&mut state, || HeldPanic::start(stack));
        state.held.push(held);
        self.given.notify_one();
        self.work.notify_one();
    }

    /// A stack for a held panic. `None`: there never was one.
    fn stack(&self, state: &mut MutexGuard<'_, State>) -> Option<Stack> {
        loop {
            if let Some(stack) = state.free_stacks.pop() {
                return Some(stack);
            }
            if let Ok(stack) = stack::acquire(stack::SIZE_DEFAULT_BYTES) {
                state.stacks += 1;
                return Some(stack);
            }
            if state.stacks == 0 {
                return None;
            }
            self.freed.wait(state);
        }
    }

    /// Frees the stack of a held panic.
    fn free(&self, state: &mut State, stack: Stack) {
        if state.free_stacks.len() < FREE_STACKS_MAX {
            state.free_stacks.push(stack);
            self.freed.notify_one();
        } else {
            state.stacks -= 1;
        }
    }

    /// The loop of the panic thread.
    fn serve(&self) {
        stack::overflow::prepare_thread();
        let mut state = self.state.lock();
        loop {
            if let Some(stack) = state.requested.pop() {
                let held = MutexGuard::unlocked(&mut state, || HeldPanic::start(stack));
                state.held.push(held);
                self.given.notify_one();
            } else if state.held.len() > state.waiting
                && let Some(held) = state.held.pop()
            {
                let stack = MutexGuard::unlocked(&mut state, || held.finish());
                self.free(&mut state, stack);
            } else {
                self.work.wait(&mut state);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{cell::Cell, thread::panicking};

    use super::*;

    struct OnDrop<F: FnMut()>(F);

    impl<F: FnMut()> Drop for OnDrop<F> {
        fn drop(&mut self) {
            (self.0)();
        }
    }

    /// Runs `code` in the middle of `panics` panics, each in a destructor of the one before.
    fn within(panics: usize, code: &mut dyn FnMut()) {
        if panics == 0 {
            return code();
        }
        let caught = catch_unwind(AssertUnwindSafe(|| {
            let _in_destructor = OnDrop(|| within(panics - 1, code));
            resume_unwind(Box::new(panics));
        }));
        assert_eq!(caught.unwrap_err().downcast_ref(), Some(&panics));
    }

    #[test]
    fn a_panic_that_is_taken_is_not_counted_until_it_is_put_back() {
        for panics in 1..=5 {
            let looked = Cell::new(false);
            within(panics, &mut || {
                for _ in 0..20 {
                    let taken: Vec<_> = (0..panics)
                        .map(|_| {
                            assert!(panicking());
                            take().unwrap()
                        })
                        .collect();
                    assert!(!panicking());
                    within(2, &mut || assert!(panicking()));
                    assert!(!panicking());
                    taken.into_iter().for_each(|one| {
                        put_back(one);
                        assert!(panicking());
                    });
                }
                looked.set(true);
            });
            assert!(looked.get());
            assert!(!panicking());
        }
    }

    #[test]
    fn threads_take_at_once() {
        thread::scope(|scope| {
            for number in 0..4 {
                scope.spawn(move || {
                    for round in 0..200 {
                        let panics = 1 + (number + round) % 3;
                        within(panics, &mut || {
                            let taken: Vec<_> = (0..panics).map(|_| take().unwrap()).collect();
                            assert!(!panicking());
                            taken.into_iter().for_each(put_back);
                            assert!(panicking());
                        });
                        assert!(!panicking());
                    }
                });
            }
        });
    }

    #[test]
    fn what_cannot_be_taken_stays() {
        static NONE: PanicThread = PanicThread::new(Thread::Failed);
        within(1, &mut || {
            assert!(NONE.take().is_none());
            assert!(panicking());
        });
        assert!(!panicking());
    }
}
