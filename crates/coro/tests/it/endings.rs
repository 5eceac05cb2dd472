// SPDX-License-Identifier: BSD-3-Clause
//! How coroutines, fibers and runtimes end: everything on every stack is dropped, every waiter for
//! one of them is woken, and nothing hangs.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
        mpsc,
    },
    thread,
    time::Duration,
};

use crate::common::{
    Counted, OnDrop, Tally, in_virtual_time, must_end, runtime, until_all_parked, until_parked,
};
use becket_chan::{Receiver, rendezvous};
use becket_coro::{
    JoinError, JoinHandle, Spawn, SpawnError, coroutine_local,
    fiber::{self, Fiber, Resumed},
    park, sleep, spawn,
};

use crate::common;

/// Waits on a channel that never gets a value.
fn wait_for_ever(never: &Receiver<()>, _kept: Counted) {
    let _ = never.recv().wait();
}

fn are_cancelled(waiting: Vec<JoinHandle<()>>) {
    for one in waiting {
        assert!(matches!(one.join(), Err(JoinError::Cancelled)));
    }
}

#[test]
fn a_destructor_that_waits_at_the_end_does_not_keep_others_from_ending() {
    must_end(|| {
        let rt = runtime(1);
        let (_keep, never) = rendezvous::<()>();
        let tally = Tally::default();
        let waiting: Vec<_> = (0..9)
            .map(|number| {
                let (never, kept) = (never.clone(), tally.item());
                rt.spawn(move || {
                    let _slow =
                        (number % 4 == 0).then(|| OnDrop(|| sleep(Duration::from_millis(1))));
                    wait_for_ever(&never, kept);
                })
            })
            .collect();
        until_all_parked(rt.handle(), 9);
        drop(rt);
        assert_eq!(tally.alive(), 0);
        are_cancelled(waiting);
    });
}

#[test]
fn a_destructor_that_joins_others_at_the_end_finds_them_ended() {
    must_end(|| {
        let rt = runtime(1);
        let (_keep, never) = rendezvous::<()>();
        let tally = Tally::default();
        let (inner, kept) = (tally.clone(), tally.item());
        let parent = rt.spawn(move || {
            let mut children: Vec<_> = (0..5)
                .map(|_| {
                    let (never, kept) = (never.clone(), inner.item());
                    spawn(move || wait_for_ever(&never, kept))
                })
                .collect();
            let _joins = OnDrop(|| {
                are_cancelled(std::mem::take(&mut children));
            });
            wait_for_ever(&never, kept);
        });
        until_all_parked(rt.handle(), 6);
        drop(rt);
        assert!(matches!(parent.join(), Err(JoinError::Cancelled)));
        assert_eq!(tally.alive(), 0);
    });
}

#[test]
fn one_that_panicked_and_waits_in_a_destructor_does_not_keep_others_from_ending() {
    must_end(|| {
        let rt = runtime(1);
        let (_keep, never) = rendezvous::<()>();
        let (go, gone) = rendezvous::<()>();
        let tally = Tally::default();
        let waiting: Vec<_> = (0..3)
            .map(|_| {
                let (never, kept) = (never.clone(), tally.item());
                rt.spawn(move || wait_for_ever(&never, kept))
            })
            .collect();
        let panicked = rt.spawn(move || {
            let _slow = OnDrop(|| gone.recv().wait().unwrap());
            panic!("and waits");
        });
        until_all_parked(rt.handle(), 4);
        let ended = thread::spawn(move || drop(rt));
        // The others end while the one that panicked still waits.
        are_cancelled(waiting);
        assert_eq!(tally.alive(), 0);
        go.send(()).wait().unwrap();
        ended.join().unwrap();
        assert_eq!(panicked.join().unwrap_err().message(), Some("and waits"));
    });
}

