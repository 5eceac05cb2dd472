// SPDX-License-Identifier: BSD-3-Clause
//! Waking a side that sleeps, and no other.
//!
//! Neither side can write the other's memory, so a wait is two words with one writer each: the
//! waiter announces in its `wait` word that it sleeps, the waker increments its own `bell`, on
//! which the waiter sleeps.
//!
//! ```text
//!   wait, in the waiter's segment: │ number of this wait, 61 bits │ room │ mode, 2 bits │
//!
//!   waiter                                   waker
//!   1. read bell                             1. publish a frame, or a position
//!   2. wait = (number + 1, mode)             2. fence
//!   3. fence                                 3. read wait: awake, or rung before? done
//!   4. check again; found: wait = awake      4. bell + 1, wake the thread that sleeps on it
//!   5. sleep while bell is as read
//! ```
//!
//! 1. No wake is lost: the fences order 2 before 4 on the left and 1 before 3 on the right, which
//!    excludes store-buffer reordering: the waiter sees what was published, or the waker sees that
//!    the waiter sleeps. In the latter case `bell` changes after 1 on the left, and the kernel
//!    refuses to sleep on it or wakes.
//! 2. A wait is rung at most once: its number is remembered. So a waker that goes on publishing
//!    makes no system call for a side that is waking up.
//! 3. A side that waits for room sets `room`; other waits are not rung for a published position.
//! 4. The futex needs no write access: the waiter sleeps on a page that it may only read.
//! 5. Whatever numbers a hostile peer writes here cost it, or this side, one system call per
//!    publish.
//!
//! Mode `Event` is for a side that waits for descriptors: it is rung by a byte on the socket that
//! it watches anyway. (An eventfd would be shared with the side that created it, which could make a
//! write to it block.)

use std::sync::Arc;
use std::time::Instant;

use rustix::io::Errno;

use super::futex::{self, FutexScope, Wait};
use super::segment::{OwnSegment, PeerSegment};
use super::validate::{BELL, Violation, WAIT};
use crate::sync::{AtomicU32, Ordering, fence};

const MODE_BITS: u64 = 0b11;
const ROOM_BIT: u64 = 0b100;
const NUMBER_SHIFT: u32 = 3;

/// How a side is woken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u64)]
pub(super) enum Mode {
    /// By a byte on the socket.
    Event = 1,
    /// By the peer's bell.
    Futex = 2,
}

/// The reason for a wake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum News {
    Frames,
    Room,
}

/// The result of a ring.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rung {
    /// The peer does not sleep, or not for this, or it was rung before.
    Not,
    /// The bell was rung.
    Bell,
    /// A byte has to be sent over the socket.
    ByByte,
}

/// Announces that this side sleeps.
#[derive(Debug)]
pub(super) struct Waiter {
    own: Arc<OwnSegment>,
    number: u64,
    armed: Option<Mode>,
}

/// Wakes the peer.
#[derive(Debug)]
pub(super) struct Waker {
    own: Arc<OwnSegment>,
    peer: Arc<PeerSegment>,
    rung: u64,
    bell: u32,
}

/// Where a thread of this side sleeps until the peer rings, or [`kick`](Self::kick) is called.
#[derive(Debug)]
pub struct Doorbell {
    peer: Arc<PeerSegment>,
    kicks: AtomicU32,
}

/// The state at the begin of a wait: a sleep ends when it has changed.
#[derive(Debug, Clone, Copy)]
pub struct Ticket {
    bell: u32,
    kicks: u32,
}

/// Why a sleep ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Woken {
    /// The peer rang, or had rung before.
    Rung,
    /// A thread of this side kicked.
    Kicked,
    /// The deadline has passed.
    TimedOut,
}

impl Waiter {
    pub(super) fn new(own: Arc<OwnSegment>) -> Self {
        Self { own, number: 0, armed: None }
    }

