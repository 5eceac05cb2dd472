// SPDX-License-Identifier: BSD-3-Clause
//! The contents of a region: element type, alignment, shape; and how strictly they are checked.

use crate::error::Error;

/// The maximum number of dimensions of a shape.
pub const DIMENSIONS_MAX: usize = 4;

/// What happens to a descriptor, or to a user's expectation, that does not match the region.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Check {
    /// The mismatch is reported and the operation continues: [`Meta::expect`] returns the
    /// difference.
    #[default]
    Advisory,
    /// The mismatch is refused.
    Strict,
}

/// The contents of a region. The default specifies nothing, and matches everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Meta {
    /// A number for the element's type, on which the two sides agree; 0: unspecified.
    pub element: u64,
    /// The size of an element, in bytes; 0: unspecified.
    pub element_bytes: u32,
    /// Descriptors begin at multiples of this, in bytes. A power of two.
    pub align: u32,
    /// Elements in each dimension; unused dimensions are 0.
    pub shape: [u64; DIMENSIONS_MAX],
    /// How a mismatch is treated.
    pub check: Check,
}

impl Default for Meta {
    fn default() -> Self {
        Self { element: 0, element_bytes: 0, align: 1, shape: [0; 4], check: Check::Advisory }
    }
}

impl Meta {
    /// The largest alignment, in bytes: a page.
    pub const ALIGN_MAX: u32 = 4096;

    /// Compares the region's contents with what its user expects. A value that either side leaves
    /// unspecified matches. `Ok(Some(..))`: they differ, and the check is advisory.
    ///
    /// # Errors
    ///
    /// [`Error::Mismatch`]: they differ, and the region's check is strict.
    pub fn expect(&self, expected: &Self) -> Result<Option<Error>, Error> {
        let dimensions = self.shape.iter().zip(&expected.shape);
        let shape_said = self.shape != [0; DIMENSIONS_MAX] && expected.shape != [0; DIMENSIONS_MAX];
        let shape = dimensions
            .filter(|_| shape_said)
            .map(|(found, expected)| ("dimension", *found, *expected))
            .find(|(_, found, expected)| found != expected);
        let pairs = [
            ("element type", self.element, expected.element),
            ("element size", self.element_bytes.into(), expected.element_bytes.into()),
        ];
        let said = |&(_, found, expected): &(_, u64, u64)| found != 0 && expected != 0;
        let differs = pairs
            .into_iter()
            .filter(said)
            .find(|(_, found, expected)| found != expected)
            .or(shape)
            .or_else(|| {
                let (found, expected) = (self.align, expected.align);
                (found < expected).then_some(("alignment", found.into(), expected.into()))
            })
            .map(|(what, found, expected)| Error::Mismatch { what, found, expected });
        match (differs, self.check) {
            (Some(error), Check::Strict) => Err(error),
            (differs, _) => Ok(differs),
        }
    }

    /// Checks the alignment.
    pub(crate) fn checked(self) -> Result<Self, Error> {
        let fits = self.align.is_power_of_two() && self.align <= Self::ALIGN_MAX;
        if fits { Ok(self) } else { Err(Error::BadAlignment { align: self.align }) }
    }

    /// Checks that `len` bytes at `offset` are within `bytes`, and aligned if the check is strict.
    pub(crate) fn locate(&self, offset: u64, len: usize, bytes: usize) -> Result<usize, Error> {
        let (all, wanted) = (bytes as u64, len as u64);
        if len == 0 {
            return Err(Error::Empty);
        }
        if offset.checked_add(wanted).is_none_or(|end| end > all) {
            return Err(Error::OutOfRange { offset, len: wanted, bytes: all });
        }
        if self.check == Check::Strict && !offset.is_multiple_of(self.align.into()) {
            return Err(Error::Misaligned { offset, align: self.align });
        }
        // At most `bytes`, which is a usize.
        Ok(offset as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_within_or_refused() {
        let meta = Meta::default();
        assert_eq!(meta.locate(0, 8, 8), Ok(0));
        assert_eq!(meta.locate(8, 0, 8), Err(Error::Empty));
        for (offset, len) in [(1, 8), (8, 1), (u64::MAX, 1), (u64::MAX, usize::MAX), (0, 9)] {
            let error = Error::OutOfRange { offset, len: len as u64, bytes: 8 };
            assert_eq!(meta.locate(offset, len, 8), Err(error));
        }
    }

    #[test]
    fn only_a_strict_region_checks_the_element_alignment() {
        let advisory = Meta { align: 64, ..Meta::default() };
        let strict = Meta { check: Check::Strict, ..advisory };
        assert_eq!(advisory.locate(8, 8, 128), Ok(8));
        assert_eq!(strict.locate(8, 8, 128), Err(Error::Misaligned { offset: 8, align: 64 }));
        assert_eq!(strict.locate(64, 8, 128), Ok(64));
    }

    #[test]
    fn a_difference_is_reported_or_refused() {
        let advisory = Meta { element: 7, element_bytes: 4, align: 4, ..Meta::default() };
        let strict = Meta { check: Check::Strict, shape: [2, 3, 0, 0], ..advisory };
        let nothing = Meta::default();
        assert_eq!(strict.expect(&nothing), Ok(None));
        assert_eq!(strict.expect(&strict), Ok(None));
        for (other, what) in [
            (Meta { element: 8, ..strict }, "element type"),
            (Meta { element_bytes: 8, ..strict }, "element size"),
            (Meta { shape: [2, 4, 0, 0], ..strict }, "dimension"),
            (Meta { align: 8, ..strict }, "alignment"),
        ] {
            let Err(Error::Mismatch { what: found, .. }) = strict.expect(&other) else {
                panic!("{what} passed");
            };
            assert_eq!(found, what);
            let mild = Meta { check: Check::Advisory, ..strict };
            assert!(matches!(mild.expect(&other), Ok(Some(_))), "{what}");
        }
    }

    #[test]
    fn an_alignment_is_a_power_of_two_up_to_a_page() {
        for (align, fits) in [(0, false), (1, true), (3, false), (4096, true), (8192, false)] {
            assert_eq!(Meta { align, ..Meta::default() }.checked().is_ok(), fits, "{align}");
        }
    }
}
