// SPDX-License-Identifier: BSD-3-Clause
//! Clients that are broken, slow, greedy or gone: each has a clear answer, and the others are
//! served on.

// The lints' leave for tests does not reach their helpers.
#![allow(clippy::expect_used, clippy::panic)]

use std::time::Duration;

use crate::common::kit::{Probe, probe};
use crate::common::{gateway, get, metric, open, post, raw, request, rest, send, soon, with};
use http::StatusCode;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until};

use crate::common;

const TIGHT: &str = "[limits]\nbody_bytes_max = 1000\nheader_bytes_max = 2000\nheaders_max = 20\n";
/// Soon over, and long enough for a correct client on a busy machine.
const QUICK: &str = "[limits]\nheader_read_timeout_ms = 500\nbody_idle_timeout_ms = 500\n\
                     body_timeout_ms = 1000\nwrite_stall_timeout_ms = 500\n";

#[tokio::test]
async fn a_path_without_a_route_is_404() {
    let gateway = gateway("").await;
    let answer = get(gateway.addr(), "/").await;
    assert_eq!(answer.status, StatusCode::NOT_FOUND);
    assert!(answer.text().contains("hint: try /kit/"), "{answer:?}");
    assert_eq!(get(gateway.addr(), "/kit/echo/").await.status, StatusCode::NOT_FOUND);
    assert_eq!(metric(&gateway, "becket_http_refused_total{cause=\"route\"}").await, Some(2.0));
}

#[tokio::test]
async fn a_body_above_the_limit_is_413_declared_or_not() {
    let gateway = gateway(TIGHT).await;
    let addr = gateway.addr();
    assert_eq!(post(addr, "/kit/echo", &[b'x'; 1000]).await.status, StatusCode::OK);
    let declared = "POST /kit/echo HTTP/1.1\r\nhost: x\r\ncontent-length: 1001\r\n\r\n";
    // Not a byte of the body is waited for.
    let answer = raw(addr, declared.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    assert!(answer.contains("\r\nconnection: close\r\n"), "{answer}");
    let mut chunked =
        "POST /kit/echo HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n".to_owned();
    for _ in 0..3 {
        chunked.push_str(&format!("190\r\n{}\r\n", "y".repeat(400)));
    }
    let answer = raw(addr, chunked.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    assert!(!answer.contains("yyy"));
}

#[tokio::test]
async fn headers_above_the_limits_are_431() {
    let gateway = gateway(TIGHT).await;
    let many: String = (0..21).map(|at| format!("h{at}: v\r\n")).collect();
    let answer =
        raw(gateway.addr(), format!("GET /kit/about HTTP/1.1\r\nhost: x\r\n{many}\r\n").as_bytes())
            .await;
    assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
    let long = "v".repeat(2000);
    let answer = raw(
        gateway.addr(),
        format!("GET /kit/about HTTP/1.1\r\nhost: x\r\nlong: {long}\r\n\r\n").as_bytes(),
    )
    .await;
    assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
    is_said_in_three_lines(&answer);
    assert!(answer.contains("limits.header_bytes_max"), "{answer}");
}

/// A whole answer with a body of the length that it announces: `error:`, `cause:`, `hint:`.
fn is_said_in_three_lines(answer: &str) {
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    assert!(head.contains(&format!("content-length: {}", body.len())), "{answer}");
    assert!(head.contains("connection: close") && head.contains("date: "), "{answer}");
    let labels: Vec<_> = body.lines().filter_map(|line| line.split_once(": ")).collect();
    let labels: Vec<_> = labels.iter().map(|(label, _)| *label).collect();
    assert_eq!(labels, ["error", "cause", "hint"], "{answer}");
}

/// What a parser refuses between two answers is completed, and no answer's body is.
#[tokio::test]
async fn a_refusal_behind_answers_has_its_lines_and_a_body_that_looks_like_one_is_a_body() {
    let gateway = gateway("").await;
    let bare = "HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 0\r\n\
                date: Sun, 22 Nov 2026 12:00:00 GMT\r\n\r\n";
    let echo = format!(
        "POST /kit/echo HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n{bare}",
        bare.len()
    );
    let mut socket = TcpStream::connect(gateway.addr()).await.unwrap();
    // One at a time, then several at once, then what cannot be parsed.
    for pipelined in [1, 1, 3] {
        socket.write_all(echo.repeat(pipelined).as_bytes()).await.unwrap();
        for _ in 0..pipelined {
            assert_eq!(answer(&mut socket).await, bare);
        }
    }
    socket.write_all(b"BAD\x01 / HTTP/1.1\r\n\r\n").await.unwrap();
    let refused = rest(&mut socket).await;
    assert!(refused.starts_with("HTTP/1.1 400 "), "{refused}");
    is_said_in_three_lines(&refused);
    // HTTP/1.0 has no chunks: a stream's bytes stand alone.
    let ask = format!("POST /kit/raw HTTP/1.0\r\ncontent-length: {}\r\n\r\n{bare}", bare.len());
    let streamed = raw(gateway.addr(), ask.as_bytes()).await;
    assert!(streamed.ends_with(&format!("\r\n\r\n{bare}")), "{streamed}");
}

/// The body of the next answer, by its length.
async fn answer(socket: &mut TcpStream) -> String {
    let mut all = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&all).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
            let len = head.split_once("content-length: ").expect("a length").1;
            let len: usize = len.lines().next().expect("a line").parse().expect("a number");
            if body.len() == len {
                return body.to_owned();
            }
        }
        all.push(soon(socket.read_u8()).await.expect("more"));
    }
}

