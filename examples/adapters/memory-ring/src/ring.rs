// SPDX-License-Identifier: BSD-3-Clause
//! Slots and credits: the transport of the adapter, as a state machine without waiting.
//!
//! ```text
//!              ┌────────────── window ──────────────┐
//!   push ────► │ slot │ slot │ slot │      │        │ ────► pop
//!   takes one  └────────────────────────────────────┘   owes one
//!   credit ▲                                              │
//!          └────────── grant, in batches ◄────────────────┘
//! ```
//!
//! # Invariants
//!
//! 1. `credits + slots in use + owed = window`: nothing grows beyond the window.
//! 2. What was pushed first is popped first.
//! 3. Credits are owed for at most a batch, and not at all once the ring is empty: a producer never
//!    waits for a credit that is never granted.

use std::collections::VecDeque;

/// A ring of a fixed number of slots.
#[derive(Debug)]
pub(crate) struct Ring<T> {
    slots: VecDeque<T>,
    /// Slots that producers may fill.
    credits: usize,
    /// Slots that were emptied and are not granted yet.
    owed: usize,
    grant: usize,
    closed: bool,
}

/// Why nothing was pushed or popped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refused {
    WouldBlock,
    Closed,
}

/// The state after a push or a pop, for waking other operations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Left {
    /// A push can succeed.
    pub(crate) room: bool,
    /// A pop can succeed.
    pub(crate) filled: bool,
}

impl<T> Ring<T> {
    pub(crate) fn new(window: usize, grant: usize) -> Self {
        let slots = VecDeque::with_capacity(window);
        Self {
            slots,
            credits: window,
            owed: 0,
            grant: grant.clamp(1, window.max(1)),
            closed: false,
        }
    }

    /// Fills a slot and takes a credit. If it is refused, the value is returned.
    pub(crate) fn push(&mut self, value: T) -> Result<Left, (Refused, T)> {
        if self.closed {
            return Err((Refused::Closed, value));
        }
        if self.credits == 0 {
            return Err((Refused::WouldBlock, value));
        }
        self.credits -= 1;
        self.slots.push_back(value);
        Ok(self.left())
    }

    /// Empties the oldest slot. Its credit is returned with a batch.
    pub(crate) fn pop(&mut self) -> Result<(T, Left), Refused> {
        let refused = if self.closed { Refused::Closed } else { Refused::WouldBlock };
        let value = self.slots.pop_front().ok_or(refused)?;
        self.owed += 1;
        if self.owed >= self.grant || self.slots.is_empty() {
            self.credits += std::mem::take(&mut self.owed);
        }
        Ok((value, self.left()))
    }

    /// Closes the ring: pushes fail, and the remaining values can be popped.
    pub(crate) fn close(&mut self) {
        self.closed = true;
    }

    pub(crate) fn len(&self) -> usize {
        self.slots.len()
    }

    fn left(&self) -> Left {
        Left { room: self.credits > 0, filled: !self.slots.is_empty() }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Any order of pushes and pops: the window holds, the order holds, and no credit is kept
        /// back for ever.
        #[test]
        fn the_window_holds(
            window in 1..9_usize,
            grant in 0..12_usize,
            steps in prop::collection::vec(any::<bool>(), 0..100),
        ) {
            let mut ring = Ring::new(window, grant);
            let (mut pushed, mut popped) = (0, 0);
            for push in steps {
                if push {
                    match ring.push(pushed) {
                        Ok(left) => {
                            pushed += 1;
                            assert!(left.filled);
                        }
                        Err((refused, value)) => {
                            assert_eq!((refused, value), (Refused::WouldBlock, pushed));
                            assert_eq!(ring.credits, 0);
                        }
                    }
                } else {
                    match ring.pop() {
                        Ok((value, _)) => {
                            assert_eq!(value, popped);
                            popped += 1;
                        }
                        Err(refused) => {
                            assert_eq!((refused, pushed), (Refused::WouldBlock, popped));
                            assert_eq!(ring.credits, window, "an empty ring owes nothing");
                        }
                    }
                }
                assert_eq!(ring.credits + ring.len() + ring.owed, window);
                assert!(ring.owed < ring.grant);
            }
            ring.close();
            assert_eq!(ring.push(0).unwrap_err().0, Refused::Closed);
            assert!(std::iter::from_fn(|| ring.pop().ok()).map(|(value, _)| value).eq(popped..pushed));
            assert_eq!(ring.pop().unwrap_err(), Refused::Closed);
        }
    }

    #[test]
    fn credits_go_back_in_batches() {
        let mut ring = Ring::new(4, 2);
        assert!((0..4).all(|value| ring.push(value).is_ok()));
        assert!(!ring.pop().unwrap().1.room, "one is owed");
        assert!(ring.pop().unwrap().1.room, "two are granted");
    }
}
