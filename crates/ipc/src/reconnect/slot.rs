// SPDX-License-Identifier: BSD-3-Clause
//! What there is now: something, nothing yet, or nothing ever again.
//!
//! Whoever waits for a change waits on a token that is cancelled with it, so that who gives up
//! leaves nothing behind.

use becket_chan::Token;
use parking_lot::Mutex;

use crate::connection::Ended;

#[derive(Debug, Clone)]
pub(super) enum Now<T> {
    Away,
    There(T),
    Never(Ended),
}

#[derive(Debug)]
pub(super) struct Slot<T> {
    state: Mutex<(Now<T>, Token)>,
}

impl<T> Default for Slot<T> {
    fn default() -> Self {
        Self { state: Mutex::new((Now::Away, Token::new())) }
    }
}

impl<T: Clone> Slot<T> {
    /// What there is, and what is cancelled when that changes.
    pub(super) fn get(&self) -> (Now<T>, Token) {
        self.state.lock().clone()
    }

    pub(super) fn set(&self, now: Now<T>) {
        let (before, changed) = std::mem::replace(&mut *self.state.lock(), (now, Token::new()));
        // Outside the lock: they call in.
        drop(before);
        changed.cancel();
    }

    /// Nothing has changed, but whoever waits for a change is to look.
    pub(super) fn nudge(&self) {
        let changed = std::mem::take(&mut self.state.lock().1);
        changed.cancel();
    }

    /// Waits until there is one that is live; also gives what is cancelled when it is no more.
    pub(super) async fn there(&self, is_live: impl Fn(&T) -> bool) -> Result<(T, Token), Ended> {
        loop {
            let (now, changed) = self.get();
            match now {
                Now::There(it) if is_live(&it) => return Ok((it, changed)),
                Now::Never(ended) => return Err(ended),
                _ => {}
            }
            changed.cancelled().await;
        }
    }
}
