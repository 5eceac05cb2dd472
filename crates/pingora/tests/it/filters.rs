// SPDX-License-Identifier: BSD-3-Clause
//! What filters see, what they change, and that none of them is passed by.

use http::StatusCode;

use crate::common::{Answer, World, request, with};

/// What the filter `say` answers in the request phase.
fn said(world: &World, answer: &str) -> Answer {
    world.send(with(request("POST", "/x?header=1", b"body"), "x-say", answer))
}

/// What it answers in the response phase, too.
fn said_later(world: &World, path: &str, answer: &str) -> Answer {
    world.send(with(request("POST", path, b"body"), "x-later", answer))
}

#[test]
fn a_filter_that_lets_pass_changes_nothing() {
    let world = World::new("[\"guard\"]");
    let answer = world.post("/echo", b"the body");
    assert_eq!((answer.status, answer.text()), (StatusCode::OK, "the body"));
    assert_eq!(answer.header("x-server"), "yes");
}

#[test]
fn a_filter_changes_the_requests_headers_and_path() {
    let world = World::new("[\"guard.say\"]");
    let answer = said(&world, "continue|set X-Test: it is me|path /inner/path?q=2|add x-b: 1");
    let text = answer.text();
    assert!(text.starts_with("POST /inner/path?q=2 ["), "{text}");
    assert!(text.contains("x-b=1") && text.contains("x-test=it is me"), "{text}");
    let answer = said(&world, "continue|set x-test: gone|remove X-TEST|remove x-say");
    assert!(answer.text().starts_with("POST /x?header=1 ["), "{}", answer.text());
    assert!(!answer.text().contains("x-test") && !answer.text().contains("x-say"));
}

#[test]
fn a_filter_answers_in_place_of_the_server() {
    let world = World::new("[\"guard.say\"]");
    let say =
        "respond 401|set www-authenticate: Bearer|add set-cookie: a|add set-cookie: b||no|way";
    let answer = said(&world, say);
    assert_eq!((answer.status, answer.text()), (StatusCode::UNAUTHORIZED, "no\nway"));
    assert_eq!(answer.header("www-authenticate"), "Bearer");
    assert_eq!(answer.all("set-cookie").len(), 2);
    assert_eq!(answer.header("content-type"), "text/plain; charset=utf-8");
    assert_eq!(answer.header("content-length"), "6");
    assert_eq!(answer.header("x-content-type-options"), "nosniff");
    let answer = said(&world, "respond 204");
    assert_eq!((answer.status, answer.header("content-type")), (StatusCode::NO_CONTENT, ""));
    assert_eq!(answer.header("content-length"), "");
    assert_eq!(world.server.asked(), 0);
}

#[test]
fn a_filter_sees_the_head_and_nothing_that_a_client_forges() {
    let world = World::new("[\"guard.see\"]");
    let mut asked = request("PUT", "/x?a=%20b", b"the body");
    for name in ["becket-phase", "becket-client", "becket-context", "becket-other"] {
        asked.headers_mut().append(name, "forged".parse().unwrap());
    }
    let answer = world.send(asked);
    let wanted = "PUT /x a=%20b [becket-client=127.0.0.1 becket-filter-version=1 \
                  becket-phase=request content-length=8 host=localhost] ";
    assert_eq!((answer.text(), answer.header("x-seen")), (wanted, "yes"));

    let world = World::new("[\"guard\"]");
    let answer = world.send(with(request("GET", "/x", b""), "becket-user", "forged"));
    assert!(!answer.text().contains("forged"), "{}", answer.text());
}

#[test]
fn no_connection_header_removes_what_a_filter_has_set() {
    let world = World::new("[\"guard.say\"]");
    let asked = with(request("GET", "/x", b""), "x-say", "continue|set x-user: alice");
    let asked = with(with(asked, "connection", "x-user, host, keep-alive"), "x-user", "mallory");
    let answer = world.send(asked);
    assert!(answer.text().contains("x-user=alice"), "{}", answer.text());
    assert!(!answer.text().contains("mallory"), "{}", answer.text());
}

#[test]
fn filters_run_in_their_order_and_back() {
    let world = World::new("[\"guard.outer\", \"guard.middle\", \"guard.inner\", \"guard\"]");
    let answer = world.post("/echo", b"body");
    let order = ["inner with inner's", "middle with middle's", "outer with outer's"];
    assert_eq!((answer.text(), answer.all("x-order")), ("body", order.to_vec()));
    let answer = world.get("/empty");
    assert_eq!((answer.status, answer.all("x-order")), (StatusCode::NO_CONTENT, order.to_vec()));
}

