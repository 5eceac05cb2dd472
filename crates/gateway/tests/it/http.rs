// SPDX-License-Identifier: BSD-3-Clause
//! Unary calls and streams: what goes in, what comes out, and with which status.

use crate::common::{config, gateway, get, post, request, send, soon, start, with};
use becket_gateway::{Gateway, GatewayError};
use http::StatusCode;
use http_body_util::BodyExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::common;

const ROUTES: &str = r#"
[[routes]]
path = "/v1/echo"
methods = ["POST"]
plugin = "kit"
entry = "echo"
content_type = "application/json"

[[routes]]
path = "/v1/echo"
methods = ["GET"]
plugin = "kit"
entry = "about"

[[routes]]
prefix = "/v1"
plugin = "kit"
entry = "about"

[[routes]]
path = "/slow"
plugin = "kit"
entry = "gated"
timeout_ms = 20
"#;

#[tokio::test]
async fn a_body_of_any_length_comes_back_as_it_went() {
    let gateway = gateway("").await;
    for len in [0, 1, 64, 65, 4096, 1 << 20] {
        let body: Vec<u8> = (0..len).map(|at| (at % 251) as u8).collect();
        let answer = post(gateway.addr(), "/kit/echo", &body).await;
        assert_eq!(answer.status, StatusCode::OK);
        assert_eq!(answer.body, body, "{len} bytes");
        assert_eq!(answer.header("content-length"), len.to_string());
    }
}

#[tokio::test]
async fn an_answer_that_is_longer_than_the_host_takes_is_502() {
    let gateway = gateway("limits.payload_bytes_max = 16\n").await;
    assert_eq!(
        post(gateway.addr(), "/kit/echo", b"sixteen bytes ok").await.text(),
        "sixteen bytes ok"
    );
    let answer = get(gateway.addr(), "/kit/about?more-than-that").await;
    assert_eq!(answer.status, StatusCode::BAD_GATEWAY);
    assert!(answer.text().contains("TooLong"), "{answer:?}");
    assert!(answer.text().contains("payload_bytes_max"), "{answer:?}");
}

#[tokio::test]
async fn a_plugin_sees_method_path_query_and_headers() {
    let gateway = gateway(ROUTES).await;
    for (method, path, seen) in [
        ("GET", "/kit/about?a=b%20c&d", "GET /kit/about a=b%20c&d yes"),
        ("DELETE", "/v1/a/b", "DELETE /v1/a/b  yes"),
        ("BREW", "/v1", "BREW /v1  yes"),
    ] {
        let answer = send(gateway.addr(), with(request(method, path, b""), "x-test", "yes")).await;
        assert_eq!(answer.text(), seen);
    }
}

#[tokio::test]
async fn an_answers_type_is_the_routes_or_what_its_bytes_are() {
    let gateway = gateway(ROUTES).await;
    let addr = gateway.addr();
    for (path, body, media) in [
        ("/v1/echo", &b"{}"[..], "application/json"),
        ("/kit/echo", b"text", "text/plain; charset=utf-8"),
        ("/kit/echo", b"\xff", "application/octet-stream"),
    ] {
        assert_eq!(post(addr, path, body).await.header("content-type"), media);
    }
}

