// SPDX-License-Identifier: BSD-3-Clause
//! What a connection's lock guards, and what its holder does.
//!
//! Invariants 3, 4 and 5 of the [connection](super) are maintained here.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use becket_chan::timer::{self, Sleep};
use becket_coro::outside;
use becket_wire::{Event, Session};

use super::claim::Claim;
use super::linger::{self, ClosedLink};
use super::waking::{Wakeable, Woken};
use super::{At, Connection, Ended, OWN, Side};
use crate::blocks::Announcing;
use crate::reactor::{Slice, Watched};
use crate::shm::{Doorbell, FrameProbe};
use crate::transport::{Ancillary, Link, LinkError};

/// The maximum number of frames taken before other connections are dispatched.
const FRAMES_PER_DISPATCH: usize = 256;
/// For a link that cannot be polled without a system call: one in this many dispatches polls it
/// even though only channels have news.
const POLL_EVERY: u32 = 16;
/// The maximum number of frames taken before the resulting frames are sent.
const FRAMES_PER_SEND: usize = 64;
/// The maximum number of frames taken before the clock is read. A frame may create a channel.
const FRAMES_AT_ONCE: usize = 16;

/// The maximum number of frames that wait for further ones to be sent with.
const FRAMES_LATER_MAX: u64 = 32;

/// What the lock guards.
pub(crate) struct Core<S: Side> {
    pub(super) link: Box<dyn Link>,
    pub(super) session: Session,
    pub(super) side: S,
    pub(super) ended: Option<Ended>,
    pub(super) full: Vec<u32>,
    pub(super) watched: Vec<Watched>,
    pub(super) connection: Weak<dyn Wakeable>,
    /// Streams to be woken next: see [`At::wake_soon`].
    pub(super) streams: Vec<u32>,
    pub(super) deadline: Option<Sleep>,
    /// The deadline may have passed.
    pub(super) is_due: bool,
    /// The session's deadline was steady when it was looked at last.
    pub(super) is_steady: bool,
    /// Frames wait for room, or for a flush; at the start a client's hello.
    pub(super) is_blocked: bool,
    /// The link was armed when nothing had arrived, and has not woken since: nothing has arrived.
    pub(super) is_armed: bool,
    /// Dispatches since the start, of a link that cannot be polled without a system call.
    pub(super) blind_dispatches: u32,
    /// Frames were flushed since frames were taken last.
    pub(super) is_unanswered: bool,
    /// How many frames had been put when the link was flushed last.
    pub(super) flushed_frames: u64,
    /// The link is a socket: a flush is a system call.
    pub(super) flush_is_costly: bool,
    pub(super) own_waker: Waker,
    /// A reference to itself, for a connection without other owners: a server's connection lives
    /// until it has ended.
    pub(super) keep_alive: Option<Arc<Connection<S>>>,
    /// Its registration with the scheduler, whose idle workers drive it.
    pub(super) registered: Option<outside::Registered>,
}

