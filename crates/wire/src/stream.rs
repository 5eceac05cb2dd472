// SPDX-License-Identifier: BSD-3-Clause
//! One stream, on one side of the session.
//!
//! ```text
//!   the opener's side                         the other side
//!
//!   open ─▶ Opening ── Accept ──┐             Open ─▶ Asked ── accept ──┐
//!              │                ▼                      │                ▼
//!              │              Live                     │ refuse       Live
//!              │                │                      │                │
//!              └────┬───────────┤ reset                └───┬────────────┤
//!                   ▼           │                          ▼            │
//!               Resetting       │ both have ended      Resetting        │
//!                   │ Reset     ▼                                       ▼
//!                   └────────▶ gone          (the same machine from here on)
//! ```
//!
//! A `Reset` in Opening, Asked or Live is answered with a `Reset`: phase Echoing until the answer is
//! sent. In Resetting, elements that were in flight are counted and dropped.
//!
//! Each direction:
//!
//! ```text
//!   sending   Going ── end ──▶ Ending (the queue is sent first) ── End sent ──▶ Ended
//!   receiving Going ────────────────────────────────────── End received ──▶ Ended
//! ```
//!
//! Acks, nacks, credit and revocations concern the other direction: they may follow this side's end,
//! until the peer has ended too.

use std::collections::VecDeque;

use bytes::Bytes;

use crate::{Credit, Left, Priority, assembly::Assembly};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Opened by this side, not accepted yet.
    Opening,
    /// Opened by the peer, not accepted yet.
    Asked,
    /// Accepted.
    Live,
    /// Reset by this side, not answered yet.
    Resetting,
    /// Reset by the peer, our answer not sent yet.
    Echoing,
}

/// An item of the send queue.
#[derive(Debug)]
pub(crate) enum Item {
    Data { sequence: u64, flags: u8, element: Bytes },
    Return { sequence: u64, flags: u8, element: Bytes },
}

#[derive(Debug, Default)]
pub(crate) enum Ending {
    #[default]
    Going,
    Asked(u16, Bytes),
    Done,
}

/// The direction from this side.
#[derive(Debug)]
pub(crate) struct Outgoing {
    pub(crate) credit: Left,
    /// The number given to the last element.
    pub(crate) numbered: u64,
    /// The last element that was sent whole.
    pub(crate) sent: u64,
    /// The last element that the peer acked.
    pub(crate) acked: u64,
    /// Elements sent minus elements returned.
    pub(crate) returnable: u64,
    pub(crate) queue: VecDeque<Item>,
    pub(crate) queue_bytes: u64,
    /// Bytes of the queue's first item that were sent; `None`: it has not begun.
    pub(crate) begun: Option<usize>,
    /// Session credit reserved for the queue's first item.
    pub(crate) paid: Option<u64>,
    /// A `Withdraw` follows the element that is being sent.
    pub(crate) withdraw: bool,
    pub(crate) returns_queued: u32,
    pub(crate) ending: Ending,
    /// Deficit round robin: bytes left in this round.
    pub(crate) deficit: u64,
    /// The quantum of this round was added.
    pub(crate) in_turn: bool,
    /// Whether it is in the list of its class.
    pub(crate) listed: bool,
}

/// The direction to this side.
#[derive(Debug, Default)]
pub(crate) struct Incoming {
    pub(crate) granted: Left,
    /// The last element of which a piece arrived.
    pub(crate) begun: u64,
    /// The last element that arrived whole.
    pub(crate) received: u64,
    /// Elements received minus elements returned.
    pub(crate) keepable: u64,
    pub(crate) assembly: Option<Assembly>,
    pub(crate) ended: bool,
    /// The last element that the application acked.
    pub(crate) acked: u64,
}

/// Frames due on the stream, each at most once.
#[derive(Debug, Default)]
pub(crate) struct Due {
    pub(crate) ack: bool,
    pub(crate) grant: Left,
    pub(crate) revoke: Left,
    /// The amount of the `Revoke` in flight.
    pub(crate) revoking: Option<Credit>,
    pub(crate) revoked: Option<Credit>,
    pub(crate) reset: Option<(u16, Bytes)>,
    /// Whether it is in the session's list of due streams.
    pub(crate) listed: bool,
}

