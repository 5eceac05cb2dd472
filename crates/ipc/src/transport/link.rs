// SPDX-License-Identifier: BSD-3-Clause
//! What every transport can do.
//!
//! A link carries frames between two sides, whole, once and in order, and never blocks.
//!
//! ```text
//!    put, put, put ──► flush ═══════════════► take ──► sink(frame)
//!                        │                     │
//!                  false: no room         0: nothing there
//!                        └──── prepare_wait, then wait for what `watch` names ────┘
//! ```
//!
//! # Rules
//!
//! 1. **Whole or not at all.** `put` takes a frame or says [`Full`](becket_wire::Full) and has taken
//!    nothing.
//! 2. **Room comes back.** Who was told `Full` calls `flush`. `Ok(true)`: there is room, put it again.
//!    `Ok(false)`: wait as rule 5 says, and flush again when woken.
//! 3. **A death is told last, by `take` alone.** Everything that the peer sent comes first, then
//!    [`LinkError::Closed`]. What is put after the peer's death is taken and discarded: nobody waits
//!    for room that will never come.
//! 4. **Bad input ends the link** with a typed error, the same ever after. Memory is bounded by
//!    [`LinkLimits`](super::LinkLimits), whatever the peer says.
//! 5. **No lost wake.** Wait only after `take` gave 0 (or no more is wanted), `flush` said its word
//!    and `prepare_wait` said `false`. What comes later makes a watched descriptor ready, or calls
//!    `on_ready`. Readiness of descriptors is level-triggered. A wake may be for nothing.
//! 6. **Descriptors arrive with their frame**, or not at all. Those nobody takes are closed.

use std::fmt;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::Arc;

use becket_wire::{Frame, Outlet};

use super::counters::LinkCounters;
use super::error::LinkError;
use super::peer::Peer;
use crate::shm::{Doorbell, Lookout, Ticket};

/// Called when frames or room have come: quick, never blocking, without a call into the link.
pub type OnReady = Arc<dyn Fn() + Send + Sync>;

/// One connection's transport; see the rules in this file's first lines.
///
/// A link is used by one thread at a time. No call blocks. [`Outlet::put`] takes frames of up to
/// [`Link::body_bytes_max`]; a longer one, or one whose `length` is not its body's, is `Full` and
/// ends the link with [`LinkError::OwnFrame`].
pub trait Link: Outlet + Send {
    /// Gives each frame that has arrived to `sink`, at most `frames_max`, and says how many.
    ///
    /// The body is borrowed for the call of `sink`. 0 means that there was nothing.
    fn take(
        &mut self,
        frames_max: usize,
        sink: &mut dyn FnMut(Frame<'_>, Beside<'_>),
    ) -> Result<usize, LinkError>;

    /// Hands what was put to the peer. `Ok(false)`: the rest of it, or the frame that was refused
    /// last, waits for room.
    fn flush(&mut self) -> Result<bool, LinkError>;

    /// File descriptors that travel beside the next frame that is put.
    ///
    /// What was given and not yet put with a frame is replaced. Refused when there are too many.
    fn put_descriptors(&mut self, descriptors: Vec<OwnedFd>) -> Result<(), LinkError>;

    /// What to wait for.
    fn watch(&self) -> Watch<'_>;

    /// Who to call when frames or room have come, of a link without descriptors to watch. Others
    /// drop it.
    fn on_ready(&mut self, wake: OnReady);

    /// The system told of one of its descriptors, once: the next `take` looks at it, whoever else
    /// looks after the link.
    fn told(&mut self) {}

    /// Before waiting: asks the peer for a wake. `true`: there is something already, do not wait.
    fn prepare_wait(&mut self) -> bool;

    /// How a thread waits for this link by itself, if one can.
    fn bell(&mut self) -> Option<&mut dyn Bell> {
        None
    }

    /// Who is at the other end.
    fn peer(&self) -> &Peer;

    /// The transport: `unix-stream`, `unix-seqpacket`, `shared-memory`, `memory`.
    fn name(&self) -> &'static str;

    /// The longest body that it carries. A session's limit for bodies is at most this.
    fn body_bytes_max(&self) -> usize;

    /// What it has done.
    fn counters(&self) -> LinkCounters;

    /// Ends it: the peer is told once it has read what was flushed. What was not flushed is lost.
    fn close(&mut self);
}

/// What a link offers to a thread that waits for it by itself, past the thread that waits for
/// descriptors.
pub trait Bell {
    /// Where the thread sleeps, without holding the link.
    fn doorbell(&self) -> Arc<Doorbell>;

    /// Where a thread looks for what has come, without holding the link.
    fn lookout(&self) -> Arc<Lookout>;

    /// As [`Link::prepare_wait`], for who will then sleep at the doorbell with this ticket. `None`:
    /// there is something already.
    fn prepare_sleep(&mut self) -> Option<Ticket>;

    /// Whether the peer was last seen on another CPU, so that it can answer while this one looks.
    fn may_answer_soon(&mut self) -> bool;
}

/// File descriptors to wait for.
#[derive(Debug, Clone, Copy, Default)]
pub struct Watch<'a> {
    readable: [Option<BorrowedFd<'a>>; 3],
    writable: Option<BorrowedFd<'a>>,
}

impl<'a> Watch<'a> {
    /// Nothing to watch: the link calls `on_ready` instead.
    #[must_use]
    pub const fn nothing() -> Self {
        Self { readable: [None; 3], writable: None }
    }

    /// To be watched for readability (and for the peer's hang-up).
    #[must_use]
    pub const fn readable(first: BorrowedFd<'a>) -> Self {
        Self { readable: [Some(first), None, None], writable: None }
    }

    /// The same, and up to two more to be watched for readability.
    #[must_use]
    pub const fn and_readable(mut self, more: [Option<BorrowedFd<'a>>; 2]) -> Self {
        let [second, third] = more;
        let [first, ..] = self.readable;
        self.readable = [first, second, third];
        self
    }

    /// The same, and this one to be watched for writability, if any.
    #[must_use]
    pub const fn and_writable(mut self, writable: Option<BorrowedFd<'a>>) -> Self {
        self.writable = writable;
        self
    }

    /// Each to be watched for readability.
    pub fn each_readable(&self) -> impl Iterator<Item = BorrowedFd<'a>> + use<'a> {
        self.readable.into_iter().flatten()
    }

    /// The one to be watched for writability: `flush` said `false`.
    #[must_use]
    pub const fn writable_one(&self) -> Option<BorrowedFd<'a>> {
        self.writable
    }

    /// No descriptor at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.each_readable().next().is_none() && self.writable.is_none()
    }
}

/// File descriptors that came beside a frame. Those not taken are closed.
pub struct Beside<'a> {
    descriptors: Option<&'a mut Vec<OwnedFd>>,
}

impl<'a> Beside<'a> {
    /// None came.
    #[must_use]
    pub const fn nothing() -> Self {
        Self { descriptors: None }
    }

    /// These came. Who made it closes what is left in there.
    #[must_use]
    pub const fn of(descriptors: &'a mut Vec<OwnedFd>) -> Self {
        Self { descriptors: Some(descriptors) }
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.descriptors.as_ref().map_or(0, |all| all.len())
    }

    /// None there.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All of them, in the order in which they were put.
    #[must_use]
    pub fn take(self) -> Vec<OwnedFd> {
        self.descriptors.map(std::mem::take).unwrap_or_default()
    }
}

impl fmt::Debug for Beside<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Beside({} descriptors)", self.len())
    }
}
