// SPDX-License-Identifier: BSD-3-Clause
//! The task that gets messages of a stream: pull requests with credit.
//!
//! # Invariants
//!
//! 1. Outstanding credit, in messages, is at most what is wanted when it is granted; a message that
//!    arrives uses one up, and a request that ends returns its rest.
//! 2. A session has a subject of its own. When the connection was lost, or nothing was received for too
//!    long, a new session begins: requests of the old one end with its subscription.
//! 3. The inbox closes when the channel is closed and the server has no message of it but those that
//!    this process holds.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use async_nats::jetstream;
use async_nats::{Message, StatusCode, Subscriber};
use becket_chan::timer;
use bytes::Bytes;
use futures_lite::StreamExt as _;
use serde::Serialize;

use crate::channel::{ANSWER_TIMEOUT, SLOW_RETRY};
use crate::delivery::{Delivery, Home};
use crate::limits::at_most;

/// How long a pull request waits at the server.
const EXPIRES: Duration = Duration::from_secs(30);
/// The server notifies a waiting request of its own life this often.
const HEARTBEAT: Duration = Duration::from_secs(5);
/// After this time without a message or a heartbeat the requests are taken as lost.
const SILENCE_MAX: Duration = Duration::from_secs(12);

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
    let link = &home.channel.link;
    let message = link.request_message(&next_subject(home), request.encode()).await.ok()?;
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
        let client = channel.link.client();
        let mut connects = channel.link.connects();
        connects.mark_unchanged();
        let inbox = client.new_inbox();
        let Ok(mut messages) = client.subscribe(inbox.clone()).await else { return false };
        let mut outstanding = 0;
        // The last sign of the server, or when there was no request.
        let mut heard = Instant::now();
        // After the close: perhaps nothing is left.
        let mut may_be_drained = true;
        loop {
            let surplus = self.surplus();
            drop(surplus);
            let is_closed = channel.is_closed();
            if is_closed {
                channel.listen().await;
            }
            if is_closed && std::mem::take(&mut may_be_drained) && self.is_drained().await {
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
                let asked = client
                    .publish_with_reply(next_subject(&home), inbox.clone(), request.encode())
                    .await;
                if asked.is_err() {
                    return false;
                }
                if outstanding == 0 {
                    heard = Instant::now();
                }
                outstanding += missing;
            }
            tokio::select! {
                biased;
                message = messages.next() => match message.inspect(|_| heard = Instant::now()) {
                    None => return false,
                    Some(message) => match self.arrived(message) {
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
                    },
                },
                connected = connects.changed() => {
                    return connected.is_ok() && self.end(messages).await;
                }
                _ = home.gone.cancelled() => {
                    self.end(messages).await;
                    return false;
                }
                () = home.changed.notified() => {}
                () = channel.freed.notified(), if is_closed => may_be_drained = self.pending == 0,
                () = timer::sleep(SLOW_RETRY), if is_closed => may_be_drained = true,
                _ = channel.closed.cancelled(), if !is_closed => may_be_drained = true,
                () = timer::sleep_until(heard + SILENCE_MAX), if outstanding > 0 => {
                    tracing::debug!(channel = channel.name, "no heartbeat: a new session");
                    return self.end(messages).await;
                }
            }
        }
    }

    /// Ends a session, with the messages that are on their way to it. True.
    async fn end(&mut self, mut messages: Subscriber) -> bool {
        let ending = async {
            if messages.drain().await.is_ok() {
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

    /// Whether the server has no message of the channel but those that are held here.
    async fn is_drained(&self) -> bool {
        if !self.ends.1.is_empty() {
            return false;
        }
        let held = self.home.held.load(Ordering::SeqCst);
        match self.home.channel.count().await {
            Ok(count) => count <= held,
            Err(error) => {
                tracing::debug!(channel = self.home.channel.name, error, "no answer");
                false
            }
        }
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
    let message = jetstream::Message { message, context: home.channel.link.server().clone() };
    let info = message.info().ok()?;
    let (sequence, pending) = (info.stream_sequence, info.pending);
    let attempt = u64::try_from(info.delivered).unwrap_or_default();
    if home.is_acknowledged(sequence) {
        home.channel.counters.redelivered();
        home.channel.counters.duplicate();
        home.channel.link.post(&reply, Bytes::from_static(b"+ACK"));
        return None;
    }
    let value = message.payload.clone();
    Some((Delivery::new(home, value, reply, (sequence, attempt)), pending))
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
