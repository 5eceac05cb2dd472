// SPDX-License-Identifier: BSD-3-Clause
//! Size classes: powers of two from 16 KiB (or one page, where pages are larger) to 1 GiB.
//!
//! ```text
//!  slot (stride = page + size)             next slot
//! |<----------------------------------->|<---------- ..
//! +-------+-----------------------------+-------+---- ..
//! | guard |  size bytes, growing down   | guard |
//! +-------+-----------------------------+-------+---- ..
//! ^ limit                           base ^
//! ```
//!
//! A stride is an odd number of pages, so that the tops of neighbouring stacks do not fall into
//! the same sets of a cache.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::StackError;

/// The smallest usable size, in bytes: less is rounded up to it.
pub(crate) const SIZE_MIN_BYTES: usize = 1 << SHIFT_MIN;
/// The default usable size, in bytes.
pub(crate) const SIZE_DEFAULT_BYTES: usize = 64 * 1024;
/// The largest usable size, in bytes.
pub(crate) const SIZE_MAX_BYTES: usize = 1 << SHIFT_MAX;

const SHIFT_MIN: u32 = 14;
const SHIFT_MAX: u32 = 30;

/// The number of classes.
pub(super) const COUNT: usize = (SHIFT_MAX - SHIFT_MIN + 1) as usize;

/// The size of a stack: a power of two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Class(u8);

impl Class {
    /// The smallest class whose stacks have `size_bytes`.
    pub(super) fn of(size_bytes: usize) -> Result<Self, StackError> {
        if size_bytes > SIZE_MAX_BYTES {
            return Err(StackError::TooLarge { size_bytes, size_max_bytes: SIZE_MAX_BYTES });
        }
        let size = size_bytes.max(SIZE_MIN_BYTES).max(page_bytes()).next_power_of_two();
        Ok(Self((size.trailing_zeros() - SHIFT_MIN) as u8))
    }

    /// Its index among the classes, below [`COUNT`].
    #[inline]
    pub(super) fn index(self) -> usize {
        usize::from(self.0)
    }

    /// The class at `index`, if it exists.
    pub(super) fn at(index: usize) -> Option<Self> {
        (index < COUNT).then_some(Self(index as u8))
    }

    /// Usable bytes of a stack.
    #[inline]
    pub(super) fn size_bytes(self) -> usize {
        SIZE_MIN_BYTES << self.0
    }

    /// The offset from one stack to the next, guard included.
    #[inline]
    pub(super) fn stride_bytes(self) -> usize {
        self.size_bytes() + page_bytes()
    }
}

/// The kernel's page size, which is the size of a guard.
#[inline]
pub(super) fn page_bytes() -> usize {
    static PAGE: AtomicUsize = AtomicUsize::new(0);
    match PAGE.load(Ordering::Relaxed) {
        0 => {
            let page = super::sys::page_bytes();
            PAGE.store(page, Ordering::Relaxed);
            page
        }
        page => page,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_round_up_to_a_class() {
        for (asked, got) in [
            (0, SIZE_MIN_BYTES),
            (1, SIZE_MIN_BYTES),
            (SIZE_MIN_BYTES, SIZE_MIN_BYTES),
            (SIZE_MIN_BYTES + 1, 2 * SIZE_MIN_BYTES),
            (SIZE_DEFAULT_BYTES, SIZE_DEFAULT_BYTES),
            (SIZE_MAX_BYTES - 1, SIZE_MAX_BYTES),
            (SIZE_MAX_BYTES, SIZE_MAX_BYTES),
        ] {
            assert_eq!(Class::of(asked).map(Class::size_bytes), Ok(got.max(page_bytes())));
        }
    }

    #[test]
    fn absurd_sizes_are_refused() {
        for size_bytes in [SIZE_MAX_BYTES + 1, usize::MAX / 2 + 2, usize::MAX] {
            let refused = StackError::TooLarge { size_bytes, size_max_bytes: SIZE_MAX_BYTES };
            assert_eq!(Class::of(size_bytes), Err(refused));
        }
    }

    #[test]
    fn every_class_has_an_index() {
        for index in 0..COUNT {
            let class = Class::at(index).unwrap();
            assert_eq!(class.index(), index);
            assert!(class.size_bytes() >= SIZE_MIN_BYTES && class.size_bytes() <= SIZE_MAX_BYTES);
        }
        assert_eq!(Class::at(COUNT), None);
    }
}
