// SPDX-License-Identifier: BSD-3-Clause
//! Another stack on the same thread, by `corosensei`: for the architectures that have no switch of
//! their own here, and for builds under AddressSanitizer.
//!
//! ```text
//!  base  +------------------+
//!        | entry of the     |
//!        | trampoline       |
//!        +------------------+ <- Link: where to continue on suspend; rewritten by each resume
//!        | resumer's stack  |
//!        +------------------+
//!        | bottom, entry .. |
//!        | own Control      |   in the frame of `suspend`
//!        | saved registers  | <- Switch, while suspended
//!        +------------------+
//!        |                  |
//!  limit +------------------+
//! ```
//!
//! The control state travels with the switch: each side reads its own before it leaves and passes
//! it on, so that the other side has the contents of the registers without reading them again.
//!
//! # Safety
//!
//! - *New*: the stack is ours alone (it is inside the `Switch`); `entry` and `data` lie on it.
//! - *Running*: `resume` has the `Switch` by `&mut`, so that no other code can resume it, take its
//!   stack or drop it, until it returns.
//! - *Suspended*: nothing runs on the stack; only the coroutine touches its contents.
//! - *Finished*: nothing on the stack is needed; taking it is safe.

use std::mem::ManuallyDrop;
use std::ptr::NonNull;

use corosensei::stack::StackPointer;
use corosensei::{Coroutine, CoroutineResult, Yielder};

use super::control::Control;
use super::{Entry, Link, spread};
use crate::stack::Stack;

/// A coroutine and its stack: new, suspended or finished.
pub(crate) struct Switch {
    coroutine: ManuallyDrop<Coroutine<Control, Control, (), Spread>>,
}

// SAFETY: across threads a `Switch` can only be resumed, which is unsafe and requires of its caller
// what the coroutine on it needs, or lose its stack, which is `Send`.
unsafe impl Send for Switch {}

/// A stack that does not start at the end of its page: see [`spread`].
struct Spread(Stack);

// SAFETY: as the stack's; a base that is a few aligned lines below the end of the same memory.
unsafe impl corosensei::stack::Stack for Spread {
    #[inline]
    fn base(&self) -> StackPointer {
        let base = self.0.base();
        StackPointer::new(spread(base.get())).unwrap_or(base)
    }

    #[inline]
    fn limit(&self) -> StackPointer {
        self.0.limit()
    }
}

impl Switch {
    /// A coroutine that will run `entry(data, link)` on `stack`. Nothing is allocated.
    ///
    /// `entry` is called at the first [`resume`](Self::resume), under whose caller's promise it
    /// runs, and never if there is none.
    #[inline]
    pub(crate) fn new(stack: Stack, entry: Entry, data: *mut ()) -> Self {
        let coroutine = Coroutine::with_stack(
            Spread(stack),
            // It starts with the control state in the registers: its first resumer's.
            move |yielder: &Yielder<Control, Control>, _: Control| {
                bottom(entry, data, Link(NonNull::from(yielder).cast()));
            },
        );
        Self { coroutine: ManuallyDrop::new(coroutine) }
    }

    /// Runs the coroutine until it suspends (`false`) or ends (`true`).
    ///
    /// # Safety
    ///
    /// It has not finished. The first time: calling `entry(data, link)` is sound. Later: the values
    /// on the coroutine's stack may be used on the calling thread. And while it is suspended, the
    /// `Switch` is neither dropped nor deprived of its stack as long as any code may follow a
    /// pointer to values on the stack.
    #[inline]
    pub(crate) unsafe fn resume(&mut self) -> bool {
        // SAFETY: the caller's.
        unsafe { self.resume_from(&Control::read()) }
    }

    /// As [`resume`](Self::resume), by a thread that has its own control state at hand. Reading it
    /// is a good part of the cost of a switch.
    ///
    /// # Safety
    ///
    /// As for `resume`. (If `own` is not this thread's state, it is so afterwards, and the
    /// coroutine may run in the state that there was.)
    #[inline]
    pub(crate) unsafe fn resume_from(&mut self, own: &Control) -> bool {
        match self.coroutine.resume(*own) {
            CoroutineResult::Yield(control) => {
                own.restore(control);
                false
            }
            CoroutineResult::Return(()) => {
                own.impose();
                true
            }
        }
    }

    /// From within a coroutine: switches to its resumer, and returns when it is resumed again.
    ///
    /// # Safety
    ///
    /// `link` is the one that the running coroutine's `entry` was given.
    #[inline]
    pub(crate) unsafe fn suspend(link: Link) {
        // SAFETY: the caller's: the coroutine runs, so its stack, where this lies, exists.
        let yielder = unsafe { link.0.cast::<Yielder<Control, Control>>().as_ref() };
        let own = Control::read();
        let resumer = yielder.suspend(own);
        own.restore(resumer);
    }

    /// Nothing: a hint, which this implementation does not have.
    pub(crate) fn prefetch(&self) {}

    /// Nothing, as [`Self::prefetch`].
    pub(crate) fn prefetch_new(_base: usize) {}

    /// Its stack. A suspended coroutine is abandoned in place: the values on its stack are leaked.
    #[inline]
    pub(crate) fn into_stack(self) -> Option<Stack> {
        let mut this = ManuallyDrop::new(self);
        // SAFETY: `this` is not used again, and does not drop the coroutine.
        let mut coroutine = unsafe { ManuallyDrop::take(&mut this.coroutine) };
        // SAFETY: the coroutine does not run, for we own the switch. Its frames are forgotten
        // without their destructors, which is a leak: nothing that is only reachable from its stack
        // is freed or used again by any code (see `Drop`).
        unsafe { coroutine.force_reset() };
        Some(coroutine.into_stack().0)
    }
}

impl Drop for Switch {
    fn drop(&mut self) {
        // SAFETY: the field is not used again. `force_reset` as in `into_stack`; after it the
        // coroutine has nothing to unwind and returns its stack to the pool.
        unsafe {
            self.coroutine.force_reset();
            ManuallyDrop::drop(&mut self.coroutine);
        }
    }
}

/// The lowest frame. It is a C function so that an unwinding `entry` aborts here, with a message.
#[inline]
#[allow(improper_ctypes_definitions, reason = "called from Rust alone")]
extern "C" fn bottom(entry: Entry, data: *mut (), link: Link) {
    // SAFETY: we run, hence a caller of `resume` has promised what `entry` requires.
    unsafe { entry(data, link) };
}
