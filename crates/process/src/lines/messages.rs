// SPDX-License-Identifier: BSD-3-Clause
//! Lines: from calls, and to what a program means.

use std::collections::BTreeMap;

use becket_host::{NrStatus, Request};
use bytes::Bytes;
use data_encoding::{BASE64, BASE64_NOPAD};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::protocol::{Entry, Load, Loaded};

/// The version in the first line of either side.
const VERSION: u32 = 1;

/// A line to the program.
#[derive(Default, Serialize)]
struct Line<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    becket: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    config: Option<&'a Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    entry: Option<&'a str>,
    #[serde(skip_serializing_if = "is_false")]
    stream: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    deadline_ms: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    method: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    query: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    headers: Option<BTreeMap<String, String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    body64: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data64: Option<String>,
    #[serde(skip_serializing_if = "is_false")]
    close: bool,
    #[serde(skip_serializing_if = "is_false")]
    cancel: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
fn is_false(flag: &bool) -> bool {
    !flag
}

impl Line<'_> {
    fn encode(&self) -> Bytes {
        // Texts and numbers always are JSON.
        let mut line = serde_json::to_vec(self).unwrap_or_default();
        line.push(b'\n');
        line.into()
    }
}

/// Text, or base64 of what is none.
fn text(bytes: &[u8]) -> (Option<&str>, Option<String>) {
    match std::str::from_utf8(bytes) {
        Ok(text) => (Some(text), None),
        Err(_) => (None, Some(BASE64.encode(bytes))),
    }
}

/// The first line.
pub(super) fn load(load: &Load) -> Bytes {
    let none = Value::Object(serde_json::Map::new());
    let config = if load.config.is_null() { &none } else { &load.config };
    let (name, config) = (Some(load.name.as_str()), Some(config));
    Line { becket: Some(VERSION), name, config, ..Line::default() }.encode()
}

/// A call that is passed on.
pub(super) struct Passed<'a> {
    /// `None`: a notification.
    pub(super) id: Option<u64>,
    pub(super) entry: &'a str,
    pub(super) is_stream: bool,
    pub(super) deadline_ms: u32,
    pub(super) has_metadata: bool,
    pub(super) request: &'a Request,
}

pub(super) fn call(call: &Passed<'_>) -> Bytes {
    let request = call.request;
    let (body, body64) = text(&request.body);
    let mut line = Line {
        id: call.id,
        entry: Some(call.entry),
        stream: call.is_stream,
        deadline_ms: Some(call.deadline_ms).filter(|ms| *ms > 0),
        body,
        body64,
        ..Line::default()
    };
    if call.has_metadata {
        line.method = Some(&request.method);
        line.path = Some(&request.path);
        line.query = Some(&request.query);
        let mut headers = BTreeMap::new();
        for (name, value) in &request.headers {
            headers
                .entry(name.to_ascii_lowercase())
                .and_modify(|joined: &mut String| {
                    joined.push_str(", ");
                    joined.push_str(value);
                })
                .or_insert_with(|| value.to_string());
        }
        line.headers = Some(headers);
    }
    line.encode()
}

pub(super) fn data(id: u64, bytes: &[u8]) -> Bytes {
    let (data, data64) = text(bytes);
    Line { id: Some(id), data, data64, ..Line::default() }.encode()
}

pub(super) fn close(id: u64) -> Bytes {
    Line { id: Some(id), close: true, ..Line::default() }.encode()
}

pub(super) fn cancel(id: u64) -> Bytes {
    Line { id: Some(id), cancel: true, ..Line::default() }.encode()
}

/// What a line of the program means.
#[derive(Debug)]
pub(super) enum Said {
    Loaded(Loaded),
    Failed(String),
    Answer {
        id: u64,
        status: NrStatus,
        body: Vec<u8>,
    },
    Refused {
        id: u64,
        status: NrStatus,
    },
    Frame {
        id: u64,
        body: Vec<u8>,
    },
    End {
        id: u64,
        body: Vec<u8>,
    },
    Log {
        level: u8,
        target: Option<String>,
        message: String,
    },
    /// The answer of a notification.
    Nothing,
}

/// A line of the program, as it is.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    becket: Option<u32>,
    name: Option<String>,
    version: Option<String>,
    entries: Option<Vec<RawEntry>>,
    failed: Option<String>,
    #[serde(default, deserialize_with = "given")]
    id: Option<Option<u64>>,
    status: Option<RawStatus>,
    refused: Option<RawStatus>,
    body: Option<Value>,
    body64: Option<String>,
    frame: Option<Value>,
    frame64: Option<String>,
    end: Option<bool>,
    log: Option<String>,
    message: Option<Value>,
    target: Option<String>,
}

