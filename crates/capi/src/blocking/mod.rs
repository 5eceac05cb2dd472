// SPDX-License-Identifier: BSD-3-Clause
//! `kc_blocking.h`: calls that block, and waiting for file descriptors.
//!
//! | module | contents |
//! |---|---|
//! | `offload` | a call on a thread that may be blocked |
//! | `transfer` | reading and writing to the end |
//! | `reactor` | the thread that waits for descriptors, with `epoll` |
//!
//! Each wait is a wait for a token, an `Event`, below the token of the caller's context, if it has
//! one: so one wait ends for the event itself and for a cancellation. The deadline of the caller's
//! context, if it has one, shortens each.

pub mod offload;
pub(crate) mod reactor;
pub mod transfer;

use std::ffi::c_int;
use std::time::Instant;

use becket_chan::Token;

use crate::cancel::{self, Cancel};
use crate::context::{self, KC_CTX_KEY_CANCEL};
use crate::errno;
use crate::limit;
pub(crate) use crate::limit::Until;

/// The timeout result of these functions, which is not `KC_ETIME`.
const ETIMEDOUT: c_int = -libc::ETIMEDOUT;

/// Something that happens once, or is cancelled first.
pub(crate) struct Event {
    happened: Token,
    /// The caller's, if it has one.
    cancel: Option<Token>,
    /// The deadline of the caller's context, if it has one.
    deadline: Option<Instant>,
}

impl Event {
    pub(crate) fn new() -> Self {
        let handle = context::current_value(&KC_CTX_KEY_CANCEL).cast::<Cancel>();
        // SAFETY: by the header, the value under this key is a token, and the context holds it.
        let cancel = unsafe { cancel::token(handle) }.cloned();
        Self {
            happened: cancel.as_ref().map_or_else(Token::new, Token::child),
            cancel,
            deadline: context::deadline(),
        }
    }

    /// Whether the context's deadline is before the end of a wait.
    pub(crate) fn is_shortened(&self, until: Until) -> bool {
        self.deadline.is_some_and(|deadline| match until {
            Until::Now => false,
            Until::At(at) => deadline < at,
            Until::Ever => true,
        })
    }

    /// The token to be cancelled when the event happens.
    pub(crate) fn trigger(&self) -> Token {
        self.happened.clone()
    }

    fn is_cancelled(&self) -> bool {
        self.cancel.as_ref().is_some_and(Token::is_cancelled)
    }

    /// Waits; an error: it was cancelled, or the deadline has passed.
    pub(crate) fn wait(&self, until: Until) -> Result<(), c_int> {
        let until = match self.deadline {
            Some(deadline) if self.is_shortened(until) => Until::At(deadline),
            _ => until,
        };
        let happened = limit::wait_for(&self.happened, until);
        if self.is_cancelled() {
            return Err(errno::ECANCELED);
        }
        if happened { Ok(()) } else { Err(ETIMEDOUT) }
    }
}
