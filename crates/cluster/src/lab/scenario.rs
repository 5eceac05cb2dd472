// SPDX-License-Identifier: BSD-3-Clause
//! One run: processes that send, receive and close, as the choices decide, and what they saw.

use std::sync::Arc;
use std::time::Duration;

use becket_chan::{Token, select, timer, unlimited};
use becket_lab::choice::Choices;
use bytes::Bytes;
use futures_lite::future::or;
use parking_lot::Mutex;

use super::client::Client;
use super::mutant::Mutant;
use super::network::{Faults, Network};
use super::world::{Ended, World};
use crate::channel::Channel;
use crate::counters::Snapshot;
use crate::engine::Engine;
use crate::error::{AckError, RecvError, SendError};
use crate::names::Names;
use crate::options::{Kind, Options};
use crate::receiver::Receiver;
use crate::sender::Sender;

/// No run takes longer, in virtual time.
const TIME_MAX: Duration = Duration::from_secs(600);
/// What is late arrives within this time.
const REST: Duration = Duration::from_secs(60);
const ACK_WAIT: Duration = Duration::from_secs(30);

/// What a receiver does, by its choice.
const RECEIVES: [&str; 11] = [
    "recv",
    "lease, ack",
    "recv, timeout",
    "try_recv",
    "recv, dropped",
    "lease, dropped",
    "lease, ack late",
    "lease, in progress, ack",
    "lease, killed",
    "recv and lease, dropped",
    "recv, dropped with its receiver",
];
/// Longer than a message on its way back to the server takes.
const HANDED_BACK: Duration = Duration::from_secs(60);

