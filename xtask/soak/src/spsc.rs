// SPDX-License-Identifier: BSD-3-Clause
//! Messages from the one sender to the one receiver of an SPSC channel.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

use becket_chan::{SpscReceiver, SpscSender, bounded_spsc};
use parking_lot::Mutex;

use crate::check::{Report, Sum, Watch, message};
use crate::crew::Crew;
use crate::flow::Style;

#[derive(Debug, Clone, Copy)]
pub(crate) struct Spsc {
    pub(crate) capacity: usize,
    /// `Mixed`: the sender is a task and the receiver a thread.
    pub(crate) style: Style,
    pub(crate) batch: usize,
}

impl Spsc {
    pub(crate) fn run(self, messages: u64) -> Report {
        let (mut tx, mut rx) = bounded_spsc(self.capacity);
        let report = Arc::new(Mutex::new(Report::default()));
        let mut crew = Crew::default();
        let sent = report.clone();
        if self.style.is_task(0) {
            crew.task(async move {
                let mut source = Source::new(self.batch, messages);
                while source.fill() && source.send(&mut tx).await {}
                sent.lock().sent(&source.sum);
            });
        } else {
            crew.thread(move || {
                let mut source = Source::new(self.batch, messages);
                while source.fill() && source.send_waiting(&mut tx) {}
                sent.lock().sent(&source.sum);
            });
        }
        let received = report.clone();
        if self.style.is_task(1) {
            crew.task(async move {
                let watch = receive(&mut rx, self.batch).await;
                finish(&received, &watch, &rx);
            });
        } else {
            crew.thread(move || {
                let watch = receive_waiting(&mut rx, self.batch);
                finish(&received, &watch, &rx);
            });
        }
        let ran = crew.run();
        let mut report = std::mem::take(&mut *report.lock());
        report.note(ran.err());
        let unsent = messages - report.sent.count;
        report.note((unsent > 0).then(|| format!("{unsent} messages were refused")));
        report
    }
}

fn finish(report: &Mutex<Report>, watch: &Watch, rx: &SpscReceiver<u64>) {
    let mut report = report.lock();
    report.received(watch, true);
    report.balance(&rx.snapshot());
}

/// Messages that are to be sent, and the sum of those that were.
struct Source {
    values: VecDeque<u64>,
    batch: u64,
    number: u64,
    messages: u64,
    sum: Sum,
}

impl Source {
    fn new(batch: usize, messages: u64) -> Self {
        let sum = Sum::default();
        Self { values: VecDeque::new(), batch: batch as u64, number: 0, messages, sum }
    }

    /// Makes the next batch ready. False: all were sent.
    fn fill(&mut self) -> bool {
        let end = self.messages.min(self.number + self.batch);
        self.values.extend((self.number..end).map(|number| message(0, number)));
        !self.values.is_empty()
    }

    /// Accounts for the batch, if all of it was sent.
    fn sent(&mut self, all: bool) -> bool {
        if all {
            let end = self.messages.min(self.number + self.batch);
            (self.number..end).for_each(|number| self.sum.add(message(0, number)));
            self.number = end;
        }
        all
    }

    fn send_waiting(&mut self, tx: &mut SpscSender<u64>) -> bool {
        let all = if self.batch == 1 {
            self.values.clear();
            tx.send(message(0, self.number)).wait().is_ok()
        } else {
            tx.send_many(&mut self.values).wait().is_ok()
        };
        self.sent(all)
    }

    async fn send(&mut self, tx: &mut SpscSender<u64>) -> bool {
        let all = if self.batch == 1 {
            self.values.clear();
            tx.send(message(0, self.number)).await.is_ok()
        } else {
            tx.send_many(&mut self.values).await.is_ok()
        };
        self.sent(all)
    }
}

fn receive_waiting(rx: &mut SpscReceiver<u64>, batch: usize) -> Watch {
    let (mut watch, mut values) = (Watch::new(), Vec::new());
    loop {
        if batch == 1 {
            match rx.recv().wait() {
                Ok(message) => watch.saw(message),
                Err(_) => return watch,
            }
        } else {
            if rx.recv_many(&mut values, batch).wait().is_err() {
                return watch;
            }
            values.drain(..).for_each(|message| watch.saw(message));
        }
    }
}

async fn receive(rx: &mut SpscReceiver<u64>, batch: usize) -> Watch {
    let (mut watch, mut values) = (Watch::new(), Vec::new());
    loop {
        if batch == 1 {
            match rx.recv().await {
                Ok(message) => watch.saw(message),
                Err(_) => return watch,
            }
        } else {
            if rx.recv_many(&mut values, batch).await.is_err() {
                return watch;
            }
            values.drain(..).for_each(|message| watch.saw(message));
        }
    }
}

impl fmt::Display for Spsc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let how =
            if self.batch > 1 { format!("batches of {}", self.batch) } else { "one by one".into() };
        write!(f, "spsc({}), {}, 1 to 1, {how}", self.capacity, self.style)
    }
}
