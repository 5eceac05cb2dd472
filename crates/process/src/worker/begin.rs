// SPDX-License-Identifier: BSD-3-Clause
//! Calls and notifications that wait to be begun, by the thread that drives the session.
//!
//! ```text
//!   request, notification ─▶ Queue ─▶ Begins ── run, the session's lock is lent ──▶ answer, or a call that waits
//!                             │        └ stuck ─▶ relieved: what it has in hand is answered when it is back
//!                             └ not driven: begun under the lock, where nothing is lent: on the plugin's workers
//! ```
//!
//! A plugin that declares that it never blocks runs on the driving thread. Should it block there, the watchdog
//! of the worker's host reports that ([`Observer::stuck`](becket_host::Observer)), and the thread is
//! [relieved](becket_ipc::session::SessionHandle::relief) of the session: other calls, streams, cancellations and
//! pings go on without it, and until it is back calls are begun on the plugin's workers. If the watchdog finds
//! that the plugin was not merely interrupted, it sends all its calls there until the next load.
//!
//! Streams are opened, and get their data, on the plugin's workers: what goes to them is kept in order there.
//!
//! # Invariants
//!
//! 1. What comes is begun in its order, by one thread at a time; after a relief no order is kept between what
//!    the relieved thread has in hand and the rest.
//! 2. Nothing waits while the session is not driven.
//! 3. A call that the host has given up is answered once: if it is in hand, at once, and what the plugin answers
//!    is dropped; if it waits, when it was begun.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use becket_host::{CallError, DetachedCall, Entry, Request, Response};
use becket_ipc::session::{Locked, Work};
use bytes::Bytes;

use super::{Answered, Errand, To, Worker, lend_nothing, number_of};
use crate::protocol::{Call, EntryRef, RawCall, reply};

/// What may wait; more is begun on the plugin's workers. The session bounds its requests too.
const WAITING_MAX: usize = 1024;
/// Buffers that are kept for later payloads, and their bytes.
const SPARE_MAX: usize = 64;
const SPARE_BYTES_MAX: usize = 1 << 16;

/// Something that is to be begun.
pub(super) enum Beginning {
    /// A call that is little more than its payload.
    Raw { request: u64, place: u32, deadline_ms: u32, payload: Vec<u8> },
    /// Any other call; the waker is its own.
    Call { number: u32, call: Answered, waker: Waker },
    /// A call that is not answered.
    Notification { entry: Entry, payload: Bytes },
    /// The end of a call that came before it.
    GiveUp { number: u32, request: Option<u64> },
    /// What the host asked for behind the others.
    Errand(Errand),
}

impl Beginning {
    /// The number of the call's waker.
    fn number(&self) -> Option<u32> {
        match self {
            Self::Raw { request, .. } => Some(number_of(*request)),
            Self::Call { number, .. } => Some(*number),
            Self::Notification { .. } | Self::GiveUp { .. } | Self::Errand(_) => None,
        }
    }
}

/// See the module's documentation.
#[derive(Default)]
pub(super) struct Queue {
    /// The driving thread begins what waits.
    is_driven: bool,
    /// The plugin may run on that thread.
    is_lent: bool,
    waiting: VecDeque<Beginning>,
    spare: Vec<Vec<u8>>,
    /// The call that the driving thread, or one that was relieved, has in hand.
    in_hand: Option<u32>,
}

impl Queue {
    #[inline]
    pub(super) fn takes(&self) -> bool {
        self.is_driven && self.is_lent && self.waiting.len() < WAITING_MAX
    }

    pub(super) fn set_lent(&mut self, is_lent: bool) {
        self.is_lent = is_lent;
    }

    #[inline]
    pub(super) fn has_work(&self) -> bool {
        !self.waiting.is_empty()
    }

    pub(super) fn push(&mut self, beginning: Beginning) {
        self.waiting.push_back(beginning);
    }

    #[inline]
    pub(super) fn raw(&mut self, request: u64, call: &RawCall<'_>) {
        let mut payload = self.spare.pop().unwrap_or_default();
        payload.extend_from_slice(call.payload);
        let RawCall { place, deadline_ms, .. } = *call;
        self.waiting.push_back(Beginning::Raw { request, place, deadline_ms, payload });
    }

    #[inline]
    fn keep(&mut self, mut payload: Vec<u8>) {
        if self.spare.len() < SPARE_MAX && payload.capacity() <= SPARE_BYTES_MAX {
            payload.clear();
            self.spare.push(payload);
        }
    }

    /// Whether this call is still to be begun.
    pub(super) fn holds(&self, number: u32) -> bool {
        self.waiting.iter().any(|waits| waits.number() == Some(number))
    }

    /// What is done with the call in hand is not wanted any more. False: another one is in hand.
    pub(super) fn give_up(&mut self, number: u32) -> bool {
        self.in_hand.take_if(|in_hand| *in_hand == number).is_some()
    }

    pub(super) fn clear(&mut self) {
        self.waiting.clear();
        self.in_hand = None;
    }
}

/// What became of a call that was polled once.
pub(super) enum Begun {
    Answered(Result<Response, CallError>),
    Waits(DetachedCall),
    /// The plugin is away, and still needs the payload.
    Again,
}

/// Begins a call whose payload is borrowed.
#[inline]
pub(super) fn raw(entry: &Entry, call: &RawCall<'_>) -> Begun {
    let mut future = entry.call_raw(call.payload);
    if call.deadline_ms > 0 {
        future = future.timeout(Duration::from_millis(call.deadline_ms.into()));
    }
    // The session polls it again with a waker of its own.
    match Pin::new(&mut future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(result) => Begun::Answered(result),
        Poll::Pending => future.detach().map_or(Begun::Again, Begun::Waits),
    }
}

