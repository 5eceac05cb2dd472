// SPDX-License-Identifier: BSD-3-Clause
//! `[trace]`: spans that are exported by OTLP.
//!
//! A key that is absent is what the variable `OTEL_…` for it says, and its default without one. The variables are read
//! when the exporter starts (`otlp`): the same text is the same configuration everywhere.

use std::collections::BTreeMap;
use std::fmt;

use http::{HeaderName, HeaderValue, Uri};
use serde::Deserialize;

use super::check::{Complaint, WAIT_MS_MAX, in_range};
use super::locate::KeyPath;

/// The bounds of `queue_spans_max`.
pub(crate) const QUEUE_SPANS: [u64; 2] = [64, 1 << 20];

/// Where spans are sent, and how many.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TraceConfig {
    /// `http://HOST:PORT` of the receiver, to which `/v1/traces` is added.
    pub endpoint: Option<String>,
    /// The name of this gateway in traces.
    pub service_name: Option<String>,
    /// The share of the traces without a parent that is exported. A parent decides for its children.
    pub sample_ratio: Option<f64>,
    /// Headers of each request to the receiver.
    pub headers: BTreeMap<String, HeaderText>,
    /// Spans that wait to be sent; at the bound a span is dropped and counted.
    pub queue_spans_max: Option<u64>,
    /// How long the receiver may take to answer.
    pub timeout_ms: Option<u64>,
}

/// The value of a header, which may be a secret: it is not shown.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct HeaderText(String);

impl HeaderText {
    /// The value.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for HeaderText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

/// The table.
pub(crate) fn root() -> KeyPath {
    KeyPath::default().key("trace")
}

/// What is wrong with the table.
pub(super) fn check(trace: &TraceConfig) -> Result<(), Complaint> {
    let at = |key| root().key(key);
    if let Some(endpoint) = &trace.endpoint
        && let Some((what, hint)) = wrong(endpoint)
    {
        let what = format!("`trace.endpoint` is `{endpoint}`, {what}");
        return Err(Complaint::new(at("endpoint"), what, hint));
    }
    if let Some(ratio) = trace.sample_ratio.filter(|ratio| !(0.0..=1.0).contains(ratio)) {
        let what = format!("`trace.sample_ratio` is {ratio}");
        return Err(Complaint::new(at("sample_ratio"), what, "write a number from 0.0 to 1.0"));
    }
    if trace.service_name.as_deref() == Some("") {
        let what = "`trace.service_name` is empty".to_owned();
        return Err(Complaint::new(at("service_name"), what, "write the name, or remove the key"));
    }
    for (name, value) in &trace.headers {
        let is_header =
            name.parse::<HeaderName>().is_ok() && HeaderValue::from_str(value.as_str()).is_ok();
        if !is_header {
            return Err(Complaint::new(
                at("headers").key(name),
                format!("`trace.headers.{name}` cannot be a header"),
                "write a name of letters, digits and `-`, and a value of printable characters",
            ));
        }
    }
    let [min, max] = QUEUE_SPANS;
    let ranges = [
        ("queue_spans_max", trace.queue_spans_max, min, max),
        ("timeout_ms", trace.timeout_ms, 1, WAIT_MS_MAX),
    ];
    for (key, value, min, max) in ranges {
        value.map_or(Ok(()), |value| in_range(at(key), value, min, max))?;
    }
    Ok(())
}

/// What is wrong with a receiver's address, and what to write instead.
pub(crate) fn wrong(url: &str) -> Option<(&'static str, &'static str)> {
    if url.starts_with("https:") {
        let hint =
            "write http://; for a receiver elsewhere, let a collector on this machine speak TLS";
        return Some(("and TLS to a receiver is not spoken", hint));
    }
    let uri = url.parse::<Uri>().ok();
    let is_address = uri.is_some_and(|uri| {
        let has_host = uri.host().is_some_and(|host| !host.is_empty());
        let has_user = uri.authority().is_some_and(|all| all.as_str().contains('@'));
        uri.scheme_str() == Some("http") && has_host && !has_user && uri.query().is_none()
    });
    (!is_address)
        .then_some(("which is not a receiver's address", "write \"http://127.0.0.1:4318\""))
}

#[cfg(test)]
mod tests {
    use super::super::Config;
    use super::super::testing::refused;

    #[test]
    fn each_mistake_in_the_table_is_shown_with_its_line() {
        for (line, message) in [
            ("endpoint = \"127.0.0.1:4318\"", "t:2:12: `trace.endpoint` is `127.0.0.1:4318`"),
            ("endpoint = \"https://a\"", "TLS to a receiver is not spoken"),
            ("endpoint = \"http://a:b@c\"", "not a receiver's address"),
            ("sample_ratio = 1.5", "t:2:16: `trace.sample_ratio` is 1.5"),
            ("sample_ratio = nan", "`trace.sample_ratio` is NaN"),
            ("service_name = \"\"", "`trace.service_name` is empty"),
            ("headers = { \"a b\" = \"c\" }", "`trace.headers.a b` cannot be a header"),
            ("queue_spans_max = 1", "t:2:19: `trace.queue_spans_max` is 1"),
            ("timeout_ms = 0", "`trace.timeout_ms` is 0"),
            ("endpont = \"http://a\"", "did you mean `endpoint`?"),
        ] {
            let text = refused(&format!("[trace]\n{line}\n"));
            assert!(text.contains(message) && text.contains("hint: "), "{text}");
        }
    }

    #[test]
    fn a_header_is_not_shown() {
        let text = "[trace]\nheaders = { x-key = \"s3cret\" }\n";
        let config = Config::parse(text, "t").unwrap();
        let trace = config.trace.as_ref().unwrap();
        assert_eq!(trace.headers["x-key"].as_str(), "s3cret");
        assert!(!format!("{config:?}").contains("s3cret"));
        let text = refused("[trace]\nheaders = { \"x y\" = \"s3cret\" }\n");
        // The line is shown as for every mistake; the sentences have no value.
        assert!(text.lines().filter(|line| line.contains("s3cret")).count() <= 1, "{text}");
    }
}
