// SPDX-License-Identifier: BSD-3-Clause
//! WebSockets that are passed on to another server.

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use http::StatusCode;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, accept_hdr_async};

use crate::common::{Socket, metric, rest, soon, try_websocket, websocket};
use crate::upstream::{before, gateway, scripted};

/// A server of WebSockets; the second value has each one with the headers of its handshake.
async fn server() -> (SocketAddr, mpsc::Receiver<(WebSocketStream<TcpStream>, String)>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let (sender, receiver) = mpsc::channel(16);
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let mut seen = String::new();
            #[allow(clippy::result_large_err, reason = "the callback's type is the library's")]
            let see = |request: &Request, mut response: Response| {
                let line = |(name, value)| format!("{name}={value:?}\n");
                seen = format!("{}\n", request.uri());
                seen.extend(request.headers().iter().map(line));
                if let Some(asked) = request.headers().get("sec-websocket-protocol") {
                    response.headers_mut().insert("sec-websocket-protocol", asked.clone());
                }
                Ok(response)
            };
            if let Ok(socket) = accept_hdr_async(socket, see).await {
                let _ = sender.send((socket, seen)).await;
            }
        }
    });
    (addr, receiver)
}

async fn hear(socket: &mut (impl StreamExt<Item = Result<Message, Error>> + Unpin)) -> Message {
    soon(socket.next()).await.unwrap().unwrap()
}

/// Completes when the socket has no more to say, by a close or without.
async fn ended(mut socket: Socket) {
    soon(async { while let Some(Ok(_)) = socket.next().await {} }).await;
}

