// SPDX-License-Identifier: BSD-3-Clause
//! Another stack on the same thread, on x86-64 with the System V calling convention.
//!
//! ```text
//!  base  +------------------+
//!        | resumer's stack  | <- Link: rewritten by each resume
//!        +------------------+
//!        | unused           |
//!        +------------------+
//!        | 0                |    the return address of `bottom`: no frame is above it
//!        +------------------+
//!        | bottom, entry .. |
//!        | rbp, rbx         |
//!        | x87 cw │ MXCSR   |    the coroutine's floating-point control state
//!        | where to go on   | <- Switch, while suspended
//!        +------------------+
//!        |                  |
//!  limit +------------------+
//! ```
//!
//! A switch pushes two registers and the address at which its side goes on, exchanges the stack
//! pointer, and jumps. The other registers are clobbered, so that the compiler saves those that it
//! needs.
//!
//! # Why jumps
//!
//! A CPU predicts a return by the call that was executed last. A switch that is entered by a call
//! and left by a return breaks this: the first return in the resumed coroutine is predicted to
//! return to its resumer, and the next switch back to return into the coroutine, at 6 ns each on
//! AMD's Zen 4, three times the rest of the switch. With jumps, each coroutine's calls and returns
//! stay balanced; and coroutines that suspended in the same functions have the same return
//! addresses, so that one finds right predictions where another was suspended.
//!
//! # Floating-point control
//!
//! Each side stores its state when it leaves and loads it when it continues, and compares nothing:
//! the stored state is not read while the switch is under way (a load that waits for `stmxcsr`
//! costs 2 ns), and to load a state that is there already costs half a nanosecond.
//!
//! # Safety
//!
//! - *New*: the stack is ours alone (it is inside the `Switch`); `entry` and `data` lie on it, and
//!   below them the address of `begin`, which takes them from there.
//! - *Running*: `resume` has the `Switch` by `&mut`, so that no other code can resume it, take its
//!   stack or drop it, until it returns. The word at the link is the resumer's stack pointer.
//! - *Suspended*: nothing runs on the stack; only the coroutine touches its contents. On top of it
//!   is what `suspend` pushed.
//! - *Finished*: nothing on the stack is needed; taking it is safe.

use std::arch::{asm, naked_asm};
use std::ptr::{self, NonNull};

use corosensei::stack::Stack as _;

use super::control::Control;
use super::{Entry, LINE_BYTES, Link, spread};
use crate::stack::Stack;

/// A coroutine and its stack: new, suspended or finished.
pub(crate) struct Switch {
    /// The stack pointer of a coroutine that does not run. Null: it has finished.
    top: *mut u8,
    stack: Stack,
}

// SAFETY: across threads a `Switch` can only be resumed, which is unsafe and requires of its caller
// what the coroutine on it needs, or lose its stack, which is `Send`.
unsafe impl Send for Switch {}

/// The words between the base and the stack pointer of a new coroutine.
const NEW_WORDS: usize = 7;

