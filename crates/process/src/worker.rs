// SPDX-License-Identifier: BSD-3-Clause
//! The worker's side: a host of its own, with one plugin.
//!
//! ```text
//!   request, stream ──▶ future of the call ─┬─ ready at once ──▶ reply, element
//!                                           └─ woken: polled again under the session's lock
//! ```
//!
//! A call is a future of the worker's host, polled by the session itself: there is no executor. What blocks
//! runs on the plugin's workers, as in any host. Under the session's lock no code of the plugin runs. The calls and
//! notifications of a plugin that declares that it never blocks are begun (`begin`) by the thread that drives the
//! session, which lends the lock meanwhile, and is relieved if it is stuck.
//!
//! # Invariants
//!
//! 1. Each request has one reply, each stream that was accepted one end.
//! 2. A frame is taken from the plugin when the session has taken the one before: what waits is bounded by
//!    the bounds of the plugin's streams.

mod answers;
mod begin;
mod load;
mod open;
mod reports;
mod wakes;

use std::collections::HashMap;
use std::fs::File;
use std::future::Future;
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::Duration;

use becket_host::{
    CallError, Dispatch, Entry, Host, NrStatus, Observer, Plugin, Response, Stream, lend_nothing,
};
use becket_ipc::Ended;
use becket_ipc::session::{Handler, Locked, SessionHandle, StartError};
use becket_sandbox::crash;
use becket_wire::{Credit, Event, Refused, Role, StreamId};
use bytes::Bytes;

use crate::launch::{self, Entered, WorkerError};
use crate::protocol::{
    self, Call, EntryRef, Failed, Load, Loaded, PAYLOAD_FOLLOWS, RawCall, encode_answer, notice,
    operation, reply, service,
};
use crate::stack::reader;
use crate::start::{element_bytes_max, options};
use crate::worker::begin::{Beginning, Begins, Queue};
use crate::worker::open::Open;
use crate::worker::reports::Reports;

/// How long a plugin may take to end.
const DRAIN: Duration = Duration::from_secs(4);
/// Data of one stream that the plugin has not taken. Its bytes: as many as an element may have, so that each
/// fits.
const STREAM_MESSAGES: u32 = 64;
/// Names of entries that are not listed, and are kept.
const NAMES_MAX: usize = 1024;

/// What is done on the main thread, because it may wait.
enum Errand {
    Load { request: u64, load: Box<Load> },
    Export { to: To },
    Import { to: To, state: Bytes },
    Shutdown { request: u64 },
    Ended,
}

/// Serves a host over this socket until it ends the worker, or is gone.
///
/// # Errors
/// No session can be had over the socket.
pub fn run(socket: OwnedFd, shared_memory: bool) -> Result<(), StartError> {
    serve(socket, shared_memory, None)
}

