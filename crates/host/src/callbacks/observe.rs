// SPDX-License-Identifier: BSD-3-Clause
//! What a plugin asks of its host, and what it reports: cancellation, deadlines, logs, metrics,
//! configuration.

use std::ffi::c_void;

use becket_abi::{
    BK_LOG_DEBUG, BK_LOG_ERROR, BK_LOG_INFO, BK_LOG_TRACE, BK_LOG_WARN, BK_METRIC_UNKNOWN,
    BK_NO_DEADLINE, NrBytes, NrStatus, NrStr,
};
use tracing::{Level, enabled, event};

use super::{boundary, name};
use crate::{
    counters::Count,
    instance::Instance,
    table::{self, Target},
    text::escape_controls,
    thread, timer,
};

/// Bytes of one log message; a longer one is refused, since its length may be made up.
const MESSAGE_BYTES_MAX: u64 = 64 << 10;

/// The target of every plugin's messages; the plugin and its own target are fields.
const TARGET: &str = "becket::plugin";

/// A deadline that counts from a moment that is not looked up yet; see [`relative`].
const RELATIVE: u64 = 1 << 63;

/// A timeout that is not running yet, as a slot keeps it.
#[inline]
pub(crate) const fn relative(timeout_ms: u64) -> u64 {
    RELATIVE | timeout_ms
}

/// True while call or stream `sid` of `instance` has a caller that waits.
pub(super) fn is_waiting(instance: &'static Instance, sid: u64) -> bool {
    // SAFETY: null, or the frame that this thread is inside of: it stands further up this stack.
    if let Some(frame) = unsafe { thread::current().frame().as_ref() }
        && frame.sid == sid
        && std::ptr::eq(frame.owner, instance)
    {
        return !frame.answered.get();
    }
    match table::find(sid, instance) {
        Ok(Target::Call(_)) => true,
        Ok(Target::Stream(slot)) => slot.stream().is_some_and(|cell| cell.is_open(sid)),
        Err(_) => false,
    }
}

pub(super) unsafe extern "C" fn is_cancelled(host_ctx: *mut c_void, sid: u64) -> u32 {
    boundary(host_ctx, 1, |instance| u32::from(!is_waiting(instance, sid)))
}

pub(super) unsafe extern "C" fn remaining_ms(host_ctx: *mut c_void, sid: u64) -> u64 {
    boundary(host_ctx, 0, |instance| {
        if !is_waiting(instance, sid) {
            return 0;
        }
        let deadline_ms = match table::find(sid, instance) {
            Ok(Target::Call(slot) | Target::Stream(slot)) => slot.deadline_ms(),
            // A call that is answered at once or not at all.
            Err(_) => 0,
        };
        remaining(deadline_ms)
    })
}

/// What remains of a slot's deadline, in milliseconds.
pub(super) fn remaining(deadline_ms: u64) -> u64 {
    match deadline_ms {
        0 => BK_NO_DEADLINE,
        relative if relative & RELATIVE != 0 => relative & !RELATIVE,
        absolute => absolute.saturating_sub(timer::now_ms()),
    }
}

pub(super) unsafe extern "C" fn log_enabled(host_ctx: *mut c_void, level: u32) -> u32 {
    boundary(host_ctx, 0, |instance| {
        if let Some(observer) = &instance.plugin.observer {
            return u32::from((BK_LOG_ERROR..=observer.log_level_max()).contains(&level));
        }
        u32::from(match level {
            BK_LOG_ERROR => enabled!(target: TARGET, Level::ERROR),
            BK_LOG_WARN => enabled!(target: TARGET, Level::WARN),
            BK_LOG_INFO => enabled!(target: TARGET, Level::INFO),
            BK_LOG_DEBUG => enabled!(target: TARGET, Level::DEBUG),
            BK_LOG_TRACE => enabled!(target: TARGET, Level::TRACE),
            _ => false,
        })
    })
}

