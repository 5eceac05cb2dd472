// SPDX-License-Identifier: BSD-3-Clause
//! The host's side of a session: calls go out, answers come in.
//!
//! ```text
//!   handle ──▶ request, or stream ──▶ worker          sid ──▶ request or stream   for a caller that leaves
//!   answer ◀── reply, or element ◀─── worker          request or stream ──▶ sid   for an answer
//! ```
//!
//! # Invariants
//!
//! 1. A call that was passed on is in `calls` or `streams` until its end came, or the session ended: then it
//!    has crashed.
//! 2. A frame that the host does not take stays at the head of `held`, and its credit is not given back: at
//!    most a stream's credit is held.

mod passed;
mod watch;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use becket_host::{Answers, NrStatus, RemoteCall, RemoteEntry};
use becket_ipc::Ended;
use becket_ipc::session::{Handler, Locked};
use becket_wire::{Body, Credit, Event, Priority, Refused, StreamId};
use bytes::{Buf, Bytes};
use foldhash::HashMap;

pub(crate) use self::passed::Message;
use self::passed::{Kind, Outgoing, Passed};
pub(crate) use self::watch::Watch;
use crate::child::Killer;
use crate::control::{CONTROL, Waiter};
use crate::ids::{ByRequest, BySid};
use crate::protocol::{
    self, ANSWER_HEAD_BYTES, PAYLOAD_FOLLOWS, decode_answer, encode_answer, encode_head, notice,
    operation, reply, service,
};
use crate::reported::Reported;
use crate::start::Loading;

/// Frames that a worker may have sent of one stream and the host has not taken. Their bytes: as many as a
/// frame may have, so that each fits.
const STREAM_FRAMES: u32 = 64;

/// See the module's documentation.
pub(crate) struct Bridge {
    answers: Option<Answers>,
    loading: Loading,
    killer: Killer,
    /// Sids by request.
    calls: ByRequest<u64>,
    /// Requests of the host's own.
    controls: HashMap<u64, Arc<Waiter>>,
    next_control: u64,
    /// What each open sid was passed on as.
    passed: BySid<Passed>,
    /// The thread whose calls these all are; 0: several have some.
    issuer: u64,
    streams: HashMap<u32, Outgoing>,
    watch: Arc<Watch>,
    reported: Reported,
    is_over: bool,
    /// The worker was asked to end.
    is_stopping: bool,
}

impl Bridge {
    /// Of a worker for the plugin of this name, in process `pid`.
    pub(crate) fn new(
        (plugin, pid): (&str, u32),
        answers: Option<Answers>,
        loading: Loading,
        killer: Killer,
        watch: Arc<Watch>,
    ) -> Self {
        let mut reported = Reported::new(plugin.to_owned(), pid, watch.stuck.clone());
        if let Some(answers) = answers {
            reported.attach(answers);
        }
        Self {
            answers,
            loading,
            killer,
            calls: ByRequest::new(),
            controls: HashMap::default(),
            next_control: CONTROL,
            passed: BySid::new(),
            issuer: 0,
            streams: HashMap::default(),
            watch,
            reported,
            is_over: false,
            is_stopping: false,
        }
    }

    pub(crate) fn attach(&mut self, answers: Answers) {
        if self.answers.is_none() {
            self.answers = Some(answers);
            self.reported.attach(answers);
        }
    }

    /// Asks the worker to end.
    pub(crate) fn stop(&mut self, locked: &mut Locked<'_>) {
        self.is_stopping = true;
        // Refused: the session is over.
        let _ = locked.session.request(operation::SHUTDOWN, Bytes::new());
    }

    /// Whether it has this call or stream.
    pub(crate) fn has(&self, sid: u64) -> bool {
        self.passed.get(sid).is_some()
    }

    fn count(&self) {
        let in_hand = u32::try_from(self.passed.len()).unwrap_or(u32::MAX);
        self.watch.in_hand.store(in_hand, Ordering::Relaxed);
    }