#[test]
fn a_coroutine_panics_while_a_neighbour_waits_in_the_midst_of_a_panic() {
    must_end(|| {
        let rt = runtime(1);
        let (go, gone) = rendezvous::<()>();
        let first = rt.spawn(move || {
            let _slow = OnDrop(|| gone.recv().wait().unwrap());
            panic!("the first");
        });
        until_parked(rt.handle(), first.id());
        let second = rt.spawn(|| panic!("the second")).join().unwrap_err();
        assert_eq!(second.message(), Some("the second"));
        go.send(()).wait().unwrap();
        assert_eq!(first.join().unwrap_err().message(), Some("the first"));
        assert!(!rt.spawn(thread::panicking).join().unwrap());
    });
}

#[test]
fn code_that_catches_the_end_and_waits_again_is_ended_again() {
    must_end(|| {
        let rt = runtime(1);
        let (_keep, never) = rendezvous::<()>();
        let persistent = rt.spawn(move || {
            (0..3)
                .filter(|_| catch_unwind(AssertUnwindSafe(|| never.recv().wait())).is_err())
                .count()
        });
        until_parked(rt.handle(), persistent.id());
        drop(rt);
        assert_eq!(persistent.join().unwrap(), 3);
    });
}

#[test]
fn what_never_started_is_dropped_and_not_run() {
    must_end(|| {
        let rt = runtime(1);
        let handle = rt.handle().clone();
        let ran = Arc::new(AtomicBool::new(false));
        let (go, gone) = mpsc::channel::<()>();
        // Holds the only worker.
        let inner = ran.clone();
        let holder = rt.spawn(move || {
            let own: Vec<_> = (0..50)
                .map(|_| {
                    let ran = inner.clone();
                    spawn(move || ran.store(true, Ordering::SeqCst))
                })
                .collect();
            gone.recv().unwrap();
            own
        });
        let outside: Vec<_> = (0..50)
            .map(|_| {
                let ran = ran.clone();
                rt.spawn(move || ran.store(true, Ordering::SeqCst))
            })
            .collect();
        common::until(|| handle.dump().len() == 101);
        let ended = thread::spawn(move || drop(rt));
        common::until(|| Spawn::new().on(&handle).spawn(|| ()).is_err());
        go.send(()).unwrap();
        ended.join().unwrap();
        assert!(!ran.load(Ordering::SeqCst));
        are_cancelled(holder.join().unwrap());
        are_cancelled(outside);
        assert_eq!(handle.stats().live(), 0);
    });
}

#[test]
fn a_wait_until_a_runtime_is_idle_returns_at_its_end() {
    must_end(|| {
        for workers in [1, 2] {
            let rt = runtime(workers);
            let handle = rt.handle().clone();
            let parked = rt.spawn(park);
            until_parked(&handle, parked.id());
            let about_to = Arc::new(AtomicBool::new(false));
            let waiter = {
                let about_to = about_to.clone();
                thread::spawn(move || {
                    about_to.store(true, Ordering::SeqCst);
                    handle.wait_idle(None)
                })
            };
            // Whether it waits already or not, it must come back.
            common::until(|| about_to.load(Ordering::SeqCst));
            (0..100).for_each(|_| thread::yield_now());
            drop(rt);
            assert!(waiter.join().unwrap());
        }
    });
}

#[test]
fn a_destructor_may_sleep_at_the_end_of_virtual_time() {
    must_end(|| {
        for workers in [1, 2] {
            let rt = in_virtual_time(workers);
            let (_keep, never) = rendezvous::<()>();
            let tally = Tally::default();
            let kept = tally.item();
            let waiting = rt.spawn(move || {
                let _slow = OnDrop(|| sleep(Duration::from_secs(3600)));
                wait_for_ever(&never, kept);
            });
            until_parked(rt.handle(), waiting.id());
            drop(rt);
            assert_eq!(tally.alive(), 0);
        }
    });
}

