// SPDX-License-Identifier: BSD-3-Clause
//! Calls and streams that a node has in hand.
//!
//! A call is a task on the connection's thread: it polls a future of the node's host. No code of a plugin runs there,
//! for that thread [lends nothing](becket_host::lend_nothing_here): the plugin's workers run it, also if the plugin
//! declares that it never blocks. So one that blocks holds its own call alone.
//!
//! # Invariants
//!
//! 1. What is in `in_hand` has a task, which removes it after its last message was sent. A removal by anything else
//!    aborts the task, which notifies the plugin.
//! 2. A frame is counted as sent when the client has it: a note has no number of a frame that comes after it.

use std::mem;
use std::sync::Arc;
use std::time::Duration;

use async_nats::service::endpoint::Endpoint;
use async_nats::service::{Request, error};
use async_nats::{Client, Subject, Subscriber};
use becket_host::{CallError, Entry, NrStatus, Plugin, Response};
use bytes::Bytes;
use foldhash::{HashMap, HashMapExt as _};
use futures_lite::StreamExt as _;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::task::{AbortHandle, JoinHandle};
use tokio::time::Instant;

use super::cancelled::Cancelled;
use super::frames::{self, Line, Message, NOTES};
use super::headers::{self, Asked, Outcome};
use super::names::Reply;
use super::served::Served;
use super::ticks::{Tick, Ticks};
use super::{SILENCE_MAX, names};

/// What is in hand for less than this needs no note.
const SHORT: Duration = Duration::from_millis(500);

/// A plugin that this node serves.
pub(super) struct Serving {
    plugin: Plugin,
    client: Client,
    inbox: String,
    in_hand: Mutex<Table>,
    /// Something is in hand where nothing was.
    begun: Notify,
    /// Nothing is in hand any more.
    emptied: Notify,
}

struct Table {
    /// By their reply subjects, which hosts use once; other clients may use one again, and get a number behind it.
    calls: HashMap<Arc<str>, InHand>,
    /// The reply subjects of streams, by their numbers.
    streams: HashMap<u64, Arc<str>>,
    cancelled: Cancelled,
    last_number: u64,
    is_watched: bool,
    /// The offer was dropped.
    is_over: bool,
}

struct InHand {
    began: Instant,
    task: AbortHandle,
    stream: Option<(u64, Arc<Served>)>,
}

impl Serving {
    pub(super) fn new(plugin: Plugin, client: Client, inbox: String) -> Arc<Self> {
        Arc::new(Self {
            plugin,
            client,
            inbox,
            in_hand: Mutex::new(Table {
                calls: HashMap::new(),
                streams: HashMap::new(),
                cancelled: Cancelled::new(),
                last_number: 0,
                is_watched: false,
                is_over: false,
            }),
            begun: Notify::new(),
            emptied: Notify::new(),
        })
    }

    pub(super) fn in_hand(&self) -> usize {
        self.in_hand.lock().calls.len()
    }

    /// Waits until nothing is in hand.
    pub(super) async fn drained(&self) {
        while self.in_hand() > 0 {
            self.emptied.notified().await;
        }
    }

    /// Cancels what is in hand, and takes no more.
    pub(super) fn cancel_all(&self) {
        let mut table = self.in_hand.lock();
        table.is_over = true;
        table.streams.clear();
        let calls = mem::take(&mut table.calls);
        drop(table);
        calls.into_values().for_each(|call| call.task.abort());
        self.emptied.notify_one();
    }

    /// Takes the calls of one entry, or of all that are not listed, until the endpoint ends. On the connection's
    /// thread.
    pub(super) fn start(
        self: &Arc<Self>,
        endpoint: Endpoint,
        entry: Option<&str>,
    ) -> JoinHandle<()> {
        let listed = entry.map(|entry| self.plugin.entry_later(entry));
        tokio::spawn(self.clone().take_calls(endpoint, listed))
    }

    async fn take_calls(self: Arc<Self>, mut endpoint: Endpoint, listed: Option<Entry>) {
        while let Some(request) = endpoint.next().await {
            let named = || {
                let (_, token) = names::inbox_of(&request.message.subject)?;
                Some(self.plugin.entry_later(&names::name_of(token)?))
            };
            if let Some(entry) = listed.clone().or_else(named) {
                self.take(request, entry);
            }
        }
    }

