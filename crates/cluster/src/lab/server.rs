// SPDX-License-Identifier: BSD-3-Clause
//! The model of a server: core subjects, work-queue streams, pull consumers.
//!
//! What a stream does with a message, in this order, as the real one does: the gate, the id, the limits. A message that
//! was not acknowledged in time, or was refused, goes ahead of those that were not delivered yet, but behind those that
//! were.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use async_nats::header::NATS_MESSAGE_ID;
use async_nats::{HeaderMap, StatusCode};
use bytes::Bytes;
use serde::Deserialize;

use super::network::{Frame, Sent, plain, status};
use crate::names::Names;
use crate::options::{Kind, Options};
use crate::server::DUPLICATE_WINDOW;

/// Answers of a server that cannot serve at this moment.
const BUSY: [(u32, u32); 5] =
    [(503, 10008), (429, 10167), (400, 10158), (400, 10164), (503, 10023)];
/// What a message costs beside its payload, in bytes.
const MESSAGE_BYTES: usize = 100;

pub(super) struct Server {
    pub(super) is_up: bool,
    pub(super) has_leader: bool,
    /// Sends that are answered with one of [`BUSY`].
    pub(super) busy: usize,
    /// Values that a stream had no room for.
    pub(super) refusals: u64,
    subscriptions: Vec<Subscription>,
    /// Of a subject.
    homes: BTreeMap<String, String>,
    streams: BTreeMap<String, Stream>,
    pub(super) sent: Vec<Sent>,
    /// All that streams have accepted.
    accepted: Vec<(u64, String, Bytes)>,
    turn: usize,
}

struct Subscription {
    client: usize,
    number: u64,
    subject: String,
    group: Option<String>,
}

#[derive(Default)]
struct Stream {
    per_subject_max: Option<usize>,
    discards_old: bool,
    bytes_max: Option<u64>,
    messages: BTreeMap<u64, Stored>,
    last: u64,
    /// With the number of the message, and when it was stored.
    ids: BTreeMap<String, (u64, u64)>,
    consumers: BTreeMap<String, Consumer>,
}

struct Stored {
    subject: String,
    payload: Bytes,
}

struct Consumer {
    filter: String,
    ack_wait: Duration,
    /// The last message that was delivered for the first time.
    cursor: u64,
    deliveries: u64,
    /// With the time at which they are delivered again.
    pending: BTreeMap<u64, u64>,
    attempts: BTreeMap<u64, u64>,
    again: VecDeque<u64>,
    waiting: VecDeque<Pull>,
}

struct Pull {
    reply: String,
    left: usize,
    expires: u64,
    heartbeat: u64,
    next_heartbeat: u64,
}

#[derive(Deserialize)]
struct Request {
    batch: usize,
    expires: Option<u64>,
    idle_heartbeat: Option<u64>,
    no_wait: bool,
}

impl Default for Server {
    fn default() -> Self {
        Self {
            is_up: true,
            has_leader: true,
            busy: 0,
            refusals: 0,
            subscriptions: Vec::new(),
            homes: BTreeMap::new(),
            streams: BTreeMap::new(),
            sent: Vec::new(),
            accepted: Vec::new(),
            turn: 0,
        }
    }
}

impl Server {
    pub(super) fn prepare(
        &mut self,
        names: &Names,
        (name, kind, options): (String, Kind, Options),
    ) -> Duration {
        let stream = self.streams.entry(names.stream.clone()).or_default();
        match kind {
            Kind::Rendezvous => stream.per_subject_max = Some(1),
            Kind::Bounded { capacity } => stream.per_subject_max = Some(capacity),
            Kind::Conflated => (stream.per_subject_max, stream.discards_old) = (Some(1), true),
            Kind::Unlimited { bytes_max } => stream.bytes_max = Some(bytes_max),
        }
        self.homes.insert(names.gate.clone(), names.stream.clone());
        if kind == Kind::Rendezvous {
            return options.ack_wait;
        }
        self.homes.insert(names.data.clone(), names.stream.clone());
        let consumer = stream.consumers.entry(name).or_insert_with(|| Consumer {
            filter: names.data.clone(),
            ack_wait: options.ack_wait,
            cursor: 0,
            deliveries: 0,
            pending: BTreeMap::new(),
            attempts: BTreeMap::new(),
            again: VecDeque::new(),
            waiting: VecDeque::new(),
        });
        consumer.ack_wait
    }

    /// Values of a channel that are stored.
    pub(super) fn stored(&self, names: &Names) -> Vec<(u64, Bytes)> {
        let Some(stream) = self.streams.get(&names.stream) else { return Vec::new() };
        let values = stream.messages.iter().filter(|(_, message)| message.subject == names.data);
        values.map(|(number, message)| (*number, message.payload.clone())).collect()
    }