    /// Sends a request of the host's own; `waiter` gets its answer.
    pub(crate) fn control(
        &mut self,
        locked: &mut Locked<'_>,
        waiter: Arc<Waiter>,
        operation: u16,
        body: Bytes,
    ) {
        if self.is_over {
            return waiter.set(Err(NrStatus::Closed));
        }
        // Its thread waits for the answer alone, and drives nothing.
        self.issuer = 0;
        let sid = self.next_control;
        self.next_control = sid.checked_add(1).unwrap_or(CONTROL);
        let sent = locked.session.request(operation, body.clone());
        let sent = sent.map(|request| self.passed_on(sid, request));
        let sent = match sent {
            Err(Refused::TooLong) if operation == operation::IMPORT => {
                self.open(locked, sid, Kind::LongImport, Bytes::new(), Some(body))
            }
            sent => sent,
        };
        match sent {
            Ok(()) => _ = self.controls.insert(sid, waiter),
            Err(Refused::TooLong) => waiter.set(Err(NrStatus::TooLong)),
            Err(_) => waiter.set(Err(NrStatus::Closed)),
        }
    }

    /// Whether the session has ended.
    pub(crate) fn is_over(&self) -> bool {
        self.is_over
    }

    /// Passes a call on; `None` if the session is over.
    pub(crate) fn handle(
        &mut self,
        locked: &mut Locked<'_>,
        call: &RemoteCall<'_>,
    ) -> Option<NrStatus> {
        let RemoteEntry::Place(place) = call.entry else {
            return self.handle_encoded(locked, call);
        };
        if call.sid == 0 || call.is_stream || call.metadata.is_some() {
            return self.handle_encoded(locked, call);
        }
        if self.is_over {
            return None;
        }
        self.issued_by(locked.thread());
        let (sid, payload) = (call.sid, call.payload);
        let head = encode_head(place, call.remaining_ms, 0);
        let sent = match locked.request(operation::CALL, [&head, payload]) {
            Ok(request) => {
                self.passed_on(sid, request);
                Ok(())
            }
            Err(Refused::TooLong) => {
                let head = encode_head(place, call.remaining_ms, PAYLOAD_FOLLOWS);
                let payload = locked.session.join([payload, &[]]);
                self.open(locked, sid, Kind::LongCall, Bytes::copy_from_slice(&head), Some(payload))
            }
            Err(refused) => Err(refused),
        };
        self.count();
        status_of(sent)
    }

    #[cold]
    fn handle_encoded(
        &mut self,
        locked: &mut Locked<'_>,
        call: &RemoteCall<'_>,
    ) -> Option<NrStatus> {
        self.handle_kept(locked, (*call).into()).ok()
    }

    /// Passes a call on that was kept; gives it back if the session is over.
    pub(crate) fn handle_kept(
        &mut self,
        locked: &mut Locked<'_>,
        call: Message,
    ) -> Result<NrStatus, Message> {
        if self.is_over {
            return Err(call);
        }
        self.issued_by(locked.thread());
        let Message { sid, is_stream, is_closed, ref encoded } = call;
        let whole = encoded.whole.clone();
        let sent = if sid == 0 {
            self.watch.count_notified();
            locked.session.notice(notice::NOTIFICATION, 0, whole)
        } else if is_stream {
            self.open(locked, sid, Kind::Stream, whole, None)
        } else {
            let sent = locked.session.request(operation::CALL, whole);
            sent.map(|request| self.passed_on(sid, request))
        };
        let sent = match sent {
            Err(Refused::TooLong) => {
                let (name, payload) = encoded.clone().into_parts();
                let kind = match is_stream {
                    true => Kind::Stream,
                    false if sid == 0 => Kind::LongNotification,
                    false => Kind::LongCall,
                };
                self.open(locked, sid, kind, name, Some(payload))
            }
            sent => sent,
        };
        if is_closed {
            self.stream_close(locked, sid);
        }
        self.count();
        status_of(sent).ok_or(call)
    }

    fn issued_by(&mut self, thread: u64) {
        if self.passed.is_empty() {
            self.issuer = thread;
        } else if self.issuer != thread {
            self.issuer = 0;
        }
    }

    fn passed_on(&mut self, sid: u64, request: u64) {
        self.watch.count_begun();
        self.calls.insert(request, sid);
        self.passed.insert(sid, Passed::Request(request));
    }

