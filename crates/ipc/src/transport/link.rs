// SPDX-License-Identifier: BSD-3-Clause
//! The interface of every transport.
//!
//! A link carries frames between two sides, whole, once and in order, and never blocks.
//!
//! ```text
//!    put, put, put ──► flush ═══════════════► take ──► sink(frame)
//!                        │                     │
//!                  false: no room         0: no frames
//!                        └──── prepare_wait, then wait for what `watch` names ────┘
//! ```
//!
//! # Rules
//!
//! 1. **Whole or not at all.** `put` takes a frame, or returns [`Full`](becket_wire::Full) and has
//!    taken nothing.
//! 2. **Room is reported by `flush`.** After `Full` the caller calls `flush`. `Ok(true)`: there is
//!    room, put the frame again. `Ok(false)`: wait as in rule 5, and flush again when woken.
//! 3. **A disconnect is reported last, and only by `take`.** Every frame that the peer sent comes
//!    first, then [`LinkError::Closed`]. Frames that are put after the disconnect are accepted and
//!    discarded: no caller waits for room that will never come.
//! 4. **Invalid input ends the link** with a typed error, which every later call repeats. Memory is
//!    bounded by [`LinkLimits`](super::LinkLimits), whatever the peer sends.
//! 5. **No lost wake.** Wait only after `take` returned 0 (or no frames are wanted), `flush` has
//!    returned and `prepare_wait` returned `false`. Frames or room that come later make a watched
//!    descriptor ready, or call `on_ready`. Readiness of descriptors is level-triggered. Spurious
//!    wakeups are possible.
//! 6. **Descriptors arrive with their frame**, or not at all. Those that are not taken are closed. A link that carries
//!    none refuses them with a `count_max` of 0; blocks then cross as bytes.
//!
//! # Compatibility
//!
//! A link outside this crate implements the methods without a body here, and passes the suite in
//! `conformance` (a feature). Methods that are added have a body, so that it goes on as it is; a rule that
//! changes, or a method without a body, is a new major version of this crate.

use std::fmt;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::Arc;

use becket_wire::{Frame, Outlet};

use super::counters::LinkCounters;
use super::error::LinkError;
use super::peer::Peer;
use crate::shm::{Doorbell, FrameProbe, Ticket};

/// Called when frames have arrived or room has become available: fast, non-blocking, without a call
/// into the link.
pub type OnReady = Arc<dyn Fn() + Send + Sync>;

/// The transport of one connection; see the rules in the module's documentation.
///
/// A link is used by one thread at a time. No call blocks. [`Outlet::put`] takes frames of up to
/// [`Link::body_bytes_max`]; for a longer frame, or one whose `length` differs from its body's, it
/// returns `Full` and ends the link with [`LinkError::OwnFrame`].
pub trait Link: Outlet + Send {
    /// Passes frames that have arrived to `sink`, at most `frames_max`, and returns their number.
    ///
    /// The body is borrowed for the call of `sink`. 0 means that no frame has arrived.
    fn take(
        &mut self,
        frames_max: usize,
        sink: &mut dyn FnMut(Frame<'_>, Ancillary<'_>),
    ) -> Result<usize, LinkError>;

    /// Sends the frames that were put. `Ok(false)`: some of them, or the frame that was refused
    /// last, wait for room.
    fn flush(&mut self) -> Result<bool, LinkError>;

    /// File descriptors that travel as ancillary data of the next frame that is put.
    ///
    /// Descriptors that were passed and not yet put with a frame are replaced. Too many are
    /// refused.
    fn put_descriptors(&mut self, descriptors: Vec<OwnedFd>) -> Result<(), LinkError>;

    /// The descriptors to wait for.
    fn watch(&self) -> Watch<'_>;

    /// Sets the callback for frames and room, of a link without descriptors to watch. Other links
    /// ignore it.
    fn on_ready(&mut self, wake: OnReady);

    /// Epoll has reported one of its descriptors, edge-triggered: the next `take` reads from it,
    /// whichever thread drives the link.
    fn readiness_changed(&mut self) {}

