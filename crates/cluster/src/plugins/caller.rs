// SPDX-License-Identifier: BSD-3-Clause
//! The host's side: calls go out, answers come in.
//!
//! ```text
//!   handle ──▶ in hand, outbox ──▶ becket.plugin.PLUGIN.ENTRY, reply INBOX.SID:MS ──▶ one node
//!   answer ◀── in hand ◀────────── INBOX.SID:MS ◀──────────────────────────────────── that node
//!              in hand ◀────────── INBOX.notes, each second ◀──────────────────────── that node
//! ```
//!
//! # Invariants
//!
//! 1. A call is in hand from `handle` until its outcome is given to the host, or its caller has left. What comes
//!    for one that is not in hand is ignored.
//! 2. No message of a call is sent twice.
//! 3. Nothing of the host is called under the lock of the calls in hand.
//! 4. The check of silence runs only while something is in hand.
//! 5. The end of a load sends what its callers had it send, notifications among it, if the server takes it within
//!    [`END_MAX`].

use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc as blocking;
use std::time::Duration;

use async_nats::{Client, StatusCode, Subject, Subscriber};
use becket_host::{Answers, NrStatus, Remote, RemoteCall, RemoteEntry, RemoteState};
use bytes::Bytes;
use foldhash::{HashMap, HashMapExt as _};
use futures_lite::StreamExt as _;
use parking_lot::Mutex;
use tokio::sync::{Notify, mpsc};
use tokio::task::AbortHandle;
use tokio::time::Instant;

use super::SILENCE_MAX;
use super::calling::{Calling, Opening};
use super::frames::{self, Line, NOTES};
use super::headers::{self, Outcome};
use super::names::{self, Reply};
use super::outbox::{Outbox, Outgoing, publish, publish_at_once, round_trip};
use super::ticks::{Tick, Ticks};
use crate::connection::Link;

/// How long the end of a load waits for the server to take what is in the outbox.
const END_MAX: Duration = Duration::from_secs(2);

/// A load of a plugin that nodes offer.
pub(super) struct Caller {
    link: Arc<Link>,
    plugin: String,
    /// The subjects of its entries, by their places.
    subjects: Vec<Subject>,
    cancel_subject: Subject,
    inbox: String,
    answers: OnceLock<Answers>,
    in_hand: Mutex<Table>,
    outbox: Outbox,
    /// Something is in hand where nothing was.
    begun: Notify,
    /// No node offered it when the last call was sent.
    is_away: AtomicBool,
    tasks: Mutex<Vec<AbortHandle>>,
    /// Closes when the outbox has been emptied.
    emptied: Mutex<blocking::Receiver<()>>,
}

struct Table {
    calls: HashMap<u64, InHand>,
    is_watched: bool,
    is_over: bool,
}

struct InHand {
    /// When something of it was last received; at first, when it began.
    heard: Instant,
    /// Where its answer is awaited.
    reply: Reply,
    stream: Option<Box<Calling>>,
}

impl Caller {
    /// `replies` is subscribed to all subjects in `inbox`.
    pub(super) fn start(
        link: Arc<Link>,
        plugin: &str,
        (subjects, cancel_subject): (Vec<Subject>, Subject),
        (inbox, replies): (String, Subscriber),
    ) -> Arc<Self> {
        let (outbox, outgoing) = Outbox::new();
        let (transmits, emptied) = blocking::channel();
        let calls = HashMap::new();
        let caller = Arc::new(Self {
            link,
            plugin: plugin.to_owned(),
            subjects,
            cancel_subject,
            inbox,
            answers: OnceLock::new(),
            in_hand: Mutex::new(Table { calls, is_watched: false, is_over: false }),
            outbox,
            begun: Notify::new(),
            is_away: AtomicBool::new(false),
            tasks: Mutex::default(),
            emptied: Mutex::new(emptied),
        });
        let link = &caller.link;
        let tasks = [
            link.spawn(caller.clone().receive(replies)),
            link.spawn(caller.clone().transmit(outgoing, transmits)),
            link.spawn(caller.clone().watch()),
        ];
        *caller.tasks.lock() = tasks.into_iter().flatten().collect();
        caller
    }

    fn client(&self) -> &Client {
        self.link.client()
    }

    /// The longest message, headers included, that the server takes.
    fn message_bytes_max(&self) -> usize {
        self.client().max_payload()
    }

    fn subject(&self, entry: RemoteEntry<'_>) -> Option<Subject> {
        match entry {
            RemoteEntry::Place(place) => self.subjects.get(place as usize).cloned(),
            RemoteEntry::Name(name) => names::entry_subject(&self.plugin, name).map(Subject::from),
        }
    }

