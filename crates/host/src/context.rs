// SPDX-License-Identifier: BSD-3-Clause
//! What stands at the address that a plugin gets as `host_ctx`.
//!
//! To a plugin of today it is opaque. The first plugins of this ABI read one word of it: their
//! documentation has them link the crate of the host of that time and call its `get_host_ext`, which
//! returns the field `host_ext` of that crate's own context. That type was never `repr(C)`, so each
//! build has the field where its compiler put it, behind two maps whose size changed once:
//!
//! ```text
//!   0x00  0
//!   0x30  -> NrHostExt     behind two DashMap with FxBuildHasher: the version of the ABI's guide
//!   0x50  -> NrHostExt     behind two DashMap with RandomState: the versions before, with entries
//!   0x78  0                the end of the largest context that the crate had
//!   0x80  MAGIC            tells a context from an address that a plugin made up
//! ```
//!
//! Plugins of version 2 do the same, with the crate of the host of 0.2, which has the table itself in
//! its context, and whose `get_state` returns another type. Their context has it there, and zero
//! everywhere else, for a plugin of one version must not find the table of the other:
//!
//! ```text
//!   0x18  set_state        in debug and in release builds of 0.2.2
//!   0x20  get_state
//!   0x80  MAGIC
//! ```
//!
//! The offsets are those of x86-64, in debug and in release builds. Every other word is zero: a
//! build that looks there finds `NULL`, which these plugins take for "no extension".
//!
//! # Invariants
//!
//! 1. A context is the first field of its instance, so that its address is the instance's.
//! 2. Its words never change.

use std::{ffi::c_void, mem::offset_of, ptr};

use crate::callbacks;

/// Tells a context from an address that a plugin made up.
const MAGIC: u64 = 0x6265_636b_6574_3031;

/// Where plugins look for the extension table, in words.
const EXT_WORDS: [usize; 2] = [0x30 / 8, 0x50 / 8];
/// Where those of version 2 have it.
const V2_EXT_WORD: usize = 0x18 / 8;
/// Words that a plugin may look at.
const WORDS: usize = 16;

/// See the module's documentation.
#[repr(C, align(16))]
pub(crate) struct HostContext {
    words: [*const c_void; WORDS],
    magic: u64,
}

// SAFETY: pointers to a static table and to functions, never written.
unsafe impl Send for HostContext {}
// SAFETY: as above.
unsafe impl Sync for HostContext {}

impl HostContext {
    /// Of a plugin of version 2, if `is_v2`.
    pub(crate) fn new(is_v2: bool) -> Self {
        let word = |index| match index {
            V2_EXT_WORD if is_v2 => callbacks::v2::EXT.set_state as *const c_void,
            index if is_v2 && index == V2_EXT_WORD + 1 => {
                callbacks::v2::EXT.get_state as *const c_void
            }
            index if !is_v2 && EXT_WORDS.contains(&index) => callbacks::ext().cast(),
            _ => ptr::null(),
        };
        Self { words: std::array::from_fn(word), magic: MAGIC }
    }

    /// True if a context stands at `address`.
    ///
    /// # Safety
    /// `address` can be read, as far as a context reaches.
    #[inline]
    pub(crate) unsafe fn is_at(address: *const Self) -> bool {
        // SAFETY: readable, by the caller's promise; read as the number that it is.
        unsafe { (&raw const (*address).magic).read() == MAGIC }
    }
}

const _: () = assert!(offset_of!(HostContext, magic) == 0x80 && size_of::<HostContext>() == 0x90);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_stands_where_builds_look_and_zero_everywhere_else() {
        let (first, second) = (HostContext::new(false), HostContext::new(true));
        for offset in (0..0x80).step_by(8) {
            let at = |context: &HostContext| context.words[offset / 8];
            let of_first = match offset {
                0x30 | 0x50 => callbacks::ext().cast(),
                _ => ptr::null(),
            };
            let of_second = match offset {
                0x18 => callbacks::v2::EXT.set_state as *const c_void,
                0x20 => callbacks::v2::EXT.get_state as *const c_void,
                _ => ptr::null(),
            };
            assert_eq!((at(&first), at(&second)), (of_first, of_second), "at {offset:#x}");
        }
    }
}
