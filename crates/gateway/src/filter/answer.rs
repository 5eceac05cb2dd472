// SPDX-License-Identifier: BSD-3-Clause
//! A filter's answer: lines, an empty line, a body.
//!
//! ```text
//! continue                    or: respond 401
//! set x-user: alice           headers, in the order of the lines
//! add vary: authorization
//! remove authorization
//! path /internal?id=7         of `continue`, in the request phase
//! context 1764040222          of `continue`, in the request phase
//!
//! the body                    of `respond`
//! ```
//!
//! # Invariants
//!
//! 1. An answer is read whole or refused: nothing of one that is malformed takes effect.
//! 2. A value that is taken is a header's value: it has no line feed, no carriage return and no other control
//!    character. A name that is taken frames nothing and is not of one hop.
//! 3. A refusal names the line and the rule, never a byte of the answer.

use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

/// The longest part before the empty line.
const HEAD_BYTES_MAX: usize = 64 << 10;
/// The most lines before the empty line.
const LINES_MAX: usize = 128;
/// The longest context.
const CONTEXT_BYTES_MAX: usize = 4096;
/// The longest path, as of a request.
const PATH_BYTES_MAX: usize = 65_534;

/// Begins the headers by which the gateway speaks to filters.
pub(crate) const RESERVED: &str = "becket-";

/// Headers of one hop, those that frame a message, and those of a handshake.
const GATEWAYS_OWN: [&str; 14] = [
    "connection",
    "content-length",
    "host",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "sec-websocket-accept",
    "sec-websocket-key",
    "sec-websocket-version",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// When a filter is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    Request,
    Response,
}

impl Phase {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Request => "request",
            Self::Response => "response",
        }
    }
}

/// A line that changes headers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Edit {
    /// In place of all values of that header.
    Set(HeaderName, HeaderValue),
    /// Beside them.
    Add(HeaderName, HeaderValue),
    /// All values.
    Remove(HeaderName),
}

impl Edit {
    /// Makes the change.
    ///
    /// # Errors
    /// [`TooManyHeaders`].
    pub fn apply(self, headers: &mut HeaderMap) -> Result<(), TooManyHeaders> {
        let done = match self {
            Self::Set(name, value) => headers.try_insert(name, value).map(|_before| ()),
            Self::Add(name, value) => headers.try_append(name, value).map(|_is_more| ()),
            Self::Remove(name) => {
                headers.remove(name);
                Ok(())
            }
        };
        done.map_err(|_| TooManyHeaders)
    }
}

/// There are more headers than a message can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("there are more headers than a message can have")]
pub struct TooManyHeaders;

/// What a filter wants.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Answer {
    /// `None`: the request, or the answer, goes on.
    pub(crate) respond: Option<StatusCode>,
    pub(crate) path: Option<PathAndQuery>,
    /// Handed back in the response phase, for which it asks.
    pub(crate) context: Option<HeaderValue>,
    edits: Vec<Edit>,
    /// Where the body begins.
    body_at: usize,
}

/// A line, from 1, and the rule that it breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("line {line} of its answer {rule}")]
pub(crate) struct Malformed {
    line: usize,
    rule: &'static str,
}

impl Answer {
    pub(crate) fn parse(bytes: &[u8], phase: Phase) -> Result<Self, Malformed> {
        let wrong = |line, rule| Malformed { line, rule };
        let mut answer = Self::default();
        let mut at = 0;
        let mut lines = bytes.split(|byte| *byte == b'\n');
        let first = lines.next().unwrap_or_default();
        answer.respond = verdict(first).map_err(|rule| wrong(1, rule))?;
        at += first.len() + 1;
        let mut body_at = bytes.len();
        for (line, number) in lines.zip(2..) {
            at += line.len() + 1;
            if line.is_empty() {
                body_at = at.min(bytes.len());
                break;
            }
            if number > LINES_MAX || at > HEAD_BYTES_MAX {
                return Err(wrong(number, "is one too many: at most 128 lines and 64 KiB"));
            }
            answer.line(line, phase).map_err(|rule| wrong(number, rule))?;
        }
        answer.body_at = body_at;
        let has_body = body_at < bytes.len();
        match answer.respond {
            None if has_body => Err(wrong(1, "is `continue`, and there is a body")),
            Some(StatusCode::NO_CONTENT | StatusCode::RESET_CONTENT | StatusCode::NOT_MODIFIED)
                if has_body =>
            {
                Err(wrong(1, "has a status that has no body, and there is a body"))
            }
            _ => Ok(answer),
        }
    }

