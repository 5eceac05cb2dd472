// SPDX-License-Identifier: BSD-3-Clause
//! Parties whose random selects face each other.
//!
//! Each party, over and over, offers a message on some channels and asks for one on some, all in
//! one select: chosen at random, in random order, biased or not, now and then with a deadline or a
//! default, as `Select` or as `select!`. Both sides of the first channel are always among them, so
//! that two parties can always meet. One operation happens in each select; the offered message
//! counts as sent only if that was it.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use becket_chan::{Builder, Receiver, RecvError, Select, SelectError, SendError, Sender, select};
use parking_lot::Mutex;

use crate::check::{Report, Sum, Watch, message};
use crate::crew::Crew;
use crate::flow::Style;

#[derive(Debug, Clone, Copy)]
pub(crate) struct Faces {
    pub(crate) parties: u64,
    pub(crate) style: Style,
    /// Channels of several kinds, in place of rendezvous alone.
    pub(crate) kinds: bool,
    /// Each party has one `Select` with both sides of every channel, and uses it again and again.
    pub(crate) kept: bool,
}

type Channel = (Sender<u64>, Receiver<u64>);

/// Shared by the parties of a scenario.
struct Table {
    channels: Vec<Channel>,
    /// Selects that are left.
    left: AtomicU64,
}

/// One party, and what it has done.
struct Party {
    table: Arc<Table>,
    number: u64,
    sent: Sum,
    next: u64,
    watch: Watch,
    selects: u64,
    idle: u64,
}

/// The outcome of one select.
enum Came {
    Sent,
    Received(u64),
    Nothing,
    Closed,
}

impl From<Result<u64, RecvError>> for Came {
    fn from(received: Result<u64, RecvError>) -> Self {
        received.map_or(Self::Closed, Self::Received)
    }
}

impl From<Result<(), SendError<u64>>> for Came {
    fn from(sent: Result<(), SendError<u64>>) -> Self {
        sent.map_or(Self::Closed, |()| Self::Sent)
    }
}

impl From<SelectError> for Came {
    fn from(error: SelectError) -> Self {
        if error == SelectError::TimedOut { Self::Nothing } else { Self::Closed }
    }
}

impl Faces {
    pub(crate) fn run(self, selects: u64) -> Report {
        let builders: Vec<Builder<u64>> = if self.kinds {
            vec![
                Builder::rendezvous(),
                Builder::rendezvous(),
                Builder::bounded(1),
                Builder::bounded(3),
                Builder::unlimited(),
            ]
        } else {
            (0..4).map(|_| Builder::rendezvous()).collect()
        };
        let table = Arc::new(Table {
            channels: builders.into_iter().map(Builder::build).collect(),
            left: AtomicU64::new(selects),
        });
        let report = Arc::new(Mutex::new(Report::default()));
        // Two channels have no order between them, and a requeued message comes late.
        let ordered = !self.kinds && self.style == Style::Threads;
        let mut crew = Crew::default();
        for number in 0..self.parties {
            let (mut party, report) = (Party::new(&table, number), report.clone());
            if self.style.is_task(number) {
                crew.task(async move {
                    if self.kept {
                        party.meet_kept().await;
                    }
                    while party.goes_on() {
                        let came = party.meet().await;
                        party.note(came);
                    }
                    party.say(&report, ordered);
                });
            } else {
                crew.thread(move || {
                    if self.kept {
                        party.meet_kept_waiting();
                    }
                    while party.goes_on() {
                        let came = party.meet_waiting();
                        party.note(came);
                    }
                    party.say(&report, ordered);
                });
            }
        }
        let ran = crew.run();
        let mut report = std::mem::take(&mut *report.lock());
        report.note(ran.err());
        // What is still queued was sent and not received.
        let mut watch = Watch::new();
        for (_, rx) in &table.channels {
            while let Ok(message) = rx.try_recv() {
                watch.saw(message);
            }
            report.balance(&rx.snapshot());
        }
        report.received(&watch, ordered);
        report
    }
}

impl Table {
    /// One of the channels, or the first if there is none of that number.
    fn channel(&self, number: usize) -> Option<&Channel> {
        self.channels.get(number).or_else(|| self.channels.first())
    }
}