/// The same, with the file of the plugin that the host names.
fn serve(socket: OwnedFd, shared_memory: bool, mut image: Option<File>) -> Result<(), StartError> {
    let (errands, inbox) = channel();
    let mut options = options();
    options.shared_memory = shared_memory;
    // The host's bounds hold.
    element_bytes_max(&mut options, u64::MAX);
    let worker = Worker::new(errands);
    let session =
        becket_coro::block_on(SessionHandle::start(socket, Role::Server, &options, worker))?;
    if shared_memory {
        let driven = session.clone();
        // Without it the I/O thread serves the session, which takes one more wake for each call.
        let _ = thread::Builder::new()
            .name("becket-calls".into())
            .spawn(move || driven.drive(&mut Begins::default()));
    }
    let mut host = Host::new();
    for errand in inbox {
        match errand {
            Errand::Load { request, load } => {
                if let Some(native) = &load.native {
                    host = Host::builder().search_path(native.search_path.clone()).build();
                }
                let relief = session.relief();
                let reports = session.with(|worker, locked| worker.report(locked, &load, relief));
                let loaded = load::load(&host, *load, image.take(), reports).map(load::describe);
                session.with(|worker, locked| worker.loaded(locked, request, loaded));
            }
            Errand::Export { to } => {
                let plugin = session.with(|worker, _| worker.plugin.clone());
                let state = plugin.map_or(Ok(None), |plugin| plugin.export_state());
                let body = match state {
                    Ok(Some(state)) => encode_answer(NrStatus::Ok, &state),
                    Ok(None) => encode_answer(NrStatus::Unsupported, &[]),
                    Err(status) => encode_answer(status, &[]),
                };
                session.with(|worker, locked| worker.answer(locked, to, reply::DONE, [&body, &[]]));
            }
            Errand::Import { to, state } => {
                let plugin = session.with(|worker, _| worker.plugin.clone());
                let taken = plugin.map_or(Ok(()), |plugin| plugin.import_state(&state));
                let body = encode_answer(taken.err().unwrap_or(NrStatus::Ok), &[]);
                session.with(|worker, locked| worker.answer(locked, to, reply::DONE, [&body, &[]]));
            }
            Errand::Shutdown { request } => {
                becket_coro::block_on(host.shutdown(DRAIN));
                session.with(|worker, locked| {
                    worker.flush(locked);
                    let _ = locked.session.reply(request, reply::DONE, Bytes::new());
                });
                break;
            }
            Errand::Ended => break,
        }
    }
    session.close(becket_wire::codes::DONE, "");
    Ok(())
}

type Answering = Pin<Box<dyn Future<Output = Result<Response, CallError>> + Send>>;
type Opening = Pin<Box<dyn Future<Output = Result<Stream, CallError>> + Send>>;

/// See the module's documentation.
struct Worker {
    errands: Sender<Errand>,
    /// What has come of a load that is longer than a frame.
    load_parts: Vec<u8>,
    plugin: Option<Plugin>,
    reports: Option<Arc<Reports>>,
    dispatch: Dispatch,
    /// The plugin's code runs on coroutines.
    wants_coroutines: bool,
    entries: Arc<[Entry]>,
    /// Entries that are not listed.
    named: HashMap<String, Entry>,
    /// What has come and is not begun.
    queue: Queue,
    /// Calls by the number of their waker.
    calls: HashMap<u32, Answered>,
    streams: HashMap<u32, Served>,
}

/// A call, and where its answer goes.
struct Answered {
    future: Answering,
    to: To,
}

#[derive(Clone, Copy)]
enum To {
    Request(u64),
    Stream(StreamId),
}

/// What is done with a stream of the host.
enum Served {
    /// Its payload is still to come.
    Expected {
        service: u16,
        call: Call,
    },
    Opening {
        opening: Opening,
        is_closed: bool,
    },
    Open(Open),
    /// The state of another load is still to come.
    ExpectedState,
    /// A call whose payload has come: its answer is an element.
    Answering,
    /// An answer that is longer than a frame, for a stream of this side.
    LongAnswer(Bytes),
}

/// The waker's number of a request: the odd ones, since streams of the host have even ones.
fn number_of(request: u64) -> u32 {
    (request as u32) << 1 | 1
}

impl Worker {
    fn new(errands: Sender<Errand>) -> Self {
        Self {
            errands,
            plugin: None,
            reports: None,
            dispatch: Dispatch::Auto,
            wants_coroutines: false,
            load_parts: Vec::new(),
            entries: Arc::default(),
            queue: Queue::default(),
            named: HashMap::new(),
            calls: HashMap::new(),
            streams: HashMap::new(),
        }
    }

    /// What the plugin is to report goes to the host.
    fn report(&mut self, locked: &Locked<'_>, load: &Load, relief: Waker) -> Arc<Reports> {
        let reports = Arc::new(Reports::new(locked, load.log_level_max, relief));
        self.reports = Some(reports.clone());
        self.dispatch = load.native.as_ref().map_or(Dispatch::Auto, |native| native.dispatch);
        reports
    }

