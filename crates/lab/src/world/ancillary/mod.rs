// SPDX-License-Identifier: BSD-3-Clause
//! Session calls besides those for flows: everything that production uses of sessions.
//!
//! ```text
//!   Work ── no steps left ──► Settle ── nothing owed ──► Over      then, when all flows are over:
//!   one call a step,          what is owed is answered,            silence ─► ping, pong
//!   of either side            lines end                            drain, drained, close, closed
//! ```
//!
//! Both sides open *lines*, streams besides those of flows; send on them, directly and through the
//! queue; accept, refuse, return and withdraw elements; revoke credit and grant it again; hold
//! bytes and release them; request, answer, cancel, send notices; announce regions and release
//! their blocks. One ledger for both sides records what is in flight, so that everything that
//! arrives is compared with what was sent, and a missing result is detected.
//!
//! # Invariants
//!
//! 1. Everything that arrives was sent before, and arrives once; the sender of an element receives
//!    the decision about it.
//! 2. At the end nothing is in flight, and each call had its result.
//! 3. It changes nothing about the flows, except the order of tasks.

mod calls;
mod ending;
mod events;
mod ledger;

use becket_wire::{Credit, codes};
use bytes::Bytes;

use self::ledger::{Ledger, Phase};
use super::Parts;
use crate::trace::{EventKind, SessionCall};

/// The service of lines; flows use service 1.
pub(super) const SERVICE: u16 = 2;
/// Maximum number of lines that either side opens, one after another.
const LINES_MAX: usize = 4;
/// Streams in addition to those of flows: those of ended lines may still exist for a moment.
pub(super) const STREAMS: u32 = LINES_MAX as u32;
/// Calls of a run, before it settles.
const STEPS: u32 = 160;
/// Credit of the other side on a line.
const CREDIT: Credit = Credit::new(6, 2048);
const ELEMENT_BYTES_MAX: u32 = 300;
/// The code with which a line is refused and reset.
const REFUSED: u16 = codes::APPLICATION + 7;
const RESET: u16 = codes::APPLICATION + 8;
const NACKED: u16 = codes::APPLICATION + 9;

/// The ancillary calls of a run, if its target is busy.
#[derive(Debug)]
pub(super) struct Ancillary {
    steps: u32,
    /// No call is possible until something arrives, once there are no steps left.
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

    /// Whether there is something to do.
    pub(super) const fn has_steps(&self) -> bool {
        self.steps > 0 || !self.is_settled
    }
}

/// The side that makes a call: the client, or the server.
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
    /// Makes one more call, of either side; or settles an obligation.
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

    /// Records a call, and whether its result is correct.
    fn call_of(&mut self, side: Side, call: SessionCall, is_right: bool) {
        self.say(super::RUN, EventKind::SessionCall { is_client: side.is_client, call, is_right });
    }

    fn session(&mut self, side: Side) -> &mut becket_wire::Session {
        if side.is_client { self.client } else { self.server }
    }
}

/// The body of an element, a request, an answer or a notice: identified by its number.
fn body(number: u64, bytes: u32) -> Bytes {
    (0..bytes).map(|at| (number.wrapping_mul(31).wrapping_add(at.into()) >> 2) as u8).collect()
}