    fn take(self: &Arc<Self>, mut request: Request, entry: Entry) {
        let payload = mem::take(&mut request.message.payload);
        let asked = headers::read_call(request.message.headers.as_ref(), payload);
        let Some(reply) = request.message.reply.clone() else {
            // Counted by the host if it is refused.
            let _ = asked.map(|asked| entry.notify(&asked.request.body));
            return;
        };
        let of_host = Reply::of_subject(&reply).map(|(_, reply)| reply);
        let mut table = self.in_hand.lock();
        table.last_number += 1;
        let number = table.last_number;
        let key: Arc<str> = match of_host {
            Some(_) => reply.as_str().into(),
            None => format!("{reply} {number}").into(),
        };
        // The third: its caller has left already.
        if table.is_over || table.calls.contains_key(&key) || table.cancelled.has(&key) {
            return;
        }
        let window = asked.as_ref().and_then(|asked| asked.stream).filter(|_| of_host.is_some());
        let stream = window.map(|window| {
            table.streams.insert(number, key.clone());
            let to: Subject = format!("{}.{number:x}", self.inbox).into();
            (number, Arc::new(Served::new(self.client.clone(), reply, to, window)))
        });
        let asked = asked.map(|mut asked| {
            let deadline_ms = of_host.and_then(|reply| reply.deadline_ms);
            let timeout = deadline_ms.map(|ms| Duration::from_millis(ms.get()));
            asked.timeout = timeout.or(asked.timeout);
            asked
        });
        let (serving, at) = (self.clone(), key.clone());
        // It ends under this lock, after it was put there. In a box: a task is moved more than once.
        let task = match (stream.clone(), asked) {
            (Some((_, stream)), Some(asked)) => tokio::spawn(Box::pin(async move {
                stream.serve(&entry, asked).await;
                serving.remove(&at);
            })),
            (_, asked) => tokio::spawn(Box::pin(async move {
                serving.answer(&request, &entry, asked).await;
                serving.remove(&at);
            })),
        };
        let task = task.abort_handle();
        let began = Instant::now();
        table.calls.insert(key, InHand { began, task, stream });
        if !mem::replace(&mut table.is_watched, true) {
            self.begun.notify_one();
        }
    }

    fn remove(&self, reply: &str) -> Option<InHand> {
        self.remove_from(&mut self.in_hand.lock(), reply)
    }

    fn remove_from(&self, table: &mut Table, reply: &str) -> Option<InHand> {
        let removed = table.calls.remove(reply)?;
        if let Some((number, _)) = &removed.stream {
            table.streams.remove(number);
        }
        if table.calls.is_empty() {
            self.emptied.notify_one();
        }
        Some(removed)
    }

    /// Ends a call or stream whose caller has left.
    fn cancel(&self, reply: &str) {
        if let Some(removed) = self.remove(reply) {
            removed.task.abort();
        }
    }

    async fn answer(&self, request: &Request, entry: &Entry, asked: Option<Asked>) {
        let result = match asked {
            Some(asked) => call(entry, asked).await,
            None => Err(CallError::Refused { status: NrStatus::Invalid }),
        };
        let respond = async |result| match result {
            Ok(Response { status, body }) => {
                let (headers, _) = headers::of_answer(status).into_map();
                let headers = headers.unwrap_or_default();
                request.respond_with_headers(Ok(Bytes::from(body)), headers).await
            }
            Err(error) => {
                let (headers, text, code) = headers::of_outcome(Outcome::from(&error));
                let error = error::Error { status: text.to_owned(), code: code.into() };
                let headers = headers.into_map().0.unwrap_or_default();
                request.respond_with_headers(Err(error), headers).await
            }
        };
        if let Err(error) = respond(result).await {
            tracing::debug!(target: "becket::cluster", %error, "an answer was not sent");
            // Longer than a message may be, or the connection has ended.
            let _ = respond(Err(CallError::Refused { status: NrStatus::TooLong })).await;
        }
    }

    /// Takes cancellations, of which each has the reply subject of a call.
    pub(super) async fn take_cancels(self: Arc<Self>, mut cancels: Subscriber) {
        while let Some(cancel) = cancels.next().await {
            let Ok(reply) = std::str::from_utf8(&cancel.payload) else { continue };
            let mut table = self.in_hand.lock();
            let removed = self.remove_from(&mut table, reply);
            if removed.is_none() {
                table.cancelled.put(reply);
            }
            drop(table);
            removed.into_iter().for_each(|removed| removed.task.abort());
        }
    }

