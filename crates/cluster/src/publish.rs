// SPDX-License-Identifier: BSD-3-Clause
//! One attempt to publish, and the server's answer.

use std::sync::Arc;

use async_nats::client::RequestErrorKind;
use async_nats::header::{NATS_EXPECTED_LAST_SUBJECT_SEQUENCE, NATS_MESSAGE_ID};
use async_nats::{HeaderMap, HeaderName, Message, RequestError};
use serde::Deserialize;

/// The subject that [`NATS_EXPECTED_LAST_SUBJECT_SEQUENCE`] is about, if it is not the message's.
static EXPECTED_SUBJECT: HeaderName =
    HeaderName::from_static("Nats-Expected-Last-Subject-Sequence-Subject");

/// What a receiver of a rendezvous answers.
pub(crate) mod answer {
    pub(crate) const TOOK: &[u8] = b"took";
    pub(crate) const REFUSED: &[u8] = b"nack";
    pub(crate) const CLOSED: &[u8] = b"closed";
}

/// The answer to an attempt.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// Accepted, now or (duplicate) by an earlier attempt with the same id.
    Accepted { duplicate: bool },
    /// Not accepted: no room.
    Full,
    /// Not accepted: the gate is not empty.
    Closed,
    /// Not accepted: nothing accepts values at this moment. Not the same as closed: the stream may
    /// be electing a leader, or not be there yet.
    Unavailable,
    /// Not accepted: a message with the same condition is in process.
    Raced,
    /// Not accepted, and never will be.
    Refused(Arc<str>),
    /// No answer: accepted or not.
    Lost,
}

/// The headers of a message that a stream accepts only while `subject` has no message in it.
pub(crate) fn only_if_open(subject: &str, id: Option<&str>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(NATS_EXPECTED_LAST_SUBJECT_SEQUENCE, "0");
    headers.insert(EXPECTED_SUBJECT.clone(), subject);
    if let Some(id) = id {
        headers.insert(NATS_MESSAGE_ID, id);
    }
    headers
}

#[derive(Deserialize)]
struct Reply {
    error: Option<ReplyError>,
    #[serde(default)]
    duplicate: bool,
}

#[derive(Deserialize)]
struct ReplyError {
    code: u32,
    err_code: u32,
    #[serde(default)]
    description: String,
}

impl Answer {
    /// The answer of a stream.
    pub(crate) fn of_stream(result: Result<Message, RequestError>) -> Self {
        let message = match result {
            Ok(message) => message,
            Err(error) => return Self::of_error(&error),
        };
        let Ok(reply) = serde_json::from_slice::<Reply>(&message.payload) else {
            return Self::Refused("the answer is not that of a stream".into());
        };
        let Some(error) = reply.error else {
            return Self::Accepted { duplicate: reply.duplicate };
        };
        match (error.err_code, error.code) {
            // The limit of messages or bytes.
            (10077, _) => Self::Full,
            // The gate's last sequence is not 0; the stream is sealed.
            (10071 | 10109, _) => Self::Closed,
            (10164, _) => Self::Raced,
            // Too much is in flight, or in process, or the server has no resources at this moment.
            (10158 | 10167 | 10023, _) | (_, 429 | 503) => Self::Unavailable,
            _ => Self::Refused(error.description.into()),
        }
    }

    /// The answer of a receiver.
    pub(crate) fn of_receiver(result: Result<Message, RequestError>) -> Self {
        match result {
            Ok(message) if &message.payload[..] == answer::TOOK => {
                Self::Accepted { duplicate: false }
            }
            Ok(message) if &message.payload[..] == answer::REFUSED => Self::Full,
            Ok(message) if &message.payload[..] == answer::CLOSED => Self::Closed,
            Ok(_) => Self::Refused("the answer is not that of a receiver".into()),
            // No receiver is connected: as if none waited.
            Err(error) if error.kind() == RequestErrorKind::NoResponders => Self::Full,
            Err(error) => Self::of_error(&error),
        }
    }

    fn of_error(error: &RequestError) -> Self {
        match error.kind() {
            RequestErrorKind::NoResponders => Self::Unavailable,
            kind @ (RequestErrorKind::MaxPayloadExceeded | RequestErrorKind::InvalidSubject) => {
                Self::Refused(kind.to_string().into())
            }
            RequestErrorKind::TimedOut | RequestErrorKind::Other => Self::Lost,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(payload: &'static str) -> Answer {
        let message = Message {
            subject: "s".into(),
            reply: None,
            payload: payload.into(),
            headers: None,
            status: None,
            description: None,
            length: 0,
        };
        Answer::of_stream(Ok(message))
    }

    #[test]
    fn answers_of_a_stream_are_distinguished_by_their_codes() {
        let error = |code, err_code| -> &'static str {
            format!(r#"{{"error":{{"code":{code},"err_code":{err_code},"description":"d"}}}}"#)
                .leak()
        };
        assert_eq!(answered(r#"{"stream":"S","seq":1}"#), Answer::Accepted { duplicate: false });
        let twice = answered(r#"{"stream":"S","seq":1,"duplicate":true}"#);
        assert_eq!(twice, Answer::Accepted { duplicate: true });
        assert_eq!(answered(error(400, 10077)), Answer::Full);
        assert_eq!(answered(error(400, 10071)), Answer::Closed);
        assert_eq!(answered(error(400, 10109)), Answer::Closed);
        for (code, err_code) in [(503, 10008), (429, 10167), (400, 10158), (503, 10023)] {
            assert_eq!(answered(error(code, err_code)), Answer::Unavailable);
        }
        assert_eq!(answered(error(400, 10164)), Answer::Raced);
        assert_eq!(answered(error(400, 10054)), Answer::Refused("d".into()));
        let no_responders = RequestError::new(RequestErrorKind::NoResponders);
        assert_eq!(Answer::of_stream(Err(no_responders)), Answer::Unavailable);
    }
}
