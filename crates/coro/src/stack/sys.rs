// SPDX-License-Identifier: BSD-3-Clause
//! The system calls for stacks: addresses, guards, and the release of memory.
//!
//! A guard is a page that faults. Linux 6.13 and later can make one of a page-table entry alone
//! (`MADV_GUARD_INSTALL`), which costs no mapping; elsewhere `mprotect` does, and every guard is
//! a mapping of its own. Which of the two works is detected once.
//!
//! The code of a program may need executable stacks: GCC puts the trampolines of nested functions
//! there. The linker marks such programs and libraries (`PT_GNU_STACK`), and stacks made here follow
//! the mark as the system's own do.
//!
//! Advice for many ranges goes to the kernel by `process_madvise` on this very process, 64 ranges
//! a call; kernels that have no descriptor for "this very process" (before 6.15) get one call a
//! range.
//!
//! Under miri a stack is a range of addresses that is never touched, since coroutines run on
//! threads there: ranges are counted up, guards and memory are nothing.

use std::sync::atomic::{AtomicU8, Ordering};

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

const MADV_GUARD_INSTALL: libc::c_int = 102;

/// In place of a descriptor: this process.
const PIDFD_SELF_THREAD_GROUP: libc::c_int = -10001;

/// Ranges per call. Their vector is on the caller's stack, which may be a small one.
const RANGES_MAX: usize = 64;

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
        // Emulators and sandboxes accept any advice and follow little.
        let marked = advise(address, page, MADV_GUARD_INSTALL).is_ok() && is_out_of_reach(address);
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
        let marked = self == Self::Marker
            && advise_all(pages.clone().map(|address| (address, page)), MADV_GUARD_INSTALL).is_ok();
        if marked || cfg!(miri) {
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

/// Whether the kernel cannot read there on our behalf. This does not fault.
///
/// By a wait for a word, not by a call that takes a text: valgrind reads texts itself before it
/// makes the call, and ends with the fault.
fn is_out_of_reach(address: usize) -> bool {
    let not_there: libc::c_uint = 1;
    // SAFETY: for an address that cannot be read the kernel returns an error. Any other is ours and
    // holds zeros, so that no wait begins.
    let waited = unsafe {
        libc::syscall(
            libc::SYS_futex,
            address as *const u32,
            libc::FUTEX_WAIT | libc::FUTEX_PRIVATE_FLAG,
            not_there,
            std::ptr::null::<libc::timespec>(),
        )
    };
    waited != 0 && last() == Errno(libc::EFAULT)
}

#[cfg(miri)]
pub(super) fn map(bytes: usize) -> Result<usize, Errno> {
    use std::sync::atomic::AtomicUsize;
    static NEXT: AtomicUsize = AtomicUsize::new(1 << 45);
    Ok(NEXT.fetch_add(bytes, Ordering::Relaxed))
}

/// Fresh zeroed memory, of which pages exist only once they are touched.
#[cfg(not(miri))]
pub(super) fn map(bytes: usize) -> Result<usize, Errno> {
    let executable = if has_executable_stacks() { libc::PROT_EXEC } else { 0 };
    let protection = libc::PROT_READ | libc::PROT_WRITE | executable;
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE | libc::MAP_STACK;
    // SAFETY: an anonymous mapping at an address of the kernel's choice touches nothing of ours.
    let start = unsafe { libc::mmap(std::ptr::null_mut(), bytes, protection, flags, -1, 0) };
    if start == libc::MAP_FAILED {
        return Err(last());
    }
    let start = start.expose_provenance();
    // A huge page under one deep stack would hold the memory of thirty others. A kernel without
    // huge pages refuses, and has none to avoid.
    let _ = advise(start, bytes, libc::MADV_NOHUGEPAGE);
    Ok(start)
}

/// Whether the program, or a library in it, is marked as one that needs executable stacks.
#[cfg(not(miri))]
fn has_executable_stacks() -> bool {
    let mut found = false;
    // SAFETY: the callback gets the address of `found`, which lives until the call returns.
    unsafe { libc::dl_iterate_phdr(Some(note_executable_stack), (&raw mut found).cast()) };
    found
}

/// Sets the flag at `found` if this object is marked.
///
/// # Safety
///
/// `info` describes a loaded object; `found` is valid for a write of a `bool`.
#[cfg(not(miri))]
unsafe extern "C" fn note_executable_stack(
    info: *mut libc::dl_phdr_info,
    _size: libc::size_t,
    found: *mut libc::c_void,
) -> libc::c_int {
    // SAFETY: the caller's promise: an object's program headers are as many as it says, and stay
    // while the object is listed.
    let headers = unsafe {
        let info = &*info;
        std::slice::from_raw_parts(info.dlpi_phdr, usize::from(info.dlpi_phnum))
    };
    let marked = headers
        .iter()
        .any(|header| header.p_type == libc::PT_GNU_STACK && header.p_flags & libc::PF_X != 0);
    if marked {
        // SAFETY: the caller's promise.
        unsafe { found.cast::<bool>().write(true) };
    }
    // Anything but 0 ends the search.
    libc::c_int::from(marked)
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
/// The ranges lie in mappings made by [`map`], and their contents are not needed any more.
pub(super) unsafe fn release(ranges: impl Iterator<Item = (usize, usize)>) {
    // If the kernel refuses, the memory stays: more than necessary, without harm.
    let _ = advise_all(ranges, libc::MADV_DONTNEED);
}

fn advise_all(
    ranges: impl Iterator<Item = (usize, usize)>,
    advice: libc::c_int,
) -> Result<(), Errno> {
    if cfg!(miri) {
        return Ok(());
    }
    let mut ranges = ranges.peekable();
    while ranges.peek().is_some() {
        let mut vector = [libc::iovec { iov_base: std::ptr::null_mut(), iov_len: 0 }; RANGES_MAX];
        let mut count = 0;
        for (entry, (address, bytes)) in vector.iter_mut().zip(&mut ranges) {
            *entry = libc::iovec { iov_base: address as *mut libc::c_void, iov_len: bytes };
            count += 1;
        }
        let vector = vector.get(..count).unwrap_or_default();
        let mut done = if count > 1 { advise_vector(vector, advice) } else { 0 };
        for entry in vector {
            // The kernel may stop in the middle; completed ranges need not be repeated.
            if done >= entry.iov_len {
                done -= entry.iov_len;
                continue;
            }
            done = 0;
            advise(entry.iov_base as usize, entry.iov_len, advice)?;
        }
    }
    Ok(())
}

/// One call for all ranges. Returns how many bytes, from the front, were processed.
fn advise_vector(vector: &[libc::iovec], advice: libc::c_int) -> usize {
    // SAFETY: the vector lives until the call ends; the ranges are as `advise` requires.
    let done = unsafe {
        libc::syscall(
            libc::SYS_process_madvise,
            PIDFD_SELF_THREAD_GROUP,
            vector.as_ptr(),
            vector.len(),
            advice,
            0 as libc::c_uint,
        )
    };
    usize::try_from(done).unwrap_or(0)
}

fn advise(address: usize, bytes: usize, advice: libc::c_int) -> Result<(), Errno> {
    if cfg!(miri) {
        return Ok(());
    }
    // SAFETY: private to this file: every caller passes ranges of mappings made here, not in use.
    check(unsafe { libc::madvise(address as *mut libc::c_void, bytes, advice) })
}

fn check(result: libc::c_int) -> Result<(), Errno> {
    if result == 0 { Ok(()) } else { Err(last()) }
}

fn last() -> Errno {
    Errno(std::io::Error::last_os_error().raw_os_error().unwrap_or(libc::ENOMEM))
}
