// SPDX-License-Identifier: BSD-3-Clause
//! Filters of routes: what they see, what they change, and that none of them is passed by.

use std::sync::Arc;

use becket_gateway::{Gateway, GatewayError};
use http::StatusCode;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::common::kit::{Probe, probe};
use crate::common::{
    Answer, BASE, config, get, metric, post, request, send, soon, start, try_websocket,
    until_no_body_is_held, websocket, with,
};

fn text(routes: &str) -> String {
    format!("{BASE}[plugins.kit]\nlinked = \"kit\"\n[plugins.guard]\nlinked = \"guard\"\n{routes}")
}

/// A route to the kit's entry with these filters, at `/x`.
fn route(entry: &str, filters: &str) -> String {
    text(&format!(
        "[[routes]]\npath = \"/x\"\nplugin = \"kit\"\nentry = \"{entry}\"\nfilters = {filters}\n"
    ))
}

async fn gateway(entry: &str, filters: &str) -> Gateway {
    start(&route(entry, filters)).await.unwrap()
}

/// What the filter `say` answers in the request phase.
async fn said(gateway: &Gateway, answer: &str) -> Answer {
    send(gateway.addr(), with(request("POST", "/x?header=1", b"body"), "x-say", answer)).await
}

/// What it answers in the response phase, too.
async fn said_later(gateway: &Gateway, answer: &str) -> Answer {
    send(gateway.addr(), with(request("POST", "/x", b"body"), "x-later", answer)).await
}

async fn counted(gateway: &Gateway, entry: &str, result: &str) -> f64 {
    let line = format!(
        "becket_http_filter_answers_total{{plugin=\"guard\",entry=\"{entry}\",result=\"{result}\"}}"
    );
    metric(gateway, &line).await.unwrap()
}

#[tokio::test]
async fn a_filter_that_lets_pass_changes_nothing() {
    let gateway = gateway("echo", "[\"guard\"]").await;
    let answer = post(gateway.addr(), "/x", b"the body").await;
    assert_eq!((answer.status, answer.text()), (StatusCode::OK, "the body"));
    assert_eq!(counted(&gateway, "filter", "continue").await, 1.0);
    let requests = "becket_http_requests_total{plugin=\"kit\",entry=\"echo\",code=\"200\"}";
    assert_eq!(metric(&gateway, requests).await, Some(1.0));
}

#[tokio::test]
async fn a_filter_changes_the_requests_headers_and_path() {
    let gateway = gateway("about", "[\"guard.say\"]").await;
    let answer = said(&gateway, "continue|set X-Test: it is me|path /inner/path?q=2").await;
    assert_eq!(answer.text(), "POST /inner/path q=2 it is me");
    let answer = said(&gateway, "continue|set x-test: gone|remove X-TEST").await;
    assert_eq!(answer.text(), "POST /x header=1 ");
}

#[tokio::test]
async fn a_filter_answers_in_place_of_the_entry() {
    let gateway = gateway("panic", "[\"guard.say\"]").await;
    let say =
        "respond 401|set www-authenticate: Bearer|add set-cookie: a|add set-cookie: b||no|way";
    let answer = said(&gateway, say).await;
    assert_eq!((answer.status, answer.text()), (StatusCode::UNAUTHORIZED, "no\nway"));
    assert_eq!(answer.header("www-authenticate"), "Bearer");
    assert_eq!(answer.headers.get_all("set-cookie").iter().count(), 2);
    assert_eq!(answer.header("content-type"), "text/plain; charset=utf-8");
    assert_eq!(answer.header("content-length"), "6");
    assert_eq!(answer.header("x-content-type-options"), "nosniff");
    let answer = said(&gateway, "respond 200|set content-type: application/json||{}").await;
    assert_eq!((answer.header("content-type"), answer.text()), ("application/json", "{}"));
    let answer = said(&gateway, "respond 204").await;
    assert_eq!((answer.status, answer.header("content-type")), (StatusCode::NO_CONTENT, ""));
    assert_eq!(counted(&gateway, "say", "respond").await, 3.0);
    let refused = "becket_http_requests_total{plugin=\"kit\",entry=\"panic\",code=\"401\"}";
    assert_eq!(metric(&gateway, refused).await, Some(1.0));
}

#[tokio::test]
async fn a_filter_sees_the_head_and_the_body_if_asked_for() {
    for (option, body) in [("", ""), (", request_body = true", "the body")] {
        let filters = format!("[{{ name = \"guard.see\"{option} }}]");
        let gateway = gateway("panic", &filters).await;
        let mut asked = request("PUT", "/x?a=%20b", b"the body");
        // Forged: what a client says in the gateway's name.
        for name in ["becket-phase", "becket-client", "becket-context", "becket-other"] {
            asked.headers_mut().append(name, "forged".parse().unwrap());
        }
        let answer = send(gateway.addr(), asked).await;
        let wanted = format!(
            "PUT /x a=%20b [becket-client=127.0.0.1 becket-filter-version=1 \
             becket-phase=request content-length=8 host=localhost] {body}"
        );
        assert_eq!((answer.text(), answer.header("x-seen")), (wanted.as_str(), "yes"));
    }
}