    fn open(
        &mut self,
        locked: &mut Locked<'_>,
        sid: u64,
        kind: Kind,
        name: Bytes,
        first: Option<Bytes>,
    ) -> Result<(), Refused> {
        let bytes = locked.session.element_bytes_max().into();
        let (number, messages) = match kind {
            Kind::Stream => (service::STREAM, STREAM_FRAMES),
            Kind::LongNotification => (service::LONG_NOTIFICATION, 1),
            Kind::LongImport => (service::LONG_IMPORT, 1),
            _ => (service::LONG_CALL, 1),
        };
        let credit = Credit { messages, bytes };
        let stream = locked.session.open(number, Priority::Normal, credit, name)?;
        if sid == 0 {
            self.watch.count_notified();
        } else {
            self.watch.count_begun();
            self.passed.insert(sid, Passed::Stream(stream));
        }
        self.streams.insert(stream.number(), Outgoing::new(sid, kind, first));
        Ok(())
    }

    pub(crate) fn stream_data(
        &mut self,
        locked: &mut Locked<'_>,
        sid: u64,
        data: &[u8],
    ) -> NrStatus {
        let Some(&Passed::Stream(stream)) = self.passed.get(sid) else { return NrStatus::Closed };
        let outgoing = self.streams.get_mut(&stream.number());
        if let Some(status) = outgoing.and_then(|outgoing| outgoing.refused.take()) {
            return status;
        }
        match locked.session.send(stream, 0, Bytes::copy_from_slice(data)) {
            Ok(_) => NrStatus::Ok,
            Err(Refused::NoCredit | Refused::State) => self.starve(stream),
            Err(Refused::Full) => {
                locked.wait_for_room(stream);
                self.starve(stream)
            }
            Err(Refused::TooLong) => NrStatus::TooLong,
            Err(_) => NrStatus::Closed,
        }
    }

    fn starve(&mut self, stream: StreamId) -> NrStatus {
        if let Some(outgoing) = self.streams.get_mut(&stream.number()) {
            outgoing.is_starved = true;
        }
        NrStatus::Backpressure
    }

    pub(crate) fn stream_close(&mut self, locked: &mut Locked<'_>, sid: u64) -> NrStatus {
        let Some(&Passed::Stream(stream)) = self.passed.get(sid) else { return NrStatus::Closed };
        if let Some(outgoing) = self.streams.get_mut(&stream.number()) {
            outgoing.is_closed = true;
            if outgoing.is_accepted {
                // Refused: it has ended.
                let _ = locked.session.end(stream, 0, Bytes::new());
            }
        }
        NrStatus::Ok
    }

    /// The host takes frames of the stream again.
    pub(crate) fn stream_room(&mut self, locked: &mut Locked<'_>, sid: u64) {
        if let Some(&Passed::Stream(stream)) = self.passed.get(sid) {
            self.deliver(locked, stream);
        }
    }

    /// The caller has left.
    pub(crate) fn cancel(&mut self, locked: &mut Locked<'_>, sid: u64) {
        match self.passed.remove(sid) {
            // Its reply still comes, and finds no call.
            Some(Passed::Request(request)) => {
                self.calls.remove(request);
                let _ = locked.session.cancel(request);
            }
            Some(Passed::Stream(stream)) => {
                self.streams.remove(&stream.number());
                let _ = locked.session.reset(stream, 0, Bytes::new());
            }
            None => {}
        }
        self.count();
    }

    fn replied(&mut self, locked: &mut Locked<'_>, request: u64, status: u16, body: &[u8]) {
        if self.loading.replied(request, status, body) {
            return;
        }
        if status == reply::IN_STREAM {
            return;
        }
        let Some(sid) = self.calls.remove(request) else { return };
        self.passed.remove(sid);
        self.answer(sid, status, body);
        let _ = locked;
    }

