// SPDX-License-Identifier: BSD-3-Clause
//! What POSIX has, for other systems than Linux.
//!
//! A guard is a page without access, and a mapping of its own. Memory is released by a fresh mapping over it, since advice
//! promises zeros on Linux alone. Stacks are never executable. In the message of an overflow the stack pointer is not known,
//! so that a stray pointer into a guard is reported as an overflow.

use super::Errno;

/// The memory of a handler's frame, where the system does not say it: enough for the vector registers of any.
const FRAME_BYTES: usize = 16 << 10;

const PROTECTION: libc::c_int = libc::PROT_READ | libc::PROT_WRITE;

/// See [`super::map`].
#[cfg(not(miri))]
pub(super) fn map(bytes: usize) -> Result<usize, Errno> {
    super::map_with(bytes, PROTECTION, 0)
}

/// There are no markers.
///
/// # Safety
///
/// None.
pub(super) unsafe fn can_mark(_address: usize, _page: usize) -> bool {
    false
}

/// See [`can_mark`].
///
/// # Safety
///
/// None.
pub(super) unsafe fn mark(_pages: impl Iterator<Item = (usize, usize)>) -> Result<(), Errno> {
    Err(Errno(libc::ENOSYS))
}

/// See [`super::release`].
///
/// # Safety
///
/// As there.
pub(super) unsafe fn release(ranges: impl Iterator<Item = (usize, usize)>) {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED;
    for (address, bytes) in ranges {
        let start = address as *mut libc::c_void;
        // SAFETY: the caller's: the range is of a mapping of ours, and its contents are not needed.
        let mapped = unsafe { libc::mmap(start, bytes, PROTECTION, flags, -1, 0) };
        if mapped == libc::MAP_FAILED {
            // The memory stays. It has to be zeroed, as its next user expects that.
            // SAFETY: as above; a mapping that failed has changed nothing.
            unsafe { std::ptr::write_bytes(start.cast::<u8>(), 0, bytes) };
        }
    }
}

/// What the kernel pushes when it calls a handler, at most.
pub(in super::super) fn signal_frame_bytes() -> usize {
    FRAME_BYTES.max(libc::MINSIGSTKSZ)
}

/// It is not known.
///
/// # Safety
///
/// None.
pub(in super::super) unsafe fn stack_pointer(_context: *mut libc::c_void) -> usize {
    0
}
