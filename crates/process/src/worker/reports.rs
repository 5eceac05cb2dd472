// SPDX-License-Identifier: BSD-3-Clause
//! What the plugin reports, on its way to the host: its log and its metrics.
//!
//! ```text
//!   log             ──▶ queue, bounded ─ wake ──▶ a notice for each message
//!   metrics changed ──▶ flag ─────────── wake ──▶ a notice for all, and none for the next 100 ms
//!   counts changed  ──▶ flag ─ wake elsewhere ──▶ as metrics
//!   watchdog        ──▶ the log's queue ─ wake elsewhere
//!   a thread is stuck ─▶ the session's relief, elsewhere
//! ```
//!
//! The plugin's thread never waits for the session: it wakes it, and sends itself if no other thread has the
//! session's lock. So a message that was logged before a crash has mostly left the process. What the host
//! counts and what its watchdog reports comes from under its locks and on its own threads, which must not run
//! code of the plugin: another thread wakes the session for them.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use becket_chan::timer::{Sleep, sleep};
use becket_host::{Metric, MetricChange, MetricValue, Observer, Plugin, ReportedCounts};
use becket_ipc::session::Locked;
use becket_wire::{Refused, StreamId};
use bytes::{Bytes, BytesMut};
use parking_lot::Mutex;

use super::wakes::{elsewhere, on_any_stack};
use crate::protocol::{encode_log, notice, put_metric};

/// Numbers of wakers. No stream has them: its index would be above any limit of streams.
const LOG: u32 = u32::MAX - 1;
const METRICS: u32 = u32::MAX - 3;
/// Messages that wait to be sent, and their bytes.
const MESSAGES_MAX: usize = 1024;
const MESSAGES_BYTES_MAX: usize = 1 << 20;
/// The time between two notices of metrics.
const PAUSE: Duration = Duration::from_millis(100);

/// See the module's documentation.
pub(super) struct Reports {
    log_level_max: u32,
    frame_bytes_max: usize,
    log_waker: Waker,
    metrics_waker: Waker,
    counts_waker: Waker,
    relief: Waker,
    messages: Mutex<Messages>,
    has_changed: AtomicBool,
    have_counts_changed: AtomicBool,
    metrics: Mutex<Sent>,
}

#[derive(Default)]
struct Messages {
    /// Each with the kind of its notice.
    queue: VecDeque<(u16, Bytes)>,
    bytes: usize,
    /// Messages that were dropped after the last one of the queue.
    dropped: u64,
}

/// The metrics that the host has.
#[derive(Default)]
struct Sent {
    values: HashMap<String, MetricValue>,
    counts: ReportedCounts,
    pause: Option<Pin<Box<Sleep>>>,
}

impl Reports {
    pub(super) fn new(locked: &Locked<'_>, log_level_max: u32, relief: Waker) -> Self {
        Self {
            log_level_max,
            frame_bytes_max: locked.session.limits().frame_body_bytes_max as usize,
            log_waker: on_any_stack(locked.waker(LOG)),
            metrics_waker: on_any_stack(locked.waker(METRICS)),
            counts_waker: locked.waker(METRICS),
            relief,
            messages: Mutex::default(),
            has_changed: AtomicBool::new(false),
            have_counts_changed: AtomicBool::new(false),
            metrics: Mutex::default(),
        }
    }

    /// Sends what `number` stands for; false if that is nothing of this.
    pub(super) fn woken(
        &self,
        locked: &mut Locked<'_>,
        plugin: Option<&Plugin>,
        number: u32,
    ) -> bool {
        match number {
            LOG => self.send_log(locked),
            METRICS => {
                if let Some(plugin) = plugin {
                    self.send_metrics_after_pause(locked, plugin);
                }
            }
            _ => return false,
        }
        true
    }

    /// Sends the messages of the log.
    pub(super) fn send_log(&self, locked: &mut Locked<'_>) {
        loop {
            let mut messages = self.messages.lock();
            let Some((kind, message)) = messages.queue.front().cloned() else { return };
            match locked.session.notice(kind, messages.dropped, message) {
                Err(Refused::Full) => return locked.wait_for_room(StreamId::from_number(LOG)),
                // Refused otherwise: the session is over.
                _ => {
                    messages.dropped = 0;
                    if let Some((_, message)) = messages.queue.pop_front() {
                        messages.bytes -= message.len();
                    }
                }
            }
        }
    }

    fn send_metrics_after_pause(&self, locked: &mut Locked<'_>, plugin: &Plugin) {
        let waker = locked.waker(METRICS);
        let context = &mut Context::from_waker(&waker);
        let mut sent = self.metrics.lock();
        if let Some(pause) = &mut sent.pause
            && pause.as_mut().poll(context) == Poll::Pending
        {
            return;
        }
        sent.pause = None;
        let has_changed = |flag: &AtomicBool| flag.load(Ordering::Acquire);
        if !has_changed(&self.has_changed) && !has_changed(&self.have_counts_changed) {
            return;
        }
        let mut pause = Box::pin(sleep(PAUSE));
        // It has just begun.
        let _ = pause.as_mut().poll(context);
        sent.pause = Some(pause);
        drop(sent);
        self.send_counts(locked, plugin);
        self.send_metrics(locked, plugin);
    }

    /// The same, also of what has notified no observer.
    pub(super) fn send_counts_at_last(&self, locked: &mut Locked<'_>, plugin: &Plugin) {
        if plugin.reported_counts() != self.metrics.lock().counts {
            self.have_counts_changed.store(true, Ordering::Release);
            self.send_counts(locked, plugin);
        }
    }

