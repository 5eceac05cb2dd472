// SPDX-License-Identifier: BSD-3-Clause
//! Workers poll sources outside of the process, and sleep in the only one; a thread that waits for a
//! future does so with the one that it has used.
//!
//! The sources are the process's: a worker of another test's runtime would claim them. So this is a
//! program of its own.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Poll, Waker};
use std::time::Instant;

use becket_coro::Runtime;
use becket_coro::outside::{self, Source};
use parking_lot::{Condvar, Mutex};

/// Messages that only a poll delivers.
#[derive(Default)]
struct Mailbox {
    state: Mutex<State>,
    changed: Condvar,
    claimed: AtomicBool,
}

#[derive(Default)]
struct State {
    /// Messages that no poll has delivered yet.
    brought: usize,
    /// Messages delivered by a poll, not yet received.
    delivered: usize,
    waiting: Option<Waker>,
    sleeps: usize,
    is_asleep: bool,
    kicks: usize,
    /// The number of times that the worker gave up its claim.
    releases: usize,
}

impl Mailbox {
    fn bring(&self) {
        self.state.lock().brought += 1;
        self.changed.notify_all();
    }

    /// Receives a message in the calling coroutine or thread.
    fn receive(&self) {
        self.receive_by(|| {});
    }

    /// The same, with what each poll does first.
    fn receive_by(&self, first: impl Fn()) {
        becket_coro::block_on(poll_fn(|context| {
            first();
            let mut state = self.state.lock();
            if state.delivered > 0 {
                state.delivered -= 1;
                return Poll::Ready(());
            }
            state.waiting = Some(context.waker().clone());
            Poll::Pending
        }));
    }

    fn wait_until(&self, holds: impl Fn(&State) -> bool) {
        let mut state = self.state.lock();
        while !holds(&state) {
            self.changed.wait(&mut state);
        }
    }
}

impl Source for Mailbox {
    fn claim(&self) -> bool {
        !self.claimed.swap(true, Ordering::SeqCst)
    }

    fn retain(self: Arc<Self>) {}

    fn resume(&self) -> bool {
        true
    }

    fn release(self: Arc<Self>) {
        assert!(self.claimed.swap(false, Ordering::SeqCst));
        self.state.lock().releases += 1;
        self.changed.notify_all();
    }

    fn poll(self: Arc<Self>) -> bool {
        let waker = {
            let mut state = self.state.lock();
            let brought = std::mem::take(&mut state.brought);
            state.delivered += brought;
            if brought == 0 {
                return false;
            }
            self.changed.notify_all();
            state.waiting.take()
        };
        waker.into_iter().for_each(Waker::wake);
        true
    }

    fn may_come_soon(&self) -> bool {
        false
    }

    fn sleep(&self, _deadline: Option<Instant>, is_awake: &dyn Fn() -> bool) {
        let mut state = self.state.lock();
        let kicks = state.kicks;
        state.sleeps += 1;
        state.is_asleep = true;
        self.changed.notify_all();
        while state.brought == 0 && state.kicks == kicks && !is_awake() {
            self.changed.wait(&mut state);
        }
        state.is_asleep = false;
    }

    fn kick(&self) {
        self.state.lock().kicks += 1;
        self.changed.notify_all();
    }
}

fn mailbox() -> (Arc<Mailbox>, outside::Registered) {
    let mailbox = Arc::new(Mailbox::default());
    let source: Arc<dyn Source> = mailbox.clone();
    let registered = outside::register(Arc::downgrade(&source));
    (mailbox, registered)
}

/// One test after the other: the sources are the process's.
#[test]
fn workers_look_after_sources() {
    a_worker_sleeps_in_the_only_source();
    a_worker_that_sleeps_there_is_woken_for_other_work();
    of_two_sources_it_lets_go_before_it_sleeps();
    a_thread_sleeps_in_the_source_that_it_has_used();
    a_thread_that_sleeps_there_is_woken_by_other_threads();
    a_thread_parks_once_its_source_is_no_more();
}

