// SPDX-License-Identifier: BSD-3-Clause
//! Another stack on the same thread, by `corosensei`.
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
use super::{Entry, Link};
use crate::stack::Stack;

/// A coroutine and its stack: new, suspended or finished.
pub(crate) struct Switch {
    coroutine: ManuallyDrop<Coroutine<Control, Control, (), Spread>>,
}

impl Link {
    /// The depth of the caller's frame below it, in cache lines.
    #[inline(always)]
    pub(crate) fn depth_lines(self) -> u8 {
        let frame = 0_u8;
        let depth = self.0.as_ptr().addr().wrapping_sub((&raw const frame).addr());
        u8::try_from(depth / LINE_BYTES).unwrap_or(u8::MAX)
    }

    /// Prefetches the data that a coroutine suspended at this depth needs first when it is resumed:
    /// its saved registers and the frames above them. A hint: any address is allowed.
    #[inline]
    pub(crate) fn prefetch(self, depth_lines: u8) {
        let _ = depth_lines;
        #[cfg(target_arch = "x86_64")]
        {
            use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
            let top = self.0.as_ptr().cast::<i8>();
            // The registers lie below the frame that measured.
            let first = top.wrapping_sub((usize::from(depth_lines) + 3) * LINE_BYTES);
            for line in 0..Self::HOT_LINES {
                // SAFETY: a prefetch reads nothing and never faults.
                unsafe { _mm_prefetch::<_MM_HINT_T0>(first.wrapping_add(line * LINE_BYTES)) };
            }
        }
    }

    #[cfg(target_arch = "x86_64")]
    const HOT_LINES: usize = 7;
}

const LINE_BYTES: usize = 64;

// SAFETY: across threads a `Switch` can only be resumed, which is unsafe and requires of its caller
// what the coroutine on it needs, or lose its stack, which is `Send`.
unsafe impl Send for Switch {}

/// A stack that does not start at the end of its page.
///
/// Stacks are whole pages apart. If all started at a page's end, the tops of thousands of suspended
/// stacks would lie in the same few sets of each cache. So each starts some lines further down, by
/// its number.
struct Spread(Stack);

impl Spread {
    /// At most 15 lines, so that the top of a suspended stack still fits into one page.
    const PLACES: usize = 16;
}

// SAFETY: as the stack's; a base that is a few aligned lines below the end of the same memory.
unsafe impl corosensei::stack::Stack for Spread {
    #[inline]
    fn base(&self) -> StackPointer {
        let base = self.0.base();
        let lines = (base.get() / 4096) % Self::PLACES;
        StackPointer::new(base.get() - lines * LINE_BYTES).unwrap_or(base)
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
        unsafe { self.resume_from(Control::read()) }
    }

    /// As [`resume`](Self::resume), by a thread that has its own control state at hand. Reading it
    /// is a good part of the cost of a switch.
    ///
    /// # Safety
    ///
    /// As for `resume`. (If `own` is not this thread's state, it is so afterwards, and the
    /// coroutine may run in the state that there was.)
    #[inline]
    pub(crate) unsafe fn resume_from(&mut self, own: Control) -> bool {
        match self.coroutine.resume(own) {
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