    /// Sends what was counted since the last time.
    pub(super) fn send_counts(&self, locked: &mut Locked<'_>, plugin: &Plugin) {
        if !self.have_counts_changed.swap(false, Ordering::AcqRel) {
            return;
        }
        let mut sent = self.metrics.lock();
        let now = plugin.reported_counts();
        let Ok(json) = serde_json::to_vec(&now.since(sent.counts)) else { return };
        if locked.session.notice(notice::COUNTS, 0, json.into()) == Err(Refused::Full) {
            self.have_counts_changed.store(true, Ordering::Release);
            return locked.wait_for_room(StreamId::from_number(METRICS));
        }
        sent.counts = now;
    }

    /// Sends what has changed of the metrics.
    pub(super) fn send_metrics(&self, locked: &mut Locked<'_>, plugin: &Plugin) {
        if !self.has_changed.swap(false, Ordering::AcqRel) {
            return;
        }
        let mut sent = self.metrics.lock();
        let mut body = BytesMut::new();
        let mut in_body = Vec::new();
        for metric in plugin.changed_metrics() {
            if sent.values.get(&metric.name) == Some(&metric.value) {
                continue;
            }
            let mut change = BytesMut::new();
            put_change(&mut change, &metric, sent.values.get(&metric.name));
            if body.len() + change.len() > self.frame_bytes_max
                && !self.send_changes(locked, &mut sent, &mut body, &mut in_body)
            {
                return;
            }
            body.extend_from_slice(&change);
            in_body.push(metric);
        }
        self.send_changes(locked, &mut sent, &mut body, &mut in_body);
    }

    /// True: sent, and the host has them.
    fn send_changes(
        &self,
        locked: &mut Locked<'_>,
        sent: &mut Sent,
        body: &mut BytesMut,
        metrics: &mut Vec<Metric>,
    ) -> bool {
        if body.is_empty() {
            return true;
        }
        if locked.session.notice(notice::METRICS, 0, body.split().freeze()) == Err(Refused::Full) {
            self.has_changed.store(true, Ordering::Release);
            locked.wait_for_room(StreamId::from_number(METRICS));
            return false;
        }
        sent.values.extend(metrics.drain(..).map(|metric| (metric.name, metric.value)));
        true
    }
}

/// Appends how a metric has changed since the host was sent it.
fn put_change(bytes: &mut BytesMut, metric: &Metric, before: Option<&MetricValue>) {
    let put = |bytes, change| put_metric(bytes, &metric.name, &metric.help, change);
    match (&metric.value, before) {
        (MetricValue::Counter(now), Some(MetricValue::Counter(before))) => {
            put(bytes, MetricChange::Counter(now.wrapping_sub(*before)));
        }
        (MetricValue::Counter(now), _) => put(bytes, MetricChange::Counter(*now)),
        (MetricValue::Gauge(now), _) => put(bytes, MetricChange::Gauge(*now)),
        (MetricValue::Histogram(now), before) => {
            let before = match before {
                Some(MetricValue::Histogram(before)) => Some(before),
                _ => None,
            };
            let counts = |latency: &becket_host::Latency| {
                let mut below = 0;
                let each = latency.buckets.iter().map(|(bound, count)| {
                    let here = count - below;
                    below = *count;
                    (*bound, here)
                });
                each.collect::<Vec<_>>()
            };
            let mut recorded = counts(now);
            for (at, (_, times)) in before.map(counts).into_iter().flatten().enumerate() {
                if let Some((_, now)) = recorded.get_mut(at) {
                    *now = now.saturating_sub(times);
                }
            }
            recorded.retain(|(_, times)| *times > 0);
            let sum = now.sum_seconds - before.map_or(0.0, |before| before.sum_seconds);
            put(bytes, MetricChange::Histogram { sum, recorded: &recorded });
        }
        _ => {}
    }
}

impl Observer for Reports {
    fn log_level_max(&self) -> u32 {
        self.log_level_max
    }

    fn log(&self, level: u32, from: &str, message: &str) {
        self.queue(notice::LOG, encode_log(level, from, message, self.frame_bytes_max));
        self.log_waker.wake_by_ref();
    }

    fn watchdog(&self, level: u32, message: &str) {
        self.queue(notice::WATCHDOG, encode_log(level, "", message, self.frame_bytes_max));
        elsewhere(&self.log_waker);
    }

    fn stuck(&self) {
        elsewhere(&self.relief);
    }

    fn counts_changed(&self) {
        if !self.have_counts_changed.swap(true, Ordering::AcqRel) {
            elsewhere(&self.counts_waker);
        }
    }

    fn metrics_changed(&self) {
        self.has_changed.store(true, Ordering::Release);
        self.metrics_waker.wake_by_ref();
    }
}

impl Reports {
    fn queue(&self, kind: u16, message: Bytes) {
        let mut messages = self.messages.lock();
        let bytes = messages.bytes + message.len();
        if messages.queue.len() >= MESSAGES_MAX || bytes > MESSAGES_BYTES_MAX {
            messages.dropped += 1;
            return;
        }
        messages.bytes = bytes;
        messages.queue.push_back((kind, message));
    }
}

impl fmt::Debug for Reports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reports")
            .field("log_level_max", &self.log_level_max)
            .finish_non_exhaustive()
    }
}
