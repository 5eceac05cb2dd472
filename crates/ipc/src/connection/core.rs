// SPDX-License-Identifier: BSD-3-Clause
//! What a connection's lock guards, and what whoever holds it does.
//!
//! Invariants 3, 4 and 5 of the [connection](super) are kept here.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use becket_chan::timer::{self, Sleep};
use becket_coro::outside;
use becket_wire::{Event, Session};

use super::claim::Claim;
use super::waking::{Wakeable, Wakes, Woken};
use super::{At, Connection, Ended, OWN, Side};
use crate::blocks::Announcing;
use crate::reactor::Watched;
use crate::shm::{Doorbell, Lookout};
use crate::transport::{Beside, Link, LinkError};

/// Frames that are taken before others have their turn.
const FRAMES_A_TURN: usize = 256;
/// Of turns in which only channels have news, so many look at a link that has to be asked.
const LOOK_EVERY: u32 = 16;
/// Frames that are taken before what they led to is sent.
const FRAMES_AT_ONCE: usize = 64;

/// What the lock guards.
pub(crate) struct Core<S: Side> {
    pub(super) link: Box<dyn Link>,
    pub(super) session: Session,
    pub(super) side: S,
    pub(super) ended: Option<Ended>,
    pub(super) wakes: Wakes,
    pub(super) full: Vec<u32>,
    pub(super) watched: Vec<Watched>,
    pub(super) connection: Weak<dyn Wakeable>,
    pub(super) streams: Vec<u32>,
    pub(super) deadline: Option<Sleep>,
    /// The deadline may have come.
    pub(super) is_due: bool,
    /// Something waits for room, or to be flushed; at the start a client's hello.
    pub(super) is_blocked: bool,
    /// Nothing had come when the link was asked for a wake, and it has given none: nothing has come.
    pub(super) waits: bool,
    /// Turns, of a link at which nobody can look without a system call.
    pub(super) blind_turns: u32,
    /// Something was flushed since frames were taken last.
    pub(super) is_unanswered: bool,
    /// The link is a socket.
    pub(super) flush_is_dear: bool,
    pub(super) own_waker: Waker,
    /// Itself, while nobody else keeps it: a server's connection lives until it has ended.
    pub(super) kept: Option<Arc<Connection<S>>>,
    /// Idle workers look at it.
    pub(super) registered: Option<outside::Registered>,
}

