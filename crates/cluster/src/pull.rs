// SPDX-License-Identifier: BSD-3-Clause
//! The task that gets messages of a stream: pull requests with credit.
//!
//! # Invariants
//!
//! 1. Outstanding credit, in messages, is at most what is wanted when it is granted; a message that
//!    arrives uses one up, and a request that ends returns its rest.
//! 2. A session has a subject of its own. When the connection was lost, or nothing was received for too
//!    long, a new session begins: requests of the old one end with its subscription.
//! 3. The inbox closes when the channel is closed and the server has no message of it: neither one that is
//!    held by a receiver, here or elsewhere, since it may be requeued.
//! 4. A message that a server transmits to a subscription that has ended waits for `ack_wait`. Between several servers
//!    some are always on their way: the one that chose a request learns of the end from another, and a replicated
//!    delivery is decided before it is transmitted. So when the receivers are dropped, the subscription stays until the
//!    credit is used up or nothing arrives any more, and what arrives is requeued.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use async_nats::{Message, StatusCode};
use becket_chan::timer;
use bytes::Bytes;
use serde::Serialize;

use crate::channel::{ANSWER_TIMEOUT, RETRY_PAUSE, SLOW_RETRY};
use crate::delivery::{Delivery, Home};
use crate::engine::{Info, Subscription};
use crate::limits::at_most;

/// How long a pull request waits at the server.
const EXPIRES: Duration = Duration::from_secs(30);
/// The server notifies a waiting request of its own life this often.
const HEARTBEAT: Duration = Duration::from_secs(5);
/// After this time without a message or a heartbeat the requests are taken as lost.
const SILENCE_MAX: Duration = Duration::from_secs(12);

/// After this time without a message nothing is taken to be on its way to receivers that were dropped.
const QUIET: Duration = Duration::from_secs(1);
/// The subscription of receivers that were dropped ends after this time, whatever arrives.
const LEAVE_MAX: Duration = Duration::from_secs(5);

type Ends = (becket_chan::Sender<Delivery>, becket_chan::Receiver<Delivery>);

#[derive(Serialize)]
struct Request {
    batch: usize,
    /// In nanoseconds, as the next one.
    #[serde(skip_serializing_if = "Option::is_none")]
    expires: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    idle_heartbeat: Option<u64>,
    no_wait: bool,
}

impl Request {
    fn encode(&self) -> Bytes {
        // A structure of numbers: there is nothing that could fail.
        serde_json::to_vec(self).unwrap_or_default().into()
    }
}

fn next_subject(home: &Home) -> String {
    let channel = &home.channel;
    format!("$JS.API.CONSUMER.MSG.NEXT.{}.{}", channel.names.stream, channel.name)
}

/// Asks for one message, without waiting for one. `None`: there is none.
pub(crate) async fn one(home: &Arc<Home>) -> Option<Delivery> {
    let request = Request { batch: 1, expires: None, idle_heartbeat: None, no_wait: true };
    let engine = &home.channel.engine;
    let message = engine.request_message(&next_subject(home), request.encode()).await.ok()?;
    delivered(home, message).map(|(delivery, _)| delivery)
}

/// Fills the inbox until the channel is closed and drained, or the receivers are dropped.
pub(crate) async fn run(home: Arc<Home>, ends: Ends) {
    let mut session = Session { home, ends, pending: 0 };
    while session.run().await {}
}

struct Session {
    home: Arc<Home>,
    ends: Ends,
    /// Messages that the server had not delivered yet when it delivered the last one.
    pending: u64,
}

impl Session {
    /// One session. False: there will be none after it.
    async fn run(&mut self) -> bool {
        let home = self.home.clone();
        let channel = &home.channel;
        let engine = &channel.engine;
        let mut connects = engine.connects();
        connects.mark_unchanged();
        let inbox = engine.new_inbox();
        let Ok(mut messages) = engine.subscribe(inbox.clone()).await else { return false };
        let mut outstanding = 0;
        // After the close: perhaps nothing is left.
        let mut may_be_drained = true;
        let mut was_noted = false;
        // When the server was heard of last, while it has a request.
        let mut heard = engine.now();
        loop {
            let surplus = self.surplus();
            drop(surplus);
            let is_closed = channel.is_closed();
            if is_closed {
                channel.listen().await;
            }
            if is_closed
                && std::mem::take(&mut may_be_drained)
                && self.ends.1.is_empty()
                && home.is_drained().await
            {
                self.ends.0.close();
                self.end(messages).await;
                return false;
            }
            // Not the inbox's length: a message may be on its way to a receive that still counts.
            let untaken = home.untaken.load(Ordering::SeqCst);
            let missing = home.admitted().saturating_sub(untaken + outstanding);
            let is_awaited = home.wanted.load(Ordering::SeqCst) > untaken + outstanding;
            // A window is asked for in halves: a request for each message would double what is sent.
            if missing > 0 && (is_awaited || 2 * missing >= home.window) {
                let request = Request {
                    batch: missing,
                    expires: Some(nanoseconds(EXPIRES)),
                    idle_heartbeat: Some(nanoseconds(HEARTBEAT)),
                    no_wait: false,
                };
                let asked = engine
                    .publish_with_reply(next_subject(&home), inbox.clone(), request.encode())
                    .await;
                if asked.is_err() {
                    return false;
                }
                if outstanding == 0 {
                    heard = engine.now();
                }
                outstanding += missing;
            }
            tokio::select! {
                biased;
                message = messages.next() => match message {
                    None => return false,
                    Some(message) => {
                        heard = engine.now();
                        match self.arrived(message) {
                        Arrived::Message => outstanding = outstanding.saturating_sub(1),
                        Arrived::Alive => {}
                        Arrived::Ended(rest) => {
                            outstanding = outstanding.saturating_sub(rest);
                            if let Err(error) = channel.look_at_gate().await {
                                tracing::debug!(channel = channel.name, error, "no answer");
                            }
                        }
                        Arrived::Failed => {
                            timer::sleep(SLOW_RETRY).await;
                            return self.end(messages).await;
                        }
                    }}
                },
                connected = connects.changed() => {
                    return connected.is_ok() && self.end(messages).await;
                }
                _ = home.gone.cancelled() => {
                    let _held = self.leave(&mut messages, outstanding).await;
                    self.end(messages).await;
                    return false;
                }
                () = home.changed.notified() => {}
                () = channel.freed.notified(), if is_closed => {
                    // Perhaps others have drained it since. Not each of their notes is worth a question.
                    (may_be_drained, was_noted) = (self.pending == 0, true);
                }
                () = timer::sleep(if was_noted { RETRY_PAUSE } else { SLOW_RETRY }), if is_closed => {
                    (may_be_drained, was_noted) = (true, false);
                }
                _ = channel.closed.cancelled(), if !is_closed => may_be_drained = true,
                () = timer::sleep_until(heard + SILENCE_MAX), if outstanding > 0 => {
                    tracing::debug!(channel = channel.name, "no heartbeat: a new session");
                    return self.end(messages).await;
                }
            }
        }
    }

