// SPDX-License-Identifier: BSD-3-Clause
//! How a line of the access log reads.
//!
//! The combined format has the fields of `combined` in Apache and nginx and no other, so that their tools read it.

use std::borrow::Cow;
use std::fmt::Write;

use http::{HeaderValue, Version};
use serde::Serialize;
use time::OffsetDateTime;

use super::Record;
use crate::trace::TraceId;

/// The longest text of a client in a line; the rest is left out.
const TEXT_BYTES_MAX: usize = 2048;

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// One object, without the fields that the request does not have.
#[derive(Serialize)]
struct Json<'a> {
    time: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    client: Option<String>,
    method: &'a str,
    path: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    query: Option<&'a str>,
    protocol: &'static str,
    status: u16,
    bytes: u64,
    seconds: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    host: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    referer: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_agent: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    trace_id: Option<&'a str>,
}

pub(super) fn json(record: &Record) -> Vec<u8> {
    let at = OffsetDateTime::from(record.came);
    // HTTP/2 has the host in the URL.
    let authority = record.uri.authority().map(|authority| Cow::Borrowed(authority.as_str()));
    let line = Json {
        time: format!(
            "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z",
            at.year(),
            u8::from(at.month()),
            at.day(),
            at.hour(),
            at.minute(),
            at.second(),
            at.millisecond()
        ),
        client: record.client.map(|client| client.to_string()),
        method: cut(record.method.as_str()),
        path: cut(record.uri.path()),
        query: record.uri.query().filter(|_| record.log.has_query).map(cut),
        protocol: protocol(record.version),
        status: record.status,
        bytes: record.bytes,
        seconds: record.began.elapsed().as_micros() as f64 / 1e6,
        host: text(record.host.as_ref()).or(authority),
        referer: text(record.referer.as_ref()),
        user_agent: text(record.user_agent.as_ref()),
        trace_id: record.trace.as_ref().map(TraceId::as_str),
    };
    // Text and numbers: they always have JSON.
    let mut line = serde_json::to_vec(&line).unwrap_or_default();
    line.push(b'\n');
    line
}

pub(super) fn combined(record: &Record) -> Vec<u8> {
    let at = OffsetDateTime::from(record.came);
    let month = MONTHS.get(usize::from(u8::from(at.month())) - 1).copied().unwrap_or_default();
    let mut line = String::new();
    match record.client {
        Some(client) => _ = write!(line, "{client}"),
        None => line.push('-'),
    }
    // Writing to a `String` cannot fail.
    let _ = write!(
        line,
        " - - [{:02}/{month}/{:04}:{:02}:{:02}:{:02} +0000] \"",
        at.day(),
        at.year(),
        at.hour(),
        at.minute(),
        at.second()
    );
    escape(&mut line, record.method.as_str().as_bytes());
    line.push(' ');
    escape(&mut line, record.uri.path().as_bytes());
    if let Some(query) = record.uri.query().filter(|_| record.log.has_query) {
        line.push('?');
        escape(&mut line, query.as_bytes());
    }
    let (protocol, status, bytes) = (protocol(record.version), record.status, record.bytes);
    let _ = write!(line, " {protocol}\" {status} {bytes}");
    for header in [&record.referer, &record.user_agent] {
        line.push_str(" \"");
        match header {
            Some(value) => escape(&mut line, value.as_bytes()),
            None => line.push('-'),
        }
        line.push('"');
    }
    line.push('\n');
    line.into_bytes()
}

/// As Apache and nginx write what a client sends between quotes.
fn escape(line: &mut String, text: &[u8]) {
    for byte in text.iter().take(TEXT_BYTES_MAX) {
        match byte {
            b'"' | b'\\' | 0..0x20 | 0x7f.. => _ = write!(line, "\\x{byte:02X}"),
            byte => line.push(char::from(*byte)),
        }
    }
}

fn text(header: Option<&HeaderValue>) -> Option<Cow<'_, str>> {
    let bytes = header?.as_bytes();
    Some(String::from_utf8_lossy(bytes.get(..TEXT_BYTES_MAX).unwrap_or(bytes)))
}

