// SPDX-License-Identifier: BSD-3-Clause
//! One side of a pair of rings: how it sends, takes and waits.
//!
//! This is the ring alone, without the socket: the link builds on it, and it can be used and
//! measured by itself. A thread that waits on it alone notices a peer's death only by a
//! [`kick`](super::Doorbell::kick).

use std::sync::Arc;
use std::time::Instant;

use becket_wire::Head;

use super::doorbell::{Doorbell, Mode, News, Rung, Ticket, Waiter, Waker, Woken};
use super::error::ShmError;
use super::ring::{Consumer, FrameProbe, Producer, Refused, Taken};
use super::segment::{OwnSegment, PeerSegment};
use super::spin::{Spin, SpinLimits};
use super::validate::Violation;

/// The maximum number of consecutive rings of a peer without a frame or room.
///
/// A conforming peer rings at most once per wait: when the waiter found the news without the ring.
pub(super) const RINGS_IDLE_MAX: u32 = 1024;

/// The limits of a pair of rings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EndpointLimits {
    /// The maximum body that is accepted, in bytes.
    pub body_bytes_max: u32,
    /// How long to spin before sleeping.
    pub spin: SpinLimits,
}

/// Counts since the endpoint was created. They never decrease.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ShmCounters {
    /// Frames put.
    pub frames_out: u64,
    /// Frames taken.
    pub frames_in: u64,
    /// Frames refused because there was no room.
    pub full: u64,
    /// Rings of the peer by this side: system calls.
    pub rings_out: u64,
    /// Sleeps of this side.
    pub sleeps: u64,
    /// Spins that made a sleep unnecessary.
    pub spins_won: u64,
    /// Spins without success.
    pub spins_lost: u64,
}

/// One side of a pair of rings. One thread at a time.
#[derive(Debug)]
pub struct Endpoint {
    pub(super) producer: Producer,
    pub(super) consumer: Consumer,
    waiter: Waiter,
    waker: Waker,
    spin: Spin,
    doorbell: Arc<Doorbell>,
    flushed: u64,
    /// The body of a frame that was refused; `None` once room for it was found.
    wanted_bytes: Option<usize>,
    byte_due: bool,
    asleep_since: Option<Instant>,
    rings: u32,
    rings_idle: u32,
    progress: u64,
    full: u64,
    rings_out: u64,
    sleeps: u64,
}

impl Endpoint {
    /// Both segments must belong to this connection, and to no other endpoint.
    #[must_use]
    pub fn new(own: OwnSegment, peer: PeerSegment, limits: EndpointLimits) -> Self {
        let (own, peer) = (Arc::new(own), Arc::new(peer));
        let doorbell = Arc::new(Doorbell::new(Arc::clone(&peer)));
        Self {
            producer: Producer::new(Arc::clone(&own), Arc::clone(&peer)),
            consumer: Consumer::new(Arc::clone(&own), Arc::clone(&peer), limits.body_bytes_max),
            waiter: Waiter::new(Arc::clone(&own)),
            waker: Waker::new(Arc::clone(&own), Arc::clone(&peer)),
            spin: Spin::new(Arc::clone(&own), Arc::clone(&peer), limits.spin),
            doorbell,
            flushed: 0,
            wanted_bytes: None,
            byte_due: false,
            asleep_since: None,
            rings: 0,
            rings_idle: 0,
            progress: 0,
            full: 0,
            rings_out: 0,
            sleeps: 0,
        }
    }

    /// Puts a frame. A peer that is awake sees it at once; [`flush`](Self::flush) wakes a sleeping
    /// one.
    ///
    /// # Errors
    /// [`Refused::Full`]: retry when [`wait`](Self::wait) has returned.
    #[inline]
    pub fn put(&mut self, head: &Head, body: &[u8], descriptors: u32) -> Result<(), Refused> {
        let put = self.producer.put(head, body, descriptors);
        match put {
            Ok(()) if self.wanted_bytes.is_none_or(|bytes| body.len() < bytes) => {}
            Ok(()) => self.wanted_bytes = None,
            Err(Refused::Full) => {
                self.full += 1;
                self.wanted_bytes = Some(body.len());
            }
            Err(_) => {}
        }
        put
    }

