// SPDX-License-Identifier: BSD-3-Clause
//! Scopes: borrows of children, failures, cancellation.
#![allow(clippy::mem_forget, reason = "what is leaked is part of the test")]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use becket_chan::{RecvError, Token, bounded, rendezvous, unlimited};
use becket_coro::scope::{Scope, ScopeError, current_token};
use becket_coro::{Clock, Runtime, VirtualClock, job, now, scope, sleep, supervisor, yield_now};
use parking_lot::Mutex;

fn runtime(workers: usize) -> Runtime {
    Runtime::builder().workers(workers).build().unwrap()
}

fn virtual_runtime(workers: usize) -> Runtime {
    let clock = Clock::Virtual(VirtualClock::automatic());
    Runtime::builder().workers(workers).clock(clock).build().unwrap()
}

/// Runs a test on a coroutine of a runtime, and fails if it panicked.
fn within<T: Send + 'static>(runtime: &Runtime, f: impl FnOnce() -> T + Send + 'static) -> T {
    match runtime.spawn(f).join() {
        Ok(value) => value,
        Err(error) => panic!("{error}"),
    }
}

const FOR_EVER: Duration = Duration::from_secs(1_000_000);

#[test]
fn children_borrow_from_the_caller_and_have_ended_when_it_goes_on() {
    let body = || {
        let words = vec![String::from("one"), String::from("two"), String::from("three")];
        let mut total = 0;
        let ended = AtomicUsize::new(0);
        let lengths = scope(|s| {
            let children: Vec<_> = words
                .iter()
                .map(|word| {
                    s.spawn(|| {
                        yield_now();
                        ended.fetch_add(1, Ordering::Relaxed);
                        word.len()
                    })
                })
                .collect();
            // This one is not joined.
            s.spawn(|| {
                (0..10).for_each(|_| yield_now());
                ended.fetch_add(1, Ordering::Relaxed);
            });
            let lengths: Vec<_> = children.into_iter().map(|child| child.join().unwrap()).collect();
            total += lengths.iter().sum::<usize>();
            lengths
        });
        assert_eq!(lengths.unwrap(), [3, 3, 5]);
        assert_eq!((total, ended.into_inner()), (11, 4));
        drop(words);
    };
    // On a thread, with the default runtime; on coroutines.
    body();
    within(&runtime(1), body);
    within(&runtime(2), body);
}

#[test]
fn a_childs_value_may_borrow() {
    let text = String::from("a b c");
    let parts = scope(|s| s.spawn(|| text.split(' ').collect::<Vec<_>>()).join().unwrap());
    assert_eq!(parts.unwrap(), ["a", "b", "c"]);
}

/// A known mistake: the wait for a scope's children blocks the worker that should run them.
#[test]
fn scope_wait_on_a_one_worker_runtime_does_not_deadlock() {
    fn down(depth: usize, ended: &AtomicUsize) {
        if depth > 0 {
            scope(|s| {
                s.spawn(|| down(depth - 1, ended));
                s.spawn(|| down(depth - 1, ended));
            })
            .unwrap();
        }
        ended.fetch_add(1, Ordering::Relaxed);
    }
    let runtime = runtime(1);
    let ended = within(&runtime, || {
        let ended = AtomicUsize::new(0);
        down(if cfg!(miri) { 2 } else { 6 }, &ended);
        ended.into_inner()
    });
    assert_eq!(ended, if cfg!(miri) { 7 } else { 127 });
    assert!(runtime.handle().wait_idle(None));
}