#[test]
fn an_answer_in_between_goes_back_by_the_filters_before_it() {
    let world = World::new("[\"guard.outer\", \"guard.say\", \"guard.inner\"]");
    let answer = said(&world, "respond 418|set x-order: own");
    assert_eq!(answer.status, StatusCode::IM_A_TEAPOT);
    assert_eq!(answer.all("x-order"), ["own", "outer with outer's"]);
    // So does a failure, of a filter and of the server.
    let answer = said(&world, "nonsense");
    assert_eq!(
        (answer.status, answer.header("x-order")),
        (StatusCode::BAD_GATEWAY, "outer with outer's")
    );
    assert_eq!(world.server.asked(), 0);
    let nowhere = |_| {
        let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        crate::common::routes(crate::common::PLUGINS, "[\"guard.outer\", \"guard.inner\"]", gone)
    };
    let world = World::of(nowhere);
    let answer = world.get("/x");
    assert_eq!(answer.status, StatusCode::BAD_GATEWAY);
    assert_eq!(answer.all("x-order"), ["inner with inner's", "outer with outer's"]);
}

#[test]
fn the_response_phase_sees_and_changes_the_answer() {
    let world = World::new("[\"guard.say\"]");
    let answer = said_later(&world, "/echo", "continue/set x-a: b/remove x-server");
    assert_eq!((answer.status, answer.text()), (StatusCode::OK, "body"));
    assert_eq!((answer.header("x-a"), answer.header("x-server")), ("b", ""));
    // In the place of an answer with a body, of one without, and of one that has no end.
    for path in ["/echo", "/empty", "/pieces", "/endless"] {
        let answer = said_later(&world, path, "respond 503/set x-a: c//replaced");
        assert_eq!((answer.status, answer.text()), (StatusCode::SERVICE_UNAVAILABLE, "replaced"));
        assert_eq!((answer.header("x-a"), answer.header("content-length")), ("c", "8"), "{path}");
        assert_eq!(answer.header("x-server"), "");
    }
    let answer = said_later(&world, "/echo", "continue/set connection: x");
    assert_eq!(answer.status, StatusCode::BAD_GATEWAY);
    assert!(answer.text().starts_with("error: filter `guard.say` failed\ncause: line 2"));
}

#[test]
fn an_answer_to_head_has_no_body() {
    let world = World::new("[\"guard.say\"]");
    let head = || request("HEAD", "/x", b"");
    let answer = world.send(with(head(), "x-say", "respond 403||no"));
    assert_eq!((answer.status, answer.text()), (StatusCode::FORBIDDEN, ""));
    assert_eq!(answer.header("content-length"), "2");
    let answer = world.send(with(head(), "x-later", "respond 403//no"));
    assert_eq!((answer.status, answer.text()), (StatusCode::FORBIDDEN, ""));
    assert_eq!(answer.header("content-length"), "2");
}

#[test]
fn a_filter_that_fails_lets_nothing_pass() {
    let world = World::new("[\"guard.say\"]");
    for say in [
        "",
        "nonsense",
        "continue|set x: a\\rset-cookie: b",
        "continue|set content-length: 0",
        "continue|set transfer-encoding: chunked",
        "continue|set host: other",
        "continue||body",
    ] {
        let answer = said(&world, say);
        assert_eq!(answer.status, StatusCode::BAD_GATEWAY, "{say}");
        assert!(
            answer.text().starts_with("error: filter `guard.say` failed\ncause: line "),
            "{}",
            answer.text()
        );
    }
    let json = with(request("POST", "/x", b""), "accept", "application/json");
    let answer = world.send(with(json, "x-say", "nonsense"));
    assert_eq!(answer.header("content-type"), "application/json");
    assert_eq!(world.server.asked(), 0);

    let world = World::new("[{ name = \"guard.gated\", timeout_ms = 1 }]");
    let answer = world.send(with(request("GET", "/x", b""), "x-test", "late"));
    assert_eq!((answer.status, world.server.asked()), (StatusCode::GATEWAY_TIMEOUT, 0));

    let world = World::new("[{ name = \"guard.say\", fail_open = true }]");
    let answer = said(&world, "nonsense");
    assert_eq!((answer.status, world.server.asked()), (StatusCode::OK, 1));
}

#[test]
fn a_path_that_the_server_could_read_otherwise_is_refused() {
    let world = World::new("[\"guard.say\"]");
    for path in ["/open/../closed", "/open/%2e%2E/closed"] {
        let answer = world.get(path);
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{path}");
        let answer = said(&world, &format!("continue|path {path}"));
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{path}");
    }
    assert_eq!(world.server.asked(), 0);
}
