// SPDX-License-Identifier: BSD-3-Clause
//! Elements whose size is known at run time.
//!
//! `becket_chan` needs a type. An element of up to 64 bytes travels inside a value of one of three
//! sizes, so that sending it allocates nothing; a larger one travels as a block of its own.
//!
//! ```text
//!   element bytes      1..=8        9..=40         41..=64          65..
//!   value              Inline<1>    Inline<5>      Inline<8>        Block
//!                      ┌──┐         ┌──┬──┬──┬──┬──┐               ┌─────┐    ┌───────────┐
//!                      └──┘         └──┴──┴──┴──┴──┘               │ ptr ├───►│ the bytes │
//!                                                                  └─────┘    └───────────┘
//! ```
//!
//! The 40 bytes are a descriptor's (`descriptor`), so that a channel of `struct kc_chan_ptrmsg` has
//! room for all of one.
//!
//! # Safety
//!
//! Bytes are copied as they are, padding included, and never interpreted.

use std::mem::MaybeUninit;
use std::ptr;

/// The largest alignment that a C type has (`max_align_t`), for bytes that are passed to a hook.
#[repr(C, align(16))]
#[derive(Clone, Copy)]
pub(crate) struct Aligned<const BYTES: usize>(MaybeUninit<[u8; BYTES]>);

type Chunk = Aligned<16>;

/// A value that holds an element's bytes.
pub(crate) trait Element: Send + Sized + 'static {
    /// Copies an element in. `None`: there is no memory for it.
    ///
    /// # Safety
    ///
    /// `from` is valid for reads of `size` bytes, and `size` belongs to this kind of value.
    unsafe fn load(from: *const u8, size: usize) -> Option<Self>;

    /// Copies it out.
    ///
    /// # Safety
    ///
    /// `to` is valid for writes of `size` bytes, the size with which it was loaded.
    unsafe fn store(&self, to: *mut u8, size: usize);

    /// Passes it to `to`, aligned for any C type.
    fn show(&mut self, size: usize, to: impl FnOnce(*mut u8));

    /// Itself, if it is as large as a descriptor.
    fn as_slot(&self) -> Option<Inline<5>> {
        None
    }
}

/// An element of up to `8 * WORDS` bytes.
#[derive(Clone, Copy)]
pub(crate) struct Inline<const WORDS: usize>(pub(crate) MaybeUninit<[u64; WORDS]>);

impl<const WORDS: usize> Inline<WORDS> {
    pub(crate) const BYTES_MAX: usize = WORDS * 8;
}

impl<const WORDS: usize> Element for Inline<WORDS> {
    #[inline]
    unsafe fn load(from: *const u8, size: usize) -> Option<Self> {
        let mut value = Self(MaybeUninit::uninit());
        if size == size_of::<Self>() {
            // The common case is a copy of a size that the compiler knows.
            // SAFETY: the caller's promise.
            unsafe {
                ptr::copy_nonoverlapping(from, value.0.as_mut_ptr().cast(), size_of::<Self>())
            };
        } else {
            debug_assert!(size <= Self::BYTES_MAX);
            value.0 = MaybeUninit::zeroed();
            // SAFETY: as above; it has room.
            unsafe { copy_few(from, value.0.as_mut_ptr().cast(), size) };
        }
        Some(value)
    }

    #[inline]
    unsafe fn store(&self, to: *mut u8, size: usize) {
        let from = self.0.as_ptr().cast::<u8>();
        if size == size_of::<Self>() {
            // SAFETY: the caller's promise.
            unsafe { ptr::copy_nonoverlapping(from, to, size_of::<Self>()) };
        } else {
            // SAFETY: the caller's promise.
            unsafe { copy_few(from, to, size) };
        }
    }

    fn show(&mut self, size: usize, to: impl FnOnce(*mut u8)) {
        let mut aligned = Aligned::<64>(MaybeUninit::uninit());
        let at = aligned.0.as_mut_ptr().cast::<u8>();
        // SAFETY: no element of this kind is larger than 64 bytes.
        unsafe { self.store(at, size.min(64)) };
        to(at);
    }

    fn as_slot(&self) -> Option<Inline<5>> {
        // SAFETY: it is as large as that.
        (WORDS == 5).then(|| unsafe { (&raw const *self).cast::<Inline<5>>().read() })
    }
}

/// Copies; an `int` without a call.
///
/// # Safety
///
/// As for [`ptr::copy_nonoverlapping`].
#[inline]
unsafe fn copy_few(from: *const u8, to: *mut u8, size: usize) {
    // SAFETY: the caller's promise.
    unsafe {
        match size {
            4 => ptr::copy_nonoverlapping(from, to, 4),
            16 => ptr::copy_nonoverlapping(from, to, 16),
            size => ptr::copy_nonoverlapping(from, to, size),
        }
    }
}

/// An element of any size.
pub(crate) struct Block(Box<[Chunk]>);

impl Element for Block {
    unsafe fn load(from: *const u8, size: usize) -> Option<Self> {
        let mut chunks = Vec::new();
        let count = size.div_ceil(size_of::<Chunk>());
        chunks.try_reserve_exact(count).ok()?;
        chunks.resize(count, Aligned(MaybeUninit::uninit()));
        let mut block = Self(chunks.into_boxed_slice());
        // SAFETY: the caller's promise; it has room.
        unsafe { ptr::copy_nonoverlapping(from, block.0.as_mut_ptr().cast(), size) };
        Some(block)
    }

    unsafe fn store(&self, to: *mut u8, size: usize) {
        // SAFETY: the caller's promise.
        unsafe { ptr::copy_nonoverlapping(self.0.as_ptr().cast(), to, size) };
    }

    fn show(&mut self, _: usize, to: impl FnOnce(*mut u8)) {
        to(self.0.as_mut_ptr().cast());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round_trip<E: Element>(size: usize) {
        let sent: Vec<u8> = (0..size).map(|n| n as u8 | 1).collect();
        let mut received = vec![0_u8; size + 1];
        // SAFETY: the lengths are right.
        unsafe {
            let mut value = E::load(sent.as_ptr(), size).unwrap();
            value.store(received.as_mut_ptr(), size);
            value.show(size, |shown| {
                assert!(shown.addr().is_multiple_of(16));
                assert_eq!(std::slice::from_raw_parts(shown, size), sent);
            });
        }
        assert_eq!((&received[..size], received[size]), (&sent[..], 0));
    }

    #[test]
    fn every_size_arrives_whole() {
        (1..=8).for_each(round_trip::<Inline<1>>);
        (9..=40).for_each(round_trip::<Inline<5>>);
        (41..=64).for_each(round_trip::<Inline<8>>);
        (65..=130).for_each(round_trip::<Block>);
        if !cfg!(miri) {
            round_trip::<Block>(1 << 20);
        }
    }

    #[test]
    #[cfg_attr(miri, ignore = "Miri ends when there is no memory")]
    fn no_memory_is_no_panic() {
        let byte = 0_u8;
        // SAFETY: nothing is read: there is no such memory.
        assert!(unsafe { Block::load(&raw const byte, usize::MAX / 4) }.is_none());
    }
}