#[test]
fn the_first_failure_cancels_the_others_and_is_returned() {
    let (_tx, rx) = rendezvous::<u8>();
    let (begun, has_begun) = rendezvous();
    let line = line!() + 6;
    let error = scope(|s| {
        let waits = s.spawn(|| {
            begun.send("good").wait().unwrap();
            rx.recv().cancel_on(s.token()).wait()
        });
        s.launch().name("breaks").spawn(|| panic!("no {}", has_begun.recv().wait().unwrap()));
        // The body's own wait ends too.
        assert_eq!(rx.recv().cancel_on(s.token()).wait(), Err(RecvError::Cancelled));
        assert_eq!(waits.join().unwrap(), Err(RecvError::Cancelled));
        "dropped"
    })
    .unwrap_err();
    let ScopeError::Failed(failure) = error else { panic!("{error}") };
    assert_eq!(failure.name(), Some("breaks"));
    assert_eq!((failure.site().file(), failure.site().line()), (file!(), line));
    assert_eq!(failure.panic_message(), Some("no good"));
    assert_eq!(*failure.take_panic().unwrap().downcast::<String>().unwrap(), "no good");
    assert!(failure.take_panic().is_none(), "there is one");
    assert!(failure.to_string().starts_with("`breaks`, spawned at "), "{failure}");
}

#[test]
fn an_error_is_a_failure_too() {
    let error = scope(|s| {
        s.spawn_try(|| "x".parse::<u8>());
        s.token().cancelled().wait();
    })
    .unwrap_err();
    let failure = error.failure().unwrap();
    assert!(!failure.is_panic() && failure.name().is_none());
    let cause = failure.error_ref().unwrap();
    assert!(cause.downcast_ref::<std::num::ParseIntError>().is_some());
    let source = std::error::Error::source(&error).unwrap();
    assert!(source.source().unwrap().is::<std::num::ParseIntError>());
}

#[test]
fn an_error_that_follows_from_a_cancellation_is_none_but_a_panic_is() {
    let (_tx, rx) = rendezvous::<u8>();
    let cancelled = scope(|s| {
        let child = s.spawn_try(|| rx.recv().cancel_on(s.token()).wait());
        s.cancel("enough");
        let error = child.join().unwrap_err();
        assert!(error.is_cancelled());
    });
    match cancelled {
        Err(ScopeError::Cancelled { reason }) => assert_eq!(&*reason, "enough"),
        other => panic!("{other:?}"),
    }
    let (begun, has_begun) = unlimited();
    let failed = scope(|s| {
        s.spawn(|| {
            begun.try_send(()).unwrap();
            s.token().cancelled().wait();
            panic!("in the clean-up");
        });
        has_begun.recv().wait().unwrap();
        s.cancel("enough");
    });
    assert_eq!(failed.unwrap_err().failure().unwrap().panic_message(), Some("in the clean-up"));
}

#[test]
fn a_supervisors_children_fail_for_themselves() {
    let (tx, rx) = bounded(1);
    let value = supervisor(|s| {
        let bad = s.launch().name("bad").spawn(|| panic!("by itself"));
        let good = s.spawn_try(|| rx.recv().cancel_on(s.token()).wait());
        let failure = bad.join().unwrap_err();
        assert_eq!(failure.failure().unwrap().name(), Some("bad"));
        assert!(!s.is_cancelled());
        assert_eq!(s.job().failures_later(), 1);
        tx.try_send(5).unwrap();
        good.join().unwrap()
    });
    assert_eq!(value.unwrap(), 5);
}

/// A known mistake: cancellation that reaches children, but not grandchildren.
#[test]
fn cancelling_reaches_the_whole_tree() {
    let above = Token::new();
    let (_tx, rx) = rendezvous::<u8>();
    let (waiting, waits) = unlimited();
    let outcome = Scope::builder().token(&above).run(|outer| {
        outer.spawn(|| {
            let inner = scope(|middle| {
                middle.spawn(|| {
                    scope(|inner| {
                        inner.spawn(|| {
                            waiting.try_send(()).unwrap();
                            assert_eq!(
                                rx.recv().cancel_on(inner.token()).wait(),
                                Err(RecvError::Cancelled)
                            );
                        });
                    })
                });
            });
            assert!(matches!(inner, Err(ScopeError::Cancelled { .. })), "{inner:?}");
        });
        waits.recv().wait().unwrap();
        above.cancel();
    });
    assert!(matches!(outcome, Err(ScopeError::Cancelled { .. })), "{outcome:?}");
}