#[tokio::test]
async fn the_entry_gets_the_body_that_a_filter_has_read() {
    let gateway =
        gateway("echo", "[{ name = \"guard\", request_body = true }, \"guard.outer\"]").await;
    assert_eq!(post(gateway.addr(), "/x", &[b'x'; 200_000]).await.body, vec![b'x'; 200_000]);
    let bytes = "becket_http_request_body_bytes_total{plugin=\"kit\",entry=\"echo\"}";
    assert_eq!(metric(&gateway, bytes).await, Some(200_000.0));
    until_no_body_is_held(&gateway).await;
}

#[tokio::test]
async fn no_header_of_the_gateways_reaches_the_entry_from_a_client() {
    let gateway = gateway("header", "[\"guard\"]").await;
    let asked = with(request("GET", "/x?becket-user", b""), "becket-user", "forged");
    assert_eq!(send(gateway.addr(), asked).await.text(), "");
}

#[tokio::test]
async fn filters_run_in_their_order_and_back() {
    let gateway =
        gateway("echo", "[\"guard.outer\", \"guard.middle\", \"guard.inner\", \"guard\"]").await;
    let answer = post(gateway.addr(), "/x", b"body").await;
    let order: Vec<_> = answer.headers.get_all("x-order").iter().collect();
    assert_eq!(order, ["inner with inner's", "middle with middle's", "outer with outer's"]);
    // Each has its own context, and one without a context is called once.
    assert_eq!(counted(&gateway, "outer", "continue").await, 2.0);
    assert_eq!(counted(&gateway, "filter", "continue").await, 1.0);
}

#[tokio::test]
async fn an_answer_in_between_goes_back_by_the_filters_before_it() {
    let gateway = gateway("panic", "[\"guard.outer\", \"guard.say\", \"guard.inner\"]").await;
    let answer = said(&gateway, "respond 418|set x-order: own").await;
    assert_eq!(answer.status, StatusCode::IM_A_TEAPOT);
    let order: Vec<_> = answer.headers.get_all("x-order").iter().collect();
    assert_eq!(order, ["own", "outer with outer's"]);
    // So does a failure, of a filter and of the entry.
    let answer = said(&gateway, "nonsense").await;
    assert_eq!(
        (answer.status, answer.header("x-order")),
        (StatusCode::BAD_GATEWAY, "outer with outer's")
    );
    let answer = said(&gateway, "continue").await;
    let order: Vec<_> = answer.headers.get_all("x-order").iter().collect();
    assert_eq!(answer.status, StatusCode::BAD_GATEWAY);
    assert_eq!(order, ["inner with inner's", "outer with outer's"]);
}

#[tokio::test]
async fn the_response_phase_sees_and_changes_the_answer() {
    let gateway = gateway("echo", "[\"guard.say\"]").await;
    let answer = said_later(&gateway, "continue/set x-a: b/remove x-content-type-options").await;
    assert_eq!((answer.status, answer.text()), (StatusCode::OK, "body"));
    assert_eq!((answer.header("x-a"), answer.header("x-content-type-options")), ("b", ""));
    let answer = said_later(&gateway, "respond 503/set x-a: c//replaced").await;
    assert_eq!((answer.status, answer.text()), (StatusCode::SERVICE_UNAVAILABLE, "replaced"));
    assert_eq!((answer.header("x-a"), answer.header("content-length")), ("c", "8"));

    for (option, body) in [("", ""), (", response_body = true", "the body")] {
        let filters = format!("[{{ name = \"guard.watch\"{option} }}]");
        let gateway = self::gateway("echo", &filters).await;
        let answer = post(gateway.addr(), "/x?q", b"the body").await;
        let wanted = format!(
            "POST /x q [becket-context=a secret: 7 becket-filter-version=1 becket-phase=response \
             becket-status=200 content-type=text/plain; charset=utf-8 \
             x-content-type-options=nosniff] {body}"
        );
        assert_eq!((answer.status.as_u16(), answer.text()), (203, wanted.as_str()));
    }
}

