// SPDX-License-Identifier: BSD-3-Clause
//! An action at an instant of the runtime's clock, unless it is cancelled.
//!
//! A coroutine parks until then: that is its whole cost while it is set. It follows the virtual
//! clock if that is the runtime's.

use std::time::Instant;

use becket_chan::Token;

use crate::{SpawnError, launch::Options, runtime::spawn_with};

/// Cancels the action when dropped.
#[derive(Debug)]
pub(crate) struct Alarm {
    off: Token,
}

impl Alarm {
    /// Runs `action` at `at`, on the runtime of the options.
    pub(crate) fn set(
        options: &Options,
        at: Instant,
        action: impl FnOnce() + Send + 'static,
    ) -> Result<Self, SpawnError> {
        let off = Token::new();
        let called_off = off.clone();
        let options = Options { name: Some("deadline".into()), ..options.clone() };
        spawn_with(options, move || {
            if !called_off.cancelled().deadline(at).wait() {
                action();
            }
        })?;
        Ok(Self { off })
    }
}

impl Drop for Alarm {
    fn drop(&mut self) {
        self.off.cancel();
    }
}