#[test]
fn a_reason_is_known_below() {
    let (begun, has_begun) = unlimited();
    let outcome = scope(|outer| {
        let child = outer.spawn(|| {
            scope(|inner| {
                begun.try_send(()).unwrap();
                inner.token().cancelled().wait();
                inner.job().reason()
            })
            .map_err(|error| error.to_string())
        });
        has_begun.recv().wait().unwrap();
        assert!(outer.cancel("the client left") && !outer.cancel("a second time"));
        child.join().unwrap()
    });
    assert_eq!(outcome.unwrap_err().to_string(), "cancelled: the client left");
}

#[test]
fn a_failing_scope_inside_a_child_is_for_the_child_to_hear() {
    let value = scope(|outer| {
        let child = outer.spawn(|| scope(|inner| drop(inner.spawn(|| panic!("inside")))).is_err());
        child.join().unwrap()
    });
    assert!(value.unwrap());
}

#[test]
fn a_deadline_ends_every_wait_in_it() {
    within(&virtual_runtime(1), || {
        let (_tx, rx) = rendezvous::<u8>();
        let start = now();
        let late = Scope::builder().timeout(Duration::from_secs(60)).run(|s| {
            s.spawn(|| rx.recv().cancel_on(s.token()).wait());
            rx.recv().cancel_on(s.token()).wait()
        });
        assert!(matches!(late, Err(ScopeError::DeadlinePassed)), "{late:?}");
        assert_eq!(now() - start, Duration::from_secs(60));

        // The last deadline holds, and the scope ends before it.
        let in_time = scope(|s| {
            s.timeout(Duration::from_secs(1));
            s.timeout(Duration::from_secs(100));
            sleep(Duration::from_secs(50));
            s.is_cancelled()
        });
        assert!(!in_time.unwrap());
        assert_eq!(now() - start, Duration::from_secs(110), "the deadline is called off");
    });
}

#[test]
fn a_timeout_is_by_the_clock_of_the_scopes_runtime() {
    // The calling thread has another clock.
    let runtime = virtual_runtime(1);
    let start = runtime.handle().now();
    let late = Scope::builder()
        .on(runtime.handle())
        .timeout(Duration::from_secs(3600))
        .run(|s| s.token().cancelled().wait());
    assert!(matches!(late, Err(ScopeError::DeadlinePassed)), "{late:?}");
    assert_eq!(runtime.handle().now() - start, Duration::from_secs(3600));
}

#[test]
fn what_has_not_begun_when_the_scope_is_cancelled_does_not_begin() {
    let runtime = runtime(1);
    within(&runtime, || {
        let held = std::sync::Arc::new(());
        let begun = AtomicBool::new(false);
        let outcome = scope(|s| {
            let captured = held.clone();
            let first = s.spawn(|| {
                let _captured = captured;
                begun.store(true, Ordering::Relaxed);
            });
            s.cancel("at once");
            let captured = held.clone();
            let second = s.spawn(move || drop(captured));
            assert!(second.is_finished(), "it is not even spawned");
            assert!(first.join().unwrap_err().is_cancelled());
            assert!(second.join().unwrap_err().is_cancelled());
        });
        assert!(outcome.is_err() && !begun.into_inner());
        assert_eq!(std::sync::Arc::strong_count(&held), 1, "what they would have run is dropped");
    });
}

#[test]
fn a_body_that_panics_cancels_waits_and_panics_on() {
    let order = Mutex::new(Vec::new());
    let (begun, has_begun) = unlimited();
    let panic = catch_unwind(AssertUnwindSafe(|| {
        scope(|s| {
            s.spawn(|| {
                begun.try_send(()).unwrap();
                s.token().cancelled().wait();
                (0..10).for_each(|_| yield_now());
                order.lock().push("child");
            });
            has_begun.recv().wait().unwrap();
            panic!("the body");
        })
    }));
    order.lock().push("owner");
    assert_eq!(*panic.unwrap_err().downcast::<&str>().unwrap(), "the body");
    assert_eq!(*order.lock(), ["child", "owner"]);
}

