// SPDX-License-Identifier: BSD-3-Clause
//! Moves panics from one thread's count to another's.
//!
//! The standard library counts, for each thread, the panics that have started and were not caught
//! yet. It offers no way to set that count; but it adds one to that of the thread a panic starts on,
//! and takes one from that of the thread it is caught on, and a flow can be suspended in between and
//! go on elsewhere. So there is a small flow, a **mover**, that panics, suspends in the midst of
//! that, and catches it when it goes on:
//!
//! ```text
//!   take       start it on the counterpart: +1 there     finish it here: -1 here
//!   put back   start it here: +1 here                    finish it on the counterpart: -1 there
//! ```
//!
//! The **counterpart** is a thread that does nothing else. There is one in the process, made when it
//! is first needed; it sleeps when there is nothing to do. Who takes waits for it. Who puts back does
//! not: the mover that it started serves the next who takes, or else the counterpart finishes it.
//!
//! # Invariants
//!
//! 1. The counts of all threads add up to the panics that are not caught. So the counterpart's is the
//!    number of panics that were taken and are not put back, and of movers in `charged`.
//! 2. `charged` and `asked` together, and a mover in the counterpart's hands, are no fewer than who
//!    waits: each adds one to `asked`, and nobody takes from `charged` what another waits for.
//! 3. A stack of a mover's comes back: from who waits for what is charged, or from the counterpart,
//!    since neither waits for a stack. One at least is kept. So who has taken can put back, though
//!    perhaps not at once.
//! 4. Once taking has failed (no thread, not one stack) it fails for ever. Otherwise what a flow had to
//!    leave on its thread could be taken there by another, and the flow's own catch would take one
//!    off a count of 0.
//!
//! After such a failure panics stay on the thread, as if this module were not there: flows see
//! `panicking()` while a neighbour waits in a destructor, and those that are told to end meanwhile
//! go on waiting, so that the end of a runtime waits until they are woken otherwise. No count is
//! wrong for it: who takes nothing puts nothing back. A process forked from one that has a
//! counterpart has none, and must not take.
//!
//! # What it rests on
//!
//! Of the standard library: that `resume_unwind` adds to the count of the thread it is called on, and
//! `catch_unwind` takes from that of the thread it catches on, each by one. It is not written down
//! anywhere, but hardly can be otherwise as long as counts are by thread; the tests below fail if it
//! is. What would be wrong then is what `panicking()` says, not memory.
//!
//! That a mover may change threads in the midst of a panic: an exception of Rust's is a box on the
//! heap; while a destructor runs, the unwinder has nothing but that box and the frames, and looks
//! where to go on anew when the destructor returns. There is no code of the user's on its stack, and
//! nothing that is bound to a thread. Nothing may keep the address of a thread-local across the
//! suspension either: so what panics, what suspends and what catches are functions of their own,
//! without loops, of which none looks at the count on both sides of the suspension.

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

/// One panic that is counted elsewhere. Dropped, it stays there for good.
#[must_use]
pub(super) struct Taken(());

/// Takes one panic off the calling thread's count, which is not 0. `None`: it stays.
pub(super) fn take() -> Option<Taken> {
    COUNTERPART.take()
}

/// Adds it to the calling thread's count again.
pub(super) fn put_back(taken: Taken) {
    COUNTERPART.put_back(taken);
}

/// Suspended in the midst of its panic: finished, it takes one off the count of the thread that does
/// so.
struct Charged(Switch);

impl Charged {
    /// Adds one to the calling thread's count.
    fn start(stack: Stack) -> Self {
        let mut switch = Switch::new(stack, entry, ptr::null_mut());
        // SAFETY: it is new, and `entry` asks for its own link alone, which it is given.
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

/// A mover. Its panic starts above `pass`, and is caught here.
///
/// # Safety
///
/// `link` is that of the flow this is called in.
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

/// So many stacks are kept for movers.
const SPARE_MAX: usize = 16;

static COUNTERPART: Counterpart = Counterpart::new(Thread::NotYet);

struct Counterpart {
    state: Mutex<State>,
    /// There is something for the thread to do.
    work: Condvar,
    /// There is something in `charged` for who waits.
    given: Condvar,
    /// There is something in `spare`.
    spared: Condvar,
}

struct State {
    thread: Thread,
    /// Stacks that no mover has.
    spare: Vec<Stack>,
    /// All stacks: these, and those of movers.
    stacks: usize,
    /// Stacks for movers that are to be started.
    asked: Vec<Stack>,
    charged: Vec<Charged>,
    /// So many wait for one that is charged.
    waiting: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Thread {
    NotYet,
    Runs,
    Failed,
}

impl Counterpart {
    const fn new(thread: Thread) -> Self {
        let state = State {
            thread,
            spare: Vec::new(),
            stacks: 0,
            asked: Vec::new(),
            charged: Vec::new(),
            waiting: 0,
        };
        Self {
            state: Mutex::new(state),
            work: Condvar::new(),
            given: Condvar::new(),
            spared: Condvar::new(),
        }
    }

    fn take(&'static self) -> Option<Taken> {
        let stack = self.charged()?.finish();
        self.spare(&mut self.state.lock(), stack);
        Some(Taken(()))
    }

    fn charged(&'static self) -> Option<Charged> {
        let mut state = self.state.lock();
        self.ensure_thread(&mut state);
        if state.thread == Thread::Failed {
            return None;
        }
        if state.charged.len() > state.waiting {
            return state.charged.pop();
        }
        let Some(stack) = self.stack(&mut state) else {
            state.thread = Thread::Failed;
            return None;
        };
        state.asked.push(stack);
        state.waiting += 1;
        self.work.notify_one();
        loop {
            if let Some(charged) = state.charged.pop() {
                state.waiting -= 1;
                return Some(charged);
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
        // There is one: it was taken with one.
        let Some(stack) = self.stack(&mut state) else { abort() };
        let charged = MutexGuard::unlocked(&mut state, || Charged::start(stack));
        state.charged.push(charged);
        self.given.notify_one();
        self.work.notify_one();
    }

    /// A stack for a mover. `None`: there never was one.
    fn stack(&self, state: &mut MutexGuard<'_, State>) -> Option<Stack> {
        loop {
            if let Some(stack) = state.spare.pop() {
                return Some(stack);
            }
            if let Ok(stack) = stack::acquire(stack::SIZE_DEFAULT_BYTES) {
                state.stacks += 1;
                return Some(stack);
            }
            if state.stacks == 0 {
                return None;
            }
            self.spared.wait(state);
        }
    }

    /// Takes back the stack of a mover.
    fn spare(&self, state: &mut State, stack: Stack) {
        if state.spare.len() < SPARE_MAX {
            state.spare.push(stack);
            self.spared.notify_one();
        } else {
            state.stacks -= 1;
        }
    }

    /// What the counterpart does.
    fn serve(&self) {
        stack::overflow::prepare_thread();
        let mut state = self.state.lock();
        loop {
            if let Some(stack) = state.asked.pop() {
                let charged = MutexGuard::unlocked(&mut state, || Charged::start(stack));
                state.charged.push(charged);
                self.given.notify_one();
            } else if state.charged.len() > state.waiting
                && let Some(charged) = state.charged.pop()
            {
                let stack = MutexGuard::unlocked(&mut state, || charged.finish());
                self.spare(&mut state, stack);
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

    /// Runs it in the midst of so many panics, each in a destructor of the one before.
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
        static NONE: Counterpart = Counterpart::new(Thread::Failed);
        within(1, &mut || {
            assert!(NONE.take().is_none());
            assert!(panicking());
        });
        assert!(!panicking());
    }
}
