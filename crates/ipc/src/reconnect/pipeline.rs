// SPDX-License-Identifier: BSD-3-Clause
//! Elements that are pipelined over reconnecting connections, and their outcomes.
//!
//! ```text
//!   a select ──► intake ──► held ──► the current stream ──► answered, or unknown if its connection ends
//!                             │
//!                             └─ its connection has ended before it was transmitted: refused
//! ```
//!
//! The reconnect task drives it: while there is a stream it receives one element at a time from the
//! intake and sends it, behind the sends that waited before. Nothing is sent twice.
//!
//! # Invariants
//!
//! 1. Without a stream nothing is received from the intake, and nothing is held.
//! 2. `streams` has the current stream, and earlier ones with sends whose outcomes were not polled
//!    yet: those are counted when they are polled, once.
//! 3. The lock is taken before a connection's, only by the reconnect task; a flush takes them one
//!    after the other.

use std::sync::Arc;
use std::task::{Poll, Waker};

use parking_lot::Mutex;

use super::deferred_waker::DeferredWaker;
use super::intake::{Intake, add};
use crate::client::sending::{Outcome, Posted, Stage};
use crate::client::state::Over;
use crate::connection::Ended;
use crate::element::Element;
use crate::remote::sender::RemoteSender;

#[derive(Default)]
pub(super) struct Pipeline {
    state: Mutex<State>,
    deferred: Arc<DeferredWaker>,
}

#[derive(Default)]
struct State {
    /// Created when it is first requested.
    intake: Option<Intake>,
    held: Option<HeldElement>,
    streams: Vec<Arc<RemoteSender>>,
    /// The outcomes of sends that are in none of the streams.
    past: Posted,
    /// There will be no further stream.
    never: Option<Arc<str>>,
    task: Option<Waker>,
    /// Flushes that wait until nothing is held.
    flushing: Vec<Waker>,
}

struct HeldElement {
    element: Element,
    stage: Stage,
}

impl Pipeline {
    pub(super) fn sender(&self) -> becket_chan::Sender<Element> {
        let (sender, task) = {
            let mut state = self.state.lock();
            let State { intake, never, .. } = &mut *state;
            let intake = intake.get_or_insert_with(|| match never {
                Some(reason) => Intake::closed(reason),
                None => Intake::new(),
            });
            (intake.sender().clone(), state.task.clone())
        };
        if let Some(task) = task {
            task.wake();
        }
        sender
    }

    /// A stream is open.
    pub(super) fn open(&self, remote: &Arc<RemoteSender>) {
        let mut state = self.state.lock();
        if state.intake.as_ref().is_some_and(|intake| intake.sender().is_closed()) {
            state.intake = None;
        }
        state.streams.push(remote.clone());
    }

    /// Sends elements of the intake. Ready when the stream has ended.
    pub(super) fn pump(&self, remote: &RemoteSender, waker: &Waker) -> Poll<()> {
        let at_intake = self.deferred.of(waker);
        let (polled, flushed) = {
            let mut state = self.state.lock();
            state.task = Some(waker.clone());
            let polled = state.pump(remote, waker, &at_intake);
            (polled, state.flushed())
        };
        flushed.into_iter().for_each(Waker::wake);
        polled
    }

    /// The stream's connection has ended.
    pub(super) fn lost(&self) {
        let flushed = {
            let mut state = self.state.lock();
            state.refuse_held();
            state.forget_streams();
            state.flushed()
        };
        flushed.into_iter().for_each(Waker::wake);
    }

    /// There will be no further connection.
    pub(super) fn never(&self, ended: &Ended) {
        let flushed = {
            let mut state = self.state.lock();
            let reason: Arc<str> = ended.to_string().into();
            state.refuse_held();
            if let Some(intake) = &mut state.intake {
                intake.close(Some(reason.clone()));
            }
            state.never = Some(reason);
            state.task = None;
            state.flushed()
        };
        flushed.into_iter().for_each(Waker::wake);
    }