#[tokio::test]
async fn a_filter_that_fails_lets_nothing_pass() {
    let gateway = gateway("panic", "[\"guard.say\"]").await;
    for say in [
        "",
        "nonsense",
        "continue|set x: a\\rset-cookie: b",
        "continue|set x: a\\0",
        "continue|set content-length: 0",
        "continue|set transfer-encoding: chunked",
        "continue|add connection: close",
        "continue|set host: other",
        "continue||body",
    ] {
        let answer = said(&gateway, say).await;
        assert_eq!(answer.status, StatusCode::BAD_GATEWAY, "{say}");
        assert!(
            answer.text().starts_with("error: filter `guard.say` failed\ncause: line "),
            "{}",
            answer.text()
        );
    }
    assert_eq!(counted(&gateway, "say", "failed").await, 9.0);
    let answer = said_later(&gateway, "nonsense").await;
    assert_eq!(answer.status, StatusCode::BAD_GATEWAY);

    let gateway = self::gateway("panic", "[\"guard.fail\"]").await;
    for (status, code) in [(1, 502), (2, 502), (3, 502), (4, 502), (99, 502)] {
        let asked = with(request("GET", "/x", b""), "x-fail", &status.to_string());
        let answer = send(gateway.addr(), asked).await;
        assert_eq!(answer.status.as_u16(), code, "{status}: {}", answer.text());
        assert!(
            answer.text().starts_with("error: filter `guard.fail` failed"),
            "{}",
            answer.text()
        );
    }
}

#[tokio::test]
async fn a_failure_in_the_response_phase_hides_the_answer() {
    let gateway = gateway("echo", "[\"guard.say\"]").await;
    let answer = said_later(&gateway, "continue/set connection: x").await;
    assert_eq!(answer.status, StatusCode::BAD_GATEWAY);
    assert!(!answer.text().contains("body"), "{}", answer.text());
}

