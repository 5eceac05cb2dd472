// SPDX-License-Identifier: BSD-3-Clause
//! Sleeps, polled by hand and on an executor.

use std::{
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
        mpsc::{Receiver, Sender, channel},
    },
    task::Wake,
};

use futures_lite::future;

use super::*;

const FOREVER: Duration = Duration::from_secs(3600);

/// A waker that counts its wakes and sends a message at each.
struct CountingWaker {
    wakes: AtomicUsize,
    sender: Sender<()>,
}

impl CountingWaker {
    fn new() -> (Arc<Self>, Receiver<()>) {
        let (sender, woken) = channel();
        (Arc::new(Self { wakes: AtomicUsize::new(0), sender }), woken)
    }

    fn wakes(&self) -> usize {
        self.wakes.load(Ordering::SeqCst)
    }
}

impl Wake for CountingWaker {
    fn wake(self: Arc<Self>) {
        self.wakes.fetch_add(1, Ordering::SeqCst);
        // A test that is over has dropped the receiver.
        let _ = self.sender.send(());
    }
}

fn poll(sleep: Pin<&mut Sleep>, counter: &Arc<CountingWaker>) -> Poll<()> {
    sleep.poll(&mut Context::from_waker(&counter.clone().into()))
}

#[test]
fn it_is_ready_at_its_instant_and_not_before() {
    let before = Instant::now();
    let duration = Duration::from_millis(3);
    future::block_on(sleep(duration));
    assert!(before.elapsed() >= duration);
    // In the past.
    future::block_on(sleep_until(before));
    assert!(future::block_on(future::poll_once(sleep(FOREVER))).is_none());
}

#[test]
fn it_wakes_the_waker_of_its_last_poll() {
    let (first, _woken) = CountingWaker::new();
    let (second, woken) = CountingWaker::new();
    let mut short = pin!(sleep(Duration::from_millis(3)));
    // It may be over at once, on a machine that is slow enough.
    let _ = poll(short.as_mut(), &first);
    while poll(short.as_mut(), &second).is_pending() {
        woken.recv().unwrap();
    }

    let mut long = pin!(sleep(FOREVER));
    let idle = Arc::strong_count(&first);
    assert!(poll(long.as_mut(), &first).is_pending());
    assert!(Arc::strong_count(&first) > idle);
    assert!(poll(long.as_mut(), &second).is_pending());
    assert_eq!(Arc::strong_count(&first), idle, "the first is not waited for any more");
}

#[test]
fn a_repeated_poll_sets_no_second_timer() {
    let (counter, _woken) = CountingWaker::new();
    // A clone, since `will_wake` is only guaranteed for clones.
    let waker = Waker::from(counter.clone()).clone();
    let mut sleep = pin!(sleep(FOREVER));
    let mut keys = Vec::new();
    for _ in 0..3 {
        assert!(sleep.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        keys.push(sleep.timer.as_ref().and_then(|(_, timer)| match timer {
            WakeTimer::Process(key) => Some(*key),
            WakeTimer::Scheduler { .. } | WakeTimer::Unset => None,
        }));
    }
    assert!(keys[0].is_some());
    assert!(keys.iter().all(|key| *key == keys[0]));
}

#[test]
fn dropping_it_drops_its_waker() {
    let (counter, _woken) = CountingWaker::new();
    {
        let mut sleep = pin!(sleep(FOREVER));
        assert!(poll(sleep.as_mut(), &counter).is_pending());
        assert!(Arc::strong_count(&counter) > 2);
    }
    assert_eq!(Arc::strong_count(&counter), 1);
    assert_eq!(counter.wakes(), 0);
}

#[test]
fn a_wake_timer_wakes_unless_it_is_dropped() {
    let (counter, woken) = CountingWaker::new();
    let kept = wake_at(after(Duration::from_millis(1)), counter.clone().into());
    drop(wake_at(after(FOREVER), counter.clone().into()));
    woken.recv().unwrap();
    assert!(kept.is_set());
    assert_eq!(counter.wakes(), 1);
    drop(kept);
    // The timer thread drops the waker after it has woken it.
    while Arc::strong_count(&counter) > 1 {
        std::thread::yield_now();
    }
}

#[test]
fn ten_thousand_sleeps_end() {
    let count = if cfg!(miri) { 20 } else { 10_000 };
    let (counter, woken) = CountingWaker::new();
    let mut sleeps: Vec<_> =
        (0..count).map(|number| sleep(Duration::from_micros(number % 20_000))).collect();
    let waker = Waker::from(counter);
    let mut context = Context::from_waker(&waker);
    loop {
        sleeps.retain_mut(|sleep| Pin::new(sleep).poll(&mut context).is_pending());
        if sleeps.is_empty() {
            break;
        }
        woken.recv().unwrap();
        while woken.try_recv().is_ok() {}
    }
}
