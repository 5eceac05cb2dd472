// SPDX-License-Identifier: BSD-3-Clause
//! The adapter's side of the session: calls to lines, lines to answers.
//!
//! # Invariants
//!
//! 1. Each request has one reply, each stream one end.
//! 2. A call is in `calls` from its line to its end, or until its caller has left. What the program says of
//!    another is dropped.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use becket_host::NrStatus;
use becket_ipc::Ended;
use becket_ipc::session::{Handler, Locked};
use becket_wire::{Credit, Event, Refused, StreamId};
use bytes::{BufMut, Bytes, BytesMut};

use super::HELD_BYTES_MAX;
use super::messages::{self, Passed, Said};
use super::queue::{Line, Queue};
use crate::protocol::{
    self, Call, EntryRef, Failed, HAS_METADATA, Load, Loaded, PAYLOAD_FOLLOWS, encode_answer,
    notice, operation, reply, service,
};
use crate::start::failed;

/// Data of one stream that the program has not taken. Its bytes: as many as an element may have, so that each
/// fits.
const STREAM_MESSAGES: u32 = 64;
const TARGET_BYTES_MAX: usize = 64;

pub(super) struct Adapter {
    plugin: String,
    queue: Arc<Queue>,
    stage: LoadStage,
    /// Names of entries, by place.
    entries: Vec<String>,
    /// The number of the last call.
    last: u64,
    calls: HashMap<u64, Open>,
    /// Numbers of calls, by request and by stream.
    requests: HashMap<u64, u64>,
    streams: HashMap<u32, u64>,
    /// Streams whose payload is still to come.
    expected: HashMap<u32, Call>,
}

/// How far the load is.
enum LoadStage {
    /// The host has not asked for it; the program's first line, if it came before that.
    Waiting {
        early: Option<Result<Loaded, Failed>>,
    },
    /// The program's first line is still to come.
    Asked {
        request: u64,
    },
    Loaded,
    Failed,
}

/// A call that the program has.
struct Open {
    to: To,
    /// Frames that wait for credit, and their bytes.
    held: VecDeque<Bytes>,
    held_bytes: usize,
    /// More is held than may be.
    is_full: bool,
    /// The last of them is the stream's.
    is_ending: bool,
}

#[derive(Debug, Clone, Copy)]
enum To {
    Request(u64),
    Stream(StreamId),
}

impl Adapter {
    pub(super) fn new(plugin: String, queue: Arc<Queue>) -> Self {
        Self {
            plugin,
            queue,
            stage: LoadStage::Waiting { early: None },
            entries: Vec::new(),
            last: 0,
            calls: HashMap::new(),
            requests: HashMap::new(),
            streams: HashMap::new(),
            expected: HashMap::new(),
        }
    }

    pub(super) fn is_loaded(&self) -> bool {
        matches!(self.stage, LoadStage::Loaded)
    }

    /// The program broke a rule, or has closed its output. True: the session is to end.
    pub(super) fn broken(&mut self, locked: &mut Locked<'_>, why: Failed) -> bool {
        let Err(Err(Failed { error, cause, .. })) = self.load_ended(locked, Err(why)) else {
            return false;
        };
        tracing::error!(target: "becket::process", plugin = self.plugin, error, cause, "a worker is ended");
        true
    }

    /// A line of the program. True: more is held of its stream than may be; an error says what is wrong.
    pub(super) fn said(&mut self, locked: &mut Locked<'_>, said: Said) -> Result<bool, String> {
        let (id, status, body, is_last) = match said {
            Said::Nothing => return Ok(false),
            Said::Log { level, target, message } => {
                self.log(locked, level, target.as_deref(), &message);
                return Ok(false);
            }
            Said::Loaded(loaded) => return self.first_line(locked, Ok(loaded)),
            Said::Failed(why) => {
                let failed = failed("the program cannot be a plugin", why, "");
                return self.first_line(locked, Err(failed));
            }
            Said::Refused { id, status } => {
                if let Some(call) = self.forget(id) {
                    refuse(locked, call.to, reply::REFUSED, status);
                }
                return self.known(id);
            }
            Said::Answer { id, status, body } => (id, status, body, true),
            Said::Frame { id, body } => (id, NrStatus::Ok, body, false),
            Said::End { id, body } => (id, NrStatus::StreamEnd, body, true),
        };
        let is_full = match self.calls.get_mut(&id) {
            None => false,
            Some(Open { to: To::Request(request), .. }) => {
                let request = *request;
                self.forget(id);
                let status = if status == NrStatus::StreamEnd { NrStatus::Ok } else { status };
                answer(locked, request, status, &body);
                false
            }
            Some(call) => {
                call.hold(encode_answer(status, &body));
                if is_last && status == NrStatus::Ok {
                    call.hold(encode_answer(NrStatus::StreamEnd, &[]));
                }
                call.is_ending |= is_last;
                self.send_held(locked, id)
            }
        };
        self.known(id).map(|_| is_full)
    }

