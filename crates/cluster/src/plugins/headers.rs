// SPDX-License-Identifier: BSD-3-Clause
//! What accompanies a payload: metadata, deadlines and outcomes, as NATS headers. A call of a host without metadata
//! has none: its deadline is in its reply subject ([`Reply`](super::names::Reply)).
//!
//! A header's value is one line without spaces at its ends. A host escapes what would not pass (`%`
//! and two digits for a byte) and adds `Becket-Escaped`; without that header values are literal, so
//! that a request written by hand needs no escapes.

use std::fmt::Write as _;
use std::str::FromStr as _;
use std::time::Duration;

use async_nats::{HeaderMap, HeaderName, HeaderValue};
use becket_host::{CallError, Metadata, NrStatus, Request};
use bytes::Bytes;

use crate::names::unescape;

const DEADLINE: &str = "Becket-Deadline-Ms";
const STREAM: &str = "Becket-Stream";
const METHOD: &str = "Becket-Method";
const PATH: &str = "Becket-Path";
const QUERY: &str = "Becket-Query";
const HEADER: &str = "Becket-Header";
const ESCAPED: &str = "Becket-Escaped";
const STATUS: &str = "Becket-Status";
const OUTCOME: &str = "Becket-Outcome";
const ERROR: &str = "Nats-Service-Error";
const ERROR_CODE: &str = "Nats-Service-Error-Code";

/// Headers, and the bytes that they take.
#[derive(Debug, Default)]
pub(super) struct Headers {
    map: HeaderMap,
    bytes: usize,
    is_escaped: bool,
}

impl Headers {
    fn add(&mut self, name: &'static str, text: &str) {
        let is_plain = |byte: u8| (0x20..0x7f).contains(&byte) && byte != b'%';
        let has_ends = text.starts_with(' ') || text.ends_with(' ');
        if text.bytes().all(is_plain) && !has_ends {
            return self.put(name, text);
        }
        self.is_escaped = true;
        let mut escaped = String::with_capacity(text.len() + 8);
        for byte in text.bytes() {
            match is_plain(byte) && byte != b' ' {
                true => escaped.push(byte.into()),
                false => _ = write!(escaped, "%{byte:02X}"),
            }
        }
        self.put(name, &escaped);
    }

    fn put(&mut self, name: &'static str, text: &str) {
        if let Ok(value) = HeaderValue::from_str(text) {
            const BESIDE: usize = ": \r\n".len();
            self.bytes += name.len() + text.len() + BESIDE;
            self.map.append(HeaderName::from_static(name), value);
        }
    }

    /// The headers, and the bytes that they take in a message.
    pub(super) fn into_map(mut self) -> (Option<HeaderMap>, usize) {
        if self.map.is_empty() {
            return (None, 0);
        }
        if self.is_escaped {
            self.put(ESCAPED, "1");
        }
        (Some(self.map), self.bytes + "NATS/1.0\r\n\r\n".len())
    }
}

/// The headers of a call by a host.
pub(super) fn of_call(stream: Option<Window>, metadata: Option<Metadata<'_>>) -> Headers {
    let mut headers = Headers::default();
    if let Some(Window { messages, bytes }) = stream {
        headers.put(STREAM, &format!("{messages} {bytes}"));
    }
    if let Some(metadata) = metadata {
        headers.add(METHOD, metadata.method());
        if !metadata.path().is_empty() {
            headers.add(PATH, metadata.path());
        }
        if !metadata.query().is_empty() {
            headers.add(QUERY, metadata.query());
        }
        for (name, value) in metadata.headers() {
            headers.add(HEADER, &format!("{name}: {value}"));
        }
    }
    headers
}

/// How far a sender of frames may go: counted from the stream's beginning.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Window {
    /// Frames.
    pub(super) messages: u64,
    /// Their bytes. The last frame may exceed it.
    pub(super) bytes: u64,
}

impl Window {
    /// That of a header.
    fn read(text: &str) -> Option<Self> {
        let (messages, bytes) = text.split_once(' ')?;
        Some(Self { messages: messages.parse().ok()?, bytes: bytes.parse().ok()? })
    }

    /// Whichever is further.
    pub(super) fn extend(&mut self, to: Self) {
        self.messages = self.messages.max(to.messages);
        self.bytes = self.bytes.max(to.bytes);
    }

