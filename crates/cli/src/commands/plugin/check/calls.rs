// SPDX-License-Identifier: BSD-3-Clause
//! Calls and streams, and their answers.
//!
//! Every entry is called with an empty payload and with a few bytes. The rules examine the answers,
//! or the refusals that the host counted.

use std::time::Duration;

use becket_host::{
    CallError, EntryInfo, EntryKind, Limits, NrStatus, Plugin, PluginSnapshot, Request, SendError,
    Stream, StreamError,
};

use super::life::loaded;
use super::rules::wait;
use super::{Outcome, PAYLOAD, Trial};

/// Frames of one stream that are read.
const FRAMES_MAX: usize = 100_000;
/// A plugin that continues to send after this many refused frames ignores backpressure. Fewer do
/// not count: `send_result` returns nothing, so its caller cannot notice a refusal.
const DEAF: u64 = 4096;
/// Frames in the queue of a stream: few, so that it becomes full.
const FRAMES_QUEUED: u32 = 2;

/// The result of one call or stream.
#[derive(Debug)]
pub(super) struct Said {
    pub(super) entry: String,
    pub(super) what: &'static str,
    /// The status of the answer, of the refusal, or of the last frame.
    pub(super) status: Option<NrStatus>,
    /// It did not end by itself.
    pub(super) is_late: bool,
}

impl Said {
    fn of(entry: &EntryInfo, what: &'static str, of: Result<NrStatus, CallError>) -> Self {
        let entry = entry.name.clone();
        match of {
            Ok(status) | Err(CallError::Refused { status }) => {
                Self { entry, what, status: Some(status), is_late: false }
            }
            Err(CallError::DeadlineExceeded) => Self { entry, what, status: None, is_late: true },
            // The host refused or failed: the plugin was not involved.
            Err(_) => Self { entry, what, status: None, is_late: false },
        }
    }
}

pub(super) fn request(payload: &'static str) -> Request {
    Request::new(payload).method("POST").path("/check")
}

/// Calls every unary entry with an empty payload and with a few bytes.
pub(super) fn call_all(trial: &Trial<'_>, plugin: &Plugin) -> Vec<Said> {
    let mut said = Vec::new();
    for entry in trial.entries(plugin).iter().filter(|entry| entry.kind == EntryKind::Unary) {
        for (what, payload) in [("with nothing", ""), ("with a few bytes", PAYLOAD)] {
            let call = plugin.call(&entry.name, request(payload)).timeout(trial.timeout);
            let status = wait(call).map(|response| response.status);
            said.push(Said::of(entry, what, status));
        }
    }
    said
}

fn is_stream(entry: &EntryInfo) -> bool {
    entry.kind != EntryKind::Unary
}

pub(super) fn open(
    trial: &Trial<'_>,
    plugin: &Plugin,
    entry: &EntryInfo,
) -> Result<Stream, CallError> {
    open_for(trial, plugin, entry, trial.timeout)
}

/// As [`open`], with another deadline.
pub(super) fn open_for(
    trial: &Trial<'_>,
    plugin: &Plugin,
    entry: &EntryInfo,
    timeout: Duration,
) -> Result<Stream, CallError> {
    let opening = plugin.stream(&entry.name, request("")).timeout(timeout);
    wait(opening.idle(trial.timeout))
}

/// Reads to the end.
fn read(entry: &EntryInfo, stream: &mut Stream) -> Said {
    let what = "as a stream";
    for _ in 0..FRAMES_MAX {
        match wait(stream.next()) {
            Ok(Some(_)) => {}
            Ok(None) => return Said::of(entry, what, Ok(NrStatus::Ok)),
            Err(StreamError::Failed { status, .. }) => return Said::of(entry, what, Ok(status)),
            Err(StreamError::Unloaded) => {
                return Said::of(entry, what, Err(CallError::Unloaded));
            }
            Err(_) => break,
        }
    }
    Said::of(entry, what, Err(CallError::DeadlineExceeded))
}

