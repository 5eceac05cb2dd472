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
//! The offsets are those of x86-64, in debug and in release builds. Every other word is zero: a
//! build that looks there finds `NULL`, which these plugins take for "no extension".
//!
//! # Invariants
//!
//! 1. A context is the first field of its instance, so that its address is the instance's.
//! 2. Its words never change.

use std::{mem::offset_of, ptr};

use becket_abi::NrHostExt;

use crate::callbacks;

/// Tells a context from an address that a plugin made up.
const MAGIC: u64 = 0x6265_636b_6574_3031;

/// Where plugins look for the extension table, in words.
const EXT_WORDS: [usize; 2] = [0x30 / 8, 0x50 / 8];
/// Words that a plugin may look at.
const WORDS: usize = 16;

/// See the module's documentation.
#[repr(C, align(16))]
pub(crate) struct HostContext {
    words: [*const NrHostExt; WORDS],
    magic: u64,
}

// SAFETY: pointers to one static table, never written.
unsafe impl Send for HostContext {}
// SAFETY: as above.
unsafe impl Sync for HostContext {}

impl HostContext {
    pub(crate) fn new() -> Self {
        let ext: *const NrHostExt = callbacks::ext();
        let word = |index| if EXT_WORDS.contains(&index) { ext } else { ptr::null() };
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
        let context = HostContext::new();
        let at = |offset: usize| context.words[offset / 8];
        for offset in (0..0x80).step_by(8) {
            let wanted =
                if [0x30, 0x50].contains(&offset) { callbacks::ext() } else { ptr::null() };
            assert_eq!(at(offset), wanted, "at {offset:#x}");
        }
    }
}