    fn tell_host(&self, act: impl FnOnce(Answers)) {
        if let Some(answers) = self.answers.get() {
            act(*answers);
        }
    }

    /// Sends what is put into the outbox, until its end. `transmits` is dropped then.
    async fn transmit(
        self: Arc<Self>,
        mut outgoing: mpsc::UnboundedReceiver<Option<Outgoing>>,
        transmits: blocking::Sender<()>,
    ) {
        while let Some(Some(outgoing)) = outgoing.recv().await {
            let (sid, bytes) = (outgoing.call, outgoing.payload.len());
            // One whose caller has left meanwhile is not sent at all.
            let is_wanted = sid == 0 || self.in_hand.lock().calls.contains_key(&sid);
            let is_lost = is_wanted && !publish(self.client(), outgoing).await;
            if self.outbox.took(bytes) {
                self.wake_starved();
            }
            if is_lost && self.remove(sid).is_some() {
                self.tell_host(|answers| answers.plugin_failed(sid));
            }
        }
        // Refused: the connection has ended.
        let _ = round_trip(self.client()).await;
        drop(transmits);
    }

    fn wake_starved(&self) {
        let mut table = self.in_hand.lock();
        let starved = table
            .calls
            .iter_mut()
            .filter_map(|(sid, in_hand)| in_hand.stream.as_mut()?.take_starved().then_some(*sid));
        let starved: Vec<_> = starved.collect();
        drop(table);
        self.tell_host(|answers| starved.into_iter().for_each(|sid| answers.writable(sid)));
    }

    fn remove(&self, sid: u64) -> Option<InHand> {
        self.in_hand.lock().calls.remove(&sid)
    }

    /// Takes what nodes send.
    async fn receive(self: Arc<Self>, mut replies: Subscriber) {
        while let Some(message) = replies.next().await {
            let Some((_, token)) = names::inbox_of(&message.subject) else { continue };
            if token == NOTES {
                self.noted(&message.payload);
                continue;
            }
            let Some(Reply { sid, .. }) = Reply::of(token) else { continue };
            if message.status == Some(StatusCode::NO_RESPONDERS) {
                if self.remove(sid).is_some() {
                    self.is_away.store(true, Ordering::Relaxed);
                    self.tell_host(|answers| answers.plugin_failed(sid));
                }
                continue;
            }
            self.is_away.store(false, Ordering::Relaxed);
            let mut table = self.in_hand.lock();
            let Some(in_hand) = table.calls.get_mut(&sid) else { continue };
            if in_hand.stream.is_some() {
                in_hand.heard = Instant::now();
                drop(table);
                self.stream_message(sid, message.payload);
                continue;
            }
            table.calls.remove(&sid);
            drop(table);
            let answered = headers::read_answer(message.headers.as_ref());
            self.tell_host(|answers| match answered {
                Ok(status) => answer(answers, sid, status, &message.payload),
                Err(outcome) => give_up(answers, sid, outcome),
            });
        }
    }

    fn stream_message(&self, sid: u64, payload: Bytes) {
        let message = frames::Message::decode(payload);
        let Some(message) = message else { return self.lose(sid, Outcome::Lost) };
        match message {
            frames::Message::Opened { to, window } => {
                let opened = self.with_stream(sid, |stream| stream.opened(to, window));
                let Some((outgoing, is_starved)) = opened else { return };
                outgoing.into_iter().for_each(|outgoing| self.outbox.push(outgoing));
                self.tell_host(|answers| {
                    answers.opened(sid);
                    if is_starved {
                        answers.writable(sid);
                    }
                });
            }
            frames::Message::Frame { status, sequence, body } => {
                let taken = self.with_stream(sid, |stream| stream.frame(status, sequence, body));
                match taken {
                    Some(true) => self.deliver(sid),
                    Some(false) => self.lose(sid, Outcome::Lost),
                    None => {}
                }
            }
            frames::Message::Credit(window) => self.credited(sid, window),
            frames::Message::DataRefused(status) => {
                self.with_stream(sid, |stream| stream.data_refused(status));
            }
            frames::Message::Ended(outcome) => self.ended(sid, outcome),
            // These are for nodes.
            frames::Message::Closed { .. } | frames::Message::Cancel => {}
        }
    }

    fn with_stream<R>(&self, sid: u64, act: impl FnOnce(&mut Calling) -> R) -> Option<R> {
        self.in_hand.lock().calls.get_mut(&sid)?.stream.as_mut().map(|stream| act(stream))
    }

    fn credited(&self, sid: u64, window: headers::Window) {
        if self.with_stream(sid, |stream| stream.credited(window)) == Some(true) {
            self.tell_host(|answers| answers.writable(sid));
        }
    }

