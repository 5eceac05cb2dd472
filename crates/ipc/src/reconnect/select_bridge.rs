// SPDX-License-Identifier: BSD-3-Clause
//! Elements for a select: a local channel that outlives connections.
//!
//! ```text
//!   the stream's inbox ────────┐
//!          ▲                   ├──► offer ──► outlet, a rendezvous channel ──► a select
//!          │  leftover ────────┘      │
//!          │        ▲                 │ no longer wanted
//!          └────────┴─────────────────┘
//! ```
//!
//! Leftover elements arrived on connections that have ended: the server has handed them over. The
//! reconnect task drives the bridge: as long as there are wants, it waits at the inbox whenever
//! nothing is offered, which makes the stream request one element from the server.
//!
//! # Invariants
//!
//! 1. The offered element, and elements requeued by receives on the outlet, are older than leftover
//!    ones, and those are older than the inbox's. Elements are received in this order.
//! 2. Without wants nothing is offered and the bridge does not wait at the inbox: the drop of the
//!    last want has requeued everything before it returned.
//! 3. At most one element is requeued into an inbox, and only one of its own stream: the inbox
//!    counts its elements. Others become leftover.
//! 4. The lock is taken before a connection's, only by the reconnect task; under it only waiters at
//!    the outlet and at the inbox are woken.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::ops::Deref;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use becket_chan::{Receiver, RecvStream, SendSink, Token, TrySendError, rendezvous};
use futures_core::Stream as _;
use futures_sink::Sink as _;
use parking_lot::Mutex;

use super::deferred_waker::DeferredWaker;
use crate::connection::Ended;
use crate::element::Element;
use crate::error::RecvError;
use crate::remote::receiver::RemoteReceiver;

pub(super) struct SelectBridge {
    state: Mutex<State>,
    deferred: Arc<DeferredWaker>,
}

struct State {
    leftover: VecDeque<Element>,
    /// Cancelled when nothing is left over.
    none_leftover: Token,
    /// Live wants of this outlet.
    wants: usize,
    offer: SendSink<'static, Element>,
    outlet: Receiver<Element>,
    is_offered: bool,
    /// The offered element, or one requeued at the outlet, came from the current stream.
    is_of_stream: bool,
    /// The receiving end at the stream's inbox, while there is a stream.
    inbox: Option<RecvStream<'static, Element>>,
    is_waiting: bool,
    /// The bridge began or stopped to wait at the inbox, or an element was requeued: the stream has
    /// to adjust its credit.
    needs_rebalance: bool,
    /// The stream's channel is closed and drained, and so is the outlet.
    is_ended: bool,
    /// There will be no further stream, and leftover elements were moved to the outlet.
    is_over: bool,
    task: Option<Waker>,
}

impl Default for SelectBridge {
    fn default() -> Self {
        let (offer, outlet) = outlet();
        let state = State {
            leftover: VecDeque::new(),
            none_leftover: Token::new(),
            wants: 0,
            offer,
            outlet,
            is_offered: false,
            is_of_stream: true,
            inbox: None,
            is_waiting: false,
            needs_rebalance: false,
            is_ended: false,
            is_over: false,
            task: None,
        };
        Self { state: Mutex::new(state), deferred: Arc::default() }
    }
}

fn outlet() -> (SendSink<'static, Element>, Receiver<Element>) {
    let (sender, receiver) = rendezvous();
    (sender.into_sink(), receiver)
}

/// The next element for the outlet.
enum Next {
    Leftover,
    Received,
    Nothing,
    /// The inbox is closed and drained.
    End,
}

/// An element taken from the bridge.
pub(super) struct Taken {
    pub(super) element: Option<Element>,
    /// There are wants: the caller has to [resume](SelectBridge::resume) the reconnect task after
    /// it has checked the inbox.
    pub(super) is_wanted: bool,
}

impl SelectBridge {
    /// Takes the oldest element.
    pub(super) fn take(&self) -> Taken {
        let (taken, none_leftover) = {
            let mut state = self.state.lock();
            let element = state.take();
            let none_leftover = state.none_leftover();
            (Taken { element, is_wanted: state.wants > 0 }, none_leftover)
        };
        if let Some(none_leftover) = none_leftover {
            none_leftover.cancel();
        }
        taken
    }

    /// Wakes the reconnect task.
    pub(super) fn resume(&self) {
        let task = self.state.lock().task.clone();
        if let Some(task) = task {
            task.wake();
        }
    }

