// SPDX-License-Identifier: BSD-3-Clause
//! Models: small programs over this crate's own code, each run by loom under every interleaving of
//! its threads in which at most `LOOM_MAX_PREEMPTIONS` of them (2 by default) are preempted, and
//! with every value that each load may see.
//!
//! | file | contents |
//! |---|---|
//! | `lock` | the raw lock |
//! | `ring` | the ring, fast and slow |
//! | `past` | an unlimited channel that holds more values than its ring |
//! | `kinds` | one sender and one receiver that wait for each other, on each kind |
//! | `crowd` | two operations on one side |
//! | `direct` | sends to a receive that waits, beside its drop and a close |
//! | `ready` | operations that do not wait, beside some that do; overflow; batches |
//! | `end` | closing, dropped operations, dropped handles |
//! | `back` | requeued values, and the removal of the newest values |
//! | `token` | tokens, and wakers that change |
//! | `select` | selects that match each other |
//! | `spsc` | one sender, one receiver, with plain stores |
//!
//! Each model states its result: which values arrive, in which order, and where the others are.
//! Beyond that, after each run:
//!
//! 1. Every [`Value`] was dropped once, and was read by its receiver only after it was written.
//! 2. Every waker was dropped.
//! 3. `sends = receives + len + undelivered` (in the models that call [`balance`]).
//!
//! A sleeper that is never woken is a deadlock, which loom reports.

mod back;
mod crowd;
mod direct;
mod end;
mod kinds;
mod lock;
mod past;
mod ready;
mod ring;
mod select;
mod spsc;
mod token;

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use loom::cell::UnsafeCell;
use loom::thread::{self, JoinHandle, Thread};

use crate::{Builder, Receiver, RecvError, SendError, Sender};

const PREEMPTIONS: usize = 2;

thread_local! {
    /// Values and wakers that are alive: all of loom's threads run on one thread of the system.
    static VALUES: Cell<isize> = const { Cell::new(0) };
    static WAKERS: Cell<isize> = const { Cell::new(0) };
    /// The undelivered values of this run.
    static LOST: RefCell<Vec<u32>> = const { RefCell::new(Vec::new()) };
}

/// Runs a model under every interleaving.
fn model(run: impl Fn() + Send + Sync + 'static) {
    explore(0, run);
}

/// As [`model`] with one preemption less, for three threads that do more than a few steps each.
fn large_model(run: impl Fn() + Send + Sync + 'static) {
    explore(1, run);
}

/// As [`model`] with two preemptions less, for three threads that each wait: with one more it takes
/// too long for a check.
fn huge_model(run: impl Fn() + Send + Sync + 'static) {
    explore(2, run);
}

fn explore(fewer: usize, run: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    let preemptions = builder.preemption_bound.unwrap_or(PREEMPTIONS);
    builder.preemption_bound = Some(preemptions.saturating_sub(fewer));
    builder.max_branches = 5_000;
    let runs = Arc::new(AtomicUsize::new(0));
    let count = runs.clone();
    builder.check(move || {
        VALUES.set(0);
        WAKERS.set(0);
        LOST.take();
        count.fetch_add(1, Ordering::Relaxed);
        // The first use initialises it; that must not order two of the model's threads.
        crate::sync::light();
        crate::sync::unpark_one(0);
        run();
        assert_eq!(VALUES.get(), 0, "values made and not dropped, or dropped twice");
        assert_eq!(WAKERS.get(), 0, "wakers cloned and not dropped, or dropped twice");
    });
    let name = std::thread::current().name().map(str::to_owned).unwrap_or_default();
    println!("{name}: {} runs", runs.load(Ordering::Relaxed));
}

/// A value that detects a read before it was written.
#[derive(Debug)]
struct Value {
    number: u32,
    body: UnsafeCell<u32>,
}

impl Value {
    fn new(number: u32) -> Self {
        VALUES.set(VALUES.get() + 1);
        let body = UnsafeCell::new(0);
        // SAFETY: it is ours.
        body.with_mut(|body| unsafe { *body = number });
        Self { number, body }
    }

