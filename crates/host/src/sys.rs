// SPDX-License-Identifier: BSD-3-Clause
//! What Linux has and other systems do not, each with what is done there instead.
//!
//! | | Linux | elsewhere, and with `--cfg becket_portable` |
//! |---|---|---|
//! | a short nap ends in time | `PR_SET_TIMERSLACK` | it may end later |
//! | whether a thread is of the scheduler's idle class | `sched_getscheduler` | it is not |
//! | the number of a thread, for the time that it has run | `gettid`, `/proc` | none: a thread that computes looks like one that sleeps |
//! | a copy of memory that may not be there | `process_vm_readv` | through a pipe |

/// The system wakes this thread when a nap is over, and not up to 50 µs later.
pub(crate) fn naps_are_short() {
    #[cfg(all(target_os = "linux", not(becket_portable)))]
    // SAFETY: sets a number of the calling thread.
    unsafe {
        libc::prctl(libc::PR_SET_TIMERSLACK, 1_u64)
    };
}

/// The calling thread runs only when no other wants the processor.
pub(crate) fn is_of_idle_class() -> bool {
    #[cfg(all(target_os = "linux", not(becket_portable)))]
    // SAFETY: reads a number of the calling thread.
    let is_idle = unsafe { libc::sched_getscheduler(0) == libc::SCHED_IDLE };
    #[cfg(not(all(target_os = "linux", not(becket_portable))))]
    let is_idle = false;
    is_idle
}

/// The number of the calling thread; 0: it is not known.
pub(crate) fn thread_number() -> i32 {
    #[cfg(all(target_os = "linux", not(becket_portable)))]
    // SAFETY: takes and touches nothing.
    let number = unsafe { libc::gettid() };
    #[cfg(not(all(target_os = "linux", not(becket_portable))))]
    let number = 0;
    number
}

/// Copies memory at `address` by one call of the kernel, which is not available everywhere: `None` then. False: it cannot be
/// read.
#[cfg_attr(
    not(all(target_os = "linux", not(becket_portable))),
    expect(unused_variables, clippy::needless_pass_by_ref_mut, reason = "there is no such call")
)]
pub(crate) fn copy_memory(address: usize, copy: &mut [u8]) -> Option<bool> {
    #[cfg(all(target_os = "linux", not(becket_portable)))]
    {
        let iov_len = copy.len();
        let local = libc::iovec { iov_base: copy.as_mut_ptr().cast(), iov_len };
        let iov_base = std::ptr::with_exposed_provenance_mut(address);
        let remote = libc::iovec { iov_base, iov_len };
        // SAFETY: `local` is `copy`, alive, exclusive and as long; the remote range is only read,
        // and only by the kernel, which reports what it cannot read.
        let got = unsafe { libc::process_vm_readv(libc::getpid(), &local, 1, &remote, 1, 0) };
        match usize::try_from(got) {
            Ok(got) => Some(got == iov_len),
            Err(_) if std::io::Error::last_os_error().raw_os_error() == Some(libc::EFAULT) => {
                Some(false)
            }
            // Forbidden by a sandbox, or not in this kernel.
            Err(_) => None,
        }
    }
    #[cfg(not(all(target_os = "linux", not(becket_portable))))]
    None
}