    /// The answer of a call, by the status of its reply.
    fn answer(&mut self, sid: u64, status: u16, body: &[u8]) {
        if sid >= CONTROL
            && let Some(waiter) = self.controls.remove(&sid)
        {
            return waiter.replied(status, body);
        }
        let Some(answers) = self.answers else { return };
        let refused = |status| answers.refused(sid, status);
        match status {
            reply::DONE => match decode_answer(body) {
                Ok((status, body)) => _ = answers.send(sid, status, body),
                Err(_) => refused(NrStatus::Invalid),
            },
            reply::REFUSED => {
                refused(decode_answer(body).map_or(NrStatus::Err, |(status, _)| status))
            }
            reply::PANICKED => _ = answers.send(sid, NrStatus::Panic, body),
            reply::DEADLINE => answers.late(sid),
            reply::TOO_MUCH => refused(NrStatus::Backpressure),
            reply::UNKNOWN_ENTRY | reply::UNKNOWN_OPERATION => refused(NrStatus::Unsupported),
            _ => refused(NrStatus::Err),
        }
    }

    /// The answer of a call, which came in a stream.
    fn answer_long(&mut self, sid: u64, mut body: Bytes) {
        if let (Some(answers), false) = (self.answers, self.controls.contains_key(&sid))
            && let Ok(status) = decode_answer(&body).map(|(status, _)| status)
        {
            body.advance(ANSWER_HEAD_BYTES);
            answers.send_shared(sid, status, body);
            return;
        }
        self.answer(sid, reply::DONE, &body);
    }

    fn element(&mut self, locked: &mut Locked<'_>, stream: StreamId, body: Body<'_>) {
        let Some(outgoing) = self.streams.get_mut(&stream.number()) else { return };
        match outgoing.kind {
            Kind::Stream => {
                outgoing.held.push_back(body.into_bytes());
                self.deliver(locked, stream);
            }
            _ => {
                let sid = outgoing.sid;
                self.streams.remove(&stream.number());
                self.passed.remove(sid);
                self.answer_long(sid, body.into_bytes());
                let _ = locked.session.end(stream, 0, Bytes::new());
            }
        }
    }

    /// Gives held frames to the host, as many as it takes.
    fn deliver(&mut self, locked: &mut Locked<'_>, stream: StreamId) {
        let Some(answers) = self.answers else { return };
        let Some(outgoing) = self.streams.get_mut(&stream.number()) else { return };
        while let Some(frame) = outgoing.held.front() {
            let Ok((status, body)) = decode_answer(frame) else {
                let _ = locked.session.reset(
                    stream,
                    protocol::REFUSED,
                    Bytes::from_static(b"a frame without a status"),
                );
                answers.send(outgoing.sid, NrStatus::Invalid, &[]);
                self.forget(stream);
                return;
            };
            let bytes = frame.len() as u64;
            let taken = answers.send(outgoing.sid, status, body);
            if taken == NrStatus::Backpressure {
                return;
            }
            outgoing.held.pop_front();
            if taken == NrStatus::TooLong {
                // No frame is left out in silence: the stream ends with the status.
                answers.send(outgoing.sid, NrStatus::TooLong, &[]);
            }
            if matches!(taken, NrStatus::Invalid | NrStatus::TooLong) {
                // The caller has left, or gets no more.
                let _ = locked.session.reset(stream, 0, Bytes::new());
                return self.forget(stream);
            }
            if status != NrStatus::Ok {
                let _ = locked.session.end(stream, 0, Bytes::new());
                return self.forget(stream);
            }
            // Refused: the worker has ended it.
            let _ = locked.session.grant(stream, 1, bytes);
        }
    }

    fn forget(&mut self, stream: StreamId) {
        if let Some(outgoing) = self.streams.remove(&stream.number()) {
            self.passed.remove(outgoing.sid);
        }
    }

    fn accepted(&mut self, locked: &mut Locked<'_>, stream: StreamId) {
        let Some(outgoing) = self.streams.get_mut(&stream.number()) else { return };
        outgoing.is_accepted = true;
        if outgoing.first.is_some() {
            return self.send_first(locked, stream);
        }
        self.set_opened(stream);
        self.go_on(locked, stream);
    }

