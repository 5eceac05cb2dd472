// SPDX-License-Identifier: BSD-3-Clause
//! Callers that leave, hosts that refuse, unexpected payloads, an unload in the middle of calls.

use std::pin::pin;
use std::time::{Duration, Instant};

use becket_host::{CallError, EntryInfo, EntryKind, Limits, Plugin, PluginSnapshot, Request};
use futures_lite::future::poll_once;

use super::calls::{Said, call_all, open, request, stream_all};
use super::life::loaded;
use super::rules::wait;
use super::{Outcome, PAYLOAD, Trial, flows};

/// A deadline that passes before any plugin answers that does not answer at once.
const SHORT: Duration = Duration::from_millis(5);
/// Time between two polls of a condition.
pub(super) const LOOK: Duration = Duration::from_millis(1);
/// Leases, timers and metrics of a host that has few.
const FEW: u32 = 64;
/// Frames in the queue of a stream: callers leave when it is full.
const FRAMES: u32 = 16;
/// Calls of each entry on a host with few resources.
const CALLS: usize = 100;
/// Callers that leave a call of each entry, on a host with [`FEW`] resources: more than that
/// number, since some leave before the call has begun, and others too late if this thread is
/// preempted.
const LEAVERS: usize = 4 * FEW as usize;
/// An unload gives up waiting for its plugin after this multiple of its limit.
const DRAINS: u32 = 3;
/// How long the check waits for an action that the plugin must not take.
const SILENCE: Duration = Duration::from_millis(500);
/// The longest payload: an answer that repeats it with some additional bytes is within all bounds.
const PAYLOAD_BYTES_MAX: usize = 1 << 20;

/// Callers leave before the first answer, after it, and after the end of the host's side; on a host
/// with few leases and timers, so that resources which are not released are missing in later calls.
pub(super) fn callers_leave(trial: &Trial<'_>) -> Outcome {
    let (host, plugin) = match trial.load_with(|spec| spec.limits(few(trial))) {
        Ok(loaded) => loaded,
        Err(error) => return Outcome::Broken(error.to_string()),
    };
    let mut left = 0;
    for entry in trial.entries(&plugin) {
        if entry.kind != EntryKind::Unary {
            left += (0..3).map(|point| leave_stream(trial, &plugin, &entry, point)).sum::<u64>();
            if entry.kind == EntryKind::Bidirectional {
                left += flows::leave_full(trial, &plugin, &entry);
            }
            continue;
        }
        let first = taken(trial, &plugin, &entry);
        // Other rules test calls without an answer, and calls that take too many resources by
        // themselves.
        let leavers = if first == Some(0) { LEAVERS } else { 1 };
        left += leave_calls(trial, &plugin, &entry, leavers);
        if first == Some(0) && !has_some_left(trial, &plugin, &entry) {
            let detail = format!("`{}`: {leavers} callers left, and the host has", entry.name);
            return Outcome::Broken(format!("{detail} none left for the next"));
        }
    }
    if !within(trial.timeout, || plugin.coroutines_in_streams() == 0) {
        let count = plugin.coroutines_in_streams();
        return Outcome::Broken(format!("{count} of their streams are still inside `handle`"));
    }
    match wait(host.unload(plugin.name())) {
        Ok(0) => Outcome::Kept(format!("{left} left")),
        Ok(calls) => Outcome::Broken(format!("{calls} of their calls never ended")),
        Err(error) => Outcome::Broken(error.to_string()),
    }
}

/// Leaves calls of an entry, one after the other: every second one after a worker of the plugin has
/// started it, the others at once. Returns how many were left unanswered.
fn leave_calls(trial: &Trial<'_>, plugin: &Plugin, entry: &EntryInfo, leavers: usize) -> u64 {
    let (mut left, mut idle_timeout) = (0, trial.timeout);
    for at in 0..leavers {
        let call = plugin.call(&entry.name, request(PAYLOAD)).timeout(trial.timeout);
        let mut call = pin!(call);
        if wait(poll_once(call.as_mut())).is_some() {
            continue;
        }
        left += 1;
        if at % 2 == 1 && !within(idle_timeout, || plugin.snapshot().queued == 0) {
            // The plugin keeps its workers longer than the limit: later calls do not wait for a
            // worker.
            idle_timeout = Duration::ZERO;
        }
    }
    left
}

/// 1 if it could be opened and was left.
fn leave_stream(trial: &Trial<'_>, plugin: &Plugin, entry: &EntryInfo, point: u32) -> u64 {
    let Ok(mut stream) = open(trial, plugin, entry) else { return 0 };
    if point > 0 {
        // Any frame, or none.
        let _first = wait(stream.next());
    }
    if point > 1 {
        let _closed = stream.close();
    }
    1
}

