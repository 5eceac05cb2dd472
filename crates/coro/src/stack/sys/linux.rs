// SPDX-License-Identifier: BSD-3-Clause
//! Linux.
//!
//! The code of a program may need executable stacks: GCC puts the trampolines of nested functions
//! there. The linker marks such programs and libraries (`PT_GNU_STACK`), and stacks made here follow
//! the mark as the system's own do.
//!
//! Advice for many ranges goes to the kernel by `process_madvise` on this very process, 64 ranges
//! a call; kernels that have no descriptor for "this very process" (before 6.15) get one call a
//! range.

use super::{Errno, check, last};

const MADV_GUARD_INSTALL: libc::c_int = 102;

/// In place of a descriptor: this process.
const PIDFD_SELF_THREAD_GROUP: libc::c_int = -10001;

/// Ranges per call. Their vector is on the caller's stack, which may be a small one.
const RANGES_MAX: usize = 64;

/// See [`super::map`].
#[cfg(not(miri))]
pub(super) fn map(bytes: usize) -> Result<usize, Errno> {
    let executable = if has_executable_stacks() { libc::PROT_EXEC } else { 0 };
    let protection = libc::PROT_READ | libc::PROT_WRITE | executable;
    let start = super::map_with(bytes, protection, libc::MAP_NORESERVE | libc::MAP_STACK)?;
    // A huge page under one deep stack would hold the memory of thirty others. A kernel without
    // huge pages refuses, and has none to avoid.
    // SAFETY: the mapping is fresh.
    let _ = unsafe { advise(start, bytes, libc::MADV_NOHUGEPAGE) };
    Ok(start)
}

/// Whether a marker makes this page a guard, which it does then.
///
/// # Safety
///
/// The page is one of a mapping made here, and not in use.
pub(super) unsafe fn can_mark(address: usize, page: usize) -> bool {
    // Emulators and sandboxes accept any advice and follow little.
    // SAFETY: the caller's.
    unsafe { advise(address, page, MADV_GUARD_INSTALL) }.is_ok() && is_out_of_reach(address)
}

/// Makes guards of these pages, by markers. Locked memory (`mlockall`) takes none.
///
/// # Safety
///
/// As for [`can_mark`].
pub(super) unsafe fn mark(pages: impl Iterator<Item = (usize, usize)>) -> Result<(), Errno> {
    // SAFETY: the caller's.
    unsafe { advise_all(pages, MADV_GUARD_INSTALL) }
}

/// See [`super::release`].
///
/// # Safety
///
/// As there.
pub(super) unsafe fn release(ranges: impl Iterator<Item = (usize, usize)>) {
    // If the kernel refuses, the memory stays: more than necessary, without harm.
    // SAFETY: the caller's.
    let _ = unsafe { advise_all(ranges, libc::MADV_DONTNEED) };
}

/// What the kernel pushes when it calls a handler, at most.
pub(in super::super) fn signal_frame_bytes() -> usize {
    // SAFETY: a query.
    let frame = unsafe { libc::getauxval(libc::AT_MINSIGSTKSZ) } as usize;
    frame.max(libc::MINSIGSTKSZ)
}

/// The thread's stack pointer at the fault; 0 where it is not known.
///
/// # Safety
///
/// `context` is what the kernel passed to a handler with SA_SIGINFO.
pub(in super::super) unsafe fn stack_pointer(context: *mut libc::c_void) -> usize {
    // SAFETY: the caller's.
    let machine = unsafe { &(*context.cast::<libc::ucontext_t>()).uc_mcontext };
    #[cfg(target_arch = "x86_64")]
    let pointer = machine.gregs.get(libc::REG_RSP as usize).map_or(0, |rsp| *rsp as usize);
    #[cfg(target_arch = "aarch64")]
    let pointer = machine.sp as usize;
    #[cfg(target_arch = "riscv64")]
    let pointer = machine.__gregs.get(libc::REG_SP).map_or(0, |sp| *sp as usize);
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64", target_arch = "riscv64")))]
    let pointer = {
        let _ = machine;
        0
    };
    pointer
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

/// # Safety
///
/// The ranges lie in mappings made here, and what the advice does to them is harmless.
unsafe fn advise_all(
    ranges: impl Iterator<Item = (usize, usize)>,
    advice: libc::c_int,
) -> Result<(), Errno> {
    let mut ranges = ranges.peekable();
    while ranges.peek().is_some() {
        let mut vector = [libc::iovec { iov_base: std::ptr::null_mut(), iov_len: 0 }; RANGES_MAX];
        let mut count = 0;
        for (entry, (address, bytes)) in vector.iter_mut().zip(&mut ranges) {
            *entry = libc::iovec { iov_base: address as *mut libc::c_void, iov_len: bytes };
            count += 1;
        }
        let vector = vector.get(..count).unwrap_or_default();
        // SAFETY: the caller's.
        let mut done = if count > 1 { unsafe { advise_vector(vector, advice) } } else { 0 };
        for entry in vector {
            // The kernel may stop in the middle; completed ranges need not be repeated.
            if done >= entry.iov_len {
                done -= entry.iov_len;
                continue;
            }
            done = 0;
            // SAFETY: the caller's.
            unsafe { advise(entry.iov_base as usize, entry.iov_len, advice) }?;
        }
    }
    Ok(())
}

/// One call for all ranges. Returns how many bytes, from the front, were processed.
///
/// # Safety
///
/// As for [`advise_all`].
unsafe fn advise_vector(vector: &[libc::iovec], advice: libc::c_int) -> usize {
    // SAFETY: the vector lives until the call ends; the ranges are as the caller promises.
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

/// # Safety
///
/// As for [`advise_all`].
unsafe fn advise(address: usize, bytes: usize, advice: libc::c_int) -> Result<(), Errno> {
    // SAFETY: the caller's.
    check(unsafe { libc::madvise(address as *mut libc::c_void, bytes, advice) })
}
