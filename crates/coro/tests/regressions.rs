// SPDX-License-Identifier: BSD-3-Clause
//! Known mistakes of other coroutine runtimes, as far as they apply here: one mistake per
//! test.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use std::{
    cell::Cell,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use becket_chan::{
    RecvError, Token, TryRecvError, bounded, conflated, rendezvous, select, unlimited,
};
use becket_coro::{current, now, park, park_deadline, sleep, sleep_until, spawn, yield_now};
use common::{in_virtual_time, runtime, times, until_all_parked, until_parked};

#[test]
fn an_unpark_before_the_park_is_not_lost() {
    let rt = runtime(1);
    rt.spawn(|| {
        let me = current().unwrap().id();
        me.unpark();
        park();
        // Unparked by another coroutine of the same worker.
        spawn(move || me.unpark()).join().unwrap();
        park();
    })
    .join()
    .unwrap();
}

#[test]
fn an_unpark_from_a_foreign_thread_before_the_park_is_not_lost() {
    let rt = runtime(1);
    rt.spawn(|| {
        for _ in 0..times(1000) {
            let me = current().unwrap().id();
            // The worker is this thread: it processes the wake only after the park.
            thread::spawn(move || me.unpark()).join().unwrap();
            park();
        }
    })
    .join()
    .unwrap();
}

#[test]
fn an_unpark_from_a_foreign_thread_wakes_a_sleeping_worker() {
    let rt = runtime(1);
    let parked = rt.spawn(park);
    until_parked(rt.handle(), parked.id());
    parked.id().unpark();
    parked.join().unwrap();
}

/// No earlier wake is left: only the helper's, which comes later, ends this park.
fn the_next_park_waits_for_a_wake(me: becket_coro::Id) {
    let helped = Arc::new(AtomicBool::new(false));
    let helper = {
        let helped = helped.clone();
        spawn(move || {
            helped.store(true, Ordering::SeqCst);
            me.unpark();
        })
    };
    park();
    assert!(helped.load(Ordering::SeqCst), "the park had nothing to use up");
    helper.join().unwrap();
}

#[test]
fn unparks_before_a_park_are_one() {
    let rt = runtime(1);
    rt.spawn(|| {
        let me = current().unwrap().id();
        (0..3).for_each(|_| me.unpark());
        park();
        the_next_park_waits_for_a_wake(me);
    })
    .join()
    .unwrap();
}

#[test]
fn unparks_of_foreign_threads_before_a_park_are_one() {
    let rt = runtime(1);
    rt.spawn(|| {
        let me = current().unwrap().id();
        let threads: Vec<_> = (0..4)
            .map(|_| thread::spawn(move || (0..times(1000)).for_each(|_| me.unpark())))
            .collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        park();
        the_next_park_waits_for_a_wake(me);
    })
    .join()
    .unwrap();
}

#[test]
fn an_unpark_of_one_that_has_ended_reaches_no_other() {
    let rt = runtime(1);
    let old = rt.spawn(|| current().unwrap().id()).join().unwrap();
    rt.handle().wait_idle(None);
    // The same slots again, with later generations.
    let parked: Vec<_> = (0..200).map(|_| rt.spawn(park)).collect();
    until_all_parked(rt.handle(), 200);
    assert!(parked.iter().all(|one| one.id() != old));
    let before = rt.handle().stats().workers[0].dispatches;
    old.unpark();
    // One more coroutine through the worker: by then the unpark has had its effect.
    rt.spawn(|| current().unwrap().id()).join().unwrap();
    assert_eq!(rt.handle().stats().workers[0].dispatches, before + 1);
    parked.iter().for_each(|one| one.id().unpark());
    parked.into_iter().for_each(|one| one.join().unwrap());
}

#[cfg(all(target_arch = "x86_64", not(miri)))]
mod control {
    use std::arch::asm;

    pub(super) const ROUNDINGS: [u32; 4] = [0, 1 << 13, 2 << 13, 3 << 13];

    pub(super) fn read() -> (u32, u16) {
        let (mut mxcsr, mut x87) = (0_u32, 0_u16);
        // SAFETY: each stores into its own variable.
        unsafe {
            asm!("stmxcsr [{}]", in(reg) &raw mut mxcsr);
            asm!("fnstcw [{}]", in(reg) &raw mut x87);
        }
        (mxcsr & !0x3f, x87)
    }

