// SPDX-License-Identifier: BSD-3-Clause
//! Memory of two processes, behind copies that are checked against its bounds.
//!
//! [`Own`] is written by this side and read by the peer; [`Foreign`] is written by the peer and
//! read by this side. A peer may write any value at any moment, so:
//!
//! 1. No reference to shared bytes is ever created. Every access is one relaxed atomic access of an
//!    aligned word; longer copies are a sequence of them into or out of private memory, or what does
//!    the same with wider registers ([`copy_lines`]). A copy does not change, whatever the peer does
//!    next.
//! 2. Every offset is checked here against the length of the mapping, so no caller can reach beyond
//!    it, wherever the offset came from.
//! 3. `Foreign` is mapped read-only and has no stores. Loads of read-only memory are relaxed, with
//!    a fence after them where order matters: other orderings are not guaranteed to work there.
//!
//! All `unsafe` of the ring is in this file.
//!
//! # Safety
//!
//! `words` points to `count` words that stay mapped, with this size, for as long as `keep` lives:
//! the descriptor's seals `SHRINK` and `GROW` were checked (or set) by `segment` before the mapping
//! was passed in, so that no process can remove the pages. Words are only accessed as atomics, the
//! bell's only as 32 bits, all others as 64 bits.

use std::ffi::c_void;
use std::os::fd::BorrowedFd;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};

use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap, munmap};

/// The unit of copies, in bytes.
pub(super) const WORD_BYTES: usize = 8;
/// Words that are copied in one turn of a loop: the compiler unrolls none over atomics.
const UNROLLED: usize = 4;
/// What [`copy_lines`] copies in one turn, in bytes.
const LINE_BYTES: usize = 64;

/// A misaligned offset, or a range beyond the mapping.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{bytes} bytes at offset {offset} lie outside of the segment")]
pub struct OutOfRange {
    /// The offset.
    pub offset: usize,
    /// The length.
    pub bytes: usize,
}

/// Memory that this side writes and the peer reads.
#[derive(Debug)]
pub(super) struct Own(Words);

/// Memory that the peer writes and this side reads.
#[derive(Debug)]
pub(super) struct Foreign(Words);

impl Own {
    /// Maps `bytes` of `file`. The caller has created `file` with at least that size and seals it
    /// against shrinking before another process gets it.
    pub(super) fn map(file: BorrowedFd<'_>, bytes: usize) -> rustix::io::Result<Self> {
        Words::map(file, bytes, ProtFlags::READ | ProtFlags::WRITE).map(Self)
    }

    /// As [`Foreign::warm`], for writing.
    pub(super) fn warm(&self, bytes: usize) {
        self.0.warm(bytes, Advice::LinuxPopulateWrite);
    }

    /// Writes a word; a reader that reads it and fences sees all earlier writes.
    #[inline]
    pub(super) fn publish(&self, offset: usize, value: u64) -> Result<(), OutOfRange> {
        self.0.word(offset)?.store(value, Ordering::Release);
        Ok(())
    }

    /// Copies `bytes` to `offset`; the last word is zero-padded.
    #[inline]
    pub(super) fn copy_in(&self, offset: usize, bytes: &[u8]) -> Result<(), OutOfRange> {
        let words = self.0.row(offset, bytes.len())?;
        // SAFETY: so many lines are in both, and no byte of shared memory is in `bytes`.
        let lines = unsafe {
            copy_lines(bytes.as_ptr(), words.as_ptr().cast_mut().cast(), bytes.len() / LINE_BYTES)
        };
        let words = words.get(lines * LINE_BYTES / WORD_BYTES..).unwrap_or_default();
        let bytes = bytes.get(lines * LINE_BYTES..).unwrap_or_default();
        let (whole, rest) = bytes.as_chunks::<WORD_BYTES>();
        let (fours, ones) = whole.as_chunks::<UNROLLED>();
        let behind = words.get(fours.len() * UNROLLED..).unwrap_or_default();
        let store = |word: &AtomicU64, bytes: &[u8; WORD_BYTES]| {
            word.store(u64::from_ne_bytes(*bytes), Ordering::Relaxed);
        };
        for (words, bytes) in words.as_chunks::<UNROLLED>().0.iter().zip(fours) {
            words.iter().zip(bytes).for_each(|(word, bytes)| store(word, bytes));
        }
        behind.iter().zip(ones).for_each(|(word, bytes)| store(word, bytes));
        if let Some(word) = words.get(whole.len()) {
            let mut last = [0; WORD_BYTES];
            for (to, from) in last.iter_mut().zip(rest) {
                *to = *from;
            }
            word.store(u64::from_ne_bytes(last), Ordering::Relaxed);
        }
        Ok(())
    }

