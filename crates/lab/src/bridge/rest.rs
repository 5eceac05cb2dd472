// SPDX-License-Identifier: BSD-3-Clause
//! The rest of an item that was received whole and is put out as there is room: at most one per
//! flow. It counts as held.

use std::fmt;

use bytes::{Buf as _, Bytes};

/// The rest of an item.
#[derive(Default)]
pub(super) struct Rest(Bytes);

impl Rest {
    #[cfg(feature = "channel")]
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn put(&mut self, item: Bytes) {
        self.0 = item;
    }

    /// Copies as much as fits.
    pub(super) fn take(&mut self, into: &mut [u8]) -> usize {
        let count = self.0.len().min(into.len());
        if let Some(into) = into.get_mut(..count) {
            self.0.copy_to_slice(into);
        }
        if self.0.is_empty() {
            // An item may be a block of a pool, which is returned when its last reference is
            // dropped.
            self.0 = Bytes::new();
        }
        count
    }
}

impl fmt::Debug for Rest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.0.len())
    }
}
