// SPDX-License-Identifier: BSD-3-Clause
//! The refusals of hyper's parser, with a body.
//!
//! A request line or header that cannot be parsed reaches no handler: hyper writes a head without a
//! body, and closes. That head is completed on its way to the socket, so that a client reads the
//! three lines here as with every other refusal.
//!
//! # Invariant
//!
//! Bytes of an answer's body are never taken for such a head: nothing is completed while a body's
//! bytes may be in flight (see `guard`), and the gateway's own answers with these statuses have a
//! body.

use std::fmt::Write;

use http::StatusCode;

use crate::config::HttpLimits;
use crate::problem::Problem;

/// An upper bound on a head that hyper writes by itself.
const HEAD_BYTES_MAX: usize = 192;

/// Completes hyper's refusals. Its fields are the limits that the sentences name.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bare {
    hints: bool,
    header_bytes_max: u32,
    headers_max: u32,
}

impl Bare {
    pub(super) fn new(limits: &HttpLimits, hints: bool) -> Self {
        let HttpLimits { header_bytes_max, headers_max, .. } = *limits;
        Self { hints, header_bytes_max, headers_max }
    }

    /// The answer in place of `head`, if that is a refusal without a body.
    #[cold]
    pub(super) fn complete(self, head: &[u8]) -> Option<Vec<u8>> {
        if head.len() > HEAD_BYTES_MAX {
            return None;
        }
        let lines = str::from_utf8(head).ok()?.strip_suffix("\r\n\r\n")?;
        let (line, headers) = lines.split_once("\r\n")?;
        let status = line.strip_prefix("HTTP/1.1 ").or_else(|| line.strip_prefix("HTTP/1.0 "))?;
        let problem = self.problem(status.get(..3)?)?;
        let mut answer = format!("{line}\r\n");
        let mut is_empty = false;
        for header in headers.split("\r\n") {
            match header {
                "content-length: 0" => is_empty = true,
                _ if header.starts_with("date: ") || header == "connection: close" => {
                    answer.push_str(header);
                    answer.push_str("\r\n");
                }
                // Not hyper's own.
                _ => return None,
            }
        }
        let body = problem.to_text(self.hints);
        // Writing to a `String` cannot fail.
        let _ = write!(
            answer,
            "content-type: text/plain; charset=utf-8\r\nx-content-type-options: nosniff\r\n\
             cache-control: no-store\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        is_empty.then(|| answer.into_bytes())
    }

    fn problem(self, status: &str) -> Option<Problem> {
        let Self { header_bytes_max, headers_max, .. } = self;
        Some(match status {
            "400" => Problem::new(StatusCode::BAD_REQUEST, "the request cannot be read")
                .cause("its first line or one of its headers is not HTTP/1.1")
                .hint("speak HTTP/1.1, or HTTP/2 with prior knowledge, and TLS only to a port that has it"),
            "414" => Problem::new(StatusCode::URI_TOO_LONG, "the request's path is too long")
                .cause("a path with its query has at most 65534 bytes")
                .hint("send the data in the body"),
            "431" => {
                let what = "the request's headers are too large";
                Problem::new(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, what)
                    .cause(format!(
                        "they have more than {header_bytes_max} bytes, or there are more than \
                         {headers_max}"
                    ))
                    .hint(
                        "send fewer or shorter headers, or raise limits.header_bytes_max or \
                         limits.headers_max",
                    )
            }
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 0\r\n\
                        date: Sun, 22 Nov 2026 12:00:00 GMT\r\n\r\n";

    #[test]
    fn only_a_refusal_without_a_body_is_completed() {
        let bare = Bare::new(&HttpLimits::default(), true);
        let text = String::from_utf8(bare.complete(HEAD.as_bytes()).unwrap()).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("\r\ncontent-length: {}", body.len())), "{text}");
        assert!(
            head.contains("\r\ndate: ") && head.contains("\r\nconnection: close\r\n"),
            "{text}"
        );
        for label in ["error: ", "cause: ", "hint: "] {
            assert!(body.lines().any(|line| line.starts_with(label)), "{body}");
        }
        for other in [
            HEAD.replace("400 Bad Request", "200 OK"),
            HEAD.replace("content-length: 0", "content-length: 1"),
            HEAD.replace("connection: close", "content-type: text/plain"),
            HEAD.replace("\r\n\r\n", "\r\n"),
            format!("{HEAD}more"),
        ] {
            assert_eq!(bare.complete(other.as_bytes()), None, "{other}");
        }
    }
}