    /// Announces that this side is about to sleep, then fences: the caller's next check sees what
    /// was published by a peer that did not see the announcement.
    pub(super) fn arm(&mut self, mode: Mode, wants_room: bool) -> Result<(), Violation> {
        self.number += 1;
        let room = if wants_room { ROOM_BIT } else { 0 };
        let word = self.number << NUMBER_SHIFT | room | mode as u64;
        self.own.memory.publish(WAIT, word)?;
        self.armed = Some(mode);
        fence(Ordering::SeqCst);
        Ok(())
    }

    /// Announces that this side is awake.
    #[inline]
    pub(super) fn disarm(&mut self) -> Result<(), Violation> {
        if self.armed.take().is_some() {
            self.own.memory.publish(WAIT, self.number << NUMBER_SHIFT)?;
        }
        Ok(())
    }

    #[inline]
    pub(super) fn armed(&self) -> Option<Mode> {
        self.armed
    }
}

impl Waker {
    pub(super) fn new(own: Arc<OwnSegment>, peer: Arc<PeerSegment>) -> Self {
        Self { own, peer, rung: 0, bell: 0 }
    }

    /// After a publish: wakes the peer if it sleeps.
    #[inline]
    pub(super) fn ring(&mut self, news: News) -> Result<Rung, Violation> {
        fence(Ordering::SeqCst);
        let word = self.peer.memory.load(WAIT)?;
        let wanted = news == News::Frames || word & ROOM_BIT != 0;
        if word & MODE_BITS == 0 || !wanted || word == self.rung {
            return Ok(Rung::Not);
        }
        self.ring_once(word)
    }

    #[cold]
    fn ring_once(&mut self, word: u64) -> Result<Rung, Violation> {
        self.rung = word;
        if word & MODE_BITS != Mode::Futex as u64 {
            return Ok(Rung::ByByte);
        }
        self.bell = self.bell.wrapping_add(1);
        let bell = self.own.memory.futex(BELL)?;
        bell.store(self.bell, Ordering::Release);
        futex::wake(bell, FutexScope::Shared);
        Ok(Rung::Bell)
    }
}

impl Doorbell {
    pub(super) fn new(peer: Arc<PeerSegment>) -> Self {
        Self { peer, kicks: AtomicU32::new(0) }
    }

    /// Whether this system supports sleeping on two words at once (Linux 5.16). If not, wait for
    /// the link's descriptors instead.
    #[must_use]
    pub fn is_supported() -> bool {
        futex::is_supported()
    }

    /// The number of the peer's rings, modulo 2³².
    pub(super) fn rings(&self) -> Result<u32, Violation> {
        Ok(self.peer.memory.futex(BELL)?.load(Ordering::Relaxed))
    }

    /// To be taken before this side announces that it sleeps.
    pub(super) fn ticket(&self) -> Result<Ticket, Violation> {
        let kicks = self.kicks.load(Ordering::Acquire);
        Ok(Ticket { bell: self.rings()?, kicks })
    }

    /// Sleeps until the peer rings, a thread of this side kicks, or the deadline passes. A spurious
    /// wakeup is reported as [`Woken::Rung`].
    ///
    /// # Errors
    /// The system's error; see [`is_supported`](Self::is_supported).
    pub fn sleep(&self, ticket: Ticket, deadline: Option<Instant>) -> rustix::io::Result<Woken> {
        let bell = self.peer.memory.futex(BELL).map_err(|_| Errno::FAULT)?;
        let waits = [
            Wait(bell, ticket.bell, FutexScope::Shared),
            Wait(&self.kicks, ticket.kicks, FutexScope::Private),
        ];
        match futex::sleep(waits, deadline) {
            Err(Errno::TIMEDOUT) => Ok(Woken::TimedOut),
            Ok(()) => {
                let kicked = self.kicks.load(Ordering::Acquire) != ticket.kicks;
                Ok(if kicked { Woken::Kicked } else { Woken::Rung })
            }
            Err(errno) => Err(errno),
        }
    }

    /// Ends the sleep of every thread that sleeps here, and the next sleep with a ticket from
    /// before the kick.
    pub fn kick(&self) {
        self.kicks.fetch_add(1, Ordering::AcqRel);
        futex::wake(&self.kicks, FutexScope::Private);
    }
}
