// SPDX-License-Identifier: BSD-3-Clause
//! A channel of snapshots of a channel, one each period.
//!
//! ```text
//!   Receiver<Snapshot> ══► pipe ──hook──► Watch ──weak──► the watched channel
//!                           ▲               │ ▲
//!                           └─────weak──────┘ │ while it is set
//!                                           timer
//! ```
//!
//! One [`Timers`] of the process runs all periods: nothing polls, and between two snapshots nothing
//! runs. The watch refers to both channels weakly, so it neither keeps them alive nor counts as a
//! handle of the watched channel. It belongs to the pipe, through the pipe's undelivered hook: when
//! the last receiver of snapshots is dropped, the pipe, its watch and the timer are dropped with
//! it.
//!
//! # Invariants
//!
//! 1. The thread that runs a period holds the pipe during that, and sets the next timer before it
//!    releases it. So a timer is set only while the pipe exists, and [`Guard::drop`] finds it.
//! 2. The pipe's count of senders is one more than its handles, until the watch closes it.

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::builder::Builder;
use crate::channel::Channel;
use crate::channel::Overflow;
use crate::counters::Snapshot;
use crate::handle::{Receiver, Sender};
use crate::sync::Ordering;
use crate::timer::{self, Key, SetError, Timers};

/// Snapshots that the pipe holds for a slow reader.
const SNAPSHOTS_MAX: usize = 16;

/// A shorter period is taken as this.
const PERIOD_MIN: Duration = Duration::from_millis(1);

static PERIODS: Timers<Arc<dyn Periodic>> =
    Timers::new("becket-metrics", |watch, now| watch.run(now));

/// A watch on a channel of any value type.
trait Periodic: Send + Sync {
    fn run(self: Arc<Self>, now: Instant);
    fn stop(&self);
}

struct Watch<T> {
    watched: Weak<Channel<T>>,
    every: Duration,
    next: Mutex<Next>,
}

struct Next {
    due: Instant,
    timer: Option<Key>,
    pipe: Weak<Channel<Snapshot>>,
}

/// Dropped with the pipe; stops the watch.
struct Guard(Arc<dyn Periodic>);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.stop();
    }
}

macro_rules! metrics {
    ($handle:ident) => {
        impl<T: Send + 'static> $handle<T> {
            /// A channel that receives a snapshot each period, the first after the first period. A
            /// period of less than a millisecond is taken as one.
            ///
            /// It holds the newest 16: a slow reader misses older snapshots, but no information,
            /// since the counts start at the channel's creation and each snapshot has its time.
            /// [`rate`](crate::rate) computes rates between any two.
            ///
            /// It closes at the end of the period in which the channel ended: after the snapshot
            /// that shows the channel closed and empty, or without a last one if all handles are
            /// gone. It neither keeps the channel alive nor counts as a handle, and when the last
            /// receiver of its snapshots is dropped, it stops at once. All such channels share one
            /// thread of the process, which sleeps in between.
            pub fn metrics(&self, every: Duration) -> Receiver<Snapshot> {
                watch(Arc::downgrade(&self.channel), every)
            }
        }
    };
}

metrics!(Sender);
metrics!(Receiver);

fn watch<T: Send + 'static>(watched: Weak<Channel<T>>, every: Duration) -> Receiver<Snapshot> {
    let every = every.max(PERIOD_MIN);
    let next = Next { due: timer::after(every), timer: None, pipe: Weak::new() };
    let watch = Arc::new(Watch { watched, every, next: Mutex::new(next) });
    let guard = Guard(watch.clone());
    let (sender, receiver) = Builder::bounded(SNAPSHOTS_MAX)
        .overflow(Overflow::DropOldest)
        .on_undelivered(move |_| {
            // Captured only to be dropped with the pipe.
            let _ = &guard;
        })
        .build();
    // The watch's own count, without a handle (invariant 2).
    sender.channel.senders.fetch_add(1, Ordering::Relaxed);
    let mut next = watch.next.lock();
    next.pipe = Arc::downgrade(&sender.channel);
    watch.set(&mut next, &sender);
    drop(next);
    receiver
}

impl<T: Send + 'static> Watch<T> {
    fn set(self: &Arc<Self>, next: &mut Next, pipe: &Sender<Snapshot>) {
        match PERIODS.set(next.due, self.clone()) {
            Ok(timer) => next.timer = Some(timer),
            Err(SetError { cause, .. }) => {
                pipe.close_with(format!("no timer can be set: {cause}"));
            }
        }
    }
}