    /// Values of a channel that were accepted, in order.
    pub(super) fn accepted(&self, names: &Names) -> Vec<(u64, Bytes)> {
        let values = self.accepted.iter().filter(|(_, subject, _)| *subject == names.data);
        values.map(|(number, _, payload)| (*number, payload.clone())).collect()
    }

    pub(super) fn disconnected(&mut self, client: usize) {
        self.subscriptions.retain(|subscription| subscription.client != client);
    }

    /// What is in files stays. Ids are read from the messages that are stored.
    pub(super) fn killed(&mut self) {
        (self.is_up, self.has_leader) = (false, true);
        for stream in self.streams.values_mut() {
            stream.ids.retain(|_, (number, _)| stream.messages.contains_key(number));
            stream.consumers.values_mut().for_each(|consumer| consumer.waiting.clear());
        }
    }

    /// The leader has left: requests that wait are ended.
    pub(super) fn elects(&mut self, _now: u64) {
        self.has_leader = false;
        let consumers = self.streams.values_mut().flat_map(|stream| stream.consumers.values_mut());
        let ended: Vec<_> = consumers.flat_map(|it| std::mem::take(&mut it.waiting)).collect();
        for pull in ended {
            let rest = rest_of(&pull);
            self.reply_status(&pull.reply, StatusCode::from_u16(409).unwrap(), Some(rest));
        }
    }

    pub(super) fn receive(&mut self, now: u64, client: usize, frame: Frame) {
        match frame {
            Frame::Subscribe { number, subject, group } => {
                self.subscriptions.push(Subscription { client, number, subject, group });
            }
            Frame::Unsubscribe { number, drains } => {
                let of = |it: &Subscription| (it.client, it.number) == (client, number);
                self.subscriptions.retain(|subscription| !of(subscription));
                if drains {
                    self.sent.push(Sent { client, number, message: None });
                }
            }
            Frame::Publish { subject, reply, headers, payload } => {
                self.published(now, &subject, reply, headers.as_ref(), payload);
            }
        }
    }

    fn published(
        &mut self,
        now: u64,
        subject: &str,
        reply: Option<String>,
        headers: Option<&HeaderMap>,
        payload: Bytes,
    ) {
        let is_core = !subject.starts_with("$JS.") && !self.homes.contains_key(subject);
        let found = self.pass(subject, reply.as_ref().filter(|_| is_core), &payload);
        let is_served = if is_core { found } else { self.has_leader };
        if !is_served {
            if let Some(reply) = reply {
                self.reply_status(&reply, StatusCode::NO_RESPONDERS, None);
            }
            return;
        }
        if is_core {
            return;
        }
        let mut answer = match subject.strip_prefix("$JS.") {
            None => Some(self.store(now, subject, headers, payload)),
            Some("API.LAST" | "API.COUNT" | "API.NEWER") => Some(self.about(subject, &payload)),
            Some(_) if subject.starts_with("$JS.ACK.") => self.acked(now, subject, &payload),
            Some(_) => {
                self.pulled(now, subject, reply.clone(), &payload);
                None
            }
        };
        if let (Some(reply), Some(answer)) = (reply, answer.take()) {
            self.pass(&reply, None, &answer);
        }
        self.deliver(now);
    }

    /// To all subscriptions, and to one of each group. False: there is none.
    fn pass(&mut self, subject: &str, reply: Option<&String>, payload: &Bytes) -> bool {
        let of = |it: &&Subscription| it.subject == subject;
        let (groups, mut to): (Vec<_>, Vec<_>) =
            self.subscriptions.iter().filter(of).partition(|it| it.group.is_some());
        if !groups.is_empty() {
            self.turn += 1;
            to.push(groups[self.turn % groups.len()]);
        }
        for it in &to {
            let message = plain(subject, reply.cloned(), payload.clone());
            let (client, number) = (it.client, it.number);
            self.sent.push(Sent { client, number, message: Some(message) });
        }
        !to.is_empty()
    }

    fn reply_status(&mut self, subject: &str, code: StatusCode, headers: Option<HeaderMap>) {
        if let Some(to) = self.subscriptions.iter().find(|it| it.subject == subject) {
            let message = Some(status(subject, code, headers));
            self.sent.push(Sent { client: to.client, number: to.number, message });
        }
    }