    /// A 32-bit word for a futex.
    #[inline]
    pub(super) fn futex(&self, offset: usize) -> Result<&AtomicU32, OutOfRange> {
        self.0.half(offset)
    }
}

impl Foreign {
    /// Maps `bytes` of `file` read-only. The caller has checked the size and the seals of `file`.
    pub(super) fn map(file: BorrowedFd<'_>, bytes: usize) -> rustix::io::Result<Self> {
        Words::map(file, bytes, ProtFlags::READ).map(Self)
    }

    /// Enters the first `bytes` into this process's page tables: the first access of any other page
    /// is a page fault.
    pub(super) fn warm(&self, bytes: usize) {
        self.0.warm(bytes, Advice::LinuxPopulateRead);
    }

    /// The current value of the word at `offset`.
    #[inline]
    pub(super) fn load(&self, offset: usize) -> Result<u64, OutOfRange> {
        Ok(self.0.word(offset)?.load(Ordering::Relaxed))
    }

    /// The word at `offset`; later reads see what the peer wrote before it.
    #[inline]
    pub(super) fn acquire(&self, offset: usize) -> Result<u64, OutOfRange> {
        let value = self.load(offset)?;
        fence(Ordering::Acquire);
        Ok(value)
    }

    /// Copies bytes at `offset` into private memory, each read once.
    #[inline]
    pub(super) fn copy_out(&self, offset: usize, into: &mut [u8]) -> Result<(), OutOfRange> {
        let words = self.0.row(offset, into.len())?;
        // SAFETY: so many lines are in both, and no byte of shared memory is in `into`.
        let lines = unsafe {
            copy_lines(words.as_ptr().cast(), into.as_mut_ptr(), into.len() / LINE_BYTES)
        };
        let words = words.get(lines * LINE_BYTES / WORD_BYTES..).unwrap_or_default();
        let into = into.get_mut(lines * LINE_BYTES..).unwrap_or_default();
        let (whole, rest) = into.as_chunks_mut::<WORD_BYTES>();
        let whole_words = whole.len();
        let (fours, ones) = whole.as_chunks_mut::<UNROLLED>();
        let behind = words.get(fours.len() * UNROLLED..).unwrap_or_default();
        let load = |bytes: &mut [u8; WORD_BYTES], word: &AtomicU64| {
            *bytes = word.load(Ordering::Relaxed).to_ne_bytes();
        };
        for (bytes, words) in fours.iter_mut().zip(words.as_chunks::<UNROLLED>().0) {
            bytes.iter_mut().zip(words).for_each(|(bytes, word)| load(bytes, word));
        }
        ones.iter_mut().zip(behind).for_each(|(bytes, word)| load(bytes, word));
        if let Some(word) = words.get(whole_words) {
            let last = word.load(Ordering::Relaxed).to_ne_bytes();
            for (to, from) in rest.iter_mut().zip(last) {
                *to = from;
            }
        }
        Ok(())
    }

    /// A 32-bit word for a futex. It must only be loaded: the page is read-only.
    #[inline]
    pub(super) fn futex(&self, offset: usize) -> Result<&AtomicU32, OutOfRange> {
        self.0.half(offset)
    }
}

