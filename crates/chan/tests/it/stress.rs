// SPDX-License-Identifier: BSD-3-Clause
//! Every kind under threads, under tasks on two executors, and under all of them at once.
//!
//! Producers send numbered values in all possible ways, and consumers receive them so; futures are
//! dropped, timeouts and cancellations race with their match, and in half of the runs the channel
//! is closed in the middle. Afterwards each value has had exactly one outcome (received, returned
//! to its sender, or passed to the undelivered hook), each consumer has seen each sender's values
//! in their order, the counters balance, and no value is alive.
//!
//! A lost wake hangs the test.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use crate::common::{Counted, Dice, KINDS, Tally, builder, or_long};
use becket_chan::{
    Kind, Receiver, RecvError, SendError, SendManyError, Sender, Token, TrySendError, rendezvous,
    select, unlimited,
};
use futures_lite::future;

type Job = Pin<Box<dyn Future<Output = ()> + Send>>;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Style {
    Threads,
    Tokio,
    Toy,
    Mixed,
}

const PRODUCERS: u64 = 3;
fn each() -> u64 {
    or_long(400, 1500)
}

/// The outcome of every value.
struct Ledger {
    fates: Vec<AtomicU8>,
    received: AtomicU64,
    tally: Tally,
    canceller: Sender<Token>,
}

impl Ledger {
    /// Records the outcome of this value.
    fn met(&self, id: u64) {
        assert_eq!(self.fates[id as usize].fetch_add(1, Ordering::Relaxed), 0, "{id} came twice");
    }

    /// A token that is cancelled some time soon.
    fn soon_cancelled(&self) -> Token {
        let token = Token::new();
        self.canceller.try_send(token.clone()).unwrap();
        token
    }
}

fn soon(dice: &mut Dice) -> Duration {
    Duration::from_nanos(dice.below(30_000))
}

/// A consumer's view: each sender's values come in order, except a value of a dropped receive,
/// which may go to another consumer than the next one.
struct View {
    next: [u64; PRODUCERS as usize],
    ordered: bool,
}

impl View {
    fn new(ordered: bool) -> Self {
        Self { next: [0; PRODUCERS as usize], ordered }
    }

    fn saw(&mut self, ledger: &Ledger, value: &Counted) {
        ledger.met(value.id);
        ledger.received.fetch_add(1, Ordering::Relaxed);
        let (sender, n) = ((value.id / each()) as usize, value.id % each());
        if self.ordered {
            assert!(n >= self.next[sender], "sender {sender}: {n} after {}", self.next[sender]);
        }
        self.next[sender] = n + 1;
    }
}

/// The result of a send: done, or to be tried again.
fn sent(ledger: &Ledger, result: Result<(), SendError<Counted>>) -> Result<bool, Counted> {
    match result {
        Ok(()) => Ok(true),
        Err(SendError::Closed(value)) => {
            ledger.met(value.id);
            Ok(false)
        }
        Err(SendError::TimedOut(value) | SendError::Cancelled(value)) => Err(value),
        Err(other) => panic!("{other:?}"),
    }
}

fn produce_waiting(tx: &Sender<Counted>, ledger: &Ledger, sender: u64) {
    let mut dice = Dice::new(sender + 1);
    let mut n = 0;
    while n < each() {
        let mut value = ledger.tally.item(sender * each() + n);
        n += 1;
        let open = loop {
            let result = match dice.below(8) {
                0 => sent(ledger, tx.send(value).timeout(soon(&mut dice)).wait()),
                1 => {
                    let token = ledger.soon_cancelled();
                    sent(ledger, tx.send(value).cancel_on(&token).wait())
                }
                2 => match tx.try_send(value) {
                    Err(TrySendError::Full(value)) => {
                        thread::yield_now();
                        Err(value)
                    }
                    other => sent(ledger, other.map_err(|e| SendError::Closed(e.into_inner()))),
                },
                3 => {
                    let mut values = VecDeque::from([value]);
                    while values.len() < 10 && n < each() {
                        values.push_back(ledger.tally.item(sender * each() + n));
                        n += 1;
                    }
                    loop {
                        match tx.send_many(&mut values).timeout(soon(&mut dice)).wait() {
                            Ok(()) => break Ok(true),
                            Err(SendManyError::TimedOut) => {}
                            Err(SendManyError::Closed) => {
                                values.iter().for_each(|value| ledger.met(value.id));
                                break Ok(false);
                            }
                            Err(other) => panic!("{other:?}"),
                        }
                    }
                }
                4 => Ok(select! {
                    wait;
                    result = tx.send(value) => sent(ledger, result).is_ok_and(|open| open),
                    // Its value goes to the hook.
                    timeout(soon(&mut dice)) => true,
                }),
                _ => sent(ledger, tx.send(value).wait()),
            };
            match result {
                Ok(open) => break open,
                Err(again) => value = again,
            }
        };
        if !open {
            break;
        }
    }
    // A value that was never created has no outcome.
    (n..each()).for_each(|n| ledger.met(sender * each() + n));
}