    /// An error for a call that never was: its answer is another's.
    fn known(&self, id: u64) -> Result<bool, String> {
        if id == 0 || id > self.last {
            return Err(format!("there was no call {id}, the last one was {}", self.last));
        }
        Ok(false)
    }

    fn first_line(
        &mut self,
        locked: &mut Locked<'_>,
        result: Result<Loaded, Failed>,
    ) -> Result<bool, String> {
        let ended = self.load_ended(locked, result);
        ended.map(|()| false).map_err(|_| "a first line that is not the first".to_owned())
    }

    /// The load has this result; gives it back if the load is over.
    fn load_ended(
        &mut self,
        locked: &mut Locked<'_>,
        result: Result<Loaded, Failed>,
    ) -> Result<(), Result<Loaded, Failed>> {
        let request = match &mut self.stage {
            LoadStage::Asked { request } => *request,
            LoadStage::Waiting { early } if early.is_none() => {
                *early = Some(result);
                return Ok(());
            }
            _ => return Err(result),
        };
        let (status, json) = match result {
            Ok(loaded) => {
                self.stage = LoadStage::Loaded;
                self.entries = loaded.entries.iter().map(|entry| entry.name.clone()).collect();
                (reply::DONE, serde_json::to_vec(&loaded))
            }
            Err(failed) => {
                self.stage = LoadStage::Failed;
                (reply::FAILED, serde_json::to_vec(&failed))
            }
        };
        let _ = locked.session.reply(request, status, json.unwrap_or_default().into());
        Ok(())
    }

    fn log(&self, locked: &mut Locked<'_>, level: u8, target: Option<&str>, message: &str) {
        let target = target.unwrap_or(&self.plugin).as_bytes();
        let target = target.get(..target.len().min(TARGET_BYTES_MAX)).unwrap_or_default();
        let mut body = BytesMut::with_capacity(3 + target.len() + message.len());
        body.put_u8(level);
        body.put_u16_le(target.len() as u16);
        body.put_slice(target);
        body.put_slice(message.as_bytes());
        // Refused: too many of them wait.
        let _ = locked.session.notice(notice::LOG, 0, body.freeze());
    }

    fn forget(&mut self, id: u64) -> Option<Open> {
        let call = self.calls.remove(&id)?;
        match call.to {
            To::Request(request) => _ = self.requests.remove(&request),
            To::Stream(stream) => _ = self.streams.remove(&stream.number()),
        }
        if call.is_full {
            self.queue.set_full(false);
        }
        Some(call)
    }

    /// Sends frames as credit allows. True: more are held than may be.
    fn send_held(&mut self, locked: &mut Locked<'_>, id: u64) -> bool {
        let Some(call) = self.calls.get_mut(&id) else { return false };
        let To::Stream(stream) = call.to else { return false };
        while let Some(frame) = call.held.front() {
            match locked.session.send(stream, 0, frame.clone()) {
                Ok(_) => {}
                Err(Refused::NoCredit) => break,
                Err(Refused::Full) => {
                    locked.wait_for_room(stream);
                    break;
                }
                Err(Refused::TooLong) => {
                    call.held.clear();
                    call.held.push_back(encode_answer(NrStatus::TooLong, &[]));
                    call.is_ending = true;
                    continue;
                }
                Err(_) => {
                    self.forget(id);
                    return false;
                }
            }
            call.held_bytes -= frame.len();
            call.held.pop_front();
        }
        if call.held.is_empty() && call.is_ending {
            let _ = locked.session.end(stream, 0, Bytes::new());
            self.forget(id);
            return false;
        }
        let is_full = call.held_bytes > HELD_BYTES_MAX;
        if is_full != call.is_full {
            call.is_full = is_full;
            self.queue.set_full(is_full);
        }
        is_full
    }

