// SPDX-License-Identifier: BSD-3-Clause
//! A client without a connection: the caller passes requests in, and gets the answers.
//!
//! All work is done in dispatches. A session that a request wakes on this thread is dispatched
//! afterwards, so that it never finds a lock that is held further up the stack. A dispatch takes
//! the answers out under the state's lock and passes them on under the dispatch's lock only: so
//! they keep their order, and the callback may end the session.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};

use becket_wire::v1::{Frame, Header};
use parking_lot::Mutex;

use super::Server;
use super::operation::{self, Taken};
use super::state::State;
use super::status::ClientCounters;
use crate::connection::pending_lock::PendingLock;
use crate::connection::waking::{Dispatch, Wakeable, Woken, run_or_enqueue};

/// A client of protocol 1.0, without its connection. See the module `v1`.
pub struct Session {
    /// Held during a dispatch, with a buffer for the numbers of woken slots.
    slots: PendingLock<Vec<u32>>,
    state: Mutex<State>,
    /// Requests that were not dispatched yet: at most one per calling thread.
    requests: Mutex<VecDeque<(u16, Box<[u8]>)>>,
    over: AtomicBool,
    woken: Woken,
    send: Box<dyn Fn(Answer) + Send + Sync>,
}

/// A frame for the client.
#[derive(Debug)]
pub struct Answer {
    /// Its bytes.
    pub frame: Vec<u8>,
    /// The value in it, if it was received from a channel.
    pub value: Option<Value>,
}

/// A value that was received from a channel for a client.
///
/// Dropped before it was delivered, it is requeued at the front of its channel.
#[derive(Debug)]
#[must_use = "dropping it requeues it"]
pub struct Value(Option<Taken>);

impl Value {
    pub(super) fn new(taken: Taken) -> Self {
        Self(Some(taken))
    }

    /// Requeues values, of which the oldest comes first, so that each channel keeps this order.
    pub fn requeue(values: impl IntoIterator<Item = Self>) {
        operation::put_back(values.into_iter().filter_map(|mut value| value.0.take()).collect());
    }

    /// Marks it as delivered: the client has it.
    pub fn delivered(mut self) {
        self.0 = None;
    }
}

impl Drop for Value {
    fn drop(&mut self) {
        if let Some(taken) = self.0.take() {
            taken.put_back();
        }
    }
}

impl Session {
    /// A client that has sent `HELLO`. `send` is called with each answer, on the thread that
    /// produces it, one after the other; it must not wait.
    #[must_use]
    pub fn new(server: &Arc<Server>, send: impl Fn(Answer) + Send + Sync + 'static) -> Arc<Self> {
        Arc::new_cyclic(|me: &Weak<Self>| {
            let mut state = State::new(server.clone(), me.clone(), Arc::new(ClientCounters::new()));
            state.is_greeted = true;
            Self {
                slots: PendingLock::default(),
                state: Mutex::new(state),
                requests: Mutex::default(),
                over: AtomicBool::new(false),
                woken: Woken::default(),
                send: Box::new(send),
            }
        })
    }

    /// Handles a request. An answer that needs no waiting is produced before this returns, unless
    /// another thread is dispatching: that thread then produces it.
    pub fn request(self: &Arc<Self>, command: u16, payload: &[u8]) {
        self.requests.lock().push_back((command, payload.into()));
        run_or_enqueue(self.clone());
    }

    /// Ends the session. Waiting operations are cancelled, unclaimed values are requeued. Answers
    /// that were passed on belong to the callback.
    pub fn end(self: &Arc<Self>) {
        self.over.store(true, Ordering::Release);
        run_or_enqueue(self.clone());
    }

    /// Does the pending work on the state; returns the answers.
    fn advance(&self, slots: &mut Vec<u32>) -> Vec<(Vec<u8>, Option<Value>)> {
        self.woken.take(slots);
        let mut state = self.state.lock();
        if self.over.load(Ordering::Acquire) {
            slots.clear();
            self.requests.lock().clear();
            state.end(false);
            return Vec::new();
        }
        for slot in slots.drain(..) {
            state.woken(slot);
        }
        loop {
            let Some((command, payload)) = self.requests.lock().pop_front() else { break };
            // A payload too long for a header is treated as an incomplete frame.
            let length = u32::try_from(payload.len()).unwrap_or(0);
            // There is no connection that could be ended.
            let _ = state.frame(&Frame { header: Header::new(command, length), payload: &payload });
        }
        let answers = state.outgoing.take_all();
        state.count_answers(answers.len() as u64);
        answers
    }
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").field("over", &self.over).finish_non_exhaustive()
    }
}

impl Wakeable for Session {
    fn woken(&self) -> &Woken {
        &self.woken
    }
}

impl Dispatch for Session {
    fn run(self: Arc<Self>) {
        loop {
            // The holder of the lock checks the pending flag when it unlocks.
            let Some(mut slots) = self.slots.enter() else { return };
            for (frame, value) in self.advance(&mut slots) {
                (self.send)(Answer { frame, value });
            }
            drop(slots);
            if !self.slots.is_pending() {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use becket_chan::{Kind, unlimited};
    use becket_wire::v1::{Body, Command, Reply, Request, decode};

    use super::super::Limits;
    use super::*;
    use crate::channels::{Channels, Wanted};

    fn request(session: &Arc<Session>, request: &Request<'_>) {
        let mut bytes = Vec::new();
        request.encode(None, &mut bytes).unwrap();
        let (frame, _) = decode(&bytes, 1 << 17).unwrap().unwrap();
        session.request(frame.header.command, frame.payload);
    }

    #[test]
    fn a_value_that_is_not_delivered_goes_back() {
        let channels = Arc::new(Channels::new(9));
        let wanted = Wanted { kind: Kind::Bounded, capacity: 4, element_bytes: Some(1) };
        let chan = channels.make(None, wanted).unwrap();
        let server = Server::new(channels, Limits::default());
        let (tx, rx) = unlimited();
        let session = Session::new(&server, move |answer| tx.try_send(answer).unwrap());
        let recv = Request::ChanRecv { chan: chan.id(), timeout: None };
        request(&session, &recv);
        assert!(rx.try_recv().is_err());
        // The waiting receive gets it, on this thread.
        chan.sender().unwrap().try_send("a".into()).unwrap();
        let answer = rx.try_recv().unwrap();
        let (frame, _) = decode(&answer.frame, 1 << 17).unwrap().unwrap();
        let reply = Reply::parse(frame.header.command, frame.payload).unwrap();
        assert_eq!((reply.command, reply.body), (Command::ChanRecv, Body::Element(b"a")));
        drop(answer);
        request(&session, &recv);
        rx.try_recv().unwrap().value.unwrap().delivered();
        assert_eq!(chan.receiver().unwrap().len(), 0);
        // After the end nothing is received any more.
        request(&session, &recv);
        session.end();
        chan.sender().unwrap().try_send("b".into()).unwrap();
        request(&session, &recv);
        assert!(rx.try_recv().is_err());
        assert_eq!(chan.receiver().unwrap().try_recv().unwrap().as_slice(), b"b");
    }
}