impl<S: Side> Core<S> {
    pub(super) fn act<R>(&mut self, act: impl FnOnce(&mut S, &mut At<'_>) -> R) -> R {
        let Self { link, session, side, full, streams: soon, connection, .. } = self;
        act(side, &mut At { session, full, soon, link: Some(&mut **link), connection })
    }

    /// Does all pending work. True: it stopped at the limit of one dispatch.
    ///
    /// A driving thread polls by itself, but has to be notified of frames that are taken here, and of frames
    /// that are left because the link is full.
    pub(super) fn dispatch(
        &mut self,
        woken: &Woken,
        (doorbell, probe): (Option<&Doorbell>, Option<&FrameProbe>),
        claim: &Claim,
    ) -> bool {
        // Streams were served before the link was polled.
        let mut has_woken = false;
        // The wake that reports news may be late, while other threads occupy the CPUs.
        let has_news = match probe {
            Some(probe) => probe.has_news(),
            None => {
                self.blind_dispatches = self.blind_dispatches.wrapping_add(1);
                self.blind_dispatches.is_multiple_of(POLL_EVERY)
            }
        };
        if std::mem::take(&mut self.is_armed) && !has_news {
            has_woken = true;
            if let Some(later) = self.dispatch_streams(woken) {
                self.is_armed = true;
                return later;
            }
        }
        let (mut left, mut slice) = (FRAMES_PER_DISPATCH, Slice::default());
        let (mut took, mut later) = (false, false);
        while self.ended.is_none() {
            let (taken, is_over) = self.take_within(&mut slice);
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
                    // The driving thread polls for frames; the pending flag reports other news.
                    return false;
                }
            } else {
                if self.is_blocked && !later {
                    self.send();
                }
                let is_driven = claim.is_taken();
                // What waits for room is the driving thread's too: it may sleep since before that.
                let is_for_driver = is_driven && (took || self.is_blocked);
                if let Some(doorbell) = doorbell.filter(|_| is_for_driver) {
                    doorbell.kick();
                }
                if is_driven || self.ended.is_some() {
                    return later;
                }
                if !self.link.prepare_wait() {
                    self.is_armed = true;
                    return later;
                }
            }
            if left == 0 || is_over {
                return true;
            }
        }
        // What was woken before the end is not woken again.
        woken.take(&mut self.streams);
        self.streams.clear();
        if let Some(doorbell) = doorbell {
            doorbell.kick();
        }
        false
    }

    /// A dispatch in which no frame can have arrived and only streams have news: the link need be
    /// neither polled nor armed again. `None`: a full dispatch is needed.
    #[inline]
    fn dispatch_streams(&mut self, woken: &Woken) -> Option<bool> {
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

    /// One step of the driving thread. False: there was nothing to do.
    pub(super) fn step(&mut self, woken: &Woken) -> bool {
        let any = self.begin_step(woken);
        self.end_step(any)
    }

    /// Takes what has arrived. False: nothing.
    #[inline]
    pub(super) fn begin_step(&mut self, woken: &Woken) -> bool {
        self.is_armed = false;
        if self.ended.is_some() {
            return false;
        }
        let taken = self.take(FRAMES_PER_SEND);
        let woke = self.serve_woken(woken);
        taken > 0 || woke
    }

    /// Sends what that has led to.
    #[inline]
    pub(super) fn end_step(&mut self, any: bool) -> bool {
        if self.ended.is_some() || !any && !self.is_blocked {
            return any;
        }
        let sent = self.send();
        self.keep_time();
        any || sent
    }

    /// Takes frames from the link for as long as the slice lasts. True: it is over.
    fn take_within(&mut self, slice: &mut Slice) -> (usize, bool) {
        let mut taken = 0;
        loop {
            let now = self.take(FRAMES_AT_ONCE);
            taken += now;
            let is_over = now == FRAMES_AT_ONCE && slice.is_over();
            if is_over || now < FRAMES_AT_ONCE || taken >= FRAMES_PER_SEND {
                return (taken, is_over);
            }
        }
    }

    /// Takes up to `frames_max` frames from the link, and handles their events.
    fn take(&mut self, frames_max: usize) -> usize {
        let Self { link, session, side, full, streams: soon, connection, .. } = self;
        let mut failed = None;
        let taken = link.take(frames_max, &mut |frame, ancillary| {
            if let Some(failed) = &failed {
                // Releases may follow the close.
                if Ended::leaves_blocks(failed) {
                    side.blocks().after_close(&frame);
                }
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
                    // No link: `take` borrows it, and the event's body may lie in its buffer.
                    let mut at = At { session, full, soon, link: None, connection };
                    side.event(&mut at, event, ancillary);
                    failed = closed.or_else(|| side.blocks().fault());
                }
                Ok(None) => {}
                Err(error) => failed = Some(Ended::Protocol(error.to_string().into())),
            }
        });
        match (failed, taken) {
            (Some(ended), _) => {
                // The session has queued a frame with the reason.
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

    /// Serves the streams that were woken.
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
        // Only an event asks for a wake soon: nothing was added meanwhile.
        self.streams = streams;
        any
    }

    /// Transmits what the link has room for. False: frames are left that wait for room.
    pub(super) fn send(&mut self) -> bool {
        if self.ended.is_some() {
            return true;
        }
        self.is_unanswered = true;
        loop {
            let before = self.session.counters().sent.frames;
            let all = self.fill();
            self.flushed_frames = self.session.counters().sent.frames;
            self.is_blocked = match self.link.flush() {
                // There is room for the frame that was refused: no wake will report it.
                Ok(true) if !all && self.session.counters().sent.frames != before => continue,
                Ok(flushed) => !(all && flushed),
                Err(error) => {
                    self.failed(error);
                    false
                }
            };
            break;
        }
        self.wake_full();
        !self.is_blocked
    }

    /// Wakes the streams that found the session's queue full, once it is empty.
    pub(super) fn wake_full(&mut self) {
        if self.full.is_empty() || self.is_blocked || self.session.queued_bytes() > 0 {
            return;
        }
        let before = self.session.counters().sent.frames;
        for stream in std::mem::take(&mut self.full) {
            self.act(|side, at| side.woken(at, stream));
        }
        if self.session.queued_bytes() > 0 || self.session.counters().sent.frames != before {
            // Their frames are sent in the next dispatch.
            self.is_blocked = true;
            self.own_waker.wake_by_ref();
        }
    }

    /// Puts frames into the link as long as it has room. True: all of them.
    pub(super) fn fill(&mut self) -> bool {
        let Self { session, link, side, .. } = self;
        let mut outlet = Announcing { link: &mut **link, blocks: side.blocks() };
        let all = session.transmit(&mut outlet);
        // Until the flush.
        self.is_blocked = true;
        all
    }

    /// Whether sending may be left to the I/O thread: a flush is a system call, the peer has not
    /// yet answered what it was sent, and more frames may follow in a moment, which the same call
    /// can send. With [`FRAMES_LATER_MAX`] the peer can begin its work while this side goes on.
    pub(super) fn may_send_later(&mut self) -> bool {
        self.is_unanswered
            && self.ended.is_none()
            && self.flush_is_costly
            && self.session.counters().sent.frames - self.flushed_frames < FRAMES_LATER_MAX
    }

    pub(super) fn failed(&mut self, error: LinkError) {
        // Frames that the peer sent before it disconnected are still to be read: `take` reports the
        // end.
        if error != LinkError::Closed {
            self.end(error.into());
        }
    }

    /// Arms or checks the session's deadline.
    #[inline]
    pub(super) fn keep_time(&mut self) {
        let was_steady = self.is_steady;
        self.is_steady = self.session.has_steady_deadline();
        if !(was_steady && self.is_steady) || self.is_due {
            self.keep_changed_time();
        }
    }

    fn keep_changed_time(&mut self) {
        let Some(due) = self.session.deadline().filter(|_| self.ended.is_none()) else {
            self.deadline = None;
            return;
        };
        // A deadline that has moved later is noticed when the old one has passed.
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
        let Self { session, side, full, streams: soon, connection, .. } = self;
        match session.on_deadline(Instant::now()) {
            Ok(event) => {
                if let Some(event) = event {
                    let mut at = At { session, full, soon, link: None, connection };
                    side.event(&mut at, event, Ancillary::nothing());
                }
                self.send();
                // For the next deadline, in another dispatch.
                self.own_waker.wake_by_ref();
            }
            Err(error) => {
                self.send();
                self.end(Ended::at_deadline(&error));
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
        let mut blocks = self.side.blocks().split_off(&mut self.session);
        if ended.leaves_blocks() && blocks.fault().is_none() && blocks.are_out() {
            let closed = Box::new(ClosedLink::in_place_of(&*self.link));
            let link = std::mem::replace(&mut self.link, closed);
            linger::start(link, &mut self.session, blocks);
        } else {
            blocks.ended();
            self.link.close();
        }
        // Not the last reference: the holder of the lock has another one.
        self.keep_alive = None;
    }
}
