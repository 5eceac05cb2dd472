// SPDX-License-Identifier: BSD-3-Clause
//! Cancellations of calls that a node does not have: of another node's, of calls that are over, and of calls that
//! are still on their way, which must not run when they come.
//!
//! The last [`REPLIES_MAX`] are kept. A host uses a reply subject once, so one that is kept for nothing does no harm.

use std::collections::VecDeque;

use foldhash::{HashSet, HashSetExt as _};

/// How many are kept: a call that more cancellations than these overtake runs until its deadline.
pub(super) const REPLIES_MAX: usize = 4096;

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct Cancelled {
    replies: HashSet<String>,
    /// From the oldest on.
    order: VecDeque<String>,
}

impl Cancelled {
    pub(super) fn new() -> Self {
        Self { replies: HashSet::new(), order: VecDeque::new() }
    }

    pub(super) fn put(&mut self, reply: &str) {
        if !self.replies.insert(reply.to_owned()) {
            return;
        }
        self.order.push_back(reply.to_owned());
        if self.order.len() > REPLIES_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.replies.remove(&oldest);
        }
    }

    pub(super) fn has(&self, reply: &str) -> bool {
        self.replies.contains(reply)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_ones_are_kept_and_no_more() {
        let mut cancelled = Cancelled::new();
        for at in 0..=REPLIES_MAX {
            cancelled.put(&format!("inbox.{at}"));
            cancelled.put(&format!("inbox.{at}"));
        }
        assert!(!cancelled.has("inbox.0"));
        assert!((1..=REPLIES_MAX).all(|at| cancelled.has(&format!("inbox.{at}"))));
        assert_eq!((cancelled.replies.len(), cancelled.order.len()), (REPLIES_MAX, REPLIES_MAX));
    }
}