impl<T: Send + 'static> Periodic for Watch<T> {
    fn run(self: Arc<Self>, now: Instant) {
        let Some(pipe) = self.next.lock().pipe.upgrade() else {
            return;
        };
        pipe.senders.fetch_add(1, Ordering::Relaxed);
        let pipe = Sender { channel: pipe };
        let Some(snapshot) = self.watched.upgrade().map(|channel| channel.snapshot()) else {
            pipe.close();
            return;
        };
        let over = snapshot.closed && snapshot.len == 0;
        let heard = pipe.try_send(snapshot).is_ok();
        if over || !heard {
            pipe.close();
            return;
        }
        let mut next = self.next.lock();
        // At regular intervals, unless it was late by a whole period.
        let due = next.due.checked_add(self.every).filter(|due| *due > now);
        next.due = due.unwrap_or_else(|| timer::after(self.every));
        self.set(&mut next, &pipe);
    }

    fn stop(&self) {
        let timer = self.next.lock().timer.take();
        drop(timer.and_then(|timer| PERIODS.cancel(timer)));
    }
}

#[cfg(test)]
#[cfg(not(feature = "loom"))]
mod tests {
    use super::*;
    use crate::{RecvError, bounded, unlimited};

    const SHORT: Duration = Duration::from_millis(2);
    const LONG: Duration = Duration::from_secs(3600);

    #[test]
    fn timed_snapshots_come_each_period_and_count_on() {
        let (tx, rx) = unlimited();
        let begun = Instant::now();
        let metrics = rx.metrics(SHORT);
        tx.try_send(1).unwrap();
        let first = metrics.recv().wait().unwrap();
        assert!(first.taken_at - begun >= SHORT);
        tx.try_send(2).unwrap();
        rx.try_recv().unwrap();
        let later = metrics.iter().find(|snapshot| snapshot.receives == 1).unwrap();
        assert_eq!((later.sends, later.len, later.closed), (2, 1, false));
        assert!(later.taken_at > first.taken_at);
        assert!(!metrics.is_closed());
    }

    #[test]
    fn timed_snapshots_end_when_the_channel_is_closed_and_drained() {
        let (tx, rx) = unlimited();
        tx.try_send(1).unwrap();
        let metrics = tx.metrics(SHORT);
        tx.close();
        let closed = metrics.iter().find(|snapshot| snapshot.closed).unwrap();
        assert_eq!(closed.len, 1, "not before it is drained");
        rx.try_recv().unwrap();
        let last = metrics.iter().last().unwrap();
        assert!(last.closed && last.len == 0 && last.receives == 1);
        assert_eq!(metrics.recv().wait(), Err(RecvError::Closed));
    }

    #[test]
    fn timed_snapshots_end_when_all_handles_are_gone() {
        let (tx, rx) = bounded::<u8>(1);
        let metrics = tx.metrics(SHORT);
        assert!(metrics.recv().wait().is_ok());
        drop((tx, rx));
        metrics.iter().for_each(drop);
        assert_eq!(metrics.recv().wait(), Err(RecvError::Closed));
    }

    #[test]
    fn timed_snapshots_are_no_handle_and_keep_nothing_alive() {
        let alive = Arc::new(());
        let hook = alive.clone();
        let (tx, rx) =
            Builder::<u8>::bounded(1).on_undelivered(move |_| drop(hook.clone())).build();
        let _metrics = (tx.metrics(LONG), rx.metrics(LONG));
        drop(tx);
        assert!(rx.is_closed());
        assert_eq!(Arc::strong_count(&alive), 2);
        drop(rx);
        assert_eq!(Arc::strong_count(&alive), 1);
    }

    #[test]
    fn timed_snapshots_stop_without_a_receiver() {
        let (tx, _rx) = bounded::<u8>(1);
        let metrics = tx.metrics(LONG);
        let second = metrics.clone();
        assert_eq!(Arc::weak_count(&tx.channel), 1);
        drop(metrics);
        assert_eq!(Arc::weak_count(&tx.channel), 1);
        drop(second);
        assert_eq!(Arc::weak_count(&tx.channel), 0, "neither a watch nor a timer is left");
    }

    #[test]
    fn timed_snapshots_are_the_newest_for_a_slow_reader() {
        let (tx, _rx) = bounded::<u8>(1);
        let slow = tx.metrics(SHORT);
        // Watched by a second snapshot channel until the first one drops a snapshot.
        let overflow = slow.metrics(SHORT).iter().find(|snapshot| snapshot.dropped > 0).unwrap();
        assert_eq!((overflow.len, overflow.capacity), (SNAPSHOTS_MAX, Some(SNAPSHOTS_MAX)));
        let kept: Vec<_> = slow.iter().take(2 * SNAPSHOTS_MAX).collect();
        assert!(kept.is_sorted_by_key(|snapshot| snapshot.taken_at));
    }
}