async fn produce(tx: Sender<Counted>, ledger: Arc<Ledger>, sender: u64) {
    let ledger = &*ledger;
    let mut dice = Dice::new(sender + 100);
    let mut n = 0;
    while n < each() {
        let mut value = ledger.tally.item(sender * each() + n);
        n += 1;
        let open = loop {
            let result = match dice.below(8) {
                0 => sent(ledger, tx.send(value).timeout(soon(&mut dice)).await),
                1 => {
                    let token = ledger.soon_cancelled();
                    sent(ledger, tx.send(value).cancel_on(&token).await)
                }
                // Dropped after some polls: it was sent, or its value goes to the hook.
                2 => {
                    let polls = 1 + dice.below(3);
                    match a_few_polls(tx.send(value), polls).await {
                        Some(result) => sent(ledger, result),
                        None => Ok(true),
                    }
                }
                3 => {
                    let mut values = VecDeque::from([value]);
                    while values.len() < 10 && n < each() {
                        values.push_back(ledger.tally.item(sender * each() + n));
                        n += 1;
                    }
                    loop {
                        match a_few_polls(tx.send_many(&mut values), 2).await {
                            Some(Ok(())) => break Ok(true),
                            None => {}
                            Some(Err(SendManyError::Closed)) => {
                                values.iter().for_each(|value| ledger.met(value.id));
                                break Ok(false);
                            }
                            Some(Err(other)) => panic!("{other:?}"),
                        }
                    }
                }
                4 => Ok(select! {
                    result = tx.send(value) => sent(ledger, result).is_ok_and(|open| open),
                    timeout(soon(&mut dice)) => true,
                }),
                _ => sent(ledger, tx.send(value).await),
            };
            match result {
                Ok(open) => break open,
                Err(again) => value = again,
            }
        };
        if !open {
            break;
        }
    }
    (n..each()).for_each(|n| ledger.met(sender * each() + n));
}

/// Polls an operation a few times, yielding in between, and then drops it.
async fn a_few_polls<T>(operation: impl Future<Output = T>, polls: u64) -> Option<T> {
    let mut operation = std::pin::pin!(operation);
    for _ in 0..polls {
        if let Some(result) = future::poll_once(operation.as_mut()).await {
            return Some(result);
        }
        future::yield_now().await;
    }
    None
}

/// Returns whether to continue.
fn received(view: &mut View, ledger: &Ledger, result: Result<Counted, RecvError>) -> bool {
    match result {
        Ok(value) => view.saw(ledger, &value),
        Err(RecvError::Closed) => return false,
        Err(_) => {}
    }
    true
}

fn consume_waiting(
    rx: &Receiver<Counted>,
    ledger: &Ledger,
    mut view: View,
    seed: u64,
    close_at: u64,
) {
    let mut dice = Dice::new(seed + 1000);
    let (_never, silence) = rendezvous::<Counted>();
    loop {
        let open = match dice.below(8) {
            0 => received(&mut view, ledger, rx.recv().timeout(soon(&mut dice)).wait()),
            1 => {
                let token = ledger.soon_cancelled();
                received(&mut view, ledger, rx.recv().cancel_on(&token).wait())
            }
            2 => {
                if let Ok(value) = rx.try_recv() {
                    view.saw(ledger, &value);
                }
                true
            }
            3 => {
                let mut values = Vec::new();
                let result = rx.recv_many(&mut values, 7).timeout(soon(&mut dice)).wait();
                values.iter().for_each(|value| view.saw(ledger, value));
                result != Err(RecvError::Closed)
            }
            4 => select! {
                wait;
                result = rx.recv() => received(&mut view, ledger, result),
                _ = silence.recv() => false,
                timeout(soon(&mut dice)) => true,
            },
            _ => received(&mut view, ledger, rx.recv().wait()),
        };
        if !open {
            return;
        }
        if ledger.received.load(Ordering::Relaxed) >= close_at {
            rx.close();
        }
    }
}

async fn consume(
    rx: Receiver<Counted>,
    ledger: Arc<Ledger>,
    mut view: View,
    seed: u64,
    close_at: u64,
) {
    let ledger = &*ledger;
    let mut dice = Dice::new(seed + 2000);
    let (_never, silence) = rendezvous::<Counted>();
    loop {
        let open = match dice.below(8) {
            0 => received(&mut view, ledger, rx.recv().timeout(soon(&mut dice)).await),
            1 => {
                let token = ledger.soon_cancelled();
                received(&mut view, ledger, rx.recv().cancel_on(&token).await)
            }
            2 => {
                let polls = 1 + dice.below(3);
                let result = a_few_polls(rx.recv(), polls).await;
                result.is_none_or(|result| received(&mut view, ledger, result))
            }
            3 => {
                let mut values = Vec::new();
                let result = a_few_polls(rx.recv_many(&mut values, 7), 2).await;
                values.iter().for_each(|value| view.saw(ledger, value));
                result != Some(Err(RecvError::Closed))
            }
            4 => {
                let racing = async {
                    select! { result = rx.recv() => result, result = silence.recv() => result }
                };
                let result = a_few_polls(racing, 3).await;
                result.is_none_or(|result| received(&mut view, ledger, result))
            }
            _ => received(&mut view, ledger, rx.recv().await),
        };
        if !open {
            return;
        }
        if ledger.received.load(Ordering::Relaxed) >= close_at {
            rx.close();
        }
    }
}

