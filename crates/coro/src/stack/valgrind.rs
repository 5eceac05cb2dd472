// SPDX-License-Identifier: BSD-3-Clause
//! Registers stacks with valgrind, so that it recognises a switch.
//!
//! Once for each stack, when it is carved. Outside valgrind (detected once, by a request) it costs
//! a load. Stacks are never unregistered: their addresses stay stacks.

use std::mem::ManuallyDrop;
use std::sync::atomic::{AtomicU8, Ordering};

use corosensei::stack::valgrind::ValgrindStackRegistration;

/// The bytes from `low` to `high` are a stack.
#[inline]
pub(super) fn register(low: usize, high: usize) {
    if running() {
        let _stays = ManuallyDrop::new(ValgrindStackRegistration::new(
            std::ptr::with_exposed_provenance_mut(low),
            high - low,
        ));
    }
}

fn running() -> bool {
    const NO: u8 = 1;
    const YES: u8 = 2;
    static KNOWN: AtomicU8 = AtomicU8::new(0);
    match KNOWN.load(Ordering::Relaxed) {
        0 => {
            let yes = request_running() != 0;
            KNOWN.store(if yes { YES } else { NO }, Ordering::Relaxed);
            yes
        }
        known => known == YES,
    }
}

/// `RUNNING_ON_VALGRIND` of `valgrind.h`.
const RUNNING_ON_VALGRIND: u64 = 0x1001;

#[cfg(all(target_arch = "x86_64", not(miri)))]
fn request_running() -> u64 {
    let request = [RUNNING_ON_VALGRIND, 0, 0, 0, 0, 0];
    let mut answer = 0_u64;
    // SAFETY: on hardware the rotations add up to a full turn, and the exchange is of a register
    // with itself. Valgrind reads the six words, which live to the end of the statement.
    unsafe {
        std::arch::asm!(
            "rol rdi, 3",
            "rol rdi, 13",
            "rol rdi, 61",
            "rol rdi, 51",
            "xchg rbx, rbx",
            inout("rdx") answer,
            in("rax") request.as_ptr(),
            options(nostack),
        );
    }
    answer
}

#[cfg(all(target_arch = "aarch64", not(miri)))]
fn request_running() -> u64 {
    let request = [RUNNING_ON_VALGRIND, 0, 0, 0, 0, 0];
    let mut answer = 0_u64;
    // SAFETY: as on x86-64: rotations by a full turn, an or of a register with itself.
    unsafe {
        std::arch::asm!(
            "ror x12, x12, #3",
            "ror x12, x12, #13",
            "ror x12, x12, #61",
            "ror x12, x12, #51",
            "orr x10, x10, x10",
            inout("x3") answer,
            in("x4") request.as_ptr(),
            options(nostack),
        );
    }
    answer
}

#[cfg(any(miri, not(any(target_arch = "x86_64", target_arch = "aarch64"))))]
fn request_running() -> u64 {
    // Valgrind has no such target, or no such request.
    let _ = RUNNING_ON_VALGRIND;
    0
}