    /// Requeues what arrives after the receivers were dropped: invariant 4. A message that comes again has no other
    /// receiver. It is kept until the subscription has ended, or it would come as often as there is credit.
    async fn leave(
        &mut self,
        messages: &mut Subscription,
        mut outstanding: usize,
    ) -> Vec<Delivery> {
        let (mut requeued, mut kept) = (HashSet::new(), Vec::new());
        let leaving = async {
            drop(self.ends.1.split_off(0));
            while outstanding > 0
                && let Some(Some(message)) = at_most(QUIET, messages.next()).await
            {
                match self.arrived(message) {
                    Arrived::Message => outstanding -= 1,
                    Arrived::Alive => {}
                    Arrived::Ended(rest) => outstanding = outstanding.saturating_sub(rest),
                    Arrived::Failed => return,
                }
                for delivery in self.ends.1.split_off(0) {
                    if requeued.insert(delivery.sequence()) {
                        drop(delivery);
                    } else {
                        kept.push(delivery);
                    }
                }
            }
        };
        at_most(LEAVE_MAX, leaving).await;
        kept
    }

    /// Ends a session, with the messages that are on their way to it. True.
    async fn end(&mut self, mut messages: Subscription) -> bool {
        let ending = async {
            if messages.drain().await {
                while let Some(message) = messages.next().await {
                    self.arrived(message);
                }
            }
        };
        // Without a connection nothing is on its way.
        at_most(ANSWER_TIMEOUT, ending).await;
        true
    }

    /// Removes the messages from the inbox that no receive wants, to be requeued.
    fn surplus(&self) -> Vec<Delivery> {
        let (_, inbox) = &self.ends;
        let admitted = self.home.admitted();
        if inbox.len() <= admitted {
            return Vec::new();
        }
        let surplus = inbox.split_off(admitted);
        let (kept, surplus): (Vec<_>, Vec<_>) = surplus.into_iter().partition(Delivery::is_acking);
        inbox.put_back_many(kept);
        surplus
    }

    fn arrived(&mut self, message: Message) -> Arrived {
        match message.status {
            None => {}
            Some(StatusCode::IDLE_HEARTBEAT) => return Arrived::Alive,
            // Expired, no messages, or ended by the server: the rest of its credit is in a header.
            Some(status) if status != StatusCode::NO_RESPONDERS => {
                let rest = message
                    .headers
                    .as_ref()
                    .and_then(|headers| headers.get("Nats-Pending-Messages"))
                    .and_then(|rest| rest.as_str().parse().ok());
                let is_gone = status != StatusCode::TIMEOUT && status != StatusCode::NOT_FOUND;
                return match rest {
                    Some(rest) if !is_gone => Arrived::Ended(rest),
                    _ => Arrived::Failed,
                };
            }
            Some(_) => return Arrived::Failed,
        }
        if let Some((delivery, pending)) = delivered(&self.home, message) {
            self.pending = pending;
            // Its receiver is this task's own: it is not closed before this task closes it.
            let _sent = self.ends.0.try_send(delivery);
        }
        Arrived::Message
    }
}

/// What arrived at a session.
enum Arrived {
    Message,
    /// A heartbeat.
    Alive,
    /// A request ended, with this much of its credit unused.
    Ended(usize),
    /// The requests are lost.
    Failed,
}

/// The message, and the number of those not delivered yet; none if it is a status, or a message that
/// this process has acknowledged before.
fn delivered(home: &Arc<Home>, message: Message) -> Option<(Delivery, u64)> {
    if message.status.is_some() {
        return None;
    }
    let reply = message.reply.as_ref()?.to_string();
    let Info { sequence, attempt, pending } = home.channel.engine.info(&message)?;
    if home.is_acknowledged(sequence) {
        home.channel.counters.redelivered();
        home.channel.counters.duplicate();
        home.channel.engine.post(&reply, Bytes::from_static(b"+ACK"));
        return None;
    }
    Some((Delivery::new(home, message.payload, reply, (sequence, attempt)), pending))
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
