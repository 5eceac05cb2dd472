// SPDX-License-Identifier: BSD-3-Clause
//! The requests. Without a socket: frames are passed in, answers are left in [`Outgoing`].

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Instant;

use becket_chan::Kind;
use becket_wire::v1::{
    Body, Command, Errno, Frame, Hello, Info, Listing, Reply, ReqId, Request, Timeout, kind, req_id,
};

use super::client::EarlyHello;
use super::operation::{self, Clause, Done, Taken};
use super::outgoing::Outgoing;
use super::seen::Seen;
use super::selects::Selects;
use super::session::Value;
use super::status::{ClientCounters, add};
use super::waits::{PendingRequest, WaitOwner, Waits};
use super::{Server, count};
use crate::Element;
use crate::channels::{Channel, ChannelError, Wanted};
use crate::connection::waking::Wakeable;
use crate::quota::Quota;

/// What to do with the connection after a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flow {
    Go,
    /// It ends, after its answers were sent.
    End,
}

pub(super) struct State {
    server: Arc<Server>,
    pub(super) counters: Arc<ClientCounters>,
    pub(super) is_greeted: bool,
    /// Of sends, receives and selects that specify none.
    timeout: Timeout,
    waits: Waits,
    selects: Selects,
    pub(super) outgoing: Outgoing,
    seen: Seen,
    /// Channels that this client has created.
    made: BTreeSet<u32>,
    /// For those channels, and the elements that it sends.
    quota: Arc<Quota>,
}

/// The request that is answered.
#[derive(Debug, Clone, Copy)]
struct ReplyTo {
    command: Command,
    req_id: Option<ReqId>,
}

/// The result of a request.
enum Answer {
    Now(Body<'static>),
    /// An element that was received.
    Value(Taken),
    /// A complete frame, and the value in it.
    Frame(Vec<u8>, Option<Taken>),
    /// When its operation completes; never, if the request has no answer.
    Later,
}

/// Success without data.
const DONE: Answer = Answer::Now(Body::Result(0));

impl State {
    pub(super) fn new(
        server: Arc<Server>,
        client: Weak<dyn Wakeable>,
        counters: Arc<ClientCounters>,
    ) -> Self {
        count(&server.counters.clients);
        let limits = &server.limits;
        Self {
            is_greeted: false,
            timeout: Timeout::Forever,
            waits: Waits::new(limits.waits_max, client),
            selects: Selects::new(limits.selects_max),
            outgoing: Outgoing::default(),
            seen: Seen::new(limits.channels_seen_max),
            made: BTreeSet::new(),
            quota: server.channels.quota().below(limits.bytes_max),
            server,
            counters,
        }
    }

    /// The handshake, if the caller has read it.
    pub(super) fn early_hello(&mut self, early_hello: &EarlyHello) -> Flow {
        self.outgoing.packets = early_hello.packets;
        self.hello(early_hello.hello, early_hello.req_id)
    }

    /// A frame has arrived.
    pub(super) fn frame(&mut self, frame: &Frame<'_>) -> Flow {
        count(&self.server.counters.requests);
        add(&self.counters.frames_in, 1);
        if !self.is_greeted && frame.header.command != Command::Hello.number() {
            return self.refuse(frame, Errno::PROTO, Flow::End);
        }
        let (request, req_id) = match Request::of(frame) {
            Ok(read) => read,
            Err(fault) => {
                let flow = if self.is_greeted { Flow::Go } else { Flow::End };
                return self.refuse(frame, fault.errno, flow);
            }
        };
        if let Request::Hello(hello) = request {
            return self.hello(hello, req_id);
        }
        let to = ReplyTo { command: request.command(), req_id };
        match self.request(to, request) {
            Ok(Answer::Now(body)) => self.answer(to, body, None),
            Ok(Answer::Value(value)) => self.answer_value(to, value),
            Ok(Answer::Frame(frame, value)) => self.push(frame, value),
            Ok(Answer::Later) => {}
            Err(errno) => self.answer(to, Body::Result(errno.result()), None),
        }
        Flow::Go
    }

