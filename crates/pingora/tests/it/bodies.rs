// SPDX-License-Identifier: BSD-3-Clause
//! Bodies that filters read, both ways, and their bounds.

use bytes::Bytes;
use http::StatusCode;
use http_body_util::StreamBody;
use hyper::body::Frame;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::common::{PLUGINS, World, request, send, with};

const READS: &str = "[{ name = \"guard\", request_body = true }, \"guard.outer\"]";

#[test]
fn a_filter_gets_the_requests_body_if_it_asks_for_it() {
    for (option, body) in [("", ""), (", request_body = true", "the body")] {
        let world = World::new(&format!("[{{ name = \"guard.see\"{option} }}]"));
        let answer = world.post("/x", b"the body");
        assert!(answer.text().ends_with(&format!("] {body}")), "{}", answer.text());
    }
}

#[test]
fn the_server_gets_the_body_that_a_filter_has_read() {
    let world = World::new(READS);
    // Far above what Pingora keeps to send a body again.
    for length in [0, 1, 70_000, 1 << 20] {
        let body = vec![b'x'; length];
        let answer = world.post("/echo", &body);
        assert_eq!((answer.status, answer.body.len()), (StatusCode::OK, length));
        assert_eq!(answer.header("x-order"), "outer with outer's");
    }
    // Without a length.
    let pieces = vec![Bytes::from(vec![b'a'; 100_000]), Bytes::from(vec![b'b'; 100_000])];
    let pieces = pieces.into_iter().map(|piece| Ok::<_, std::io::Error>(Frame::data(piece)));
    let asked = request("POST", "/echo", b"");
    let asked = asked.map(|_| StreamBody::new(futures_util::stream::iter(pieces)));
    let answer = world.run(send(world.addr, asked));
    assert_eq!((answer.body.len(), answer.body[150_000]), (200_000, b'b'));
}

#[test]
fn a_client_that_waits_to_be_asked_for_its_body_is_asked_once() {
    let world = World::new(READS);
    let answer = world.run(async {
        let mut socket = TcpStream::connect(world.addr).await.unwrap();
        let head = "POST /echo HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 4\r\n\
                    connection: close\r\n\r\n";
        socket.write_all(head.as_bytes()).await.unwrap();
        let mut asked = vec![0; 25];
        socket.read_exact(&mut asked).await.unwrap();
        assert_eq!(asked, b"HTTP/1.1 100 Continue\r\n\r\n");
        socket.write_all(b"body").await.unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).await.unwrap();
        answer
    });
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(answer.ends_with("\r\n\r\nbody"), "{answer}");
}

#[test]
fn a_filter_gets_the_answers_body_if_it_asks_for_it() {
    for (option, path, body) in [
        ("", "/pieces", ""),
        (", response_body = true", "/pieces", "one two three"),
        (", response_body = true", "/missing", "not there"),
        (", response_body = true", "/empty", ""),
    ] {
        let world = World::new(&format!("[{{ name = \"guard.watch\"{option} }}]"));
        let answer = world.get(path);
        assert_eq!(answer.status.as_u16(), 203);
        assert!(answer.text().starts_with("GET "), "{}", answer.text());
        assert!(answer.text().contains("[becket-context=a secret: 7 "), "{}", answer.text());
        assert!(answer.text().ends_with(&format!("] {body}")), "{path}: {}", answer.text());
    }
}

#[test]
fn an_answer_that_a_filter_has_read_goes_on_as_it_was() {
    let world = World::new("[\"guard.outer\", { name = \"guard.say\", response_body = true }]");
    for (path, body) in [("/pieces", "one two three"), ("/echo", "body"), ("/empty", "")] {
        let answer =
            world.send(with(request("POST", path, b"body"), "x-later", "continue/set x-a: b"));
        assert_eq!((answer.text(), answer.header("x-a")), (body, "b"), "{path}");
        assert_eq!(answer.header("x-order"), "outer with outer's", "{path}");
    }
}

#[test]
fn bodies_have_bounds() {
    let before = format!("limits.body_bytes_max = 1000\n{PLUGINS}");
    let world = World::with(&before, READS);
    assert_eq!(world.post("/echo", &[b'x'; 1000]).status, StatusCode::OK);
    let answer = world.post("/echo", &[b'x'; 1001]);
    assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(world.server.asked(), 1);

    let world =
        World::with(&before, "[\"guard.outer\", { name = \"guard.say\", response_body = true }]");
    for path in ["/endless", "/broken"] {
        let answer = world.send(with(request("GET", path, b""), "x-later", "continue"));
        assert_eq!(answer.status, StatusCode::BAD_GATEWAY, "{path}");
        assert!(!answer.text().contains("half"), "{}", answer.text());
    }
}