    /// The node has ended a stream.
    fn ended(&self, sid: u64, outcome: Outcome) {
        let Some(stream) = self.remove(sid).and_then(|in_hand| in_hand.stream) else { return };
        self.tell_host(|answers| match outcome {
            Outcome::Refused(status) if stream.is_opened() => {
                _ = answers.send(sid, status, &[]);
            }
            outcome => give_up(answers, sid, outcome),
        });
    }

    /// A call or stream of which messages were lost, or nothing was heard: the host sees it as crashed, and the
    /// node is to end it.
    fn lose(&self, sid: u64, outcome: Outcome) {
        let Some(in_hand) = self.remove(sid) else { return };
        self.send_cancel(&in_hand);
        self.tell_host(|answers| give_up(answers, sid, outcome));
    }

    fn send_cancel(&self, in_hand: &InHand) {
        let of_stream = in_hand.stream.as_ref().and_then(|stream| stream.cancel());
        let outgoing = of_stream.unwrap_or_else(|| {
            let reply = in_hand.reply.subject(&self.inbox).into_string();
            Outgoing::new(self.cancel_subject.clone(), reply.into())
        });
        self.outbox.push(outgoing);
    }

    /// Gives frames to the host, as many as it takes.
    fn deliver(&self, sid: u64) {
        let Some(answers) = self.answers.get() else { return };
        while let Some(Some((status, body))) = self.with_stream(sid, Calling::next_frame) {
            let taken = answers.send(sid, status, &body);
            if taken == NrStatus::Backpressure {
                match self.with_stream(sid, |stream| stream.put_back(status, body)) {
                    // There has been room meanwhile.
                    Some(true) => continue,
                    _ => return,
                }
            }
            if taken == NrStatus::TooLong {
                // No frame is left out in silence: the stream ends with the status.
                answers.send(sid, NrStatus::TooLong, &[]);
            }
            let is_over = matches!(taken, NrStatus::Invalid | NrStatus::TooLong);
            if is_over || status != NrStatus::Ok {
                if let (Some(in_hand), true) = (self.remove(sid), status == NrStatus::Ok) {
                    self.send_cancel(&in_hand);
                }
                return;
            }
            let credit = self.with_stream(sid, |stream| stream.took(body.len())).flatten();
            credit.into_iter().for_each(|credit| self.outbox.push(credit));
        }
    }

    /// A node has these in hand.
    fn noted(&self, note: &[u8]) {
        let now = Instant::now();
        for Line { number: sid, stream } in frames::lines(note) {
            let mut table = self.in_hand.lock();
            let Some(in_hand) = table.calls.get_mut(&sid) else { continue };
            in_hand.heard = now;
            let (Some(calling), Some((sent, window))) = (&in_hand.stream, stream) else {
                continue;
            };
            let is_whole = calling.has_received(sent);
            drop(table);
            match is_whole {
                true => self.credited(sid, window),
                false => self.lose(sid, Outcome::Lost),
            }
        }
    }

    /// While something is in hand: each second, notes to the nodes that have streams of this host, and an end to
    /// what nothing was heard of.
    async fn watch(self: Arc<Self>) {
        loop {
            self.begun.notified().await;
            let mut ticks = Ticks::start().await;
            while self.look(ticks.next().await) {}
        }
    }

    /// False: nothing is in hand.
    fn look(&self, Tick { now, was_late }: Tick) -> bool {
        let mut table = self.in_hand.lock();
        if table.calls.is_empty() {
            table.is_watched = false;
            return false;
        }
        let mut silent = Vec::new();
        let mut notes: HashMap<String, Vec<Line>> = HashMap::new();
        for (sid, in_hand) in &mut table.calls {
            if was_late {
                in_hand.heard = now;
            } else if now - in_hand.heard > SILENCE_MAX {
                silent.push(*sid);
                continue;
            }
            if let Some((to, line)) = in_hand.stream.as_ref().and_then(|stream| stream.note()) {
                notes.entry(to).or_default().push(line);
            }
        }
        // Under the lock: a frame that is counted in a note is in the outbox before it.
        for (to, lines) in notes {
            for note in frames::notes(lines) {
                self.outbox.push(Outgoing::new(to.as_str().into(), note));
            }
        }
        drop(table);
        silent.into_iter().for_each(|sid| self.lose(sid, Outcome::Crashed));
        true
    }
}

/// The answer of a call.
fn answer(answers: Answers, sid: u64, status: NrStatus, body: &[u8]) {
    // Refused: its caller has left.
    let _ = answers.send(sid, status, body);
}