fn run(kind: (Kind, usize), style: Style, consumers: u64, close_at: u64, timing: bool) {
    let (canceller, tokens) = unlimited::<Token>();
    let ledger = Arc::new(Ledger {
        fates: (0..PRODUCERS * each()).map(|_| AtomicU8::new(0)).collect(),
        received: AtomicU64::new(0),
        tally: Tally::default(),
        canceller,
    });
    let hook = ledger.clone();
    let (tx, rx) = builder(kind)
        .timing(timing)
        .on_undelivered(move |value: Counted| hook.met(value.id))
        .build();
    let cancelling = thread::spawn(move || {
        while let Ok(token) = tokens.recv().wait() {
            token.cancel();
        }
    });
    let is_task = |n: u64| match style {
        Style::Threads => false,
        Style::Tokio | Style::Toy => true,
        Style::Mixed => n.is_multiple_of(2),
    };
    // A value whose receive was dropped may reach another consumer after its followers.
    let ordered = consumers == 1 || style == Style::Threads;
    let mut jobs: Vec<Job> = Vec::new();
    thread::scope(|scope| {
        for sender in 0..PRODUCERS {
            let (tx, ledger) = (tx.clone(), ledger.clone());
            if is_task(sender) {
                jobs.push(Box::pin(produce(tx, ledger, sender)));
            } else {
                scope.spawn(move || produce_waiting(&tx, &ledger, sender));
            }
        }
        for consumer in 0..consumers {
            let (rx, ledger, view) = (rx.clone(), ledger.clone(), View::new(ordered));
            if is_task(consumer) {
                jobs.push(Box::pin(consume(rx, ledger, view, consumer, close_at)));
            } else {
                scope.spawn(move || consume_waiting(&rx, &ledger, view, consumer, close_at));
            }
        }
        drop(tx);
        drive(style, jobs);
    });
    let seen = rx.snapshot();
    assert_eq!((seen.len, seen.senders_waiting, seen.receivers_waiting), (0, 0, 0), "{seen:?}");
    assert_eq!(seen.sends, seen.receives + seen.undelivered, "{seen:?}");
    assert_eq!(seen.receives, ledger.received.load(Ordering::Relaxed), "{seen:?}");
    drop(rx);
    for (id, fate) in ledger.fates.iter().enumerate() {
        assert_eq!(fate.load(Ordering::Relaxed), 1, "fates of {id}; {kind:?} {style:?} {seen:?}");
    }
    assert_eq!(ledger.tally.alive(), 0, "{kind:?} {style:?}");
    assert_eq!(Arc::strong_count(&ledger), 1, "the channel and its hook are gone");
    drop(ledger);
    cancelling.join().unwrap();
}

fn drive(style: Style, mut jobs: Vec<Job>) {
    let on_tokio = match style {
        Style::Threads | Style::Toy => Vec::new(),
        Style::Tokio => std::mem::take(&mut jobs),
        Style::Mixed => jobs.split_off(jobs.len() / 2),
    };
    thread::scope(|scope| {
        scope.spawn(|| crate::executor::run(2, jobs));
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
        let tasks: Vec<_> = on_tokio.into_iter().map(|job| runtime.spawn(job)).collect();
        tasks.into_iter().for_each(|task| runtime.block_on(task).unwrap());
    });
}

fn stress(kind: (Kind, usize)) {
    for style in [Style::Threads, Style::Tokio, Style::Toy, Style::Mixed] {
        for (consumers, timing) in [(1, false), (3, false), (3, true)] {
            for close_at in [u64::MAX, PRODUCERS * each() / 3] {
                run(kind, style, consumers, close_at, timing);
            }
        }
    }
}

#[test]
fn rendezvous_under_stress() {
    stress(KINDS[0]);
}

#[test]
fn bounded_by_one_under_stress() {
    stress(KINDS[1]);
}

#[test]
fn bounded_by_three_under_stress() {
    stress(KINDS[2]);
}

#[test]
fn bounded_by_many_under_stress() {
    stress(KINDS[3]);
}

#[test]
fn conflated_under_stress() {
    stress(KINDS[4]);
}

#[test]
fn unlimited_under_stress() {
    stress(KINDS[5]);
}