    /// Sends the payload, now or when there is room.
    fn send_first(&mut self, locked: &mut Locked<'_>, stream: StreamId) {
        let Some(outgoing) = self.streams.get_mut(&stream.number()) else { return };
        let Some(first) = outgoing.first.take() else { return };
        match locked.session.send(stream, 0, first.clone()) {
            Ok(_) => {
                outgoing.awaits_credit = outgoing.kind == Kind::Stream;
                self.go_on(locked, stream);
            }
            Err(Refused::Full) => {
                outgoing.first = Some(first);
                locked.wait_for_room(stream);
            }
            Err(_) => {
                let sid = outgoing.sid;
                let _ = locked.session.reset(stream, 0, Bytes::new());
                self.forget(stream);
                self.refused(sid, NrStatus::TooLong);
            }
        }
    }

    /// What waited for the worker to accept the stream.
    fn go_on(&mut self, locked: &mut Locked<'_>, stream: StreamId) {
        let Some(outgoing) = self.streams.get(&stream.number()) else { return };
        if outgoing.is_closed || outgoing.kind.ends_with_payload() {
            // Refused: it has ended.
            let _ = locked.session.end(stream, 0, Bytes::new());
        }
        self.writable(stream);
    }

    fn credited(&mut self, stream: StreamId) {
        let outgoing = self.streams.get_mut(&stream.number());
        if outgoing.is_some_and(|outgoing| std::mem::take(&mut outgoing.awaits_credit)) {
            self.set_opened(stream);
        }
        self.writable(stream);
    }

    fn data_refused(&mut self, stream: u64, status: &[u8]) {
        let outgoing = u32::try_from(stream).ok().and_then(|number| self.streams.get_mut(&number));
        if let (Some(outgoing), Ok(status)) = (outgoing, status.try_into()) {
            let status = NrStatus(u32::from_le_bytes(status));
            // One that would say that it was taken, or is offered again, says nothing of the next.
            let is_refusal = !matches!(status, NrStatus::Ok | NrStatus::Backpressure);
            outgoing.refused = is_refusal.then_some(status);
        }
    }

    fn set_opened(&mut self, stream: StreamId) {
        if let (Some(outgoing), Some(answers)) =
            (self.streams.get_mut(&stream.number()), self.answers)
        {
            outgoing.is_opened = true;
            answers.opened(outgoing.sid);
        }
    }

    fn writable(&mut self, stream: StreamId) {
        if let (Some(outgoing), Some(answers)) =
            (self.streams.get_mut(&stream.number()), self.answers)
            && std::mem::take(&mut outgoing.is_starved)
        {
            answers.writable(outgoing.sid);
        }
    }

    fn refused(&mut self, sid: u64, status: NrStatus) {
        if let Some(waiter) = self.controls.remove(&sid) {
            return waiter.set(Err(status));
        }
        if let Some(answers) = self.answers {
            answers.refused(sid, status);
        }
    }

    fn reset(&mut self, stream: StreamId, code: u16, why: &[u8]) {
        let Some(outgoing) = self.streams.remove(&stream.number()) else { return };
        self.passed.remove(outgoing.sid);
        let number = code.checked_sub(protocol::REFUSED).filter(|number| *number != 0);
        if outgoing.kind != Kind::Stream {
            // The number is the status of a reply, and the text its body.
            return self.answer(outgoing.sid, number.unwrap_or(reply::FAILED), why);
        }
        let status = number.map_or(NrStatus::Err, |number| NrStatus(number.into()));
        let Some(answers) = self.answers else { return };
        match status {
            NrStatus::Timeout => answers.late(outgoing.sid),
            status if outgoing.is_opened => _ = answers.send(outgoing.sid, status, &[]),
            status => answers.refused(outgoing.sid, status),
        }
    }

    /// The worker sends nothing more on a stream: one that still awaits something has none of it.
    fn ended_by_worker(&mut self, locked: &mut Locked<'_>, stream: StreamId) {
        let _ = locked.session.end(stream, 0, Bytes::new());
        let Some(outgoing) = self.streams.get_mut(&stream.number()) else { return };
        if outgoing.kind == Kind::Stream && !outgoing.held.is_empty() {
            outgoing.held.push_back(encode_answer(NrStatus::StreamEnd, &[]));
            return;
        }
        let (sid, kind) = (outgoing.sid, outgoing.kind);
        self.forget(stream);
        match (kind, self.answers) {
            (Kind::Stream, Some(answers)) => _ = answers.send(sid, NrStatus::StreamEnd, &[]),
            _ => self.refused(sid, NrStatus::Err),
        }
    }