    pub(super) fn round(rounding: u32) {
        let (mxcsr, x87) = read();
        let mxcsr = (mxcsr & !(3 << 13)) | rounding;
        let x87 = (x87 & !(3 << 10)) | (rounding >> 3) as u16;
        // SAFETY: the values read, with another rounding.
        unsafe {
            asm!("ldmxcsr [{}]", in(reg) &raw const mxcsr);
            asm!("fldcw [{}]", in(reg) &raw const x87);
        }
    }
}

#[test]
#[cfg(all(target_arch = "x86_64", not(miri)))]
fn each_coroutine_keeps_its_floating_point_control_state() {
    let rt = runtime(1);
    let (tx, rx) = rendezvous::<()>();
    let first = control::read();
    let crew: Vec<_> = control::ROUNDINGS
        .iter()
        .map(|rounding| {
            let (tx, rx) = (tx.clone(), rx.clone());
            rt.spawn(move || {
                assert_eq!(control::read(), first, "whatever another has done before it");
                control::round(*rounding);
                let own = control::read();
                assert_eq!(own.0 & (3 << 13), *rounding);
                for step in 0..1000 {
                    match step % 3 {
                        0 => yield_now(),
                        1 => spawn(move || assert_eq!(control::read(), first)).join().unwrap(),
                        _ => drop(select! {
                            wait;
                            sent = tx.send(()) => sent.is_ok(),
                            received = rx.recv() => received.is_ok(),
                            timeout(Duration::from_millis(1)) => true,
                        }),
                    }
                    assert_eq!(control::read(), own, "after step {step}");
                }
            })
        })
        .collect();
    crew.into_iter().for_each(|one| one.join().unwrap());
    // The worker has its own state again.
    let last = rt.spawn(control::read).join().unwrap();
    assert_eq!((last, control::read()), (first, first));
}

thread_local! {
    static PLACE: Cell<u64> = const { Cell::new(0) };
}

/// The thread, by its id and by the address of a thread-local.
#[inline(always)]
fn thread_seen() -> (thread::ThreadId, usize) {
    (thread::current().id(), PLACE.with(|place| std::ptr::from_ref(place).addr()))
}

#[test]
fn a_coroutine_sees_the_same_thread_before_and_after_every_wait() {
    let rt = runtime(4);
    let (tx, rx) = bounded::<u64>(2);
    let crew: Vec<_> = (0..32_u64)
        .map(|number| {
            let (tx, rx) = (tx.clone(), rx.clone());
            rt.spawn(move || {
                let before = thread_seen();
                let same = |what: &str| assert_eq!(thread_seen(), before, "{what}");
                for round in 0..times(200) {
                    PLACE.set(number);
                    assert_eq!(PLACE.get(), number);
                    yield_now();
                    same("yield");
                    sleep(Duration::from_nanos(number * 10));
                    same("sleep");
                    // All coroutines together send as often as they receive.
                    select! {
                        wait;
                        sent = tx.send(number) => { sent.unwrap(); rx.recv().wait().unwrap(); },
                        received = rx.recv() => { received.unwrap(); tx.send(1).wait().unwrap(); },
                    }
                    same("channels");
                    assert_eq!(spawn(move || round).join().unwrap(), round);
                    same("join");
                    let me = current().unwrap().id();
                    if round % 16 == 0 {
                        let foreign = thread::spawn(move || me.unpark());
                        park();
                        same("park");
                        foreign.join().unwrap();
                    }
                }
            })
        })
        .collect();
    crew.into_iter().for_each(|one| one.join().unwrap());
}

#[test]
fn a_timer_whose_time_has_come_before_the_sleeper_parks_is_not_lost() {
    for rt in [runtime(1), runtime(2), in_virtual_time(1), in_virtual_time(2)] {
        let crew: Vec<_> = (0..8_u64)
            .map(|number| {
                rt.spawn(move || {
                    for round in 0..times(300) as u64 {
                        let begun = now();
                        sleep(Duration::from_nanos((round * 7 + number) % 100));
                        sleep_until(begun);
                        park_deadline(begun);
                        park_deadline(begun + Duration::from_nanos(round % 3));
                        assert!(now() >= begun + Duration::from_nanos((round * 7 + number) % 100));
                        let (_tx, rx) = rendezvous::<()>();
                        let never = rx.recv().timeout(Duration::from_nanos(round % 50)).wait();
                        assert_eq!(never, Err(RecvError::TimedOut));
                    }
                })
            })
            .collect();
        crew.into_iter().for_each(|one| one.join().unwrap());
    }
}

