// SPDX-License-Identifier: BSD-3-Clause
//! What sessions do besides carrying flows: everything that production makes of them.
//!
//! ```text
//!   Work ── no steps left ──► Settle ── nothing owed ──► Over      then, when all flows are over:
//!   one call a step,          what is owed is answered,            silence ─► ping, pong
//!   of either side            lines end                            drain, drained, close, closed
//! ```
//!
//! Both sides open *lines*, streams of their own beside those of flows; send on them, straight into the
//! network and through the queue; accept, refuse, give back and withdraw what came; revoke credit and
//! grant it again; hold bytes and let them go; ask, answer, cancel, tell news; announce regions and give
//! their blocks back. One ledger has for both sides what is under way, so that whatever comes is compared
//! with what was said, and what does not come is missed.
//!
//! # Invariants
//!
//! 1. Whatever comes was said before, and comes once; what was decided of an element is what its sender
//!    hears of it.
//! 2. When it is over nothing is under way, and each call had what it was made for.
//! 3. It changes nothing of the flows, but who goes when.

mod calls;
mod ending;
mod events;
mod ledger;

use becket_wire::{Credit, codes};
use bytes::Bytes;

use self::ledger::{Ledger, Phase};
use super::Parts;
use crate::trace::{SessionCall, What};

/// What a line is opened for; flows are for service 1.
pub(super) const SERVICE: u16 = 2;
/// Lines that either side opens at most, one after the other.
const LINES_MAX: usize = 4;
/// Streams more than flows have: those of lines that are over may still be there for a moment.
pub(super) const STREAMS: u32 = LINES_MAX as u32;
/// Calls of a run, before it settles.
const STEPS: u32 = 160;
/// What the other side may send on a line.
const CREDIT: Credit = Credit::new(6, 2048);
const ELEMENT_BYTES_MAX: u32 = 300;
/// What a line is refused and reset with.
const REFUSED: u16 = codes::APPLICATION + 7;
const RESET: u16 = codes::APPLICATION + 8;
const NACKED: u16 = codes::APPLICATION + 9;

/// The run's, if its target is busy.
#[derive(Debug)]
pub(super) struct Ancillary {
    steps: u32,
    /// Calls since something was received, once there are no steps left: none is made in vain.
    is_settled: bool,
    /// All flows are over, and the sessions end.
    is_ending: bool,
    /// The other side knows of the end.
    is_closed: bool,
    ledger: Ledger,
}

impl Ancillary {
    pub(super) fn new() -> Self {
        let (is_settled, is_ending, is_closed) = (false, false, false);
        Self { steps: STEPS, is_settled, is_ending, is_closed, ledger: Ledger::default() }
    }

    /// There is something to be done.
    pub(super) const fn has_steps(&self) -> bool {
        self.steps > 0 || !self.is_settled
    }
}

/// Who makes a call: the client, or the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Side {
    is_client: bool,
}

impl Side {
    const CLIENT: Self = Self { is_client: true };
    const SERVER: Self = Self { is_client: false };

    const fn other(self) -> Self {
        Self { is_client: !self.is_client }
    }

    const fn at(self) -> usize {
        if self.is_client { 0 } else { 1 }
    }
}

impl Parts<'_> {
    /// One call more, of either side; or one of those that settle.
    pub(super) fn ancillary_step(&mut self) {
        let Some(mut it) = self.ancillary.take() else { return };
        if it.steps > 0 {
            it.steps -= 1;
            let side = if self.choices.below(2) == 0 { Side::CLIENT } else { Side::SERVER };
            it.work(self, side);
        } else {
            it.is_settled = !it.settle(self);
        }
        (self.client_has, self.server_has) = (true, true);
        self.ancillary = Some(it);
    }

    /// A call was made, or what came of one is not what it has to be.
    fn call_of(&mut self, side: Side, call: SessionCall, is_right: bool) {
        self.say(super::RUN, What::SessionCall { is_client: side.is_client, call, is_right });
    }

    fn session(&mut self, side: Side) -> &mut becket_wire::Session {
        if side.is_client { self.client } else { self.server }
    }
}

/// What an element, a request, an answer or news has in it: known by its number.
fn body(number: u64, bytes: u32) -> Bytes {
    (0..bytes).map(|at| (number.wrapping_mul(31).wrapping_add(at.into()) >> 2) as u8).collect()
}
