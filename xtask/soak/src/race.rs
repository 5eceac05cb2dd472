// SPDX-License-Identifier: BSD-3-Clause
//! Operations that time out, are cancelled or are dropped while their match comes.
//!
//! Two senders and some receivers limit every other operation: by a deadline some microseconds
//! off, by a token that another thread cancels as soon as it has received it, and, if they are
//! tasks, by dropping the operation after a poll or two. A send that ended without a match returns
//! its message, which is sent again; the message of a dropped send is received or goes to the
//! undelivered hook; a message matched with a dropped receive is requeued.

use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use becket_chan::{Receiver, RecvError, SendError, SendManyError, Sender, Token, unlimited};
use futures_lite::future;
use parking_lot::Mutex;

use crate::check::{Report, Sum, Watch, message};
use crate::crew::Crew;
use crate::flow::{Shape, Style};

const SENDERS: u64 = 2;
/// Messages in a batch that is given up.
const BATCH: usize = 8;

#[derive(Debug, Clone, Copy)]
pub(crate) struct Race {
    pub(crate) shape: Shape,
    pub(crate) style: Style,
    pub(crate) receivers: u64,
}

/// Shared by all senders and receivers of a scenario.
struct Track {
    /// Operations with a limit so far, and (`lost`) those that ended without a match.
    races: AtomicU64,
    lost: AtomicU64,
    enough: u64,
    canceller: Sender<Token>,
}

/// Each side in turn is the slower one, for this many messages.
const PHASE: u64 = 256;

/// How an operation is limited.
enum Limit {
    None,
    Time(Duration),
    Token(Token),
    Drop,
}

impl Track {
    /// A limit for an operation, in three of five cases.
    fn limit(&self, drops: bool) -> Limit {
        let limit = match fastrand::u32(..5) {
            0 | 1 => return Limit::None,
            2 if drops => Limit::Drop,
            2 | 3 => Limit::Time(Duration::from_nanos(fastrand::u64(..10_000))),
            _ => {
                let token = Token::new();
                // It never waits, and the canceller is there to the end.
                let _ = self.canceller.try_send(token.clone());
                Limit::Token(token)
            }
        };
        self.races.fetch_add(1, Ordering::Relaxed);
        limit
    }

    fn lost(&self) {
        self.lost.fetch_add(1, Ordering::Relaxed);
    }

    fn is_enough(&self) -> bool {
        self.races.load(Ordering::Relaxed) >= self.enough
    }
}

impl Race {
    pub(crate) fn run(self, enough: u64) -> Report {
        let undelivered = Arc::default();
        let (tx, rx) = self.shape.channel(&undelivered);
        let (canceller, tokens) = unlimited::<Token>();
        let track = Arc::new(Track {
            races: AtomicU64::new(0),
            lost: AtomicU64::new(0),
            enough,
            canceller,
        });
        let report = Arc::new(Mutex::new(Report::default()));
        let mut crew = Crew::default();
        for sender in 0..SENDERS {
            let (tx, report, track) = (tx.clone(), report.clone(), track.clone());
            if self.style.is_task(sender) {
                crew.task(async move {
                    let sum = send(&tx, &track, sender).await;
                    report.lock().sent(&sum);
                });
            } else {
                crew.thread(move || {
                    let sum = send_waiting(&tx, &track, sender);
                    report.lock().sent(&sum);
                });
            }
        }
        // A message whose receive was dropped may reach another receiver after its followers.
        let ordered = self.receivers == 1 || self.style == Style::Threads;
        for receiver in 0..self.receivers {
            let (rx, report, track) = (rx.clone(), report.clone(), track.clone());
            if self.style.is_task(receiver) {
                crew.task(async move {
                    let watch = receive(&rx, &track).await;
                    report.lock().received(&watch, ordered);
                });
            } else {
                crew.thread(move || {
                    let watch = receive_waiting(&rx, &track);
                    report.lock().received(&watch, ordered);
                });
            }
        }
        drop(tx);
        // The last clone is dropped when all are done; then the canceller ends.
        let canceller = track.canceller.clone();
        let cancelling = thread::spawn(move || {
            while let Ok(token) = tokens.recv().wait() {
                token.cancel();
            }
        });
        let ran = crew.run();
        canceller.close();
        let cancelled = cancelling.join().map_err(|_| "the canceller panicked".to_owned());
        let mut report = std::mem::take(&mut *report.lock());
        report.note(ran.err());
        report.note(cancelled.err());
        report.balance(&rx.snapshot());
        report.undelivered(&undelivered.lock());
        report.races = track.races.load(Ordering::Relaxed);
        report.races_lost = track.lost.load(Ordering::Relaxed);
        report
    }
}

/// Whether a send happened, or its message to be sent again. `Err(None)`: the channel is closed.
fn sent(track: &Track, result: Result<(), SendError<u64>>) -> Result<(), Option<u64>> {
    match result {
        Ok(()) => Ok(()),
        Err(SendError::TimedOut(message) | SendError::Cancelled(message)) => {
            track.lost();
            Err(Some(message))
        }
        Err(_) => Err(None),
    }
}