#[tokio::test]
async fn the_most_specific_path_decides_and_then_the_method() {
    let gateway = gateway(ROUTES).await;
    let addr = gateway.addr();
    assert_eq!(post(addr, "/v1/echo", b"x").await.text(), "x");
    assert_eq!(get(addr, "/v1/echo").await.text(), "GET /v1/echo  ");
    assert_eq!(get(addr, "/v1/echo/below").await.text(), "GET /v1/echo/below  ");
    assert_eq!(get(addr, "/v1x").await.status, StatusCode::NOT_FOUND);
    let refused = send(addr, request("PUT", "/v1/echo", b"")).await;
    assert_eq!(refused.status, StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(refused.header("allow"), "POST, GET");
}

#[tokio::test]
async fn every_status_of_a_plugin_has_its_code() {
    let gateway = gateway("").await;
    for (status, code) in [(0, 200), (1, 502), (2, 400), (3, 501), (5, 502), (6, 503), (99, 502)] {
        let answer = post(gateway.addr(), &format!("/kit/status?{status}"), b"").await;
        assert_eq!(answer.status.as_u16(), code, "status {status}: {answer:?}");
        if code != 200 {
            assert!(answer.text().starts_with("error: entry `status` "), "{answer:?}");
        }
        if code == 503 {
            assert_eq!(answer.header("retry-after"), "1");
        }
    }
}

#[tokio::test]
async fn what_a_plugin_says_about_its_failure_is_the_answer() {
    let gateway = gateway("").await;
    let answer = post(gateway.addr(), "/kit/status?2", b"name is missing").await;
    assert_eq!((answer.status, answer.text()), (StatusCode::BAD_REQUEST, "name is missing"));
    // What a panic says is the plugin's insides.
    let answer = post(gateway.addr(), "/kit/status?5", b"at line 7").await;
    assert_eq!(answer.status, StatusCode::BAD_GATEWAY);
    assert!(!answer.text().contains("line 7"));
    let answer = get(gateway.addr(), "/kit/panic").await;
    assert_eq!(answer.status, StatusCode::BAD_GATEWAY);
    assert!(!answer.text().contains("on purpose"));
}

#[tokio::test]
async fn a_deadline_is_504() {
    let gateway = gateway(ROUTES).await;
    let answer = send(gateway.addr(), with(request("GET", "/slow", b""), "x-test", "http-slow"));
    let answer = answer.await;
    assert_eq!(answer.status, StatusCode::GATEWAY_TIMEOUT);
    assert!(answer.text().contains("hint: raise `deadline_ms`"), "{answer:?}");
    // The plugin was notified.
    common::kit::Probe::saw(&common::kit::probe("http-slow").left).await;
}

#[tokio::test]
async fn a_used_up_quota_is_503() {
    let gateway = gateway("limits.pending_max = 1\n").await;
    let addr = gateway.addr();
    let probe = common::kit::probe("http-quota");
    let held =
        tokio::spawn(send(addr, with(request("GET", "/kit/gated", b""), "x-test", "http-quota")));
    common::kit::Probe::saw(&probe.entered).await;
    let answer = send(addr, with(request("GET", "/kit/gated", b""), "x-test", "http-quota")).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(answer.header("retry-after"), "1");
    assert!(answer.text().contains("pending_max"), "{answer:?}");
    probe.open();
    assert_eq!(held.await.unwrap().text(), "through");
}

#[tokio::test]
async fn an_error_is_json_for_who_asks() {
    let gateway = gateway("").await;
    let asked = with(request("GET", "/kit/ecko", b""), "accept", "application/json");
    let answer = send(gateway.addr(), asked).await;
    assert_eq!(answer.status, StatusCode::NOT_FOUND);
    assert_eq!(answer.header("content-type"), "application/json");
    let json: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(json["status"], 404);
    assert_eq!(json["hint"], "try /kit/echo");
}

#[tokio::test]
async fn hints_can_be_turned_off() {
    let gateway = start(
        "listen = \"127.0.0.1:0\"\nerror_hints = false\nadmin.enabled = false\n[plugins.kit]\n\
         linked = \"kit\"\n",
    )
    .await
    .unwrap();
    let answer = get(gateway.addr(), "/kit/ecko").await;
    assert_eq!(answer.text(), "error: no route has this path\n");
    assert_eq!(gateway.admin_addr(), None);
}

#[tokio::test]
async fn frames_come_in_order_as_one_body() {
    let gateway = gateway("").await;
    let answer = post(gateway.addr(), "/kit/count?end", b"500").await;
    let expected: String = (0..500).map(|at| format!("frame {at}\n")).collect();
    assert_eq!(answer.text(), expected + "end");
    assert_eq!(answer.header("transfer-encoding"), "chunked");
}

#[tokio::test]
async fn frames_come_as_events_for_who_asks() {
    let gateway = gateway("").await;
    let events = |path, body| with(request("POST", path, body), "accept", "text/event-stream");
    let answer = send(gateway.addr(), events("/kit/count", b"2")).await;
    assert_eq!(answer.header("content-type"), "text/event-stream");
    assert_eq!(
        answer.text(),
        "data: frame 0\ndata: \n\ndata: frame 1\ndata: \n\nevent: end\ndata: \n\n"
    );
    let answer = send(gateway.addr(), events("/kit/binary", b"")).await;
    assert_eq!(answer.text(), "event: binary\ndata: /wA=\n\nevent: end\ndata: \n\n");
    let answer = send(gateway.addr(), events("/kit/fail_late", b"")).await;
    assert!(answer.text().starts_with("data: one\n\nevent: error\ndata: {"), "{answer:?}");
    assert!(!answer.text().contains("secret insides"));
}

#[tokio::test]
async fn a_stream_that_fails_before_its_first_frame_has_a_status() {
    let gateway = gateway("").await;
    let answer = post(gateway.addr(), "/kit/fail_first", b"").await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn a_stream_that_fails_later_is_cut_off() {
    let gateway = gateway("").await;
    let response = common::open(gateway.addr(), request("POST", "/kit/fail_late", b"")).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert!(soon(response.into_body().collect()).await.is_err(), "an incomplete body");
}

#[tokio::test]
async fn frames_are_sent_when_they_come() {
    let gateway = gateway("").await;
    let probe = common::kit::probe("http-trickle");
    let asked = with(request("GET", "/kit/trickle", b""), "x-test", "http-trickle");
    let mut body = common::open(gateway.addr(), asked).await.into_body();
    let first = soon(body.frame()).await.unwrap().unwrap().into_data().unwrap();
    assert_eq!(first, "first");
    probe.open();
    assert_eq!(soon(body.collect()).await.unwrap().to_bytes(), "second");
}

#[tokio::test]
async fn http2_with_prior_knowledge_is_spoken() {
    let gateway = gateway("").await;
    let socket = tokio::net::TcpStream::connect(gateway.addr()).await.unwrap();
    let (mut sender, connection) = hyper::client::conn::http2::handshake(
        hyper_util::rt::TokioExecutor::new(),
        hyper_util::rt::TokioIo::new(socket),
    )
    .await
    .unwrap();
    tokio::spawn(connection);
    let mut asked = request("POST", "/kit/echo", b"over two");
    *asked.uri_mut() = format!("http://{}/kit/echo", gateway.addr()).parse().unwrap();
    asked.headers_mut().clear();
    let response = soon(sender.send_request(asked)).await.unwrap();
    assert_eq!(soon(response.into_body().collect()).await.unwrap().to_bytes(), "over two");
}

/// The protocol is known after as many bytes as it takes, however they arrive.
#[tokio::test]
async fn a_beginning_in_pieces_is_one_beginning() {
    let gateway = gateway("").await;
    let settings = b" * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    let mut two = in_pieces(&gateway, &[b"P", b"RI", settings]).await;
    // The server's settings, then its acknowledgement of the client's.
    for flags in [0, 1] {
        let mut head = [0; 9];
        soon(two.read_exact(&mut head)).await.unwrap();
        assert_eq!((head[3], head[4]), (4, flags), "{}", String::from_utf8_lossy(&head));
        let mut payload = vec![0; usize::from(u16::from_be_bytes([head[1], head[2]]))];
        soon(two.read_exact(&mut payload)).await.unwrap();
    }
    let rest =
        b" /kit/echo HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 2\r\n\r\nhi";
    let mut one = in_pieces(&gateway, &[b"P", b"OS", b"T", rest]).await;
    let answer = common::rest(&mut one).await;
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("\r\n\r\nhi"), "{answer}");
    let mut one = in_pieces(&gateway, &[b"PR", b"OPFIND", rest]).await;
    let answer = common::rest(&mut one).await;
    assert!(answer.starts_with("HTTP/1.1 ") && !answer.contains(" 400 "), "{answer}");
}

/// A connection on which each piece was sent after the gateway had seen the one before: it has
/// answered a request on another since, and all run on one thread.
async fn in_pieces(gateway: &Gateway, pieces: &[&[u8]]) -> tokio::net::TcpStream {
    let mut socket = tokio::net::TcpStream::connect(gateway.addr()).await.unwrap();
    socket.set_nodelay(true).unwrap();
    for piece in pieces {
        socket.write_all(piece).await.unwrap();
        get(gateway.addr(), "/kit/about").await;
    }
    socket
}

#[tokio::test]
async fn routes_are_listed_for_people() {
    let gateway = gateway(ROUTES).await;
    let routes = gateway.routes();
    assert_eq!(routes[0].path, "/v1/echo");
    assert_eq!(routes[2].path, "/v1*");
    let echo = routes.iter().find(|route| route.path == "/kit/echo").unwrap();
    assert!(echo.by_default);
    assert_eq!(echo.help, "the payload");
}

#[tokio::test]
async fn a_gateway_that_cannot_start_says_why() {
    let kit = "listen = \"127.0.0.1:0\"\nadmin.enabled = false\n[plugins.kit]\n";
    let error = |text: String| async move { start(&text).await.unwrap_err() };

    let missing = error(format!("{kit}linked = \"kid\"\n")).await;
    assert!(matches!(missing, GatewayError::NotLinked { .. }));
    assert_eq!(missing.hint().as_deref(), Some("did you mean `kit`?"));

    let missing = error(format!("{kit}path = \"/nonexistent/libkit.so\"\n")).await;
    assert!(matches!(missing, GatewayError::Load { .. }));
    assert!(missing.to_string().contains("/nonexistent/libkit.so"), "{missing}");
    assert!(missing.hint().is_some());

    let route = "[[routes]]\npath = \"/x\"\nplugin = \"kit\"\nentry = \"ecko\"\n";
    let missing = error(format!("{kit}linked = \"kit\"\n{route}")).await;
    assert_eq!(missing.hint().as_deref(), Some("did you mean `echo`?"));

    let gateway: Gateway = gateway("").await;
    let taken = format!("listen = \"{}\"\nadmin.enabled = false\n", gateway.addr());
    let taken = Gateway::start(config(&taken), becket_host::Host::new()).await.unwrap_err();
    assert!(matches!(taken, GatewayError::Bind { .. }));
    assert!(taken.hint().is_some());
}