    /// An operation in this slot was woken.
    pub(super) fn woken(&mut self, slot: u32) {
        if let Some((whose, done)) = self.waits.poll(slot) {
            self.done(whose, done);
        }
    }

    /// The client is gone. Values that it has not read are requeued.
    pub(super) fn end(&mut self, left_unread: bool) {
        self.waits.clear();
        let unread = self.outgoing.take_unread();
        let mut values = Vec::new();
        match unread {
            Some(value) if left_unread => values.push(value),
            read => read.map_or((), Value::delivered),
        }
        values.extend(self.outgoing.take_unsent());
        values.extend(self.selects.take_unclaimed().map(Value::new));
        let counter = &self.server.counters.requeued;
        counter.fetch_add(values.len() as u64, Ordering::Relaxed);
        Value::requeue(values);
    }

    pub(super) fn count_answers(&self, frames: u64) {
        self.server.counters.answers.fetch_add(frames, Ordering::Relaxed);
        add(&self.counters.frames_out, frames);
    }

    /// Publishes the numbers of waiting requests and of queued bytes, at the end of a dispatch.
    pub(super) fn show(&self) {
        self.counters.waiting.store(self.waits.len() as u64, Ordering::Relaxed);
        self.counters.queued_bytes.store(self.outgoing.queued_bytes(), Ordering::Relaxed);
    }

    fn hello(&mut self, hello: Hello, req_id: Option<ReqId>) -> Flow {
        self.is_greeted = hello.major == Hello::V1.major;
        let to = ReplyTo { command: Command::Hello, req_id };
        self.answer(to, Body::Hello(Hello::V1), None);
        if self.is_greeted { Flow::Go } else { Flow::End }
    }

    /// Answers a frame that cannot be decoded.
    fn refuse(&mut self, frame: &Frame<'_>, errno: Errno, flow: Flow) -> Flow {
        count(&self.server.counters.malformed);
        add(&self.counters.malformed, 1);
        let mut out = Vec::new();
        let (number, id) = (frame.header.command, req_id(frame.payload));
        // A number always fits.
        if Reply::encode_result(number, id, errno.result(), &mut out).is_ok() {
            self.push(out, None);
        }
        flow
    }

