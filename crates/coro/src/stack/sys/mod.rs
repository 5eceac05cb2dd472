// SPDX-License-Identifier: BSD-3-Clause
//! The system calls for stacks: addresses, guards, and the release of memory.
//!
//! | module | |
//! |---|---|
//! | `linux` | markers as guards, advice for many ranges at once, executable stacks if the program wants them |
//! | `portable` | what POSIX has; other systems, and Linux with `--cfg becket_portable`, which the tests set |
//!
//! A guard is a page that faults. Linux 6.13 and later can make one of a page-table entry alone
//! (`MADV_GUARD_INSTALL`), which costs no mapping; elsewhere `mprotect` does, and every guard is
//! a mapping of its own. Which of the two works is detected once.
//!
//! Under miri a stack is a range of addresses that is never touched, since coroutines run on
//! threads there: ranges are counted up, guards and memory are nothing.

#[cfg(all(target_os = "linux", not(becket_portable)))]
mod linux;
#[cfg(not(all(target_os = "linux", not(becket_portable))))]
mod portable;

use std::sync::atomic::{AtomicU8, Ordering};

#[cfg(all(target_os = "linux", not(becket_portable)))]
use linux as system;
#[cfg(not(all(target_os = "linux", not(becket_portable))))]
use portable as system;

pub(super) use system::{signal_frame_bytes, stack_pointer};

/// An error number of the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Errno(pub(super) i32);

/// The kind of guards.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Guards {
    /// By a marker in the page table.
    Marker,
    /// By removing all access from a mapping.
    Protect,
}

/// The page size of the kernel, in bytes.
pub(super) fn page_bytes() -> usize {
    // SAFETY: sysconf has no preconditions.
    let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    usize::try_from(page).ok().filter(|page| page.is_power_of_two()).unwrap_or(4096)
}

impl Guards {
    /// The best kind that this kernel supports.
    pub(super) fn of_this_kernel() -> Self {
        static KNOWN: AtomicU8 = AtomicU8::new(0);
        match KNOWN.load(Ordering::Relaxed) {
            0 => {
                let guards = Self::probe();
                let code = if guards == Self::Marker { 1 } else { 2 };
                KNOWN.store(code, Ordering::Relaxed);
                guards
            }
            1 => Self::Marker,
            _ => Self::Protect,
        }
    }

    fn probe() -> Self {
        let page = super::class::page_bytes();
        let Ok(address) = map(page) else { return Self::Protect };
        // SAFETY: the page was mapped just now and no other code has its address.
        let marked = !cfg!(miri) && unsafe { system::can_mark(address, page) };
        // SAFETY: the page was mapped above and no other code has its address.
        unsafe { unmap(address, page) };
        if marked { Self::Marker } else { Self::Protect }
    }

    /// Makes guards of the page at `first` and of each of the `count - 1` that follow, `stride`
    /// bytes apart.
    ///
    /// # Safety
    ///
    /// The pages lie in a mapping made by [`map`], and are not in use.
    pub(super) unsafe fn install(
        self,
        first: usize,
        stride: usize,
        count: usize,
    ) -> Result<(), Errno> {
        let page = super::class::page_bytes();
        let pages = (0..count).map(|index| first + index * stride);
        if cfg!(miri) {
            return Ok(());
        }
        let marked = self == Self::Marker
            // SAFETY: the caller's.
            && unsafe { system::mark(pages.clone().map(|address| (address, page))) }.is_ok();
        if marked {
            return Ok(());
        }
        // Locked memory (`mlockall`) takes no markers.
        for address in pages {
            // SAFETY: the caller's: the page is of our mapping and not in use.
            check(unsafe { libc::mprotect(address as *mut libc::c_void, page, libc::PROT_NONE) })?;
        }
        Ok(())
    }
}

/// Fresh zeroed memory, of which pages exist only once they are touched.
#[cfg(not(miri))]
pub(super) fn map(bytes: usize) -> Result<usize, Errno> {
    system::map(bytes)
}

#[cfg(miri)]
pub(super) fn map(bytes: usize) -> Result<usize, Errno> {
    use std::sync::atomic::AtomicUsize;
    static NEXT: AtomicUsize = AtomicUsize::new(1 << 45);
    Ok(NEXT.fetch_add(bytes, Ordering::Relaxed))
}

/// Ends a mapping.
///
/// # Safety
///
/// `start` and `bytes` are those of one mapping made by [`map`], which is not in use.
pub(super) unsafe fn unmap(start: usize, bytes: usize) {
    if cfg!(miri) {
        return;
    }
    // SAFETY: the caller's. If the unmap fails, only the addresses are lost.
    unsafe { libc::munmap(start as *mut libc::c_void, bytes) };
}

/// Releases the memory in `ranges` (address and length); the next touch finds zeros.
///
/// # Safety
///
/// The ranges lie in mappings made by [`map`], outside of guards, and their contents are not needed any more.
pub(super) unsafe fn release(ranges: impl Iterator<Item = (usize, usize)>) {
    if cfg!(miri) {
        return;
    }
    // SAFETY: the caller's.
    unsafe { system::release(ranges) };
}

/// An anonymous mapping at an address of the kernel's choice.
#[cfg(not(miri))]
fn map_with(bytes: usize, protection: libc::c_int, flags: libc::c_int) -> Result<usize, Errno> {
    let flags = flags | libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    // SAFETY: a fresh mapping touches nothing of ours.
    let start = unsafe { libc::mmap(std::ptr::null_mut(), bytes, protection, flags, -1, 0) };
    if start == libc::MAP_FAILED { Err(last()) } else { Ok(start.expose_provenance()) }
}

fn check(result: libc::c_int) -> Result<(), Errno> {
    if result == 0 { Ok(()) } else { Err(last()) }
}

fn last() -> Errno {
    Errno(std::io::Error::last_os_error().raw_os_error().unwrap_or(libc::ENOMEM))
}
