// SPDX-License-Identifier: BSD-3-Clause
//! Hostile but safe code against a runtime: panics in every callback, wakers that panic,
//! coroutines that hold their worker.

use std::{
    cell::Cell,
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind, panic_any},
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    task::{Context, Wake, Waker},
    thread,
    time::Duration,
};

use crate::common::{OnDrop, Tally, must_end, runtime, times, until_all_parked, until_parked};
use becket_chan::rendezvous;
use becket_coro::{
    Handle, JoinError, Runtime, Stalled, State, block_on, coroutine_local, park, spawn,
    spawn_blocking, yield_now,
};

use crate::common;

/// Panics when it is dropped.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("a bomb");
    }
}

/// Checks that the runtime still runs coroutines.
fn works(handle: &Handle) {
    assert_eq!(handle.spawn(|| spawn(|| 7).join().unwrap()).join().unwrap(), 7);
}

#[test]
fn panics_reach_the_joiner_whatever_they_are_thrown_with() {
    let rt = runtime(2);
    assert_eq!(rt.spawn(|| panic!("text")).join().unwrap_err().message(), Some("text"));
    let number = 7;
    assert_eq!(rt.spawn(move || panic!("{number}")).join().unwrap_err().message(), Some("7"));
    match rt.spawn(|| panic_any(42_u8)).join().unwrap_err() {
        JoinError::Panicked(payload) => assert_eq!(payload.downcast_ref::<u8>(), Some(&42)),
        other => panic!("{other}"),
    }
    assert_eq!(spawn_blocking(|| panic!("there")).join().unwrap_err().message(), Some("there"));
    works(rt.handle());
}

#[test]
fn results_that_panic_when_they_are_dropped_are_contained() {
    let rt = runtime(1);
    // The handle is gone when the coroutine ends: the coroutine drops its result.
    let (open, gate) = rendezvous::<()>();
    let other_gate = gate.clone();
    drop(rt.spawn(move || {
        gate.recv().wait().unwrap_err();
        Bomb
    }));
    // As above, for a panic payload.
    drop(rt.spawn(move || {
        other_gate.recv().wait().unwrap_err();
        panic_any(Bomb)
    }));
    drop(open);
    assert!(rt.handle().wait_idle(None));
    // The joiner has the result, and drops it.
    let result = rt.spawn(|| Bomb).join().unwrap();
    assert!(catch_unwind(AssertUnwindSafe(|| drop(result))).is_err());
    let one = rt.spawn(|| Bomb);
    common::until(|| one.is_finished());
    assert!(rt.handle().wait_idle(None));
    assert!(catch_unwind(AssertUnwindSafe(|| drop(one))).is_err());
    works(rt.handle());
    assert!(rt.handle().wait_idle(None));
    assert_eq!(rt.handle().stats().live(), 0);
}

#[test]
fn closures_that_panic_when_they_are_dropped_are_contained() {
    must_end(|| {
        let rt = runtime(1);
        let handle = rt.handle().clone();
        let (go, gone) = mpsc::channel::<()>();
        let holder = rt.spawn(move || gone.recv().unwrap());
        let runs = |id| common::row(&handle, id).is_some_and(|row| row.state == State::Running);
        common::until(|| runs(holder.id()));
        let never: Vec<_> = (0..10)
            .map(|_| {
                let bomb = Bomb;
                handle.spawn(move || {
                    let _bomb = &bomb;
                })
            })
            .collect();
        let ends = thread::spawn(move || drop(rt));
        go.send(()).unwrap();
        holder.join().unwrap();
        ends.join().unwrap();
        for one in never {
            // The coroutine ran and the drop of its capture panicked, or it never ran.
            assert!(one.join().is_err());
        }
        assert_eq!(handle.stats().live(), 0);
    });
}

