// SPDX-License-Identifier: BSD-3-Clause
//! Rings without slots, and with slots that were never used.

use super::*;

/// A rendezvous or a conflated channel has such a ring: no check may reach for a slot.
#[test]
fn a_ring_without_slots_is_slow_for_every_check_and_holds_nothing() {
    let ring = Ring::<u64>::new(0);
    for _ in 0..2 {
        assert_eq!((ring.may_push(), ring.may_push_run()), (None, None));
        assert_eq!((ring.may_pop(), ring.may_pop_past()), (None, None));
        assert_eq!((ring.tail_fast(), ring.head_fast()), (None, None));
        assert_eq!(ring.push_stopped(), Some(RingOutcome::Slow));
        assert_eq!(ring.pop_stopped(), Some(RingOutcome::Slow));
        assert_eq!(ring.push_run(2, || 1), (0, RingOutcome::Slow));
        assert_eq!(ring.pop_run(2, drop), (0, RingOutcome::Slow));
        assert_eq!(ring.ready_locked(), RingOutcome::Blocked);
        assert_eq!(ring.room_locked(), RingOutcome::Blocked);
        assert_eq!((ring.len(), ring.pushed(), ring.popped()), (0, 0, 0));
        ring.go_slow();
    }
}

/// Four of these are a ring of 1 MiB.
type Large = [u64; 32_768];

/// Two laps of a ring with fresh slots, by each way to send.
#[test]
#[cfg_attr(miri, ignore = "a large ring is mapped")]
fn a_slot_that_was_never_used_is_free() {
    let ring = Ring::<Large>::new(4);
    let value = Box::new([7; 32_768]);
    let mut out = Box::new([0; 32_768]);
    for lap in 0..2 {
        for sent in 0..4 {
            assert_eq!((ring.may_push(), ring.may_push_run()), (Some(true), Some(sent < 3)));
            assert_eq!((ring.may_pop(), ring.push_stopped()), (Some(sent > 0), None));
            match sent {
                // SAFETY: the value is valid, and has no destructor.
                0 => assert_eq!(unsafe { ring.push(&raw const *value) }, RingOutcome::Done),
                1 => assert_eq!(ring.push_run(1, || *value), (1, RingOutcome::Done)),
                _ => {
                    ring.go_slow();
                    assert_eq!(ring.room_locked(), RingOutcome::Done);
                    // SAFETY: as above; nothing else uses the ring.
                    unsafe {
                        match sent {
                            2 => assert_eq!(ring.push_locked(&raw const *value), RingOutcome::Done),
                            _ => assert_eq!(ring.push_run_locked(&raw const *value, 2), 1),
                        }
                    }
                    ring.go_fast();
                }
            }
        }
        assert_eq!((ring.may_push(), ring.len()), (Some(false), 4), "lap {lap}");
        assert_eq!(ring.push_stopped(), Some(RingOutcome::Blocked));
        for _ in 0..4 {
            // SAFETY: there is room for a value.
            assert_eq!(unsafe { ring.pop(&raw mut *out) }, RingOutcome::Done);
            assert_eq!(out, value);
        }
        assert_eq!((ring.may_pop(), ring.len()), (Some(false), 0));
    }
}