fn a_worker_sleeps_in_the_only_source() {
    let (mailbox, _registered) = mailbox();
    let runtime = Runtime::builder().workers(1).build().unwrap();
    let own = mailbox.clone();
    let receiving = runtime.spawn(move || (0..100).for_each(|_| own.receive()));
    for _ in 0..100 {
        mailbox.wait_until(|state| state.is_asleep && state.waiting.is_some());
        mailbox.bring();
        mailbox.wait_until(|state| state.brought == 0);
    }
    receiving.join().unwrap();
    assert!(mailbox.state.lock().sleeps >= 100);
    drop(runtime);
    assert!(!mailbox.claimed.load(Ordering::SeqCst), "a worker that ends lets go");
}

fn a_worker_that_sleeps_there_is_woken_for_other_work() {
    let (mailbox, _registered) = mailbox();
    let runtime = Runtime::builder().workers(1).build().unwrap();
    let (tx, rx) = becket_chan::bounded(1);
    let echo = runtime.spawn(move || rx.iter().sum::<u32>());
    for number in 0..100 {
        mailbox.wait_until(|state| state.is_asleep);
        tx.send(number).wait().unwrap();
        assert_eq!(runtime.spawn(move || number).join().unwrap(), number);
    }
    drop(tx);
    assert_eq!(echo.join().unwrap(), (0..100).sum());
    assert!(mailbox.state.lock().kicks >= 100);
}

fn of_two_sources_it_lets_go_before_it_sleeps() {
    let ((one, _first), (other, _second)) = (mailbox(), mailbox());
    let runtime = Runtime::builder().workers(1).build().unwrap();
    assert_eq!(runtime.spawn(|| 7).join().unwrap(), 7);
    for mailbox in [&one, &other] {
        mailbox.wait_until(|state| state.releases > 0);
        assert_eq!(mailbox.state.lock().sleeps, 0);
    }
    // The worker still polls both whenever it is idle for another reason.
    one.bring();
    assert_eq!(runtime.spawn(|| 8).join().unwrap(), 8);
    one.wait_until(|state| state.brought == 0 || state.releases > 1);
}

fn a_thread_sleeps_in_the_source_that_it_has_used() {
    let ((used, registered), (other, _other)) = (mailbox(), mailbox());
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..100 {
                used.receive_by(|| registered.mark_used());
            }
        });
        for _ in 0..100 {
            used.wait_until(|state| state.is_asleep && state.waiting.is_some());
            used.bring();
            used.wait_until(|state| state.brought == 0);
        }
    });
    assert!(used.state.lock().sleeps >= 100);
    assert!(!other.claimed.load(Ordering::SeqCst), "another source is not touched");
}

fn a_thread_that_sleeps_there_is_woken_by_other_threads() {
    let (mailbox, registered) = mailbox();
    let (tx, rx) = becket_chan::bounded(1);
    let receiving = std::thread::scope(|scope| {
        let receiving = scope.spawn(|| {
            // The mark lasts for the whole wait: the second message is waited for like the first.
            becket_coro::block_on(async {
                registered.mark_used();
                (rx.recv().await, rx.recv().await)
            })
        });
        for number in [1, 2] {
            mailbox.wait_until(|state| state.is_asleep && state.sleeps >= number);
            tx.send(number).wait().unwrap();
        }
        receiving.join().unwrap()
    });
    assert_eq!(receiving, (Ok(1), Ok(2)));
    assert!(mailbox.state.lock().kicks >= 1);
}

fn a_thread_parks_once_its_source_is_no_more() {
    let (mailbox, registered) = mailbox();
    let registered = Mutex::new(Some(registered));
    let (tx, rx) = becket_chan::bounded(1);
    std::thread::scope(|scope| {
        let receiving = scope.spawn(|| {
            becket_coro::block_on(async {
                registered.lock().as_ref().unwrap().mark_used();
                rx.recv().await
            })
        });
        mailbox.wait_until(|state| state.is_asleep);
        drop(registered.lock().take());
        mailbox.kick();
        mailbox.wait_until(|state| state.releases > 0);
        tx.send(7).wait().unwrap();
        assert_eq!(receiving.join().unwrap(), Ok(7));
    });
    assert!(!mailbox.claimed.load(Ordering::SeqCst));
}
