// SPDX-License-Identifier: BSD-3-Clause
//! Routes that lead to a plugin's entry or to files: Pingora has no server to ask.

use http::StatusCode;

use crate::common::{PLUGINS, World, request, with};

fn world(routes: &str) -> World {
    World::of(|_| format!("{PLUGINS}{routes}"))
}

/// A route to the kit's entry with these filters, at `/x`.
fn route(entry: &str, filters: &str) -> String {
    format!(
        "[[routes]]\npath = \"/x\"\nplugin = \"kit\"\nentry = \"{entry}\"\nfilters = {filters}\n"
    )
}

#[test]
fn an_entry_answers_requests() {
    let world = world("");
    let answer = world.post("/kit/echo", b"the body");
    assert_eq!((answer.status, answer.text()), (StatusCode::OK, "the body"));
    assert_eq!(answer.header("content-type"), "text/plain; charset=utf-8");
    assert_eq!(answer.header("content-length"), "8");
    let answer = world.get("/kit/about?x=1");
    assert_eq!(answer.text(), "GET /kit/about x=1 ");
    let answer = world.send(request("HEAD", "/kit/about", b""));
    assert_eq!((answer.status, answer.text()), (StatusCode::OK, ""));
    for (path, status) in
        [("/kit/panic", 502), ("/kit/status?2", 400), ("/kit/nothing", 404), ("/other", 404)]
    {
        assert_eq!(world.get(path).status.as_u16(), status, "{path}");
    }
    let answer = world.send(with(request("GET", "/kit/abot", b""), "accept", "application/json"));
    assert!(answer.text().contains("\"hint\":\"try /kit/about\""), "{}", answer.text());
    assert_eq!(world.server.asked(), 0);
}

#[test]
fn a_stream_comes_frame_by_frame() {
    let world = world("");
    let answer = world.post("/kit/count", b"3");
    assert_eq!(answer.text(), "frame 0\nframe 1\nframe 2\n");
    let events = with(request("POST", "/kit/count", b"2"), "accept", "text/event-stream");
    let answer = world.send(events);
    assert_eq!(answer.header("content-type"), "text/event-stream");
    assert!(answer.text().contains("data: frame 0"), "{}", answer.text());
    // Cut, so that no client takes it for the whole.
    let late = crate::common::try_send(world.addr, request("POST", "/kit/fail_late", b""));
    assert!(world.run(late).is_err());
}

#[test]
fn filters_are_around_an_entry() {
    let world = world(&route("echo", "[\"guard.outer\", \"guard.say\"]"));
    let answer = world.send(with(request("POST", "/x", b"body"), "x-later", "continue/set x-a: b"));
    assert_eq!((answer.text(), answer.header("x-a")), ("body", "b"));
    assert_eq!(answer.header("x-order"), "outer with outer's");
    let answer = world.send(with(request("POST", "/x", b"body"), "x-say", "respond 403"));
    assert_eq!(answer.status, StatusCode::FORBIDDEN);
    // There is no way around.
    assert_eq!(world.post("/kit/echo", b"").status, StatusCode::NOT_FOUND);
    let world = self::world(&route("count", "[{ name = \"guard.watch\", response_body = true }]"));
    let answer = world.post("/x", b"2");
    assert!(answer.text().ends_with("] frame 0\nframe 1\n"), "{}", answer.text());
}

#[test]
fn a_filter_reads_the_body_once_for_the_entry_too() {
    let world = world(&route("echo", "[{ name = \"guard\", request_body = true }]"));
    assert_eq!(world.post("/x", &[b'x'; 200_000]).body, vec![b'x'; 200_000]);
}

#[test]
fn files_are_served() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("hello.txt"), "hello\n").unwrap();
    let path = folder.path().display();
    let world = world(&format!(
        "[[routes]]\nprefix = \"/files\"\nfiles = \"{path}\"\nfilters = [\"guard.outer\"]\n"
    ));
    let answer = world.get("/files/hello.txt");
    assert_eq!((answer.text(), answer.header("x-order")), ("hello\n", "outer with outer's"));
    let answer = world.send(with(request("GET", "/files/hello.txt", b""), "range", "bytes=1-2"));
    assert_eq!((answer.status, answer.text()), (StatusCode::PARTIAL_CONTENT, "el"));
    assert_eq!(world.get("/files/other").status, StatusCode::NOT_FOUND);
}

#[test]
fn a_websocket_to_a_plugin_is_refused() {
    let world = world("");
    let asked = with(request("GET", "/kit/chat", b""), "connection", "upgrade");
    let answer = world.send(with(asked, "upgrade", "websocket"));
    assert_eq!(answer.status, StatusCode::NOT_IMPLEMENTED);
    assert_eq!(world.get("/kit/chat").status, StatusCode::NOT_IMPLEMENTED);
}
