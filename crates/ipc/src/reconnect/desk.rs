// SPDX-License-Identifier: BSD-3-Clause
//! Elements for a select: a local channel that outlives connections.
//!
//! ```text
//!   the stream's inbox ──line──┐
//!          ▲                   ├──► offer ──► outlet, a rendezvous channel ──► a select
//!          │      left ────────┘      │
//!          │        ▲                 │ nobody wants it any more
//!          └────────┴─────────────────┘
//! ```
//!
//! Left is what had come on connections that have ended: the server has given it away. The keeper is
//! the engine: as long as there are wants, it stands in the inbox's line whenever nothing is offered,
//! by which the server is asked for one element.
//!
//! # Invariants
//!
//! 1. What is offered, and what a receive on the outlet gave back, is older than what is left, and
//!    that is older than what lies in the inbox. Each is received in this order.
//! 2. Without wants nothing is offered and nobody stands in the inbox's line: whoever dropped the
//!    last one has put it back, before the drop returned.
//! 3. Into an inbox goes back at most one element, and only of its own stream's: it counts those that
//!    lie in it. Others go to what is left.
//! 4. The lock is taken before a connection's, by the engine alone; nobody is woken under it but
//!    those who wait at the outlet or in the inbox's line.

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

use super::later::Later;
use crate::connection::Ended;
use crate::element::Element;
use crate::error::RecvError;
use crate::remote::receiver::RemoteReceiver;

pub(super) struct Desk {
    state: Mutex<State>,
    later: Arc<Later>,
}

struct State {
    left: VecDeque<Element>,
    /// Cancelled when nothing of it is left.
    none_left: Token,
    /// Live wants of this outlet.
    wants: usize,
    offer: SendSink<'static, Element>,
    outlet: Receiver<Element>,
    is_offered: bool,
    /// What is offered, or was given back at the outlet, came by the stream that there is.
    is_of_stream: bool,
    /// A place in the line at the stream's inbox, while there is a stream.
    line: Option<RecvStream<'static, Element>>,
    is_in_line: bool,
    /// Somebody has come into that line or left it, or an element went back: the stream is to ask for
    /// as much as is wanted.
    is_unsettled: bool,
    /// The stream's channel is closed and drained, and so is the outlet.
    is_ended: bool,
    /// There will be no stream any more, and what is left stands in the outlet.
    is_over: bool,
    engine: Option<Waker>,
}

impl Default for Desk {
    fn default() -> Self {
        let (offer, outlet) = outlet();
        let state = State {
            left: VecDeque::new(),
            none_left: Token::new(),
            wants: 0,
            offer,
            outlet,
            is_offered: false,
            is_of_stream: true,
            line: None,
            is_in_line: false,
            is_unsettled: false,
            is_ended: false,
            is_over: false,
            engine: None,
        };
        Self { state: Mutex::new(state), later: Arc::default() }
    }
}

fn outlet() -> (SendSink<'static, Element>, Receiver<Element>) {
    let (sender, receiver) = rendezvous();
    (sender.into_sink(), receiver)
}

/// What there is next for the outlet.
enum Next {
    Left,
    Received,
    Nothing,
    /// The inbox is closed and drained.
    End,
}

/// What was taken from the desk.
pub(super) struct Taken {
    pub(super) element: Option<Element>,
    /// There are wants: the engine is to [resume](Desk::resume), once the caller has looked into the
    /// inbox.
    pub(super) is_wanted: bool,
}

impl Desk {
    /// The oldest that there is here.
    pub(super) fn take(&self) -> Taken {
        let (taken, none_left) = {
            let mut state = self.state.lock();
            let element = state.take();
            let none_left = state.none_left();
            (Taken { element, is_wanted: state.wants > 0 }, none_left)
        };
        if let Some(none_left) = none_left {
            none_left.cancel();
        }
        taken
    }

    /// Wakes the engine.
    pub(super) fn resume(&self) {
        let engine = self.state.lock().engine.clone();
        if let Some(engine) = engine {
            engine.wake();
        }
    }

    /// One more wants an element, at this outlet.
    pub(super) fn want(&self) -> Receiver<Element> {
        let outlet = {
            let mut state = self.state.lock();
            if state.outlet.is_closed() && !state.is_ended && !state.is_over {
                // By whoever had it.
                state.renew();
            }
            state.wants += 1;
            state.outlet.clone()
        };
        self.resume();
        outlet
    }

    /// One fewer. True: there is something left that was not before.
    pub(super) fn unwant(&self, outlet: &Receiver<Element>) -> bool {
        let is_more_left = {
            let mut state = self.state.lock();
            if !outlet.same_channel(&state.outlet) {
                return false;
            }
            state.wants = state.wants.saturating_sub(1);
            state.wants == 0 && state.put_back()
        };
        self.resume();
        is_more_left
    }

    /// There is a stream.
    pub(super) fn open(&self, remote: &RemoteReceiver) {
        let mut state = self.state.lock();
        state.line = Some(remote.inbox().clone().into_stream());
        state.is_in_line = false;
        state.is_ended = false;
        if state.outlet.is_closed() {
            state.renew();
        }
    }

    /// The stream's connection has ended. What had come is left; until then there is nothing to
    /// open the channel for. `None`: nothing is left.
    pub(super) fn lost(&self, remote: &RemoteReceiver) -> Option<Token> {
        {
            let mut state = self.state.lock();
            // What it was handed in the line goes back into the inbox.
            state.line = None;
            state.is_of_stream = false;
        }
        let came: Vec<_> = std::iter::from_fn(|| remote.try_recv().ok()).collect();
        let mut state = self.state.lock();
        state.left.extend(came);
        state.none_left = Token::new();
        (!state.left.is_empty()).then(|| state.none_left.clone())
    }

