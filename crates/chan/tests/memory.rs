// SPDX-License-Identifier: BSD-3-Clause
//! Memory: a channel frees memory as it drains, and operations do not allocate.
//!
//! By a counting allocator, with counters per thread: a test does not count another test's memory.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::task::{Context, Waker};

use becket_chan::{Token, bounded, rendezvous, unlimited};
use common::{KINDS, channel};

struct Counting;

thread_local! {
    /// Bytes allocated, minus those freed.
    static BYTES: Cell<i64> = const { Cell::new(0) };
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

// SAFETY: forwards to the system's allocator, and counts. The counters have no destructor and need
// no memory.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        BYTES.set(BYTES.get() + layout.size() as i64);
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        BYTES.set(BYTES.get() - layout.size() as i64);
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn bytes() -> i64 {
    BYTES.get()
}

/// Bytes that a channel may keep, independent of what it held before.
const KEPT_BYTES_MAX: i64 = 16 * 1024;

#[test]
fn an_unlimited_channel_gives_memory_back_as_it_drains() {
    let (tx, rx) = unlimited::<u64>();
    let begin = bytes();
    (0..1_000_000).for_each(|n| tx.try_send(n).unwrap());
    let full = bytes() - begin;
    assert!(full >= 8_000_000, "{full} bytes for a million values of eight");
    for part in 1..=10 {
        (0..100_000).for_each(|_| assert!(rx.try_recv().is_ok()));
        let (held, left) = (bytes() - begin, 10 - part);
        assert!(
            held <= full * left / 10 + full / 10 + KEPT_BYTES_MAX,
            "{held}, {left} tenths left"
        );
    }
    let held = bytes() - begin;
    assert!(held <= KEPT_BYTES_MAX + full / 20, "{held} bytes for nothing, {full} for a million");
    // Repeatedly: memory does not creep up.
    for _ in 0..20 {
        (0..10_000).for_each(|n| tx.try_send(n).unwrap());
        (0..10_000).for_each(|_| assert!(rx.try_recv().is_ok()));
    }
    assert!(bytes() - begin <= held + KEPT_BYTES_MAX);
    drop((tx, rx));
}

#[test]
fn a_channel_that_is_gone_has_given_everything_back() {
    for kind in KINDS {
        let begin = bytes();
        for round in 0..3 {
            let (tx, rx) = channel::<u64>(kind);
            for n in 0..1000 {
                let _ = tx.try_send(n);
            }
            (0..round * 100).for_each(|_| assert!(rx.try_recv().is_ok() || rx.is_empty()));
            let waiting: Vec<_> = (0..10).map(|_| Box::pin(rx.recv())).collect();
            drop(waiting);
        }
        assert_eq!(bytes(), begin, "{kind:?}");
    }
}

#[test]
fn an_operation_allocates_nothing_whether_it_waits_or_not() {
    let mut context = Context::from_waker(Waker::noop());
    for kind in KINDS {
        let (tx, rx) = channel::<u64>(kind);
        let before = ALLOCATIONS.get();
        for n in 0..100 {
            // Handed off, stored, waited for and timed out.
            let mut receive = std::pin::pin!(rx.recv());
            assert!(receive.as_mut().poll(&mut context).is_pending());
            tx.try_send(n).unwrap();
            assert!(receive.as_mut().poll(&mut context).is_ready());
            let mut send = std::pin::pin!(tx.send(n));
            let _ = send.as_mut().poll(&mut context);
            assert_eq!(rx.try_recv(), Ok(n));
            let mut given_up = std::pin::pin!(rx.recv());
            assert!(given_up.as_mut().poll(&mut context).is_pending());
        }
        let made = ALLOCATIONS.get() - before;
        assert_eq!(made, 0, "{kind:?}");
    }
    let (token, (tx, rx)) = (Token::new(), bounded::<u64>(1));
    let before = ALLOCATIONS.get();
    for n in 0..100 {
        let mut receive = std::pin::pin!(rx.recv().cancel_on(&token));
        assert!(receive.as_mut().poll(&mut context).is_pending());
        tx.try_send(n).unwrap();
        assert!(receive.as_mut().poll(&mut context).is_ready());
    }
    assert_eq!(ALLOCATIONS.get() - before, 0, "with a token");
}

#[test]
fn tokens_that_are_dropped_leave_nothing_with_their_parent() {
    let parent = Token::new();
    drop(parent.child());
    let begin = bytes();
    for _ in 0..10_000 {
        let child = parent.child();
        drop(child.child());
    }
    assert_eq!(bytes(), begin);
    let (_tx, rx) = rendezvous::<u64>();
    let begin = bytes();
    let mut context = Context::from_waker(Waker::noop());
    for _ in 0..1000 {
        let child = parent.child();
        let mut receive = std::pin::pin!(rx.recv().cancel_on(&child));
        assert!(receive.as_mut().poll(&mut context).is_pending());
    }
    assert_eq!(bytes(), begin);
}