    /// Adds a want; returns the outlet.
    pub(super) fn want(&self) -> Receiver<Element> {
        let outlet = {
            let mut state = self.state.lock();
            if state.outlet.is_closed() && !state.is_ended && !state.is_over {
                // Closed by its user.
                state.renew();
            }
            state.wants += 1;
            state.outlet.clone()
        };
        self.resume();
        outlet
    }

    /// Removes a want. True: an element became leftover.
    pub(super) fn unwant(&self, outlet: &Receiver<Element>) -> bool {
        let is_leftover = {
            let mut state = self.state.lock();
            if !outlet.same_channel(&state.outlet) {
                return false;
            }
            state.wants = state.wants.saturating_sub(1);
            state.wants == 0 && state.put_back()
        };
        self.resume();
        is_leftover
    }

    /// A stream is open.
    pub(super) fn open(&self, remote: &RemoteReceiver) {
        let mut state = self.state.lock();
        state.inbox = Some(remote.inbox().clone().into_stream());
        state.is_waiting = false;
        state.is_ended = false;
        if state.outlet.is_closed() {
            state.renew();
        }
    }

    /// The stream's connection has ended. Elements that had arrived become leftover; the channel is
    /// not opened again until they have been received. `None`: nothing is left over.
    pub(super) fn lost(&self, remote: &RemoteReceiver) -> Option<Token> {
        {
            let mut state = self.state.lock();
            // An element passed to it while it waited is requeued into the inbox.
            state.inbox = None;
            state.is_of_stream = false;
        }
        let came: Vec<_> = std::iter::from_fn(|| remote.try_recv().ok()).collect();
        let mut state = self.state.lock();
        state.leftover.extend(came);
        state.none_leftover = Token::new();
        (!state.leftover.is_empty()).then(|| state.none_leftover.clone())
    }

    /// There will be no further connection. Elements in the bridge can still be received.
    pub(super) fn never(&self, ended: &Ended) {
        let mut state = self.state.lock();
        state.inbox = None;
        let mut elements = state.take_outlet();
        elements.extend(state.leftover.drain(..));
        for element in elements.into_iter().rev() {
            state.outlet.put_back(element);
        }
        state.is_over = true;
        state.task = None;
        state.outlet.close_with(ended.to_string());
    }

    /// Offers elements to wants, from a stream if there is one. Never ready.
    pub(super) async fn serve(&self, remote: Option<&RemoteReceiver>) {
        poll_fn(|context| {
            let waker = self.deferred.of(context.waker());
            self.state.lock().task = Some(context.waker().clone());
            self.dispatch(remote, &mut Context::from_waker(&waker));
            Poll::Pending
        })
        .await
    }

    fn dispatch(&self, remote: Option<&RemoteReceiver>, context: &mut Context<'_>) {
        loop {
            let (next, needs_rebalance, none_leftover) = {
                let mut state = self.state.lock();
                let next = state.next(context);
                (next, std::mem::take(&mut state.needs_rebalance), state.none_leftover())
            };
            if let Some(none_leftover) = none_leftover {
                none_leftover.cancel();
            }
            if let Some(remote) = remote {
                if let Next::Received = next {
                    remote.took();
                }
                if needs_rebalance {
                    remote.rebalance();
                }
            }
            let is_more = match (next, remote) {
                (Next::Leftover | Next::Received, _) => true,
                (Next::End, Some(remote)) => self.end(remote),
                // An element may have arrived when the stream requested it, during this call.
                (Next::Nothing, _) => needs_rebalance,
                (Next::End, None) => false,
            };
            if !is_more {
                return;
            }
        }
    }

    /// The inbox was found closed and drained. True: an element was in it after all.
    fn end(&self, remote: &RemoteReceiver) -> bool {
        let found = remote.try_recv();
        let mut state = self.state.lock();
        state.is_ended = matches!(found, Err(RecvError::Closed { .. }));
        match found {
            Ok(element) => {
                state.inbox = None;
                state.leftover.push_back(element);
                true
            }
            Err(RecvError::Closed { reason: Some(reason) }) => {
                state.outlet.close_with(reason);
                false
            }
            Err(RecvError::Closed { reason: None }) => {
                state.outlet.close();
                false
            }
            // The connection has ended: a select waits for the next one.
            Err(_) => false,
        }
    }
}

impl State {
    /// The token to cancel when nothing is left over.
    fn none_leftover(&self) -> Option<Token> {
        let is_news = self.leftover.is_empty() && !self.none_leftover.is_cancelled();
        is_news.then(|| self.none_leftover.clone())
    }

