// SPDX-License-Identifier: BSD-3-Clause
//! A segment of shared memory by hand: eight slots and two blocks of 256 bytes, in one page, in
//! which anything may stand, and which its maker goes on writing.
//!
//! ```text
//!   0 header   256 taken   384 wait   512 bell   1024 slots of 128 B   2048 blocks   4096
//! ```

use std::ffi::c_void;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, ftruncate, memfd_create};
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

use super::hand::{Hand, Head};

pub(super) const PAGE: u64 = 4096;
pub(super) const TAKEN: u64 = 256;
pub(super) const RING: u64 = 1024;
const SLOT: u64 = 128;
const SLOTS: u64 = 8;

/// The fields of a valid header.
pub(super) const HEADER: [u64; 5] =
    [u64::from_le_bytes(*b"becketsr"), 1 | SLOTS << 32, 1, PAGE, 256 | 2 << 32];

pub(super) struct Segment {
    file: OwnedFd,
    memory: NonNull<c_void>,
}

// SAFETY: the memory is used through atomics alone.
unsafe impl Send for Segment {}
// SAFETY: as above.
unsafe impl Sync for Segment {}

impl Segment {
    /// With a header, mapped for writing, and not sealed yet.
    pub(super) fn new(header: [u64; 5]) -> Self {
        let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
        let file = memfd_create("hostile", flags).unwrap();
        ftruncate(&file, PAGE).unwrap();
        let prot = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: a new mapping of a file of that length, which stays until it is dropped.
        let memory = unsafe {
            mmap(std::ptr::null_mut(), PAGE as usize, prot, MapFlags::SHARED, &file, 0).unwrap()
        };
        let segment = Self { file, memory: NonNull::new(memory).unwrap() };
        for (at, word) in header.into_iter().enumerate() {
            segment.word(at as u64 * 8, word);
        }
        segment
    }

    pub(super) fn word(&self, offset: u64, word: u64) {
        assert!(offset + 8 <= PAGE && offset.is_multiple_of(8));
        // SAFETY: within the mapping and aligned, as was just looked at.
        let place = unsafe { &*self.memory.as_ptr().cast::<AtomicU64>().add(offset as usize / 8) };
        place.store(word, Ordering::SeqCst);
    }

    /// What a slot holds beside its sequence.
    pub(super) fn slot_body(&self, number: u64, head: &Head) {
        let slot = RING + number % SLOTS * SLOT;
        for (at, word) in head.bytes().chunks_exact(8).enumerate() {
            self.word(slot + 8 + at as u64 * 8, u64::from_le_bytes(word.try_into().unwrap()));
        }
    }

    /// The frame of this number, from 0, is there.
    pub(super) fn frame(&self, number: u64, place: u64, head: &Head) {
        self.slot_body(number, head);
        self.word(RING + number % SLOTS * SLOT, (number + 1) & 0xffff_ffff | place << 32);
    }

    /// Seals it as it should be. What is mapped stays so.
    pub(super) fn sealed(&self) -> OwnedFd {
        let seals = SealFlags::SHRINK | SealFlags::GROW | SealFlags::FUTURE_WRITE | SealFlags::SEAL;
        self.with(seals)
    }

    pub(super) fn with(&self, seals: SealFlags) -> OwnedFd {
        fcntl_add_seals(&self.file, seals).unwrap();
        self.file.try_clone().unwrap()
    }
}

impl Drop for Segment {
    fn drop(&mut self) {
        // SAFETY: mapped by `new` with this length; no reference to it is left.
        let _gone = unsafe { munmap(self.memory.as_ptr(), PAGE as usize) };
    }
}

/// What an offer says: magic, version, the longest body.
pub(super) fn offer() -> [u8; 16] {
    let mut offer = *b"becketof\x01\0\0\0\0\0\x01\0";
    offer[12..].copy_from_slice(&65_536_u32.to_le_bytes());
    offer
}

/// Greets, and hands over a segment that is as it should be; gives the server's.
pub(super) fn shared(path: &Path, segment: &Segment) -> (Hand, OwnedFd) {
    let mut hand = Hand::greeted(path, 1);
    hand.hand_over(&offer(), &[segment.sealed()]);
    let file = hand.offered();
    (hand, file)
}
