// SPDX-License-Identifier: BSD-3-Clause
//! Scopes whose runtime, fiber or owner ends in the middle: no child outlives what it borrows.

use std::sync::Arc;
use std::time::Duration;

use becket_chan::{Token, unlimited};
use becket_coro::fiber::{Fiber, Resumed};
use becket_coro::{JoinError, Runtime, Scope, ScopeError, scope, sleep, spawn, yield_now};
use parking_lot::Mutex;

const FOR_EVER: Duration = Duration::from_secs(1_000_000);

fn runtime(workers: usize) -> Runtime {
    Runtime::builder().workers(workers).build().unwrap()
}

type Order = Arc<Mutex<Vec<&'static str>>>;

/// Adds its name to a list when it is dropped. A child's value borrows the owner's.
struct Says<'a>(&'static str, &'a Order);

impl Drop for Says<'_> {
    fn drop(&mut self) {
        self.1.lock().push(self.0);
    }
}

#[test]
fn an_owner_waits_for_children_of_another_runtime_while_its_own_ends() {
    let order = Order::default();
    let (owners, childrens) = (runtime(1), runtime(1));
    let (begun, has_begun) = unlimited();
    let (stopping, is_stopping) = unlimited();
    let (handle, list) = (childrens.handle().clone(), Arc::clone(&order));
    let owner = owners.spawn(move || {
        let data = Says("data", &list);
        let outcome = Scope::builder().on(&handle).run(|s| {
            s.spawn(|| {
                let _child = Says("child", data.1);
                begun.try_send(()).unwrap();
                // The end of the owner's runtime cancels the scope; this child ends only later.
                s.token().cancelled().wait();
                stopping.try_send(()).unwrap();
                (0..100).for_each(|_| yield_now());
            });
        });
        drop(outcome);
        panic!("it should have been unwound");
    });
    has_begun.recv().wait().unwrap();
    drop(owners);
    assert_eq!(is_stopping.try_recv(), Ok(()));
    assert!(matches!(owner.join(), Err(JoinError::Cancelled)));
    assert_eq!(*order.lock(), ["child", "data"]);
}

#[test]
fn a_scope_in_a_destructor_works_while_its_coroutine_is_unwound() {
    struct Tidies(Order);
    impl Drop for Tidies {
        fn drop(&mut self) {
            let list = &self.0;
            let outcome = scope(|s| s.spawn(|| list.lock().push("never")).join().is_err());
            // The runtime ends: it accepts no coroutines any more, and no scope waits for them.
            if outcome.is_err_and(|error| {
                error.failure().is_some_and(|failure| failure.refusal().is_some())
            }) {
                list.lock().push("refused");
            }
        }
    }
    let order = Order::default();
    let runtime = runtime(1);
    let (begun, has_begun) = unlimited();
    let list = Arc::clone(&order);
    runtime.spawn(move || {
        let _tidies = Tidies(list);
        begun.try_send(()).unwrap();
        sleep(FOR_EVER);
    });
    has_begun.recv().wait().unwrap();
    drop(runtime);
    assert_eq!(*order.lock(), ["refused"]);
}

#[test]
fn a_scope_in_a_destructor_of_a_panic_runs_its_children() {
    struct Tidies<'a>(&'a Order);
    impl Drop for Tidies<'_> {
        fn drop(&mut self) {
            let list = self.0;
            scope(|s| {
                s.spawn(|| {
                    yield_now();
                    list.lock().push("child");
                });
                s.spawn(|| panic!("caught in the child"));
            })
            .unwrap_err();
            list.lock().push("tidied");
        }
    }
    let order = Order::default();
    let list = Arc::clone(&order);
    let runtime = runtime(1);
    let panics = runtime.spawn(move || {
        let _tidies = Tidies(&list);
        panic!("on the way");
    });
    assert_eq!(panics.join().unwrap_err().message(), Some("on the way"));
    assert!(order.lock().ends_with(&["tidied"]));
}

