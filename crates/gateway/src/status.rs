// SPDX-License-Identifier: BSD-3-Clause
//! From statuses and errors of plugins and host to HTTP's. `docs/src/gateway.md` has the table.

use std::time::Duration;

use becket_host::{CallError, NrStatus, SendError, StreamError};
use http::StatusCode;

use crate::problem::Problem;

/// The HTTP status of an answer.
pub(crate) fn of_status(status: NrStatus) -> StatusCode {
    match status {
        NrStatus::Ok | NrStatus::StreamEnd => StatusCode::OK,
        NrStatus::Invalid => StatusCode::BAD_REQUEST,
        NrStatus::Unsupported => StatusCode::NOT_IMPLEMENTED,
        NrStatus::Backpressure => StatusCode::SERVICE_UNAVAILABLE,
        // Err, Panic and every number without a name.
        _ => StatusCode::BAD_GATEWAY,
    }
}

/// A status that came without a body of its own.
pub(crate) fn problem_of_status(entry: &str, status: NrStatus) -> Problem {
    let problem = Problem::new(of_status(status), format!("entry `{entry}` answered {status}"));
    match status {
        NrStatus::Invalid => problem.hint("check the request's body and headers"),
        NrStatus::TooLong => {
            problem.hint("the plugin's answer is longer than its `payload_bytes_max`: raise that")
        }
        NrStatus::Unsupported => {
            problem.hint("the plugin does not offer this; see its entries on the admin page")
        }
        NrStatus::Backpressure => problem.hint("the plugin is busy; try again").retry(),
        NrStatus::Panic => problem
            .hint("its code panicked or raised an exception: the log of the gateway says where"),
        _ => problem.hint("the plugin's log may say why"),
    }
}

pub(crate) fn problem_of_call(entry: &str, error: &CallError) -> Problem {
    let hint = error.hint();
    let say = |status| Problem::new(status, format!("entry `{entry}` was not answered"));
    match error {
        CallError::Refused { status } => problem_of_status(entry, *status),
        CallError::DeadlineExceeded => say(StatusCode::GATEWAY_TIMEOUT),
        CallError::UnknownEntry(_) => say(StatusCode::NOT_FOUND),
        CallError::PayloadTooLarge { .. } => say(StatusCode::PAYLOAD_TOO_LARGE),
        CallError::Quota { .. }
        | CallError::Quarantined
        | CallError::PluginFailed
        | CallError::Unloaded => say(StatusCode::SERVICE_UNAVAILABLE).retry(),
        // NotAnswered, Crashed, and errors that the host may add.
        _ => say(StatusCode::BAD_GATEWAY),
    }
    .cause(error.to_string())
    .maybe_hint(hint)
}

pub(crate) fn problem_of_stream(entry: &str, error: &StreamError) -> Problem {
    let say = |status| {
        Problem::new(status, format!("the stream of entry `{entry}` ended early"))
            .cause(error.to_string())
    };
    match error {
        StreamError::Failed { status, .. } => problem_of_status(entry, *status),
        StreamError::DeadlineExceeded | StreamError::Idle => say(StatusCode::GATEWAY_TIMEOUT),
        StreamError::Unloaded | StreamError::PluginFailed => {
            say(StatusCode::SERVICE_UNAVAILABLE).retry()
        }
        _ => say(StatusCode::BAD_GATEWAY),
    }
}

/// A WebSocket's close code and reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Closing {
    pub(crate) code: u16,
    pub(crate) reason: String,
}

impl Closing {
    pub(crate) fn new(code: u16, reason: impl Into<String>) -> Self {
        Self { code, reason: reason.into() }
    }

    pub(crate) fn of_stream(error: &StreamError) -> Self {
        match error {
            StreamError::Failed { status: NrStatus::Backpressure, .. } => {
                Self::new(1013, "the plugin is busy")
            }
            StreamError::Failed { status: NrStatus::Invalid, .. } => {
                Self::new(1008, "the plugin refused a message: Invalid")
            }
            StreamError::Failed { status, .. } => {
                Self::new(1011, format!("the plugin answered {status}"))
            }
            StreamError::DeadlineExceeded => Self::new(1011, "deadline exceeded"),
            StreamError::Idle => Self::new(1001, "idle"),
            StreamError::Unloaded => Self::new(1012, "the plugin was unloaded"),
            StreamError::PluginFailed => Self::new(1013, "the plugin has failed"),
            _ => Self::new(1011, "the stream ended early"),
        }
    }

    /// A message was not taken. `None`: the stream is over, and its end says why.
    pub(crate) fn of_send(error: &SendError) -> Option<Self> {
        Some(match error {
            SendError::Closed => return None,
            SendError::PayloadTooLarge { .. } => Self::new(1009, "message too large"),
            SendError::Refused { status } => {
                Self::new(1008, format!("the plugin refused a message: {status}"))
            }
            SendError::Unsupported => Self::new(1003, "the entry takes no messages"),
            _ => Self::new(1011, "a message could not be passed on"),
        })
    }
}

/// Milliseconds of the configuration as a duration.
pub(crate) const fn ms(value: u64) -> Duration {
    Duration::from_millis(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_status_has_its_code() {
        for (status, code) in [
            (NrStatus::Ok, 200),
            (NrStatus::StreamEnd, 200),
            (NrStatus::Invalid, 400),
            (NrStatus::Unsupported, 501),
            (NrStatus::Err, 502),
            (NrStatus::Panic, 502),
            (NrStatus::TooLong, 502),
            (NrStatus(99), 502),
            (NrStatus::Backpressure, 503),
        ] {
            assert_eq!(of_status(status).as_u16(), code, "{status}");
        }
    }

    #[test]
    fn a_status_names_the_side_that_is_to_blame() {
        for (status, named) in
            [(NrStatus::Invalid, "request's body"), (NrStatus::TooLong, "`payload_bytes_max`")]
        {
            let problem = problem_of_status("e", status);
            let hint = problem.sentences(true).find(|(label, _)| *label == "hint");
            let (_, hint) = hint.expect("a hint");
            assert!(hint.contains(named), "{hint}");
        }
    }

    #[test]
    fn a_refusal_has_the_hint_of_its_status_too() {
        let refused = CallError::Refused { status: NrStatus::Panic };
        let text = problem_of_call("e", &refused).to_text(true);
        assert!(text.contains("hint: its code panicked"), "{text}");
        let better = CallError::Refused { status: NrStatus::Unsupported };
        let text = problem_of_call("e", &better).to_text(true);
        assert!(text.contains("hint: the entry may not exist"), "{text}");
    }

    #[test]
    fn an_error_of_the_host_has_its_code() {
        for (error, code) in [
            (CallError::DeadlineExceeded, 504),
            (CallError::NotAnswered, 502),
            (CallError::Quarantined, 503),
            (CallError::PluginFailed, 503),
            (CallError::Crashed, 502),
            (CallError::Unloaded, 503),
            (CallError::Refused { status: NrStatus::Invalid }, 400),
        ] {
            assert_eq!(problem_of_call("e", &error).status.as_u16(), code, "{error}");
        }
    }

    #[test]
    fn a_close_reason_fits_a_close_frame() {
        let error = StreamError::Failed { status: NrStatus(u32::MAX), body: Default::default() };
        assert!(Closing::of_stream(&error).reason.len() <= 123);
    }
}