    /// A worker's stream: a long answer.
    fn opened(&mut self, locked: &mut Locked<'_>, stream: StreamId, number: u16, name: &[u8]) {
        let request = name.try_into().ok().filter(|_| number == service::LONG_ANSWER);
        let sid = request.and_then(|name| self.calls.remove(u64::from_le_bytes(name)));
        let Some(sid) = sid else {
            let _ = locked.session.refuse(stream, protocol::REFUSED, Bytes::new());
            return;
        };
        let credit = Credit { messages: 1, bytes: locked.session.element_bytes_max().into() };
        let _ = locked.session.accept(stream, credit, Bytes::new());
        self.passed.insert(sid, Passed::Stream(stream));
        let outgoing = Outgoing { is_accepted: true, ..Outgoing::new(sid, Kind::LongAnswer, None) };
        self.streams.insert(stream.number(), outgoing);
    }
}

/// What the host is answered; `None`: the session is over.
fn status_of(sent: Result<(), Refused>) -> Option<NrStatus> {
    match sent {
        Ok(()) => Some(NrStatus::Ok),
        Err(Refused::TooLong) => Some(NrStatus::TooLong),
        Err(Refused::Closed | Refused::NotReady | Refused::Draining) => None,
        Err(_) => Some(NrStatus::Backpressure),
    }
}

impl Handler for Bridge {
    fn event(&mut self, locked: &mut Locked<'_>, event: Event<'_>) {
        match event {
            Event::Ready { peer } => self.loading.ready(locked, peer.frame_body_bytes_max),
            Event::Reply { request, status, body } => self.replied(locked, request, status, body),
            Event::Element { stream, body, .. } => self.element(locked, stream, body),
            Event::Accepted { stream, .. } => self.accepted(locked, stream),
            Event::Credit { stream } => self.credited(stream),
            Event::Opened { stream, service, name, .. } => {
                self.opened(locked, stream, service, name)
            }
            Event::Reset { stream, code, why } => self.reset(stream, code, why),
            // It would take no more calls, and be no plugin.
            Event::Draining => self.killer.kill(),
            Event::Ended { stream, .. } => self.ended_by_worker(locked, stream),
            Event::Notice { code: notice::DATA_REFUSED, of, body } => self.data_refused(of, body),
            Event::Notice { code, of, body } => self.reported.notice(code, of, body),
            Event::Request { request, .. } => {
                let _ = locked.session.reply(request, reply::UNKNOWN_OPERATION, Bytes::new());
            }
            _ => {}
        }
        self.count();
    }

    fn awaits_for_others(&self, thread: u64) -> bool {
        !self.streams.is_empty() || !self.passed.is_empty() && self.issuer != thread
    }

    fn woken(&mut self, locked: &mut Locked<'_>, number: u32) {
        let stream = StreamId::from_number(number);
        self.send_first(locked, stream);
        self.writable(stream);
    }

    fn ended(&mut self, ended: &Ended) {
        self.is_over = true;
        if !self.is_stopping {
            // It may hang, or go on without a session.
            match ended {
                Ended::PeerGone => self.killer.kill_unless_it_ends(),
                _ => self.killer.kill(),
            }
        }
        self.loading.ended(ended);
        self.reported.ended();
        self.calls.clear();
        self.streams.clear();
        for (sid, waiter) in self.controls.drain() {
            self.passed.remove(sid);
            waiter.set(Err(NrStatus::Closed));
        }
        let passed = self.passed.take();
        self.watch.is_live.store(false, Ordering::Release);
        *self.watch.end.lock() = Some((ended.clone(), passed.len() as u64));
        self.watch.ended.notify_all();
        self.count();
        if let Some(answers) = self.answers {
            for sid in passed {
                answers.crashed(sid);
            }
        }
    }
}
