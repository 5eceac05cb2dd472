// SPDX-License-Identifier: BSD-3-Clause
//! An asymmetric memory barrier: free for the side that runs all the time, expensive for the other.
//!
//! [`light`] and [`heavy`] pair like two sequentially consistent fences. On Linux the heavy side is
//! `membarrier(PRIVATE_EXPEDITED)`, which makes every running thread of the process execute a full
//! barrier, so the light side need only keep the compiler from reordering. Where the kernel does
//! not offer it, both are ordinary fences.
//!
//! Source: the asymmetric fences of folly (`folly/synchronization/AsymmetricThreadFence.h`) and
//! C++ proposal P1202.

use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering, compiler_fence, fence};

static ASYMMETRIC: AtomicBool = AtomicBool::new(false);
static BROKEN: AtomicBool = AtomicBool::new(false);
static REGISTER: Once = Once::new();

/// Registers the process with the kernel for the asymmetric form, once. Until then, and if the
/// kernel refuses, [`light`] is an ordinary fence. Creating a channel calls this.
pub fn register() {
    REGISTER.call_once(|| ASYMMETRIC.store(platform::register(), Ordering::SeqCst));
}

/// The cheap side: orders what stands before it with what stands behind it, for a thread that
/// runs [`heavy`].
#[inline]
pub fn light() {
    if ASYMMETRIC.load(Ordering::Relaxed) {
        compiler_fence(Ordering::SeqCst);
    } else {
        fence(Ordering::SeqCst);
    }
}

/// The expensive side, some microseconds.
#[cold]
pub fn heavy() {
    register();
    fence(Ordering::SeqCst);
    if ASYMMETRIC.load(Ordering::Relaxed) && !platform::barrier() {
        // Granted at first and refused now: a seccomp filter was installed in between.
        BROKEN.store(true, Ordering::SeqCst);
        ASYMMETRIC.store(false, Ordering::SeqCst);
    }
}

/// False if the kernel refused a [`heavy`] after it had granted the registration: an order that
/// relied on [`light`] before then may not have held.
pub fn is_sound() -> bool {
    !BROKEN.load(Ordering::SeqCst)
}

#[cfg(all(target_os = "linux", not(miri)))]
mod platform {
    pub(super) fn register() -> bool {
        command(libc::MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED) == 0
    }

    pub(super) fn barrier() -> bool {
        command(libc::MEMBARRIER_CMD_PRIVATE_EXPEDITED) == 0
    }

    fn command(command: libc::c_int) -> libc::c_long {
        // SAFETY: membarrier takes two numbers and touches no memory of ours; an unknown command
        // is answered with an error.
        unsafe { libc::syscall(libc::SYS_membarrier, command, 0, 0) }
    }
}

#[cfg(any(not(target_os = "linux"), miri))]
mod platform {
    pub(super) fn register() -> bool {
        false
    }

    pub(super) fn barrier() -> bool {
        true
    }
}
