// SPDX-License-Identifier: BSD-3-Clause
//! The floating-point control state of a coroutine: rounding mode, exception masks, flush-to-zero.
//!
//! By calling conventions a function preserves it like its saved registers, so a switch has to as
//! well. Status flags (inexact, overflow, ..) are not preserved across a call and are not compared.
//!
//! Reading is expensive (`stmxcsr` alone: 4 ns on AMD's Zen, where a whole switch is 3), so a
//! thread that resumes many coroutines reads its own state once and passes it to
//! [`resume_from`](super::Switch::resume_from). Writing is not: where it costs less than a
//! comparison, a state is written without one.

#[cfg(all(target_arch = "aarch64", not(miri)))]
pub(crate) use self::aarch64::Control;
#[cfg(any(
    miri,
    not(any(target_arch = "x86_64", target_arch = "aarch64", target_arch = "riscv64"))
))]
pub(crate) use self::none::Control;
#[cfg(all(target_arch = "riscv64", not(miri)))]
pub(crate) use self::riscv64::Control;
#[cfg(all(target_arch = "x86_64", not(miri)))]
pub(crate) use self::x86_64::Control;

#[cfg(all(target_arch = "x86_64", not(miri)))]
mod x86_64 {
    use std::arch::asm;
    use std::mem::MaybeUninit;

    /// The control registers, as they are stored and loaded.
    #[derive(Clone, Copy)]
    #[repr(C)]
    pub(crate) struct Control {
        mxcsr: u32,
        x87: u16,
    }

    /// All but the six status flags of `MXCSR`.
    #[cfg(feature = "sanitizer")]
    const CONTROL_BITS: u32 = !0x3f;

    impl Control {
        /// The current state of this thread.
        #[inline(always)]
        pub(crate) fn read() -> Self {
            let mut state = MaybeUninit::<Self>::uninit();
            // SAFETY: each stores as many bytes as its field has, and changes no state.
            unsafe {
                asm!(
                    "stmxcsr [{state}]",
                    "fnstcw [{state} + 4]",
                    state = in(reg) state.as_mut_ptr(),
                    options(nostack, preserves_flags),
                );
                state.assume_init()
            }
        }

        /// Sets this thread's state to `self`; it is `current` before.
        #[cfg(feature = "sanitizer")]
        #[inline(always)]
        pub(crate) fn restore(self, current: Self) {
            if (self.mxcsr ^ current.mxcsr) & CONTROL_BITS != 0 || self.x87 != current.x87 {
                self.impose();
            }
        }

        /// Sets this thread's state to `self`, whatever it is before. Cheaper than to read it
        /// first.
        #[inline(always)]
        pub(crate) fn impose(&self) {
            // SAFETY: both values were read from the registers, hence have no reserved bit set.
            unsafe {
                asm!(
                    "ldmxcsr [{state}]",
                    "fldcw [{state} + 4]",
                    state = in(reg) std::ptr::from_ref(self),
                    options(nostack, readonly, preserves_flags),
                );
            }
        }
    }

    const _: () = assert!(std::mem::offset_of!(Control, x87) == 4);
}

#[cfg(all(target_arch = "aarch64", not(miri)))]
mod aarch64 {
    use std::arch::asm;

    /// `FPCR`, which holds no status flags.
    #[derive(Clone, Copy)]
    pub(crate) struct Control(u64);

    impl Control {
        /// The current state of this thread.
        #[inline(always)]
        pub(crate) fn read() -> Self {
            let fpcr: u64;
            // SAFETY: reads a register that user code may read.
            unsafe {
                asm!("mrs {0}, fpcr", out(reg) fpcr, options(nomem, nostack, preserves_flags));
            }
            Self(fpcr)
        }

        /// Sets this thread's state to `self`; it is `current` before.
        #[inline(always)]
        pub(crate) fn restore(self, current: Self) {
            if self.0 != current.0 {
                // SAFETY: the value was read from the register.
                unsafe { asm!("msr fpcr, {0}", in(reg) self.0, options(nostack)) };
            }
        }

        /// Sets this thread's state to `self`, whatever it is before.
        #[inline(always)]
        pub(crate) fn impose(&self) {
            (*self).restore(Self::read());
        }
    }
}

#[cfg(all(target_arch = "riscv64", not(miri)))]
mod riscv64 {
    use std::arch::asm;

    /// `frm`, the rounding mode; RISC-V has no exception masks.
    #[derive(Clone, Copy)]
    pub(crate) struct Control(u64);

    impl Control {
        /// The current state of this thread.
        #[inline(always)]
        pub(crate) fn read() -> Self {
            let frm: u64;
            // SAFETY: reads a register that user code may read.
            unsafe { asm!("frrm {0}", out(reg) frm, options(nomem, nostack, preserves_flags)) };
            Self(frm)
        }

        /// Sets this thread's state to `self`; it is `current` before.
        #[inline(always)]
        pub(crate) fn restore(self, current: Self) {
            if self.0 != current.0 {
                // SAFETY: the value was read from the register.
                unsafe { asm!("fsrm {0}", in(reg) self.0, options(nostack)) };
            }
        }

        /// Sets this thread's state to `self`, whatever it is before.
        #[inline(always)]
        pub(crate) fn impose(&self) {
            (*self).restore(Self::read());
        }
    }
}

#[cfg(any(
    miri,
    not(any(target_arch = "x86_64", target_arch = "aarch64", target_arch = "riscv64"))
))]
mod none {
    /// No state, or none that can be read.
    #[derive(Clone, Copy)]
    pub(crate) struct Control;

    impl Control {
        pub(crate) fn read() -> Self {
            Self
        }

        pub(crate) fn restore(self, _current: Self) {}

        pub(crate) fn impose(&self) {}
    }
}
