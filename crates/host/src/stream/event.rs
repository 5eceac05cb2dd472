// SPDX-License-Identifier: BSD-3-Clause
//! Wakes all that wait at this moment, and none that begin to wait later.
//!
//! All that wait at the same time share a cancel token; a notification cancels that token, and the next
//! waiter makes another. So a waiter may be a task, a thread or a coroutine, and none can
//! take a notification that was another's.

use becket_chan::Token;

use crate::reentry::Mutex;

/// See the module's documentation.
#[derive(Debug, Default)]
pub(super) struct Event(Mutex<Option<Token>>);

impl Event {
    /// What the next notification cancels, or `None` if there is nothing to wait for any more.
    ///
    /// `must_wait` runs under the lock that a notification takes too: what changed before one is
    /// seen by it, or the notification comes after.
    pub(super) fn listen(&self, must_wait: impl FnOnce() -> bool) -> Option<Token> {
        let mut next = self.0.lock();
        must_wait().then(|| next.get_or_insert_with(Token::new).clone())
    }

    /// Wakes all that wait.
    pub(super) fn notify(&self) {
        let token = self.0.lock().take();
        if let Some(token) = token {
            token.cancel();
        }
    }
}
