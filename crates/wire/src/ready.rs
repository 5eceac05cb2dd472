// SPDX-License-Identifier: BSD-3-Clause
//! Whose turn it is to send: lists of streams for each class of priority.
//!
//! ```text
//!              turn's over                         no session credit for its next element
//!             ┌─────────┐
//!   has ───▶ [ in turn …  ] ───────────────────────────▶ [ waiting … ]
//!   something      │    ▲                                      │
//!                  ▼    └──────────────────────────────────────┘
//!             nothing left          credit came: its element is paid for
//! ```
//!
//! The most urgent class that has something goes first. Within a class: deficit round robin
//! (Shreedhar and Varghese, 1995). A stream whose turn it is gets its quantum of bytes and sends
//! while the next piece fits into what it has; then the next one. Work for each piece is O(1): a
//! piece takes at most 64 turns (the quantum's least, see `Limits::quantum_bytes`).
//!
//! 1. A stream is in one list at most, if it has something to send.
//! 2. An element that has begun waits for nothing: it was paid for as a whole. So those that wait
//!    for session credit never stand in the way of what will bring it.
//! 3. Who waits is served in order, the more urgent class first, and nobody of the same class or a
//!    less urgent one passes by: long elements do not starve.
//! 4. Streams that end by force leave a dead entry. When those are the greater part they are swept
//!    out, so the lists are never longer than twice the streams, plus 128.

use std::collections::VecDeque;

use crate::{Priority, StreamId};

const DEAD_LEAST: usize = 64;

/// Lists that hold the streams of each class.
type Lists = [VecDeque<StreamId>; Priority::CLASSES];

#[derive(Debug, Default)]
pub(crate) struct Ready {
    in_turn: Lists,
    waiting: Lists,
    dead: usize,
}

impl Ready {
    /// Makes room for one more stream, so that listing it later allocates nothing.
    pub(crate) fn reserve(&mut self, priority: Priority, streams: usize) {
        for lists in [&mut self.in_turn, &mut self.waiting] {
            if let Some(list) = lists.get_mut(priority as usize) {
                list.reserve(streams.saturating_sub(list.len()));
            }
        }
    }

    #[inline]
    pub(crate) fn push(&mut self, class: usize, id: StreamId) {
        if let Some(list) = self.in_turn.get_mut(class) {
            list.push_back(id);
        }
    }

    /// The stream whose turn it is in this class, and whether it is alone there.
    #[inline]
    pub(crate) fn front(&self, class: usize) -> Option<(StreamId, bool)> {
        let list = self.in_turn.get(class)?;
        Some((*list.front()?, list.len() == 1))
    }

    pub(crate) fn rotate(&mut self, class: usize) {
        if let Some(list) = self.in_turn.get_mut(class) {
            list.rotate_left(usize::from(list.len() > 1));
        }
    }

    pub(crate) fn pop(&mut self, class: usize) -> Option<StreamId> {
        self.in_turn.get_mut(class)?.pop_front()
    }

    /// The stream whose turn it is waits for session credit.
    pub(crate) fn park(&mut self, class: usize) {
        let id = self.pop(class);
        if let (Some(id), Some(list)) = (id, self.waiting.get_mut(class)) {
            list.push_back(id);
        }
    }

    /// Nobody has anything to send, in any class, or waits.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        let [high, normal, low] = &self.in_turn;
        high.is_empty() & normal.is_empty() & low.is_empty() & self.nobody_waits()
    }

    /// Nobody waits for session credit, in any class.
    #[inline]
    pub(crate) fn nobody_waits(&self) -> bool {
        let [high, normal, low] = &self.waiting;
        high.is_empty() & normal.is_empty() & low.is_empty()
    }

    /// Who has waited longest in this class.
    #[inline]
    pub(crate) fn waiting(&self, class: usize) -> Option<StreamId> {
        self.waiting.get(class)?.front().copied()
    }

    /// Who has waited longest waits no more.
    pub(crate) fn pop_waiting(&mut self, class: usize) -> Option<StreamId> {
        self.waiting.get_mut(class)?.pop_front()
    }

    /// Somebody of this class or a more urgent one waits for session credit.
    #[inline]
    pub(crate) fn anyone_waits(&self, priority: Priority) -> bool {
        self.waiting.iter().take(priority as usize + 1).any(|list| !list.is_empty())
    }

    /// A dead entry has been popped.
    pub(crate) fn buried(&mut self) {
        self.dead = self.dead.saturating_sub(1);
    }

    /// No stream of this class or a more urgent one has anything to send.
    #[inline]
    pub(crate) fn is_free(&self, priority: Priority) -> bool {
        let empty = self.in_turn.iter().take(priority as usize + 1).all(VecDeque::is_empty);
        empty && !self.anyone_waits(priority)
    }

    /// A listed stream has ended by force. `live` says which ones are still listed.
    pub(crate) fn forget(&mut self, live: impl Fn(StreamId) -> bool) {
        self.dead += 1;
        if self.dead > DEAD_LEAST && self.dead * 2 > self.len() {
            for list in self.in_turn.iter_mut().chain(&mut self.waiting) {
                list.retain(|id| live(*id));
            }
            self.dead = 0;
        }
    }

    /// Entries, dead ones too.
    pub(crate) fn len(&self) -> usize {
        self.in_turn.iter().chain(&self.waiting).map(VecDeque::len).sum()
    }

    /// Nobody is listed any more, and the memory is let go.
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Nobody is listed any more.
    pub(crate) fn renew(&mut self) {
        self.in_turn.iter_mut().chain(&mut self.waiting).for_each(VecDeque::clear);
        self.dead = 0;
    }
}
