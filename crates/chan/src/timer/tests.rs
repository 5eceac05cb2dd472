// SPDX-License-Identifier: BSD-3-Clause
//! Timers on their thread. Each test has its own `static`, so its own thread.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
        mpsc::{Receiver, Sender, channel},
    },
    thread::ThreadId,
};

use super::*;

const FOREVER: Duration = Duration::from_secs(3600);

struct Report {
    at: Instant,
    now: Instant,
    thread: Option<String>,
    label: u32,
}

struct Task {
    at: Instant,
    label: u32,
    reports: Sender<Report>,
}

fn report(task: Task, now: Instant) {
    let thread = thread::current().name().map(str::to_owned);
    // A test that is over has dropped the receiver.
    let _ = task.reports.send(Report { at: task.at, now, thread, label: task.label });
}

fn set(
    timers: &'static Timers<Task>,
    reports: &Sender<Report>,
    delay: Duration,
    label: u32,
) -> Key {
    let at = after(delay);
    timers.set(at, Task { at, label, reports: reports.clone() }).unwrap()
}

#[test]
fn tasks_run_in_the_order_of_their_instants_and_never_early() {
    static ALL_SET: Mutex<()> = Mutex::new(());
    static TIMERS: Timers<Task> = Timers::new("test-order", |task, now| {
        drop(ALL_SET.lock());
        report(task, now);
    });
    let (reports, arrived) = channel();
    let core = ALL_SET.lock();
    // Before all others, so that none of them runs until the gate opens.
    set(&TIMERS, &reports, Duration::ZERO, 0);
    for label in (1..40).rev() {
        set(&TIMERS, &reports, Duration::from_millis(u64::from(label)), label);
    }
    drop(core);
    let arrived: Vec<Report> = arrived.iter().take(40).collect();
    for report in &arrived {
        assert!(report.now >= report.at);
        assert_eq!(report.thread.as_deref(), Some("test-order"));
    }
    assert!(arrived.is_sorted_by_key(|report| report.at));
    assert_eq!(arrived[0].label, 0);
    assert!(TIMERS.is_empty());
}

#[test]
fn a_cancelled_task_is_returned_and_does_not_run() {
    static TIMERS: Timers<Task> = Timers::new("test-cancel", report);
    let (reports, arrived) = channel();
    let key = set(&TIMERS, &reports, FOREVER, 1);
    assert_eq!(TIMERS.len(), 1);
    assert_eq!(TIMERS.cancel(key).map(|task| task.label), Some(1));
    assert!(TIMERS.cancel(key).is_none());
    let ran = set(&TIMERS, &reports, Duration::ZERO, 2);
    assert_eq!(arrived.recv().unwrap().label, 2);
    assert!(TIMERS.cancel(ran).is_none());
}

#[test]
fn one_that_is_earlier_than_all_others_is_not_late() {
    static TIMERS: Timers<Task> = Timers::new("test-earlier", report);
    let (reports, arrived) = channel();
    set(&TIMERS, &reports, FOREVER, 1);
    wait_until_parked(&TIMERS);
    set(&TIMERS, &reports, Duration::from_millis(1), 2);
    assert_eq!(arrived.recv().unwrap().label, 2);
    wait_until_parked(&TIMERS);
    set(&TIMERS, &reports, Duration::ZERO, 3);
    assert_eq!(arrived.recv().unwrap().label, 3);
}

#[test]
fn one_that_is_later_does_not_wake_the_thread() {
    static TIMERS: Timers<Task> = Timers::new("test-later", report);
    let (reports, _arrived) = channel();
    let first = set(&TIMERS, &reports, FOREVER, 1);
    wait_until_parked(&TIMERS);
    let until = TIMERS.state.lock().parked_until;
    for label in 0..1000 {
        let key = set(&TIMERS, &reports, 2 * FOREVER, label);
        if label % 2 == 0 {
            TIMERS.cancel(key);
        }
        // Waking it begins with setting this to `AWAKE`.
        assert_eq!(TIMERS.state.lock().parked_until, until);
    }
    TIMERS.cancel(first);
    assert_eq!(TIMERS.state.lock().parked_until, until);
}

#[test]
fn a_task_that_panics_does_not_stop_the_others() {
    static TIMERS: Timers<Task> = Timers::new("test-panic", |task, now| {
        assert!(task.label != 0, "as the test wants it");
        report(task, now);
    });
    let (reports, arrived) = channel();
    for label in 0..3 {
        set(&TIMERS, &reports, Duration::ZERO, label);
    }
    assert_eq!(arrived.recv().unwrap().label, 1);
    assert_eq!(arrived.recv().unwrap().label, 2);
}

#[test]
fn a_task_may_set_and_cancel_timers() {
    static TIMERS: Timers<(u32, Sender<ThreadId>)> =
        Timers::new("test-within", |(left, done), now| {
            let never = TIMERS.set(now + FOREVER, (0, done.clone())).unwrap();
            match left.checked_sub(1) {
                Some(left) => drop(TIMERS.set(now, (left, done)).unwrap()),
                None => done.send(thread::current().id()).unwrap(),
            }
            assert!(TIMERS.cancel(never).is_some());
        });
    let (done, ended) = channel();
    TIMERS.set(Instant::now(), (100, done)).unwrap();
    assert_ne!(ended.recv().unwrap(), thread::current().id());
}

#[test]
fn each_of_many_runs_once_or_is_returned_once() {
    static TIMERS: Timers<Arc<Tally>> = Timers::new("test-race", |tally, _| {
        tally.ran.fetch_add(1, Ordering::SeqCst);
        tally.done.send(()).unwrap();
    });
    struct Tally {
        ran: AtomicUsize,
        back: AtomicUsize,
        done: Sender<()>,
    }
    let (done, ended): (Sender<()>, Receiver<()>) = channel();
    let tally = Arc::new(Tally { ran: 0.into(), back: 0.into(), done });
    let (threads, each) = (3, if cfg!(miri) { 30 } else { 3000 });
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                for number in 0..each {
                    let delay = Duration::from_micros(number % 300);
                    let key = TIMERS.set(after(delay), tally.clone()).unwrap();
                    if number % 3 == 0 && TIMERS.cancel(key).is_some() {
                        tally.back.fetch_add(1, Ordering::SeqCst);
                        tally.done.send(()).unwrap();
                    }
                }
            });
        }
    });
    let all = threads * each as usize;
    assert_eq!(ended.iter().take(all).count(), all);
    let (ran, back) = (tally.ran.load(Ordering::SeqCst), tally.back.load(Ordering::SeqCst));
    assert_eq!(ran + back, all);
    assert!(TIMERS.is_empty());
}

#[test]
fn instants_at_the_ends_of_time_are_kept() {
    let start = Instant::now();
    assert_eq!(nanos(start, start), 0);
    assert_eq!(nanos(start, start + Duration::from_nanos(7)), 7);
    assert_eq!(nanos(start + Duration::from_secs(1), start), 0);
    assert_eq!(nanos(start, start + Duration::from_secs(1 << 40)), IDLE - 1);
    assert!(after(Duration::MAX) > start + Duration::from_secs(99 * 365 * 24 * 3600));
}

/// Waits until the thread is parked. It parks by itself, so yielding to it is enough.
fn wait_until_parked<T: Send>(timers: &'static Timers<T>) {
    while timers.state.lock().parked_until == AWAKE {
        thread::yield_now();
    }
}
