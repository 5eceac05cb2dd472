// SPDX-License-Identifier: BSD-3-Clause
//! The fake host's records: calls, frames, state, metrics, timers, violations.
//!
//! # Safety
//!
//! An `Inner` is leaked, since the ABI promises a plugin that its host's context is never freed. A
//! timer's `user_data` is the plugin's, passed back as it came.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::ffi::c_void;
use std::fmt;
use std::time::{Duration, Instant};

use becket_abi::{BkTimerFn, NrStatus, ViewError};
use parking_lot::{Condvar, Mutex};

use super::calls::Frame;
use super::waits::Tasks;
use crate::log::Level;
use crate::timer::millis;

/// A test that waits longer than this has found a plugin that does not answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// A violation of a rule of the ABI.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Violation {
    /// An answer or frame for an id that no call has.
    UnknownSid {
        /// The id.
        sid: u64,
    },
    /// A second answer, or a frame after the terminal one.
    AfterEnd {
        /// The call.
        sid: u64,
    },
    /// An answer after the plugin's `cancel` returned. One that crosses the cancellation is
    /// refused, and is no violation.
    AfterCancel {
        /// The call.
        sid: u64,
    },
    /// An answer although `handle` refused the call.
    AfterRefusal {
        /// The call.
        sid: u64,
    },
    /// A payload of `NULL` with a length, or longer than [`Limits::payload_bytes_max`].
    BadPayload {
        /// The call.
        sid: u64,
    },
    /// A commit or release of a lease that is not open, or a commit beyond its capacity.
    BadLease {
        /// What the plugin gave.
        token: u64,
    },
    /// A number recorded under an id that no metric of that kind has.
    BadMetric {
        /// What the plugin gave.
        metric: u32,
    },
    /// `stream_ready` for a stream that refused nothing.
    ReadyWithoutRefusal {
        /// The stream.
        sid: u64,
    },
    /// `describe` and `resolve_entry` do not agree.
    DescribedOtherwise {
        /// The entry.
        entry: String,
    },
}

/// One line that the plugin logged.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct LogLine {
    /// `BK_LOG_*`.
    pub level: u32,
    /// The target.
    pub target: String,
    /// The message.
    pub message: String,
}

/// The fake host's bounds.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Frames in a stream's queue.
    pub stream_frames_max: usize,
    /// Timers at once.
    pub timers_max: usize,
    /// Metrics at all.
    pub metrics_max: usize,
    /// State of one call.
    pub state_bytes_max: usize,
    /// One lease.
    pub lease_bytes_max: usize,
    /// One answer, frame or message from the plugin.
    pub payload_bytes_max: u64,
    /// Virtual milliseconds that a call may take, shown to the plugin; `None`: no deadline.
    pub deadline_ms: Option<u64>,
}

impl Limits {
    /// The real host's defaults.
    pub const DEFAULT: Self = Self {
        stream_frames_max: 1024,
        timers_max: 4096,
        metrics_max: 256,
        state_bytes_max: 64 * 1024,
        lease_bytes_max: 64 * 1024 * 1024,
        payload_bytes_max: 64 * 1024 * 1024,
        deadline_ms: None,
    };
}

impl Default for Limits {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// What is left after the plugin's end.
#[derive(Debug)]
#[non_exhaustive]
pub struct Report {
    /// In the order in which they happened.
    pub violations: Vec<Violation>,
    /// Calls that were neither answered, refused nor cancelled.
    pub unanswered: Vec<u64>,
    /// Timers that were neither run nor cancelled.
    pub timers_left: usize,
    /// Leases that were neither committed nor released.
    pub leases_left: usize,
}

impl Report {
    /// True without violations and with nothing left.
    #[must_use]
    pub const fn is_clean(&self) -> bool {
        self.violations.is_empty()
            && self.unanswered.is_empty()
            && self.timers_left == 0
            && self.leases_left == 0
    }

