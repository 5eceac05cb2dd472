// SPDX-License-Identifier: BSD-3-Clause
//! The header `traceparent` of W3C Trace Context, level 1: taken from the request, or made.
//!
//! ```text
//!   00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01
//!   │  │ trace-id, 32 hex digits        │ parent-id, 16   └ flags, 2
//!   └ version; with a higher one more may follow, behind a `-`
//! ```
//!
//! Without spans of the gateway (`otlp`) a request's header is passed on as it is: another parent would be one
//! without a record. One that is absent, malformed or there twice is replaced, with the flag `sampled`, since a
//! plugin is the root of that trace. Its `tracestate` belonged to the other and is removed.

use std::fmt;

use http::{HeaderMap, HeaderName, HeaderValue};

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
pub(crate) const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// Where each part is: version, trace-id, parent-id, flags.
const LEN: usize = 55;

/// A trace-id in its 32 hex digits.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct TraceId([u8; 32]);

/// A span-id in its 16 hex digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(not(feature = "otlp"), allow(dead_code, reason = "only spans have a parent"))]
pub(crate) struct SpanId([u8; 16]);

/// What a header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(not(feature = "otlp"), allow(dead_code, reason = "only spans have a parent"))]
pub(crate) struct Parent {
    pub(crate) trace: TraceId,
    pub(crate) span: SpanId,
    pub(crate) flags: u8,
}

/// The flag of a trace that is recorded.
pub(crate) const SAMPLED: u8 = 1;

impl TraceId {
    /// A new one. It may not be all zeros.
    pub(crate) fn make() -> Self {
        Self(hex(fastrand::u128(1..).to_be_bytes()))
    }

    pub(crate) fn as_str(&self) -> &str {
        str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl SpanId {
    /// A new one. It may not be all zeros.
    pub(crate) fn make() -> Self {
        Self(hex(fastrand::u64(1..).to_be_bytes()))
    }

    fn as_str(&self) -> &str {
        str::from_utf8(&self.0).unwrap_or_default()
    }
}

#[cfg(feature = "otlp")]
mod bytes {
    use super::{Parent, SAMPLED, SpanId, TraceId};

    impl TraceId {
        pub(crate) fn bytes(&self) -> [u8; 16] {
            u128::from_str_radix(self.as_str(), 16).unwrap_or_default().to_be_bytes()
        }

        /// Its last eight bytes, which are random.
        pub(crate) fn low(&self) -> u64 {
            u128::from_be_bytes(self.bytes()) as u64
        }
    }

    impl SpanId {
        pub(crate) fn bytes(&self) -> [u8; 8] {
            u64::from_str_radix(self.as_str(), 16).unwrap_or_default().to_be_bytes()
        }
    }

    impl Parent {
        pub(crate) fn is_sampled(&self) -> bool {
            self.flags & SAMPLED != 0
        }

        #[cfg(test)]
        pub(crate) fn sample() -> Self {
            Self { trace: TraceId::make(), span: SpanId::make(), flags: SAMPLED }
        }
    }
}

/// `bytes` in hex digits, of which there are twice as many.
fn hex<const BYTES: usize, const DIGITS: usize>(bytes: [u8; BYTES]) -> [u8; DIGITS] {
    let mut digits = [b'0'; DIGITS];
    let nibbles = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    for (digit, nibble) in digits.iter_mut().zip(nibbles) {
        *digit = if nibble < 10 { b'0' + nibble } else { b'a' + nibble - 10 };
    }
    digits
}

impl fmt::Debug for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What the header of a request says, if it has one.
pub(crate) fn find(headers: &HeaderMap) -> Option<Parent> {
    let mut all = headers.get_all(TRACEPARENT).iter();
    let one = all.next()?;
    if all.next().is_some() {
        return None;
    }
    parse(one.as_bytes())
}

/// The trace of a request, which has one from now on.
pub(crate) fn find_or_make(headers: &mut HeaderMap) -> TraceId {
    if let Some(parent) = find(headers) {
        return parent.trace;
    }
    let trace = TraceId::make();
    put_root(headers, trace, SpanId::make(), true);
    trace
}

/// Makes a span the parent of what the request leads to.
pub(crate) fn put(headers: &mut HeaderMap, trace: TraceId, span: SpanId, is_sampled: bool) {
    let flags = if is_sampled { SAMPLED } else { 0 };
    let text = format!("00-{}-{}-{flags:02x}", trace.as_str(), span.as_str());
    // Hex digits and hyphens are always a header's value.
    if let Ok(value) = HeaderValue::from_str(&text) {
        // A message without room for it has more headers than the limits of a gateway let pass.
        let _ = headers.try_insert(TRACEPARENT, value);
    }
}

/// The same for the first span of a trace: the `tracestate` belonged to another.
pub(crate) fn put_root(headers: &mut HeaderMap, trace: TraceId, span: SpanId, is_sampled: bool) {
    headers.remove(TRACESTATE);
    put(headers, trace, span, is_sampled);
}

/// The header `tracestate`, at most as long as the recommendation asks to pass on.
#[cfg(feature = "otlp")]
pub(crate) fn state(headers: &HeaderMap) -> String {
    const BYTES_MAX: usize = 512;
    let all = headers.get_all(TRACESTATE).iter().filter_map(|value| value.to_str().ok());
    let state = all.collect::<Vec<_>>().join(",");
    if state.len() > BYTES_MAX { String::new() } else { state }
}

fn parse(text: &[u8]) -> Option<Parent> {
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
    let flags = str::from_utf8(flags).ok().and_then(|flags| u8::from_str_radix(flags, 16).ok())?;
    let (trace, span) = (TraceId(trace.try_into().ok()?), SpanId(parent.try_into().ok()?));
    Some(Parent { trace, span, flags })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

    fn parsed(text: &str) -> Option<String> {
        parse(text.as_bytes()).map(|parent| parent.trace.as_str().to_owned())
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
        assert_eq!(find(&headers).map(|parent| parent.trace), Some(made));
        assert!(headers[TRACEPARENT].as_bytes().ends_with(b"-01"));
        assert!(!headers.contains_key(TRACESTATE));
        assert_ne!(find_or_make(&mut HeaderMap::new()), made);
    }
}