    /// Returns the number, and drops the value.
    fn open(self) -> u32 {
        // SAFETY: it is ours; loom checks that it was written before.
        let body = self.body.with(|body| unsafe { *body });
        assert_eq!(body, self.number);
        body
    }
}

impl Drop for Value {
    fn drop(&mut self) {
        VALUES.set(VALUES.get() - 1);
    }
}

/// Sends undelivered values to [`lost`].
trait Counted: Sized {
    fn channel(self) -> (Sender<Value>, Receiver<Value>);
}

impl Counted for Builder<Value> {
    fn channel(self) -> (Sender<Value>, Receiver<Value>) {
        self.on_undelivered(|value: Value| {
            let number = value.open();
            LOST.with_borrow_mut(|lost| lost.push(number));
        })
        .build()
    }
}

/// The undelivered values so far, in the order of the hook's calls.
fn lost() -> Vec<u32> {
    LOST.with_borrow(Clone::clone)
}

/// With no operation in flight, the counters agree with each other and with `sends` and `receives`.
fn balance(tx: &Sender<Value>, sends: u64, receives: u64) {
    let seen = tx.snapshot();
    assert_eq!(seen.sends, sends, "sends: {seen:?}");
    assert_eq!(seen.receives, receives, "receives: {seen:?}");
    assert_eq!(seen.sends, seen.receives + seen.len as u64 + seen.undelivered, "{seen:?}");
    assert_eq!((seen.senders_waiting, seen.receivers_waiting), (0, 0), "{seen:?}");
}

fn spawn<R: 'static>(run: impl FnOnce() -> R + 'static) -> JoinHandle<R> {
    thread::spawn(run)
}

fn join<R>(thread: JoinHandle<R>) -> R {
    thread.join().unwrap()
}

/// Sends as a task. Returns the value that was not sent.
fn send(tx: &Sender<Value>, number: u32) -> Result<(), u32> {
    block_on(tx.send(Value::new(number))).map_err(|error| error.into_inner().open())
}

/// Sends as a thread.
fn send_wait(tx: &Sender<Value>, number: u32) -> Result<(), u32> {
    tx.send(Value::new(number)).wait().map_err(|error| error.into_inner().open())
}

/// Receives as a task.
fn recv(rx: &Receiver<Value>) -> Result<u32, RecvError> {
    block_on(rx.recv()).map(Value::open)
}

/// Receives as a thread.
fn recv_wait(rx: &Receiver<Value>) -> Result<u32, RecvError> {
    rx.recv().wait().map(Value::open)
}

fn opened(sent: Result<(), SendError<Value>>) -> Result<(), u32> {
    sent.map_err(|error| error.into_inner().open())
}

fn sorted(mut numbers: Vec<u32>) -> Vec<u32> {
    numbers.sort_unstable();
    numbers
}

/// A task's signal: the thread that runs the task sleeps until it is woken.
struct Signal {
    thread: Thread,
    woken: AtomicBool,
}

impl Signal {
    fn new() -> Arc<Self> {
        WAKERS.set(WAKERS.get() + 1);
        Arc::new(Self { thread: thread::current(), woken: AtomicBool::new(false) })
    }

    fn sleep(&self) {
        while !self.woken.swap(false, Ordering::Relaxed) {
            thread::park();
        }
    }
}

impl Wake for Signal {
    fn wake(self: Arc<Self>) {
        self.woken.store(true, Ordering::Relaxed);
        self.thread.unpark();
    }
}

impl Drop for Signal {
    fn drop(&mut self) {
        WAKERS.set(WAKERS.get() - 1);
    }
}

/// Runs a task to its end. (Loom's own version also wakes it spuriously, and prints.)
fn block_on<F: Future>(task: F) -> F::Output {
    let mut task = pin!(task);
    let signal = Signal::new();
    let waker = Waker::from(signal.clone());
    loop {
        match task.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => signal.sleep(),
        }
    }
}

/// Polls it once, with a waker that does nothing.
fn poll_once<F: Future>(task: std::pin::Pin<&mut F>) -> Poll<F::Output> {
    task.poll(&mut Context::from_waker(Waker::noop()))
}