#[test]
fn a_waiting_fiber_is_unwound_in_the_midst_of_a_panic() {
    must_end(|| {
        let tally = Tally::default();
        let kept = tally.item();
        let caught = catch_unwind(AssertUnwindSafe(|| {
            let mut waits = Fiber::new(0, move || {
                let _kept = kept;
                let (_keep, never) = rendezvous::<()>();
                let _ = never.recv().wait();
            })
            .unwrap();
            assert_eq!(waits.resume(), Ok(Resumed::Parked));
            panic!("with a fiber that waits");
        }));
        assert!(caught.is_err());
        assert_eq!(tally.alive(), 0);
    });
}

#[test]
fn a_fiber_that_waits_within_one_that_is_dropped_is_unwound() {
    must_end(|| {
        let tally = Tally::default();
        let (inner, outer) = (tally.item(), tally.item());
        let mut fiber = Fiber::new(0, move || {
            let _outer = outer;
            let mut nested = Fiber::new(0, move || {
                let _inner = inner;
                loop {
                    fiber::suspend();
                }
            })
            .unwrap();
            assert_eq!(nested.resume(), Ok(Resumed::Suspended));
            fiber::suspend();
        })
        .unwrap();
        assert_eq!(fiber.resume(), Ok(Resumed::Suspended));
        assert_eq!(tally.alive(), 2);
        drop(fiber);
        assert_eq!(tally.alive(), 0);
    });
}

#[test]
fn a_runtime_ends_with_coroutines_that_hold_waiting_fibers() {
    must_end(|| {
        let rt = runtime(2);
        let tally = Tally::default();
        let holders: Vec<_> = (0..10)
            .map(|_| {
                let (inner, outer) = (tally.item(), tally.item());
                rt.spawn(move || {
                    let _outer = outer;
                    let mut waits = Fiber::new(0, move || {
                        let _inner = inner;
                        loop {
                            park();
                        }
                    })
                    .unwrap();
                    assert_eq!(waits.resume(), Ok(Resumed::Parked));
                    park();
                })
            })
            .collect();
        until_all_parked(rt.handle(), 10);
        drop(rt);
        assert_eq!(tally.alive(), 0);
        are_cancelled(holders);
    });
}

static CLEARED: AtomicUsize = AtomicUsize::new(0);

struct Clears;

impl Drop for Clears {
    fn drop(&mut self) {
        CLEARED.fetch_add(1, Ordering::SeqCst);
    }
}

coroutine_local! {
    static LATE: Clears = Clears;
}

#[test]
fn a_local_made_by_the_drop_of_a_result_is_dropped() {
    struct UsesLocal;
    impl Drop for UsesLocal {
        fn drop(&mut self) {
            LATE.with(|_| ());
        }
    }
    let rt = runtime(1);
    drop(rt.spawn(|| UsesLocal));
    assert!(rt.handle().wait_idle(None));
    drop(rt);
    assert_eq!(CLEARED.load(Ordering::SeqCst), 1);
}

#[test]
fn a_spawn_that_races_with_the_end_is_run_cancelled_or_refused() {
    must_end(|| {
        for round in 0..common::times(400) {
            let rt = runtime(1 + round % 2);
            let spawners: Vec<_> = (0..3)
                .map(|_| {
                    let handle = rt.handle().clone();
                    thread::spawn(move || {
                        loop {
                            match handle.spawn(|| ()).join() {
                                Ok(()) => {}
                                Err(JoinError::Cancelled) => {}
                                Err(JoinError::Refused(SpawnError::ShutDown)) => return,
                                Err(error) => panic!("{error}"),
                            }
                        }
                    })
                })
                .collect();
            common::until(|| rt.handle().stats().spawned > 3);
            drop(rt);
            spawners.into_iter().for_each(|spawner| spawner.join().unwrap());
        }
    });
}

