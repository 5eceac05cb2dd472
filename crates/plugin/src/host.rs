// SPDX-License-Identifier: BSD-3-Clause
//! [`Host`]: what the plugin may ask of its host.
//!
//! # Safety
//!
//! *The table and its context.* The ABI promises that a host's table, and the context passed back
//! to it, stay valid for the rest of the process, whatever becomes of the plugin. So a `Host` is
//! `Copy`, `Send`, `Sync` and `'static`, and a call through a stale one is refused by the host, not
//! undefined.
//!
//! *Functions missing from an older host's table* are filled in by `fallback` before a `Host` is
//! made, so every slot of the table may be called.

use std::ffi::c_void;
use std::fmt;
use std::time::Duration;

use becket_abi::{
    BK_METRIC_COUNTER, BK_METRIC_GAUGE, BK_METRIC_HISTOGRAM, BK_NO_DEADLINE, BkHostApi, NrBytes,
    NrStatus, NrStr,
};
use serde::de::DeserializeOwned;

use crate::error::{ConfigError, SendError, StateError, TimerError};
use crate::log::Level;
use crate::metrics::{Counter, Gauge, Histogram};
use crate::owned::OwnedBytes;
use crate::timer::{self, Sleep, Timer, Timers};

/// What belongs to a plugin's slot and outlives each instance in it.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) config_default: &'static str,
    pub(crate) timers: Timers,
}

/// The host that loaded the plugin. Copy it freely; it may be used from any thread.
#[derive(Clone, Copy)]
pub struct Host {
    ctx: *mut c_void,
    api: &'static BkHostApi,
    shared: &'static Shared,
}

// SAFETY: see "The table and its context" above: every function may be called from any thread.
unsafe impl Send for Host {}
// SAFETY: as above.
unsafe impl Sync for Host {}

impl Host {
    /// # Safety
    /// `ctx` belongs to `api`, whose every slot may be called with it, from any thread, for the
    /// rest of the process.
    pub(crate) const unsafe fn new(
        ctx: *mut c_void,
        api: &'static BkHostApi,
        shared: &'static Shared,
    ) -> Self {
        Self { ctx, api, shared }
    }

    pub(crate) const fn ctx(self) -> *mut c_void {
        self.ctx
    }

