// SPDX-License-Identifier: BSD-3-Clause
//! Copying out of memory that another process may write at the same time.
//!
//! Such a read may be torn, but it must happen exactly once: the compiler may neither read again
//! what was already checked, nor assume that the memory is constant. So each byte is read once, by
//! a volatile read, into private memory, and the checks are made on that copy.
//!
//! | where | how |
//! |---|---|
//! | x86-64, from 512 bytes on | `rep movsb`: opaque to the compiler, as fast as any copy on the CPU |
//! | elsewhere | volatile reads, eight words in a row |

use std::ptr;

/// Words per iteration of the unrolled loop.
const UNROLLED: usize = 8;
const WORD: usize = size_of::<u64>();

/// Copies `len` bytes.
///
/// # Safety
///
/// `from` is valid for volatile reads of `len` bytes, `to` for writes; they do not overlap. Another
/// process may write `from` at the same time.
pub(super) unsafe fn copy_shared(from: *const u8, to: *mut u8, len: usize) {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    if len >= STRING_BYTES_MIN {
        // SAFETY: the caller's guarantee.
        return unsafe { copy_string(from, to, len) };
    }
    let head = from.align_offset(WORD).min(len);
    // SAFETY: the caller's guarantee; the three consecutive ranges make up `len` bytes, and the
    // middle one is word-aligned on the side that is read.
    unsafe {
        copy_bytes(from, to, head);
        let words = (len - head) / WORD;
        copy_words(from.add(head).cast(), to.add(head), words);
        let done = head + words * WORD;
        copy_bytes(from.add(done), to.add(done), len - done);
    }
}

/// Below this length the start-up cost of the instruction exceeds that of a plain loop.
#[cfg(all(target_arch = "x86_64", not(miri)))]
const STRING_BYTES_MIN: usize = 512;

/// # Safety
///
/// As for [`copy_shared`].
#[cfg(all(target_arch = "x86_64", not(miri)))]
unsafe fn copy_string(from: *const u8, to: *mut u8, len: usize) {
    // SAFETY: the caller's guarantee; the ABI keeps the direction flag clear, and the changed
    // registers are declared.
    unsafe {
        std::arch::asm!(
            "rep movsb",
            inout("rcx") len => _,
            inout("rdi") to => _,
            inout("rsi") from => _,
            options(nostack, preserves_flags),
        );
    }
}

/// # Safety
///
/// As for [`copy_shared`].
unsafe fn copy_bytes(from: *const u8, to: *mut u8, len: usize) {
    for at in 0..len {
        // SAFETY: the caller's guarantee.
        unsafe { to.add(at).write(ptr::read_volatile(from.add(at))) };
    }
}

/// # Safety
///
/// As for [`copy_shared`], for `words` words; `from` is aligned.
unsafe fn copy_words(from: *const u64, to: *mut u8, words: usize) {
    let mut at = 0;
    while words - at >= UNROLLED {
        // SAFETY: the caller's guarantee.
        unsafe {
            let chunk: [u64; UNROLLED] =
                std::array::from_fn(|index| ptr::read_volatile(from.add(at + index)));
            to.add(at * WORD).cast::<[u64; UNROLLED]>().write_unaligned(chunk);
        }
        at += UNROLLED;
    }
    for at in at..words {
        // SAFETY: the caller's guarantee.
        unsafe {
            to.add(at * WORD).cast::<u64>().write_unaligned(ptr::read_volatile(from.add(at)))
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_length_and_alignment_arrives() {
        let from: Vec<u8> = (0..700_u32).map(|byte| byte as u8).collect();
        let lengths = || (0..120).chain(500..=690);
        for start in 0..9 {
            for len in lengths().step_by(if cfg!(miri) { 17 } else { 1 }) {
                let mut to = vec![0xFF; len + 1];
                // SAFETY: both ranges have that length.
                unsafe { copy_shared(from[start..].as_ptr(), to.as_mut_ptr(), len) };
                assert_eq!((&to[..len], to[len]), (&from[start..start + len], 0xFF));
            }
        }
    }
}