/// A call or stream without an answer.
fn give_up(answers: Answers, sid: u64, outcome: Outcome) {
    match outcome {
        Outcome::Refused(status) => answers.refused(sid, status),
        Outcome::Late => answers.late(sid),
        Outcome::Busy => answers.refused(sid, NrStatus::Backpressure),
        Outcome::UnknownEntry => answers.refused(sid, NrStatus::Unsupported),
        Outcome::Crashed | Outcome::Lost => _ = answers.crashed(sid),
        Outcome::Failed => answers.plugin_failed(sid),
    }
}

impl Remote for Caller {
    fn attach(&self, answers: Answers) {
        // Once for each load.
        let _ = self.answers.set(answers);
    }

    fn handle(&self, call: RemoteCall<'_>) -> NrStatus {
        let RemoteCall { sid, entry, is_stream, remaining_ms, metadata, payload } = call;
        let Some(subject) = self.subject(entry) else { return NrStatus::Unsupported };
        let opening = is_stream.then(Opening::new);
        let window = opening.as_ref().map(|opening| opening.window);
        let headers = headers::of_call(window, metadata);
        let (headers, header_bytes) = headers.into_map();
        if header_bytes + payload.len() > self.message_bytes_max() {
            return NrStatus::TooLong;
        }
        if self.outbox.is_full() {
            return NrStatus::Backpressure;
        }
        let reply = Reply::new(sid, remaining_ms);
        let message = |headers| {
            let reply = (sid != 0).then(|| reply.subject(&self.inbox));
            let payload = Bytes::copy_from_slice(payload);
            Outgoing { subject: subject.clone(), reply, headers, payload, call: sid }
        };
        let mut table = self.in_hand.lock();
        if table.is_over {
            return NrStatus::Closed;
        }
        if sid != 0 {
            let stream = opening.map(|opening| Box::new(opening.calling));
            table.calls.insert(sid, InHand { heard: Instant::now(), reply, stream });
            if !std::mem::replace(&mut table.is_watched, true) {
                self.begun.notify_one();
            }
        }
        drop(table);
        // Where the client has no room the message is made again: a copy would have to be made each time.
        let is_published = headers.is_none()
            && self.outbox.is_empty()
            && publish_at_once(self.client(), message(None));
        if !is_published {
            self.outbox.push(message(headers));
        }
        NrStatus::Ok
    }

    fn stream_data(&self, sid: u64, data: &[u8]) -> NrStatus {
        if frames::HEAD_BYTES + data.len() > self.message_bytes_max() {
            return NrStatus::TooLong;
        }
        let is_full = self.outbox.is_full();
        let mut table = self.in_hand.lock();
        let calling = table.calls.get_mut(&sid).and_then(|in_hand| in_hand.stream.as_mut());
        let Some(calling) = calling else { return NrStatus::Closed };
        match calling.send(data, is_full) {
            // Under the lock: the outbox has frames in the order of their numbers.
            Ok(outgoing) => self.outbox.push(outgoing),
            Err(status) => return status,
        }
        NrStatus::Ok
    }

    fn stream_close(&self, sid: u64) -> NrStatus {
        let mut table = self.in_hand.lock();
        let calling = table.calls.get_mut(&sid).and_then(|in_hand| in_hand.stream.as_mut());
        let Some(calling) = calling else { return NrStatus::Closed };
        calling.close().into_iter().for_each(|closed| self.outbox.push(closed));
        NrStatus::Ok
    }

    fn stream_room(&self, sid: u64) {
        if self.with_stream(sid, Calling::has_room) == Some(true) {
            self.deliver(sid);
        }
    }

    fn cancel(&self, sid: u64) {
        if let Some(in_hand) = self.remove(sid) {
            self.send_cancel(&in_hand);
        }
    }

    /// Each node has a state of its own.
    fn export_state(&self) -> Result<Vec<u8>, NrStatus> {
        Err(NrStatus::Unsupported)
    }

    fn import_state(&self, _state: &[u8]) -> NrStatus {
        NrStatus::Ok
    }

    fn state(&self) -> RemoteState {
        match self.is_away.load(Ordering::Relaxed) {
            true => RemoteState::Failed,
            false => RemoteState::Running,
        }
    }

    fn shutdown(&self) {
        let mut table = self.in_hand.lock();
        table.is_over = true;
        let left: Vec<_> = table.calls.keys().copied().collect();
        drop(table);
        left.into_iter().for_each(|sid| self.lose(sid, Outcome::Crashed));
        self.outbox.end();
        // Not within the time: the server is away.
        let _ = self.emptied.lock().recv_timeout(END_MAX);
        for task in self.tasks.lock().drain(..) {
            task.abort();
        }
    }
}
