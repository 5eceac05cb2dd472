// SPDX-License-Identifier: BSD-3-Clause
//! Routes behind another HTTP server: what an exchange shows of its servers, and what its request gets.

// The lints' leave for tests does not reach their helpers.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

use becket_gateway::Gateway;
use becket_gateway::embed::{Edit, Exchange, FilteredRequest, Head, Problem, TooManyHeaders};
use becket_host::Host;
use bytes::Bytes;
use http::uri::PathAndQuery;
use http::{HeaderMap, Method, StatusCode, Uri};

use crate::common::config;

const ADMIN: &str = "[admin]\nlisten = \"127.0.0.1:0\"\n";

async fn embedded(before: &str, upstream: &str) -> Gateway {
    let text = format!("{before}{ADMIN}[[routes]]\nprefix = \"/\"\nupstream = {upstream}\n");
    Gateway::builder().embedded().start(config(&text), Host::new()).await.expect("a gateway")
}

/// A request without a body.
struct Asked {
    uri: Uri,
    headers: HeaderMap,
}

impl Asked {
    fn new() -> Self {
        Self { uri: "/x".parse().unwrap(), headers: HeaderMap::new() }
    }
}

impl FilteredRequest for Asked {
    fn head(&self) -> Head<'_> {
        Head { method: &Method::GET, uri: &self.uri, headers: &self.headers }
    }

    fn edit(&mut self, edit: Edit) -> Result<(), TooManyHeaders> {
        edit.apply(&mut self.headers)
    }

    fn set_path(&mut self, path: PathAndQuery) {
        self.uri = path.into();
    }

    async fn body(&mut self) -> Result<Bytes, Problem> {
        Ok(Bytes::new())
    }
}

async fn exchange(gateway: &Gateway) -> Exchange {
    gateway.find(Asked::new().head()).await.expect("a route")
}

async fn server(gateway: &Gateway) -> String {
    exchange(gateway).await.server().expect("a server").to_owned()
}

#[tokio::test]
async fn a_request_gets_each_server_once_whatever_others_get_meanwhile() {
    let gateway = embedded("", "[\"http://a:1\", \"http://b:1\"]").await;
    let (mut one, mut other) = (exchange(&gateway).await, exchange(&gateway).await);
    assert_eq!((one.server(), other.server()), (Some("a:1"), Some("b:1")));
    // Asked again, it is the same one: a connection may be opened anew.
    assert_eq!(one.server(), Some("a:1"));
    one.server_failed(&"no connection");
    assert!(one.has_more_servers());
    assert_eq!(one.server(), Some("b:1"));
    one.server_failed(&"no connection");
    assert!(!one.has_more_servers());
    assert_eq!(one.server(), None);
}

#[tokio::test]
async fn a_server_is_ejected_by_what_is_reported() {
    let upstream =
        "{ urls = [\"http://a:1\", \"http://b:1\"], eject_after = 2, eject_ms = 86400000 }";
    let gateway = embedded("", upstream).await;
    let report = async |status: u16| {
        let mut exchange = exchange(&gateway).await;
        while exchange.server() != Some("a:1") {
            exchange = self::exchange(&gateway).await;
        }
        exchange.server_answered(StatusCode::from_u16(status).unwrap());
        // The outcome is known: this is of no server.
        exchange.server_failed(&"the client left");
    };
    for status in [503, 200, 502] {
        report(status).await;
    }
    let both = [server(&gateway).await, server(&gateway).await];
    assert!(both.contains(&"a:1".to_owned()), "{both:?}");
    report(504).await;
    for _ in 0..4 {
        assert_eq!(server(&gateway).await, "b:1");
    }
}

#[tokio::test]
async fn a_request_gets_a_traceparent_if_the_configuration_has_it() {
    for (before, count) in [("", 0), ("traceparent = true\n", 1)] {
        let gateway = embedded(before, "\"http://a:1\"").await;
        let mut asked = Asked::new();
        asked.headers.insert("tracestate", "of=another".parse().unwrap());
        let early = exchange(&gateway).await.request_phase(&mut asked, None).await;
        assert!(early.is_none());
        assert_eq!(asked.headers.get_all("traceparent").iter().count(), count);
        assert_eq!(asked.headers.contains_key("tracestate"), count == 0);
        // One that is there stays.
        let before = asked.headers.clone();
        exchange(&gateway).await.request_phase(&mut asked, None).await;
        assert_eq!(asked.headers, before);
    }
}
