// SPDX-License-Identifier: BSD-3-Clause
//! Descriptors: an address and a length in place of the bytes (`kc_zdesc_t`).
//!
//! On a pointer channel, and on a queued channel whose element is a `struct kc_chan_ptrmsg`, one
//! travels whole. Its first two words are just that structure:
//!
//! ```text
//!   word    0      1     2           3        4
//!         ┌──────┬─────┬───────────┬────────┬───────┬──────┐
//!         │ addr │ len │ region_id │ offset │ flags │ mark │     mark: 1 = a descriptor
//!         └──────┴─────┴───────────┴────────┴───────┴──────┘           2 = counted by its region
//!         └ kc_chan_ptrmsg ┘                                     0 = an element that C sent
//! ```

use std::mem::MaybeUninit;

use libc::c_void;

use super::element::Inline;
use crate::region;

/// `kc_zdesc_t`.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Zdesc {
    /// Where the bytes are.
    pub addr: *mut c_void,
    /// How many there are.
    pub len: usize,
    /// The region that they lie in; 0 if none is named.
    pub region_id: u64,
    /// Where in it.
    pub offset: u64,
    /// The backend's.
    pub flags: u32,
}

/// `struct kc_chan_ptrmsg`.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PtrMsg {
    /// Where the bytes are.
    pub ptr: *mut c_void,
    /// How many there are.
    pub len: usize,
}

/// What a channel of descriptors holds.
pub(crate) type Slot = Inline<5>;

#[repr(C)]
#[derive(Clone, Copy)]
struct Words {
    addr: *mut c_void,
    len: usize,
    region_id: u64,
    offset: u64,
    flags: u32,
    mark: u32,
}

const _: () = assert!(size_of::<Words>() <= size_of::<Slot>());

const DESCRIPTOR: u32 = 1;
const COUNTED: u32 = 2;

impl Zdesc {
    pub(crate) fn plain(addr: *mut c_void, len: usize) -> Self {
        Self { addr, len, region_id: 0, offset: 0, flags: 0 }
    }

    /// Packs it for a channel. If its bytes lie in a registered region, that has one more in flight
    /// until [`land`].
    pub(crate) fn launch(mut self) -> Option<Slot> {
        let counted = region::launch(&mut self)?;
        let mark = DESCRIPTOR | if counted { COUNTED } else { 0 };
        let Self { addr, len, region_id, offset, flags } = self;
        let mut slot = Inline(MaybeUninit::zeroed());
        let words: *mut Words = slot.0.as_mut_ptr().cast();
        // SAFETY: the slot has room; alignment and validity of plain words.
        unsafe { words.write(Words { addr, len, region_id, offset, flags, mark }) };
        Some(slot)
    }
}

/// What is in a slot.
fn words(slot: &Slot) -> Words {
    // SAFETY: whoever fills a slot of a channel on which descriptors may travel fills all of it.
    unsafe { slot.0.as_ptr().cast::<Words>().read() }
}

/// Whether the slot holds a descriptor, and of how many bytes.
pub(crate) fn descriptor_len(slot: &Slot) -> Option<usize> {
    let words = words(slot);
    (words.mark & DESCRIPTOR != 0).then_some(words.len)
}

/// Takes a descriptor out of a channel: it is in flight no more.
pub(crate) fn land(slot: &Slot) -> Zdesc {
    let Words { addr, len, region_id, offset, flags, mark } = words(slot);
    if mark & COUNTED != 0 {
        region::land(region_id);
    }
    if mark & DESCRIPTOR == 0 {
        return Zdesc::plain(addr, len);
    }
    Zdesc { addr, len, region_id, offset, flags }
}