#[test]
fn time_is_the_monotonic_clocks() {
    let rt = runtime(1);
    rt.spawn(|| {
        let mut last = Instant::now();
        for _ in 0..times(1000) {
            let seen = now();
            assert!(last <= seen && seen <= Instant::now());
            last = seen;
            yield_now();
        }
    })
    .join()
    .unwrap();
}

#[test]
fn a_receive_from_a_closed_empty_conflated_channel_ends_and_does_not_spin() {
    let rt = runtime(1);
    let (tx, rx) = conflated::<u8>();
    let waiting = {
        let rx = rx.clone();
        rt.spawn(move || rx.recv().wait())
    };
    until_parked(rt.handle(), waiting.id());
    let before = rt.handle().stats().workers[0].dispatches;
    tx.close();
    assert_eq!(waiting.join().unwrap(), Err(RecvError::Closed));
    let late = rt.spawn(move || (rx.recv().wait(), rx.try_recv()));
    assert_eq!(late.join().unwrap(), (Err(RecvError::Closed), Err(TryRecvError::Closed)));
    assert!(rt.handle().stats().workers[0].dispatches <= before + 2);
}

#[test]
fn buffered_waits_of_two_workers_do_not_stall() {
    for capacity in [1, 2, 3, 16] {
        let rt = runtime(2);
        let (tx, rx) = bounded::<usize>(capacity);
        let each = times(5_000);
        let senders: Vec<_> = (0..4)
            .map(|_| {
                let tx = tx.clone();
                rt.spawn(move || (0..each).for_each(|n| tx.send(n).wait().unwrap()))
            })
            .collect();
        drop(tx);
        let receivers: Vec<_> = (0..4)
            .map(|_| {
                let rx = rx.clone();
                rt.spawn(move || rx.iter().sum::<usize>())
            })
            .collect();
        senders.into_iter().for_each(|one| one.join().unwrap());
        let sum: usize = receivers.into_iter().map(|one| one.join().unwrap()).sum();
        assert_eq!(sum, 4 * (each * (each - 1) / 2));
        let counted = rx.snapshot();
        assert_eq!((counted.sends, counted.receives), (4 * each as u64, 4 * each as u64));
    }
}

#[test]
fn joins_of_joins_on_one_worker_do_not_deadlock() {
    const DEPTH: usize = if cfg!(miri) { 10 } else { 500 };
    fn down(depth: usize) -> usize {
        if depth == 0 { 0 } else { 1 + spawn(move || down(depth - 1)).join().unwrap() }
    }
    let rt = runtime(1);
    assert_eq!(rt.spawn(|| down(DEPTH)).join().unwrap(), DEPTH);
}

#[test]
fn a_wait_for_children_does_not_hold_the_only_worker() {
    let rt = runtime(1);
    let sum = rt.spawn(|| {
        let (tx, rx) = rendezvous::<usize>();
        let children: Vec<_> = (0..10)
            .map(|n| {
                let tx = tx.clone();
                spawn(move || tx.send(n).wait().unwrap())
            })
            .collect();
        drop(tx);
        let adder = spawn(move || rx.iter().sum::<usize>());
        children.into_iter().for_each(|child| child.join().unwrap());
        adder.join().unwrap()
    });
    assert_eq!(sum.join().unwrap(), 45);
}

#[test]
fn selects_that_face_each_other_move_each_value_once() {
    for workers in [1, 2] {
        let rt = runtime(workers);
        let (left, from_left) = rendezvous::<usize>();
        let (right, from_right) = rendezvous::<usize>();
        let rounds = times(3_000);
        let exchange = move |tx: becket_chan::Sender<usize>, rx: becket_chan::Receiver<usize>| {
            let (mut sent, mut received) = (0, 0);
            while sent < rounds && received < rounds {
                select! {
                    wait;
                    result = tx.send(sent) => { result.unwrap(); sent += 1; },
                    result = rx.recv() => {
                        assert_eq!(result.unwrap(), received);
                        received += 1;
                    },
                }
            }
            (sent..rounds).for_each(|value| tx.send(value).wait().unwrap());
            (received..rounds).for_each(|value| assert_eq!(rx.recv().wait(), Ok(value)));
        };
        let one = rt.spawn(move || exchange(left, from_right));
        let other = rt.spawn(move || exchange(right, from_left));
        one.join().unwrap();
        other.join().unwrap();
    }
}