impl Worker {
    /// Goes on with a call that was begun.
    #[inline]
    pub(super) fn begun(
        &mut self,
        locked: &mut Locked<'_>,
        request: u64,
        call: &RawCall<'_>,
        begun: Begun,
    ) -> Option<Response> {
        let to = To::Request(request);
        match begun {
            Begun::Answered(result) => {
                self.answer_with(locked, to, &result);
                return result.ok().filter(|response| response.body.is_owned());
            }
            Begun::Waits(call) => {
                self.go_on(locked, number_of(request), Answered { future: Box::pin(call), to });
            }
            Begun::Again => {
                let entry = EntryRef::Place(call.place);
                let request = Request::new(Bytes::copy_from_slice(call.payload));
                let RawCall { deadline_ms, .. } = *call;
                self.call(locked, to, Call { entry, deadline_ms, shape: 0, request });
            }
        }
        None
    }

    /// The driving thread begins what comes, or it does not any more: then what waits is begun here.
    pub(super) fn set_driven(&mut self, locked: &mut Locked<'_>, is_driven: bool) {
        self.queue.is_driven = is_driven;
        if is_driven {
            return;
        }
        for beginning in std::mem::take(&mut self.queue.waiting) {
            let Some(beginning) = self.done_at_once(locked, beginning) else { continue };
            match beginning {
                Beginning::Raw { request, place, deadline_ms, payload } => {
                    self.call_raw(
                        locked,
                        request,
                        RawCall { place, deadline_ms, payload: &payload },
                    );
                }
                Beginning::Call { number, call, .. } => self.go_on(locked, number, call),
                Beginning::Notification { entry, payload } => {
                    self.notified(entry.notify(&payload).is_ok());
                }
                Beginning::GiveUp { .. } | Beginning::Errand(_) => {}
            }
        }
    }

    /// Does what is no code of the plugin's; returns what is.
    #[inline]
    fn done_at_once(&mut self, locked: &mut Locked<'_>, what: Beginning) -> Option<Beginning> {
        match what {
            Beginning::GiveUp { number, request } => self.give_up(locked, number, request),
            // The main thread has gone: the worker ends.
            Beginning::Errand(errand) => _ = self.errands.send(errand),
            code => return Some(code),
        }
        None
    }
}

/// What the driving thread has in hand.
#[derive(Default)]
pub(super) struct Begins {
    entries: Arc<[Entry]>,
    what: Option<Beginning>,
    became: Option<Became>,
    /// An answer whose drop is the plugin's code.
    owned: Option<Response>,
}

enum Became {
    UnknownEntry,
    Raw(Begun),
    Call(Poll<Result<Response, CallError>>),
    Notified(bool),
}

impl Work<Worker> for Begins {
    #[inline]
    fn take(&mut self, worker: &mut Worker, locked: &mut Locked<'_>) -> bool {
        let what = loop {
            let Some(next) = worker.queue.waiting.pop_front() else { return self.owned.is_some() };
            if let Some(code) = worker.done_at_once(locked, next) {
                break code;
            }
        };
        worker.queue.in_hand = what.number();
        self.what = Some(what);
        if !Arc::ptr_eq(&self.entries, &worker.entries) {
            self.entries = worker.entries.clone();
        }
        true
    }

    #[inline]
    fn run(&mut self) {
        self.owned = None;
        let Some(what) = &mut self.what else { return };
        self.became = Some(match what {
            Beginning::Raw { place, deadline_ms, payload, .. } => {
                let call = RawCall { place: *place, deadline_ms: *deadline_ms, payload };
                match self.entries.get(*place as usize) {
                    Some(entry) => Became::Raw(raw(entry, &call)),
                    None => Became::UnknownEntry,
                }
            }
            Beginning::Call { call, waker, .. } => {
                Became::Call(call.future.as_mut().poll(&mut Context::from_waker(waker)))
            }
            Beginning::Notification { entry, payload } => {
                Became::Notified(entry.notify(payload).is_ok())
            }
            // Not taken.
            Beginning::GiveUp { .. } | Beginning::Errand(_) => return,
        });
    }

    #[inline]
    fn finish(&mut self, worker: &mut Worker, locked: &mut Locked<'_>) {
        let (Some(what), Some(became)) = (self.what.take(), self.became.take()) else { return };
        // A call that was given up meanwhile has been answered.
        let is_wanted = worker.queue.in_hand.take() == what.number();
        lend_nothing(|| match (what, became) {
            (Beginning::Notification { .. }, Became::Notified(is_taken)) => {
                worker.notified(is_taken)
            }
            _ if !is_wanted => {}
            (Beginning::Raw { request, place, deadline_ms, payload }, Became::Raw(begun)) => {
                let call = RawCall { place, deadline_ms, payload: &payload };
                self.owned = worker.begun(locked, request, &call, begun);
                worker.queue.keep(payload);
            }
            (Beginning::Raw { request, .. }, _) => {
                worker.answer(locked, To::Request(request), reply::UNKNOWN_ENTRY, [&[], &[]]);
            }
            (Beginning::Call { call, .. }, Became::Call(Poll::Ready(result))) => {
                worker.answer_with(locked, call.to, &result);
                self.owned = result.ok().filter(|response| response.body.is_owned());
            }
            // Of a thread that was relieved: its wake may have been seen already.
            (Beginning::Call { number, call, .. }, _) if !worker.queue.is_driven => {
                worker.go_on(locked, number, call);
            }
            (Beginning::Call { number, call, .. }, _) => _ = worker.calls.insert(number, call),
            (
                Beginning::Notification { .. } | Beginning::GiveUp { .. } | Beginning::Errand(_),
                _,
            ) => {}
        });
    }
}
