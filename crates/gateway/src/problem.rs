// SPDX-License-Identifier: BSD-3-Clause
//! The answer to a failed request: one status, three sentences.
//!
//! The sentences name entries, limits and settings; never a byte of a payload or the value of a
//! header. As text they are the lines `error:`, `cause:`, `hint:`; as JSON, when the client's
//! `accept` names it, an object with those keys.

use std::borrow::Cow;

use bytes::Bytes;
use http::header::{
    ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_TYPE, RETRY_AFTER, SEC_WEBSOCKET_VERSION, UPGRADE,
    WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};

/// Why a request failed: what failed, why, and what to try. Made into an answer, its status and those sentences.
#[derive(Debug)]
pub struct Problem {
    pub(crate) status: StatusCode,
    what: Cow<'static, str>,
    cause: Option<Cow<'static, str>>,
    hint: Option<Cow<'static, str>>,
    /// The headers that the status asks for.
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl Problem {
    pub(crate) fn new(status: StatusCode, what: impl Into<Cow<'static, str>>) -> Self {
        Self { status, what: what.into(), cause: None, hint: None, headers: Vec::new() }
    }

    pub(crate) fn cause(mut self, cause: impl Into<Cow<'static, str>>) -> Self {
        self.cause = Some(cause.into());
        self
    }

    pub(crate) fn hint(mut self, hint: impl Into<Cow<'static, str>>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// A better hint, if there is one.
    pub(crate) fn maybe_hint(self, hint: Option<impl Into<Cow<'static, str>>>) -> Self {
        match hint {
            Some(hint) => self.hint(hint),
            None => self,
        }
    }

    pub(crate) fn allow(self, methods: HeaderValue) -> Self {
        self.header(ALLOW, methods)
    }

    pub(crate) fn retry(self) -> Self {
        self.header(RETRY_AFTER, HeaderValue::from_static("1"))
    }

    pub(crate) fn authenticate(self) -> Self {
        self.header(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))
    }

    pub(crate) fn upgrade(self) -> Self {
        self.header(UPGRADE, HeaderValue::from_static("websocket"))
            .header(CONNECTION, HeaderValue::from_static("upgrade"))
            .header(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"))
    }

    /// The rest of the request is not read, so the connection cannot be used again.
    pub(crate) fn close(self) -> Self {
        self.header(CONNECTION, HeaderValue::from_static("close"))
    }

    fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// The three sentences, without the hint where the operator wants none.
    pub(crate) fn sentences(
        &self,
        hints: bool,
    ) -> impl Iterator<Item = (&'static str, &str)> + use<'_> {
        [
            ("error", Some(&self.what)),
            ("cause", self.cause.as_ref()),
            ("hint", self.hint.as_ref().filter(|_| hints)),
        ]
        .into_iter()
        .filter_map(|(label, text)| Some((label, &**text?)))
    }

    pub(crate) fn to_json(&self, hints: bool) -> String {
        let object: serde_json::Map<String, serde_json::Value> = self
            .sentences(hints)
            .map(|(label, text)| (label.to_owned(), text.into()))
            .chain([("status".to_owned(), self.status.as_u16().into())])
            .collect();
        serde_json::Value::Object(object).to_string()
    }

    pub(crate) fn to_text(&self, hints: bool) -> String {
        self.sentences(hints).map(|(label, text)| format!("{label}: {text}\n")).collect()
    }

    pub(crate) fn into_response<B: From<Bytes>>(self, json: bool, hints: bool) -> Response<B> {
        let (text, media) = if json {
            (self.to_json(hints), "application/json")
        } else {
            (self.to_text(hints), "text/plain; charset=utf-8")
        };
        let mut response = Response::new(B::from(Bytes::from(text)));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(media));
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        for (name, value) in self.headers {
            headers.insert(name, value);
        }
        response
    }
}

/// Whether the client asks for a media type whose name contains `part`.
pub(crate) fn accepts(headers: &HeaderMap, part: &str) -> bool {
    headers
        .get_all(http::header::ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .any(|value| value.contains(part))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hints_are_left_out_where_unwanted() {
        let problem = Problem::new(StatusCode::NOT_FOUND, "no").cause("why").hint("try");
        assert_eq!(problem.to_text(true), "error: no\ncause: why\nhint: try\n");
        assert_eq!(problem.to_text(false), "error: no\ncause: why\n");
        assert_eq!(problem.to_json(false), r#"{"cause":"why","error":"no","status":404}"#);
    }

    #[test]
    fn a_problem_names_the_methods_that_are_allowed() {
        let problem = Problem::new(StatusCode::METHOD_NOT_ALLOWED, "no")
            .allow(HeaderValue::from_static("GET, POST"));
        let response = problem.into_response::<Bytes>(true, true);
        assert_eq!(response.headers()[ALLOW], "GET, POST");
        assert_eq!(response.headers()[CONTENT_TYPE], "application/json");
    }
}