    /// Sends what the plugin has reported.
    fn flush(&mut self, locked: &mut Locked<'_>) {
        if let Some(reports) = &self.reports {
            reports.send_log(locked);
            if let Some(plugin) = &self.plugin {
                reports.send_counts_at_last(locked, plugin);
                reports.send_metrics(locked, plugin);
            }
        }
    }

    fn loaded(
        &mut self,
        locked: &mut Locked<'_>,
        request: u64,
        loaded: Result<(Plugin, Loaded), Failed>,
    ) {
        let loaded = loaded.map(|(plugin, loaded)| {
            let entries = loaded.entries.iter();
            self.entries = entries.map(|entry| plugin.entry_later(&entry.name)).collect();
            let info = plugin.info();
            self.wants_coroutines = info.wants_coroutines();
            self.queue.set_lent(info.runs_on_callers(self.dispatch));
            self.plugin = Some(plugin);
            loaded
        });
        // Before the host sees that it is loaded, or is not.
        self.flush(locked);
        let (status, json) = match loaded {
            Ok(loaded) => (reply::DONE, serde_json::to_vec(&loaded)),
            Err(failed) => (reply::FAILED, serde_json::to_vec(&failed)),
        };
        let replied = locked.session.reply(request, status, json.unwrap_or_default().into());
        if replied == Err(Refused::TooLong) {
            let most = locked.session.limits().frame_body_bytes_max;
            let error = format!("what the plugin says of its entries has more than {most} bytes");
            let failed = Failed { error, cause: String::new(), hint: "shorten their help".into() };
            let json = serde_json::to_vec(&failed).unwrap_or_default();
            let _ = locked.session.reply(request, reply::FAILED, json.into());
        }
    }

    fn entry(&mut self, entry: &EntryRef) -> Option<Entry> {
        let name = match entry {
            EntryRef::Place(place) => return self.entries.get(*place as usize).cloned(),
            EntryRef::Name(name) => name,
        };
        if let Some(known) = self.named.get(name) {
            return Some(known.clone());
        }
        let entry = self.plugin.as_ref()?.entry_later(name);
        if self.named.len() < NAMES_MAX {
            self.named.insert(name.clone(), entry.clone());
        }
        Some(entry)
    }

    fn request(&mut self, locked: &mut Locked<'_>, request: u64, number: u16, body: &[u8]) {
        let status = match number {
            operation::CALL => {
                if let Some(call) = RawCall::decode(body) {
                    return self.call_raw(locked, request, call);
                }
                match Call::decode(body) {
                    Ok(call) => return self.call(locked, To::Request(request), call),
                    Err(_) => reply::FAILED,
                }
            }
            operation::LOAD_PART => {
                if self.load_parts.len() + body.len() > protocol::LOAD_BYTES_MAX {
                    reply::TOO_MUCH
                } else {
                    self.load_parts.extend_from_slice(body);
                    reply::DONE
                }
            }
            operation::LOAD => match self.load(body) {
                Ok(load) => match self.errand(Errand::Load { request, load }) {
                    true => return,
                    false => reply::FAILED,
                },
                Err(_) => reply::FAILED,
            },
            operation::EXPORT if self.errand(Errand::Export { to: To::Request(request) }) => return,
            operation::EXPORT => reply::FAILED,
            operation::IMPORT => {
                let (to, state) = (To::Request(request), Bytes::copy_from_slice(body));
                if self.errand(Errand::Import { to, state }) {
                    return;
                }
                reply::FAILED
            }
            operation::SHUTDOWN if self.errand(Errand::Shutdown { request }) => return,
            _ => reply::UNKNOWN_OPERATION,
        };
        let _ = locked.session.reply(request, status, Bytes::new());
    }

    /// The load whose last bytes these are.
    fn load(&mut self, last: &[u8]) -> serde_json::Result<Box<Load>> {
        let mut json = std::mem::take(&mut self.load_parts);
        if json.is_empty() {
            return serde_json::from_slice(last);
        }
        json.extend_from_slice(last);
        serde_json::from_slice(&json)
    }