fn cut(text: &str) -> &str {
    text.get(..text.floor_char_boundary(TEXT_BYTES_MAX)).unwrap_or_default()
}

fn protocol(version: Version) -> &'static str {
    match version {
        Version::HTTP_10 => "HTTP/1.0",
        Version::HTTP_2 => "HTTP/2.0",
        _ => "HTTP/1.1",
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::{Duration, SystemTime};

    use http::Request;

    use super::super::AccessLog;
    use super::*;
    use crate::config::{AccessLogConfig, AccessLogFormat};
    use crate::stats::Stats;

    /// The record of a request, for a file without a reader.
    fn record(query: bool, request: http::request::Builder) -> (Record, tempfile::TempDir) {
        let folder = tempfile::tempdir().unwrap();
        let config = AccessLogConfig {
            format: AccessLogFormat::Json,
            file: Some(folder.path().join("log")),
            query,
            ..AccessLogConfig::default()
        };
        let log = AccessLog::start(&config, &Arc::new(Stats::default())).unwrap().unwrap();
        let (head, ()) = request.body(()).unwrap().into_parts();
        let mut record = log.record(Some([192, 0, 2, 7].into()), None, &head);
        record.came = SystemTime::UNIX_EPOCH + Duration::from_millis(1_764_040_222_042);
        record.add_bytes(12);
        (record, folder)
    }

    #[test]
    fn the_combined_format_is_that_of_web_servers() {
        let request = || {
            Request::post("/a/b?token=secret")
                .header("referer", "http://a.test/\"x\\")
                .header("user-agent", HeaderValue::from_bytes(b"c\turl\xff/8").unwrap())
        };
        let (mut seen, _folder) = record(false, request());
        seen.status = 201;
        assert_eq!(
            String::from_utf8(combined(&seen)).unwrap(),
            "192.0.2.7 - - [25/Nov/2025:03:10:22 +0000] \"POST /a/b HTTP/1.1\" 201 12 \
             \"http://a.test/\\x22x\\x5C\" \"c\\x09url\\xFF/8\"\n"
        );
        let (seen, _folder) = record(true, request());
        let line = String::from_utf8(combined(&seen)).unwrap();
        assert!(line.contains("\"POST /a/b?token=secret HTTP/1.1\" 499 12 "), "{line}");
        let (mut seen, _folder) = record(true, Request::get("/"));
        seen.client = None;
        let line = String::from_utf8(combined(&seen)).unwrap();
        assert!(line.starts_with("- - - [") && line.ends_with(" 12 \"-\" \"-\"\n"), "{line}");
    }

    #[test]
    fn json_has_what_the_request_has() {
        let request = Request::get("http://b.test/é?token=secret").version(Version::HTTP_2);
        let request = request.header(
            "user-agent",
            HeaderValue::from_bytes(b"\xff\"\n").unwrap_or(HeaderValue::from_static("\"")),
        );
        let (seen, _folder) = record(false, request);
        let line = json(&seen);
        assert_eq!(line.iter().filter(|byte| **byte == b'\n').count(), 1);
        let mut line: serde_json::Value = serde_json::from_slice(&line).unwrap();
        assert!(line["seconds"].take().as_f64().unwrap() >= 0.0);
        assert_eq!(
            line,
            serde_json::json!({
                "time": "2025-11-25T03:10:22.042Z", "client": "192.0.2.7", "method": "GET",
                "path": "/é", "protocol": "HTTP/2.0", "status": 499, "bytes": 12,
                "seconds": null, "host": "b.test", "user_agent": "\"",
            })
        );
    }

    #[test]
    fn a_long_text_is_cut() {
        let long = "é".repeat(4000);
        let (seen, _folder) = record(true, Request::get("/").header("referer", long.as_str()));
        assert!(json(&seen).len() < 2 * TEXT_BYTES_MAX);
        assert!(combined(&seen).len() < 5 * TEXT_BYTES_MAX);
        assert_eq!(cut(&long).len(), TEXT_BYTES_MAX);
    }
}
