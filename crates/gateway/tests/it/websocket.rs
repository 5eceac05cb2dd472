// SPDX-License-Identifier: BSD-3-Clause
//! Messages both ways, and every way in which they end.

// The lints' leave for tests does not reach their helpers.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

use crate::common::kit::{Probe, probe};
use crate::common::{
    Socket, gateway, get, metric, request, send, soon, try_websocket, websocket, with,
};
use futures_util::{SinkExt, StreamExt};
use http::StatusCode;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::{Error, Message};

async fn say(socket: &mut Socket, message: impl Into<Message>) {
    soon(socket.send(message.into())).await.expect("sent");
}

async fn hear(socket: &mut Socket) -> Message {
    soon(socket.next()).await.expect("open").expect("a message")
}

/// The close frame that comes next.
async fn closed(socket: &mut Socket) -> (u16, String) {
    match hear(socket).await {
        Message::Close(Some(CloseFrame { code, reason })) => (code.into(), reason.to_string()),
        other => panic!("not closed: {other:?}"),
    }
}

#[tokio::test]
async fn a_thousand_messages_come_back_in_order() {
    let gateway = gateway("").await;
    let (mut out, mut back) = websocket(gateway.addr(), "/kit/chat", "").await.split();
    let sending = tokio::spawn(async move {
        for at in 0..1000 {
            out.send(Message::text(format!("message {at}"))).await.unwrap();
        }
        out
    });
    for at in 0..1000 {
        let message = soon(back.next()).await.unwrap().unwrap();
        assert_eq!(message.into_text().unwrap(), format!("message {at}"));
    }
    drop(sending.await.unwrap());
}

#[tokio::test]
async fn a_client_hears_text_for_text_and_bytes_for_bytes() {
    let gateway = gateway("").await;
    let mut socket = websocket(gateway.addr(), "/kit/chat", "").await;
    for message in
        [Message::text("text"), Message::binary(&b"bytes"[..]), Message::text("text again")]
    {
        say(&mut socket, message.clone()).await;
        assert_eq!(hear(&mut socket).await, message);
    }
    say(&mut socket, Message::Ping("are you there?".into())).await;
    assert_eq!(hear(&mut socket).await, Message::Pong("are you there?".into()));
}

#[tokio::test]
async fn the_plugins_end_is_the_sockets() {
    let gateway = gateway("").await;
    for (word, code) in [("bye", 1000), ("fail", 1011), ("busy", 1013)] {
        let mut socket = websocket(gateway.addr(), "/kit/chat", "").await;
        say(&mut socket, word).await;
        if word == "bye" {
            assert_eq!(hear(&mut socket).await, Message::text("so long"));
        }
        let (closed, reason) = closed(&mut socket).await;
        assert_eq!(closed, code, "{word}: {reason}");
        assert!(!reason.contains("secret"), "{reason}");
    }
}

#[tokio::test]
async fn a_client_that_closes_or_vanishes_is_told_to_the_plugin() {
    let gateway = gateway("").await;
    let polite = probe("ws-polite");
    let mut socket = websocket(gateway.addr(), "/kit/chat", "ws-polite").await;
    say(&mut socket, Message::Close(None)).await;
    assert!(matches!(hear(&mut socket).await, Message::Close(_)));
    Probe::saw(&polite.left).await;

    let gone = probe("ws-gone");
    drop(websocket(gateway.addr(), "/kit/chat", "ws-gone").await);
    Probe::saw(&gone.left).await;
}

#[tokio::test]
async fn a_socket_is_not_read_while_the_plugin_refuses() {
    const MESSAGES: usize = 64;
    let gateway = gateway("").await;
    let held = probe("ws-held");
    let (mut out, mut back) = websocket(gateway.addr(), "/kit/refuser", "ws-held").await.split();
    let sending = tokio::spawn(async move {
        for at in 0..MESSAGES {
            out.send(Message::binary(vec![b'x'; 64 << 10 | at])).await.unwrap();
        }
        out
    });
    Probe::saw(&held.entered).await;
    let taken = metric(&gateway, "becket_websocket_messages_total{direction=\"in\"}").await;
    assert_eq!(taken, Some(1.0), "one waits, the others stay in the socket");
    held.open();
    for at in 0..MESSAGES {
        let message = soon(back.next()).await.unwrap().unwrap().into_data();
        assert_eq!(*message, (64_usize << 10 | at).to_le_bytes(), "message {at}");
    }
    drop(sending.await.unwrap());
}

#[tokio::test]
async fn a_message_above_the_limit_closes_with_1009() {
    let gateway = gateway("[limits]\nws_message_bytes_max = 1000\n").await;
    let mut socket = websocket(gateway.addr(), "/kit/chat", "").await;
    say(&mut socket, Message::binary(vec![0; 1000])).await;
    assert_eq!(hear(&mut socket).await.len(), 1000);
    say(&mut socket, Message::binary(vec![0; 1001])).await;
    assert_eq!(closed(&mut socket).await.0, 1009);
}

#[tokio::test]
async fn a_client_that_answers_no_ping_is_closed() {
    let gateway = gateway("[limits]\nws_ping_interval_ms = 5\n").await;
    let seen = probe("ws-mute");
    // It never reads, so it never answers a ping.
    let mute = websocket(gateway.addr(), "/kit/chat", "ws-mute").await;
    Probe::saw(&seen.left).await;
    drop(mute);
}

#[tokio::test]
async fn a_client_that_answers_pings_is_kept() {
    let gateway = gateway("[limits]\nws_ping_interval_ms = 500\n").await;
    let mut socket = websocket(gateway.addr(), "/kit/chat", "").await;
    for _ in 0..4 {
        // Reading answers the ping that is read.
        assert_eq!(hear(&mut socket).await, Message::Ping("".into()));
    }
    say(&mut socket, "still here").await;
    loop {
        match hear(&mut socket).await {
            Message::Ping(_) => {}
            message => break assert_eq!(message, Message::text("still here")),
        }
    }
}

#[tokio::test]
async fn a_wrong_door_says_so() {
    let gateway = gateway("").await;
    let addr = gateway.addr();
    let answer = get(addr, "/kit/chat").await;
    assert_eq!(answer.status, StatusCode::UPGRADE_REQUIRED);
    assert_eq!(answer.header("upgrade"), "websocket");
    assert_eq!(answer.header("sec-websocket-version"), "13");

    for (path, code) in [("/kit/echo", 400), ("/kit/count", 400), ("/kit/nothing", 404)] {
        match try_websocket(addr, path, "").await {
            Err(Error::Http(response)) => assert_eq!(response.status().as_u16(), code, "{path}"),
            other => panic!("{path}: {other:?}"),
        }
    }
    let half = with(request("GET", "/kit/chat", b""), "upgrade", "websocket");
    assert_eq!(send(addr, half).await.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn a_stream_that_is_refused_is_a_status() {
    let gateway = gateway("limits.streams_max = 1\n").await;
    let _first = websocket(gateway.addr(), "/kit/chat", "").await;
    match try_websocket(gateway.addr(), "/kit/chat", "").await {
        Err(Error::Http(response)) => assert_eq!(response.status(), 503),
        other => panic!("{other:?}"),
    }
}
