// SPDX-License-Identifier: BSD-3-Clause
//! `std::thread::panicking()` describes its calling coroutine or fiber, whichever others of its
//! thread wait in the middle of a panic, and so do the mutexes of the standard library.
#![allow(clippy::disallowed_types, reason = "what std's mutex makes of it is tested")]

use std::{
    cell::Cell,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    rc::Rc,
    sync::Mutex,
    thread::panicking,
};

use crate::common::{OnDrop, must_end, runtime, times, until_parked};
use becket_chan::rendezvous;
use becket_coro::{
    fiber::{self, Fiber, Resumed},
    park, spawn, yield_now,
};

/// Runs `code` in the middle of `panics` panics, each in a destructor of the one before.
fn within(panics: usize, code: &mut dyn FnMut()) {
    if panics == 0 {
        return code();
    }
    let caught = catch_unwind(AssertUnwindSafe(|| {
        let _in_destructor = OnDrop(|| within(panics - 1, code));
        resume_unwind(Box::new(panics));
    }));
    assert_eq!(caught.unwrap_err().downcast_ref(), Some(&panics));
}

#[test]
fn one_that_waits_in_the_midst_of_panics_panics_alone() {
    must_end(|| {
        let rt = runtime(1);
        for panics in 1..4 {
            let (go, gone) = rendezvous::<()>();
            let waits = rt.spawn(move || {
                within(panics, &mut || {
                    for _ in 0..3 {
                        gone.recv().wait().unwrap();
                        assert!(panicking());
                    }
                });
                assert!(!panicking());
            });
            for _ in 0..3 {
                until_parked(rt.handle(), waits.id());
                let neighbour = rt.spawn(move || {
                    assert!(!panicking());
                    within(2, &mut || assert!(panicking()));
                    yield_now();
                    panicking()
                });
                assert!(!neighbour.join().unwrap());
                go.send(()).wait().unwrap();
            }
            waits.join().unwrap();
        }
    });
}

#[test]
fn a_mutex_is_not_poisoned_by_a_neighbour() {
    must_end(|| {
        let rt = runtime(1);
        let one = rt.spawn(|| {
            let mutex = Mutex::new(());
            let guard = mutex.lock().unwrap();
            let (say, said) = rendezvous::<()>();
            let (go, gone) = rendezvous::<()>();
            let neighbour = spawn(move || {
                within(1, &mut || {
                    say.send(()).wait().unwrap();
                    gone.recv().wait().unwrap();
                });
            });
            said.recv().wait().unwrap();
            // It is in the middle of a panic.
            drop(guard);
            assert!(!mutex.is_poisoned());
            go.send(()).wait().unwrap();
            neighbour.join().unwrap();
        });
        one.join().unwrap();
    });
}

#[test]
fn each_of_many_that_wait_in_the_midst_of_panics_keeps_its_own() {
    must_end(|| {
        let rt = runtime(2);
        let crew: Vec<_> = (0..times(500))
            .map(|number| {
                rt.spawn(move || {
                    for panics in [number % 4, number % 3] {
                        within(panics, &mut || {
                            for _ in 0..number % 5 {
                                yield_now();
                                assert_eq!(panicking(), panics > 0);
                            }
                        });
                        yield_now();
                        assert!(!panicking());
                    }
                })
            })
            .collect();
        crew.into_iter().for_each(|one| one.join().unwrap());
    });
}

#[test]
fn a_fiber_and_its_resumer_panic_independently() {
    must_end(|| {
        for (inner, outer) in (0..3).flat_map(|inner| (0..3).map(move |outer| (inner, outer))) {
            let turns = Rc::new(Cell::new(0));
            let counted = turns.clone();
            let mut fiber = Fiber::new(0, move || {
                within(inner, &mut || {
                    for _ in 0..3 {
                        assert_eq!(panicking(), inner > 0);
                        counted.set(counted.get() + 1);
                        fiber::suspend();
                    }
                });
                assert!(!panicking());
            })
            .unwrap();
            // Alternately in the middle of panics and not.
            for panics in [outer, 0, outer] {
                within(panics, &mut || {
                    assert_eq!(fiber.resume(), Ok(Resumed::Suspended));
                    assert_eq!(panicking(), panics > 0);
                });
                assert!(!panicking());
            }
            within(outer, &mut || {
                assert_eq!(fiber.resume(), Ok(Resumed::Finished));
                assert_eq!(panicking(), outer > 0);
            });
            assert!(!panicking());
            assert_eq!(turns.get(), 3);
        }
    });
}

#[test]
fn one_that_is_ended_beside_one_that_waits_in_a_destructor_ends_each_time() {
    must_end(|| {
        let rt = runtime(1);
        let (go, gone) = rendezvous::<()>();
        let first = rt.spawn(move || {
            let _slow = OnDrop(|| gone.recv().wait().unwrap());
            panic!("the first");
        });
        until_parked(rt.handle(), first.id());
        // It lets the first continue only after several attempts to end it.
        let persistent = rt.spawn(move || {
            let caught = (0..3).filter(|_| catch_unwind(park).is_err()).count();
            let _ = catch_unwind(AssertUnwindSafe(|| go.send(()).wait()));
            caught
        });
        until_parked(rt.handle(), persistent.id());
        drop(rt);
        assert_eq!(persistent.join().unwrap(), 3);
        assert!(first.join().is_err());
    });
}

/// The stand-in's abandoned thread never ends.
#[test]
#[cfg(not(any(miri, feature = "threads")))]
fn one_that_is_abandoned_in_the_midst_of_panics_takes_them_along() {
    must_end(|| {
        let rt = runtime(1);
        for panics in 1..4 {
            let abandoned = rt.spawn(move || {
                within(panics, &mut || {
                    // SAFETY: nothing on this stack is reached by others or needs its drop.
                    unsafe { becket_coro::foreign::abandon() };
                });
            });
            assert!(matches!(abandoned.join(), Err(becket_coro::JoinError::Cancelled)));
            assert!(!rt.spawn(panicking).join().unwrap());
        }
    });
}