    fn line(&mut self, line: &[u8], phase: Phase) -> Result<(), &'static str> {
        let mut words = line.splitn(2, |byte| *byte == b' ');
        let (word, rest) = (words.next().unwrap_or_default(), words.next());
        let rest = rest.unwrap_or_default();
        let is_first = self.respond.is_none() && phase == Phase::Request;
        match word {
            b"set" => self.edits.push(header(rest).map(|(name, value)| Edit::Set(name, value))?),
            b"add" => self.edits.push(header(rest).map(|(name, value)| Edit::Add(name, value))?),
            b"remove" => self.edits.push(Edit::Remove(name(rest)?)),
            b"path" | b"context" if !is_first => {
                return Err("belongs to `continue` in the request phase");
            }
            b"path" if self.path.is_some() => return Err("is a second `path`"),
            b"path" => self.path = Some(path(rest)?),
            b"context" if self.context.is_some() => return Err("is a second `context`"),
            b"context" if rest.len() > CONTEXT_BYTES_MAX => return Err("is above 4096 bytes"),
            b"context" => self.context = Some(value(rest)?),
            _ => return Err("begins with none of `set`, `add`, `remove`, `path`, `context`"),
        }
        Ok(())
    }

    /// Where in the answer its body begins.
    pub(crate) fn body_at(&self) -> usize {
        self.body_at
    }

    /// The changes of headers, in the order of its lines.
    pub(crate) fn edits(self) -> impl Iterator<Item = Edit> {
        self.edits.into_iter()
    }
}

impl From<TooManyHeaders> for Malformed {
    fn from(_: TooManyHeaders) -> Self {
        Self { line: 1, rule: "has more headers than a message can" }
    }
}

fn verdict(line: &[u8]) -> Result<Option<StatusCode>, &'static str> {
    const RULE: &str = "is neither `continue` nor `respond STATUS`, a status from 200 to 599";
    if line == b"continue" {
        return Ok(None);
    }
    let status = line.strip_prefix(b"respond ").ok_or(RULE)?;
    let status = StatusCode::from_bytes(status).map_err(|_| RULE)?;
    match status.as_u16() {
        200..=599 => Ok(Some(status)),
        _ => Err(RULE),
    }
}

fn header(text: &[u8]) -> Result<(HeaderName, HeaderValue), &'static str> {
    let colon = text.iter().position(|byte| *byte == b':').ok_or("has no `:` after the name")?;
    let (key, rest) = text.split_at(colon);
    Ok((name(key)?, value(trimmed(rest.get(1..).unwrap_or_default()))?))
}

/// Without spaces and tabs around it. A carriage return stays, and is refused.
fn trimmed(mut text: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = text {
        text = rest;
    }
    text
}

fn name(text: &[u8]) -> Result<HeaderName, &'static str> {
    let name = HeaderName::from_bytes(text).map_err(|_| "has no name of a header")?;
    match name.as_str() {
        own if GATEWAYS_OWN.contains(&own) => Err("names a header that only the gateway sets"),
        reserved if reserved.starts_with(RESERVED) => Err("names a header of filters themselves"),
        _ => Ok(name),
    }
}

fn value(text: &[u8]) -> Result<HeaderValue, &'static str> {
    match str::from_utf8(text) {
        Ok(_) => HeaderValue::from_bytes(text).map_err(|_| "has a control character in its value"),
        Err(_) => Err("has a value that is not UTF-8"),
    }
}