#[test]
fn a_runtime_may_be_dropped_by_one_of_its_coroutines() {
    must_end(|| {
        for workers in [1, 2] {
            let rt = runtime(workers);
            let handle = rt.handle().clone();
            let tally = Tally::default();
            let (_keep, never) = rendezvous::<()>();
            let others: Vec<_> = (0..5)
                .map(|_| {
                    let (never, kept) = (never.clone(), tally.item());
                    rt.spawn(move || wait_for_ever(&never, kept))
                })
                .collect();
            until_all_parked(&handle, 5);
            let (give, given) = rendezvous::<becket_coro::Runtime>();
            let suicide = rt.spawn(move || {
                drop(given.recv().wait().unwrap());
                park();
            });
            give.send(rt).wait().unwrap();
            assert!(matches!(suicide.join(), Err(JoinError::Cancelled)));
            are_cancelled(others);
            assert_eq!(tally.alive(), 0);
            assert!(matches!(
                handle.spawn(|| ()).join(),
                Err(JoinError::Refused(SpawnError::ShutDown))
            ));
        }
    });
}

#[test]
fn captures_of_one_that_never_started_are_dropped_before_its_joiner_is_woken() {
    struct Captured(Arc<AtomicUsize>);
    impl Drop for Captured {
        fn drop(&mut self) {
            self.0.store(1, Ordering::SeqCst);
        }
    }
    /// Reports the number of drops at the moment of the wake.
    struct Listener {
        dropped: Arc<AtomicUsize>,
        heard: mpsc::Sender<usize>,
    }
    impl std::task::Wake for Listener {
        fn wake(self: Arc<Self>) {
            self.heard.send(self.dropped.load(Ordering::SeqCst)).unwrap();
        }
    }
    must_end(|| {
        let rt = runtime(1);
        let (started, starts) = mpsc::channel::<()>();
        let (go, gone) = mpsc::channel::<()>();
        // Holds the only worker.
        let holder = rt.spawn(move || {
            started.send(()).unwrap();
            gone.recv().unwrap();
        });
        starts.recv().unwrap();
        let dropped = Arc::new(AtomicUsize::new(0));
        let captured = Captured(dropped.clone());
        let mut never = rt.spawn(move || drop(captured));
        let (heard, wakes) = mpsc::channel();
        let waker = Arc::new(Listener { dropped, heard }).into();
        let mut context = std::task::Context::from_waker(&waker);
        assert!(std::pin::Pin::new(&mut never).poll(&mut context).is_pending());
        let ended = thread::spawn(move || drop(rt));
        assert_eq!(wakes.recv(), Ok(1), "what it captured was still there");
        assert!(matches!(never.join(), Err(JoinError::Cancelled)));
        go.send(()).unwrap();
        ended.join().unwrap();
        holder.join().unwrap();
    });
}

/// A name belongs to a coroutine and not to the slot, which the next one gets.
#[test]
fn a_coroutine_that_never_ran_leaves_its_name_to_no_other() {
    must_end(|| {
        let rt = runtime(1);
        let handle = rt.handle().clone();
        let (holds, released) = mpsc::channel::<()>();
        let (holding, is_held) = mpsc::channel();
        let holder = rt.spawn(move || {
            holding.send(()).unwrap();
            let _ = released.recv();
        });
        is_held.recv().unwrap();
        let named: Vec<_> = (0..9)
            .map(|number| {
                Spawn::new().name(format!("never {number}")).on(&handle).spawn(|| ()).unwrap()
            })
            .collect();
        // They end while the worker is held, on the thread that ends the runtime.
        let releases = thread::spawn(move || {
            are_cancelled(named);
            drop(holds);
        });
        drop(rt);
        releases.join().unwrap();
        drop(holder);

        let rt = runtime(1);
        let (holds, released) = mpsc::channel::<()>();
        let (holding, is_held) = mpsc::channel();
        rt.spawn(move || {
            holding.send(()).unwrap();
            let _ = released.recv();
        });
        is_held.recv().unwrap();
        let unnamed: Vec<_> = (0..20).map(|_| rt.spawn(|| ())).collect();
        let names: Vec<_> = rt.handle().dump().into_iter().filter_map(|row| row.name).collect();
        assert_eq!(names, Vec::<Arc<str>>::new());
        drop(holds);
        unnamed.into_iter().for_each(|one| one.join().unwrap());
    });
}