impl Switch {
    /// A coroutine that will run `entry(data, link)` on `stack`. Nothing is allocated.
    ///
    /// `entry` is called at the first [`resume`](Self::resume), under whose caller's promise it
    /// runs, and never if there is none.
    #[inline]
    pub(crate) fn new(stack: Stack, entry: Entry, data: *mut ()) -> Self {
        let base = ptr::with_exposed_provenance_mut::<u64>(spread(stack.base().get()));
        // SAFETY: the stack is ours, has more words than these, and its base is aligned to a line.
        let top = unsafe {
            let link = base.sub(1);
            let top = base.sub(NEW_WORDS);
            link.sub(1).write(0);
            // `bottom` finds the stack as a call would leave it: its return address is 8 bytes off
            // a multiple of 16.
            link.sub(2).write(0);
            top.add(3).cast::<*mut u64>().write(link);
            top.add(2).cast::<*mut ()>().write(data);
            top.add(1).cast::<Entry>().write(entry);
            top.cast::<unsafe extern "C" fn()>().write(begin);
            top
        };
        Self { top: top.cast(), stack }
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
    /// coroutine may start in the state that there was.)
    #[inline]
    pub(crate) unsafe fn resume_from(&mut self, own: &Control) -> bool {
        debug_assert!(!self.top.is_null(), "a coroutine that has finished is not resumed");
        let base = ptr::with_exposed_provenance_mut::<u64>(spread(self.stack.base().get()));
        // SAFETY: on top of the stack is an address at which the coroutine begins or goes on. It
        // comes back by the address that is stored at the link, with the stack pointer as it was
        // left there, and everything else may have changed.
        unsafe {
            asm!(
                "push rbp",
                "push rbx",
                "lea rax, [rip + 2f]",
                "push rax",
                "mov [rsi], rsp",
                "mov rsp, rdx",
                "pop rax",
                "jmp rax",
                "2:",
                "pop rbx",
                "pop rbp",
                inlateout("rsi") base.sub(1) => self.top,
                in("rdx") self.top,
                lateout("r12") _,
                lateout("r13") _,
                lateout("r14") _,
                lateout("r15") _,
                clobber_abi("sysv64"),
            );
        }
        own.impose();
        self.top.is_null()
    }

    /// From within a coroutine: switches to its resumer, and returns when it is resumed again.
    ///
    /// # Safety
    ///
    /// `link` is the one that the running coroutine's `entry` was given.
    #[inline]
    pub(crate) unsafe fn suspend(link: Link) {
        // SAFETY: the caller's: the link is on the stack on which this runs, and the resumer waits
        // at the address that is on top of the stack to which it points. The coroutine comes back
        // with the stack pointer just above the address that is pushed here.
        unsafe {
            asm!(
                "push rbp",
                "push rbx",
                "sub rsp, 8",
                "stmxcsr [rsp]",
                "fnstcw [rsp + 4]",
                "lea rax, [rip + 2f]",
                "push rax",
                "mov rsi, rsp",
                "mov rsp, [rdx]",
                "pop rax",
                "jmp rax",
                "2:",
                "ldmxcsr [rsp]",
                "fldcw [rsp + 4]",
                "add rsp, 8",
                "pop rbx",
                "pop rbp",
                in("rdx") link.0.as_ptr(),
                lateout("r12") _,
                lateout("r13") _,
                lateout("r14") _,
                lateout("r15") _,
                clobber_abi("sysv64"),
            );
        }
    }

    /// Prefetches the data that a suspended coroutine needs first when it is resumed: its saved
    /// registers and the frames above them.
    #[inline]
    pub(crate) fn prefetch(&self) {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        for line in 0..HOT_LINES {
            let address = self.top.wrapping_add(line * LINE_BYTES).cast::<i8>();
            // SAFETY: a prefetch reads nothing and never faults.
            unsafe { _mm_prefetch::<_MM_HINT_T0>(address) };
        }
    }

    /// Prefetches the part of a free stack that a new coroutine on it will touch: from its base.
    #[inline]
    pub(crate) fn prefetch_new(base: usize) {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        let start = ptr::with_exposed_provenance::<i8>(spread(base));
        for line in 1..=NEW_LINES {
            // SAFETY: a prefetch reads nothing and never faults.
            unsafe { _mm_prefetch::<_MM_HINT_T0>(start.wrapping_sub(line * LINE_BYTES)) };
        }
    }

    /// Its stack. A suspended coroutine is abandoned in place: the values on its stack are leaked.
    #[inline]
    pub(crate) fn into_stack(self) -> Option<Stack> {
        Some(self.stack)
    }
}

/// The lines above the stack pointer of a suspended coroutine that a resume is likely to touch.
const HOT_LINES: usize = 7;
/// The lines below the base of a stack that a new coroutine is likely to touch until it first waits.
const NEW_LINES: usize = 10;

/// The first code on a stack, reached by a jump: takes what `new` has stored, and jumps on. (A call
/// would leave an address with the CPU's predictor of returns to which nothing returns.)
#[unsafe(naked)]
unsafe extern "C" fn begin() {
    naked_asm!("pop rdi", "pop rsi", "pop rdx", "xor ebp, ebp", "jmp {bottom}", bottom = sym bottom)
}

/// The lowest frame. It is a C function so that an unwinding `entry` aborts here, with a message.
#[allow(improper_ctypes_definitions, reason = "called from `begin` alone")]
unsafe extern "C" fn bottom(entry: Entry, data: *mut (), link: NonNull<()>) -> ! {
    // SAFETY: we run, hence a caller of `resume` has promised what `entry` requires. Then the
    // resumer waits as in `suspend`, and nothing on this stack is needed any more.
    unsafe {
        entry(data, Link(link));
        asm!(
            "xor esi, esi",
            "mov rsp, [rdx]",
            "pop rax",
            "jmp rax",
            in("rdx") link.as_ptr(),
            options(noreturn),
        );
    }
}