#[derive(Debug)]
pub(crate) struct Stream {
    pub(crate) phase: Phase,
    pub(crate) priority: Priority,
    pub(crate) outgoing: Outgoing,
    pub(crate) incoming: Incoming,
    pub(crate) due: Due,
}

impl Stream {
    /// A stream that sends from `queue`, which is empty.
    pub(crate) fn new(
        phase: Phase,
        priority: Priority,
        may_send: Credit,
        granted: Credit,
        queue: VecDeque<Item>,
    ) -> Self {
        Self {
            phase,
            priority,
            outgoing: Outgoing {
                credit: may_send.into(),
                numbered: 0,
                sent: 0,
                acked: 0,
                returnable: 0,
                queue,
                queue_bytes: 0,
                begun: None,
                paid: None,
                withdraw: false,
                returns_queued: 0,
                ending: Ending::Going,
                deficit: 0,
                in_turn: false,
                listed: false,
            },
            incoming: Incoming { granted: granted.into(), ..Incoming::default() },
            due: Due::default(),
        }
    }

    /// Both sides have ended.
    pub(crate) const fn is_over(&self) -> bool {
        self.incoming.ended && matches!(self.outgoing.ending, Ending::Done)
    }

    /// Reset by either side.
    pub(crate) const fn is_reset(&self) -> bool {
        matches!(self.phase, Phase::Resetting | Phase::Echoing)
    }

    /// Drops everything that later frames of the peer are not checked against. Returns the bytes that
    /// were queued and the session credit that was reserved.
    pub(crate) fn abandon(&mut self, phase: Phase) -> (u64, u64) {
        self.phase = phase;
        let outgoing = &mut self.outgoing;
        outgoing.queue = VecDeque::new();
        outgoing.begun = None;
        outgoing.withdraw = false;
        outgoing.returns_queued = 0;
        if let Ending::Asked(..) = outgoing.ending {
            outgoing.ending = Ending::Going;
        }
        if let Some(assembly) = &mut self.incoming.assembly {
            assembly.discard();
        }
        let Due { listed, .. } = self.due;
        self.due = Due { listed, ..Due::default() };
        (std::mem::take(&mut outgoing.queue_bytes), outgoing.paid.take().unwrap_or(0))
    }
}

impl Item {
    pub(crate) fn element(&self) -> &Bytes {
        match self {
            Self::Data { element, .. } | Self::Return { element, .. } => element,
        }
    }
}

impl From<Credit> for Left {
    fn from(credit: Credit) -> Self {
        Self { messages: credit.messages.into(), bytes: credit.bytes }
    }
}

impl Left {
    pub(crate) fn add(&mut self, messages: u64, bytes: u64) {
        self.messages = self.messages.saturating_add(messages);
        self.bytes = self.bytes.saturating_add(bytes);
    }

    /// Spends the credit of one element; `false`: not enough.
    #[inline]
    pub(crate) fn pay(&mut self, bytes: u64) -> bool {
        let (Some(messages), Some(bytes)) =
            (self.messages.checked_sub(1), self.bytes.checked_sub(bytes))
        else {
            return false;
        };
        *self = Self { messages, bytes };
        true
    }

    /// Takes at most `asked`.
    pub(crate) fn take(&mut self, asked: Credit) -> Credit {
        let messages = self.messages.min(asked.messages.into());
        let bytes = self.bytes.min(asked.bytes);
        self.messages -= messages;
        self.bytes -= bytes;
        Credit { messages: messages as u32, bytes }
    }

    /// Takes what fits into a frame.
    pub(crate) fn chunk(&mut self) -> Credit {
        self.take(Credit { messages: u32::MAX, bytes: u64::MAX })
    }

    pub(crate) const fn is_none(&self) -> bool {
        self.messages == 0 && self.bytes == 0
    }
}