    // From the host.

    fn request(&mut self, locked: &mut Locked<'_>, request: u64, number: u16, body: &[u8]) {
        match number {
            operation::CALL => match Call::decode(body) {
                Ok(call) => self.call(locked, Some(To::Request(request)), &call),
                Err(_) => _ = locked.session.reply(request, reply::FAILED, Bytes::new()),
            },
            operation::LOAD => match serde_json::from_slice::<Load>(body) {
                Ok(load) => {
                    self.queue.push(Line { bytes: messages::load(&load), credit: None });
                    let asked = LoadStage::Asked { request };
                    let stage = std::mem::replace(&mut self.stage, asked);
                    if let LoadStage::Waiting { early: Some(result) } = stage {
                        // It is asked for: it has this result.
                        let _ = self.load_ended(locked, result);
                    }
                }
                Err(_) => _ = locked.session.reply(request, reply::FAILED, Bytes::new()),
            },
            operation::SHUTDOWN => {
                self.queue.finish();
                let _ = locked.session.reply(request, reply::DONE, Bytes::new());
            }
            _ => _ = locked.session.reply(request, reply::UNKNOWN_OPERATION, Bytes::new()),
        }
    }

    /// Passes a call on; `to` is `None` for a notification.
    fn call(&mut self, locked: &mut Locked<'_>, to: Option<To>, call: &Call) {
        let entry = match &call.entry {
            EntryRef::Place(place) => self.entries.get(*place as usize).map(String::as_str),
            EntryRef::Name(name) => {
                self.entries.iter().map(String::as_str).find(|known| known == name)
            }
        };
        let Some(entry) = entry else {
            if let Some(to) = to {
                refuse(locked, to, reply::UNKNOWN_ENTRY, NrStatus::Unsupported);
            }
            return;
        };
        let is_stream = matches!(to, Some(To::Stream(_)));
        let line = messages::call(&Passed {
            id: to.map(|_| self.last + 1),
            entry,
            is_stream,
            deadline_ms: call.deadline_ms,
            has_metadata: call.shape & HAS_METADATA != 0,
            request: &call.request,
        });
        if self.queue.is_full(line.len()) {
            if let Some(to) = to {
                refuse(locked, to, reply::TOO_MUCH, NrStatus::Backpressure);
            }
            return;
        }
        self.queue.push(Line { bytes: line, credit: None });
        let Some(to) = to else { return };
        self.last += 1;
        match to {
            To::Request(request) => _ = self.requests.insert(request, self.last),
            To::Stream(stream) => {
                self.streams.insert(stream.number(), self.last);
                let bytes = locked.session.element_bytes_max().into();
                let credit = Credit { messages: STREAM_MESSAGES, bytes };
                // One whose payload came in an element was accepted for that.
                if locked.session.accept(stream, credit, Bytes::new()) == Err(Refused::State) {
                    let _ = locked.session.grant(stream, STREAM_MESSAGES, bytes);
                }
            }
        }
        self.calls.insert(self.last, Open::new(to));
    }

    fn opened(&mut self, locked: &mut Locked<'_>, stream: StreamId, number: u16, name: &[u8]) {
        let to = To::Stream(stream);
        match (Call::decode(name), number) {
            (Ok(call), service::STREAM) if call.shape & PAYLOAD_FOLLOWS != 0 => {
                let credit =
                    Credit { messages: 1, bytes: locked.session.element_bytes_max().into() };
                let _ = locked.session.accept(stream, credit, Bytes::new());
                self.expected.insert(stream.number(), call);
            }
            (Ok(call), service::STREAM) => self.call(locked, Some(to), &call),
            // A call whose payload is longer than the longest frame.
            (Ok(_), service::LONG_CALL) => {
                let code = protocol::REFUSED + reply::REFUSED;
                let status = encode_answer(NrStatus::TooLong, &[]);
                let _ = locked.session.refuse(stream, code, status);
            }
            _ => refuse(locked, to, reply::UNKNOWN_OPERATION, NrStatus::Unsupported),
        }
    }