/// Copies up to `lines` lines, and returns how many: the others are for the loops over words.
///
/// To the language this is a sequence of relaxed atomic accesses of bytes, each of which is read and
/// written once, as the loops over words are one of words: assembly, since there are no atomics of 16
/// bytes, and an ordinary copy may neither race with the peer nor be trusted to read once. A word that
/// is published behind it is stored behind it, and a copy behind a fence reads behind it, as the CPU
/// reorders no stores and no loads among themselves.
///
/// # Safety
/// Both places are mapped for so many lines and do not overlap; what is private is this thread's alone.
#[cfg(all(target_arch = "x86_64", not(miri)))]
#[inline]
unsafe fn copy_lines(from: *const u8, to: *mut u8, lines: usize) -> usize {
    if lines > 0 {
        // SAFETY: the caller's promise; it touches nothing else but the registers named.
        unsafe {
            std::arch::asm!(
                "2:",
                "movups {a}, [{from}]",
                "movups {b}, [{from} + 16]",
                "movups {c}, [{from} + 32]",
                "movups {d}, [{from} + 48]",
                "movups [{to}], {a}",
                "movups [{to} + 16], {b}",
                "movups [{to} + 32], {c}",
                "movups [{to} + 48], {d}",
                "add {from}, 64",
                "add {to}, 64",
                "dec {lines}",
                "jnz 2b",
                from = inout(reg) from => _,
                to = inout(reg) to => _,
                lines = inout(reg) lines => _,
                a = out(xmm_reg) _,
                b = out(xmm_reg) _,
                c = out(xmm_reg) _,
                d = out(xmm_reg) _,
                options(nostack),
            );
        }
    }
    lines
}

/// Other CPUs, and miri, take all by words.
///
/// # Safety
/// None is needed: it touches nothing.
#[cfg(not(all(target_arch = "x86_64", not(miri))))]
#[inline]
unsafe fn copy_lines(_: *const u8, _: *mut u8, _: usize) -> usize {
    0
}

/// Both views of memory within this process, without a mapping: for tests under miri.
#[cfg(test)]
pub(super) fn private(bytes: usize) -> (Own, Foreign) {
    let words: std::sync::Arc<[AtomicU64]> =
        (0..bytes / WORD_BYTES).map(|_| AtomicU64::new(0)).collect();
    let view = || Words {
        words: NonNull::from_ref(&*words).cast(),
        count: words.len(),
        keep: Keep::Heap(std::sync::Arc::clone(&words)),
    };
    (Own(view()), Foreign(view()))
}

#[derive(Debug)]
struct Words {
    words: NonNull<AtomicU64>,
    count: usize,
    keep: Keep,
}

#[derive(Debug)]
enum Keep {
    Mapping,
    #[cfg(test)]
    Heap(#[expect(dead_code, reason = "it is held, not read")] std::sync::Arc<[AtomicU64]>),
}

// SAFETY: the memory is only accessed by atomics, from any thread, and unmapped when its owner is
// dropped; see the module's documentation.
unsafe impl Send for Words {}
// SAFETY: as above.
unsafe impl Sync for Words {}

impl Words {
    fn map(file: BorrowedFd<'_>, bytes: usize, prot: ProtFlags) -> rustix::io::Result<Self> {
        // SAFETY: a new mapping at an address that the kernel chooses aliases nothing of this
        // process.
        let base = unsafe { mmap(std::ptr::null_mut(), bytes, prot, MapFlags::SHARED, file, 0)? };
        // The kernel does not map at 0; if it did, there would be nothing to unmap.
        let words = NonNull::new(base.cast()).ok_or(rustix::io::Errno::NOMEM)?;
        Ok(Self { words, count: bytes / WORD_BYTES, keep: Keep::Mapping })
    }

    fn warm(&self, bytes: usize, advice: Advice) {
        let bytes = bytes.min(self.count * WORD_BYTES);
        // SAFETY: within the mapping, of which it changes no byte.
        let warmed = unsafe { madvise(self.words.as_ptr().cast(), bytes, advice) };
        // A kernel before 5.14 does not know it: all pages are entered by faults there.
        let _ = warmed.inspect_err(|errno| tracing::debug!(%errno, "a shared segment is cold"));
    }