/// Opens every stream, sends a message on the bidirectional ones, closes and reads to the end.
pub(super) fn stream_all(trial: &Trial<'_>, plugin: &Plugin) -> Vec<Said> {
    let mut said = Vec::new();
    for entry in trial.entries(plugin).iter().filter(|entry| is_stream(entry)) {
        match open(trial, plugin, entry) {
            Ok(mut stream) => {
                if entry.kind == EntryKind::Bidirectional {
                    // Another rule tests whether the stream accepts a message.
                    let _taken = stream.try_send(PAYLOAD.as_bytes());
                    let _closed = stream.close();
                }
                said.push(read(entry, &mut stream));
            }
            Err(error) => said.push(Said::of(entry, "as a stream", Err(error))),
        }
    }
    said
}

/// Calls every entry, and returns the results and the host's counters.
fn all(trial: &Trial<'_>, plugin: &Plugin) -> (Vec<Said>, PluginSnapshot) {
    let mut said = call_all(trial, plugin);
    said.extend(stream_all(trial, plugin));
    // A second time: state that a call leaves behind may show in the next call.
    said.extend(call_all(trial, plugin));
    (said, plugin.snapshot())
}

fn none_of(said: &[Said]) -> Option<Outcome> {
    said.is_empty().then(|| Outcome::NotApplicable("there is nothing to call".to_owned()))
}

/// The first that is wrong, and why.
fn first(
    said: &[Said],
    wrong: impl Fn(&Said) -> Option<String>,
    kept: impl FnOnce() -> String,
) -> Outcome {
    let found = said.iter().find_map(|it| wrong(it).map(|why| (it, why)));
    match found {
        Some((it, why)) => Outcome::Broken(format!("`{}` {}: {why}", it.entry, it.what)),
        None => none_of(said).unwrap_or_else(|| Outcome::Kept(kept())),
    }
}

pub(super) fn answers_in_time(trial: &Trial<'_>) -> Outcome {
    loaded(trial, |plugin| {
        let said = call_all(trial, plugin);
        let ms = trial.timeout.as_millis();
        let wrong = |it: &Said| {
            let ways = format!("--timeout-ms gives it longer, --skip {} leaves it out", it.entry);
            it.is_late.then(|| format!("no answer in {ms} ms ({ways})"))
        };
        first(&said, wrong, || format!("{} calls", said.len()))
    })
}

/// True for the statuses that a plugin may answer with: the greater ones are the host's, but for one.
fn answers(status: NrStatus) -> bool {
    status.0 <= NrStatus::Backpressure.0 || status == NrStatus::TooLong
}

pub(super) fn known_statuses(trial: &Trial<'_>) -> Outcome {
    loaded(trial, |plugin| {
        let (said, _) = all(trial, plugin);
        let wrong = |it: &Said| {
            let status = it.status.filter(|status| !answers(*status))?;
            Some(format!("status {}", status.0))
        };
        first(&said, wrong, String::new)
    })
}

pub(super) fn no_panic(trial: &Trial<'_>) -> Outcome {
    loaded(trial, |plugin| {
        let (said, _) = all(trial, plugin);
        let wrong =
            |it: &Said| (it.status == Some(NrStatus::Panic)).then(|| "it panics".to_owned());
        first(&said, wrong, String::new)
    })
}

pub(super) fn holds_no_thread(trial: &Trial<'_>) -> Outcome {
    loaded(trial, |plugin| {
        let (said, snapshot) = all(trial, plugin);
        match snapshot.blocked {
            0 => none_of(&said).unwrap_or(Outcome::Kept(String::new())),
            times => {
                let report_ms = Limits::default().block_report_ms;
                Outcome::Broken(format!("{times} times for more than {report_ms} ms"))
            }
        }
    })
}