    /// Ready when everything that was sent has been answered, or its connection has ended.
    pub(super) fn poll_flush(&self, waker: &Waker) -> Poll<Posted> {
        let (streams, past, task) = {
            let mut state = self.state.lock();
            let is_handed = state.take_handed(&self.deferred);
            if state.held.is_some() && !state.flushing.iter().any(|other| other.will_wake(waker)) {
                state.flushing.push(waker.clone());
            }
            let task = if is_handed { state.task.clone() } else { None };
            if state.held.is_some() && task.is_none() {
                return Poll::Pending;
            }
            (state.streams.clone(), state.past, task)
        };
        if let Some(task) = task {
            // The task sends the held element, and wakes.
            task.wake();
            return Poll::Pending;
        }
        let mut sum = past;
        for remote in streams {
            let (connection, stream) = remote.stream();
            let answered = connection.with(|side, _| match side.sending(stream) {
                Some(sending) => sending.poll_flush(waker),
                None => Poll::Ready(Posted::default()),
            });
            match answered {
                Poll::Ready(posted) => add(&mut sum, posted),
                Poll::Pending => return Poll::Pending,
            }
        }
        Poll::Ready(sum)
    }
}

impl State {
    fn pump(&mut self, remote: &RemoteSender, waker: &Waker, at_intake: &Waker) -> Poll<()> {
        let (connection, stream) = remote.stream();
        connection.with(|side, at| {
            let Some((sending, blocks)) = side.sending_blocks(stream) else {
                return Poll::Ready(());
            };
            loop {
                if let Some(held) = &mut self.held {
                    let HeldElement { element, stage } = held;
                    let polled = sending.poll((at, blocks), stage, (element, 0), waker);
                    match (polled, *stage) {
                        // From here on the stream counts the outcome.
                        (_, Stage::Sent(number)) => sending.leave(number),
                        (Poll::Pending, _) => return Poll::Pending,
                        (Poll::Ready(Ok(outcome)), _) => self.count(outcome),
                        (Poll::Ready(Err(_)), _) => self.past.refused += 1,
                    }
                    self.held = None;
                }
                match &sending.over {
                    None => {}
                    Some(Over::Ended(_)) => return Poll::Ready(()),
                    Some(Over::Closed(reason)) => return self.closed(reason.clone()),
                    Some(Over::Reset { why, .. }) => return self.closed(Some(why.clone())),
                }
                match self.intake.as_mut().map(|intake| intake.next(at_intake)) {
                    Some(Poll::Ready(Some(element))) => {
                        self.held = Some(HeldElement { element, stage: Stage::New });
                    }
                    // The user closed it: the next call of `ahead` creates another.
                    Some(Poll::Ready(None)) => self.intake = None,
                    Some(Poll::Pending) | None => return Poll::Pending,
                }
            }
        })
    }

    /// The channel is closed. The connection continues.
    fn closed(&mut self, reason: Option<Arc<str>>) -> Poll<()> {
        if let Some(intake) = &mut self.intake
            && intake.close(reason).is_some()
        {
            self.past.refused += 1;
        }
        Poll::Pending
    }

    fn count(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Accepted => self.past.accepted += 1,
            Outcome::Refused(_) | Outcome::NotSent => self.past.refused += 1,
            Outcome::Unknown => self.past.unknown += 1,
        }
    }

    /// Elements that were received and not transmitted count as refused.
    fn refuse_held(&mut self) {
        let handed = self.intake.as_mut().and_then(Intake::leave);
        self.past.refused += u64::from(handed.is_some()) + u64::from(self.held.take().is_some());
    }

    /// True: an element is held that was not before.
    fn take_handed(&mut self, deferred: &Arc<DeferredWaker>) -> bool {
        if self.held.is_some() {
            return false;
        }
        let Some(task) = &self.task else { return false };
        let at_intake = deferred.of(task);
        let handed = self.intake.as_mut().and_then(|intake| intake.handed(&at_intake));
        self.held = handed.map(|element| HeldElement { element, stage: Stage::New });
        self.held.is_some()
    }

    /// Counts and removes streams that have ended and are not used elsewhere.
    fn forget_streams(&mut self) {
        let past = &mut self.past;
        self.streams.retain(|remote| {
            let is_over = Arc::strong_count(remote) == 1;
            if is_over {
                let (connection, stream) = remote.stream();
                let answered = connection.with(|side, _| {
                    side.sending(stream).map(|sending| sending.poll_flush(Waker::noop()))
                });
                if let Some(Poll::Ready(posted)) = answered {
                    add(past, posted);
                }
            }
            !is_over
        });
    }

    /// The flushes to wake when nothing is held.
    fn flushed(&mut self) -> Vec<Waker> {
        if self.held.is_some() { Vec::new() } else { std::mem::take(&mut self.flushing) }
    }
}
