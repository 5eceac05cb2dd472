// SPDX-License-Identifier: BSD-3-Clause
//! What is in flight between both sides, and what is owed for what has arrived.

use std::collections::{BTreeMap, VecDeque};

use becket_wire::{Credit, StreamId};

use super::Side;

/// The decision about an element.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// Undecided.
    Out,
    /// The receiver decided, and the sender was not notified yet.
    Accepted,
    Refused,
    Returned,
}

/// An element.
#[derive(Debug, Clone, Copy)]
pub(super) struct Element {
    pub(super) bytes: u32,
    pub(super) fate: Fate,
    pub(super) has_come: bool,
}

/// One direction of a line.
#[derive(Debug, Default)]
pub(super) struct Way {
    /// Number of elements that were sent.
    pub(super) sent: u64,
    /// Elements without a result, by number.
    pub(super) elements: BTreeMap<u64, Element>,
    /// Elements that arrived and are undecided, in order.
    pub(super) pending: VecDeque<u64>,
    /// Credit that the receiver revoked, without an answer yet.
    pub(super) revoking: (u64, u64),
    pub(super) has_ended: bool,
    /// The receiver knows the end.
    pub(super) is_over: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    Opening,
    Open,
    /// It was reset or refused by this side, and the other side was not notified yet.
    Broken(Side, u16),
    Over,
}

/// A stream besides those of flows.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) id: StreamId,
    pub(super) opener: Side,
    pub(super) phase: Phase,
    /// The other side knows it.
    pub(super) has_come: bool,
    /// The direction of the opener, and that of the other side.
    pub(super) ways: [Way; 2],
}

impl Line {
    pub(super) fn new(id: StreamId, opener: Side) -> Self {
        Self { id, opener, phase: Phase::Opening, has_come: false, ways: Default::default() }
    }

    /// The direction in which this side sends.
    pub(super) fn way(&self, sender: Side) -> &Way {
        let [own, other] = &self.ways;
        if sender == self.opener { own } else { other }
    }

    /// The direction in which this side sends.
    pub(super) fn way_mut(&mut self, sender: Side) -> &mut Way {
        let [own, other] = &mut self.ways;
        if sender == self.opener { own } else { other }
    }

    /// It has no open obligations.
    pub(super) fn is_over(&self) -> bool {
        self.phase == Phase::Over
    }
}

/// A request.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked {
    pub(super) number: u64,
    /// Identifies its body.
    pub(super) token: u64,
    pub(super) operation: u16,
    pub(super) bytes: u32,
    pub(super) has_come: bool,
    pub(super) is_answered: bool,
    pub(super) is_cancelled: bool,
}

/// A region.
#[derive(Debug, Clone, Copy)]
pub(super) struct Region {
    pub(super) number: u32,
    pub(super) has_come: bool,
    /// Blocks whose release has not arrived.
    pub(super) released: u32,
    /// Its owner withdrew it.
    pub(super) is_gone: bool,
}

/// The state of one side.
#[derive(Debug, Default)]
pub(super) struct Book {
    pub(super) requests: Vec<Asked>,
    pub(super) news: VecDeque<(u64, u32)>,
    pub(super) regions: Vec<Region>,
    /// Bytes that it holds of what arrived.
    pub(super) held: u64,
}

/// The state of both sides.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    pub(super) lines: Vec<Line>,
    pub(super) books: [Book; 2],
    /// Numbers that were given to requests, notices and regions.
    pub(super) numbers: u32,
}

impl Ledger {
    pub(super) fn book(&mut self, side: Side) -> &mut Book {
        let [client, server] = &mut self.books;
        if side.at() == 0 { client } else { server }
    }

    pub(super) fn line(&mut self, id: StreamId) -> Option<&mut Line> {
        self.lines.iter_mut().rev().find(|line| line.id == id && !line.is_over())
    }

    /// Whether it is, or was, a line.
    pub(super) fn knows(&self, id: StreamId) -> bool {
        self.lines.iter().any(|line| line.id == id)
    }
}

/// The rest of revoked credit.
pub(super) fn less(asked: (u64, u64), answered: Credit) -> Option<(u64, u64)> {
    let messages = asked.0.checked_sub(answered.messages.into())?;
    Some((messages, asked.1.checked_sub(answered.bytes)?))
}