/// Tells null from what is not there.
fn given<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<Option<u64>>, D::Error> {
    Option::deserialize(from).map(Some)
}

#[derive(Deserialize)]
#[serde(untagged)]
enum RawEntry {
    Name(String),
    Entry(EntryLine),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EntryLine {
    name: String,
    #[serde(default)]
    kind: Option<String>,
    #[serde(default)]
    help: String,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum RawStatus {
    Number(u32),
    Name(String),
}

const STATUSES: [(&str, NrStatus); 10] = [
    ("ok", NrStatus::Ok),
    ("err", NrStatus::Err),
    ("invalid", NrStatus::Invalid),
    ("unsupported", NrStatus::Unsupported),
    ("panic", NrStatus::Panic),
    ("backpressure", NrStatus::Backpressure),
    ("timeout", NrStatus::Timeout),
    ("cancelled", NrStatus::Cancelled),
    ("closed", NrStatus::Closed),
    ("too_long", NrStatus::TooLong),
];
const LEVELS: [&str; 5] = ["error", "warn", "info", "debug", "trace"];
const KINDS: [&str; 3] = ["unary", "stream", "bidirectional"];

impl RawStatus {
    fn status(&self) -> Result<NrStatus, String> {
        match self {
            Self::Number(number) => Ok(NrStatus(*number)),
            Self::Name(name) => {
                let found = STATUSES.iter().find(|(known, _)| known == name);
                found.map(|(_, status)| *status).ok_or_else(|| {
                    let known = STATUSES.map(|(name, _)| name).join(", ");
                    format!("there is no status of this name; there are {known}, and numbers")
                })
            }
        }
    }
}

/// What a line means, or why it means nothing.
pub(super) fn parse(line: &[u8]) -> Result<Said, String> {
    let raw: Raw = serde_json::from_slice(line).map_err(|error| error.to_string())?;
    if let Some(version) = raw.becket {
        if version != VERSION {
            return Err(format!("`becket` is {version}, expected {VERSION}"));
        }
        let name = raw.name.ok_or("the first line has no `name`")?;
        let entries = raw.entries.ok_or("the first line has no `entries`")?;
        let entries = entries.into_iter().map(entry).collect::<Result<_, _>>()?;
        let version = raw.version.unwrap_or_else(|| "0.0.0".to_owned());
        return Ok(Said::Loaded(Loaded {
            name,
            version,
            entries,
            is_complete: true,
            exports_state: false,
            takes_data: true,
            layout: None,
        }));
    }
    if let Some(why) = raw.failed {
        return Ok(Said::Failed(why));
    }
    if let Some(level) = raw.log {
        let place = LEVELS.iter().position(|known| *known == level);
        let place = place.ok_or_else(|| format!("`log` is none of {}", LEVELS.join(", ")))?;
        let message = bytes(raw.message, None)?;
        let message = String::from_utf8_lossy(&message).into_owned();
        return Ok(Said::Log { level: place as u8 + 1, target: raw.target, message });
    }
    let id = raw.id.ok_or("it has none of `id`, `log`, `becket` and `failed`")?;
    let Some(id) = id else { return Ok(Said::Nothing) };
    if let Some(status) = raw.refused {
        return Ok(Said::Refused { id, status: status.status()? });
    }
    if raw.frame.is_some() || raw.frame64.is_some() {
        return Ok(Said::Frame { id, body: bytes(raw.frame, raw.frame64)? });
    }
    let body = bytes(raw.body, raw.body64)?;
    let status = raw.status.map_or(Ok(NrStatus::Ok), |status| status.status())?;
    if raw.end == Some(true) && status == NrStatus::Ok {
        return Ok(Said::End { id, body });
    }
    Ok(Said::Answer { id, status, body })
}

fn entry(entry: RawEntry) -> Result<Entry, String> {
    let (name, kind, help) = match entry {
        RawEntry::Name(name) => (name, None, String::new()),
        RawEntry::Entry(EntryLine { name, kind, help }) => (name, kind, help),
    };
    let kind = kind.unwrap_or_else(|| "unary".to_owned());
    if !KINDS.contains(&kind.as_str()) {
        return Err(format!("the kind of an entry is none of {}", KINDS.join(", ")));
    }
    Ok(Entry { name, kind, help, never_waits: false })
}

/// The bytes of a body: text, the JSON of anything else, or base64.
fn bytes(value: Option<Value>, base64: Option<String>) -> Result<Vec<u8>, String> {
    match (value, base64) {
        (None | Some(Value::Null), None) => Ok(Vec::new()),
        (Some(Value::String(text)), None) => Ok(text.into_bytes()),
        (Some(other), None) => Ok(other.to_string().into_bytes()),
        (None, Some(text)) => {
            // Its padding may be missing.
            let digits = text.trim_end_matches('=').as_bytes();
            BASE64_NOPAD
                .decode(digits)
                .map_err(|error| format!("it has bytes that are no base64: {error}"))
        }
        (Some(_), Some(_)) => Err("it has the same bytes as text and in base64".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn lines_of_a_program_mean_this() {
        for (line, said) in [
            (r#"{"id":1}"#, "Answer { id: 1, status: Ok, body: [] }"),
            (r#"{"id":1,"body":"a"}"#, "Answer { id: 1, status: Ok, body: [97] }"),
            (r#"{"id":1,"body":[1]}"#, "Answer { id: 1, status: Ok, body: [91, 49, 93] }"),
            (r#"{"id":1,"body":null}"#, "Answer { id: 1, status: Ok, body: [] }"),
            (
                r#"{"id":1,"body64":"YQ","status":"err"}"#,
                "Answer { id: 1, status: Err, body: [97] }",
            ),
            (r#"{"id":1,"status":2,"end":true}"#, "Answer { id: 1, status: Invalid, body: [] }"),
            (r#"{"id":1,"refused":"unsupported"}"#, "Refused { id: 1, status: Unsupported }"),
            (r#"{"id":1,"frame":"a"}"#, "Frame { id: 1, body: [97] }"),
            (r#"{"id":1,"end":true,"body":"a"}"#, "End { id: 1, body: [97] }"),
            (r#"{"id":null,"status":"ok","body":"a"}"#, "Nothing"),
            (r#"{"failed":"why"}"#, r#"Failed("why")"#),
            (r#"{"log":"warn","message":"m"}"#, r#"Log { level: 2, target: None, message: "m" }"#),
        ] {
            assert_eq!(format!("{:?}", parse(line.as_bytes()).unwrap()), said, "{line}");
        }
        let first = br#"{"becket":1,"name":"p","entries":["a",{"name":"b","kind":"stream"}]}"#;
        let Said::Loaded(loaded) = parse(first).unwrap() else { panic!("no first line") };
        let kinds: Vec<_> = loaded.entries.iter().map(|entry| entry.kind.as_str()).collect();
        assert_eq!((loaded.version.as_str(), kinds), ("0.0.0", vec!["unary", "stream"]));
    }

    #[test]
    fn a_line_that_means_nothing_says_why() {
        for (line, why) in [
            ("nonsense", "expected"),
            ("[]", "invalid"),
            ("{}", "none of `id`"),
            (r#"{"id":-1}"#, "invalid value"),
            (r#"{"id":1,"boddy":"x"}"#, "unknown field `boddy`"),
            (r#"{"id":1,"status":"fine"}"#, "there are ok, err"),
            (r#"{"id":1,"body64":"!"}"#, "no base64"),
            (r#"{"id":1,"body":"","body64":""}"#, "text and in base64"),
            (r#"{"becket":2,"name":"p","entries":[]}"#, "expected 1"),
            (r#"{"becket":1,"entries":[]}"#, "no `name`"),
            (r#"{"becket":1,"name":"p","entries":[{"name":"a","kind":"b"}]}"#, "none of unary"),
            (r#"{"log":"loud","message":""}"#, "none of error"),
        ] {
            let error = parse(line.as_bytes()).unwrap_err();
            assert!(error.contains(why), "{line}: {error}");
        }
    }

    #[test]
    fn calls_are_lines() {
        let request = Request::new("x").method("GET").path("/p").header("A", "1").header("a", "2");
        let mut passed = Passed {
            id: Some(7),
            entry: "e",
            is_stream: false,
            deadline_ms: 0,
            has_metadata: false,
            request: &request,
        };
        assert_eq!(&*call(&passed), b"{\"id\":7,\"entry\":\"e\",\"body\":\"x\"}\n");
        passed = Passed { id: None, is_stream: true, deadline_ms: 5, has_metadata: true, ..passed };
        let line = String::from_utf8(call(&passed).to_vec()).unwrap();
        assert_eq!(
            line,
            "{\"entry\":\"e\",\"stream\":true,\"deadline_ms\":5,\"method\":\"GET\",\"path\":\"/p\",\"query\":\"\",\
             \"headers\":{\"a\":\"1, 2\"},\"body\":\"x\"}\n"
        );
        assert_eq!(&*data(1, b"\xff\n"), b"{\"id\":1,\"data64\":\"/wo=\"}\n");
        assert_eq!(&*data(1, b"a\nb"), b"{\"id\":1,\"data\":\"a\\nb\"}\n");
    }
}
