// SPDX-License-Identifier: BSD-3-Clause
//! What the headers of a request ask of the gateway itself, found in one pass over them.

use http::header::{ACCEPT, HOST, UPGRADE};
use http::{HeaderMap, HeaderValue};

/// In an `accept` header: a stream is sent as events.
pub(super) const EVENTS: &str = "text/event-stream";
/// In an `accept` header: failures are described in JSON.
const JSON: &str = "json";

/// See the module's documentation.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Asks {
    /// `host` headers.
    pub(super) hosts: u32,
    /// Failures are to be described in JSON.
    pub(crate) json: bool,
    /// A stream is to be sent as events.
    pub(super) events: bool,
    /// The connection is to become a WebSocket.
    pub(crate) websocket: bool,
}

impl Asks {
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let mut asks = Self::default();
        for (name, value) in headers {
            if name == HOST {
                asks.hosts += 1;
            } else if name == ACCEPT {
                let media = value.to_str().unwrap_or_default();
                asks.json |= media.contains(JSON);
                asks.events |= media.contains(EVENTS);
            } else if name == UPGRADE {
                asks.websocket |= has_item(value, "websocket");
            }
        }
        asks
    }
}

/// Whether a list of tokens, separated by commas, has `token`.
pub(super) fn has_item(value: &HeaderValue, token: &str) -> bool {
    let list = value.to_str().unwrap_or_default();
    list.split(',').any(|item| item.trim().eq_ignore_ascii_case(token))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asks(headers: &[(&'static str, &'static str)]) -> Asks {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, HeaderValue::from_static(value));
        }
        Asks::of(&map)
    }

    #[test]
    fn every_line_of_a_header_counts() {
        assert_eq!(asks(&[("x-json", "json")]), Asks::default());
        let seen = asks(&[
            ("host", "a"),
            ("accept", "text/html"),
            ("host", "b"),
            ("accept", "application/problem+json"),
        ]);
        assert_eq!(seen, Asks { hosts: 2, json: true, ..Asks::default() });
        let seen = asks(&[("upgrade", "h2c, WebSocket"), ("accept", "*/*, text/event-stream")]);
        assert_eq!(seen, Asks { websocket: true, events: true, ..Asks::default() });
        assert!(!asks(&[("upgrade", "websocket2")]).websocket);
    }
}