    /// # Panics
    /// Unless [`Self::is_clean`].
    pub fn assert_clean(&self) {
        if !self.is_clean() {
            fail(format_args!("the plugin broke rules or left things behind: {self:?}"));
        }
    }
}

/// Fails the test.
#[expect(clippy::panic, reason = "a test tool: a panic is how a test fails")]
#[track_caller]
pub(super) fn fail(message: fmt::Arguments<'_>) -> ! {
    panic!("{message}")
}

pub(super) struct Inner {
    pub(super) book: Mutex<Book>,
    pub(super) changed: Condvar,
    pub(super) config: String,
    /// Each value that was asked for, leaked: the ABI lets the plugin keep the view.
    values: Mutex<HashMap<String, &'static str>>,
    pub(super) level: Level,
    pub(super) limits: Limits,
}

#[derive(Default)]
pub(super) struct Book {
    opened: u64,
    pub(super) calls: HashMap<u64, CallBook>,
    pub(super) violations: Vec<Violation>,
    pub(super) logs: Vec<LogLine>,
    pub(super) metrics: Vec<MetricBook>,
    pub(super) timers: BTreeMap<(u64, u64), TimerBook>,
    pub(super) timers_started: u64,
    pub(super) now_ms: u64,
    pub(super) leases: HashMap<u64, (u64, Box<[u8]>)>,
    pub(super) leases_acquired: u64,
    pub(super) tasks: Tasks,
}

pub(super) struct CallBook {
    pub(super) is_stream: bool,
    pub(super) refused: bool,
    pub(super) cancelled: bool,
    /// The plugin's `cancel` has returned.
    pub(super) is_notified: bool,
    pub(super) ended: Option<NrStatus>,
    pub(super) frames: VecDeque<Frame>,
    pub(super) state: HashMap<String, Vec<u8>>,
    /// `stream_data` returned `Backpressure`, and `stream_ready` has not come since.
    pub(super) data_refused: bool,
    /// A frame was answered Backpressure since `stream_room` was last called.
    pub(super) was_full: bool,
    pub(super) ready: u64,
    pub(super) due_ms: Option<u64>,
    /// What `handle` returned, on a thread of its own, other than `Ok`.
    pub(super) returned: Option<NrStatus>,
}

pub(super) struct MetricBook {
    pub(super) kind: u32,
    pub(super) name: String,
    pub(super) value: f64,
}

#[derive(Clone, Copy)]
pub(super) struct TimerBook {
    pub(super) callback: BkTimerFn,
    pub(super) user_data: *mut c_void,
}

// SAFETY: the pointer is only passed back to the plugin, whose timers may run on any thread (ABI).
unsafe impl Send for TimerBook {}

impl CallBook {
    /// Its last frame.
    fn end(&mut self, frame: Frame) {
        self.ended = Some(frame.status);
        self.frames.push_back(frame);
        self.state.clear();
    }
}

impl Inner {
    pub(super) fn leak(config: String, level: Level, limits: Limits) -> &'static Self {
        let (book, changed, values) = (Mutex::default(), Condvar::new(), Mutex::default());
        Box::leak(Box::new(Self { book, changed, config, values, level, limits }))
    }

    /// One value of the configuration by its dotted key: text bare, anything else as JSON.
    pub(super) fn config_value(&self, key: &str) -> Option<&'static str> {
        let mut values = self.values.lock();
        if let Some(known) = values.get(key) {
            return Some(known);
        }
        let config: serde_json::Value = serde_json::from_str(&self.config).ok()?;
        let text = match key.split('.').try_fold(&config, |value, part| value.get(part))? {
            serde_json::Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        let text: &'static str = Box::leak(text.into_boxed_str());
        values.insert(key.to_owned(), text);
        Some(text)
    }

    pub(super) fn open(&self, is_stream: bool) -> u64 {
        let mut book = self.book.lock();
        book.opened += 1;
        // Odd, so that no two are equal; spread out, so that no test relies on their order.
        let sid = book.opened.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let call = CallBook {
            is_stream,
            refused: false,
            cancelled: false,
            is_notified: false,
            ended: None,
            frames: VecDeque::new(),
            state: HashMap::new(),
            data_refused: false,
            was_full: false,
            ready: 0,
            returned: None,
            due_ms: self.limits.deadline_ms.map(|ms| book.now_ms.saturating_add(ms)),
        };
        book.calls.insert(sid, call);
        sid
    }

    /// Waits for what `look` finds.
    pub(super) fn wait<T>(&self, what: &str, mut look: impl FnMut(&mut Book) -> Option<T>) -> T {
        let until = Instant::now() + PATIENCE;
        let mut book = self.book.lock();
        loop {
            if let Some(found) = look(&mut book) {
                return found;
            }
            if self.changed.wait_until(&mut book, until).timed_out() {
                drop(book);
                fail(format_args!("waited {PATIENCE:?} in vain for {what}"));
            }
        }
    }

