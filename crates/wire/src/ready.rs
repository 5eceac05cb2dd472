// SPDX-License-Identifier: BSD-3-Clause
//! The scheduler of streams: for each priority class a list of those that can send.
//!
//! ```text
//!              quantum used up                     no session credit for its next element
//!             ┌─────────┐
//!   has ───▶ [ in turn …  ] ───────────────────────────▶ [ waiting … ]
//!   items          │    ▲                                      │
//!                  ▼    └──────────────────────────────────────┘
//!             queue empty           credit arrived and is reserved for its element
//! ```
//!
//! The highest class that is not empty is served first. Within a class: deficit round robin
//! (Shreedhar and Varghese, 1995). In its round a stream gets a quantum of bytes and sends while the
//! next piece fits into its deficit. Work for each piece is O(1): a piece takes at most 64 rounds (by
//! the least quantum, see `Limits::quantum_bytes`).
//!
//! 1. A stream is in at most one list, from the time that an element, a return or an end is queued
//!    until nothing of it is left to send.
//! 2. An element that has begun does not wait: its credit was spent as a whole. So streams that wait
//!    for session credit never block the elements whose delivery will return it.
//! 3. Streams that wait are served in order, the higher class first, and no stream of the same class or
//!    a lower one overtakes them: long elements do not starve.
//! 4. A stream that is reset leaves a dead entry. When these are the majority they are removed, so the
//!    lists have at most twice as many entries as there are streams, plus 128.

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

    /// The first stream of this class, and whether it is the only one.
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

    /// Moves the first stream to those that wait for session credit.
    pub(crate) fn park(&mut self, class: usize) {
        let id = self.pop(class);
        if let (Some(id), Some(list)) = (id, self.waiting.get_mut(class)) {
            list.push_back(id);
        }
    }

    /// No stream has elements to send.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        let [high, normal, low] = &self.in_turn;
        high.is_empty() & normal.is_empty() & low.is_empty() & self.none_waits()
    }

    /// No stream waits for session credit.
    #[inline]
    pub(crate) fn none_waits(&self) -> bool {
        let [high, normal, low] = &self.waiting;
        high.is_empty() & normal.is_empty() & low.is_empty()
    }

    /// The stream of this class that has waited longest.
    #[inline]
    pub(crate) fn waiting(&self, class: usize) -> Option<StreamId> {
        self.waiting.get(class)?.front().copied()
    }

    /// Removes the stream of this class that has waited longest.
    pub(crate) fn pop_waiting(&mut self, class: usize) -> Option<StreamId> {
        self.waiting.get_mut(class)?.pop_front()
    }

    /// Whether a stream of this class or a higher one waits for session credit.
    #[inline]
    pub(crate) fn anyone_waits(&self, priority: Priority) -> bool {
        self.waiting.iter().take(priority as usize + 1).any(|list| !list.is_empty())
    }

    /// A dead entry was removed.
    pub(crate) fn buried(&mut self) {
        self.dead = self.dead.saturating_sub(1);
    }

    /// No stream of this class or a higher one has elements to send.
    #[inline]
    pub(crate) fn is_free(&self, priority: Priority) -> bool {
        let empty = self.in_turn.iter().take(priority as usize + 1).all(VecDeque::is_empty);
        empty && !self.anyone_waits(priority)
    }

    /// A listed stream was reset. `live`: whether a stream is still listed.
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

    /// Removes all entries and frees the memory.
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Removes all entries.
    pub(crate) fn renew(&mut self) {
        self.in_turn.iter_mut().chain(&mut self.waiting).for_each(VecDeque::clear);
        self.dead = 0;
    }
}
