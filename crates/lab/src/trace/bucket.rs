// SPDX-License-Identifier: BSD-3-Clause
//! Sizes in reports, as buckets: exact numbers could reveal what a flow carried.

/// The name of the bucket of a count: 0, up to 2, up to 8, more.
#[must_use]
pub const fn count_bucket(count: u64) -> &'static str {
    match count {
        0 => "0",
        1..=2 => "<=2",
        3..=8 => "<=8",
        _ => "more",
    }
}

/// The name of the bucket of a number of bytes: 0, up to 1 KiB, up to 64 KiB, more.
#[must_use]
pub const fn byte_bucket(bytes: u64) -> &'static str {
    match bytes {
        0 => "0",
        1..=0x400 => "<=1KiB",
        0x401..=0x1_0000 => "<=64KiB",
        _ => "more",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_belong_to_the_smaller_bucket() {
        let counts = [0, 1, 2, 3, 8, 9].map(count_bucket);
        assert_eq!(counts, ["0", "<=2", "<=2", "<=8", "<=8", "more"]);
        let bytes = [0, 1, 1024, 1025, 65536, 65537].map(byte_bucket);
        assert_eq!(bytes, ["0", "<=1KiB", "<=1KiB", "<=64KiB", "<=64KiB", "more"]);
    }
}