fn path(text: &[u8]) -> Result<PathAndQuery, &'static str> {
    let is_plain = text.starts_with(b"/")
        && text.len() <= PATH_BYTES_MAX
        && text.iter().all(|byte| byte.is_ascii_graphic() && *byte != b'#');
    let parsed = is_plain.then(|| PathAndQuery::try_from(text).ok()).flatten();
    parsed.ok_or("has no path: it begins with `/`, and is ASCII without spaces and `#`")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Answer, Malformed> {
        Answer::parse(text.as_bytes(), Phase::Request)
    }

    fn refused(text: &[u8], phase: Phase) -> String {
        Answer::parse(text, phase).unwrap_err().to_string()
    }

    #[test]
    fn the_shortest_answer_is_one_word() {
        for text in ["continue", "continue\n", "continue\n\n"] {
            assert_eq!(parse(text).unwrap().respond, None, "{text:?}");
        }
        let answer = parse("respond 401").unwrap();
        assert_eq!((answer.respond, answer.body_at()), (Some(StatusCode::UNAUTHORIZED), 11));
    }

    #[test]
    fn lines_change_headers_in_their_order() {
        let text = "continue\nset a: 1\nadd A:2\nset b:  spaced out \nremove c\nremove a\n\
                    add a: é\npath /x?y=%20\ncontext now: 7\n\n";
        let answer = parse(text).unwrap();
        assert_eq!(answer.path.as_ref().unwrap(), "/x?y=%20");
        assert_eq!(answer.context.as_ref().unwrap(), "now: 7");
        let mut headers = HeaderMap::new();
        for name in ["a", "b", "c", "d"] {
            headers.append(name, HeaderValue::from_static("old"));
        }
        answer.edits().try_for_each(|edit| edit.apply(&mut headers)).unwrap();
        let mut seen: Vec<_> = headers.iter().map(|(n, v)| (n.as_str(), v.as_bytes())).collect();
        seen.sort_unstable();
        assert_eq!(seen, [("a", "é".as_bytes()), ("b", b"spaced out"), ("d", b"old")]);
    }

    #[test]
    fn a_body_is_what_follows_the_empty_line() {
        let text = b"respond 403\nset a: b\n\n\nset c: d\n\xff";
        let answer = Answer::parse(text, Phase::Response).unwrap();
        assert_eq!(&text[answer.body_at()..], b"\nset c: d\n\xff");
        assert_eq!(answer.edits.len(), 1);
    }

    #[test]
    fn what_is_malformed_is_refused_with_its_line() {
        for (text, line, rule) in [
            (&b""[..], 1, "neither"),
            (b"Continue", 1, "neither"),
            (b"continue ", 1, "neither"),
            (b"continue\r\n", 1, "neither"),
            (b"respond", 1, "neither"),
            (b"respond 99", 1, "neither"),
            (b"respond 101", 1, "neither"),
            (b"respond 600", 1, "neither"),
            (b"respond 200 OK", 1, "neither"),
            (b"continue\nx: y", 2, "none of"),
            (b"continue\nset\n", 2, "no `:`"),
            (b"continue\nset a b", 2, "no `:`"),
            (b"continue\nset a b: c", 2, "no name"),
            (b"continue\nset : c", 2, "no name"),
            (b"continue\nremove", 2, "no name"),
            (b"continue\nset a: b\r\n", 2, "control"),
            (b"continue\n\r\n", 2, "none of"),
            (b"continue\nset a: b\rset-cookie: c", 2, "control"),
            (b"continue\nset a: b\0", 2, "control"),
            (b"continue\nset a: \xff", 2, "UTF-8"),
            (b"continue\nset a: b\nset content-length: 3", 3, "only the gateway"),
            (b"continue\nset Transfer-Encoding: chunked", 2, "only the gateway"),
            (b"continue\nremove host", 2, "only the gateway"),
            (b"continue\nadd connection: close", 2, "only the gateway"),
            (b"continue\nset becket-context: x", 2, "filters themselves"),
            (b"continue\npath x", 2, "no path"),
            (b"continue\npath /a b", 2, "no path"),
            (b"continue\npath //a#b", 2, "no path"),
            (b"continue\npath http://a/", 2, "no path"),
            (b"continue\npath /a\npath /b", 3, "second `path`"),
            (b"continue\ncontext a\ncontext b", 3, "second `context`"),
            (b"respond 200\ncontext a", 2, "belongs to `continue`"),
            (b"respond 200\npath /a", 2, "belongs to `continue`"),
            (b"continue\n\nbody", 1, "there is a body"),
            (b"respond 204\n\nbody", 1, "has no body"),
        ] {
            let error = refused(text, Phase::Request);
            let begins = format!("line {line} of its answer ");
            let shown = String::from_utf8_lossy(text);
            assert!(error.starts_with(&begins) && error.contains(rule), "{shown:?}: {error}");
        }
        assert!(refused(b"continue\ncontext a", Phase::Response).contains("request phase"));
        assert!(refused(b"continue\npath /a", Phase::Response).contains("request phase"));
    }

    #[test]
    fn an_answer_is_bounded() {
        let lines = |count: usize| format!("continue\n{}", "remove a\n".repeat(count));
        assert!(parse(&lines(LINES_MAX - 1)).is_ok());
        assert!(parse(&lines(LINES_MAX)).unwrap_err().to_string().starts_with("line 129 "));
        let long = |count: usize| format!("continue\nset a: {}\n", "x".repeat(count));
        assert!(parse(&long(HEAD_BYTES_MAX - 100)).is_ok());
        assert!(parse(&long(HEAD_BYTES_MAX)).is_err());
        let context = |count: usize| format!("continue\ncontext {}", "x".repeat(count));
        assert!(parse(&context(CONTEXT_BYTES_MAX)).is_ok());
        assert!(parse(&context(CONTEXT_BYTES_MAX + 1)).is_err());
    }
}
