// SPDX-License-Identifier: BSD-3-Clause
//! A thread for each flow and a baton: whoever has it runs, the other waits.
//!
//! For tools that cannot follow a stack switch. What runs is the same, in the same order; what it
//! costs is not. The flow's thread takes over its resumer's context each time that it is resumed,
//! so that what it looks up by thread is what it would find on the resumer's. The given stack is
//! held and given back, but lies idle.
//!
//! 1. Of the two, only the one named by `turn` runs; it alone changes `turn`.
//! 2. `Finished` is for ever.
//! 3. The thread holds the baton for its whole life: a [`Link`] is valid as long as it is used by
//!    the flow it was given to.
//!
//! A flow that is abandoned keeps its thread, which sleeps until the process ends. A thread that
//! cannot be had aborts the process: the first `resume` has no way to fail.

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

/// A flow and its stack: new, suspended or finished.
pub(crate) struct Switch {
    stack: Option<Stack>,
    baton: Arc<Baton>,
}

#[derive(Clone, Copy)]
struct Start {
    entry: Entry,
    data: *mut (),
}

// SAFETY: of `data` only the flow makes use, under the promise of its resumer; the rest is plain.
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
    /// The flow runs, or is about to, in this context.
    Flow(Snapshot),
    Resumer,
    Finished,
}

impl std::fmt::Debug for Turn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::New(_) => "New",
            Self::Flow(_) => "Flow",
            Self::Resumer => "Resumer",
            Self::Finished => "Finished",
        })
    }
}

impl Link {
    /// Nothing: what the flow needs is its thread's.
    pub(crate) fn prefetch(self, _depth_lines: u8) {}

    /// Nothing, as above.
    pub(crate) fn depth_lines(self) -> u8 {
        0
    }
}

impl Switch {
    /// A flow that will run `entry(data, link)`, on a thread of its own.
    ///
    /// `entry` is called at the first [`resume`](Self::resume), under whose caller's promise it
    /// runs, and never if there is none.
    pub(crate) fn new(stack: Stack, entry: Entry, data: *mut ()) -> Self {
        let turn = Mutex::new(Turn::New(Start { entry, data }));
        let baton = Arc::new(Baton { turn, changed: Condvar::new() });
        Self { stack: Some(stack), baton }
    }

    /// Runs the flow until it suspends (`false`) or ends (`true`).
    ///
    /// # Safety
    ///
    /// As for the stackful one, which see.
    pub(crate) unsafe fn resume(&mut self) -> bool {
        // SAFETY: the caller's.
        unsafe { self.resume_from(Control::read()) }
    }

    /// [`resume`](Self::resume): the resumer's control state stays on its thread by itself, and is
    /// what the flow begins with.
    ///
    /// # Safety
    ///
    /// As for `resume`.
    pub(crate) unsafe fn resume_from(&mut self, own: Control) -> bool {
        let mut turn = self.baton.turn.lock();
        let before = std::mem::replace(&mut *turn, Turn::Flow(context::snapshot()));
        match before {
            Turn::New(start) => start_thread(start, own, Arc::clone(&self.baton)),
            _ => {
                self.baton.changed.notify_all();
            }
        }
        loop {
            match *turn {
                Turn::New(_) | Turn::Flow(_) => self.baton.changed.wait(&mut turn),
                Turn::Resumer => return false,
                Turn::Finished => return true,
            }
        }
    }

    /// From within a flow: back to whoever resumed it, until it is resumed again.
    ///
    /// # Safety
    ///
    /// `link` is the one that the running flow's `entry` was given.
    pub(crate) unsafe fn suspend(link: Link) {
        // SAFETY: invariant 3, and the caller's: this is the flow.
        let baton = unsafe { link.0.cast::<Baton>().as_ref() };
        baton.pass(Turn::Resumer);
        baton.wait();
    }

    /// Its stack. A flow that is suspended is abandoned where it stands: what is on its stack is
    /// leaked, and its thread.
    pub(crate) fn into_stack(mut self) -> Option<Stack> {
        self.stack.take()
    }
}

impl Baton {
    fn pass(&self, to: Turn) {
        *self.turn.lock() = to;
        self.changed.notify_all();
    }

    /// Waits for the flow's turn.
    fn wait(&self) {
        let mut turn = self.turn.lock();
        loop {
            if let Turn::Flow(snapshot) = *turn {
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
    // SAFETY: we run, hence somebody has resumed the flow and promised what `entry` asks.
    unsafe { entry(data, link) };
}
