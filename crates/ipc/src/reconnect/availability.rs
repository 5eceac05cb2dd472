// SPDX-License-Identifier: BSD-3-Clause
//! A value that is available, not yet, or never again.
//!
//! A change is awaited through a token that is cancelled with it, so that a wait that is given up
//! leaves nothing behind.

use becket_chan::Token;
use parking_lot::Mutex;

use crate::connection::Ended;

#[derive(Debug, Clone)]
pub(super) enum Availability<T> {
    Unavailable,
    Available(T),
    Never(Ended),
}

#[derive(Debug)]
pub(super) struct AvailabilityCell<T> {
    state: Mutex<(Availability<T>, Token)>,
}

impl<T> Default for AvailabilityCell<T> {
    fn default() -> Self {
        Self { state: Mutex::new((Availability::Unavailable, Token::new())) }
    }
}

impl<T: Clone> AvailabilityCell<T> {
    /// The current state, and a token that is cancelled when it changes.
    pub(super) fn get(&self) -> (Availability<T>, Token) {
        self.state.lock().clone()
    }

    pub(super) fn set(&self, now: Availability<T>) {
        let (before, changed) = std::mem::replace(&mut *self.state.lock(), (now, Token::new()));
        // Outside the lock: both call in.
        drop(before);
        changed.cancel();
    }

    /// Waits for a value that is live; also returns the token that is cancelled when it changes.
    pub(super) async fn available(
        &self,
        is_live: impl Fn(&T) -> bool,
    ) -> Result<(T, Token), Ended> {
        loop {
            let (now, changed) = self.get();
            match now {
                Availability::Available(it) if is_live(&it) => return Ok((it, changed)),
                Availability::Never(ended) => return Err(ended),
                _ => {}
            }
            changed.cancelled().await;
        }
    }
}