    /// Whether one more frame may be sent after these.
    pub(super) fn has_room_after(&self, messages: u64, bytes: u64) -> bool {
        messages < self.messages && bytes < self.bytes
    }
}

/// What the headers of a message on an entry's subject ask for.
#[derive(Debug, Default)]
pub(super) struct Asked {
    /// How long its caller waits.
    pub(super) timeout: Option<Duration>,
    /// It opens a stream.
    pub(super) stream: Option<Window>,
    /// It has metadata.
    pub(super) has_metadata: bool,
    /// The metadata, and the payload as the body.
    pub(super) request: Request,
}

/// Reads a message. `None`: it claims to be escaped, and is not.
pub(super) fn read_call(headers: Option<&HeaderMap>, payload: Bytes) -> Option<Asked> {
    let mut asked = Asked { request: Request::new(payload), ..Asked::default() };
    let Some(headers) = headers else { return Some(asked) };
    let (mut method, mut path, mut query) = (None, None, None);
    let (mut lines, mut is_escaped) = (&[][..], false);
    for (name, values) in headers.iter() {
        let Some(value) = values.first().map(HeaderValue::as_str) else { continue };
        match name.as_ref() {
            DEADLINE => {
                let ms = value.parse().ok().filter(|ms| *ms > 0);
                asked.timeout = ms.map(Duration::from_millis);
            }
            STREAM => asked.stream = Window::read(value),
            METHOD => method = Some(value),
            PATH => path = Some(value),
            QUERY => query = Some(value),
            HEADER => lines = values,
            ESCAPED => is_escaped = true,
            _ => {}
        }
    }
    let read = |text: &str| if is_escaped { unescape(text) } else { Some(text.to_owned()) };
    let mut request = asked.request;
    for line in lines {
        let text = read(line.as_str())?;
        let (name, value) = text.split_once(':').unwrap_or((&text, ""));
        // One space is the separator's; those of the value are escaped, or stay.
        let value = value.strip_prefix(' ').unwrap_or(value).to_owned();
        request = request.header(name.to_owned(), value);
    }
    asked.has_metadata = method.or(path).or(query).is_some() || !request.headers.is_empty();
    request = request.method(read(method.unwrap_or_default())?);
    request = request.path(read(path.unwrap_or_default())?);
    request = request.query(read(query.unwrap_or_default())?);
    asked.request = request;
    Some(asked)
}

/// Why a call or a stream has no answer of the plugin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// `handle` refused it.
    Refused(NrStatus),
    /// Its deadline passed on the node.
    Late,
    /// The node has too much in hand.
    Busy,
    /// The plugin has no such entry.
    UnknownEntry,
    /// The process that ran it there has ended.
    Crashed,
    /// The plugin has failed there: the call had no effects.
    Failed,
    /// Frames were lost between.
    Lost,
}

impl Outcome {
    const ALL: [(Self, &'static str, u8, &'static str, u16); 7] = [
        (Self::Refused(NrStatus::Err), "refused", 1, "the plugin refused the call", 500),
        (Self::Late, "late", 2, "no answer before the deadline", 504),
        (Self::Busy, "busy", 3, "too many calls at once", 429),
        (Self::UnknownEntry, "unknown-entry", 4, "the plugin has no such entry", 404),
        (Self::Crashed, "crashed", 5, "the process of the plugin has ended", 502),
        (Self::Failed, "failed", 6, "the plugin has failed", 503),
        (Self::Lost, "lost", 7, "messages were lost", 502),
    ];

    fn row(self) -> (&'static str, u8, &'static str, u16) {
        let kind = std::mem::discriminant(&self);
        let row = Self::ALL.iter().find(|row| std::mem::discriminant(&row.0) == kind);
        row.map_or(("failed", 6, "", 503), |row| (row.1, row.2, row.3, row.4))
    }

    /// Its number in a stream's messages.
    pub(super) fn number(self) -> u8 {
        self.row().1
    }

    pub(super) fn status(self) -> NrStatus {
        if let Self::Refused(status) = self { status } else { NrStatus::Err }
    }

    /// The one of a number, and the status of a refusal.
    pub(super) fn of_number(number: u8, status: NrStatus) -> Option<Self> {
        Self::of(|row| row.2 == number, status)
    }

    fn of(
        is_it: impl Fn(&(Self, &'static str, u8, &'static str, u16)) -> bool,
        status: NrStatus,
    ) -> Option<Self> {
        let found = Self::ALL.iter().find(|row| is_it(row))?.0;
        Some(if let Self::Refused(_) = found { Self::Refused(status) } else { found })
    }
}