#[test]
fn a_fiber_that_is_dropped_in_a_scope_does_not_leave_its_children_behind() {
    // Whether the child ends while the fiber is being unwound is a matter of time. If not, the
    // fiber stays as it is, and so does what the child borrows.
    for _ in 0..if cfg!(miri) { 2 } else { 50 } {
        let order = Order::default();
        let list = Arc::clone(&order);
        let (begun, has_begun) = unlimited();
        let mut fiber = Fiber::new(0, move || {
            let data = Says("data", &list);
            let _ended = scope(|s| {
                s.spawn(|| {
                    let _child = Says("child", data.1);
                    begun.try_send(()).unwrap();
                    s.token().cancelled().wait();
                });
            });
        })
        .unwrap();
        assert_eq!(fiber.resume(), Ok(Resumed::Parked));
        has_begun.recv().wait().unwrap();
        drop(fiber);
        let order = order.lock().clone();
        assert!(order.is_empty() || order[0] == "child", "{order:?}");
    }
}

#[test]
fn a_fiber_may_wait_for_children() {
    let (ended, has_ended) = unlimited();
    let mut fiber = Fiber::new(0, move || {
        let text = String::from("abc");
        let length = scope(|s| s.spawn(|| text.len()).join().unwrap());
        ended.try_send(length.unwrap()).unwrap();
    })
    .unwrap();
    while fiber.resume().unwrap() != Resumed::Finished {
        while !fiber.is_ready() {
            std::thread::yield_now();
        }
    }
    assert_eq!(has_ended.try_recv(), Ok(3));
}

#[test]
fn many_scopes_end_with_their_runtime_in_the_middle_of_whatever_they_do() {
    for round in 0..if cfg!(miri) { 3 } else { 30 } {
        let order = Order::default();
        let runtime = runtime(2);
        let (begun, has_begun) = unlimited();
        for _ in 0..20 {
            let (list, begun) = (Arc::clone(&order), begun.clone());
            runtime.spawn(move || {
                let outer = Says("outer", &list);
                let _ended = scope(|s| {
                    for _ in 0..5 {
                        s.spawn(|| {
                            let inner = Says("inner", outer.1);
                            let _ended = scope(|s| {
                                s.spawn(|| {
                                    let _leaf = Says("leaf", inner.1);
                                    begun.try_send(()).unwrap();
                                    match round % 3 {
                                        0 => sleep(FOR_EVER),
                                        1 => drop(Token::new().cancelled().wait()),
                                        _ => (0..1000).for_each(|_| yield_now()),
                                    }
                                });
                            });
                        });
                    }
                });
            });
        }
        (0..round).for_each(|_| has_begun.recv().wait().unwrap());
        drop(runtime);
        let order = order.lock();
        let count = |name| order.iter().filter(|entry| **entry == name).count();
        // Every leaf that started was dropped.
        let begun = round + has_begun.try_iter().count();
        assert_eq!(count("leaf"), begun);
        assert!(count("inner") >= begun && count("outer") * 5 >= count("inner"));
    }
}

#[test]
fn a_cancelled_scope_says_that_its_runtime_ended() {
    let runtime = runtime(1);
    let handle = runtime.handle().clone();
    let (begun, has_begun) = unlimited();
    let owner = std::thread::spawn(move || {
        Scope::builder().on(&handle).run(|s| {
            let child = s.spawn(|| {
                begun.try_send(()).unwrap();
                sleep(FOR_EVER);
            });
            child.join().unwrap_err().to_string()
        })
    });
    has_begun.recv().wait().unwrap();
    drop(runtime);
    // Only the child was cancelled, not the scope.
    match owner.join().unwrap() {
        Ok(text) => assert_eq!(text, "cancelled: the runtime was shut down"),
        Err(ScopeError::Cancelled { .. }) => panic!("only the child was"),
        Err(other) => panic!("{other}"),
    }
    assert!(spawn(|| true).join().unwrap(), "the default runtime goes on");
}