/// The number of host resources that a call was refused; `None` if it was not answered.
fn taken(trial: &Trial<'_>, plugin: &Plugin, entry: &EntryInfo) -> Option<u64> {
    let before = plugin.snapshot().resources_refused;
    let call = plugin.call(&entry.name, request("1")).timeout(trial.timeout);
    if matches!(wait(call), Err(CallError::DeadlineExceeded)) {
        return None;
    }
    Some(plugin.snapshot().resources_refused - before)
}

/// Whether the host has the resources for a call after the calls that were left have had time to
/// end.
fn has_some_left(trial: &Trial<'_>, plugin: &Plugin, entry: &EntryInfo) -> bool {
    within(trial.timeout, || taken(trial, plugin, entry) == Some(0))
}

/// The limits of a host with few leases and timers.
fn few(trial: &Trial<'_>) -> Limits {
    let ms = trial.timeout.as_millis() as u64;
    Limits {
        leases_max: FEW,
        timers_max: FEW,
        stream_frames_max: FRAMES,
        deadline_ms: ms,
        stream_deadline_ms: ms,
        drain_ms: ms,
        ..Limits::default()
    }
}

/// Distinguishes answers that race with the deadline from answers that are sent because of it: the
/// latter come for every call.
pub(super) fn quiet_when_cancelled(trial: &Trial<'_>) -> Outcome {
    loaded(trial, |plugin| {
        let late_until_now = || plugin.snapshot().refused_answers.late;
        let entries = trial.entries(plugin);
        let (mut late, mut passed) = (0, 0);
        for entry in entries.iter().filter(|entry| entry.kind == EntryKind::Unary) {
            let (before, mut of_entry) = (late_until_now(), 0);
            for _ in 0..3 {
                let call = plugin.call(&entry.name, request("")).timeout(SHORT);
                of_entry += u64::from(matches!(wait(call), Err(CallError::DeadlineExceeded)));
            }
            // The plugin is notified of the deadline by another thread, some time later.
            let _are_all_late = within(SILENCE, || late_until_now() - before >= of_entry);
            late += (late_until_now() - before).min(of_entry);
            passed += of_entry;
        }
        match (passed, late) {
            (0, _) => Outcome::NotApplicable("every call is answered at once".to_owned()),
            (_, 3..) => Outcome::Broken(format!("{late} of {passed} were answered all the same")),
            _ => Outcome::Kept(format!("{passed} deadlines passed")),
        }
    })
}

/// Polls a condition until it holds or the time is over; there is no event for it.
pub(super) fn within(idle_timeout: Duration, mut is_so: impl FnMut() -> bool) -> bool {
    let until = Instant::now() + idle_timeout;
    loop {
        if is_so() {
            return true;
        }
        if Instant::now() >= until {
            return false;
        }
        std::thread::park_timeout(LOOK);
    }
}

/// The first that was not answered.
fn unanswered(said: &[Said]) -> Option<&Said> {
    said.iter().find(|it| it.is_late)
}

pub(super) fn host_refuses(trial: &Trial<'_>) -> Outcome {
    let usual = match trial.load() {
        Ok((_host, plugin)) => called(trial, &plugin),
        Err(error) => return Outcome::Broken(error.to_string()),
    };
    if let Some(it) = unanswered(&usual) {
        return Outcome::NotApplicable(format!("`{}` is never answered", it.entry));
    }
    let limits = Limits {
        leases_max: 0,
        lease_bytes_max: 0,
        state_bytes_max: 0,
        timers_max: 0,
        metrics_max: 0,
        coroutines_max: 0,
        channels_max: 0,
        channel_messages_max: 0,
        ..Limits::default()
    };
    let (_host, plugin) = match trial.load_with(|spec| spec.limits(limits)) {
        Ok(loaded) => loaded,
        // The plugin refuses to start without the resources.
        Err(error) => return Outcome::Kept(error.to_string()),
    };
    let said = called(trial, &plugin);
    match unanswered(&said) {
        Some(it) => Outcome::Broken(format!("`{}` {}: no answer", it.entry, it.what)),
        None => {
            let refused = plugin.snapshot().resources_refused;
            Outcome::Kept(format!("{refused} refused, {} calls", said.len()))
        }
    }
}

fn called(trial: &Trial<'_>, plugin: &Plugin) -> Vec<Said> {
    let mut said = call_all(trial, plugin);
    said.extend(stream_all(trial, plugin));
    said
}