    /// Makes sure that the next frame, with a body of `bytes` bytes, has room.
    pub(super) fn reserve(&mut self, bytes: usize) -> Result<(), Refused> {
        let reserved = self.producer.reserve(bytes);
        if reserved == Err(Refused::Full) {
            self.full += 1;
            self.wanted_bytes = Some(bytes);
        }
        reserved
    }

    /// Wakes the peer if it sleeps and frames were put since.
    ///
    /// # Errors
    /// The peer violated a rule.
    #[inline]
    pub fn flush(&mut self) -> Result<(), Violation> {
        if self.flushed != self.producer.sent() {
            self.flushed = self.producer.sent();
            self.ring(News::Frames)?;
        }
        Ok(())
    }

    /// Passes frames that have arrived to `sink`, at most `frames_max`, and returns their number.
    ///
    /// # Errors
    /// The peer violated a rule. The frames before that were passed on.
    #[inline]
    pub fn take(
        &mut self,
        frames_max: usize,
        mut sink: impl FnMut(Taken<'_>),
    ) -> Result<usize, Violation> {
        let mut taken = 0;
        while taken < frames_max {
            match self.consumer.take()? {
                Some(frame) => sink(frame),
                None => break,
            }
            taken += 1;
            self.taken_one(false)?;
        }
        if taken > 0 {
            self.taken_one(true)?;
        }
        Ok(taken)
    }

    /// Called after each frame, and (`ends`) when no more frames are taken now.
    #[inline]
    pub(super) fn taken_one(&mut self, ends: bool) -> Result<(), Violation> {
        if ends && self.waiter.armed().is_some() {
            self.woken()?;
        }
        if self.consumer.publish_due(ends)? { self.ring(News::Room) } else { Ok(()) }
    }

    /// Whether there is a frame to take, or possibly room that was wanted.
    #[inline]
    pub fn is_ready(&self) -> bool {
        self.consumer.is_ready() || self.wanted_bytes.is_some() && self.producer.has_news()
    }

    /// Whether the frame that was refused last has room now.
    pub(super) fn has_room(&mut self) -> Result<bool, Violation> {
        let Some(bytes) = self.wanted_bytes else { return Ok(true) };
        match self.producer.reserve(bytes) {
            Ok(()) => self.wanted_bytes = None,
            Err(Refused::Violation(violation)) => return Err(violation),
            Err(Refused::Full | Refused::TooLong) => {}
        }
        Ok(self.wanted_bytes.is_none())
    }

    /// Waits for a frame, or for room if a frame was refused: spins, then sleeps. False: the
    /// deadline passed or a thread kicked, and there is nothing.
    ///
    /// # Errors
    /// The peer violated a rule, or the sleep failed.
    pub fn wait(&mut self, deadline: Option<Instant>) -> Result<bool, ShmError> {
        self.flush()?;
        loop {
            if self.spin() && self.confirm_ready()? {
                return Ok(true);
            }
            let Some(ticket) = self.prepare_sleep()? else { continue };
            let woken = self.doorbell.sleep(ticket, deadline);
            if self.is_ready() && self.confirm_ready()? {
                self.woken()?;
                return Ok(true);
            }
            self.waiter.disarm()?;
            match woken {
                Ok(Woken::Rung) => {}
                Ok(Woken::Kicked | Woken::TimedOut) => return Ok(false),
                Err(source) => return Err(ShmError::Io { doing: "sleep", source }),
            }
        }
    }

    /// Whether the peer was last seen on another CPU.
    pub(super) fn peer_is_elsewhere(&mut self) -> bool {
        self.spin.peer_is_elsewhere()
    }

    /// Spins until a frame or room has arrived, as long as it is worthwhile. Never inside a
    /// coroutine.
    pub fn spin(&mut self) -> bool {
        let Self { spin, consumer, producer, wanted_bytes, .. } = self;
        spin.spin(|| consumer.is_ready() || wanted_bytes.is_some() && producer.has_news())
    }

    /// Announces that a thread is about to sleep at the [`doorbell`](Self::doorbell). `None`:
    /// something has arrived already.
    ///
    /// # Errors
    /// The peer violated a rule.
    pub fn prepare_sleep(&mut self) -> Result<Option<Ticket>, Violation> {
        let ticket = self.doorbell.ticket()?;
        Ok(if self.arm(Mode::Futex)? { None } else { Some(ticket) })
    }

    /// Where threads of this side sleep.
    #[must_use]
    pub fn doorbell(&self) -> &Arc<Doorbell> {
        &self.doorbell
    }

    /// For threads that check for frames without holding the endpoint.
    #[must_use]
    pub fn probe(&self) -> &Arc<FrameProbe> {
        self.consumer.probe()
    }

    /// Counts since it was created.
    #[must_use]
    pub fn counters(&self) -> ShmCounters {
        ShmCounters {
            frames_out: self.producer.sent(),
            frames_in: self.consumer.taken(),
            full: self.full,
            rings_out: self.rings_out,
            sleeps: self.sleeps,
            spins_won: self.spin.won,
            spins_lost: self.spin.lost,
        }
    }

    /// Confirms apparent news: a position that moved may still not be enough room.
    fn confirm_ready(&mut self) -> Result<bool, Violation> {
        Ok(self.consumer.is_ready() || self.has_room()?)
    }

    /// Announces a wait, and checks again. True: something has arrived, the wait is cancelled.
    pub(super) fn arm(&mut self, mode: Mode) -> Result<bool, Violation> {
        let rings = self.doorbell.rings()?;
        self.count_idle(rings.wrapping_sub(self.rings))?;
        self.rings = rings;
        if self.consumer.publish()? {
            self.ring(News::Room)?;
        }
        // A peer that waits for this side spins only if it knows where this side is.
        self.spin.publish_cpu();
        self.waiter.arm(mode, self.wanted_bytes.is_some())?;
        if self.is_ready() {
            self.waiter.disarm()?;
            return Ok(true);
        }
        self.sleeps += 1;
        self.asleep_since = (mode == Mode::Futex).then(Instant::now);
        Ok(false)
    }

    /// Ends an announced wait after something has arrived.
    #[cold]
    fn woken(&mut self) -> Result<(), Violation> {
        if let Some(since) = self.asleep_since.take() {
            self.spin.slept(since.elapsed());
        }
        self.waiter.disarm()
    }

    pub(super) fn armed(&self) -> Option<Mode> {
        self.waiter.armed()
    }

    /// Counts rings of the peer; too many without a frame or room end the connection.
    pub(super) fn count_idle(&mut self, rings: u32) -> Result<(), Violation> {
        let progress = self.consumer.taken().wrapping_add(self.producer.known());
        if progress != self.progress {
            self.progress = progress;
            self.rings_idle = 0;
        }
        self.rings_idle = self.rings_idle.saturating_add(rings);
        if self.rings_idle > RINGS_IDLE_MAX {
            return Err(Violation::Rings(self.rings_idle));
        }
        Ok(())
    }

    /// Whether a wake byte has to be sent over the socket, once.
    #[inline]
    pub(super) fn take_byte_due(&mut self) -> bool {
        std::mem::take(&mut self.byte_due)
    }

    #[inline]
    fn ring(&mut self, news: News) -> Result<(), Violation> {
        let rung = self.waker.ring(news)?;
        if rung != Rung::Not {
            self.rings_out += 1;
            self.byte_due |= rung == Rung::ByByte;
        }
        Ok(())
    }
}
