// SPDX-License-Identifier: BSD-3-Clause
//! Sleeps, by hand and on an executor.

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

/// A waker that says when it is woken, and counts.
struct Bell {
    rung: AtomicUsize,
    tell: Sender<()>,
}

impl Bell {
    fn new() -> (Arc<Self>, Receiver<()>) {
        let (tell, told) = channel();
        (Arc::new(Self { rung: AtomicUsize::new(0), tell }), told)
    }

    fn rung(&self) -> usize {
        self.rung.load(Ordering::SeqCst)
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.rung.fetch_add(1, Ordering::SeqCst);
        // A test that is over does not listen.
        let _ = self.tell.send(());
    }
}

fn poll(sleep: Pin<&mut Sleep>, bell: &Arc<Bell>) -> Poll<()> {
    sleep.poll(&mut Context::from_waker(&bell.clone().into()))
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
    let (first, _told) = Bell::new();
    let (second, told) = Bell::new();
    let mut short = pin!(sleep(Duration::from_millis(3)));
    // It may be over at once, on a machine that is slow enough.
    let _ = poll(short.as_mut(), &first);
    while poll(short.as_mut(), &second).is_pending() {
        told.recv().unwrap();
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
    let (bell, _told) = Bell::new();
    // A clone, since only clones are sure to know one another.
    let waker = Waker::from(bell.clone()).clone();
    let mut sleep = pin!(sleep(FOREVER));
    let mut keys = Vec::new();
    for _ in 0..3 {
        assert!(sleep.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        keys.push(sleep.timer.as_ref().and_then(|(_, timer)| timer.key));
    }
    assert!(keys[0].is_some());
    assert!(keys.iter().all(|key| *key == keys[0]));
}

#[test]
fn dropping_it_drops_its_waker() {
    let (bell, _told) = Bell::new();
    {
        let mut sleep = pin!(sleep(FOREVER));
        assert!(poll(sleep.as_mut(), &bell).is_pending());
        assert!(Arc::strong_count(&bell) > 2);
    }
    assert_eq!(Arc::strong_count(&bell), 1);
    assert_eq!(bell.rung(), 0);
}

#[test]
fn a_wake_timer_wakes_unless_it_is_dropped() {
    let (bell, told) = Bell::new();
    let kept = wake_at(after(Duration::from_millis(1)), bell.clone().into());
    drop(wake_at(after(FOREVER), bell.clone().into()));
    told.recv().unwrap();
    assert!(kept.is_set());
    assert_eq!(bell.rung(), 1);
    drop(kept);
    // The timers' thread lets go of the waker after it has rung.
    while Arc::strong_count(&bell) > 1 {
        std::thread::yield_now();
    }
}

#[test]
fn ten_thousand_sleeps_end() {
    let count = if cfg!(miri) { 20 } else { 10_000 };
    let (bell, told) = Bell::new();
    let mut sleeps: Vec<_> =
        (0..count).map(|number| sleep(Duration::from_micros(number % 20_000))).collect();
    let waker = Waker::from(bell);
    let mut context = Context::from_waker(&waker);
    loop {
        sleeps.retain_mut(|sleep| Pin::new(sleep).poll(&mut context).is_pending());
        if sleeps.is_empty() {
            break;
        }
        told.recv().unwrap();
        while told.try_recv().is_ok() {}
    }
}