pub(super) fn any_payload(trial: &Trial<'_>) -> Outcome {
    let (_host, plugin) = match trial.load() {
        Ok(loaded) => loaded,
        Err(error) => return Outcome::Broken(error.to_string()),
    };
    let payloads: [Vec<u8>; 5] = [
        vec![0],
        vec![0xff; 3],
        (0..=u8::MAX).collect(),
        b"=".to_vec(),
        vec![b'x'; PAYLOAD_BYTES_MAX],
    ];
    let mut count = 0;
    for entry in trial.entries(&plugin) {
        if entry.kind != EntryKind::Unary {
            continue;
        }
        for payload in &payloads {
            let request = Request::new(payload.clone()).query("\u{fffd}&=").path("");
            let length = payload.len();
            count += 1;
            match wait(plugin.call(&entry.name, request).timeout(trial.timeout)) {
                Err(CallError::DeadlineExceeded) => {
                    let detail = format!("`{}` with {length} bytes: no answer", entry.name);
                    return Outcome::Broken(detail);
                }
                Err(CallError::Refused { .. }) | Ok(_) => {}
                Err(error) => {
                    return Outcome::Broken(format!("`{}`: {error}", entry.name));
                }
            }
        }
    }
    match count {
        0 => Outcome::NotApplicable("there is nothing to call".to_owned()),
        _ => Outcome::Kept(format!("{count} calls")),
    }
}

pub(super) fn asks_within_bounds(trial: &Trial<'_>) -> Outcome {
    loaded(trial, |plugin| {
        let said = called(trial, plugin);
        let PluginSnapshot { resources_refused, metrics, .. } = plugin.snapshot();
        let metrics_max = Limits::default().metrics_max as usize;
        if metrics.len() >= metrics_max {
            return Outcome::Broken(format!("it has all {metrics_max} metrics that it may have"));
        }
        match resources_refused {
            0 if said.is_empty() => Outcome::NotApplicable("there is nothing to call".to_owned()),
            0 => Outcome::Kept(String::new()),
            refused => Outcome::Broken(format!("the host refused {refused}")),
        }
    })
}

/// On a host with few resources, one call after the other.
pub(super) fn gives_back(trial: &Trial<'_>) -> Outcome {
    let (_host, plugin) = match trial.load_with(|spec| spec.limits(few(trial))) {
        Ok(loaded) => loaded,
        Err(error) => return Outcome::Broken(error.to_string()),
    };
    let mut count = 0;
    for entry in trial.entries(&plugin) {
        if entry.kind != EntryKind::Unary {
            continue;
        }
        for _ in 0..CALLS {
            count += 1;
            match taken(trial, &plugin, &entry) {
                None => break,
                Some(0) => {}
                Some(_) => {
                    let detail = format!("`{}`, call {count}: the host had none left", entry.name);
                    return Outcome::Broken(detail);
                }
            }
        }
    }
    match count {
        0 => Outcome::NotApplicable("there is nothing to call".to_owned()),
        _ => Outcome::Kept(format!("{count} calls")),
    }
}

pub(super) fn unloads_when_busy(trial: &Trial<'_>) -> Outcome {
    let (host, plugin) = match trial.load() {
        Ok(loaded) => loaded,
        Err(error) => return Outcome::Broken(error.to_string()),
    };
    let entries = trial.entries(&plugin);
    let mut streams = Vec::new();
    for entry in entries.iter().filter(|entry| entry.kind != EntryKind::Unary) {
        streams.extend(open(trial, &plugin, entry));
    }
    let unary = entries.iter().filter(|entry| entry.kind == EntryKind::Unary);
    let mut calls: Vec<_> = unary
        .map(|entry| Box::pin(plugin.call(&entry.name, request("100")).timeout(trial.timeout)))
        .collect();
    for call in &mut calls {
        // Calls that are answered at once are not in flight.
        let _answered = wait(poll_once(call.as_mut()));
    }
    let busy = calls.len() + streams.len();
    let (blocked, began) = (plugin.snapshot().blocked, Instant::now());
    if let Err(error) = wait(host.unload(plugin.name())) {
        return Outcome::Broken(error.to_string());
    }
    // The host abandons a plugin whose shutdown does not return; only the counter shows that.
    let is_stuck = plugin.snapshot().blocked > blocked;
    match is_stuck && began.elapsed() >= trial.timeout * DRAINS {
        true => Outcome::Broken("a thread does not come back from its shutdown".to_owned()),
        false => Outcome::Kept(format!("{busy} in flight")),
    }
}

/// The host refuses and counts the calls of a plugin that has ended.
pub(super) fn silent_after_end(trial: &Trial<'_>) -> Outcome {
    let (host, plugin) = match trial.load() {
        Ok(loaded) => loaded,
        Err(error) => return Outcome::Broken(error.to_string()),
    };
    let said = call_all(trial, &plugin);
    if let Some(it) = unanswered(&said) {
        return Outcome::NotApplicable(format!("`{}` is never answered", it.entry));
    }
    if let Err(error) = wait(host.unload(plugin.name())) {
        return Outcome::Broken(error.to_string());
    }
    let refused = |plugin: &Plugin| -> u64 {
        let refused = plugin.snapshot().refused_answers;
        refused.by_cause().iter().map(|(_, count)| count).sum()
    };
    let before = refused(&plugin);
    match within(SILENCE, || refused(&plugin) > before) {
        true => Outcome::Broken("the host refused answers behind the shutdown".to_owned()),
        false => Outcome::Kept(format!("silent for {} ms", SILENCE.as_millis())),
    }
}
