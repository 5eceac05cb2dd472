// SPDX-License-Identifier: BSD-3-Clause
//! The header `traceparent` of W3C Trace Context, level 1: taken from the request, or made.
//!
//! ```text
//!   00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01
//!   │  │ trace-id, 32 hex digits        │ parent-id, 16   └ flags, 2
//!   └ version; with a higher one more may follow, behind a `-`
//! ```
//!
//! The gateway makes no span of its own, so a request's header is passed on as it is: another parent would be one
//! without a record. One that is absent, malformed or there twice is replaced, with the flag `sampled`, since a
//! plugin is the root of that trace. Its `tracestate` belonged to the other and is removed.

use std::fmt;

use http::{HeaderMap, HeaderName, HeaderValue};

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// Where each part is: version, trace-id, parent-id, flags.
const LEN: usize = 55;

/// A trace-id in its 32 hex digits.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct TraceId([u8; 32]);

impl TraceId {
    pub(crate) fn as_str(&self) -> &str {
        str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl fmt::Debug for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The trace of a request that has one.
pub(crate) fn find(headers: &HeaderMap) -> Option<TraceId> {
    let mut all = headers.get_all(TRACEPARENT).iter();
    let one = all.next()?;
    if all.next().is_some() {
        return None;
    }
    parse(one.as_bytes())
}

/// The trace of a request, which has one from now on.
pub(crate) fn find_or_make(headers: &mut HeaderMap) -> TraceId {
    if let Some(trace) = find(headers) {
        return trace;
    }
    let (text, trace) = make();
    headers.remove(TRACESTATE);
    // Hex digits and hyphens are always a header's value.
    if let Ok(value) = HeaderValue::from_str(&text) {
        headers.insert(TRACEPARENT, value);
    }
    trace
}

fn make() -> (String, TraceId) {
    // Neither may be all zeros.
    let trace = format!("{:032x}", fastrand::u128(1..));
    let text = format!("00-{trace}-{:016x}-01", fastrand::u64(1..));
    let mut id = [b'0'; 32];
    id.iter_mut().zip(trace.bytes()).for_each(|(digit, byte)| *digit = byte);
    (text, TraceId(id))
}

fn parse(text: &[u8]) -> Option<TraceId> {
    let (known, more) = text.split_at_checked(LEN)?;
    let parts: Vec<&[u8]> = known.split(|byte| *byte == b'-').collect();
    let [version, trace, parent, flags] = *parts else { return None };
    let is_hex = |part: &[u8], len| {
        part.len() == len && part.iter().all(|c| matches!(c, b'0'..=b'9' | b'a'..=b'f'))
    };
    let is_zero = |part: &[u8]| part.iter().all(|c| *c == b'0');
    let is_well_formed =
        is_hex(version, 2) && is_hex(trace, 32) && is_hex(parent, 16) && is_hex(flags, 2);
    // Version 00 ends here; what a later one adds begins with a hyphen.
    let ends = match version {
        b"ff" => false,
        b"00" => more.is_empty(),
        _ => more.first().is_none_or(|byte| *byte == b'-'),
    };
    if !is_well_formed || !ends || is_zero(trace) || is_zero(parent) {
        return None;
    }
    trace.try_into().ok().map(TraceId)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

    fn parsed(text: &str) -> Option<String> {
        parse(text.as_bytes()).map(|trace| trace.as_str().to_owned())
    }

    #[test]
    fn a_header_is_read_as_the_recommendation_has_it() {
        for whole in [
            format!("00-{TRACE}-00f067aa0ba902b7-01"),
            format!("00-{TRACE}-00f067aa0ba902b7-00"),
            format!("00-{TRACE}-00f067aa0ba902b7-ff"),
            // A later version, with more or without.
            format!("cc-{TRACE}-00f067aa0ba902b7-01"),
            format!("cc-{TRACE}-00f067aa0ba902b7-01-what-the-future-will-be-like"),
        ] {
            assert_eq!(parsed(&whole).as_deref(), Some(TRACE), "{whole}");
        }
        for wrong in [
            String::new(),
            "00".to_owned(),
            format!("ff-{TRACE}-00f067aa0ba902b7-01"),
            format!("00-{TRACE}-00f067aa0ba902b7-01-"),
            format!("00-{TRACE}-00f067aa0ba902b7-01.more"),
            format!("cc-{TRACE}-00f067aa0ba902b7-01.more"),
            format!("00-{}-00f067aa0ba902b7-01", TRACE.to_uppercase()),
            format!("00-{}-00f067aa0ba902b7-01", "0".repeat(32)),
            format!("00-{TRACE}-0000000000000000-01"),
            format!("00-{TRACE}-00f067aa0ba902b7-1"),
            format!("00-{TRACE}-00f067aa0ba902b7-0g"),
            format!("0x-{TRACE}-00f067aa0ba902b7-01"),
            format!("00_{TRACE}-00f067aa0ba902b7-01"),
            format!("00-{TRACE}0-0f067aa0ba902b7-01"),
            format!(" 00-{TRACE}-00f067aa0ba902b7-01"),
        ] {
            assert_eq!(parsed(&wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn what_a_request_has_is_passed_on_and_what_it_lacks_is_made() {
        let own = HeaderValue::from_str(&format!("00-{TRACE}-00f067aa0ba902b7-00")).unwrap();
        let state = HeaderValue::from_static("a=b");
        let mut headers = HeaderMap::new();
        headers.insert(TRACEPARENT, own.clone());
        headers.insert(TRACESTATE, state.clone());
        assert_eq!(find_or_make(&mut headers).as_str(), TRACE);
        assert_eq!((&headers[TRACEPARENT], &headers[TRACESTATE]), (&own, &state));
        // Which of two is meant is unclear.
        headers.append(TRACEPARENT, own.clone());
        assert_eq!(find(&headers), None);
        let made = find_or_make(&mut headers);
        assert_ne!(made.as_str(), TRACE);
        assert_eq!(headers.get_all(TRACEPARENT).iter().count(), 1);
        assert_eq!(find(&headers), Some(made));
        assert!(headers[TRACEPARENT].as_bytes().ends_with(b"-01"));
        assert!(!headers.contains_key(TRACESTATE));
        assert_ne!(find_or_make(&mut HeaderMap::new()), made);
    }
}
