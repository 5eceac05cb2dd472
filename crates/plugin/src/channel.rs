// SPDX-License-Identifier: BSD-3-Clause
//! Coroutines of the plugin's own, and channels between them.
//!
//! # Safety
//!
//! What a coroutine runs is boxed, handed to the host as the one argument of a function of ours, and
//! comes back once, or not at all: where the host refuses, the box is taken back here. Channels are
//! numbers, which the host checks.

use std::ffi::c_void;
use std::fmt;
use std::time::Duration;

use becket_abi::NrBytes;

use crate::boundary::guard;
use crate::host::Host;
use crate::wait::{Message, WaitError, nanos};

struct Work {
    host: Host,
    run: Box<dyn FnOnce() + Send>,
}

unsafe extern "C" fn run(argument: *mut c_void) {
    // SAFETY: `spawn` made the box for this one call.
    let work = unsafe { Box::from_raw(argument.cast::<Work>()) };
    let host = work.host;
    guard("a spawned coroutine", || Some(host), work.run);
}

impl Host {
    /// Runs `work` on a coroutine of its own. Spawned by a handler it serves the same call: its waits
    /// are cancelled with it. A panic in it is caught and logged.
    ///
    /// # Errors
    /// [`WaitError::Refused`] at the plugin's quota of coroutines; [`WaitError::Unsupported`] on a
    /// host without any.
    pub fn spawn(self, work: impl FnOnce() + Send + 'static) -> Result<(), WaitError> {
        let work = Box::into_raw(Box::new(Work { host: self, run: Box::new(work) }));
        // SAFETY: see the module's note.
        let status = unsafe { (self.api().coroutine_spawn)(self.ctx(), Some(run), work.cast(), 0) };
        let spawned = WaitError::check(status);
        if spawned.is_err() {
            // SAFETY: the host will not run it, so it is ours again.
            drop(unsafe { Box::from_raw(work) });
        }
        spawned
    }

    /// A channel for `capacity` messages; with 0 each send waits for its receiver.
    ///
    /// # Errors
    /// [`WaitError::Unsupported`]: the host has none, or no more of them.
    pub fn channel(self, capacity: u64) -> Result<Channel, WaitError> {
        // SAFETY: see the module's note.
        let id = unsafe { (self.api().channel_make)(self.ctx(), capacity) };
        if id == 0 { Err(WaitError::Unsupported) } else { Ok(Channel { host: self, id }) }
    }
}

/// A channel of byte messages within the plugin: any number of senders and receivers, which share it
/// (in an `Arc`). Dropping it closes it, and drops the messages in it.
pub struct Channel {
    host: Host,
    id: u64,
}

impl Channel {
    /// Sends a copy, when there is room.
    ///
    /// # Errors
    /// [`WaitError`]: it was not taken.
    pub fn send(&self, message: &[u8]) -> Result<(), WaitError> {
        self.send_any(message, None)
    }

    /// As [`Self::send`], for at most `within`.
    ///
    /// # Errors
    /// As there, and [`WaitError::Timeout`].
    pub fn send_within(&self, message: &[u8], within: Duration) -> Result<(), WaitError> {
        self.send_any(message, Some(within))
    }

    fn send_any(&self, message: &[u8], within: Option<Duration>) -> Result<(), WaitError> {
        let (host, message) = (self.host, NrBytes::from_slice(message));
        // SAFETY: see the module's note; the view is borrowed for the call.
        let status =
            unsafe { (host.api().channel_send)(host.ctx(), self.id, message, nanos(within)) };
        WaitError::check(status)
    }

    /// Waits for a message.
    ///
    /// # Errors
    /// [`WaitError::Closed`] when the channel is closed and empty; or another [`WaitError`].
    pub fn recv(&self) -> Result<Message, WaitError> {
        self.recv_any(None)
    }

    /// As [`Self::recv`], for at most `within`.
    ///
    /// # Errors
    /// As there, and [`WaitError::Timeout`].
    pub fn recv_within(&self, within: Duration) -> Result<Message, WaitError> {
        self.recv_any(Some(within))
    }

    fn recv_any(&self, within: Option<Duration>) -> Result<Message, WaitError> {
        let host = self.host;
        // SAFETY: see the module's note; the host writes to the place before it returns.
        Message::receive(|out| unsafe {
            (host.api().channel_recv)(host.ctx(), self.id, out, nanos(within))
        })
    }

    /// Nothing more is sent; what was sent can be received.
    pub fn close(&self) {
        // SAFETY: see the module's note.
        let _ = unsafe { (self.host.api().channel_close)(self.host.ctx(), self.id) };
    }
}

impl Drop for Channel {
    fn drop(&mut self) {
        // SAFETY: see the module's note.
        let _ = unsafe { (self.host.api().channel_destroy)(self.host.ctx(), self.id) };
    }
}

impl fmt::Debug for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Channel").field("id", &self.id).finish_non_exhaustive()
    }
}