    /// The answer of a stream to a message.
    fn store(
        &mut self,
        now: u64,
        subject: &str,
        headers: Option<&HeaderMap>,
        payload: Bytes,
    ) -> Bytes {
        if self.busy > 0 {
            self.busy -= 1;
            let (code, err_code) = BUSY[self.busy % BUSY.len()];
            return error(code, err_code);
        }
        let name = &self.homes[subject];
        let stream = self.streams.get_mut(name).unwrap();
        let header = |name: &str| Some(headers?.get(name)?.as_str());
        let expected = header("Nats-Expected-Last-Subject-Sequence-Subject");
        let own = header("Nats-Expected-Last-Subject-Sequence").map(|_| subject);
        let expected = expected.or(own);
        if expected.is_some_and(|gate| stream.count(gate) > 0) {
            return error(400, 10071);
        }
        let id = header(NATS_MESSAGE_ID.as_ref());
        let window = DUPLICATE_WINDOW.as_nanos() as u64;
        stream.ids.retain(|_, (_, at)| now < *at + window);
        if let Some((number, _)) = id.and_then(|id| stream.ids.get(id)) {
            return format!(r#"{{"stream":"{name}","seq":{number},"duplicate":true}}"#).into();
        }
        let bytes: usize =
            stream.messages.values().map(|it| it.payload.len() + MESSAGE_BYTES).sum();
        let is_over = |max| (bytes + payload.len() + MESSAGE_BYTES) as u64 > max;
        let is_full = stream.per_subject_max.is_some_and(|max| stream.count(subject) >= max);
        if is_full && stream.discards_old {
            stream.messages.retain(|_, it| it.subject != subject);
        } else if is_full || stream.bytes_max.is_some_and(is_over) {
            self.refusals += 1;
            return error(400, 10077);
        }
        stream.last += 1;
        let number = stream.last;
        self.accepted.push((number, subject.into(), payload.clone()));
        stream.messages.insert(number, Stored { subject: subject.into(), payload });
        if let Some(id) = id {
            stream.ids.insert(id.into(), (number, now));
        }
        format!(r#"{{"stream":"{name}","seq":{number}}}"#).into()
    }

    fn about(&self, question: &str, about: &Bytes) -> Bytes {
        let about = String::from_utf8_lossy(about);
        let (stream, subject) = about.split_once(' ').unwrap();
        let stream = &self.streams[stream];
        if question == "$JS.API.COUNT" {
            return stream.count(subject).to_string().into();
        }
        if question == "$JS.API.NEWER" {
            let (name, number) = subject.split_once(' ').unwrap();
            let (consumer, number) = (&stream.consumers[name], number.parse::<u64>().unwrap());
            let pending = stream.messages.range(consumer.cursor + 1..);
            let is_pending = pending.into_iter().any(|(_, it)| it.subject == consumer.filter);
            let has_newer = is_pending || consumer.cursor > number;
            return Bytes::from_static(if has_newer { b"yes" } else { b"no" });
        }
        let last = stream.messages.iter().rfind(|(_, it)| it.subject == subject);
        let with_number = |(number, it): (&u64, &Stored)| {
            [&number.to_be_bytes()[..], &it.payload[..]].concat().into()
        };
        last.map(with_number).unwrap_or_default()
    }

    fn acked(&mut self, now: u64, subject: &str, payload: &Bytes) -> Option<Bytes> {
        let parts: Vec<_> = subject.split('.').collect();
        let stream = self.streams.get_mut(parts[2])?;
        let consumer = stream.consumers.get_mut(parts[3])?;
        let number = parts[5].parse().ok()?;
        match &payload[..] {
            b"+ACK" => {
                stream.messages.remove(&number);
                consumer.pending.remove(&number);
                consumer.attempts.remove(&number);
            }
            b"-NAK" if consumer.pending.remove(&number).is_some() => {
                consumer.again.push_back(number);
            }
            b"+WPI" => {
                let until = now + consumer.ack_wait.as_nanos() as u64;
                consumer.pending.entry(number).and_modify(|at| *at = until);
            }
            _ => {}
        }
        Some(Bytes::new())
    }

    /// `$JS.API.CONSUMER.MSG.NEXT.STREAM.CONSUMER`
    fn pulled(&mut self, now: u64, subject: &str, reply: Option<String>, payload: &Bytes) {
        let request: Request = serde_json::from_slice(payload).unwrap();
        let parts: Vec<_> = subject.split('.').collect();
        let stream = self.streams.get_mut(parts[5]).unwrap();
        let consumer = stream.consumers.get_mut(parts[6]).unwrap();
        let reply = reply.unwrap();
        if request.no_wait && consumer.next(&stream.messages).is_none() {
            return self.reply_status(&reply, StatusCode::NOT_FOUND, None);
        }
        let heartbeat = request.idle_heartbeat.unwrap_or(u64::MAX / 2);
        consumer.waiting.push_back(Pull {
            reply,
            left: request.batch,
            expires: now + request.expires.unwrap_or(u64::MAX / 2),
            heartbeat,
            next_heartbeat: now + heartbeat,
        });
    }

    /// Delivers what there is to the requests that wait, in turn.
    fn deliver(&mut self, now: u64) {
        if !self.has_leader || !self.is_up {
            return;
        }
        for (name, stream) in &mut self.streams {
            for (durable, consumer) in &mut stream.consumers {
                loop {
                    let interested =
                        |pull: &Pull| self.subscriptions.iter().find(|it| it.subject == pull.reply);
                    consumer.waiting.retain(|pull| interested(pull).is_some());
                    if consumer.waiting.is_empty() {
                        break;
                    }
                    let Some(number) = consumer.next(&stream.messages) else { break };
                    if consumer.again.front() == Some(&number) {
                        consumer.again.pop_front();
                    } else {
                        consumer.cursor = number;
                    }
                    let mut pull = consumer.waiting.pop_front().unwrap();
                    let to = interested(&pull).unwrap();
                    consumer.deliveries += 1;
                    let attempt = consumer.attempts.entry(number).or_default();
                    *attempt += 1;
                    let until = now + consumer.ack_wait.as_nanos() as u64;
                    consumer.pending.insert(number, until);
                    let cursor = consumer.cursor;
                    let left = stream.messages.range(cursor + 1..);
                    let left = left.filter(|(_, it)| it.subject == consumer.filter).count();
                    let reply = format!(
                        "$JS.ACK.{name}.{durable}.{attempt}.{number}.{}.{now}.{left}",
                        consumer.deliveries
                    );
                    let payload = stream.messages[&number].payload.clone();
                    let message = Some(plain(&consumer.filter, Some(reply), payload));
                    self.sent.push(Sent { client: to.client, number: to.number, message });
                    pull.left -= 1;
                    pull.next_heartbeat = now + pull.heartbeat;
                    if pull.left > 0 {
                        consumer.waiting.push_back(pull);
                    }
                }
            }
        }
    }

    pub(super) fn next_time(&self) -> Option<u64> {
        if !self.is_up {
            return None;
        }
        let consumers = self.streams.values().flat_map(|stream| stream.consumers.values());
        let times = consumers.flat_map(|consumer| {
            let pulls = consumer.waiting.iter().map(|pull| pull.expires.min(pull.next_heartbeat));
            pulls.chain(consumer.pending.values().copied())
        });
        times.min()
    }

    /// Everything of the server's own up to now: requests and leases that expire, heartbeats.
    pub(super) fn due(&mut self, now: u64) {
        if !self.is_up {
            return;
        }
        let mut statuses = Vec::new();
        for consumer in self.streams.values_mut().flat_map(|it| it.consumers.values_mut()) {
            let late = |(number, at): (&u64, &u64)| (*at <= now).then_some(*number);
            let late: Vec<_> = consumer.pending.iter().filter_map(late).collect();
            for number in late {
                consumer.pending.remove(&number);
                consumer.again.push_back(number);
            }
            consumer.waiting.retain_mut(|pull| {
                if pull.expires <= now {
                    let rest = rest_of(pull);
                    statuses.push((pull.reply.clone(), StatusCode::TIMEOUT, Some(rest)));
                    return false;
                }
                if pull.next_heartbeat <= now {
                    pull.next_heartbeat = now + pull.heartbeat;
                    statuses.push((pull.reply.clone(), StatusCode::IDLE_HEARTBEAT, None));
                }
                true
            });
        }
        for (reply, code, headers) in statuses {
            self.reply_status(&reply, code, headers);
        }
        self.deliver(now);
    }
}

impl Stream {
    fn count(&self, subject: &str) -> usize {
        self.messages.values().filter(|it| it.subject == subject).count()
    }
}

impl Consumer {
    /// The message that is delivered next. Forgets those that are not stored any more.
    fn next(&mut self, messages: &BTreeMap<u64, Stored>) -> Option<u64> {
        self.pending.retain(|number, _| messages.contains_key(number));
        self.again.retain(|number| messages.contains_key(number));
        self.again.front().copied().or_else(|| {
            let mut fresh = messages.range(self.cursor + 1..);
            fresh.find(|(_, it)| it.subject == self.filter).map(|(number, _)| *number)
        })
    }
}

fn rest_of(pull: &Pull) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert("Nats-Pending-Messages", pull.left.to_string());
    headers
}

fn error(code: u32, err_code: u32) -> Bytes {
    let error = format!(r#"{{"code":{code},"err_code":{err_code},"description":"refused"}}"#);
    format!(r#"{{"error":{error}}}"#).into()
}