coroutine_local! {
    static FIRST: Cell<Option<Bomb>> = Cell::new(None);
    static SECOND: Cell<Option<Bomb>> = Cell::new(None);
    static COUNTED: Cell<Option<common::Counted>> = Cell::new(None);
    static AGAIN: Again = Again;
    static PANICS: u8 = panic!("no value");
}

/// Creates itself again whenever it is dropped.
struct Again;

impl Drop for Again {
    fn drop(&mut self) {
        AGAIN.with(|_| ());
    }
}

#[test]
fn locals_that_panic_when_they_are_dropped_are_contained() {
    let rt = runtime(1);
    let tally = Tally::default();
    for _ in 0..times(100) {
        let counted = tally.item();
        let one = rt.spawn(move || {
            FIRST.with(|first| first.set(Some(Bomb)));
            COUNTED.with(|kept| kept.set(Some(counted)));
            SECOND.with(|second| second.set(Some(Bomb)));
            7
        });
        assert_eq!(one.join().unwrap(), 7);
    }
    assert_eq!(tally.alive(), 0);
    works(rt.handle());
}

#[test]
fn locals_that_come_again_or_cannot_be_made_are_contained() {
    let rt = runtime(1);
    rt.spawn(|| AGAIN.with(|_| ())).join().unwrap();
    rt.spawn(|| {
        for _ in 0..3 {
            assert!(catch_unwind(|| PANICS.with(|value| *value)).is_err());
        }
    })
    .join()
    .unwrap();
    works(rt.handle());
    assert!(rt.handle().wait_idle(None));
}

#[test]
fn a_local_waits_when_it_is_dropped() {
    struct Waits(Option<becket_coro::JoinHandle<()>>);
    impl Drop for Waits {
        fn drop(&mut self) {
            self.0.take().unwrap().join().unwrap();
        }
    }
    coroutine_local! {
        static CHILD: Waits = Waits(Some(spawn(yield_now)));
    }
    let rt = runtime(1);
    for _ in 0..times(100) {
        rt.spawn(|| CHILD.with(|_| ())).join().unwrap();
    }
    assert!(rt.handle().wait_idle(None));
}

struct BadWaker;

impl Wake for BadWaker {
    fn wake(self: Arc<Self>) {
        panic!("a bad waker");
    }
}

#[test]
fn a_waker_that_panics_affects_only_its_task() {
    let rt = runtime(1);
    let (go, gone) = rendezvous::<()>();
    let (tx, rx) = rendezvous::<u8>();
    let waker = Waker::from(Arc::new(BadWaker));
    let mut context = Context::from_waker(&waker);
    let mut joins = pin!(rt.spawn(move || gone.recv().wait()));
    assert!(joins.as_mut().poll(&mut context).is_pending());
    let mut receives = pin!(rx.recv());
    assert!(receives.as_mut().poll(&mut context).is_pending());
    // One waker is called by the coroutine that ends, the other by the coroutine that sends.
    go.send(()).wait().unwrap();
    rt.spawn(move || tx.send(7).wait().unwrap());
    assert_eq!(block_on(joins).unwrap(), Ok(()));
    assert_eq!(block_on(receives), Ok(7));
    works(rt.handle());
}

#[test]
fn a_future_that_panics_within_a_coroutine_is_the_coroutines_panic() {
    let rt = runtime(1);
    let one = rt.spawn(|| {
        block_on(async {
            futures_lite::future::yield_now().await;
            panic!("in the future")
        })
    });
    assert_eq!(one.join().unwrap_err().message(), Some("in the future"));
    works(rt.handle());
}