#[test]
fn leaked_handles_change_nothing() {
    let ended = AtomicUsize::new(0);
    scope(|s| {
        for _ in 0..10 {
            std::mem::forget(s.spawn(|| {
                yield_now();
                ended.fetch_add(1, Ordering::Relaxed);
                &ended
            }));
        }
    })
    .unwrap();
    assert_eq!(ended.into_inner(), 10);
}

#[test]
fn children_spawn_into_their_scope() {
    let ended = AtomicUsize::new(0);
    scope(|s| {
        s.spawn(|| {
            s.spawn(|| {
                s.spawn(|| ended.fetch_add(1, Ordering::Relaxed));
                ended.fetch_add(1, Ordering::Relaxed);
            });
            ended.fetch_add(1, Ordering::Relaxed);
        });
    })
    .unwrap();
    assert_eq!(ended.into_inner(), 3);
}

#[test]
fn the_current_token_is_the_innermost() {
    assert!(current_token().is_none() && job::current().is_none());
    scope(|outer| {
        assert!(job::current().unwrap().is_same(outer.job()));
        scope(|inner| assert!(job::current().unwrap().is_same(inner.job()))).unwrap();
        assert!(job::current().unwrap().is_same(outer.job()));
        let child = outer.launch().name("mine").spawn(|| job::current().unwrap());
        assert_eq!(child.join().unwrap().name(), Some("mine"));
        // A coroutine that is not of the scope is not below its job.
        assert!(becket_coro::spawn(|| job::current().is_none()).join().unwrap());
    })
    .unwrap();
    assert!(current_token().is_none());
}

#[test]
fn one_child_can_be_cancelled_alone_and_all_of_them_without_the_scope() {
    let (_tx, rx) = rendezvous::<u8>();
    let wait = || rx.recv().cancel_on(&current_token().unwrap()).wait();
    let (begun, has_begun) = unlimited();
    let begin = || {
        begun.try_send(()).unwrap();
        wait()
    };
    let value = scope(|s| {
        let (one, others) = (s.spawn(begin), [s.spawn(begin), s.spawn(begin)]);
        (0..3).for_each(|_| has_begun.recv().wait().unwrap());
        assert!(one.cancel("this one"));
        assert_eq!(one.join().unwrap(), Err(RecvError::Cancelled));
        assert!(others.iter().all(|other| !other.is_finished()));
        s.cancel_children("all of them");
        for other in others {
            assert_eq!(&*other.job().reason().unwrap(), "all of them");
            assert_eq!(other.join().unwrap(), Err(RecvError::Cancelled));
        }
        assert!(!s.is_cancelled());
        s.spawn(|| 7).join().unwrap()
    });
    assert_eq!(value.unwrap(), 7);
}

#[test]
fn what_the_runtime_refuses_is_a_failure() {
    let runtime = Runtime::builder().workers(1).coroutines_max(2).build().unwrap();
    within(&runtime, || {
        let error = scope(|s| {
            let kept = s.spawn(|| s.token().cancelled().wait());
            let refused = s.launch().name("third").spawn(|| ());
            assert!(refused.join().unwrap_err().failure().unwrap().refusal().is_some());
            drop(kept);
        })
        .unwrap_err();
        let failure = error.failure().unwrap();
        assert_eq!(failure.name(), Some("third"));
        assert!(failure.refusal().is_some(), "{failure}");
    });
}

#[test]
fn a_deadline_that_cannot_be_set_is_a_failure() {
    let runtime = Runtime::builder().workers(1).coroutines_max(1).build().unwrap();
    within(&runtime, || {
        let error = Scope::builder().timeout(FOR_EVER).run(|s| s.is_cancelled()).unwrap_err();
        let failure = error.failure().unwrap();
        assert_eq!(failure.name(), Some("deadline"));
        assert!(failure.refusal().is_some());
    });
}

