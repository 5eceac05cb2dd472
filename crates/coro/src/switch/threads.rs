// SPDX-License-Identifier: BSD-3-Clause
//! A thread for each coroutine and a baton: the thread that has it runs, the other one waits.
//!
//! For tools that cannot follow a stack switch. The same code runs in the same order, at a higher
//! cost. The coroutine's thread takes over its resumer's context at each resume, so that its
//! thread-local lookups find what they would find on the resumer's thread. The given stack is held
//! and returned, but unused.
//!
//! # Invariants
//!
//! 1. Of the two, only the one named by `turn` runs; it alone changes `turn`.
//! 2. `Finished` is final.
//! 3. The thread holds the baton for its whole life: a [`Link`] is valid as long as it is used by
//!    the coroutine it was given to.
//!
//! An abandoned coroutine keeps its thread, which sleeps until the process ends. If a thread cannot
//! be started, the process aborts: the first `resume` has no way to fail.

use std::io::Write;
use std::process::abort;
use std::ptr::NonNull;
use std::sync::Arc;
use std::thread;

use parking_lot::{Condvar, Mutex};

use super::control::Control;
use super::{Entry, Link};
use crate::context::{self, Snapshot};
use crate::stack::Stack;

/// A coroutine and its stack: new, suspended or finished.
pub(crate) struct Switch {
    stack: Option<Stack>,
    baton: Arc<Baton>,
}

#[derive(Clone, Copy)]
struct Start {
    entry: Entry,
    data: *mut (),
}

// SAFETY: only the coroutine uses `data`, under the promise of its resumer; the rest is plain.
unsafe impl Send for Start {}

#[derive(Debug)]
struct Baton {
    turn: Mutex<Turn>,
    changed: Condvar,
}

#[derive(Clone, Copy)]
enum Turn {
    /// There is no thread yet: this is what it will run.
    New(Start),
    /// The coroutine runs, or is about to, in this context.
    Coroutine(Snapshot),
    Resumer,
    Finished,
}

impl std::fmt::Debug for Turn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::New(_) => "New",
            Self::Coroutine(_) => "Coroutine",
            Self::Resumer => "Resumer",
            Self::Finished => "Finished",
        })
    }
}

impl Switch {
    /// A coroutine that will run `entry(data, link)`, on a thread of its own.
    ///
    /// `entry` is called at the first [`resume`](Self::resume), under whose caller's promise it
    /// runs, and never if there is none.
    pub(crate) fn new(stack: Stack, entry: Entry, data: *mut ()) -> Self {
        let turn = Mutex::new(Turn::New(Start { entry, data }));
        let baton = Arc::new(Baton { turn, changed: Condvar::new() });
        Self { stack: Some(stack), baton }
    }

    /// Runs the coroutine until it suspends (`false`) or ends (`true`).
    ///
    /// # Safety
    ///
    /// As for the stackful `resume`.
    pub(crate) unsafe fn resume(&mut self) -> bool {
        // SAFETY: the caller's.
        unsafe { self.resume_from(&Control::read()) }
    }

    /// As [`resume`](Self::resume). The resumer's control state stays on its thread by itself, and
    /// is the coroutine's at its start.
    ///
    /// # Safety
    ///
    /// As for `resume`.
    pub(crate) unsafe fn resume_from(&mut self, own: &Control) -> bool {
        let mut turn = self.baton.turn.lock();
        let before = std::mem::replace(&mut *turn, Turn::Coroutine(context::snapshot()));
        match before {
            Turn::New(start) => start_thread(start, *own, Arc::clone(&self.baton)),
            _ => {
                self.baton.changed.notify_all();
            }
        }
        loop {
            match *turn {
                Turn::New(_) | Turn::Coroutine(_) => self.baton.changed.wait(&mut turn),
                Turn::Resumer => return false,
                Turn::Finished => return true,
            }
        }
    }

    /// From within a coroutine: switches to its resumer, and returns when it is resumed again.
    ///
    /// # Safety
    ///
    /// `link` is the one that the running coroutine's `entry` was given.
    pub(crate) unsafe fn suspend(link: Link) {
        // SAFETY: invariant 3, and the caller's: this is the coroutine.
        let baton = unsafe { link.0.cast::<Baton>().as_ref() };
        baton.pass(Turn::Resumer);
        baton.wait();
    }

    /// Nothing: the coroutine's data belongs to its thread.
    pub(crate) fn prefetch(&self) {}

    /// Nothing, as [`Self::prefetch`].
    pub(crate) fn prefetch_new(_base: usize) {}

    /// Its stack. A suspended coroutine is abandoned in place: the values on its stack are leaked,
    /// and its thread.
    pub(crate) fn into_stack(mut self) -> Option<Stack> {
        self.stack.take()
    }
}

impl Baton {
    fn pass(&self, to: Turn) {
        *self.turn.lock() = to;
        self.changed.notify_all();
    }

    /// Waits until the coroutine has the baton.
    fn wait(&self) {
        let mut turn = self.turn.lock();
        loop {
            if let Turn::Coroutine(snapshot) = *turn {
                drop(turn);
                return context::install(snapshot);
            }
            self.changed.wait(&mut turn);
        }
    }
}

fn start_thread(start: Start, control: Control, baton: Arc<Baton>) {
    let run = move || {
        let start = start;
        baton.wait();
        control.impose();
        bottom(start.entry, start.data, Link(NonNull::from(&*baton).cast()));
        baton.pass(Turn::Finished);
    };
    if let Err(cause) = thread::Builder::new().name("coroutine".into()).spawn(run) {
        let _ = writeln!(
            std::io::stderr(),
            "error: no thread for a coroutine\ncause: {cause}\n\
             hint: the feature `threads` gives each coroutine a thread; run fewer"
        );
        abort();
    }
}

/// The lowest frame. It is a C function so that an unwinding `entry` aborts here, with a message.
#[allow(improper_ctypes_definitions, reason = "called from Rust alone")]
extern "C" fn bottom(entry: Entry, data: *mut (), link: Link) {
    // SAFETY: we run, hence a caller of `resume` has promised what `entry` requires.
    unsafe { entry(data, link) };
}