pub(super) unsafe extern "C" fn log(
    host_ctx: *mut c_void,
    level: u32,
    target: NrStr,
    message: NrStr,
) {
    boundary(host_ctx, (), |instance| {
        let view = NrBytes { ptr: message.ptr, len: u64::from(message.len) };
        // SAFETY: see `callbacks`; the borrow ends with the callback.
        let Ok(message) = (unsafe { view.checked(MESSAGE_BYTES_MAX) }) else {
            instance.plugin.counters.one(Count::AnswersInvalid);
            return;
        };
        let from = name(instance, target).unwrap_or("");
        let message = String::from_utf8_lossy(message);
        match &instance.plugin.observer {
            None => log_message(&instance.plugin.name, level, from, &message),
            // As in a log, what is no level is the last one.
            Some(observer) => {
                let level =
                    if level < BK_LOG_ERROR { BK_LOG_TRACE } else { level.min(BK_LOG_TRACE) };
                if level <= observer.log_level_max() {
                    observer.log(level, from, &message);
                }
            }
        }
    });
}

/// Logs a message of the plugin of this name; `level` is one of `BK_LOG_*`, `from` the plugin's own
/// target.
pub fn log_message(plugin: &str, level: u32, from: &str, message: &str) {
    let (from, message) = (&*escape_controls(from), escape_controls(message));
    match level {
        BK_LOG_ERROR => event!(target: TARGET, Level::ERROR, plugin, from, "{message}"),
        BK_LOG_WARN => event!(target: TARGET, Level::WARN, plugin, from, "{message}"),
        BK_LOG_INFO => event!(target: TARGET, Level::INFO, plugin, from, "{message}"),
        BK_LOG_DEBUG => event!(target: TARGET, Level::DEBUG, plugin, from, "{message}"),
        _ => event!(target: TARGET, Level::TRACE, plugin, from, "{message}"),
    }
}

pub(super) unsafe extern "C" fn metric_register(
    host_ctx: *mut c_void,
    kind: u32,
    metric: NrStr,
    help: NrStr,
) -> u32 {
    boundary(host_ctx, BK_METRIC_UNKNOWN, |instance| {
        match (name(instance, metric), name(instance, help)) {
            (Some(metric), Some(help)) => instance.plugin.metrics.register(kind, metric, help),
            _ => BK_METRIC_UNKNOWN,
        }
    })
}

pub(super) unsafe extern "C" fn counter_add(
    host_ctx: *mut c_void,
    metric: u32,
    delta: u64,
) -> NrStatus {
    boundary(host_ctx, NrStatus::Invalid, |instance| {
        known(instance.plugin.metrics.add(metric, delta))
    })
}

pub(super) unsafe extern "C" fn gauge_set(
    host_ctx: *mut c_void,
    metric: u32,
    value: f64,
) -> NrStatus {
    boundary(host_ctx, NrStatus::Invalid, |instance| {
        known(instance.plugin.metrics.set(metric, value))
    })
}

pub(super) unsafe extern "C" fn histogram_record(
    host_ctx: *mut c_void,
    metric: u32,
    value: f64,
) -> NrStatus {
    boundary(host_ctx, NrStatus::Invalid, |instance| {
        known(instance.plugin.metrics.record(metric, value))
    })
}

fn known(known: bool) -> NrStatus {
    if known { NrStatus::Ok } else { NrStatus::Invalid }
}

pub(super) unsafe extern "C" fn config(host_ctx: *mut c_void) -> NrStr {
    boundary(host_ctx, NrStr::EMPTY, |instance| NrStr::from_str(instance.config.text()))
}

pub(super) unsafe extern "C" fn config_get(host_ctx: *mut c_void, key: NrStr) -> NrStr {
    boundary(host_ctx, NrStr::EMPTY, |instance| {
        let value = name(instance, key).and_then(|key| instance.config.get(key));
        value.map_or(NrStr::EMPTY, NrStr::from_str)
    })
}
