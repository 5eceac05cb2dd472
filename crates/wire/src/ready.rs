// SPDX-License-Identifier: BSD-3-Clause
//! Whose turn it is to send: one list of streams for each class of priority.
//!
//! The most urgent class that has something goes first. Within a class: deficit round robin (Shreedhar
//! and Varghese, 1995). A stream whose turn it is gets its quantum of bytes and sends while the next
//! piece fits into what it has; then the next one. Work for each piece is O(1): a piece takes at most
//! 64 turns (the quantum's least, see `Limits::quantum_bytes`).
//!
//! 1. A stream is in a list at most once, if it has something to send.
//! 2. Streams that end by force leave a dead entry. When those are the greater part they are swept
//!    out, so the lists are never longer than twice the streams, plus 128.

use std::collections::VecDeque;

use crate::{Priority, StreamId};

const DEAD_LEAST: usize = 64;

#[derive(Debug, Default)]
pub(crate) struct Ready {
    classes: [VecDeque<StreamId>; Priority::CLASSES],
    dead: usize,
}

impl Ready {
    /// Makes room for one more stream, so that listing it later allocates nothing.
    pub(crate) fn reserve(&mut self, priority: Priority, streams: usize) {
        if let Some(list) = self.classes.get_mut(priority as usize) {
            list.reserve(streams.saturating_sub(list.len()));
        }
    }

    #[inline]
    pub(crate) fn push(&mut self, priority: Priority, id: StreamId) {
        if let Some(list) = self.classes.get_mut(priority as usize) {
            list.push_back(id);
        }
    }

    /// The stream whose turn it is in this class, and whether it is alone there.
    #[inline]
    pub(crate) fn front(&self, class: usize) -> Option<(StreamId, bool)> {
        let list = self.classes.get(class)?;
        Some((*list.front()?, list.len() == 1))
    }

    pub(crate) fn rotate(&mut self, class: usize) {
        if let Some(list) = self.classes.get_mut(class) {
            list.rotate_left(usize::from(list.len() > 1));
        }
    }

    pub(crate) fn pop(&mut self, class: usize) {
        if let Some(list) = self.classes.get_mut(class) {
            list.pop_front();
        }
    }

    /// The front entry was a dead one, and is gone.
    pub(crate) fn buried(&mut self) {
        self.dead = self.dead.saturating_sub(1);
    }

    /// No stream of this class or a more urgent one has anything to send.
    #[inline]
    pub(crate) fn is_free(&self, priority: Priority) -> bool {
        self.classes.iter().take(priority as usize + 1).all(VecDeque::is_empty)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.classes.iter().all(VecDeque::is_empty)
    }

    /// A listed stream has ended by force. `live` says which ones are still listed.
    pub(crate) fn forget(&mut self, live: impl Fn(StreamId) -> bool) {
        self.dead += 1;
        let entries: usize = self.classes.iter().map(VecDeque::len).sum();
        if self.dead > DEAD_LEAST && self.dead * 2 > entries {
            for list in &mut self.classes {
                list.retain(|id| live(*id));
            }
            self.dead = 0;
        }
    }

    /// Entries, dead ones too.
    pub(crate) fn len(&self) -> usize {
        self.classes.iter().map(VecDeque::len).sum()
    }

    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }
}
