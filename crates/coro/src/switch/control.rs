// SPDX-License-Identifier: BSD-3-Clause
//! The floating-point control state of a coroutine: rounding mode, exception masks, flush-to-zero.
//!
//! By calling conventions a function preserves it like its saved registers, so a switch has to as
//! well. Status flags (inexact, overflow, ..) are not preserved across a call and are not compared.
//!
//! Reading is expensive (`stmxcsr` alone: 4 ns on AMD's Zen, where a whole switch is 2), so a
//! thread that resumes many coroutines reads its own state once and passes it to
//! [`resume_from`](super::Switch::resume_from).

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

    /// `MXCSR` (low half) and the x87 control word.
    #[derive(Clone, Copy)]
    pub(crate) struct Control(u64);

    /// All but the six status flags of `MXCSR`.
    const CONTROL_BITS: u64 = !0x3f;

    impl Control {
        /// The current state of this thread.
        #[inline(always)]
        pub(crate) fn read() -> Self {
            let (mut mxcsr, mut x87) = (0_u32, 0_u16);
            // SAFETY: each stores as many bytes as its variable has, and changes no state.
            unsafe {
                asm!(
                    "stmxcsr [{mxcsr}]",
                    "fnstcw [{x87}]",
                    mxcsr = in(reg) &raw mut mxcsr,
                    x87 = in(reg) &raw mut x87,
                    options(nostack, preserves_flags),
                );
            }
            Self(u64::from(mxcsr) | u64::from(x87) << 32)
        }

        /// Sets this thread's state to `self`; it is `current` before.
        #[inline(always)]
        pub(crate) fn restore(self, current: Self) {
            if (self.0 ^ current.0) & CONTROL_BITS != 0 {
                self.write();
            }
        }

        /// Sets this thread's state to `self`, whatever it is before. Cheaper than to read it
        /// first.
        #[inline(always)]
        pub(crate) fn impose(self) {
            self.write();
        }

        #[inline(always)]
        fn write(self) {
            let mxcsr = self.0 as u32;
            let x87 = (self.0 >> 32) as u16;
            // SAFETY: both values were read from the registers, hence have no reserved bit set.
            unsafe {
                asm!(
                    "ldmxcsr [{mxcsr}]",
                    "fldcw [{x87}]",
                    mxcsr = in(reg) &raw const mxcsr,
                    x87 = in(reg) &raw const x87,
                    options(nostack, readonly, preserves_flags),
                );
            }
        }
    }
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
        pub(crate) fn impose(self) {
            self.restore(Self::read());
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
        pub(crate) fn impose(self) {
            self.restore(Self::read());
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

        pub(crate) fn impose(self) {}
    }
}
