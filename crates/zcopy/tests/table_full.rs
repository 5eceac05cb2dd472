// SPDX-License-Identifier: BSD-3-Clause
//! The bound of the table of regions. Alone in its process: no other test registers regions
//! meanwhile.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#![cfg(not(miri))]

use becket_zcopy::{Error, Meta, REGIONS_MAX, Region, regions};

#[test]
fn as_many_regions_as_there_may_be_and_then_one_for_each_that_goes() {
    let mut held: Vec<_> =
        (0..REGIONS_MAX).map(|_| Region::heap(1, Meta::default()).unwrap()).collect();
    assert_eq!(regions(), REGIONS_MAX);
    let full = Error::TableFull { max: REGIONS_MAX };
    assert_eq!(Region::heap(1, Meta::default()).unwrap_err(), full);
    assert_eq!(Region::filled(b"x", Meta::default()).unwrap_err(), full);
    let gone = held.pop().unwrap().id();
    let next = Region::heap(1, Meta::default()).unwrap();
    assert_eq!(next.id() & 0xFFFF_FFFF, gone & 0xFFFF_FFFF, "the same slot");
    assert_eq!(next.id() >> 32, (gone >> 32) + 1, "another generation");
    assert_eq!(Region::heap(1, Meta::default()).unwrap_err(), full);
    drop((held, next));
    assert_eq!(regions(), 0);
}
