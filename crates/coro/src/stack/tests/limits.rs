// SPDX-License-Identifier: BSD-3-Clause
//! What happens at the bounds.

use super::super::class::{SIZE_MAX_BYTES, SIZE_MIN_BYTES};
use super::super::pool::Pool;
use super::*;

#[test]
fn absurd_sizes_are_refused_by_every_way_in() {
    let refused = StackError::TooLarge { size_bytes: usize::MAX, size_max_bytes: SIZE_MAX_BYTES };
    assert_eq!(acquire(usize::MAX).err(), Some(refused.clone()));
    let cache = Cache::new(usize::MAX);
    assert_eq!(cache.get().err(), Some(refused.clone()));
    cache.put(acquire(1).unwrap());
    assert_eq!(cache.get().err(), Some(refused.clone()));
    assert_eq!(
        refused.to_string(),
        format!("a stack of {} bytes is too large: the most is {SIZE_MAX_BYTES} bytes", usize::MAX)
    );
}

#[test]
fn the_largest_and_the_smallest_can_be_had() {
    let largest = acquire(SIZE_MAX_BYTES).unwrap();
    touch(&largest, 1);
    touch(&largest, SIZE_MAX_BYTES);
    assert!(faults(largest.limit().get()));
    assert_eq!(acquire(0).unwrap().size_bytes(), SIZE_MIN_BYTES.max(page_bytes()));
}

#[test]
fn refused_memory_is_an_error_and_passes() {
    if task().is_none() {
        let child = run_child("stack::tests::limits::refused_memory_is_an_error_and_passes", "x");
        assert!(child.status.success(), "{}", String::from_utf8_lossy(&child.stderr));
        assert!(String::from_utf8_lossy(&child.stdout).contains("1 passed"));
        return;
    }
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: fills one struct.
    assert_eq!(unsafe { libc::getrlimit(libc::RLIMIT_AS, &raw mut limit) }, 0);
    let low = libc::rlimit { rlim_cur: 512 << 20, ..limit };
    // SAFETY: reads one struct.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_AS, &raw const low) }, 0);
    let refused = StackError::OutOfMemory { size_bytes: 1 << 30, errno: libc::ENOMEM };
    assert_eq!(acquire(1 << 30).err(), Some(refused.clone()));
    assert!(refused.to_string().starts_with("no memory for a stack of 1073741824 bytes: "));
    // SAFETY: reads one struct.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_AS, &raw const limit) }, 0);
    touch(&acquire(1 << 30).unwrap(), 1 << 30);
}

#[test]
fn addresses_run_out_as_an_error() {
    if task().is_none() {
        let child = run_child("stack::tests::limits::addresses_run_out_as_an_error", "x");
        assert!(child.status.success(), "{}", String::from_utf8_lossy(&child.stderr));
        assert!(String::from_utf8_lossy(&child.stdout).contains("1 passed"));
        return;
    }
    let pool = Pool::new(None);
    let class = Class::of(SIZE_MAX_BYTES).unwrap();
    let mut slots = 0_usize;
    let refused = loop {
        match pool.reserve(class, false) {
            Ok(_) => slots += 1,
            Err(refused) => break refused,
        }
    };
    let limit_bytes = 16 << 40;
    let expected = StackError::AddressSpace { size_bytes: SIZE_MAX_BYTES, limit_bytes };
    assert_eq!(refused, expected);
    assert!(slots * class.stride_bytes() <= limit_bytes);
    assert!((slots + 1) * class.stride_bytes() > limit_bytes);
    // A later request is refused as well.
    assert_eq!(pool.reserve(class, false).err(), Some(expected));
}

#[test]
fn locked_memory_has_guards_too() {
    if task().is_none() {
        let child = run_child("stack::tests::limits::locked_memory_has_guards_too", "x");
        assert!(child.status.success(), "{}", String::from_utf8_lossy(&child.stderr));
        assert!(String::from_utf8_lossy(&child.stdout).contains("1 passed"));
        return;
    }
    let before = acquire(32 * 1024).unwrap();
    // SAFETY: has no preconditions; the process is a child of a test.
    if unsafe { libc::mlockall(libc::MCL_FUTURE | libc::MCL_ONFAULT) } != 0 {
        return eprintln!("skipped: no memory may be locked here");
    }
    // The first is of a mapping that was there before, the second is of one that is locked.
    for stack in [before, acquire(256 * 1024).unwrap()] {
        touch(&stack, 1);
        touch(&stack, stack.size_bytes());
        assert!(faults(stack.limit().get()));
        assert!(faults(stack.limit().get() + page_bytes() - 1));
    }
}