    pub(crate) const fn api(self) -> &'static BkHostApi {
        self.api
    }

    pub(crate) const fn timers(self) -> &'static Timers {
        &self.shared.timers
    }

    /// True if the host has every function that this SDK knows: state, timers, logs, metrics,
    /// configuration, coroutines. False also for an older host, which has some of them.
    #[must_use]
    pub const fn has_extras(self) -> bool {
        self.api.struct_size as usize >= size_of::<BkHostApi>()
    }

    // Logs.

    /// True if a line of this level would go anywhere.
    #[must_use]
    pub fn log_enabled(self, level: Level) -> bool {
        // SAFETY: see the module's note.
        unsafe { (self.api.log_enabled)(self.ctx, level as u32) != 0 }
    }

    /// Logs one line. [`crate::log!`] formats only if the level is enabled.
    pub fn log(self, level: Level, target: &str, message: fmt::Arguments<'_>) {
        let formatted;
        let text = match message.as_str() {
            Some(text) => text,
            None => {
                formatted = message.to_string();
                &formatted
            }
        };
        // SAFETY: see the module's note; the views are borrowed for the call.
        unsafe {
            (self.api.log)(self.ctx, level as u32, NrStr::from_str(target), NrStr::from_str(text));
        }
    }

    // Metrics.

    fn metric(self, kind: u32, name: &str, help: &str) -> u32 {
        let (name, help) = (NrStr::from_str(name), NrStr::from_str(help));
        // SAFETY: see the module's note; the views are borrowed for the call.
        unsafe { (self.api.metric_register)(self.ctx, kind, name, help) }
    }

    /// The counter of this name. Ask once, in `start`, and keep the handle.
    #[must_use]
    pub fn counter(self, name: &str, help: &str) -> Counter {
        Counter::new(self, self.metric(BK_METRIC_COUNTER, name, help))
    }

    /// The gauge of this name.
    #[must_use]
    pub fn gauge(self, name: &str, help: &str) -> Gauge {
        Gauge::new(self, self.metric(BK_METRIC_GAUGE, name, help))
    }

    /// The histogram of this name.
    #[must_use]
    pub fn histogram(self, name: &str, help: &str) -> Histogram {
        Histogram::new(self, self.metric(BK_METRIC_HISTOGRAM, name, help))
    }

    // Configuration.

    /// The plugin's configuration as JSON text: the host's, else the plugin's default, else `{}`.
    #[must_use]
    pub fn config_text(self) -> String {
        // SAFETY: see the module's note; the view lives as long as the plugin, and is copied here.
        let text = unsafe { (self.api.config)(self.ctx).as_str() };
        [text, self.shared.config_default, "{}"]
            .into_iter()
            .find(|text| !text.is_empty())
            .unwrap_or_default()
            .to_owned()
    }

    /// The plugin's configuration, read into its own type.
    ///
    /// # Errors
    /// [`ConfigError`] if it does not fit, with the place and what was expected.
    pub fn config<T: DeserializeOwned>(self) -> Result<T, ConfigError> {
        Ok(serde_json::from_str(&self.config_text())?)
    }

    // Timers.

    /// Runs `callback` once, on a thread of the host, `delay` from now. Dropping the [`Timer`]
    /// cancels it.
    ///
    /// # Errors
    /// [`TimerError`]; the callback is dropped.
    pub fn timer(
        self,
        delay: Duration,
        callback: impl FnOnce() + Send + 'static,
    ) -> Result<Timer, TimerError> {
        timer::start(self, delay, Box::new(callback))
    }

    /// A future that is ready `delay` from now. Dropping it cancels its timer.
    ///
    /// # Errors
    /// [`TimerError`].
    pub fn sleep(self, delay: Duration) -> Result<Sleep, TimerError> {
        Sleep::start(self, delay)
    }

    // What belongs to one call; the public way to it is `Call`, `Context`, `Responder`, `Sink`.

    #[inline]
    pub(crate) fn send(self, sid: u64, status: NrStatus, body: &[u8]) -> NrStatus {
        // SAFETY: see the module's note; the view is borrowed for the call.
        unsafe { (self.api.send)(self.ctx, sid, status, NrBytes::from_slice(body)) }
    }

    pub(crate) fn send_wait(self, sid: u64, body: &[u8], timeout: Duration) -> NrStatus {
        let body = NrBytes::from_slice(body);
        // SAFETY: see the module's note; the view is borrowed for the call.
        unsafe { (self.api.send_wait)(self.ctx, sid, NrStatus::Ok, body, timer::millis(timeout)) }
    }

    /// On `Full` the bytes come back.
    pub(crate) fn send_owned(
        self,
        sid: u64,
        status: NrStatus,
        body: OwnedBytes,
    ) -> Result<(), (SendError, OwnedBytes)> {
        let raw = body.into_raw();
        // SAFETY: see the module's note; `into_raw` gave the bytes away, and the host releases
        // them once.
        let taken = unsafe { (self.api.send_owned)(self.ctx, sid, status, raw) };
        match SendError::check(taken) {
            Ok(()) => Ok(()),
            // SAFETY: the host said Backpressure, so it released nothing: the bytes are ours.
            Err(SendError::Full) => Err((SendError::Full, unsafe { OwnedBytes::from_raw(raw) })),
            Err(other) => Err((other, OwnedBytes::default())),
        }
    }

    pub(crate) fn stream_ready(self, sid: u64) {
        // SAFETY: see the module's note.
        let _ = unsafe { (self.api.stream_ready)(self.ctx, sid) };
    }

    pub(crate) fn is_cancelled(self, sid: u64) -> bool {
        // SAFETY: see the module's note.
        unsafe { (self.api.is_cancelled)(self.ctx, sid) != 0 }
    }

    pub(crate) fn remaining(self, sid: u64) -> Option<Duration> {
        // SAFETY: see the module's note.
        match unsafe { (self.api.remaining_ms)(self.ctx, sid) } {
            BK_NO_DEADLINE => None,
            ms => Some(Duration::from_millis(ms)),
        }
    }

    pub(crate) fn state_set(self, sid: u64, key: &str, value: &[u8]) -> Result<(), StateError> {
        let (key, value) = (NrStr::from_str(key), NrBytes::from_slice(value));
        // SAFETY: see the module's note; the views are borrowed for the call.
        match unsafe { (self.api.state_set)(self.ctx, sid, key, value) } {
            NrStatus::Ok => Ok(()),
            other => Err(StateError::of(other)),
        }
    }

    pub(crate) fn state_get(self, sid: u64, key: &str) -> Result<Option<Vec<u8>>, StateError> {
        let key = NrStr::from_str(key);
        let mut buffer = vec![0; STATE_FIRST_READ_BYTES];
        loop {
            let mut len = 0_u64;
            // SAFETY: see the module's note; the buffer is writable for its whole length, and the
            // host writes no more than that.
            let status = unsafe {
                let (buf, cap) = (buffer.as_mut_ptr(), buffer.len() as u64);
                (self.api.state_get)(self.ctx, sid, key, buf, cap, &raw mut len)
            };
            match status {
                NrStatus::Ok => {}
                NrStatus::Err => return Ok(None),
                other => return Err(StateError::of(other)),
            }
            let len = usize::try_from(len).unwrap_or(usize::MAX);
            if len <= buffer.len() {
                buffer.truncate(len);
                return Ok(Some(buffer));
            }
            // The value was longer, or has grown since: read it again in full.
            if buffer.try_reserve_exact(len - buffer.len()).is_err() {
                return Err(StateError::Quota);
            }
            buffer.resize(len, 0);
        }
    }
}

/// Enough for most values, so that one call reads them.
const STATE_FIRST_READ_BYTES: usize = 128;

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Host").field("has_extras", &self.has_extras()).finish_non_exhaustive()
    }
}