    #[inline]
    fn word(&self, offset: usize) -> Result<&AtomicU64, OutOfRange> {
        let index = offset / WORD_BYTES;
        if index >= self.count || !offset.is_multiple_of(WORD_BYTES) {
            return Err(OutOfRange { offset, bytes: WORD_BYTES });
        }
        // SAFETY: `index` is below `count`, so the word is within the mapping that `self` keeps. An
        // atomic may change under a shared reference, by this process or by another one.
        Ok(unsafe { self.words.add(index).as_ref() })
    }

    /// The words that hold `bytes` bytes from `offset` on.
    #[inline]
    fn row(&self, offset: usize, bytes: usize) -> Result<&[AtomicU64], OutOfRange> {
        let index = offset / WORD_BYTES;
        let count = bytes.div_ceil(WORD_BYTES);
        let fits = self.count.checked_sub(index).is_some_and(|behind| count <= behind);
        if !fits || !offset.is_multiple_of(WORD_BYTES) {
            return Err(OutOfRange { offset, bytes });
        }
        // SAFETY: `count` words from `index` on are within the mapping that `self` keeps; atomics
        // may change under a shared reference.
        Ok(unsafe { std::slice::from_raw_parts(self.words.add(index).as_ptr(), count) })
    }

    fn half(&self, offset: usize) -> Result<&AtomicU32, OutOfRange> {
        let word = NonNull::from_ref(self.word(offset)?).cast::<AtomicU32>();
        // SAFETY: the first half of a word within the mapping, aligned to 8; by the layout in
        // `validate` a futex's word is only accessed as 32 bits.
        Ok(unsafe { word.as_ref() })
    }
}

impl Drop for Words {
    fn drop(&mut self) {
        match self.keep {
            Keep::Mapping => {
                let bytes = self.count * WORD_BYTES;
                // SAFETY: `map` mapped exactly these bytes, and all references into them borrow
                // from `self`, which is being dropped.
                let unmapped = unsafe { munmap(self.words.as_ptr().cast::<c_void>(), bytes) };
                if let Err(errno) = unmapped {
                    tracing::error!(%errno, bytes, "a shared segment was not unmapped");
                }
            }
            #[cfg(test)]
            Keep::Heap(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_copied_in_are_copied_out() {
        let (own, foreign) = private(512);
        for bytes in 0..=300_usize {
            let sent: Vec<u8> = (0..bytes).map(|byte| (byte * 7 + bytes) as u8).collect();
            own.copy_in(8, &[0xff; 504]).unwrap();
            own.copy_in(8, &sent).unwrap();
            let mut got = vec![0; bytes];
            foreign.copy_out(8, &mut got).unwrap();
            assert_eq!(got, sent);
            let mut filled = vec![0; bytes.next_multiple_of(WORD_BYTES)];
            foreign.copy_out(8, &mut filled).unwrap();
            assert!(filled[bytes..].iter().all(|byte| *byte == 0), "nothing else leaks");
            let mut behind = [0; 8];
            foreign.copy_out(8 + filled.len(), &mut behind).unwrap();
            assert_eq!(behind, [0xff; 8], "nothing behind it is written");
        }
    }

    #[test]
    fn nothing_beyond_the_memory_is_reached() {
        let (own, foreign) = private(64);
        let wrong = [(64, 8), (60, 4), (56, 9), (0, 65), (usize::MAX - 7, 8), (8, usize::MAX - 7)];
        for (offset, bytes) in wrong {
            let refused = Err(OutOfRange { offset, bytes });
            if bytes < 100 {
                assert_eq!(own.copy_in(offset, &vec![0; bytes]), refused);
                assert_eq!(foreign.copy_out(offset, &mut vec![0; bytes]), refused);
            }
            assert!(own.0.row(offset, bytes).is_err());
        }
        for offset in [64, 1, 63, usize::MAX] {
            assert!(own.publish(offset, 0).is_err());
            assert!(foreign.acquire(offset).is_err());
            assert!(foreign.futex(offset).is_err());
        }
        own.publish(56, 7).unwrap();
        assert_eq!(foreign.acquire(56), Ok(7));
        assert!(own.copy_in(64, &[]).is_ok(), "nothing fits everywhere");
    }
}