    fn element(&mut self, locked: &mut Locked<'_>, stream: StreamId, body: Bytes) {
        if let Some(mut call) = self.expected.remove(&stream.number()) {
            call.request.body = body;
            return self.call(locked, Some(To::Stream(stream)), &call);
        }
        let Some(&id) = self.streams.get(&stream.number()) else { return };
        let line = messages::data(id, &body);
        if self.queue.is_full(line.len()) {
            self.left(id);
            return refuse(locked, To::Stream(stream), reply::TOO_MUCH, NrStatus::Backpressure);
        }
        self.queue.push(Line { bytes: line, credit: Some((stream, body.len() as u64)) });
    }

    /// The caller has left: the program is notified.
    fn left(&mut self, id: u64) {
        if self.forget(id).is_some() {
            self.queue.push(Line { bytes: messages::cancel(id), credit: None });
        }
    }
}

impl Open {
    fn new(to: To) -> Self {
        Self { to, held: VecDeque::new(), held_bytes: 0, is_full: false, is_ending: false }
    }

    fn hold(&mut self, frame: Bytes) {
        // Nothing follows the last one.
        if !self.is_ending {
            self.held_bytes += frame.len();
            self.held.push_back(frame);
        }
    }
}

fn answer(locked: &mut Locked<'_>, request: u64, status: NrStatus, body: &[u8]) {
    let replied = locked.session.reply(request, reply::DONE, encode_answer(status, body));
    if replied == Err(Refused::TooLong) {
        refuse(locked, To::Request(request), reply::REFUSED, NrStatus::TooLong);
    }
}

/// Ends a call, or a stream, without an answer.
fn refuse(locked: &mut Locked<'_>, to: To, status: u16, of_stream: NrStatus) {
    // It has been replied to, or has ended.
    match to {
        To::Request(request) => {
            let _ = locked.session.reply(request, status, encode_answer(of_stream, &[]));
        }
        To::Stream(stream) => {
            let number = u16::try_from(of_stream.0).unwrap_or(1);
            let code = protocol::REFUSED.saturating_add(number);
            let _ = locked.session.reset(stream, code, Bytes::new());
        }
    }
}

impl Handler for Adapter {
    fn event(&mut self, locked: &mut Locked<'_>, event: Event<'_>) {
        match event {
            Event::Request { request, operation, body } => {
                self.request(locked, request, operation, body);
            }
            Event::Cancelled { request } => {
                if let Some(&id) = self.requests.get(&request) {
                    self.left(id);
                    let _ = locked.session.reply(request, reply::DEADLINE, Bytes::new());
                }
            }
            Event::Notice { code: notice::NOTIFICATION, body, .. } => {
                if let Ok(call) = Call::decode(body) {
                    self.call(locked, None, &call);
                }
            }
            Event::Opened { stream, service, name, .. } => {
                self.opened(locked, stream, service, name)
            }
            Event::Element { stream, body, .. } => self.element(locked, stream, body.into_bytes()),
            Event::Credit { stream } => {
                if let Some(&id) = self.streams.get(&stream.number()) {
                    self.send_held(locked, id);
                }
            }
            Event::Ended { stream, .. } => {
                if let Some(&id) = self.streams.get(&stream.number()) {
                    self.queue.push(Line { bytes: messages::close(id), credit: None });
                }
            }
            Event::Reset { stream, .. } => {
                self.expected.remove(&stream.number());
                if let Some(&id) = self.streams.get(&stream.number()) {
                    self.left(id);
                }
            }
            _ => {}
        }
    }

    fn woken(&mut self, locked: &mut Locked<'_>, number: u32) {
        if let Some(&id) = self.streams.get(&number) {
            self.send_held(locked, id);
        }
    }

    fn ended(&mut self, _ended: &Ended) {
        self.calls.clear();
        self.queue.set_over();
    }
}
