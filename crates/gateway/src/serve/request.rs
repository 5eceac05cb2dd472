// SPDX-License-Identifier: BSD-3-Clause
//! From HTTP's request to the host's.

use std::borrow::Cow;

use becket_host::Request;
use bytes::Bytes;
use http::request::Parts;
use http::{Method, StatusCode};

use crate::problem::Problem;
use crate::shared::Shared;
use crate::stats::Refusal;

/// The names that nearly every request carries, so that they cost no allocation.
const COMMON_NAMES: [&str; 16] = [
    "host",
    "accept",
    "connection",
    "user-agent",
    "content-type",
    "content-length",
    "accept-encoding",
    "accept-language",
    "authorization",
    "cookie",
    "origin",
    "referer",
    "cache-control",
    "traceparent",
    "x-request-id",
    "x-forwarded-for",
];

/// The request as the plugin sees it. A header's value that is not UTF-8 is refused: the ABI
/// carries text.
pub(super) fn to_host(shared: &Shared, parts: Parts, body: Bytes) -> Result<Request, Problem> {
    let mut headers = Vec::with_capacity(parts.headers.len());
    for (name, value) in &parts.headers {
        let Ok(value) = str::from_utf8(value.as_bytes()) else {
            shared.stats.refuse(Refusal::Header);
            return Err(Problem::new(
                StatusCode::BAD_REQUEST,
                format!("the value of header `{name}` is not UTF-8"),
            )
            .hint("percent-encode it"));
        };
        headers.push((static_name(name.as_str()), Cow::Owned(value.to_owned())));
    }
    let text = |text: &str| match text {
        "" => Cow::Borrowed(""),
        text => Cow::Owned(text.to_owned()),
    };
    Ok(Request {
        method: static_method(&parts.method),
        path: text(parts.uri.path()),
        query: text(parts.uri.query().unwrap_or_default()),
        headers,
        body,
        extensions: parts.extensions,
    })
}

fn static_name(name: &str) -> Cow<'static, str> {
    match COMMON_NAMES.iter().find(|common| **common == name) {
        Some(common) => Cow::Borrowed(common),
        None => Cow::Owned(name.to_owned()),
    }
}

fn static_method(method: &Method) -> Cow<'static, str> {
    match *method {
        Method::GET => Cow::Borrowed("GET"),
        Method::POST => Cow::Borrowed("POST"),
        Method::PUT => Cow::Borrowed("PUT"),
        Method::DELETE => Cow::Borrowed("DELETE"),
        Method::HEAD => Cow::Borrowed("HEAD"),
        Method::PATCH => Cow::Borrowed("PATCH"),
        Method::OPTIONS => Cow::Borrowed("OPTIONS"),
        _ => Cow::Owned(method.as_str().to_owned()),
    }
}