impl Party {
    fn new(table: &Arc<Table>, number: u64) -> Self {
        Self {
            table: table.clone(),
            number,
            sent: Sum::default(),
            next: 0,
            watch: Watch::new(),
            selects: 0,
            idle: 0,
        }
    }

    /// Takes one of the selects that are left. The last one closes the channels.
    fn goes_on(&self) -> bool {
        let left = &self.table.left;
        let took =
            left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
        if took.is_err() {
            for (tx, _) in &self.table.channels {
                tx.close_with("enough");
            }
        }
        took.is_ok()
    }

    fn note(&mut self, came: Came) {
        self.selects += 1;
        match came {
            Came::Sent => {
                self.sent.add(message(self.number, self.next));
                self.next += 1;
            }
            Came::Received(message) => self.watch.saw(message),
            Came::Nothing => self.idle += 1,
            Came::Closed => {}
        }
    }

    fn say(self, report: &Mutex<Report>, ordered: bool) {
        let mut report = report.lock();
        report.sent(&self.sent);
        report.received(&self.watch, ordered);
        report.selects += self.selects;
    }

    fn meet_waiting(&self) -> Came {
        let offer = message(self.number, self.next);
        let Some(((first_tx, first_rx), (tx, rx))) = self.two() else {
            return Came::Closed;
        };
        let limit = Duration::from_nanos(fastrand::u64(1..20_000));
        match fastrand::u32(..6) {
            0 => select! {
                wait;
                received = first_rx.recv() => Came::from(received),
                sent = first_tx.send(offer) => Came::from(sent),
                received = rx.recv() => Came::from(received),
            },
            1 => select! {
                wait, biased;
                sent = tx.send(offer) => Came::from(sent),
                received = first_rx.recv() => Came::from(received),
                sent = first_tx.send(offer) => Came::from(sent),
            },
            2 => select! {
                wait;
                received = rx.recv() => Came::from(received),
                sent = first_tx.send(offer) => Came::from(sent),
                timeout(limit) => Came::Nothing,
            },
            3 => select! {
                wait;
                received = first_rx.recv() => Came::from(received),
                sent = tx.send(offer) => Came::from(sent),
                default => Came::Nothing,
            },
            _ => {
                let mut cases = Cases::new(&self.table, offer);
                let ready = cases.select.wait();
                let Ok(ready) = ready else {
                    return Came::Closed;
                };
                came(&ready, &cases.sends, &cases.receives)
            }
        }
    }

    async fn meet(&self) -> Came {
        let offer = message(self.number, self.next);
        let Some(((first_tx, first_rx), (tx, rx))) = self.two() else {
            return Came::Closed;
        };
        let limit = Duration::from_nanos(fastrand::u64(1..20_000));
        match fastrand::u32(..6) {
            0 => select! {
                received = first_rx.recv() => Came::from(received),
                sent = first_tx.send(offer) => Came::from(sent),
                received = rx.recv() => Came::from(received),
            },
            1 => select! {
                biased;
                sent = tx.send(offer) => Came::from(sent),
                received = first_rx.recv() => Came::from(received),
                sent = first_tx.send(offer) => Came::from(sent),
            },
            2 => select! {
                received = rx.recv() => Came::from(received),
                sent = first_tx.send(offer) => Came::from(sent),
                timeout(limit) => Came::Nothing,
            },
            // Dropped after one poll. A message that it was matched with by then is requeued.
            3 => {
                let racing = async {
                    select! {
                        received = first_rx.recv() => Came::from(received),
                        received = rx.recv() => Came::from(received),
                    }
                };
                futures_lite::future::poll_once(racing).await.unwrap_or(Came::Nothing)
            }
            _ => {
                let mut cases = Cases::new(&self.table, offer);
                let ready = cases.select.ready().await;
                let Ok(ready) = ready else {
                    return Came::Closed;
                };
                came(&ready, &cases.sends, &cases.receives)
            }
        }
    }