#[test]
fn both_sides_of_one_rendezvous_in_every_select() {
    for workers in [1, 2] {
        let rt = runtime(workers);
        let (tx, rx) = rendezvous::<usize>();
        let moved = Arc::new((AtomicUsize::new(0), AtomicUsize::new(0)));
        let rounds = times(2_000);
        let crew: Vec<_> = (0..4)
            .map(|_| {
                let (tx, rx, moved) = (tx.clone(), rx.clone(), moved.clone());
                rt.spawn(move || {
                    while moved.1.load(Ordering::SeqCst) < rounds {
                        select! {
                            wait;
                            sent = tx.send(1) => {
                                if sent.is_ok() { moved.0.fetch_add(1, Ordering::SeqCst); }
                            },
                            received = rx.recv() => {
                                moved.1.fetch_add(received.unwrap_or(0), Ordering::SeqCst);
                            },
                        }
                    }
                    // A coroutine that waits for a partner must not wait for ever.
                    rx.close();
                })
            })
            .collect();
        crew.into_iter().for_each(|one| one.join().unwrap());
        assert_eq!(moved.0.load(Ordering::SeqCst), moved.1.load(Ordering::SeqCst));
    }
}

#[test]
fn a_close_wakes_every_parked_coroutine() {
    let rt = runtime(2);
    let count = times(2_000);
    let (tx, rx) = rendezvous::<u8>();
    let waiting: Vec<_> = (0..count)
        .map(|_| {
            let rx = rx.clone();
            rt.spawn(move || rx.recv().wait())
        })
        .collect();
    common::until(|| rx.snapshot().receivers_waiting == count);
    tx.close();
    for one in waiting {
        assert_eq!(one.join().unwrap(), Err(RecvError::Closed));
    }
}

#[test]
fn a_cancel_reaches_coroutines_that_wait_with_a_grandchild_of_the_token() {
    let rt = runtime(2);
    let root = Token::new();
    let (_tx, rx) = rendezvous::<u8>();
    let waiting: Vec<_> = (0..60)
        .map(|number| {
            let mut token = root.clone();
            (0..number % 4).for_each(|_| token = token.child());
            let rx = rx.clone();
            rt.spawn(move || rx.recv().cancel_on(&token).wait())
        })
        .collect();
    common::until(|| rx.snapshot().receivers_waiting == 60);
    root.cancel();
    for one in waiting {
        assert_eq!(one.join().unwrap(), Err(RecvError::Cancelled));
    }
}

#[test]
fn an_unlimited_channel_takes_a_flood_from_coroutines() {
    let rt = runtime(2);
    let (tx, rx) = unlimited::<usize>();
    let each = times(20_000);
    let senders: Vec<_> = (0..2)
        .map(|_| {
            let tx = tx.clone();
            rt.spawn(move || (0..each).for_each(|n| tx.send(n).wait().unwrap()))
        })
        .collect();
    senders.into_iter().for_each(|one| one.join().unwrap());
    assert_eq!(rx.len(), 2 * each);
    drop(tx);
    assert_eq!(rt.spawn(move || rx.iter().count()).join().unwrap(), 2 * each);
}

#[test]
fn a_wait_does_not_hold_its_worker() {
    let rt = runtime(1);
    let (done, end) = mpsc::channel();
    let (_keep, never) = rendezvous::<()>();
    let waits: Vec<_> = (0..10)
        .map(|_| {
            let never = never.clone();
            rt.spawn(move || never.recv().wait())
        })
        .collect();
    rt.spawn(move || done.send(()).unwrap()).join().unwrap();
    end.recv().unwrap();
    never.close();
    for wait in waits {
        assert_eq!(wait.join().unwrap(), Err(RecvError::Closed));
    }
}