#[test]
fn handles_are_awaited_by_tasks() {
    let value = scope(|s| {
        let child = s.spawn(|| {
            yield_now();
            3
        });
        futures_lite::future::block_on(async { child.await.unwrap() })
    });
    assert_eq!(value.unwrap(), 3);
}

/// Adds its name to a list when it is dropped.
struct Says<'a>(&'static str, &'a Mutex<Vec<&'static str>>);

impl Drop for Says<'_> {
    fn drop(&mut self) {
        self.1.lock().push(self.0);
    }
}

#[test]
fn a_runtime_that_ends_unwinds_children_before_what_they_borrow() {
    for workers in [1, 2] {
        let order: &'static Mutex<Vec<_>> = Box::leak(Box::default());
        let runtime = runtime(workers);
        let (begun, has_begun) = unlimited();
        let joined = runtime.spawn(move || {
            let data = Says("data", order);
            let outcome = scope(|s| {
                for _ in 0..8 {
                    s.spawn(|| {
                        let _inner = Says("child", data.1);
                        begun.try_send(()).unwrap();
                        // Waits for ever and ignores its token.
                        Token::new().cancelled().wait();
                    });
                }
                // With one worker, this child never starts.
                let captured = Says("child", data.1);
                s.spawn(move || {
                    let _captured = captured;
                    Token::new().cancelled().wait();
                });
            });
            drop(outcome);
            panic!("it should have been unwound");
        });
        (0..8).for_each(|_| has_begun.recv().wait().unwrap());
        drop(runtime);
        assert!(matches!(joined.join(), Err(becket_coro::JoinError::Cancelled)));
        let mut expected = vec!["child"; 9];
        expected.push("data");
        assert_eq!(*order.lock(), expected);
    }
}

#[test]
fn a_runtime_that_ends_unwinds_nested_scopes_from_the_inside() {
    let order: &'static Mutex<Vec<_>> = Box::leak(Box::default());
    let runtime = runtime(1);
    let (begun, has_begun) = unlimited();
    runtime.spawn(move || {
        let outer = Says("outer", order);
        scope(|s| {
            s.spawn(|| {
                let inner = Says("inner", outer.1);
                scope(|s| {
                    s.spawn(|| {
                        let _leaf = Says("leaf", inner.1);
                        begun.try_send(()).unwrap();
                        sleep(FOR_EVER);
                    });
                })
            });
            // The body waits too, in its own way.
            sleep(FOR_EVER);
        })
    });
    has_begun.recv().wait().unwrap();
    drop(runtime);
    assert_eq!(*order.lock(), ["leaf", "inner", "outer"]);
}

#[test]
fn a_thread_that_waits_for_its_children_wakes_when_their_runtime_ends() {
    let runtime = runtime(1);
    let handle = runtime.handle().clone();
    let order = Mutex::new(Vec::new());
    let (begun, has_begun) = unlimited();
    std::thread::scope(|threads| {
        let owner = threads.spawn(|| {
            let outcome = Scope::builder().on(&handle).run(|s| {
                s.spawn(|| {
                    let _child = Says("child", &order);
                    begun.try_send(()).unwrap();
                    sleep(FOR_EVER);
                });
            });
            order.lock().push("owner");
            outcome
        });
        has_begun.recv().wait().unwrap();
        drop(runtime);
        drop(owner.join().unwrap());
    });
    assert_eq!(*order.lock(), ["child", "owner"]);
}

#[test]
fn ten_thousand_children_end_in_one_scope() {
    const CHILDREN: usize = if cfg!(miri) { 50 } else { 10_000 };
    let runtime = runtime(2);
    let sum = within(&runtime, || {
        let sum = AtomicUsize::new(0);
        scope(|s| {
            for n in 0..CHILDREN {
                let sum = &sum;
                s.spawn(move || {
                    yield_now();
                    sum.fetch_add(n, Ordering::Relaxed);
                });
            }
        })
        .unwrap();
        sum.into_inner()
    });
    assert_eq!(sum, CHILDREN * (CHILDREN - 1) / 2);
    assert!(runtime.handle().wait_idle(None));
}
