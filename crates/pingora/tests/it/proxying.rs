// SPDX-License-Identifier: BSD-3-Clause
//! Connections around filters: their reuse, their upgrade, and servers that are gone.

use std::net::{SocketAddr, TcpListener};

use http::StatusCode;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::common::{PLUGINS, World};

/// The next answer with a `content-length`, or with none if its status has no body.
async fn answer(socket: &mut TcpStream) -> String {
    let mut text = Vec::new();
    while !text.ends_with(b"\r\n\r\n") {
        text.push(socket.read_u8().await.unwrap());
    }
    let head = String::from_utf8(text).unwrap().to_ascii_lowercase();
    let length = head.split("content-length: ").nth(1).and_then(|rest| rest.split("\r\n").next());
    let mut body = vec![0; length.map_or(0, |length| length.parse().unwrap())];
    socket.read_exact(&mut body).await.unwrap();
    head + std::str::from_utf8(&body).unwrap()
}

#[test]
fn a_connection_is_used_again_after_each_kind_of_answer() {
    let world = World::new(
        "[\"guard.outer\", { name = \"guard.say\", request_body = true, response_body = true }]",
    );
    world.run(async {
        let mut socket = TcpStream::connect(world.addr).await.unwrap();
        for (path, say, wanted) in [
            ("/echo", "x-none: x", "\r\n\r\nbody"),
            ("/echo", "x-say: respond 403||no", "\r\n\r\nno"),
            ("/echo", "x-later: continue", "\r\n\r\nbody"),
            ("/endless", "x-say: respond 404", "\r\n\r\n"),
            ("/echo", "x-later: respond 403//no", "\r\n\r\nno"),
            ("/empty", "x-later: continue", "\r\n\r\n"),
            ("/echo", "x-say: nonsense", "is there\n"),
            ("/echo", "x-none: x", "\r\n\r\nbody"),
        ] {
            let head = format!(
                "POST {path} HTTP/1.1\r\nhost: x\r\n{say}\r\ncontent-length: 4\r\n\r\nbody"
            );
            socket.write_all(head.as_bytes()).await.unwrap();
            let answer = answer(&mut socket).await;
            assert!(answer.contains("x-order: outer with outer's"), "{path} {say}: {answer}");
            assert!(answer.ends_with(wanted) || wanted == "is there\n", "{path} {say}: {answer}");
        }
    });
}

#[test]
fn a_connection_is_upgraded_after_the_request_phase() {
    let world = World::new("[\"guard.outer\", \"guard.say\"]");
    let ask = "GET /switch HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
               sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-version: 13\r\n";
    world.run(async {
        let mut echoed = false;
        // Pingora 0.9.1 ends an upgraded connection at once, also without filters, if the server was quicker than the end of
        // the request's body within Pingora: one of several is enough.
        for _ in 0..50 {
            let mut socket = TcpStream::connect(world.addr).await.unwrap();
            socket.write_all(format!("{ask}\r\n").as_bytes()).await.unwrap();
            let head = answer(&mut socket).await;
            assert!(head.starts_with("http/1.1 101 "), "{head}");
            // What follows is no HTTP: there is no response phase.
            assert!(!head.contains("x-order"), "{head}");
            let mut back = [0; 5];
            let sent = socket.write_all(b"hello").await;
            if sent.is_ok() && socket.read_exact(&mut back).await.is_ok() {
                assert_eq!(&back, b"hello");
                echoed = true;
                break;
            }
        }
        assert!(echoed, "no upgraded connection has passed a byte");

        let mut socket = TcpStream::connect(world.addr).await.unwrap();
        socket.write_all(format!("{ask}x-say: respond 403\r\n\r\n").as_bytes()).await.unwrap();
        let head = answer(&mut socket).await;
        assert!(head.starts_with("http/1.1 403 ") && head.contains("x-order"), "{head}");
    });
}

#[test]
fn servers_take_turns_and_one_that_is_gone_is_left_out() {
    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let world = World::of(|server| {
        format!(
            "{PLUGINS}[[routes]]\nprefix = \"/\"\nupstream = [\"http://{gone}\", \
             \"http://{server}\"]\nfilters = [{{ name = \"guard\", request_body = true }}]\n"
        )
    });
    for _ in 0..4 {
        let answer = world.post("/echo", b"the body");
        assert_eq!((answer.status, answer.text()), (StatusCode::OK, "the body"));
    }
    assert_eq!(world.server.asked(), 4);
}

#[test]
fn a_server_that_fails_is_ejected() {
    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for (path, failed) in [("/echo", 0), ("/unavailable", 2)] {
        let world = World::of(|server| {
            format!(
                "[admin]\nlisten = \"127.0.0.1:0\"\n[[routes]]\nprefix = \"/\"\nupstream = {{ \
                 urls = [\"http://{gone}\", \"http://{server}\"], eject_after = 2, eject_ms = \
                 86400000 }}\n"
            )
        });
        for _ in 0..8 {
            let answer = world.post(path, b"");
            let wanted = if failed == 0 { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
            assert_eq!(answer.status, wanted);
        }
        let metrics = world.metrics();
        let ejected = |server: SocketAddr| {
            let labels = format!("{{route=\"/*\",server=\"{server}\"}}");
            metrics.contains(&format!("becket_http_upstream_ejections_total{labels} 1\n"))
        };
        assert!(ejected(gone), "{}", metrics);
        assert_eq!(ejected(world.server.addr), failed > 0, "{}", metrics);
    }
}

#[test]
fn a_server_that_ends_without_an_answer_is_ejected() {
    let world = World::of(|server| {
        format!(
            "[admin]\nlisten = \"127.0.0.1:0\"\n[[routes]]\nprefix = \"/\"\nupstream = {{ urls = \
             [\"http://{server}\"], eject_after = 2, eject_ms = 86400000 }}\n"
        )
    });
    let is_up = || {
        let labels = format!("{{route=\"/*\",server=\"{}\"}}", world.server.addr);
        world.metrics().contains(&format!("becket_http_upstream_up{labels} 1\n"))
    };
    for _ in 0..2 {
        assert!(is_up());
        assert_eq!(world.get("/nothing").status, StatusCode::BAD_GATEWAY);
    }
    assert!(!is_up());
}

#[test]
fn a_target_in_absolute_form_reaches_the_server() {
    let world = World::new("[\"guard.outer\"]");
    let text = world.run(async {
        let mut socket = TcpStream::connect(world.addr).await.unwrap();
        let head = "GET http://example.org/inner?q HTTP/1.1\r\nhost: example.org\r\n\r\n";
        socket.write_all(head.as_bytes()).await.unwrap();
        answer(&mut socket).await
    });
    assert!(text.contains("\r\n\r\nGET /inner?q [") && text.contains("host=example.org"), "{text}");
}