fn send_waiting(tx: &Sender<u64>, track: &Track, sender: u64) -> Sum {
    let (mut sum, mut number) = (Sum::default(), 0);
    while !track.is_enough() {
        if (number / PHASE).is_multiple_of(2) {
            thread::yield_now();
        }
        if fastrand::u32(..16) == 0 {
            let mut values = batch(&mut sum, sender, &mut number);
            while !values.is_empty() {
                let limit = Duration::from_nanos(fastrand::u64(..10_000));
                match tx.send_many(&mut values).timeout(limit).wait() {
                    Err(SendManyError::TimedOut) => track.lost(),
                    Ok(()) => {}
                    Err(_) => return sum,
                }
                track.races.fetch_add(1, Ordering::Relaxed);
            }
            continue;
        }
        let mut next = message(sender, number);
        sum.add(next);
        number += 1;
        loop {
            let result = match track.limit(false) {
                Limit::None | Limit::Drop => tx.send(next).wait(),
                Limit::Time(limit) => tx.send(next).timeout(limit).wait(),
                Limit::Token(token) => tx.send(next).cancel_on(&token).wait(),
            };
            match sent(track, result) {
                Ok(()) => break,
                Err(Some(again)) => next = again,
                Err(None) => return sum,
            }
        }
    }
    sum
}

async fn send(tx: &Sender<u64>, track: &Track, sender: u64) -> Sum {
    let (mut sum, mut number) = (Sum::default(), 0);
    while !track.is_enough() {
        if (number / PHASE).is_multiple_of(2) {
            pause().await;
        }
        if fastrand::u32(..16) == 0 {
            let mut values = batch(&mut sum, sender, &mut number);
            while !values.is_empty() {
                track.races.fetch_add(1, Ordering::Relaxed);
                match a_few_polls(tx.send_many(&mut values)).await {
                    None => track.lost(),
                    Some(Ok(())) => {}
                    Some(Err(_)) => return sum,
                }
            }
            continue;
        }
        let mut next = message(sender, number);
        sum.add(next);
        number += 1;
        loop {
            let result = match track.limit(true) {
                Limit::None => tx.send(next).await,
                Limit::Time(limit) => tx.send(next).timeout(limit).await,
                Limit::Token(token) => tx.send(next).cancel_on(&token).await,
                Limit::Drop => match a_few_polls(tx.send(next)).await {
                    Some(result) => result,
                    // It was received, or the hook has it.
                    None => {
                        track.lost();
                        break;
                    }
                },
            };
            match sent(track, result) {
                Ok(()) => break,
                Err(Some(again)) => next = again,
                Err(None) => return sum,
            }
        }
    }
    sum
}

/// Messages that will all be sent.
fn batch(sum: &mut Sum, sender: u64, number: &mut u64) -> VecDeque<u64> {
    let values = (0..BATCH).map(|_| {
        let next = message(sender, *number);
        sum.add(next);
        *number += 1;
        next
    });
    values.collect()
}

/// Counts a receive; false if the channel is closed.
fn received(track: &Track, watch: &mut Watch, result: Result<u64, RecvError>) -> bool {
    match result {
        Ok(message) => watch.saw(message),
        Err(RecvError::Closed) => return false,
        Err(_) => track.lost(),
    }
    true
}

fn receive_waiting(rx: &Receiver<u64>, track: &Track) -> Watch {
    let mut watch = Watch::new();
    loop {
        if watch.sum.count / PHASE % 2 == 1 {
            thread::yield_now();
        }
        let result = match track.limit(false) {
            Limit::None | Limit::Drop => rx.recv().wait(),
            Limit::Time(limit) => rx.recv().timeout(limit).wait(),
            Limit::Token(token) => rx.recv().cancel_on(&token).wait(),
        };
        if !received(track, &mut watch, result) {
            return watch;
        }
    }
}

async fn receive(rx: &Receiver<u64>, track: &Track) -> Watch {
    let (mut watch, mut values) = (Watch::new(), Vec::new());
    loop {
        if watch.sum.count / PHASE % 2 == 1 {
            pause().await;
        }
        let result = match track.limit(true) {
            Limit::None => rx.recv().await,
            Limit::Time(limit) => rx.recv().timeout(limit).await,
            Limit::Token(token) => rx.recv().cancel_on(&token).await,
            Limit::Drop if fastrand::bool() => match a_few_polls(rx.recv()).await {
                Some(result) => result,
                None => {
                    track.lost();
                    continue;
                }
            },
            Limit::Drop => {
                let result = a_few_polls(rx.recv_many(&mut values, BATCH)).await;
                values.drain(..).for_each(|message| watch.saw(message));
                match result {
                    Some(Err(RecvError::Closed)) => return watch,
                    Some(_) => {}
                    None => track.lost(),
                }
                continue;
            }
        };
        if !received(track, &mut watch, result) {
            return watch;
        }
    }
}

/// Lets the other tasks run some times.
async fn pause() {
    for _ in 0..fastrand::u32(..6) {
        future::yield_now().await;
    }
}

/// Polls an operation once or twice, letting others run in between, and then drops it.
async fn a_few_polls<T>(operation: impl Future<Output = T>) -> Option<T> {
    let mut operation = std::pin::pin!(operation);
    for _ in 0..fastrand::u32(1..3) {
        if let Some(result) = future::poll_once(operation.as_mut()).await {
            return Some(result);
        }
        future::yield_now().await;
    }
    None
}

impl fmt::Display for Race {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { shape, style, receivers } = self;
        write!(f, "{shape}, {style}, {SENDERS} to {receivers}")
    }
}