/// What a run is about; the choices decide the rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Setup {
    pub(super) kind: Kind,
    /// Whether there are faults.
    pub(super) is_faulty: bool,
    /// Sends and receives without limits only, none of which is dropped.
    pub(super) is_plain: bool,
    /// Receives are dropped while they acknowledge, and so are leases of what they have acknowledged, and receivers.
    pub(super) drops: bool,
    pub(super) mutant: Option<Mutant>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outcome {
    Accepted,
    Refused(&'static str),
    Unknown,
    Dropped,
}

#[derive(Debug, Clone)]
pub(super) struct Sent {
    pub(super) value: u32,
    pub(super) what: &'static str,
    pub(super) begun: Duration,
    pub(super) ended: Duration,
    pub(super) outcome: Outcome,
}

#[derive(Debug, Clone)]
pub(super) struct Received {
    pub(super) receiver: usize,
    pub(super) value: u32,
    pub(super) at: Duration,
    /// The number of the message and its attempt, if it was leased.
    pub(super) delivery: Option<(u64, u64)>,
}

/// What was seen.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) sent: Vec<Sent>,
    pub(super) received: Vec<Received>,
    /// Leases whose acknowledgement was not confirmed.
    pub(super) doubtful: Vec<u32>,
    /// In runs in which receivers drop what they have: from now on they do not.
    pub(super) has_all_sent: bool,
    /// The first close that succeeded.
    pub(super) closed: Option<Duration>,
    /// Of each process, once it has ended: what it sent or received, and its counters.
    pub(super) senders: Vec<(usize, Snapshot)>,
    pub(super) receivers: Vec<(usize, Snapshot)>,
    /// Each receive: when it began, of which process, which of its operations.
    pub(super) receives: Vec<(Duration, usize, &'static str)>,
    /// Found while it ran.
    pub(super) violations: Vec<String>,
    pub(super) done: Duration,
}

pub(super) struct Run {
    pub(super) seen: Seen,
    pub(super) ended: Ended,
    pub(super) stored: Vec<u32>,
    pub(super) accepted: Vec<(u64, u32)>,
    pub(super) refusals: u64,
    pub(super) faults: Vec<(Duration, &'static str)>,
    pub(super) recording: Vec<u32>,
    pub(super) asked: u64,
}

#[derive(Clone)]
struct Stage {
    setup: Setup,
    world: Arc<World>,
    names: Arc<Names>,
    seen: Arc<Mutex<Seen>>,
}

/// One run.
pub(super) fn run(setup: Setup, choices: Choices) -> Run {
    let mut choices = choices.recording();
    let faults = if setup.is_faulty {
        let until = Duration::from_millis(u64::from(choices.below(40)) * 250);
        Faults { budget: 1 + choices.below(6), until }
    } else {
        Faults::default()
    };
    let world = World::new(choices, Network::new(faults, setup.mutant));
    let names = Arc::new(Names::new("lab", "jobs", setup.kind, 1).unwrap());
    let stage = Stage { setup, world: world.clone(), names: names.clone(), seen: Arc::default() };
    let seen = stage.seen.clone();
    let ended = world.run(stage.play(), (TIME_MAX, REST));
    let network = world.network.lock();
    let number = |(at, value): &(u64, Bytes)| (*at, number_of(value));
    let choices = std::mem::replace(&mut *world.choices.lock(), Choices::seeded(0));
    let asked = choices.asked();
    Run {
        seen: std::mem::take(&mut *seen.lock()),
        ended,
        stored: network.server.stored(&names).iter().map(|it| number(it).1).collect(),
        accepted: network.server.accepted(&names).iter().map(number).collect(),
        refusals: network.server.refusals,
        faults: network.happened.clone(),
        recording: choices.into_recording(),
        asked,
    }
}

/// The frames that a receive sends which waits for a time.
pub(super) fn idle(kind: Kind, time: Duration) -> u64 {
    let setup = Setup { kind, is_faulty: false, is_plain: true, drops: false, mutant: None };
    let world = World::new(Choices::seeded(0), Network::new(Faults::default(), None));
    let names = Arc::new(Names::new("lab", "jobs", kind, 1).unwrap());
    let stage = Stage { setup, world: world.clone(), names, seen: Arc::default() };
    let sent = Arc::new(Mutex::new(0));
    let counted = sent.clone();
    let frames = {
        let world = world.clone();
        move || world.network.lock().frames
    };
    let waiting = async move {
        let (_, _, rx) = stage.open(0).await;
        let waits = async {
            drop(rx.recv().await);
        };
        let counts = async {
            timer::sleep(Duration::from_secs(1)).await;
            let before = frames();
            timer::sleep(time).await;
            *counted.lock() = frames() - before;
        };
        or(waits, counts).await;
    };
    assert_eq!(world.run(waiting, (time * 2, Duration::ZERO)), Ended::Done);
    *sent.lock()
}

pub(super) fn number_of(value: &[u8]) -> u32 {
    u32::from_be_bytes(value.try_into().unwrap())
}

async fn pause(milliseconds: u32) {
    timer::sleep(Duration::from_millis(milliseconds.into())).await;
}

impl Stage {
    fn below(&self, bound: u32) -> u32 {
        self.world.choices.lock().below(bound)
    }

    fn violation(&self, text: String) {
        self.seen.lock().violations.push(text);
    }

    async fn open(&self, window: usize) -> (Client, Sender, Receiver) {
        let client = Client::new(&self.world);
        let options = Options::default().namespace("lab").ack_wait(ACK_WAIT).window(window);
        let engine = Engine::Model(client.clone());
        loop {
            match Channel::open(&engine, "jobs", self.setup.kind, &options).await {
                Ok(channel) => {
                    let receiver = Receiver::new(&channel, window);
                    return (client, Sender::new(channel), receiver);
                }
                // For a fault.
                Err(_) => pause(100).await,
            }
        }
    }

    async fn play(self) {
        let (ended, all_ended) = unlimited::<()>();
        let (sent, all_sent) = unlimited::<()>();
        let (senders, receivers) = (1 + self.below(3), 1 + self.below(3));
        for number in 0..senders as usize {
            let (stage, ended, sent) = (self.clone(), ended.clone(), sent.clone());
            self.world.spawn(async move {
                stage.send(number).await;
                drop((sent, ended));
            });
        }
        for number in 0..receivers as usize {
            let (stage, ended) = (self.clone(), ended.clone());
            self.world.spawn(async move {
                stage.receive(number).await;
                drop(ended);
            });
        }
        drop((ended, sent));
        let (_, closer, _) = self.open(0).await;
        let is_early = !self.setup.is_plain && !self.setup.drops && self.below(4) == 3;
        if is_early {
            pause(self.below(100)).await;
        } else {
            let _closed = all_sent.recv().await;
        }
        if self.setup.drops {
            // A receiver that finds the channel drained does not get what is handed back behind that.
            self.seen.lock().has_all_sent = true;
            timer::sleep(HANDED_BACK).await;
        }
        match closer.close_with("over").await {
            Ok(_) => self.seen.lock().closed = Some(self.world.now()),
            Err(error) => self.violation(format!("the close failed: {error}")),
        }
        let _closed = all_ended.recv().await;
        self.seen.lock().done = self.world.now();
    }

    async fn send(&self, sender: usize) {
        let (client, tx, _) = self.open(0).await;
        let mut refused = [0u64; 4];
        let mut accepted = 0;
        let (mut unknown, mut dropped) = (0, 0);
        for at in 0..1 + self.below(6) {
            pause(self.below(4) * 3).await;
            let value = (sender as u32) << 8 | at;
            let bytes = Bytes::from(value.to_be_bytes().to_vec());
            let (choice, limit) = match self.setup.is_plain {
                true => (0, 0),
                false => (self.below(if self.setup.drops { 7 } else { 6 }), 1 + self.below(20)),
            };
            let mut is_withdrawn = false;
            let begun = self.world.now();
            let limit_time = Duration::from_millis(limit.into());
            let (what, result) = match choice {
                0 => ("send", Some(tx.send(bytes.clone()).await)),
                1 => ("send, timeout", Some(tx.send(bytes.clone()).timeout(limit_time).await)),
                2 => ("try_send", Some(tx.try_send(bytes.clone()).await)),
                3 => {
                    let token = Token::new();
                    let cancels = token.clone();
                    client.spawn(async move {
                        pause(limit).await;
                        cancels.cancel();
                    });
                    ("send, cancelled", Some(tx.send(bytes.clone()).cancel_on(&token).await))
                }
                4 => {
                    let id = format!("id-{value}");
                    ("send_with_id", Some(tx.send_with_id(bytes.clone(), &id).await))
                }
                6 => {
                    let (fires, fired) = unlimited::<()>();
                    client.spawn(async move {
                        pause(limit).await;
                        drop(fires);
                    });
                    let arm = tx.arm(bytes.clone());
                    let result = loop {
                        select! {
                            biased;
                            _closed = fired.recv() => break None,
                            ready = arm.recv() => {
                                if let Some(result) = arm.attempt(ready.unwrap()).await {
                                    break Some(result);
                                }
                            }
                        }
                    };
                    is_withdrawn = result.is_none();
                    if is_withdrawn && arm.into_inner().as_ref() != Some(&bytes) {
                        self.violation(format!("select: the arm of {value:#x} has not its value"));
                    }
                    ("send, an arm of a select", result)
                }
                _ => {
                    let send = async { Some(tx.send(bytes.clone()).await) };
                    let gone = async {
                        pause(limit).await;
                        None
                    };
                    ("send, dropped", or(send, gone).await)
                }
            };
            let ended = self.world.now();
            let outcome = match result {
                None if is_withdrawn => Outcome::Refused("another arm"),
                None => {
                    dropped += 1;
                    Outcome::Dropped
                }
                Some(Ok(())) => {
                    accepted += 1;
                    Outcome::Accepted
                }
                Some(Err(error)) => {
                    let (at, outcome) = match &error {
                        SendError::Closed { .. } => (0, Outcome::Refused("closed")),
                        SendError::TimedOut(_) => (1, Outcome::Refused("timed out")),
                        SendError::Cancelled(_) => (2, Outcome::Refused("cancelled")),
                        SendError::WouldBlock(_) => (3, Outcome::Refused("would block")),
                        SendError::Unknown(_) => (4, Outcome::Unknown),
                        SendError::Unsupported { cause, .. } => {
                            self.violation(format!("unsupported: {cause}"));
                            (4, Outcome::Unknown)
                        }
                    };
                    match refused.get_mut(at) {
                        Some(count) => *count += 1,
                        None => unknown += 1,
                    }
                    if error.into_inner() != bytes {
                        self.violation(format!("{what} of {value:#x} returned another value"));
                    }
                    outcome
                }
            };
            // Another second is for the answer, and one for the reason of a close.
            let longest = limit_time + Duration::from_millis(2001);
            if matches!(choice, 1 | 3) && ended - begun > longest {
                self.violation(format!("{what} of {value:#x} took {:?}", ended - begun));
            }
            self.seen.lock().sent.push(Sent { value, what, begun, ended, outcome });
        }
        let counters = tx.snapshot();
        let failures = counters.send_failures;
        let counted =
            [failures.closed, failures.timed_out, failures.cancelled, failures.would_block];
        let may_be_unknown = unknown..=unknown + dropped;
        if counted != refused || !may_be_unknown.contains(&failures.unknown) {
            self.violation(format!("counted {failures:?} for {refused:?} and {unknown} unknown"));
        }
        self.seen.lock().senders.push((accepted, counters));
    }

    async fn receive(&self, receiver: usize) {
        let window = self.below(3) as usize;
        let (client, _, mut rx) = self.open(window).await;
        let is_plain = self.setup.is_plain;
        let is_rendezvous = self.setup.kind == Kind::Rendezvous;
        let mut received = 0;
        let mut is_counted = true;
        // Perhaps a message that a receive has acknowledged and not returned. The next one returns it; a lease of
        // it that is dropped is not requeued any more.
        let mut may_hold = false;
        // Odd ones; then it drains.
        let mut odd = 6;
        let error = loop {
            let bound = match (is_plain, odd) {
                (true, _) | (_, 0) => 2,
                _ if self.seen.lock().has_all_sent => 2,
                _ if self.setup.drops => 11,
                _ => 9,
            };
            let choice = self.below(bound);
            odd -= u32::from(choice > 1);
            may_hold |= (2..5).contains(&choice) || choice > 8;
            let limit = 1 + self.below(if choice > 1 { 20 } else { 1 });
            let begun = (self.world.now(), receiver, RECEIVES[choice as usize]);
            self.seen.lock().receives.push(begun);
            let limit_time = Duration::from_millis(limit.into());
            let got = |value: &[u8], delivery| {
                let (value, at) = (number_of(value), self.world.now());
                self.seen.lock().received.push(Received { receiver, value, at, delivery });
            };
            let result = match choice {
                0 => rx.recv().await,
                2 => rx.recv().timeout(limit_time).await,
                3 => rx.try_recv().await,
                4 | 9 | 10 => {
                    let gone = async {
                        pause(limit).await;
                        Err(RecvError::TimedOut)
                    };
                    let result = or(rx.recv(), gone).await;
                    match result {
                        Err(RecvError::TimedOut) if choice == 9 => {
                            let lease = async { rx.lease().await.map(drop) };
                            let gone = async {
                                pause(limit).await;
                                Err(RecvError::TimedOut)
                            };
                            let _requeued = or(lease, gone).await;
                        }
                        Err(RecvError::TimedOut) if choice == 10 => {
                            let counted = (received, rx.snapshot());
                            self.seen.lock().receivers.push(counted);
                            received = 0;
                            rx = self.open(window).await.2;
                        }
                        _ => {}
                    }
                    result
                }
                _ => match rx.lease().await {
                    Err(error) => Err(error),
                    Ok(mut leased) => {
                        let delivery = (leased.sequence(), leased.attempt());
                        let value = number_of(&leased);
                        match choice {
                            5 if !may_hold || self.setup.drops => {
                                pause(limit).await;
                                drop(leased);
                                continue;
                            }
                            6 if !is_rendezvous => timer::sleep(ACK_WAIT).await,
                            7 if !is_rendezvous => {
                                // It may have been in the window for a while.
                                leased.in_progress();
                                timer::sleep(ACK_WAIT / 2).await;
                                leased.in_progress();
                                timer::sleep(ACK_WAIT * 2 / 3).await;
                            }
                            // Another process gets it.
                            8 if receiver > 0 && !is_rendezvous && !may_hold => {
                                client.kill();
                                return;
                            }
                            _ => {}
                        }
                        match leased.ack().await {
                            Ok(value) => {
                                received += 1;
                                got(&value, Some(delivery));
                                continue;
                            }
                            Err(AckError::Expired) => {
                                if choice == 1 || choice == 7 && !self.setup.is_faulty {
                                    self.violation(format!("the lease of {value:#x} expired"));
                                }
                                continue;
                            }
                            Err(AckError::Unknown) => {
                                is_counted = false;
                                self.seen.lock().doubtful.push(value);
                                continue;
                            }
                        }
                    }
                },
            };
            match result {
                Ok(value) => {
                    received += 1;
                    got(&value, None);
                }
                Err(error @ RecvError::Closed { .. }) => break error,
                Err(RecvError::TimedOut | RecvError::WouldBlock) => pause(5).await,
                Err(RecvError::Unsupported) if is_rendezvous && choice == 3 => {}
                Err(error) => {
                    self.violation(format!("a receive failed: {error}"));
                    break error;
                }
            }
        };
        let left = self.world.network.lock().server.stored(&self.names).len();
        if left > 0 {
            self.violation(format!("a receive was closed while {left} values were stored"));
        }
        if error != (RecvError::Closed { reason: Some("over".into()) }) {
            self.violation(format!("a receive ended with {error:?}"));
        }
        if is_counted {
            self.seen.lock().receivers.push((received, rx.snapshot()));
        }
    }
}