#[tokio::test]
async fn hints_are_the_operators_choice_in_refusals_of_the_parser_too() {
    let text = format!("error_hints = false\n{}", common::BASE);
    let gateway = common::start(&text).await.unwrap();
    let answer = raw(gateway.addr(), b"GET /kit/echo\r\n\r\n").await;
    assert!(answer.contains("\r\n\r\nerror: ") && !answer.contains("hint: "), "{answer}");
}

#[tokio::test]
async fn two_hosts_are_400() {
    let gateway = gateway("").await;
    for hosts in ["host: x\r\nhost: y\r\n", "host: x\r\nHost: x\r\n"] {
        for version in ["1.1", "1.0"] {
            let ask = format!("GET /kit/about HTTP/{version}\r\n{hosts}connection: close\r\n\r\n");
            let answer = raw(gateway.addr(), ask.as_bytes()).await;
            assert!(answer.starts_with(&format!("HTTP/{version} 400 ")), "{answer}");
            assert!(answer.contains("error: the request has more than one `host` header\n"));
            assert!(answer.contains("\ncause: ") && answer.contains("\nhint: "), "{answer}");
        }
    }
    assert_eq!(metric(&gateway, "becket_http_refused_total{cause=\"header\"}").await, Some(4.0));
}

#[tokio::test]
async fn what_is_not_http_is_400() {
    let gateway = gateway("").await;
    for bytes in [
        &b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 TLS to a plain port\r\n\r\n"[..],
        b"GET /kit/echo\r\n\r\n",
        b"GET  HTTP/1.1\r\n\r\n",
        b"GET /kit/echo HTTP/1.1\r\nbad header\r\n\r\n",
        b"GET /kit/echo HTTP/1.1\r\nhost: x\r\ncontent-length: -1\r\n\r\n",
        b"POST /kit/echo HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nx",
    ] {
        let answer = raw(gateway.addr(), bytes).await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{bytes:?}: {answer}");
        is_said_in_three_lines(&answer);
    }
    assert!(get(gateway.addr(), "/kit/about").await.status.is_success());
}