    fn request(&mut self, to: ReplyTo, request: Request<'_>) -> Result<Answer, Errno> {
        match request {
            Request::ChanSend { chan, timeout, element } => {
                let channel = self.channel(chan)?;
                let element = self.element(&channel, element)?;
                match timeout.unwrap_or(self.timeout) {
                    Timeout::Ms(0) => self.try_send(&channel, element),
                    timeout => {
                        let limit = timeout.duration();
                        let send = operation::send(channel.clone(), element, limit);
                        self.begin(to, channel, send)
                    }
                }
            }
            Request::ChanTrySend { chan, element } => {
                let channel = self.channel(chan)?;
                let element = self.element(&channel, element)?;
                self.try_send(&channel, element)
            }
            Request::ChanRecv { chan, timeout } => {
                let channel = self.channel(chan)?;
                match timeout.unwrap_or(self.timeout) {
                    Timeout::Ms(0) => self.try_recv(channel),
                    timeout => {
                        let recv = operation::recv(channel.clone(), timeout.duration());
                        self.begin(to, channel, recv)
                    }
                }
            }
            Request::ChanTryRecv { chan } => {
                let channel = self.channel(chan)?;
                self.try_recv(channel)
            }
            Request::ChanMake { kind, elem_size, capacity } => self.make(kind, elem_size, capacity),
            Request::ChanClose { chan } => {
                self.channel(chan)?.close(None);
                Ok(DONE)
            }
            Request::ChanDestroy { chan } => {
                self.destroy(chan);
                Ok(Answer::Later)
            }
            Request::GetInfo { chan: None } => Ok(Answer::Now(Body::Hello(Hello::V1))),
            Request::GetInfo { chan: Some(chan) } => {
                Ok(Answer::Now(Body::Info(info(&*self.channel(chan)?))))
            }
            Request::GetStats { chan } => {
                let snapshot = self.channel(chan)?.snapshot().ok_or(Errno::NOTSUP)?;
                Ok(Answer::Now(Body::Stats(self.seen.stats(chan, &snapshot))))
            }
            Request::ResetStats { chan } => {
                let snapshot = self.channel(chan)?.snapshot().ok_or(Errno::NOTSUP)?;
                if self.seen.reset(chan, &snapshot) { Ok(DONE) } else { self.full() }
            }
            Request::SetConfig { timeout } => {
                self.timeout = timeout;
                Ok(DONE)
            }
            Request::List { after } => self.list(to, after),
            Request::SelectSend { select, chan, element } => {
                let channel = self.channel(chan)?;
                channel.sender().ok_or(Errno::NOTSUP)?;
                let element = Some(self.element(&channel, element)?);
                self.add(select, Clause { channel, element })
            }
            Request::SelectRecv { select, chan } => {
                let channel = self.channel(chan)?;
                channel.receiver().ok_or(Errno::NOTSUP)?;
                self.add(select, Clause { channel, element: None })
            }
            Request::SelectRegister { select, timeout } => self.register(to, select, timeout),
            Request::SelectCancel { select } => self.cancel(select),
            Request::SelectClaim { select } => self.claim(to, select),
            // A `HELLO` was answered before; other requests are unknown.
            _ => Err(Errno::NOSYS),
        }
    }

    fn channel(&self, chan: u32) -> Result<Arc<Channel>, Errno> {
        self.server.channels.by_id(chan).ok_or(Errno::NOENT)
    }

    /// The element of a send, if its length fits the channel.
    fn element(&self, channel: &Channel, bytes: &[u8]) -> Result<Element, Errno> {
        let fits = match channel.element_bytes() {
            Some(element_bytes) => u32::try_from(bytes.len()) == Ok(element_bytes),
            None => !bytes.is_empty(),
        };
        if !fits {
            return Err(Errno::INVAL);
        }
        let queued = channel.sender().map_or(0, becket_chan::Sender::len) as u64;
        if queued.saturating_mul(bytes.len() as u64) >= self.server.limits.channel_bytes_max {
            return self.full();
        }
        match self.quota.element(bytes) {
            Some(element) => Ok(element),
            None => self.full(),
        }
    }

    fn try_send(&mut self, channel: &Channel, element: Element) -> Result<Answer, Errno> {
        let since = Instant::now();
        let sent = operation::try_send(channel, element);
        self.seen.ended(channel.id(), since.elapsed());
        sent.map(|()| DONE)
    }

    fn try_recv(&mut self, channel: Arc<Channel>) -> Result<Answer, Errno> {
        let since = Instant::now();
        let received = operation::try_recv(&channel);
        self.seen.ended(channel.id(), since.elapsed());
        received.map(Answer::Value).inspect_err(|errno| self.receive_failed(channel, *errno))
    }

    /// A receive has failed with this error.
    fn receive_failed(&self, channel: Arc<Channel>, errno: Errno) {
        if errno == Errno::PIPE && channel.is_retired() {
            self.server.channels.remove_if_drained(channel);
        }
    }

    /// Starts an operation that may wait, and answers when it completes, now or later.
    fn begin(
        &mut self,
        to: ReplyTo,
        channel: Arc<Channel>,
        operation: operation::Operation,
    ) -> Result<Answer, Errno> {
        if self.waits.is_full() {
            return self.full();
        }
        let asked = PendingRequest {
            command: to.command,
            req_id: to.req_id,
            channel,
            since: Instant::now(),
        };
        if let Err((whose, done)) = self.waits.begin(WaitOwner::Request(asked), operation) {
            self.done(whose, done);
        }
        Ok(Answer::Later)
    }

