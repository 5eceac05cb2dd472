// SPDX-License-Identifier: BSD-3-Clause
//! Waiting in straight-line code, in a handler that runs on a coroutine of the host.
//!
//! [`crate::Entry::coroutine`] and [`crate::Entry::session`] make such handlers. What is here also
//! waits on a thread that the plugin has started itself. On a thread of the host, that is in every
//! other handler, nothing may wait: it is [`WaitError::Unsupported`].
//!
//! A wait is [`WaitError::Cancelled`] when the call that the handler serves has no caller any more,
//! or the plugin is about to end. The handler should return then (`?` does): the host abandons one
//! that keeps waiting, and nothing that it holds is dropped.
//!
//! # Safety
//!
//! The host's functions may be called from any thread with anything (see [`crate::Host`]). Bytes
//! that the host hands out are read until their one release, which is [`Message`]'s drop.

use std::fmt;
use std::ops::Deref;
use std::time::Duration;

use becket_abi::{BK_FOREVER, NrBytes, NrOwnedBytes, NrStatus};
use thiserror::Error;

use crate::host::Host;

/// Why a wait ended without a result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum WaitError {
    /// The timeout passed.
    #[error("it did not come in time")]
    Timeout,
    /// The call has no caller any more, or the plugin is about to end.
    #[error("the call has no caller any more")]
    Cancelled,
    /// The other side has closed.
    #[error("the other side has closed")]
    Closed,
    /// It is longer than the host takes; nothing of it was sent.
    #[error("it is longer than the host takes")]
    TooLong,
    /// This thread may not wait, or the host has no coroutines.
    #[error("nothing may wait here: it needs a host with coroutines")]
    Unsupported,
    /// The host refused for another reason.
    #[error("the host refused with {0}")]
    Refused(NrStatus),
}

impl WaitError {
    pub(crate) const fn check(status: NrStatus) -> Result<(), Self> {
        match status {
            NrStatus::Ok => Ok(()),
            NrStatus::Timeout => Err(Self::Timeout),
            NrStatus::Cancelled => Err(Self::Cancelled),
            NrStatus::Closed => Err(Self::Closed),
            NrStatus::Unsupported => Err(Self::Unsupported),
            NrStatus::TooLong => Err(Self::TooLong),
            other => Err(Self::Refused(other)),
        }
    }
}

/// A timeout as the ABI has it, in nanoseconds; one beyond a `u64` has no limit.
pub(crate) fn nanos(within: Option<Duration>) -> u64 {
    within.and_then(|within| u64::try_from(within.as_nanos()).ok()).unwrap_or(BK_FOREVER)
}

/// Bytes that were received: the host's, read in place, and released when this is dropped.
pub struct Message(NrOwnedBytes);

// SAFETY: the bytes are this value's alone until it is dropped, which may be on any thread (ABI).
unsafe impl Send for Message {}
// SAFETY: they are only read.
unsafe impl Sync for Message {}

impl Message {
    /// Receives one with `recv`, which is given the place for it.
    pub(crate) fn receive(
        recv: impl FnOnce(*mut NrOwnedBytes) -> NrStatus,
    ) -> Result<Self, WaitError> {
        let mut message = Self(NrOwnedBytes::EMPTY);
        WaitError::check(recv(&raw mut message.0))?;
        Ok(message)
    }
}

impl Deref for Message {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: the host's view, valid until the release in `drop`.
        unsafe { NrBytes { ptr: self.0.ptr, len: self.0.len }.as_slice() }
    }
}

impl Drop for Message {
    fn drop(&mut self) {
        if let Some(release) = self.0.release {
            // SAFETY: the host gave the bytes with this function; this is the one release.
            unsafe { release(self.0.owner_ctx, self.0.ptr, self.0.len) };
        }
    }
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Message({} bytes)", self.len())
    }
}

/// Waiting, where a handler runs on a coroutine. See [`crate::Entry::coroutine`].
impl Host {
    /// The id of the calling coroutine; `None` on a thread.
    #[must_use]
    pub fn coroutine(self) -> Option<u64> {
        // SAFETY: see the module's note.
        let id = unsafe { (self.api().coroutine_current)(self.ctx()) };
        (id != 0).then_some(id)
    }

    /// Lets other handlers run first.
    ///
    /// # Errors
    /// [`WaitError`].
    pub fn yield_now(self) -> Result<(), WaitError> {
        // SAFETY: see the module's note.
        WaitError::check(unsafe { (self.api().coroutine_yield)(self.ctx()) })
    }

    /// Waits for `duration`. ([`Self::sleep`] is for futures.)
    ///
    /// # Errors
    /// [`WaitError`]; `Cancelled` before the time has passed.
    pub fn pause(self, duration: Duration) -> Result<(), WaitError> {
        // SAFETY: see the module's note.
        WaitError::check(unsafe { (self.api().coroutine_sleep)(self.ctx(), nanos(Some(duration))) })
    }
}
