// SPDX-License-Identifier: BSD-3-Clause
//! Manually driven coroutines: alone, within each other, within coroutines of a runtime.

use std::{
    cell::{Cell, RefCell},
    panic::{AssertUnwindSafe, catch_unwind},
    rc::Rc,
    thread,
    time::Duration,
};

use crate::common::{Tally, in_virtual_time, must_end, runtime, times};
use becket_chan::{RecvError, rendezvous};
use becket_coro::{
    current,
    fiber::{self, Fiber, ResumeError, Resumed},
    park, spawn, yield_now,
};

/// Resumes it whenever it is ready, to its end.
fn drive(fiber: &mut Fiber, meanwhile: impl Fn()) {
    while !fiber.is_finished() {
        if fiber.is_ready() {
            fiber.resume().unwrap();
        } else {
            meanwhile();
        }
    }
}

#[test]
fn fibers_of_one_thread_meet_on_a_channel() {
    let (tx, rx) = rendezvous();
    let got = Rc::new(RefCell::new(Vec::new()));
    let mut sender =
        Fiber::new(0, move || (0..100).for_each(|n| tx.send(n).wait().unwrap())).unwrap();
    let inner = got.clone();
    let mut receiver =
        Fiber::new(0, move || rx.iter().for_each(|n| inner.borrow_mut().push(n))).unwrap();
    while !(sender.is_finished() && receiver.is_finished()) {
        assert!(sender.is_ready() || receiver.is_ready(), "each waits for the other");
        for fiber in [&mut sender, &mut receiver] {
            if fiber.is_ready() {
                fiber.resume().unwrap();
            }
        }
    }
    assert!(got.borrow().iter().copied().eq(0..100));
    assert_eq!(sender.resume(), Err(ResumeError::Finished));
}

#[test]
fn a_fiber_is_woken_by_another_thread() {
    let (tx, rx) = rendezvous();
    let sum = Rc::new(Cell::new(0));
    let inner = sum.clone();
    let mut fiber = Fiber::new(0, move || inner.set(rx.iter().sum::<usize>())).unwrap();
    let count = times(2000);
    let sender = thread::spawn(move || (0..count).for_each(|n| tx.send(n).wait().unwrap()));
    drive(&mut fiber, thread::yield_now);
    sender.join().unwrap();
    assert_eq!(sum.get(), count * (count - 1) / 2);
}

#[test]
fn a_fiber_resumed_too_early_looks_and_waits_again() {
    let (tx, rx) = rendezvous::<u8>();
    let mut fiber = Fiber::new(0, move || assert_eq!(rx.recv().wait(), Ok(7))).unwrap();
    for _ in 0..10 {
        assert_eq!(fiber.resume(), Ok(Resumed::Parked));
        assert!(!fiber.is_ready());
    }
    tx.try_send(7).unwrap();
    assert!(fiber.is_ready());
    assert_eq!(fiber.resume(), Ok(Resumed::Finished));
}

#[test]
fn an_unpark_before_a_fiber_parks_is_not_lost_and_counts_once() {
    let mut fiber = Fiber::new(0, || {
        let me = current().unwrap().id();
        me.unpark();
        thread::spawn(move || me.unpark()).join().unwrap();
        park();
        fiber::suspend();
        park();
    })
    .unwrap();
    assert_eq!(fiber.resume(), Ok(Resumed::Suspended));
    assert_eq!(fiber.resume(), Ok(Resumed::Parked));
    fiber.id().unpark();
    assert!(fiber.is_ready());
    assert_eq!(fiber.resume(), Ok(Resumed::Finished));
}

#[test]
fn a_panic_of_a_fiber_reaches_its_resumer() {
    let tally = Tally::default();
    let kept = tally.item();
    let mut fiber = Fiber::new(0, move || {
        let _kept = kept;
        fiber::suspend();
        panic!("in the fiber");
    })
    .unwrap();
    assert_eq!(fiber.resume(), Ok(Resumed::Suspended));
    let caught = catch_unwind(AssertUnwindSafe(|| fiber.resume())).unwrap_err();
    assert_eq!(caught.downcast_ref::<&str>(), Some(&"in the fiber"));
    assert_eq!(tally.alive(), 0);
    assert!(fiber.is_finished());
}

#[test]
fn fibers_within_coroutines_of_two_workers() {
    let rt = runtime(2);
    let crew: Vec<_> = (0..20)
        .map(|_| {
            rt.spawn(move || {
                let (tx, rx) = rendezvous::<usize>();
                let sender = spawn(move || (0..50).for_each(|n| tx.send(n).wait().unwrap()));
                let me = current().unwrap().id();
                let sum = Rc::new(Cell::new(0));
                let inner = sum.clone();
                let mut fiber = Fiber::new(0, move || {
                    assert!(current().unwrap().id() != me);
                    for _ in 0..50 {
                        inner.set(inner.get() + rx.recv().wait().unwrap());
                        yield_now();
                    }
                })
                .unwrap();
                drive(&mut fiber, yield_now);
                assert_eq!(current().unwrap().id(), me);
                sender.join().unwrap();
                sum.get()
            })
        })
        .collect();
    for one in crew {
        assert_eq!(one.join().unwrap(), 50 * 49 / 2);
    }
}

#[test]
fn fibers_dropped_while_they_wait_leave_no_trace() {
    let tally = Tally::default();
    let (tx, rx) = rendezvous::<u8>();
    for _ in 0..times(1000) {
        let (kept, rx) = (tally.item(), rx.clone());
        let mut fiber = Fiber::new(0, move || {
            let _kept = kept;
            let _ = rx.recv().wait();
        })
        .unwrap();
        assert_eq!(fiber.resume(), Ok(Resumed::Parked));
    }
    assert_eq!(tally.alive(), 0);
    assert_eq!(rx.snapshot().receivers_waiting, 0);
    assert!(tx.try_send(1).is_err(), "no receiver waits");
    let kept = tally.item();
    drop(Fiber::new(0, move || drop(kept)).unwrap());
    assert_eq!(tally.alive(), 0);
}

#[test]
fn a_fiber_whose_time_has_come_is_ready() {
    must_end(|| {
        let (_tx, rx) = rendezvous::<u8>();
        let mut fiber = Fiber::new(0, move || {
            let timed_out = rx.recv().timeout(Duration::from_millis(1)).wait();
            assert_eq!(timed_out, Err(RecvError::TimedOut));
            becket_coro::sleep(Duration::from_millis(1));
        })
        .unwrap();
        drive(&mut fiber, thread::yield_now);
    });
    must_end(|| {
        let rt = in_virtual_time(1);
        rt.spawn(|| {
            let mut fiber = Fiber::new(0, || becket_coro::sleep(Duration::from_secs(1))).unwrap();
            drive(&mut fiber, || becket_coro::sleep(Duration::from_millis(100)));
        })
        .join()
        .unwrap();
    });
}