    fn done(&mut self, whose: WaitOwner, done: Done) {
        match (whose, done) {
            (WaitOwner::Request(asked), done) => {
                self.seen.ended(asked.channel.id(), asked.since.elapsed());
                let to = ReplyTo { command: asked.command, req_id: asked.req_id };
                let result = match done {
                    Done::Received(Ok(value)) => return self.answer_value(to, value),
                    Done::Received(Err(errno)) => {
                        self.receive_failed(asked.channel, errno);
                        errno.result()
                    }
                    Done::Sent(Err(errno)) => errno.result(),
                    Done::Sent(Ok(())) | Done::Decided(_) => 0,
                };
                self.answer(to, Body::Result(result), None);
            }
            (WaitOwner::Select(select), Done::Decided(outcome)) => {
                let notice = self.selects.decided(select, outcome);
                self.answer(ReplyTo { command: Command::SelectNotify, req_id: None }, notice, None);
            }
            // Only a select's operation decides it.
            (WaitOwner::Select(_), _) => {}
        }
    }

    fn make(&mut self, kind: i32, elem_size: u32, capacity: u32) -> Result<Answer, Errno> {
        if self.made.len() >= self.server.limits.channels_made_max {
            return self.full();
        }
        let (kind, capacity) = match kind {
            kind::RENDEZVOUS => (Kind::Rendezvous, 0),
            kind::CONFLATED => (Kind::Conflated, 1),
            kind::UNLIMITED => (Kind::Unlimited, 0),
            // Without a capacity the kind is the capacity.
            kind if capacity == 0 => (Kind::Bounded, usize::try_from(kind).unwrap_or(0)),
            _ => (Kind::Bounded, capacity as usize),
        };
        let wanted = Wanted { kind, capacity, element_bytes: Some(elem_size) };
        match self.server.channels.make_within(&self.quota, None, wanted) {
            Ok(channel) => {
                self.made.insert(channel.id());
                Ok(Answer::Now(Body::Made(channel.id())))
            }
            Err(ChannelError::BadCapacity(_)) => Err(Errno::INVAL),
            Err(_) => self.full(),
        }
    }

    /// Closes a channel; what it holds can still be received. Channels with a name belong to the
    /// program: they stay in the table, others go when they are drained.
    fn destroy(&mut self, chan: u32) {
        let Ok(channel) = self.channel(chan) else { return };
        if channel.name().is_some() {
            channel.close(None);
        } else {
            // The only reference, so that an empty one goes at once.
            drop(channel);
            self.server.channels.retire(chan);
        }
        self.made.remove(&chan);
        self.seen.forget(chan);
    }

    fn list(&self, to: ReplyTo, after: Option<u32>) -> Result<Answer, Errno> {
        // Room for a `REQ_ID` and a `RESULT` is left.
        let bytes_max = (self.server.limits.payload_bytes_max as usize).saturating_sub(20);
        let page = self.server.channels.page(after, bytes_max / Listing::CHANNEL_BYTES);
        let mut scratch = Vec::new();
        let infos = page.iter().map(|channel| info(channel));
        let listing = Listing::new(infos, &mut scratch).map_err(|_| Errno::NOSPC)?;
        let frame = encoded(to, Body::Listing(listing)).ok_or(Errno::NOSPC)?;
        Ok(Answer::Frame(frame, None))
    }

    fn add(&mut self, select: u32, clause: Clause) -> Result<Answer, Errno> {
        match self.selects.add(select, clause) {
            Ok(index) => Ok(Answer::Now(Body::Result(index.cast_signed()))),
            Err(Errno::NOSPC) => self.full(),
            Err(errno) => Err(errno),
        }
    }