#[tokio::test]
async fn a_request_without_a_host_is_400_but_not_in_http_1_0() {
    let gateway = gateway("").await;
    let answer = raw(gateway.addr(), b"GET /kit/about HTTP/1.1\r\nconnection: close\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    let answer = raw(gateway.addr(), b"GET /kit/about HTTP/1.0\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.0 200 "), "{answer}");
    // A stream to HTTP/1.0 has no chunks: it ends with the connection.
    let count = b"POST /kit/count HTTP/1.0\r\ncontent-length: 1\r\n\r\n2";
    let answer = raw(gateway.addr(), count).await;
    assert!(answer.ends_with("\r\n\r\nframe 0\nframe 1\n"), "{answer}");
}

#[tokio::test]
async fn a_header_that_is_not_text_is_400() {
    let gateway = gateway("").await;
    let answer = raw(
        gateway.addr(),
        b"GET /kit/about HTTP/1.1\r\nhost: x\r\nx-name: caf\xe9\r\nconnection: close\r\n\r\n",
    )
    .await;
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    assert!(answer.contains("header `x-name` is not UTF-8"), "{answer}");
    assert!(!answer.contains("caf"));
}

#[tokio::test]
async fn a_slow_loris_is_closed() {
    let gateway = gateway(QUICK).await;
    let mut silent = TcpStream::connect(gateway.addr()).await.unwrap();
    assert_eq!(rest(&mut silent).await, "");
    let mut slow = TcpStream::connect(gateway.addr()).await.unwrap();
    slow.write_all(b"GET /kit/about HTTP/1.1\r\nhost: x\r\nx-slow").await.unwrap();
    assert_eq!(rest(&mut slow).await, "");
    let refused = metric(&gateway, "becket_http_refused_total{cause=\"header_timeout\"}").await;
    assert_eq!(refused, Some(1.0));
    // An idle connection is closed too, after its answer.
    let mut idle = TcpStream::connect(gateway.addr()).await.unwrap();
    idle.write_all(b"GET /kit/about HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    assert!(rest(&mut idle).await.starts_with("HTTP/1.1 200 "));
}

/// The limit counts from the opening of the connection, and not from its first byte.
#[tokio::test]
async fn a_first_byte_that_comes_late_buys_no_time() {
    const LIMIT: Duration = Duration::from_secs(2);
    let gateway = gateway("[limits]\nheader_read_timeout_ms = 2000\n").await;
    let mut slow = TcpStream::connect(gateway.addr()).await.unwrap();
    let opened = Instant::now();
    sleep_until(opened + LIMIT.mul_f64(0.7)).await;
    let mut later = TcpStream::connect(gateway.addr()).await.unwrap();
    sleep_until(opened + LIMIT.mul_f64(0.9)).await;
    slow.write_all(b"G").await.unwrap();
    // It has 1.5 times the limit; a silent one that was opened after 0.7 of it has 1.7 times.
    tokio::select! {
        biased;
        got = rest(&mut slow) => assert_eq!(got, ""),
        _ = rest(&mut later) => panic!("the connection that was opened later is closed first"),
    }
}

/// Each ping is acknowledged, which is no request.
#[tokio::test]
async fn pings_of_http2_buy_no_time() {
    const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    const SETTINGS: [u8; 9] = [0, 0, 0, 4, 0, 0, 0, 0, 0];
    const PING: [u8; 17] = [0, 0, 8, 6, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8];
    let gateway = gateway(QUICK).await;
    let mut client = TcpStream::connect(gateway.addr()).await.unwrap();
    client.write_all(&[PREFACE, &SETTINGS].concat()).await.unwrap();
    let mut acknowledged = 0;
    let until_closed = async {
        loop {
            let mut head = [0; 9];
            client.read_exact(&mut head).await?;
            let mut payload = vec![0; u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize];
            client.read_exact(&mut payload).await?;
            let (kind, is_ack) = (head[3], head[4] & 1 == 1);
            acknowledged += u32::from(kind == 6 && is_ack);
            // The server's own are answered: it would end a connection that does not.
            if kind == 6 && !is_ack {
                head[4] = 1;
                client.write_all(&[&head[..], &payload].concat()).await?;
            }
            // At first, and whenever the one before is acknowledged.
            if (kind == 4) != is_ack {
                client.write_all(&PING).await?;
            }
        }
    };
    let closed: std::io::Result<()> = soon(until_closed).await;
    assert!(closed.is_err() && acknowledged > 0, "{acknowledged} pings: {closed:?}");
}

#[tokio::test]
async fn a_request_in_progress_outlives_the_idle_limit() {
    let gateway = gateway(QUICK).await;
    let held = probe("bad-held");
    let asked = with(request("GET", "/kit/gated", b""), "x-test", "bad-held");
    let answer = tokio::spawn(send(gateway.addr(), asked));
    Probe::saw(&held.entered).await;
    // Longer than the limit: an idle connection that was opened after it is closed meanwhile.
    let mut silent = TcpStream::connect(gateway.addr()).await.unwrap();
    assert_eq!(rest(&mut silent).await, "");
    let mut silent = TcpStream::connect(gateway.addr()).await.unwrap();
    assert_eq!(rest(&mut silent).await, "");
    held.open();
    assert_eq!(answer.await.unwrap().text(), "through");
}

#[tokio::test]
async fn a_body_that_stops_is_408() {
    let gateway = gateway(QUICK).await;
    let head = "POST /kit/echo HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\n12345";
    let mut half = TcpStream::connect(gateway.addr()).await.unwrap();
    half.write_all(head.as_bytes()).await.unwrap();
    let answer = rest(&mut half).await;
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    assert!(answer.contains("limits.body_idle_timeout_ms"), "{answer}");
}

#[tokio::test]
async fn a_client_that_leaves_in_its_body_costs_nothing() {
    let gateway = gateway("").await;
    let mut gone = TcpStream::connect(gateway.addr()).await.unwrap();
    let head = "POST /kit/echo HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\n12345";
    gone.write_all(head.as_bytes()).await.unwrap();
    gone.shutdown().await.unwrap();
    rest(&mut gone).await;
    assert_eq!(post(gateway.addr(), "/kit/echo", b"next").await.text(), "next");
}

#[tokio::test]
async fn a_client_that_leaves_is_told_to_the_plugin() {
    let gateway = gateway("").await;
    for (path, name) in [("/kit/gated", "bad-left-unary"), ("/kit/trickle", "bad-left-stream")] {
        let seen = probe(name);
        let mut socket = TcpStream::connect(gateway.addr()).await.unwrap();
        let head = format!("GET {path} HTTP/1.1\r\nhost: x\r\nx-test: {name}\r\n\r\n");
        socket.write_all(head.as_bytes()).await.unwrap();
        Probe::saw(&seen.entered).await;
        drop(socket);
        Probe::saw(&seen.left).await;
    }
}

#[tokio::test]
async fn a_client_that_does_not_read_holds_the_plugin_back_and_is_cut() {
    let gateway = gateway(QUICK).await;
    let flood = probe("bad-flood");
    let asked = with(request("GET", "/kit/flood", b""), "x-test", "bad-flood");
    // The head is read, the body is not.
    let unread = open(gateway.addr(), asked).await;
    Probe::saw(&flood.full).await;
    Probe::saw(&flood.left).await;
    drop(unread);
}

#[tokio::test]
async fn one_connection_too_many_is_503() {
    let gateway = gateway("[limits]\nconnections_max = 2\n").await;
    let addr = gateway.addr();
    let mut held = Vec::new();
    for _ in 0..2 {
        let asked = with(request("GET", "/kit/trickle", b""), "x-test", "bad-many");
        held.push(open(addr, asked).await);
    }
    let mut refused = TcpStream::connect(addr).await.unwrap();
    let answer = rest(&mut refused).await;
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    assert!(answer.contains("hint: "), "{answer}");
    probe("bad-many").open();
    for answer in held {
        soon(http_body_util::BodyExt::collect(answer.into_body())).await.unwrap();
    }
    // Their places are free when the server has seen them close.
    soon(async {
        loop {
            let mut again = TcpStream::connect(addr).await.unwrap();
            let ask = b"GET /kit/about HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
            let _ = again.write_all(ask).await;
            if rest(&mut again).await.starts_with("HTTP/1.1 200 ") {
                break;
            }
        }
    })
    .await;
}