#[tokio::test]
async fn messages_pass_both_ways_and_so_does_the_end() {
    let (addr, mut sockets) = server().await;
    let gateway = before(addr).await;
    let mut client = websocket(gateway.addr(), "/chat?room=1", "seen").await;
    let (mut served, seen) = soon(sockets.recv()).await.unwrap();
    assert!(seen.starts_with("/chat?room=1\n"), "{seen}");
    for line in ["x-test=\"seen\"", "x-forwarded-for=\"127.0.0.1\"", "upgrade=\"websocket\""] {
        assert!(seen.contains(line), "{seen}");
    }
    assert_eq!(metric(&gateway, "becket_websockets").await, Some(1.0));
    // Longer than what is read at once, and of both kinds.
    for message in [Message::text("text"), Message::binary(vec![7; 300_000])] {
        soon(client.send(message.clone())).await.unwrap();
        assert_eq!(hear(&mut served).await, message);
        soon(served.send(message.clone())).await.unwrap();
        assert_eq!(hear(&mut client).await, message);
    }
    let farewell = CloseFrame { code: 4000.into(), reason: "enough".into() };
    soon(served.close(Some(farewell.clone()))).await.unwrap();
    assert_eq!(hear(&mut client).await, Message::Close(Some(farewell)));
    drop(served);
    ended(client).await;
    soon(async {
        while metric(&gateway, "becket_websockets").await != Some(0.0) {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn the_servers_headers_and_its_refusal_are_the_clients() {
    let (addr, _sockets) = server().await;
    let gateway = before(addr).await;
    let mut socket = TcpStream::connect(gateway.addr()).await.unwrap();
    let ask = "GET / HTTP/1.1\r\nhost: x\r\nconnection: keep-alive, Upgrade\r\nupgrade: websocket\r\n\
               sec-websocket-version: 13\r\nsec-websocket-protocol: chat\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    socket.write_all(ask.as_bytes()).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(soon(socket.read_u8()).await.unwrap());
    }
    let head = String::from_utf8(head).unwrap();
    assert!(head.starts_with("HTTP/1.1 101 Switching Protocols\r\n"), "{head}");
    for line in [
        "sec-websocket-protocol: chat",
        "sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=",
        "connection: upgrade",
        "upgrade: websocket",
    ] {
        assert_eq!(head.lines().filter(|it| *it == line).count(), 1, "{line}: {head}");
    }

    let refusing = b"HTTP/1.1 403 Forbidden\r\ncontent-length: 2\r\n\r\nno";
    let (addr, _sockets) = scripted(refusing).await;
    let gateway = before(addr).await;
    match try_websocket(gateway.addr(), "/", "").await {
        Err(Error::Http(answer)) => assert_eq!(answer.status(), StatusCode::FORBIDDEN),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_handshake_that_either_side_breaks_is_refused() {
    // It accepts, but something else.
    let other = b"HTTP/1.1 101 Switching\r\nupgrade: chess\r\nconnection: upgrade\r\n\r\n";
    let (addr, _sockets) = scripted(other).await;
    let gateway = before(addr).await;
    match try_websocket(gateway.addr(), "/", "").await {
        Err(Error::Http(answer)) => assert_eq!(answer.status(), StatusCode::BAD_GATEWAY),
        other => panic!("{other:?}"),
    }
    let mut socket = TcpStream::connect(gateway.addr()).await.unwrap();
    let ask = "GET / HTTP/1.1\r\nhost: x\r\nupgrade: websocket\r\nconnection: close\r\n\r\n";
    socket.write_all(ask.as_bytes()).await.unwrap();
    let answer = rest(&mut socket).await;
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    assert_eq!(metric(&gateway, "becket_websockets_total").await, Some(0.0));
}

#[tokio::test]
async fn a_side_that_vanishes_ends_the_other() {
    let (addr, mut sockets) = server().await;
    let gateway = before(addr).await;
    let client = websocket(gateway.addr(), "/", "").await;
    let (mut served, _) = soon(sockets.recv()).await.unwrap();
    drop(client);
    assert!(!matches!(soon(served.next()).await, Some(Ok(_))));

    let client = websocket(gateway.addr(), "/", "").await;
    drop(soon(sockets.recv()).await.unwrap());
    ended(client).await;
}

#[tokio::test]
async fn a_websocket_in_which_nothing_moves_ends_in_its_time() {
    let (addr, mut sockets) = server().await;
    let route =
        format!("upstream = {{ urls = \"http://{addr}\", websocket_idle_timeout_ms = 200 }}");
    let gateway = gateway(&route, "").await;
    let mut client = websocket(gateway.addr(), "/", "").await;
    let (mut served, _) = soon(sockets.recv()).await.unwrap();
    // One that moves is kept for longer than that.
    let mut ticks = tokio::time::interval(Duration::from_millis(20));
    for _ in 0..30 {
        soon(client.send(Message::text("still here"))).await.unwrap();
        hear(&mut served).await;
        ticks.tick().await;
    }
    ended(client).await;
    assert!(!matches!(soon(served.next()).await, Some(Ok(_))));
}

#[tokio::test]
async fn a_client_that_does_not_read_holds_the_server_back() {
    let (addr, mut sockets) = server().await;
    let gateway = before(addr).await;
    let mut client = websocket(gateway.addr(), "/", "").await;
    let (mut served, _) = soon(sockets.recv()).await.unwrap();
    let piece = Message::binary(vec![1; 1 << 20]);
    let mut sending = tokio::spawn(async move {
        for _ in 0..64 {
            served.send(piece.clone()).await.unwrap();
        }
        served
    });
    // The buffers of the sockets take some of it, and the rest waits at the server.
    assert!(timeout(Duration::from_millis(300), &mut sending).await.is_err());
    for _ in 0..64 {
        assert_eq!(hear(&mut client).await.len(), 1 << 20);
    }
    drop(soon(sending).await.unwrap());
}

#[tokio::test]
async fn a_drain_leaves_it_open_and_its_end_cuts_it() {
    let (addr, mut sockets) = server().await;
    let gateway = before(addr).await;
    let client = websocket(gateway.addr(), "/", "").await;
    let (served, _) = soon(sockets.recv()).await.unwrap();
    let report = soon(gateway.drain(Duration::from_millis(50))).await;
    assert_eq!(report.connections_cut, 1);
    ended(client).await;
    drop(served);
}

#[tokio::test]
async fn a_filter_stands_before_it() {
    let (addr, mut sockets) = server().await;
    let route = format!("upstream = \"http://{addr}\"\nfilters = [\"guard.say\"]");
    let gateway = gateway(&route, "").await;
    let ask = |say: &'static str| {
        let addr = gateway.addr();
        async move {
            use tokio_tungstenite::tungstenite::client::IntoClientRequest;
            let socket = TcpStream::connect(addr).await.unwrap();
            let mut request = format!("ws://{addr}/chat").into_client_request().unwrap();
            request.headers_mut().insert("x-say", say.parse().unwrap());
            tokio_tungstenite::client_async(request, socket).await
        }
    };
    match soon(ask("respond 401||no")).await {
        Err(Error::Http(answer)) => assert_eq!(answer.status(), StatusCode::UNAUTHORIZED),
        other => panic!("{other:?}"),
    }
    let (mut client, _) = soon(ask("continue|set x-forwarded-user: alice|path /in")).await.unwrap();
    let (mut served, seen) = soon(sockets.recv()).await.unwrap();
    assert!(seen.starts_with("/in\n") && seen.contains("x-forwarded-user=\"alice\""), "{seen}");
    soon(client.send(Message::text("hello"))).await.unwrap();
    assert_eq!(hear(&mut served).await, Message::text("hello"));
}