pub(super) fn streams_end(trial: &Trial<'_>) -> Outcome {
    loaded(trial, |plugin| {
        let said = stream_all(trial, plugin);
        let wrong = |it: &Said| it.is_late.then(|| "it does not end".to_owned());
        first(&said, wrong, String::new)
    })
}

pub(super) fn takes_messages(trial: &Trial<'_>) -> Outcome {
    loaded(trial, |plugin| {
        let entries = trial.entries(plugin);
        let both = entries.iter().filter(|entry| entry.kind == EntryKind::Bidirectional);
        let mut taken = 0;
        for entry in both {
            let Ok(stream) = open(trial, plugin, entry) else { continue };
            // A full stream reports when it is writable again; the stream's deadline ends the wait.
            match wait(stream.send(PAYLOAD.as_bytes())) {
                Err(error @ (SendError::Backpressure | SendError::Closed)) => {
                    return Outcome::Broken(format!("`{}`: full, and then {error}", entry.name));
                }
                Ok(()) | Err(_) => taken += 1,
            }
        }
        match taken {
            0 => Outcome::NotApplicable("it has no bidirectional entry".to_owned()),
            _ => Outcome::Kept(String::new()),
        }
    })
}

/// The queue holds two frames, and no frame is read until the plugin has stopped sending.
pub(super) fn stops_when_full(trial: &Trial<'_>) -> Outcome {
    let limits = Limits {
        stream_frames_max: FRAMES_QUEUED,
        stream_deadline_ms: trial.timeout.as_millis() as u64,
        ..Limits::default()
    };
    let (_host, plugin) = match trial.load_with(|spec| spec.limits(limits)) {
        Ok(loaded) => loaded,
        Err(error) => return Outcome::Broken(error.to_string()),
    };
    let said = stream_all(trial, &plugin);
    let refused = plugin.snapshot().refused_answers.backpressure;
    if refused > DEAF {
        return Outcome::Broken(format!("{refused} frames were sent into a full queue"));
    }
    // With `send_result` the plugin is not notified of backpressure: the host ends its stream
    // instead.
    let deaf = said.iter().find(|it| it.is_late);
    match deaf {
        Some(it) => Outcome::Broken(format!("`{}` does not go on when there is room", it.entry)),
        None if said.is_empty() => Outcome::NotApplicable("it has no streams".to_owned()),
        None => Outcome::Kept(format!("{refused} frames were refused")),
    }
}

/// The refusals that the host counted while every caller waited for its answer.
fn refused(
    trial: &Trial<'_>,
    count: impl FnOnce(&PluginSnapshot) -> u64,
    what: &'static str,
) -> Outcome {
    loaded(trial, |plugin| {
        let (said, snapshot) = all(trial, plugin);
        match count(&snapshot) {
            0 => none_of(&said).unwrap_or(Outcome::Kept(String::new())),
            count => Outcome::Broken(format!("the host refused {count}: {what}")),
        }
    })
}

pub(super) fn whole_answers(trial: &Trial<'_>) -> Outcome {
    refused(trial, |it| it.refused_answers.invalid, "what they point at is not there")
}

pub(super) fn own_ids(trial: &Trial<'_>) -> Outcome {
    let foreign = |it: &PluginSnapshot| it.refused_answers.unknown + it.refused_answers.foreign;
    refused(trial, foreign, "the ids are not of its calls")
}

pub(super) fn answers_once(trial: &Trial<'_>) -> Outcome {
    loaded(trial, |plugin| {
        let (said, snapshot) = all(trial, plugin);
        // Answers after a deadline are refused too: another rule tests them.
        if said.iter().any(|it| it.is_late) {
            return Outcome::NotApplicable("some calls are not answered in time".to_owned());
        }
        match snapshot.refused_answers.late {
            0 => none_of(&said).unwrap_or(Outcome::Kept(String::new())),
            late => Outcome::Broken(format!("the host refused {late}: their calls were over")),
        }
    })
}