    /// A call whose payload lies in the frame: it is copied only if the plugin cannot have it now.
    fn call_raw(&mut self, locked: &mut Locked<'_>, request: u64, call: RawCall<'_>) {
        if self.queue.takes() {
            return self.queue.raw(request, &call);
        }
        let Some(entry) = self.entries.get(call.place as usize) else {
            return self.answer(locked, To::Request(request), reply::UNKNOWN_ENTRY, [&[], &[]]);
        };
        let begun = begin::raw(entry, &call);
        drop(self.begun(locked, request, &call, begun));
    }

    fn call(&mut self, locked: &mut Locked<'_>, to: To, call: Call) {
        let Some(entry) = self.entry(&call.entry) else {
            return self.answer(locked, to, reply::UNKNOWN_ENTRY, [&[], &[]]);
        };
        let Call { deadline_ms, shape, request, .. } = call;
        let future: Answering = Box::pin(async move {
            let timeout = Duration::from_millis(deadline_ms.into());
            if shape & protocol::HAS_METADATA == 0 {
                let call = entry.call_raw(&request.body);
                return if timeout.is_zero() { call.await } else { call.timeout(timeout).await };
            }
            let call = entry.call(request);
            if timeout.is_zero() { call.await } else { call.timeout(timeout).await }
        });
        let number = match to {
            To::Request(request) => number_of(request),
            To::Stream(stream) => stream.number(),
        };
        let call = Answered { future, to };
        if self.queue.takes() {
            let waker = self.waker(locked, number);
            return self.queue.push(Beginning::Call { number, call, waker });
        }
        self.go_on(locked, number, call);
    }

    /// A waker for what the plugin wakes.
    fn waker(&self, locked: &Locked<'_>, number: u32) -> Waker {
        let waker = locked.waker(number);
        if self.wants_coroutines { wakes::on_any_stack(waker) } else { waker }
    }

    /// Polls a call, and keeps it or answers.
    fn go_on(&mut self, locked: &mut Locked<'_>, number: u32, mut call: Answered) {
        let waker = self.waker(locked, number);
        let Poll::Ready(result) = call.future.as_mut().poll(&mut Context::from_waker(&waker))
        else {
            self.calls.insert(number, call);
            return;
        };
        self.answer_with(locked, call.to, &result);
    }

    fn notify(&mut self, call: Call) {
        let Some(entry) = self.entry(&call.entry) else { return };
        let payload = call.request.body;
        if self.queue.takes() {
            return self.queue.push(Beginning::Notification { entry, payload });
        }
        let taken = entry.notify(&payload);
        self.notified(taken.is_ok());
    }

    fn notified(&self, is_taken: bool) {
        // Counted there if it is refused.
        if !is_taken && let Some(reports) = &self.reports {
            reports.counts_changed();
        }
    }

    fn opened(&mut self, locked: &mut Locked<'_>, stream: StreamId, number: u16, name: &[u8]) {
        if number == service::LONG_IMPORT {
            let credit = Credit { messages: 1, bytes: locked.session.element_bytes_max().into() };
            let _ = locked.session.accept(stream, credit, Bytes::new());
            self.streams.insert(stream.number(), Served::ExpectedState);
            return;
        }
        const CALLS: [u16; 3] = [service::STREAM, service::LONG_CALL, service::LONG_NOTIFICATION];
        let call = Call::decode(name).ok().filter(|_| CALLS.contains(&number));
        let Some(call) = call else { return refuse(locked, stream, NrStatus::Unsupported) };
        if number != service::STREAM || call.shape & PAYLOAD_FOLLOWS != 0 {
            let credit = Credit { messages: 1, bytes: locked.session.element_bytes_max().into() };
            let _ = locked.session.accept(stream, credit, Bytes::new());
            self.streams.insert(stream.number(), Served::Expected { service: number, call });
            return;
        }
        self.open(locked, stream, call);
    }

