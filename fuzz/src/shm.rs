// SPDX-License-Identifier: BSD-3-Clause
//! What is believed of a peer's shared memory. Of any numbers that stand in it:
//!
//! 1. A geometry that is accepted is that of a file of this very size, and says the same again.
//! 2. A body whose place and length are accepted lies within the segment, behind its ring, and within
//!    one block.
//! 3. A position that is accepted does not go back, nor beyond what was sent.

use arbitrary::Arbitrary;
use becket_ipc::shm::{
    Body, Class, Geometry, INLINE_BYTES, SlotMeta, SLOT_BYTES, check_body, check_sequence,
    check_taken, sequence,
};

/// Numbers that a peer has written.
#[derive(Debug, Arbitrary)]
pub struct Case {
    words: [u64; 12],
    file_bytes: u64,
    slots: u32,
    classes: Vec<(u32, u32)>,
    body_bytes_max: u32,
    places: Vec<(u32, u32)>,
    positions: Vec<(u32, u64, u64)>,
}

/// Checks a case.
pub fn check(case: &Case) {
    if let Ok(geometry) = Geometry::from_words(case.words, case.file_bytes) {
        assert_eq!(geometry.bytes() as u64, case.file_bytes);
        places(&geometry, case);
    }
    let classes: Vec<_> = case
        .classes
        .iter()
        .map(|(block_bytes, blocks)| Class { block_bytes: *block_bytes, blocks: *blocks })
        .collect();
    if let Ok(geometry) = Geometry::new(case.slots, &classes) {
        assert_eq!(geometry.classes(), classes);
        places(&geometry, case);
    }
    if let Ok(geometry) = Geometry::for_bodies(case.body_bytes_max) {
        assert!(geometry.body_bytes_max() >= case.body_bytes_max);
        places(&geometry, case);
    }
}

fn places(geometry: &Geometry, case: &Case) {
    let ring_bytes = geometry.slots() as usize * SLOT_BYTES;
    for (place, length) in &case.places {
        let place = SlotMeta(*place);
        let Ok(body) = check_body(geometry, case.body_bytes_max, place, *length) else { continue };
        assert!(*length <= case.body_bytes_max);
        match body {
            Body::Inline => assert!(*length as usize <= INLINE_BYTES && place.class() == 0),
            Body::At(offset) => {
                let class = geometry.classes()[place.class() as usize - 1];
                assert!(place.index() < class.blocks && *length <= class.block_bytes);
                let end = offset.checked_add(class.block_bytes as usize).expect("no overflow");
                assert!(offset >= ring_bytes && end <= geometry.bytes());
            }
        }
    }
    for (found, one, other) in &case.positions {
        if check_sequence(*found, *one, geometry.slots()) == Ok(true) {
            assert_eq!(*found, sequence(*one));
        }
        let (sent, known) = (one.max(other), one.min(other));
        match check_taken(u64::from(*found), *known, *sent) {
            Ok(taken) => assert!(taken >= *known && taken <= *sent),
            Err(_) => assert!(u64::from(*found) < *known || u64::from(*found) > *sent),
        }
    }
}