#[test]
fn panics_of_many_at_once_stay_with_their_own() {
    let rt = runtime(2);
    let crew: Vec<_> = (0..times(500))
        .map(|number| {
            rt.spawn(move || {
                let _waits = OnDrop(|| (0..number % 5).for_each(|_| yield_now()));
                yield_now();
                if number % 3 == 0 {
                    panic_any(number);
                }
                let caught = catch_unwind(|| {
                    let _waits = OnDrop(yield_now);
                    yield_now();
                    panic_any(number);
                });
                *caught.unwrap_err().downcast::<usize>().unwrap()
            })
        })
        .collect();
    for (number, one) in crew.into_iter().enumerate() {
        match one.join() {
            Ok(same) => assert!(same == number && number % 3 != 0),
            Err(JoinError::Panicked(payload)) => {
                assert_eq!(payload.downcast_ref(), Some(&number));
                assert_eq!(number % 3, 0);
            }
            Err(other) => panic!("{other}"),
        }
    }
    assert!(!rt.spawn(thread::panicking).join().unwrap());
}

#[test]
fn waits_in_destructors_of_two_that_panicked_keep_a_third_from_nothing() {
    must_end(|| {
        let rt = runtime(1);
        let tally = Tally::default();
        let (go, gone) = rendezvous::<()>();
        let first = rt.spawn(move || {
            let _waits = OnDrop(|| gone.recv().wait().unwrap());
            panic!("the first");
        });
        until_parked(rt.handle(), first.id());
        let (_keep, never) = rendezvous::<()>();
        let wait_for_ever = || {
            let (never, counted) = (never.clone(), tally.item());
            rt.spawn(move || {
                let _counted = counted;
                let _ = never.recv().wait();
            })
        };
        // The coroutines may be ended in any order.
        let mut others: Vec<_> = (0..5).map(|_| wait_for_ever()).collect();
        let (give, given) = rendezvous::<Vec<becket_coro::JoinHandle<()>>>();
        let second = rt.spawn(move || {
            let _joins = OnDrop(|| {
                for other in given.recv().wait().unwrap() {
                    assert!(matches!(other.join(), Err(JoinError::Cancelled)));
                }
            });
            panic!("the second");
        });
        until_parked(rt.handle(), second.id());
        others.extend((0..5).map(|_| wait_for_ever()));
        give.send(others).wait().unwrap();
        until_all_parked(rt.handle(), 12);
        go.send(()).wait().unwrap();
        assert_eq!(first.join().unwrap_err().message(), Some("the first"));
        drop(rt);
        assert_eq!(second.join().unwrap_err().message(), Some("the second"));
        assert_eq!(tally.alive(), 0);
    });
}

static REPORTED: AtomicUsize = AtomicUsize::new(0);

#[test]
#[cfg(not(miri))]
fn a_watchdog_reports_a_held_worker_once_each_time() {
    fn report(stalled: &Stalled) {
        assert!(stalled.to_string().contains("hostile.rs"));
        // On a busy machine another process may hold any worker's CPU.
        if stalled.name.as_deref() == Some("holder") {
            REPORTED.fetch_add(1, Ordering::SeqCst);
        }
    }
    let rt =
        Runtime::builder().workers(2).watchdog(Duration::from_millis(20), report).build().unwrap();
    let parked = rt.spawn(park);
    until_parked(rt.handle(), parked.id());
    for round in 1..=2 {
        let (go, gone) = mpsc::channel::<()>();
        let holder = becket_coro::Spawn::new()
            .name("holder")
            .on(rt.handle())
            .spawn(move || gone.recv().unwrap())
            .unwrap();
        common::until(|| REPORTED.load(Ordering::SeqCst) >= round);
        // Several bounds later it is not reported again. A busy machine only makes this longer.
        assert!(gone_by(Duration::from_millis(80)));
        go.send(()).unwrap();
        holder.join().unwrap();
    }
    parked.id().unpark();
    parked.join().unwrap();
    drop(rt);
    assert_eq!(REPORTED.load(Ordering::SeqCst), 2);
}

/// Waits for `time`.
#[cfg(not(miri))]
fn gone_by(time: Duration) -> bool {
    let (_tx, rx) = rendezvous::<()>();
    rx.recv().timeout(time).wait().is_err()
}