impl<S: Side> Core<S> {
    pub(super) fn act<R>(&mut self, act: impl FnOnce(&mut S, &mut At<'_>) -> R) -> R {
        let Self { link, session, side, wakes, full, connection, .. } = self;
        act(side, &mut At { session, wakes, full, link: Some(&mut **link), connection })
    }

    /// Everything that there is to do. True: it stopped because it was enough for one turn.
    ///
    /// Whoever drives it looks by itself, but must hear of what was taken here.
    pub(super) fn turn(
        &mut self,
        woken: &Woken,
        (doorbell, lookout): (Option<&Doorbell>, Option<&Lookout>),
        claim: &Claim,
    ) -> bool {
        // What was woken and seen to before the link is looked at.
        let mut has_woken = false;
        // The wake that tells of news may take long to come, while other threads have the CPUs.
        let has_news = match lookout {
            Some(lookout) => lookout.has_news(),
            None => {
                self.blind_turns = self.blind_turns.wrapping_add(1);
                self.blind_turns.is_multiple_of(LOOK_EVERY)
            }
        };
        if std::mem::take(&mut self.waits) && !has_news {
            has_woken = true;
            if let Some(later) = self.turn_of_streams(woken) {
                self.waits = true;
                return later;
            }
        }
        let mut left = FRAMES_A_TURN;
        let (mut took, mut later) = (false, false);
        while self.ended.is_none() {
            let taken = self.take();
            took |= taken > 0;
            left = left.saturating_sub(taken);
            let woke = self.serve_woken(woken) || std::mem::take(&mut has_woken);
            if taken == 0 && woke && self.may_send_later() && self.fill() {
                later = true;
                self.keep_time();
            } else if taken > 0 || woke {
                later = false;
                let sent = self.send();
                self.keep_time();
                if sent && !took && claim.is_taken() && self.ended.is_none() {
                    // Whoever drives it looks for what comes; of other news a mark tells.
                    return false;
                }
            } else {
                if self.is_blocked && !later {
                    self.send();
                }
                let is_driven = claim.is_taken();
                if let Some(doorbell) = doorbell.filter(|_| is_driven && took) {
                    doorbell.kick();
                }
                if is_driven || self.ended.is_some() {
                    return later;
                }
                if !self.link.prepare_wait() {
                    self.waits = true;
                    return later;
                }
            }
            if left == 0 {
                return true;
            }
        }
        // What was woken before the end came is not woken again.
        woken.take(&mut self.streams);
        self.streams.clear();
        if let Some(doorbell) = doorbell {
            doorbell.kick();
        }
        false
    }

    /// A turn in which nothing can have come, and only streams have news: the link need be neither
    /// looked at nor asked for a wake again. `None`: there is more to see to.
    #[inline]
    fn turn_of_streams(&mut self, woken: &Woken) -> Option<bool> {
        if self.ended.is_some() {
            return None;
        }
        let woke = self.serve_woken(woken);
        if self.is_due {
            return None;
        }
        let later = woke && self.may_send_later() && self.fill();
        let sent = later || (!woke && !self.is_blocked) || self.send();
        self.keep_time();
        (sent && self.ended.is_none()).then_some(later)
    }

    /// One step of who drives it: false if there was nothing to do.
    pub(super) fn step(&mut self, woken: &Woken) -> bool {
        self.waits = false;
        if self.ended.is_some() {
            return false;
        }
        let taken = self.take();
        let woke = self.serve_woken(woken);
        if taken == 0 && !woke && !self.is_blocked {
            return false;
        }
        let sent = self.send();
        self.keep_time();
        taken > 0 || woke || sent
    }

    /// Takes frames, and does what they ask.
    pub(super) fn take(&mut self) -> usize {
        let Self { link, session, side, wakes, full, connection, .. } = self;
        let mut failed = None;
        let taken = link.take(FRAMES_AT_ONCE, &mut |frame, beside| {
            if failed.is_some() {
                return;
            }
            match session.receive(frame) {
                Ok(Some(event)) => {
                    let closed = match &event {
                        Event::Closed { code, why } => Some(Ended::ByPeer {
                            code: *code,
                            why: String::from_utf8_lossy(why).into(),
                        }),
                        _ => None,
                    };
                    // The session is borrowed by the event's body only while it is looked at.
                    let mut at = At { session, wakes, full, link: None, connection };
                    side.event(&mut at, event, beside);
                    failed = closed.or_else(|| side.blocks().fault());
                }
                Ok(None) => {}
                Err(error) => failed = Some(Ended::Protocol(error.to_string().into())),
            }
        });
        match (failed, taken) {
            (Some(ended), _) => {
                // The session has said why in a frame of its own.
                self.send();
                self.end(ended);
                1
            }
            (None, Ok(taken)) => {
                if taken > 0 {
                    self.is_unanswered = false;
                }
                taken
            }
            (None, Err(error)) => {
                self.end(error.into());
                1
            }
        }
    }

    /// Streams whose channels have news.
    pub(super) fn serve_woken(&mut self, woken: &Woken) -> bool {
        let mut streams = std::mem::take(&mut self.streams);
        woken.take(&mut streams);
        let any = !streams.is_empty();
        for stream in streams.drain(..) {
            if stream == OWN {
                self.is_due = true;
            } else if self.ended.is_none() {
                self.act(|side, at| side.woken(at, stream));
            }
        }
        self.streams = streams;
        any
    }

    /// Hands to the link what there is room for. False: something is left that waits for room.
    pub(super) fn send(&mut self) -> bool {
        if self.ended.is_some() {
            return true;
        }
        let all = self.fill();
        self.is_unanswered = true;
        self.is_blocked = match self.link.flush() {
            Ok(flushed) => !(all && flushed),
            Err(error) => {
                self.failed(error);
                false
            }
        };
        self.wake_full();
        !self.is_blocked
    }

    /// Wakes streams that found the session's queue full, once all of it has gone.
    pub(super) fn wake_full(&mut self) {
        if self.full.is_empty() || self.is_blocked || self.session.queued_bytes() > 0 {
            return;
        }
        let before = self.session.counters().sent.frames;
        for stream in std::mem::take(&mut self.full) {
            self.act(|side, at| side.woken(at, stream));
        }
        if self.session.queued_bytes() > 0 || self.session.counters().sent.frames != before {
            // What they have is sent in the next turn.
            self.is_blocked = true;
            self.own_waker.wake_by_ref();
        }
    }

    /// Puts frames into the link as long as there is room. True: all.
    pub(super) fn fill(&mut self) -> bool {
        let Self { session, link, side, .. } = self;
        let mut outlet = Announcing { link: &mut **link, blocks: side.blocks() };
        let all = session.transmit(&mut outlet);
        // Until it is flushed.
        self.is_blocked = true;
        all
    }

    /// Whether what is to be sent may wait for the I/O thread: a flush is a system call, the peer has
    /// been sent something that it has not answered yet, and more may come in a moment, for which the
    /// same call will do.
    pub(super) fn may_send_later(&mut self) -> bool {
        self.is_unanswered && self.ended.is_none() && self.flush_is_dear
    }

    pub(super) fn failed(&mut self, error: LinkError) {
        // What the peer sent before it went is still to be read: `take` says when that is over.
        if error != LinkError::Closed {
            self.end(error.into());
        }
    }

    /// The session's deadlines.
    pub(super) fn keep_time(&mut self) {
        let Some(due) = self.session.deadline().filter(|_| self.ended.is_none()) else {
            self.deadline = None;
            return;
        };
        // A deadline that has moved away is found out when the old one has come.
        let stands = self.deadline.as_ref().is_some_and(|sleep| sleep.deadline() <= due);
        if stands && !self.is_due {
            return;
        }
        self.is_due = false;
        if !stands {
            self.deadline = Some(timer::sleep_until(due));
        }
        let Some(sleep) = &mut self.deadline else { return };
        if Pin::new(sleep).poll(&mut Context::from_waker(&self.own_waker)) == Poll::Pending {
            return;
        }
        self.deadline = None;
        let Self { session, side, wakes, full, connection, .. } = self;
        match session.on_deadline(Instant::now()) {
            Ok(event) => {
                if let Some(event) = event {
                    let mut at = At { session, wakes, full, link: None, connection };
                    side.event(&mut at, event, Beside::nothing());
                }
                self.send();
                // For the next one, in another turn.
                self.own_waker.wake_by_ref();
            }
            Err(_) => {
                self.send();
                self.end(Ended::Silent);
            }
        }
    }

    pub(super) fn end(&mut self, ended: Ended) {
        if self.ended.is_some() {
            return;
        }
        self.ended = Some(ended.clone());
        self.act(|side, at| side.ended(at, &ended));
        self.watched.clear();
        self.registered = None;
        self.deadline = None;
        self.link.close();
        // Not the last: whoever holds the lock has it through another.
        self.kept = None;
    }
}