    /// There will be no other. What is here can still be received.
    pub(super) fn never(&self, ended: &Ended) {
        let mut state = self.state.lock();
        state.line = None;
        let mut elements = state.take_outlet();
        elements.extend(state.left.drain(..));
        for element in elements.into_iter().rev() {
            state.outlet.put_back(element);
        }
        state.is_over = true;
        state.engine = None;
        state.outlet.close_with(ended.to_string());
    }

    /// Brings elements to who wants them, from a stream if there is one. Never ready.
    pub(super) async fn serve(&self, remote: Option<&RemoteReceiver>) {
        poll_fn(|context| {
            let waker = self.later.of(context.waker());
            self.state.lock().engine = Some(context.waker().clone());
            self.turn(remote, &mut Context::from_waker(&waker));
            Poll::Pending
        })
        .await
    }

    fn turn(&self, remote: Option<&RemoteReceiver>, context: &mut Context<'_>) {
        loop {
            let (next, is_unsettled, none_left) = {
                let mut state = self.state.lock();
                let next = state.next(context);
                (next, std::mem::take(&mut state.is_unsettled), state.none_left())
            };
            if let Some(none_left) = none_left {
                none_left.cancel();
            }
            if let Some(remote) = remote {
                if let Next::Received = next {
                    remote.took();
                }
                if is_unsettled {
                    remote.settle();
                }
            }
            let is_more = match (next, remote) {
                (Next::Left | Next::Received, _) => true,
                (Next::End, Some(remote)) => self.end(remote),
                // It may have come while the stream asked for it, by this very call.
                (Next::Nothing, _) => is_unsettled,
                (Next::End, None) => false,
            };
            if !is_more {
                return;
            }
        }
    }

    /// The inbox was found closed and drained. True: it was not, after all.
    fn end(&self, remote: &RemoteReceiver) -> bool {
        let found = remote.try_recv();
        let mut state = self.state.lock();
        state.is_ended = matches!(found, Err(RecvError::Closed { .. }));
        match found {
            Ok(element) => {
                state.line = None;
                state.left.push_back(element);
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
            // The connection has ended: whoever selects waits for the next.
            Err(_) => false,
        }
    }
}

impl State {
    /// Whom to tell that nothing is left.
    fn none_left(&self) -> Option<Token> {
        let is_news = self.left.is_empty() && !self.none_left.is_cancelled();
        is_news.then(|| self.none_left.clone())
    }

    /// Everything from the outlet, the oldest first.
    fn take_outlet(&mut self) -> Vec<Element> {
        let offered = if self.is_offered { self.offer.take_back() } else { None };
        self.is_offered = false;
        let mut elements = Vec::new();
        // Given back by receives that were dropped: nobody else sends there.
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
        self.left.pop_front()
    }

    /// Leaves the inbox's line. What was handed over there goes back.
    fn leave(&mut self) {
        if let Some(line) = self.line.as_mut().filter(|_| self.is_in_line) {
            line.leave();
            (self.is_in_line, self.is_unsettled) = (false, true);
        }
    }

    /// Nobody wants anything any more. True: it went to what is left.
    fn put_back(&mut self) -> bool {
        if self.is_over {
            return false;
        }
        self.leave();
        let mut elements = self.take_outlet();
        if elements.len() == 1
            && self.is_of_stream
            && let Some(line) = &self.line
            && let Some(element) = elements.pop()
        {
            line.receiver().put_back(element);
            self.is_unsettled = true;
        }
        self.push_front(elements)
    }

    /// Another outlet. The wants of the one before want nothing any more.
    fn renew(&mut self) {
        let elements = self.take_outlet();
        self.push_front(elements);
        (self.offer, self.outlet) = outlet();
        self.wants = 0;
    }

    /// Older than what is left. True: there are some.
    fn push_front(&mut self, elements: Vec<Element>) -> bool {
        let are_some = !elements.is_empty();
        for element in elements.into_iter().rev() {
            self.left.push_front(element);
        }
        are_some
    }

    /// Offers the next element if there is one, and somebody wants it.
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
        let (element, next) = match self.left.pop_front() {
            Some(element) => (element, Next::Left),
            None => {
                let Some(line) = &mut self.line else { return Next::Nothing };
                match Pin::new(line).poll_next(context) {
                    Poll::Ready(Some(element)) => (element, Next::Received),
                    Poll::Ready(None) => return Next::End,
                    Poll::Pending => {
                        self.is_unsettled |= !std::mem::replace(&mut self.is_in_line, true);
                        return Next::Nothing;
                    }
                }
            }
        };
        self.is_in_line = false;
        let is_received = matches!(next, Next::Received);
        self.is_of_stream = is_received && (self.is_of_stream || self.outlet.is_empty());
        match Pin::new(&mut self.offer).start_send(element) {
            Ok(()) => self.is_offered = true,
            Err(refused) => self.refused(refused),
        }
        next
    }

    /// Somebody has closed the outlet: the next want has another.
    fn refused(&mut self, refused: TrySendError<Element>) {
        self.left.push_front(refused.into_inner());
        self.renew();
    }
}

/// A wish for one element at a time, for as long as this lives, over all connections. See
/// [`ReconnectingReceiver::want`](super::ReconnectingReceiver::want).
#[must_use = "nothing is wanted any more when it is dropped"]
pub struct ReconnectingWant<'a> {
    streams: &'a super::receiver::Streams,
    outlet: Receiver<Element>,
}

impl<'a> ReconnectingWant<'a> {
    pub(super) fn new(streams: &'a super::receiver::Streams) -> Self {
        Self { streams, outlet: streams.desk.want() }
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