    /// Takes everything from the outlet, the oldest first.
    fn take_outlet(&mut self) -> Vec<Element> {
        let offered = if self.is_offered { self.offer.take_back() } else { None };
        self.is_offered = false;
        let mut elements = Vec::new();
        // Requeued by receives that were dropped: there is no other sender.
        while !self.outlet.is_empty()
            && let Ok(element) = self.outlet.try_recv()
        {
            elements.push(element);
        }
        elements.extend(offered);
        elements
    }

    fn take(&mut self) -> Option<Element> {
        if self.is_over {
            return self.outlet.try_recv().ok();
        }
        if self.wants > 0 {
            let elements = self.take_outlet();
            self.push_front(elements);
            self.leave();
        }
        self.leftover.pop_front()
    }

    /// Stops waiting at the inbox. An element that was passed to it there is requeued.
    fn leave(&mut self) {
        if let Some(inbox) = self.inbox.as_mut().filter(|_| self.is_waiting) {
            inbox.leave();
            (self.is_waiting, self.needs_rebalance) = (false, true);
        }
    }

    /// There are no more wants. True: an element became leftover.
    fn put_back(&mut self) -> bool {
        if self.is_over {
            return false;
        }
        self.leave();
        let mut elements = self.take_outlet();
        if elements.len() == 1
            && self.is_of_stream
            && let Some(inbox) = &self.inbox
            && let Some(element) = elements.pop()
        {
            inbox.receiver().put_back(element);
            self.needs_rebalance = true;
        }
        self.push_front(elements)
    }

    /// Creates another outlet. Wants of the previous one no longer count.
    fn renew(&mut self) {
        let elements = self.take_outlet();
        self.push_front(elements);
        (self.offer, self.outlet) = outlet();
        self.wants = 0;
    }

    /// Adds elements in front of the leftover ones. True: there are some.
    fn push_front(&mut self, elements: Vec<Element>) -> bool {
        let are_some = !elements.is_empty();
        for element in elements.into_iter().rev() {
            self.leftover.push_front(element);
        }
        are_some
    }

    /// Offers the next element, if there is one and a want for it.
    fn next(&mut self, context: &mut Context<'_>) -> Next {
        if self.is_offered
            && let Poll::Ready(taken) = Pin::new(&mut self.offer).poll_ready(context)
        {
            self.is_offered = false;
            if let Err(refused) = taken {
                self.refused(refused);
            }
        }
        if self.is_offered || self.wants == 0 || self.outlet.is_closed() {
            return Next::Nothing;
        }
        let (element, next) = match self.leftover.pop_front() {
            Some(element) => (element, Next::Leftover),
            None => {
                let Some(inbox) = &mut self.inbox else { return Next::Nothing };
                match Pin::new(inbox).poll_next(context) {
                    Poll::Ready(Some(element)) => (element, Next::Received),
                    Poll::Ready(None) => return Next::End,
                    Poll::Pending => {
                        self.needs_rebalance |= !std::mem::replace(&mut self.is_waiting, true);
                        return Next::Nothing;
                    }
                }
            }
        };
        self.is_waiting = false;
        let is_received = matches!(next, Next::Received);
        self.is_of_stream = is_received && (self.is_of_stream || self.outlet.is_empty());
        match Pin::new(&mut self.offer).start_send(element) {
            Ok(()) => self.is_offered = true,
            Err(refused) => self.refused(refused),
        }
        next
    }

    /// The user has closed the outlet: the next want gets another.
    fn refused(&mut self, refused: TrySendError<Element>) {
        self.leftover.push_front(refused.into_inner());
        self.renew();
    }
}

/// A request for one element at a time, for as long as this lives, over all connections. See
/// [`ReconnectingReceiver::want`](super::ReconnectingReceiver::want).
#[must_use = "dropping it ends the request"]
pub struct ReconnectingWant<'a> {
    streams: &'a super::receiver::Streams,
    outlet: Receiver<Element>,
}

impl<'a> ReconnectingWant<'a> {
    pub(super) fn new(streams: &'a super::receiver::Streams) -> Self {
        Self { streams, outlet: streams.bridge.want() }
    }
}

impl Deref for ReconnectingWant<'_> {
    type Target = Receiver<Element>;

    fn deref(&self) -> &Receiver<Element> {
        &self.outlet
    }
}

impl Drop for ReconnectingWant<'_> {
    fn drop(&mut self) {
        self.streams.unwant(&self.outlet);
    }
}

impl std::fmt::Debug for ReconnectingWant<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ReconnectingWant").field("outlet", &self.outlet).finish_non_exhaustive()
    }
}