    /// Starts a select. Its answer precedes the notification of its outcome.
    fn register(
        &mut self,
        to: ReplyTo,
        select: u32,
        timeout: Option<Timeout>,
    ) -> Result<Answer, Errno> {
        if self.waits.is_full() {
            return self.full();
        }
        let (clauses, token) = self.selects.register(select)?;
        self.answer(to, Body::Result(0), None);
        let operation = operation::select(clauses, timeout.unwrap_or(self.timeout), token);
        match self.waits.begin(WaitOwner::Select(select), operation) {
            Ok(slot) => self.selects.waits_in(select, slot),
            Err((whose, done)) => self.done(whose, done),
        }
        Ok(Answer::Later)
    }

    /// Cancels a select. If a clause has completed already, the client is notified of that.
    fn cancel(&mut self, select: u32) -> Result<Answer, Errno> {
        let Some((slot, token)) = self.selects.cancel(select)? else { return Ok(DONE) };
        token.cancel();
        // With its token cancelled it ends at this poll: cancelled, or with the clause that came
        // first.
        match self.waits.poll(slot) {
            Some((_, Done::Decided(outcome))) if matches!(outcome.result, Err(Errno::CANCELED)) => {
                self.selects.remove(select);
                Ok(DONE)
            }
            Some((whose, done)) => {
                self.done(whose, done);
                Err(Errno::ALREADY)
            }
            None => Err(Errno::ALREADY),
        }
    }

    fn claim(&mut self, to: ReplyTo, select: u32) -> Result<Answer, Errno> {
        let outcome = self.selects.claim(select)?;
        let result = outcome.number();
        let Some((_, channel)) = outcome.clause else {
            return Ok(Answer::Now(Body::Result(result)));
        };
        let chan = channel.id();
        let value = outcome.result.unwrap_or(None);
        let element = value.as_ref().map(|value| value.element.as_slice());
        match encoded(to, Body::Claimed { result, chan, element }) {
            Some(frame) => Ok(Answer::Frame(frame, value)),
            None => Err(Errno::MSGSIZE),
        }
    }

    fn answer_value(&mut self, to: ReplyTo, value: Taken) {
        match encoded(to, Body::Element(value.element.as_slice())) {
            Some(frame) => self.push(frame, Some(value)),
            None => {
                value.put_back();
                self.answer(to, Body::Result(Errno::MSGSIZE.result()), None);
            }
        }
    }

    /// Some requests have no answer.
    fn push(&mut self, frame: Vec<u8>, value: Option<Taken>) {
        if !frame.is_empty() {
            self.outgoing.push(frame, value.map(Value::new));
        }
    }

    fn answer(&mut self, to: ReplyTo, body: Body<'_>, value: Option<Taken>) {
        if let Some(frame) = encoded(to, body) {
            self.push(frame, value);
        }
    }

    /// A limit is reached.
    fn full<T>(&self) -> Result<T, Errno> {
        count(&self.server.counters.refused);
        add(&self.counters.refused, 1);
        Err(Errno::NOSPC)
    }
}

/// The frame of an answer; none, if the request has no answer. Elements were checked for their
/// length when they were received, everything else is short.
fn encoded(to: ReplyTo, body: Body<'_>) -> Option<Vec<u8>> {
    let command = to.command.answered_as()?;
    let mut frame = Vec::new();
    Reply { command, req_id: to.req_id, body }.encode(&mut frame).ok()?;
    Some(frame)
}

fn info(channel: &Channel) -> Info {
    let capacity = channel.capacity().unwrap_or(0);
    let kind = match channel.kind() {
        Kind::Rendezvous => kind::RENDEZVOUS,
        Kind::Conflated => kind::CONFLATED,
        Kind::Unlimited => kind::UNLIMITED,
        _ => kind::BUFFERED,
    };
    Info {
        chan: channel.id(),
        kind,
        elem_size: channel.element_bytes().unwrap_or(0),
        capacity: u32::try_from(capacity).unwrap_or(u32::MAX),
    }
}
