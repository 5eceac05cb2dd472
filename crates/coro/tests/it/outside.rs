// SPDX-License-Identifier: BSD-3-Clause
//! Workers poll sources outside of the process, and sleep in the only one.

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
    /// Brought, and not seen by a poll.
    brought: usize,
    /// Seen, and not taken by the waiter.
    delivered: usize,
    waiting: Option<Waker>,
    sleeps: usize,
    is_asleep: bool,
    kicks: usize,
    /// Somebody waits for the worker to let go of it.
    releases: usize,
}

impl Mailbox {
    fn bring(&self) {
        self.state.lock().brought += 1;
        self.changed.notify_all();
    }

    /// Waits in the calling coroutine for a message.
    fn receive(&self) {
        becket_coro::block_on(poll_fn(|context| {
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

/// The sources are the process's, so that one test follows the other.
#[test]
fn workers_look_after_sources() {
    a_worker_sleeps_in_the_only_source();
    a_worker_that_sleeps_there_is_woken_for_other_work();
    of_two_sources_it_lets_go_before_it_sleeps();
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
    // And it still looks at both, whenever it is idle for another reason.
    one.bring();
    assert_eq!(runtime.spawn(|| 8).join().unwrap(), 8);
    one.wait_until(|state| state.brought == 0 || state.releases > 1);
}