    fn meet_kept_waiting(&mut self) {
        let table = self.table.clone();
        let mut cases = Cases::all(&table, message(self.number, self.next));
        while self.goes_on() {
            let limit = Duration::from_nanos(fastrand::u64(1..20_000));
            let ready = match fastrand::u32(..4) {
                0 => cases.select.ready().timeout(limit).wait(),
                _ => cases.select.wait(),
            };
            let came = ready.map_or_else(Came::from, |r| came(&r, &cases.sends, &cases.receives));
            self.note_kept(&mut cases, came);
        }
    }

    async fn meet_kept(&mut self) {
        let table = self.table.clone();
        let mut cases = Cases::all(&table, message(self.number, self.next));
        while self.goes_on() {
            let limit = Duration::from_nanos(fastrand::u64(1..20_000));
            let ready = match fastrand::u32(..4) {
                0 => cases.select.ready().timeout(limit).await,
                _ => cases.select.ready().await,
            };
            let came = ready.map_or_else(Came::from, |r| came(&r, &cases.sends, &cases.receives));
            self.note_kept(&mut cases, came);
        }
    }

    /// Every send offers the next message, once one of them has happened.
    fn note_kept(&mut self, cases: &mut Cases<'_>, came: Came) {
        let sent = matches!(came, Came::Sent);
        self.note(came);
        if sent {
            let next = message(self.number, self.next);
            for (_, case) in &cases.sends {
                // The key is this select's.
                let _ = cases.select.send_next(*case, next);
            }
        }
    }

    /// The first channel and any.
    fn two(&self) -> Option<(&Channel, &Channel)> {
        let any = fastrand::usize(..self.table.channels.len().max(1));
        Some((self.table.channel(0)?, self.table.channel(any)?))
    }
}

type SendCase = (usize, becket_chan::SendCase<u64>);
type RecvCase = (usize, becket_chan::RecvCase<u64>);

/// Both sides of the first channel, and any sides of the others, in any order.
struct Cases<'t> {
    select: Select<'t>,
    sends: Vec<SendCase>,
    receives: Vec<RecvCase>,
}

impl<'t> Cases<'t> {
    fn new(table: &'t Table, offer: u64) -> Self {
        let mut sides: Vec<(&Channel, bool)> = Vec::new();
        for (number, channel) in table.channels.iter().enumerate() {
            for sends in [false, true] {
                if number == 0 || fastrand::bool() {
                    sides.push((channel, sends));
                }
            }
        }
        fastrand::shuffle(&mut sides);
        let select = Select::new();
        let select = if fastrand::u8(..4) == 0 { select.biased() } else { select };
        Self::of(select, sides, offer)
    }

    /// Both sides of every channel.
    fn all(table: &'t Table, offer: u64) -> Self {
        let channels = table.channels.iter();
        let sides = channels.flat_map(|channel| [(channel, false), (channel, true)]).collect();
        Self::of(Select::new(), sides, offer)
    }

    fn of(select: Select<'t>, sides: Vec<(&'t Channel, bool)>, offer: u64) -> Self {
        let mut cases = Self { select, sends: Vec::new(), receives: Vec::new() };
        for (index, ((tx, rx), sends)) in sides.into_iter().enumerate() {
            if sends {
                cases.sends.push((index, cases.select.send(tx, offer)));
            } else {
                cases.receives.push((index, cases.select.recv(rx)));
            }
        }
        cases
    }
}

fn came(ready: &becket_chan::Ready<'_, '_>, sends: &[SendCase], receives: &[RecvCase]) -> Came {
    let index = ready.index();
    let sent = sends.iter().find(|(at, _)| *at == index).and_then(|(_, case)| ready.send(*case));
    let received =
        receives.iter().find(|(at, _)| *at == index).and_then(|(_, case)| ready.recv(*case));
    match (sent, received) {
        (Some(sent), _) => sent.into(),
        (None, Some(received)) => received.into(),
        (None, None) => Came::Nothing,
    }
}

impl fmt::Display for Faces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kinds = if self.kinds { "several kinds" } else { "rendezvous" };
        let kept = if self.kept { ", kept" } else { "" };
        write!(f, "{} parties, {}, {kinds}{kept}", self.parties, self.style)
    }
}
