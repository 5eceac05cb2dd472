// SPDX-License-Identifier: BSD-3-Clause
//! Messages from some senders to some receivers over one channel, one by one or in batches.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

use becket_chan::{Builder, Overflow, Receiver, Sender, bounded};
use parking_lot::Mutex;

use crate::check::{Report, Sum, Watch, message};
use crate::crew::Crew;

/// The kind of channel, with its capacity.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Shape {
    Rendezvous,
    Bounded(usize),
    Conflated,
    Unlimited,
    DropOldest(usize),
    DropLatest(usize),
}

/// Senders and receivers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    Threads,
    Tasks,
    /// Every other one is a task.
    Mixed,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Flow {
    pub(crate) shape: Shape,
    pub(crate) senders: u64,
    pub(crate) receivers: u64,
    pub(crate) style: Style,
    pub(crate) batch: usize,
}

/// Bound on an unlimited channel: this many credits, each for this many messages.
const CREDITS: usize = 32;
const CREDIT_MESSAGES: u64 = 16_384;

/// Where a send never waits and messages are dropped, senders yield once per this many messages.
const LOSSY_LAP: u64 = 32;

/// Bounds an unlimited channel: a sender takes a credit for each [`CREDIT_MESSAGES`], a receiver
/// returns one for as many.
#[derive(Clone)]
struct Credits {
    give: Sender<()>,
    take: Receiver<()>,
    needed: bool,
}

impl Shape {
    /// The channel; what it does not deliver is added to `lost`.
    pub(crate) fn channel(self, lost: &Arc<Mutex<Sum>>) -> (Sender<u64>, Receiver<u64>) {
        let builder = match self {
            Self::Rendezvous => Builder::rendezvous(),
            Self::Bounded(n) => Builder::bounded(n),
            Self::Conflated => Builder::conflated(),
            Self::Unlimited => Builder::unlimited(),
            Self::DropOldest(n) => Builder::bounded(n).overflow(Overflow::DropOldest),
            Self::DropLatest(n) => Builder::bounded(n).overflow(Overflow::DropLatest),
        };
        let lost = lost.clone();
        builder.on_undelivered(move |message| lost.lock().add(message)).build()
    }

    fn is_lossy(self) -> bool {
        matches!(self, Self::Conflated | Self::DropOldest(_) | Self::DropLatest(_))
    }
}

impl Style {
    pub(crate) fn is_task(self, number: u64) -> bool {
        match self {
            Self::Threads => false,
            Self::Tasks => true,
            Self::Mixed => number.is_multiple_of(2),
        }
    }
}

impl Credits {
    fn new(needed: bool) -> Self {
        let (give, take) = bounded(CREDITS);
        for _ in 0..CREDITS {
            // There is room.
            let _ = give.try_send(());
        }
        Self { give, take, needed }
    }

    /// Returns the credits of a receiver that had seen `before` messages and now has seen `now`.
    fn give_back(&self, before: u64, now: u64) {
        if self.needed {
            for _ in before / CREDIT_MESSAGES..now / CREDIT_MESSAGES {
                // There is room: it was taken before.
                let _ = self.give.try_send(());
            }
        }
    }
}

impl Flow {
    pub(crate) fn run(self, messages: u64) -> Report {
        let lost = Arc::default();
        let (tx, rx) = self.shape.channel(&lost);
        let report = Arc::new(Mutex::new(Report::default()));
        let credits = Credits::new(matches!(self.shape, Shape::Unlimited));
        let mut crew = Crew::default();
        for sender in 0..self.senders {
            let (tx, report, credits) = (tx.clone(), report.clone(), credits.clone());
            let n = messages / self.senders + u64::from(sender < messages % self.senders);
            if self.style.is_task(sender) {
                crew.task(async move {
                    let sum = self.send(&tx, &credits, sender, n).await;
                    report.lock().sent(&sum);
                });
            } else {
                crew.thread(move || {
                    let sum = self.send_waiting(&tx, &credits, sender, n);
                    report.lock().sent(&sum);
                });
            }
        }
        for receiver in 0..self.receivers {
            let (rx, report, credits) = (rx.clone(), report.clone(), credits.clone());
            if self.style.is_task(receiver) {
                crew.task(async move {
                    let watch = self.receive(&rx, &credits).await;
                    report.lock().received(&watch, true);
                });
            } else {
                crew.thread(move || {
                    let watch = self.receive_waiting(&rx, &credits);
                    report.lock().received(&watch, true);
                });
            }
        }
        drop(tx);
        let ran = crew.run();
        let mut report = std::mem::take(&mut *report.lock());
        report.note(ran.err());
        report.balance(&rx.snapshot());
        report.undelivered(&lost.lock());
        let unsent = messages - report.sent.count;
        report.note((unsent > 0).then(|| format!("{unsent} messages were refused")));
        report
    }