impl From<&CallError> for Outcome {
    fn from(error: &CallError) -> Self {
        match error {
            CallError::Refused { status } => Self::Refused(*status),
            CallError::DeadlineExceeded => Self::Late,
            CallError::UnknownEntry(_) => Self::UnknownEntry,
            CallError::Quota { .. } | CallError::Quarantined => Self::Busy,
            CallError::PayloadTooLarge { .. } => Self::Refused(NrStatus::TooLong),
            CallError::Crashed | CallError::Unloaded => Self::Crashed,
            CallError::PluginFailed => Self::Failed,
            _ => Self::Refused(NrStatus::Err),
        }
    }
}

/// The headers of an answer: none for `Ok`.
pub(super) fn of_answer(status: NrStatus) -> Headers {
    let mut headers = Headers::default();
    if status != NrStatus::Ok {
        headers.put(STATUS, &status.0.to_string());
        headers.put(ERROR_CODE, "500");
        headers.put(ERROR, "the plugin answered with a status other than ok");
    }
    headers
}

/// The headers of a call without an answer, and the text and the number that its client sees.
pub(super) fn of_outcome(outcome: Outcome) -> (Headers, &'static str, u16) {
    let (word, _, text, code) = outcome.row();
    let mut headers = Headers::default();
    headers.put(OUTCOME, word);
    if let Outcome::Refused(status) = outcome {
        headers.put(STATUS, &status.0.to_string());
    }
    (headers, text, code)
}

/// The status of an answer, or why there is none.
pub(super) fn read_answer(headers: Option<&HeaderMap>) -> Result<NrStatus, Outcome> {
    let Some(headers) = headers else { return Ok(NrStatus::Ok) };
    let (mut status, mut outcome, mut is_error) = (None, None, false);
    for (name, values) in headers.iter() {
        let Some(value) = values.first().map(HeaderValue::as_str) else { continue };
        match name.as_ref() {
            STATUS => status = value.parse().ok().map(NrStatus),
            OUTCOME => outcome = Some(value),
            ERROR_CODE => is_error = true,
            _ => {}
        }
    }
    let Some(word) = outcome else {
        // Another service may answer with an error of its own.
        let default = if is_error { NrStatus::Err } else { NrStatus::Ok };
        return Ok(status.unwrap_or(default));
    };
    let status = status.unwrap_or(NrStatus::Err);
    Err(Outcome::of(|row| row.1 == word, status).unwrap_or(Outcome::Refused(NrStatus::Err)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outcome_is_read_back() {
        for (outcome, ..) in Outcome::ALL {
            let outcome = match outcome {
                Outcome::Refused(_) => Outcome::Refused(NrStatus(77)),
                other => other,
            };
            let (headers, ..) = of_outcome(outcome);
            assert_eq!(read_answer(headers.into_map().0.as_ref()), Err(outcome));
            let read = Outcome::of_number(outcome.number(), outcome.status());
            assert_eq!(read, Some(outcome));
        }
        assert_eq!(read_answer(None), Ok(NrStatus::Ok));
        assert_eq!(read_answer(of_answer(NrStatus(9)).into_map().0.as_ref()), Ok(NrStatus(9)));
    }

    #[test]
    fn text_of_any_kind_is_read_back() {
        for text in ["plain", " ends ", "a%20b", "line\r\nBecket-Deadline-Ms: 1", "ä", ""] {
            let mut headers = Headers::default();
            headers.add(PATH, text);
            headers.add(HEADER, &format!("name: {text}"));
            let (map, bytes) = headers.into_map();
            assert!(bytes > 0);
            let asked = read_call(map.as_ref(), Bytes::new()).unwrap();
            assert_eq!(asked.request.path, text);
            assert_eq!(asked.request.headers[0].1, text);
            assert_eq!(asked.timeout, None);
        }
    }

    #[test]
    fn what_is_written_by_hand_is_literal() {
        let mut map = HeaderMap::new();
        map.insert(PATH, "/a%20b");
        map.insert(DEADLINE, "0");
        let asked = read_call(Some(&map), Bytes::new()).unwrap();
        assert_eq!(asked.request.path, "/a%20b");
        assert!(asked.has_metadata && asked.timeout.is_none());
    }
}