    fn open(&mut self, locked: &mut Locked<'_>, stream: StreamId, call: Call) {
        let Some(entry) = self.entry(&call.entry) else {
            return refuse(locked, stream, NrStatus::Unsupported);
        };
        // The host keeps the limit of a stream that is idle: it knows what the caller asked for.
        let mut opening = entry.stream(call.request).idle(Duration::ZERO);
        if call.deadline_ms > 0 {
            opening = opening.timeout(Duration::from_millis(call.deadline_ms.into()));
        }
        let opening: Opening = Box::pin(opening);
        self.streams.insert(stream.number(), Served::Opening { opening, is_closed: false });
        self.serve(locked, stream);
    }

    /// Goes on with a stream as far as it goes without waiting.
    fn serve(&mut self, locked: &mut Locked<'_>, stream: StreamId) {
        let number = stream.number();
        let waker = self.waker(locked, number);
        let context = &mut Context::from_waker(&waker);
        if let Some(Served::Opening { opening, is_closed }) = self.streams.get_mut(&number) {
            let is_closed = *is_closed;
            match opening.as_mut().poll(context) {
                Poll::Pending => return,
                Poll::Ready(Ok(opened)) => {
                    let bytes = locked.session.element_bytes_max().into();
                    let credit = Credit { messages: STREAM_MESSAGES, bytes };
                    // One whose payload came in an element was accepted for that.
                    if locked.session.accept(stream, credit, Bytes::new()) == Err(Refused::State) {
                        let _ = locked.session.grant(stream, STREAM_MESSAGES, bytes);
                    }
                    self.streams.insert(number, Served::Open(Open::new(opened, is_closed)));
                }
                Poll::Ready(Err(error)) => {
                    self.streams.remove(&number);
                    let status = match error {
                        CallError::Refused { status } => status,
                        CallError::DeadlineExceeded => NrStatus::Timeout,
                        CallError::Quota { .. } | CallError::Quarantined => NrStatus::Backpressure,
                        _ => NrStatus::Err,
                    };
                    return refuse(locked, stream, status);
                }
            }
        }
        if let Some(Served::Open(open)) = self.streams.get_mut(&number)
            && open.serve(locked, stream, context)
        {
            self.streams.remove(&number);
        }
    }

    fn element(&mut self, locked: &mut Locked<'_>, stream: StreamId, body: Bytes) {
        let number = stream.number();
        match self.streams.remove(&number) {
            Some(Served::Expected { service, mut call }) => {
                call.request.body = body;
                match service {
                    service::LONG_CALL => {
                        self.streams.insert(number, Served::Answering);
                        self.call(locked, To::Stream(stream), call);
                    }
                    service::LONG_NOTIFICATION => {
                        self.notify(call);
                        let _ = locked.session.end(stream, 0, Bytes::new());
                    }
                    _ => self.open(locked, stream, call),
                }
            }
            Some(Served::ExpectedState) => {
                self.streams.insert(number, Served::Answering);
                // The main thread has gone: the worker ends.
                let _ = self.errand(Errand::Import { to: To::Stream(stream), state: body });
            }
            Some(Served::Open(mut open)) => {
                open.put(body);
                self.streams.insert(number, Served::Open(open));
                self.serve(locked, stream);
            }
            Some(other) => _ = self.streams.insert(number, other),
            None => {}
        }
    }

    fn ended_by_host(&mut self, locked: &mut Locked<'_>, stream: StreamId) {
        match self.streams.get_mut(&stream.number()) {
            Some(Served::Opening { is_closed, .. }) => *is_closed = true,
            Some(Served::Open(open)) => open.is_closed = true,
            _ => {}
        }
        self.serve(locked, stream);
    }
}

fn refuse(locked: &mut Locked<'_>, stream: StreamId, status: NrStatus) {
    let code = protocol::REFUSED.saturating_add(u16::try_from(status.0).unwrap_or(1));
    let _ = locked.session.refuse(stream, code, Bytes::new());
}