    /// The next batch, and what it adds to the sum if it is sent.
    fn fill(
        self,
        values: &mut VecDeque<u64>,
        sum: &mut Sum,
        sender: u64,
        from: u64,
        to: u64,
    ) -> u64 {
        let end = to.min(from + self.batch as u64);
        for number in from..end {
            sum.add(message(sender, number));
            values.push_back(message(sender, number));
        }
        end
    }

    fn send_waiting(self, tx: &Sender<u64>, credits: &Credits, sender: u64, n: u64) -> Sum {
        let (mut sum, mut values, mut number, mut laps) = (Sum::default(), VecDeque::new(), 0, 0);
        while number < n {
            while credits.needed && laps <= number / CREDIT_MESSAGES {
                if credits.take.recv().wait().is_err() {
                    return sum;
                }
                laps += 1;
            }
            if self.batch == 1 {
                let next = message(sender, number);
                if tx.send(next).wait().is_err() {
                    return sum;
                }
                sum.add(next);
                number += 1;
                if self.shape.is_lossy() && number.is_multiple_of(LOSSY_LAP) {
                    std::thread::yield_now();
                }
            } else {
                let mut sent = sum;
                number = self.fill(&mut values, &mut sent, sender, number, n);
                if tx.send_many(&mut values).wait().is_err() {
                    return sum;
                }
                sum = sent;
            }
        }
        sum
    }

    async fn send(self, tx: &Sender<u64>, credits: &Credits, sender: u64, n: u64) -> Sum {
        let (mut sum, mut values, mut number, mut laps) = (Sum::default(), VecDeque::new(), 0, 0);
        while number < n {
            while credits.needed && laps <= number / CREDIT_MESSAGES {
                if credits.take.recv().await.is_err() {
                    return sum;
                }
                laps += 1;
            }
            if self.batch == 1 {
                let next = message(sender, number);
                if tx.send(next).await.is_err() {
                    return sum;
                }
                sum.add(next);
                number += 1;
                if self.shape.is_lossy() && number.is_multiple_of(LOSSY_LAP) {
                    futures_lite::future::yield_now().await;
                }
            } else {
                let mut sent = sum;
                number = self.fill(&mut values, &mut sent, sender, number, n);
                if tx.send_many(&mut values).await.is_err() {
                    return sum;
                }
                sum = sent;
            }
        }
        sum
    }

    fn receive_waiting(self, rx: &Receiver<u64>, credits: &Credits) -> Watch {
        let (mut watch, mut values) = (Watch::new(), Vec::new());
        loop {
            let before = watch.sum.count;
            if self.batch == 1 {
                match rx.recv().wait() {
                    Ok(message) => watch.saw(message),
                    Err(_) => return watch,
                }
            } else {
                if rx.recv_many(&mut values, self.batch).wait().is_err() {
                    return watch;
                }
                values.drain(..).for_each(|message| watch.saw(message));
            }
            credits.give_back(before, watch.sum.count);
        }
    }

    async fn receive(self, rx: &Receiver<u64>, credits: &Credits) -> Watch {
        let (mut watch, mut values) = (Watch::new(), Vec::new());
        loop {
            let before = watch.sum.count;
            if self.batch == 1 {
                match rx.recv().await {
                    Ok(message) => watch.saw(message),
                    Err(_) => return watch,
                }
            } else {
                if rx.recv_many(&mut values, self.batch).await.is_err() {
                    return watch;
                }
                values.drain(..).for_each(|message| watch.saw(message));
            }
            credits.give_back(before, watch.sum.count);
        }
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rendezvous => f.write_str("rendezvous"),
            Self::Bounded(n) => write!(f, "bounded({n})"),
            Self::Conflated => f.write_str("conflated"),
            Self::Unlimited => f.write_str("unlimited"),
            Self::DropOldest(n) => write!(f, "bounded({n}) drop oldest"),
            Self::DropLatest(n) => write!(f, "bounded({n}) drop latest"),
        }
    }
}

impl fmt::Display for Style {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Threads => "threads",
            Self::Tasks => "tasks",
            Self::Mixed => "mixed",
        })
    }
}
