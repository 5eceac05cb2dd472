// SPDX-License-Identifier: BSD-3-Clause
//! Sizes in reports, as buckets: exact numbers could reveal what a flow carried.

/// A count: 0, up to 2, up to 8, more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum CountBucket {
    /// None.
    None,
    /// One or two.
    Few,
    /// Up to eight.
    Some,
    /// More.
    Many,
}

/// A number of bytes: 0, up to 1 KiB, up to 64 KiB, more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ByteBucket {
    /// None.
    None,
    /// Up to 1 KiB.
    Small,
    /// Up to 64 KiB.
    Medium,
    /// More.
    Large,
}

impl CountBucket {
    /// The bucket of a count.
    #[must_use]
    pub const fn of(count: u64) -> Self {
        match count {
            0 => Self::None,
            1..=2 => Self::Few,
            3..=8 => Self::Some,
            _ => Self::Many,
        }
    }

    /// Name in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "0",
            Self::Few => "<=2",
            Self::Some => "<=8",
            Self::Many => "more",
        }
    }
}

impl ByteBucket {
    /// The bucket of a number of bytes.
    #[must_use]
    pub const fn of(bytes: u64) -> Self {
        match bytes {
            0 => Self::None,
            1..=0x400 => Self::Small,
            0x401..=0x1_0000 => Self::Medium,
            _ => Self::Large,
        }
    }

    /// Name in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "0",
            Self::Small => "<=1KiB",
            Self::Medium => "<=64KiB",
            Self::Large => "more",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_belong_to_the_smaller_bucket() {
        let counts = [0, 1, 2, 3, 8, 9].map(|count| CountBucket::of(count).name());
        assert_eq!(counts, ["0", "<=2", "<=2", "<=8", "<=8", "more"]);
        let bytes = [0, 1, 1024, 1025, 65536, 65537].map(|bytes| ByteBucket::of(bytes).name());
        assert_eq!(bytes, ["0", "<=1KiB", "<=1KiB", "<=64KiB", "<=64KiB", "more"]);
    }
}