impl Worker {
    fn take(&mut self, locked: &mut Locked<'_>, event: Event<'_>) {
        match event {
            Event::Request { request, operation, body } => {
                self.request(locked, request, operation, body);
            }
            Event::Cancelled { request } => {
                self.give_up(locked, number_of(request), Some(request));
            }
            Event::Notice { code: notice::NOTIFICATION, body, .. } => {
                if let Ok(call) = Call::decode(body) {
                    self.notify(call);
                }
            }
            Event::Opened { stream, service, name, .. } => {
                self.opened(locked, stream, service, name)
            }
            Event::Element { stream, body, .. } => self.element(locked, stream, body.into_bytes()),
            Event::Accepted { stream, .. } => self.accepted(locked, stream),
            Event::Credit { stream } => self.serve(locked, stream),
            Event::Ended { stream, .. } => self.ended_by_host(locked, stream),
            Event::Reset { stream, .. } => {
                self.streams.remove(&stream.number());
                self.give_up(locked, stream.number(), None);
            }
            _ => {}
        }
    }

    /// Ends a call that the host does not wait for any more, unless it has been answered.
    fn give_up(&mut self, locked: &mut Locked<'_>, number: u32, request: Option<u64>) {
        if self.queue.holds(number) {
            return self.queue.push(Beginning::GiveUp { number, request });
        }
        let is_ended = self.calls.remove(&number).is_some() || self.queue.give_up(number);
        if let Some(request) = request.filter(|_| is_ended) {
            let _ = locked.session.reply(request, reply::DEADLINE, Bytes::new());
        }
    }

    /// Has the main thread do something, behind the calls that came before. False: it is gone.
    fn errand(&mut self, errand: Errand) -> bool {
        if self.queue.has_work() {
            self.queue.push(Beginning::Errand(errand));
            return true;
        }
        self.errands.send(errand).is_ok()
    }

    fn resume(&mut self, locked: &mut Locked<'_>, number: u32) {
        if let Some(reports) = self.reports.clone()
            && reports.woken(locked, self.plugin.as_ref(), number)
        {
            return;
        }
        let stream = StreamId::from_number(number);
        if let Some(call) = self.calls.remove(&number) {
            self.go_on(locked, number, call);
        }
        // A stream of this side may have the number of a call's waker.
        if let Some(Served::LongAnswer(_)) = self.streams.get(&number) {
            self.accepted(locked, stream);
        } else {
            self.serve(locked, stream);
        }
    }
}

/// Bodies are dropped under the session's lock, by threads of the plugin too: none waits here for a plugin
/// that blocks in its `release`.
impl Handler for Worker {
    fn event(&mut self, locked: &mut Locked<'_>, event: Event<'_>) {
        lend_nothing(|| self.take(locked, event));
    }

    fn woken(&mut self, locked: &mut Locked<'_>, number: u32) {
        lend_nothing(|| self.resume(locked, number));
    }

    #[inline]
    fn has_work(&self) -> bool {
        self.queue.has_work()
    }

    fn driven(&mut self, locked: &mut Locked<'_>, does_work: bool) {
        lend_nothing(|| self.set_driven(locked, does_work));
    }

    fn ended(&mut self, _ended: &Ended) {
        lend_nothing(|| {
            self.queue.clear();
            self.calls.clear();
            self.streams.clear();
        });
        // The main thread may have gone already.
        let _ = self.errands.send(Errand::Ended);
    }
}

/// The whole of a worker's process, whose host passes the socket as descriptor 0: enters the sandbox, then
/// [`run`]s, or becomes the program that is the plugin. To be called first, on the only thread.
///
/// # Errors
/// [`WorkerError`].
pub fn run_on_stdin() -> Result<(), WorkerError> {
    if reader::is_wanted() {
        return reader::run();
    }
    let Entered { socket, image, crash } = launch::enter()?;
    if let Some(pipe) = crash {
        // First, so that the record is made before the overflow of a coroutine is reported.
        becket_coro::report_overflows();
        if let Err(error) = crash::install(pipe) {
            // Its host logs it.
            eprintln!("no record is left of a crash: {}", launch::text(&error));
        }
    }
    Ok(serve(socket, true, image)?)
}
