// SPDX-License-Identifier: BSD-3-Clause
//! One stream, as one side of the session knows it.
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
//! A `Reset` that comes in Opening, Asked or Live is answered with a `Reset`: phase Echoing until
//! that has gone, then gone. In Resetting, elements that were under way are counted and dropped.
//!
//! Each direction, besides:
//!
//! ```text
//!   sending   Going ── end ──▶ Ending (the queue is sent first) ── End sent ──▶ Ended
//!   receiving Going ────────────────────────────────────────── End came ──▶ Ended
//! ```
//!
//! Acks, nacks, credit and revocations are of the other direction: they go on after this side's
//! end, until the other side has ended too.

use std::collections::VecDeque;

use bytes::Bytes;

use crate::{Credit, Left, Priority, assembly::Assembly};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Ours, not accepted yet.
    Opening,
    /// The other side's, not accepted yet.
    Asked,
    /// Accepted.
    Live,
    /// We reset it and wait for the answer.
    Resetting,
    /// The other side reset it and waits for our answer.
    Echoing,
}

/// What waits to be sent.
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

/// This side's elements.
#[derive(Debug)]
pub(crate) struct Outgoing {
    pub(crate) credit: Left,
    /// The number given to the last element.
    pub(crate) numbered: u64,
    /// The last element all of whose pieces have gone.
    pub(crate) sent: u64,
    /// The last one acked.
    pub(crate) acked: u64,
    /// Elements sent, less those returned.
    pub(crate) returnable: u64,
    pub(crate) queue: VecDeque<Item>,
    pub(crate) queue_bytes: u64,
    /// Bytes of the queue's first item that have gone, once it has begun.
    pub(crate) begun: Option<usize>,
    /// Session credit that was taken for the queue's first item before its turn has come.
    pub(crate) paid: Option<u64>,
    /// The element that is being sent is wanted back.
    pub(crate) withdraw: bool,
    pub(crate) returns_queued: u32,
    pub(crate) ending: Ending,
    /// Deficit round robin: what it may still send in its turn.
    pub(crate) deficit: u64,
    /// It has been given its quantum for this turn.
    pub(crate) in_turn: bool,
    /// It is in its class's list.
    pub(crate) listed: bool,
}

/// The other side's elements.
#[derive(Debug, Default)]
pub(crate) struct Incoming {
    pub(crate) granted: Left,
    /// The last element that began to come.
    pub(crate) begun: u64,
    /// The last one that is whole.
    pub(crate) received: u64,
    /// Elements received, less those given back.
    pub(crate) keepable: u64,
    pub(crate) assembly: Option<Assembly>,
    pub(crate) ended: bool,
    /// The last one that the application acked.
    pub(crate) acked: u64,
}

/// What is to be said about the stream as soon as there is room.
#[derive(Debug, Default)]
pub(crate) struct Due {
    pub(crate) ack: bool,
    pub(crate) grant: Left,
    pub(crate) revoke: Left,
    /// What the revocation that is under way asks for.
    pub(crate) revoking: Option<Credit>,
    pub(crate) revoked: Option<Credit>,
    pub(crate) reset: Option<(u16, Bytes)>,
    /// It is in the session's list.
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
    /// One with an empty queue.
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

    /// Nothing will be sent on it any more, by either side.
    pub(crate) const fn is_over(&self) -> bool {
        self.incoming.ended && matches!(self.outgoing.ending, Ending::Done)
    }

    /// It has been reset, by either side.
    pub(crate) const fn is_reset(&self) -> bool {
        matches!(self.phase, Phase::Resetting | Phase::Echoing)
    }

    /// Lets go of everything but what the other side's frames are still judged by. Says how many
    /// bytes were queued, and how much session credit was taken and not used.
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

    /// Pays for one element.
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

    /// Takes as much of `asked` as there is.
    pub(crate) fn take(&mut self, asked: Credit) -> Credit {
        let messages = self.messages.min(asked.messages.into());
        let bytes = self.bytes.min(asked.bytes);
        self.messages -= messages;
        self.bytes -= bytes;
        Credit { messages: messages as u32, bytes }
    }

    /// As much as fits into a frame.
    pub(crate) fn chunk(&mut self) -> Credit {
        self.take(Credit { messages: u32::MAX, bytes: u64::MAX })
    }

    pub(crate) const fn is_none(&self) -> bool {
        self.messages == 0 && self.bytes == 0
    }
}