    /// Arms the peer for a wake, before waiting. `true`: something has arrived already, do not
    /// wait.
    fn prepare_wait(&mut self) -> bool;

    /// How a thread waits for this link directly, if it supports that.
    fn direct_wait(&mut self) -> Option<&mut dyn DirectWait> {
        None
    }

    /// The process at the other end.
    fn peer(&self) -> &Peer;

    /// The transport: `unix-stream`, `unix-seqpacket`, `shared-memory`, `memory`.
    fn name(&self) -> &'static str;

    /// The maximum body, in bytes. A session's limit is at most this.
    fn body_bytes_max(&self) -> usize;

    /// Its counters.
    fn counters(&self) -> LinkCounters;

    /// Closes the link: the peer gets the end after what was flushed. What was not flushed is lost.
    fn close(&mut self);
}

/// What a link offers to a thread that waits for it directly, bypassing the thread that waits for
/// descriptors.
pub trait DirectWait {
    /// Where the thread sleeps, without holding the link. A thread that takes frames for which
    /// another thread sleeps there has to kick it.
    fn doorbell(&self) -> Arc<Doorbell>;

    /// Shows a thread whether frames have arrived, without holding the link.
    fn probe(&self) -> Arc<FrameProbe>;

    /// As [`Link::prepare_wait`], for a thread that then sleeps at the doorbell with this ticket.
    /// `None`: something has arrived already. Another thread watches the link's descriptors, and
    /// calls `take` when they are ready.
    fn prepare_sleep(&mut self) -> Option<Ticket>;

    /// Whether the peer was last seen on another CPU, so that it can answer while this thread
    /// spins.
    fn may_answer_soon(&mut self) -> bool;
}

/// File descriptors to wait for.
#[derive(Debug, Clone, Copy, Default)]
pub struct Watch<'a> {
    readable: Option<BorrowedFd<'a>>,
    writable: Option<BorrowedFd<'a>>,
}

impl<'a> Watch<'a> {
    /// Nothing to watch: the link calls `on_ready` instead.
    #[must_use]
    pub const fn nothing() -> Self {
        Self { readable: None, writable: None }
    }

    /// A descriptor to watch for readability (and for the peer's hang-up).
    #[must_use]
    pub const fn readable(one: BorrowedFd<'a>) -> Self {
        Self { readable: Some(one), writable: None }
    }

    /// Adds one to watch for writability, if any.
    #[must_use]
    pub const fn and_writable(mut self, writable: Option<BorrowedFd<'a>>) -> Self {
        self.writable = writable;
        self
    }

    /// The descriptor to watch for readability.
    #[must_use]
    pub const fn readable_one(&self) -> Option<BorrowedFd<'a>> {
        self.readable
    }

    /// The descriptor to watch for writability: `flush` returned `false`.
    #[must_use]
    pub const fn writable_one(&self) -> Option<BorrowedFd<'a>> {
        self.writable
    }

    /// Whether there is no descriptor to watch.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.readable.is_none() && self.writable.is_none()
    }
}

/// Ancillary data of a frame: file descriptors. Those that are not taken are closed.
pub struct Ancillary<'a> {
    descriptors: Option<&'a mut Vec<OwnedFd>>,
}

impl<'a> Ancillary<'a> {
    /// None.
    #[must_use]
    pub const fn nothing() -> Self {
        Self { descriptors: None }
    }

    /// These descriptors. The caller closes those that are left.
    #[must_use]
    pub const fn of(descriptors: &'a mut Vec<OwnedFd>) -> Self {
        Self { descriptors: Some(descriptors) }
    }

    /// The number of descriptors.
    #[must_use]
    pub fn len(&self) -> usize {
        self.descriptors.as_ref().map_or(0, |all| all.len())
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Takes all of them, in the order in which they were put.
    #[must_use]
    pub fn take(self) -> Vec<OwnedFd> {
        self.descriptors.map(std::mem::take).unwrap_or_default()
    }
}

impl fmt::Debug for Ancillary<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Ancillary({} descriptors)", self.len())
    }
}
