// SPDX-License-Identifier: BSD-3-Clause
//! The basic operations.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::{
    cell::{Cell, RefCell},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use becket_chan::{bounded, rendezvous};
use becket_coro::{Clock, Runtime, VirtualClock, current, now, sleep, spawn, yield_now};

/// `count`, or a few under miri.
fn times(count: u32) -> u32 {
    if cfg!(miri) { 10 } else { count }
}

fn runtime(workers: usize) -> Runtime {
    Runtime::builder().workers(workers).build().unwrap()
}

#[test]
fn a_coroutine_runs_and_is_joined() {
    assert_eq!(spawn(|| 6 * 7).join().unwrap(), 42);
}

#[test]
fn coroutines_spawn_and_join_coroutines_on_one_worker() {
    let rt = runtime(1);
    let sum = rt.spawn(|| (0..times(100)).map(|n| spawn(move || n).join().unwrap()).sum::<u32>());
    assert_eq!(sum.join().unwrap(), (0..times(100)).sum());
}

#[test]
fn a_panic_reaches_the_joiner() {
    let error = spawn(|| panic!("said so")).join().unwrap_err();
    assert_eq!(error.message(), Some("said so"));
}

#[test]
fn two_coroutines_meet_on_one_worker() {
    let rt = runtime(1);
    let (tx, rx) = rendezvous();
    let sender = rt.spawn(move || (0..times(1000)).for_each(|n| tx.send(n).wait().unwrap()));
    let receiver = rt.spawn(move || rx.iter().sum::<u32>());
    sender.join().unwrap();
    assert_eq!(receiver.join().unwrap(), (0..times(1000)).sum());
}

#[test]
fn coroutines_threads_and_workers_share_a_channel() {
    let rt = runtime(2);
    let (tx, rx) = bounded(4);
    let senders: Vec<_> = (0..8)
        .map(|_| {
            let tx = tx.clone();
            rt.spawn(move || (0..times(1000)).for_each(|n| tx.send(n).wait().unwrap()))
        })
        .collect();
    drop(tx);
    assert_eq!(rx.iter().count(), 8 * times(1000) as usize);
    senders.into_iter().for_each(|sender| sender.join().unwrap());
}

#[test]
fn yields_take_turns() {
    let rt = runtime(1);
    let turns = Arc::new(AtomicUsize::new(0));
    let all: Vec<_> = (0..4)
        .map(|_| {
            let turns = Arc::clone(&turns);
            rt.spawn(move || {
                (0..times(100)).for_each(|_| {
                    turns.fetch_add(1, Ordering::Relaxed);
                    yield_now();
                });
            })
        })
        .collect();
    all.into_iter().for_each(|one| one.join().unwrap());
    assert_eq!(turns.load(Ordering::Relaxed), 4 * times(100) as usize);
}

#[test]
fn virtual_time_jumps() {
    let clock = VirtualClock::automatic();
    let rt = Runtime::builder().workers(2).clock(Clock::Virtual(clock)).build().unwrap();
    let slept = rt.spawn(|| {
        let before = now();
        let other = spawn(|| sleep(Duration::from_secs(7200)));
        sleep(Duration::from_secs(3600));
        other.join().unwrap();
        now() - before
    });
    assert_eq!(slept.join().unwrap(), Duration::from_secs(7200));
}

#[test]
fn real_sleeps_end_not_before_their_time() {
    let slept = spawn(|| {
        let begun = Instant::now();
        sleep(Duration::from_millis(5));
        begun.elapsed()
    });
    assert!(slept.join().unwrap() >= Duration::from_millis(5));
}

#[test]
fn the_end_of_a_runtime_unwinds_what_waits() {
    struct Flag(Arc<AtomicUsize>);
    impl Drop for Flag {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }
    let rt = runtime(2);
    let dropped = Arc::new(AtomicUsize::new(0));
    let (tx, rx) = rendezvous::<u8>();
    let (started, starts) = bounded(16);
    let waiting: Vec<_> = (0..10)
        .map(|_| {
            let (flag, rx, started) = (Flag(Arc::clone(&dropped)), rx.clone(), started.clone());
            rt.spawn(move || {
                let _flag = flag;
                started.send(()).wait().unwrap();
                let _ = rx.recv().wait();
            })
        })
        .collect();
    for _ in 0..10 {
        starts.recv().wait().unwrap();
    }
    drop(rt);
    assert_eq!(dropped.load(Ordering::SeqCst), 10);
    for one in waiting {
        assert!(matches!(one.join(), Err(becket_coro::JoinError::Cancelled)));
    }
    drop(tx);
}

#[test]
fn a_coroutine_knows_itself() {
    let (id, name) = becket_coro::Spawn::new()
        .name("me")
        .spawn(|| current().map(|me| (me.id(), me.name())).unwrap())
        .unwrap()
        .join()
        .unwrap();
    assert_eq!(name.as_deref(), Some("me"));
    assert!(id.get() != 0);
    assert!(current().is_none());
}

/// While one value is in use: the coroutine waits, other values are made, and the same one is reached
/// again.
#[test]
fn a_local_stays_where_it_is_while_it_is_used() {
    becket_coro::coroutine_local! {
        static FIRST: RefCell<String> = RefCell::new("first".into());
        static SECOND: Cell<u32> = SECOND_DEPENDS.with(|start| Cell::new(*start));
        static SECOND_DEPENDS: u32 = 7;
        static THIRD: Vec<u32> = vec![1, 2, 3];
    }
    let body = || {
        FIRST.with(|first| {
            let before = std::ptr::from_ref(first);
            SECOND.with(|second| second.set(second.get() + THIRD.with(Vec::len) as u32));
            yield_now();
            FIRST.with(|again| assert!(std::ptr::eq(before, again)));
            first.borrow_mut().push_str(", used");
        });
        (FIRST.with(|first| first.borrow().clone()), SECOND.with(Cell::get))
    };
    let rt = runtime(1);
    let both = [rt.spawn(body), rt.spawn(body)];
    for it in both {
        assert_eq!(it.join().unwrap(), ("first, used".to_owned(), 10));
    }
    assert_eq!(body(), ("first, used".to_owned(), 10));
}

#[test]
fn a_dispatcher_of_the_current_runtime_has_its_workers() {
    let runtime = Runtime::builder().workers(7).build().unwrap();
    let threads = runtime.spawn(|| becket_coro::Dispatcher::current().threads_max());
    assert_eq!(threads.join().unwrap(), 7);
}
