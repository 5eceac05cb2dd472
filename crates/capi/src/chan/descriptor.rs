// SPDX-License-Identifier: BSD-3-Clause
//! Descriptors: an address and a length in place of the bytes (`kc_zdesc_t`).
//!
//! On a pointer channel, and on a queued channel whose element is a `struct kc_chan_ptrmsg`, one
//! travels whole, as `becket_zcopy`'s [`InFlight`]. Its first two words are just that structure;
//! its mark distinguishes it from an element that C sent, which is followed by zeroes:
//!
//! ```text
//!   word    0      1     2           3        4
//!         ┌──────┬─────┬───────────┬────────┬───────┬──────┐
//!         │ addr │ len │ region_id │ offset │ flags │ mark │
//!         └──────┴─────┴───────────┴────────┴───────┴──────┘
//!         └ kc_chan_ptrmsg ┘                          0 = an element that C sent
//! ```

use std::mem::{MaybeUninit, align_of, offset_of, size_of};

use becket_zcopy::{Desc, InFlight};
use libc::c_void;

use super::element::Inline;

/// `kc_zdesc_t`.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Zdesc {
    /// The address of the bytes.
    pub addr: *mut c_void,
    /// The number of bytes.
    pub len: usize,
    /// The region of the bytes; 0 if none is named.
    pub region_id: u64,
    /// The offset in the region.
    pub offset: u64,
    /// The backend's.
    pub flags: u32,
}

/// `struct kc_chan_ptrmsg`.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PtrMsg {
    /// The address of the bytes.
    pub ptr: *mut c_void,
    /// The number of bytes.
    pub len: usize,
}

/// The value of a channel of descriptors.
pub(crate) type Slot = Inline<5>;

const _: () = {
    assert!(size_of::<Zdesc>() == size_of::<Desc>());
    assert!(offset_of!(Zdesc, flags) == offset_of!(Desc, flags));
    assert!(size_of::<InFlight>() == size_of::<Slot>());
    assert!(align_of::<InFlight>() <= align_of::<Slot>());
};

impl From<Zdesc> for Desc {
    fn from(zdesc: Zdesc) -> Self {
        let Zdesc { addr, len, region_id, offset, flags } = zdesc;
        Self { addr: addr.cast(), len, region_id, offset, flags }
    }
}

impl From<Desc> for Zdesc {
    fn from(desc: Desc) -> Self {
        let Desc { addr, len, region_id, offset, flags } = desc;
        Self { addr: addr.cast(), len, region_id, offset, flags }
    }
}

impl Zdesc {
    pub(crate) fn plain(addr: *mut c_void, len: usize) -> Self {
        Self { addr, len, region_id: 0, offset: 0, flags: 0 }
    }

    /// Packs it for a channel. If its bytes are in a registered region, the region counts it as in
    /// flight until [`land`]. `None`: its region refuses it.
    pub(crate) fn launch(self) -> Option<Slot> {
        let flight = InFlight::launch_any(self.into()).ok()?;
        let mut slot = Inline(MaybeUninit::zeroed());
        // SAFETY: the slot is as large, and as aligned. It holds the value in flight from here on.
        unsafe { slot.0.as_mut_ptr().cast::<InFlight>().write(flight) };
        Some(slot)
    }
}

/// Whether the slot holds a descriptor, rather than an element.
fn is_descriptor(slot: &Slot) -> bool {
    // SAFETY: on a channel on which descriptors may travel, all bytes of a slot are initialised.
    let mark = unsafe { slot.0.as_ptr().byte_add(InFlight::MARK_OFFSET).cast::<u32>().read() };
    mark & InFlight::DESCRIPTOR != 0
}

/// The element that C sent.
fn element(slot: &Slot) -> PtrMsg {
    // SAFETY: as above; a slot begins with one, whatever it holds.
    unsafe { slot.0.as_ptr().cast::<PtrMsg>().read() }
}

/// Whether the slot holds a descriptor, and of how many bytes.
pub(crate) fn descriptor_len(slot: &Slot) -> Option<usize> {
    is_descriptor(slot).then(|| element(slot).len)
}

/// Takes a descriptor out of a channel: it is not in flight any more. Called once per slot.
pub(crate) fn land(slot: &Slot) -> Zdesc {
    if is_descriptor(slot) {
        // SAFETY: `launch` put it there, and it is taken out once.
        unsafe { slot.0.as_ptr().cast::<InFlight>().read() }.land().into()
    } else {
        let PtrMsg { ptr, len } = element(slot);
        Zdesc::plain(ptr, len)
    }
}