#[tokio::test]
async fn one_that_may_fail_is_passed_by() {
    let gateway = gateway("echo", "[{ name = \"guard.say\", fail_open = true }]").await;
    let answer = said(&gateway, "nonsense").await;
    assert_eq!((answer.status, answer.text()), (StatusCode::OK, "body"));
    let answer = said_later(&gateway, "nonsense").await;
    assert_eq!((answer.status, answer.text()), (StatusCode::OK, "body"));
    assert_eq!(counted(&gateway, "say", "skipped").await, 2.0);
    // It may still answer.
    assert_eq!(said(&gateway, "respond 403").await.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn a_slow_filter_has_its_own_deadline() {
    let gateway = gateway("echo", "[{ name = \"guard.gated\", timeout_ms = 1 }]").await;
    let answer =
        send(gateway.addr(), with(request("GET", "/x", b""), "x-test", "filter-late")).await;
    assert_eq!(answer.status, StatusCode::GATEWAY_TIMEOUT);
    assert!(answer.text().starts_with("error: filter `guard.gated` failed"), "{}", answer.text());
}

#[tokio::test]
async fn a_filter_is_notified_when_the_client_leaves() {
    let gateway = gateway("panic", "[\"guard.gated\"]").await;
    let probe = probe("filter-left");
    let mut socket = TcpStream::connect(gateway.addr()).await.unwrap();
    socket.write_all(b"GET /x HTTP/1.1\r\nhost: x\r\nx-test: filter-left\r\n\r\n").await.unwrap();
    Probe::saw(&probe.entered).await;
    drop(socket);
    Probe::saw(&probe.left).await;
}

#[tokio::test]
async fn streams_have_both_phases_around_their_head() {
    let gateway = gateway("count", "[\"guard.say\"]").await;
    let answer = said_later(&gateway, "continue/set x-a: b").await;
    // `body` is no number, which is a failure of the plugin.
    assert_eq!((answer.status, answer.header("x-a")), (StatusCode::BAD_GATEWAY, "b"));
    let asked = with(request("POST", "/x", b"3"), "x-later", "continue/set x-a: b");
    let answer = send(gateway.addr(), asked).await;
    assert_eq!((answer.text(), answer.header("x-a")), ("frame 0\nframe 1\nframe 2\n", "b"));

    let gateway =
        self::gateway("count", "[{ name = \"guard.watch\", response_body = true }]").await;
    let answer = post(gateway.addr(), "/x", b"2").await;
    assert!(answer.text().ends_with("] frame 0\nframe 1\n"), "{}", answer.text());
    let filters = "[{ name = \"guard.watch\", response_body = true }]";
    let limited = format!("{}[limits]\nbody_bytes_max = 9\n", route("count", filters));
    let gateway = start(&limited).await.unwrap();
    let answer = post(gateway.addr(), "/x", b"2").await;
    assert_eq!(answer.status, StatusCode::BAD_GATEWAY);
    assert!(answer.text().contains("limits.body_bytes_max"), "{}", answer.text());
    until_no_body_is_held(&gateway).await;
}

#[tokio::test]
async fn a_replaced_stream_is_ended() {
    let gateway = gateway("flood", "[\"guard.say\"]").await;
    let asked = with(request("POST", "/x", b""), "x-later", "respond 403");
    let answer = send(gateway.addr(), with(asked, "x-test", "filter-flood")).await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN);
    Probe::saw(&probe("filter-flood").left).await;
}

#[tokio::test]
async fn a_websocket_is_filtered_before_its_handshake() {
    use futures_util::{SinkExt, StreamExt};
    use tokio_tungstenite::tungstenite::{Error, Message};
    let gateway = gateway("chat", "[\"guard.outer\"]").await;
    let mut socket = websocket(gateway.addr(), "/x", "").await;
    socket.send(Message::text("hello")).await.unwrap();
    assert_eq!(soon(socket.next()).await.unwrap().unwrap(), Message::text("hello"));
    // Once: an answer 101 has no response phase.
    assert_eq!(counted(&gateway, "outer", "continue").await, 1.0);

    let gateway = self::gateway("chat", "[\"guard.see\"]").await;
    match try_websocket(gateway.addr(), "/x", "").await {
        Err(Error::Http(answer)) => assert_eq!(answer.status(), StatusCode::OK),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn what_is_behind_a_filter_has_no_way_around_it() {
    let gateway = gateway("echo", "[\"guard\"]").await;
    for path in ["/kit/echo", "/guard/filter"] {
        assert_eq!(post(gateway.addr(), path, b"").await.status, StatusCode::NOT_FOUND, "{path}");
    }
    for path in ["/kit/about", "/guard/see"] {
        assert_eq!(post(gateway.addr(), path, b"").await.status, StatusCode::OK, "{path}");
    }
    let routes = gateway.routes();
    assert_eq!(routes[0].filters, ["guard"]);
    assert!(routes.iter().all(|route| route.path != "/kit/echo"));
}

#[tokio::test]
async fn a_filter_that_does_not_exist_is_found_at_the_start_and_lets_nothing_pass_later() {
    let missing = start(&route("echo", "[\"guard.se\"]")).await.unwrap_err();
    assert!(matches!(missing, GatewayError::NoSuchFilter { index: 0, .. }), "{missing}");
    assert_eq!(missing.hint().unwrap(), "did you mean `see`?");
    let kind = start(&route("echo", "[\"guard.frames\"]")).await.unwrap_err();
    assert!(matches!(kind, GatewayError::FilterKind { index: 0, .. }), "{kind}");

    let gateway = gateway("echo", "[\"guard\"]").await;
    for filter in ["guard.se", "guard.frames"] {
        let next = config(&route("echo", &format!("[\"{filter}\"]")));
        let report = gateway.reload(next).await.unwrap();
        assert_eq!(report.dead_routes.len(), 1, "{report:?}");
        let answer = post(gateway.addr(), "/x", b"").await;
        assert_eq!(answer.status, StatusCode::BAD_GATEWAY);
        assert!(answer.text().contains("no such unary entry"), "{}", answer.text());
    }
    gateway.reload(config(&route("echo", "[\"guard\"]"))).await.unwrap();
    assert_eq!(get(gateway.addr(), "/x").await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_filter_is_replaced_without_a_request_that_passes_it_by() {
    let before = route("echo", "[\"guard.gated\"]");
    let gateway = Arc::new(start(&before).await.unwrap());
    let probe = probe("filter-replaced");
    let ask = || {
        let asked = with(request("POST", "/x", b"body"), "x-test", "filter-replaced");
        tokio::spawn(send(gateway.addr(), asked))
    };
    let first = ask();
    Probe::saw(&probe.entered).await;
    let next =
        before.replace("linked = \"guard\"\n", "linked = \"guard\"\nlimits.pending_max = 9\n");
    let replacing = tokio::spawn({
        let gateway = Arc::clone(&gateway);
        async move { gateway.reload(config(&next)).await }
    });
    let second = ask();
    probe.open();
    assert_eq!(soon(first).await.unwrap().text(), "body");
    assert_eq!(soon(second).await.unwrap().text(), "body");
    assert_eq!(soon(replacing).await.unwrap().unwrap().replaced, ["guard"]);
    assert_eq!(soon(ask()).await.unwrap().text(), "body");
    assert_eq!(counted(&gateway, "gated", "continue").await, 3.0);
}

#[tokio::test]
async fn a_request_that_a_filter_answers_is_logged_as_the_client_sent_it() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("access.log");
    let log = format!("[access_log]\nformat = \"json\"\nfile = {file:?}\n");
    let text = route("echo", "[\"guard.say\"]") + &log;
    let gateway = start(&text).await.unwrap();
    said(&gateway, "continue|path /elsewhere").await;
    said(&gateway, "respond 403||no").await;
    gateway.drain(std::time::Duration::from_secs(20)).await;
    let lines = std::fs::read_to_string(file).unwrap();
    let lines: Vec<serde_json::Value> =
        lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let seen: Vec<_> = lines.iter().map(|line| (&line["path"], &line["status"])).collect();
    assert_eq!(seen, [(&"/x".into(), &200.into()), (&"/x".into(), &403.into())]);
}