    /// Takes what hosts send to open streams.
    pub(super) async fn take_inputs(self: Arc<Self>, mut inputs: Subscriber) {
        while let Some(input) = inputs.next().await {
            let Some((_, token)) = names::inbox_of(&input.subject) else { continue };
            if token == NOTES {
                for line in frames::lines(&input.payload) {
                    if let Some((sent, window)) = line.stream {
                        let noted = |stream: &Served| stream.noted(sent, window);
                        self.with_stream(line.number, noted).await;
                    }
                }
                continue;
            }
            let Some(number) = names::hex(token) else { continue };
            let message = Message::decode(input.payload);
            self.with_stream(number, |stream| match message {
                Some(Message::Cancel) => Err(None),
                Some(message) => stream.received(message),
                None => Err(Some(Outcome::Lost)),
            })
            .await;
        }
    }

    fn stream(&self, number: u64) -> Option<(Arc<str>, Arc<Served>)> {
        let table = self.in_hand.lock();
        let reply = table.streams.get(&number)?;
        let (_, stream) = table.calls.get(reply)?.stream.clone()?;
        Some((reply.clone(), stream))
    }

    /// Acts on a stream. An error ends it, and is sent to its host if it has not left.
    async fn with_stream(
        &self,
        number: u64,
        act: impl FnOnce(&Served) -> Result<(), Option<Outcome>>,
    ) {
        let Some((reply, stream)) = self.stream(number) else { return };
        if let Err(outcome) = act(&stream) {
            self.cancel(&reply);
            if let Some(outcome) = outcome {
                stream.send(&Message::Ended(outcome)).await;
            }
        }
    }

    /// While something is in hand: each second, notes to the hosts of what is, and an end to streams whose hosts
    /// are silent.
    pub(super) async fn watch(self: Arc<Self>) {
        loop {
            self.begun.notified().await;
            let mut ticks = Ticks::start().await;
            while let Some(notes) = self.look(ticks.next().await) {
                for (to, note) in notes {
                    // A note that is lost is followed by another.
                    let _ = self.client.publish(to, note).await;
                }
            }
        }
    }

    /// The notes that are due; `None`: nothing is in hand.
    fn look(&self, Tick { now, was_late }: Tick) -> Option<Vec<(Subject, Bytes)>> {
        let mut table = self.in_hand.lock();
        if table.calls.is_empty() {
            table.is_watched = false;
            return None;
        }
        let mut silent = Vec::new();
        let mut lines: HashMap<&str, Vec<Line>> = HashMap::new();
        for (reply, call) in &table.calls {
            let stream = call.stream.as_ref().map(|(_, stream)| stream);
            let silence = stream.and_then(|stream| stream.silence(now, was_late));
            if silence.is_some_and(|silence| silence > SILENCE_MAX) {
                silent.push(reply.clone());
                continue;
            }
            if now - call.began < SHORT {
                continue;
            }
            // Other clients want no notes.
            let Some((inbox, Reply { sid: number, .. })) = Reply::of_subject(reply) else {
                continue;
            };
            let stream = stream.map(|stream| stream.note());
            lines.entry(inbox).or_default().push(Line { number, stream });
        }
        let notes = lines.into_iter().flat_map(|(inbox, lines)| {
            let to = Subject::from(format!("{inbox}.{NOTES}"));
            frames::notes(lines).into_iter().map(move |note| (to.clone(), note))
        });
        let notes = notes.collect();
        drop(table);
        silent.iter().for_each(|reply| self.cancel(reply));
        Some(notes)
    }
}

async fn call(entry: &Entry, asked: Asked) -> Result<Response, CallError> {
    let Asked { timeout, has_metadata, request, .. } = asked;
    if !has_metadata {
        let call = entry.call_raw(&request.body);
        return match timeout {
            Some(timeout) => call.timeout(timeout).await,
            None => call.await,
        };
    }
    let call = entry.call(request);
    match timeout {
        Some(timeout) => call.timeout(timeout).await,
        None => call.await,
    }
}