    /// One answer or frame. Of one that is too long an answer or a last frame ends its call, without
    /// bytes.
    pub(super) fn accept(
        &self,
        sid: u64,
        status: NrStatus,
        body: Result<&[u8], ViewError>,
    ) -> NrStatus {
        let mut guard = self.book.lock();
        let book = &mut *guard;
        let mut refused = NrStatus::Invalid;
        let verdict = match (book.calls.get_mut(&sid), body) {
            (None, _) => Err(Violation::UnknownSid { sid }),
            (Some(call), _) if call.refused => Err(Violation::AfterRefusal { sid }),
            (Some(call), _) if call.is_notified => Err(Violation::AfterCancel { sid }),
            (Some(call), _) if call.cancelled => return NrStatus::Invalid,
            (Some(call), _) if call.ended.is_some() => Err(Violation::AfterEnd { sid }),
            (Some(call), Err(error)) => {
                let too_long = matches!(error, ViewError::TooLong { .. });
                if too_long && (!call.is_stream || status.is_terminal()) {
                    call.end(Frame { status: NrStatus::TooLong, body: Vec::new() });
                }
                if too_long {
                    refused = NrStatus::TooLong;
                }
                Err(Violation::BadPayload { sid })
            }
            (Some(call), Ok(body)) => {
                let last = !call.is_stream || status.is_terminal();
                if !last && call.frames.len() >= self.limits.stream_frames_max {
                    call.was_full = true;
                    return NrStatus::Backpressure;
                }
                let frame = Frame { status, body: body.to_vec() };
                match last {
                    true => call.end(frame),
                    false => call.frames.push_back(frame),
                }
                Ok(())
            }
        };
        let answer = match verdict {
            Ok(()) => NrStatus::Ok,
            Err(violation) => {
                book.violations.push(violation);
                refused
            }
        };
        drop(guard);
        self.changed.notify_all();
        answer
    }

    /// Takes the next frame of a call, and whether its plugin is to get `stream_room`.
    pub(super) fn take_frame(call: &mut CallBook) -> Option<(Frame, bool)> {
        let frame = call.frames.pop_front()?;
        let room = std::mem::take(&mut call.was_full) && call.ended.is_none() && !call.cancelled;
        Some((frame, room))
    }

    pub(super) fn violate(&self, violation: Violation) {
        self.book.lock().violations.push(violation);
    }

    pub(super) fn is_stream(&self, sid: u64) -> bool {
        self.book.lock().calls.get(&sid).is_some_and(|call| call.is_stream)
    }

    pub(super) fn refused(&self, sid: u64) {
        if let Some(call) = self.book.lock().calls.get_mut(&sid) {
            call.refused = true;
        }
    }

    pub(super) fn cancel(&self, sid: u64) {
        if let Some(call) = self.book.lock().calls.get_mut(&sid) {
            call.cancelled = true;
            call.state.clear();
        }
        self.step();
    }

    pub(super) fn notified(&self, sid: u64) {
        if let Some(call) = self.book.lock().calls.get_mut(&sid) {
            call.is_notified = true;
        }
    }

    pub(super) fn advance(&self, by: Duration) {
        let until = {
            let book = self.book.lock();
            book.now_ms.saturating_add(millis(by))
        };
        loop {
            let timer = {
                let mut book = self.book.lock();
                match book.timers.first_entry() {
                    Some(first) if first.key().0 <= until => {
                        let ((due, _), timer) = first.remove_entry();
                        book.now_ms = book.now_ms.max(due);
                        timer
                    }
                    _ => {
                        book.now_ms = until;
                        drop(book);
                        self.step();
                        return;
                    }
                }
            };
            // SAFETY: the plugin started this timer, which has not run and was not cancelled.
            unsafe { (timer.callback)(timer.user_data) };
            self.step();
        }
    }

    pub(super) fn metric(&self, name: &str) -> Option<f64> {
        self.book.lock().metrics.iter().find(|m| m.name == name).map(|m| m.value)
    }

    pub(super) fn logs(&self) -> Vec<LogLine> {
        self.book.lock().logs.clone()
    }

    pub(super) fn report(&self) -> Report {
        let book = self.book.lock();
        let open = |call: &CallBook| call.ended.is_none() && !call.refused && !call.cancelled;
        Report {
            violations: book.violations.clone(),
            unanswered: book.calls.iter().filter(|(_, c)| open(c)).map(|(sid, _)| *sid).collect(),
            timers_left: book.timers.len(),
            leases_left: book.leases.len(),
        }
    }
}
