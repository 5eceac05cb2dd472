// SPDX-License-Identifier: BSD-3-Clause
//! Requests that are passed on to another server, with and without filters.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use becket_gateway::Gateway;
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use crate::common::{
    BASE, get, metric, open, post, raw, request, rest, send, soon, start, until_no_body_is_held,
    with,
};

/// A server that answers what it was asked, and counts its connections.
struct Server {
    addr: SocketAddr,
    connections: Arc<AtomicUsize>,
}

async fn server() -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let connections = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&connections);
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            counted.fetch_add(1, Ordering::SeqCst);
            let service = hyper::service::service_fn(dump);
            let server = hyper::server::conn::http1::Builder::new();
            tokio::spawn(server.serve_connection(TokioIo::new(socket), service));
        }
    });
    Server { addr, connections }
}

async fn dump(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, hyper::Error> {
    let (head, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    let mut lines: Vec<_> = head
        .headers
        .iter()
        .map(|(name, value)| format!("{name}={}", value.to_str().unwrap()))
        .collect();
    lines.sort();
    let text = format!("{} {} [{}] {} bytes", head.method, head.uri, lines.join(" "), body.len());
    let response = Response::builder()
        .status(if head.uri.path() == "/missing" { 404 } else { 200 })
        .header("x-server", "yes")
        .header("connection", "x-hop")
        .header("x-hop", "gone");
    let text = if head.uri.path() == "/echo" { body } else { Bytes::from(text) };
    Ok(response.body(Full::new(text)).unwrap())
}

/// A server of one connection, which writes these bytes when the head of a request has come. It returns what came.
pub(crate) async fn scripted(answer: &'static [u8]) -> (SocketAddr, mpsc::Receiver<TcpStream>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let (sender, receiver) = mpsc::channel(16);
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(socket.read_u8().await.unwrap());
            }
            socket.write_all(answer).await.unwrap();
            let _ = sender.send(socket).await;
        }
    });
    (addr, receiver)
}

/// An address at which nothing listens.
async fn closed_port() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
}

pub(crate) async fn gateway(route: &str, limits: &str) -> Gateway {
    start(&format!(
        "{BASE}[limits]\n{limits}\n[plugins.kit]\nlinked = \"kit\"\n[plugins.guard]\nlinked = \
         \"guard\"\n[[routes]]\nprefix = \"/\"\n{route}\n"
    ))
    .await
    .unwrap()
}

pub(crate) async fn before(server: SocketAddr) -> Gateway {
    gateway(&format!("upstream = \"http://{server}\""), "").await
}

#[tokio::test]
async fn a_request_is_passed_on_and_so_is_its_answer() {
    let server = server().await;
    let gateway = before(server.addr).await;
    let mut asked = request("PUT", "/a/b%20c?d=%2e", b"body");
    for (name, value) in [
        ("x-own", "1"),
        ("x-own", "2"),
        ("connection", "x-hop"),
        ("x-hop", "1"),
        ("te", "trailers"),
        ("x-forwarded-for", "forged"),
        ("x-forwarded-user", "forged"),
        ("forwarded", "for=forged"),
        ("cookie", "a=1"),
        ("cookie", "b=2"),
    ] {
        asked.headers_mut().append(name, value.parse().unwrap());
    }
    let answer = send(gateway.addr(), asked).await;
    let wanted = format!(
        "PUT /a/b%20c?d=%2e [content-length=4 cookie=a=1; b=2 host={} x-forwarded-for=127.0.0.1 \
         x-forwarded-host=localhost x-forwarded-proto=http x-own=1 x-own=2] 4 bytes",
        server.addr
    );
    assert_eq!((answer.status, answer.text()), (StatusCode::OK, wanted.as_str()));
    assert_eq!((answer.header("x-server"), answer.header("x-hop")), ("yes", ""));
    assert_eq!(get(gateway.addr(), "/missing").await.status, StatusCode::NOT_FOUND);

    let head = send(gateway.addr(), request("HEAD", "/", b"")).await;
    assert!(head.body.is_empty() && head.header("content-length").parse::<u64>().unwrap() > 50);
    for (name, count) in [("requests_total", 2.0), ("request_body_bytes_total", 4.0)] {
        let code = if name == "requests_total" { ",code=\"200\"" } else { "" };
        let line = format!("becket_http_{name}{{plugin=\"(upstream)\",entry=\"/*\"{code}}}");
        assert_eq!(metric(&gateway, &line).await, Some(count), "{name}");
    }
    assert_eq!(gateway.routes()[0].upstream, [format!("http://{}", server.addr)]);
}

#[tokio::test]
async fn connections_are_used_again() {
    let server = server().await;
    let gateway = before(server.addr).await;
    for _ in 0..5 {
        assert_eq!(get(gateway.addr(), "/").await.status, StatusCode::OK);
    }
    assert_eq!(server.connections.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn http2_is_passed_on_as_http1() {
    let server = server().await;
    let gateway = before(server.addr).await;
    let socket = TcpStream::connect(gateway.addr()).await.unwrap();
    let handshake =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(socket));
    let (mut sender, connection) = handshake.await.unwrap();
    tokio::spawn(connection);
    let asked = Request::post("http://a.test/echo").body(Full::new(Bytes::from("body"))).unwrap();
    let answer = soon(sender.send_request(asked)).await.unwrap();
    assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), "body");
    let asked = Request::get("http://a.test/x").body(Full::default()).unwrap();
    let answer = soon(sender.send_request(asked)).await.unwrap();
    let text = answer.into_body().collect().await.unwrap().to_bytes();
    let text = std::str::from_utf8(&text).unwrap();
    assert!(text.contains(" x-forwarded-host=a.test "), "{text}");
    assert!(text.contains(&format!("[host={} ", server.addr)), "{text}");
}

#[tokio::test]
async fn a_long_body_passes_both_ways() {
    let server = server().await;
    let gateway = before(server.addr).await;
    let body = vec![b'x'; 5 << 20];
    assert!(post(gateway.addr(), "/echo", &body).await.body == body);
    assert_eq!(metric(&gateway, "becket_http_bodies_held_bytes").await, Some(0.0));
    let bytes = "becket_http_response_body_bytes_total{plugin=\"(upstream)\",entry=\"/*\"}";
    assert_eq!(metric(&gateway, bytes).await, Some((5 << 20) as f64));
}

#[tokio::test]
async fn pieces_pass_as_they_come_in_both_directions() {
    let (server, mut sockets) = scripted(b"").await;
    let gateway = before(server).await;
    let (sender, receiver) = mpsc::unbounded_channel::<Bytes>();
    let pieces = futures_util::stream::unfold(receiver, |mut receiver| async move {
        let piece = receiver.recv().await?;
        Some((Ok::<_, std::convert::Infallible>(Frame::data(piece)), receiver))
    });
    let socket = TcpStream::connect(gateway.addr()).await.unwrap();
    let (mut client, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(socket)).await.unwrap();
    tokio::spawn(connection);
    let asked = Request::builder().method(Method::POST).uri("/").header("host", "x");
    let answer = tokio::spawn(client.send_request(asked.body(StreamBody::new(pieces)).unwrap()));
    sender.send(Bytes::from("one")).unwrap();
    let mut server = soon(sockets.recv()).await.unwrap();
    let mut came = [0; 8];
    soon(server.read_exact(&mut came)).await.unwrap();
    assert_eq!(&came, b"3\r\none\r\n");
    sender.send(Bytes::from("two")).unwrap();
    soon(server.read_exact(&mut came)).await.unwrap();
    assert_eq!(&came, b"3\r\ntwo\r\n");
    drop(sender);
    server
        .write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n")
        .await
        .unwrap();
    let mut answer = soon(answer).await.unwrap().unwrap();
    assert_eq!(soon(answer.frame()).await.unwrap().unwrap().into_data().unwrap(), "abc");
    server.write_all(b"2\r\nde\r\n0\r\n\r\n").await.unwrap();
    assert_eq!(soon(answer.frame()).await.unwrap().unwrap().into_data().unwrap(), "de");
    assert!(soon(answer.frame()).await.is_none());
}

#[tokio::test]
async fn a_server_that_is_not_there_is_502() {
    let gateway = before(closed_port().await).await;
    let answer = get(gateway.addr(), "/").await;
    assert_eq!(answer.status, StatusCode::BAD_GATEWAY);
    let text = answer.text();
    assert!(text.starts_with("error: the upstream server did not answer\ncause: "), "{text}");
    assert!(text.contains("refused") && !text.contains("127.0.0.1"), "{text}");
}

#[tokio::test]
async fn another_server_takes_what_one_refuses_and_they_take_turns() {
    let (one, two) = (server().await, server().await);
    let urls = format!(
        "[\"http://{}\", \"http://{}\", \"http://{}\"]",
        one.addr,
        closed_port().await,
        two.addr
    );
    let gateway = gateway(&format!("upstream = {urls}"), "").await;
    for _ in 0..6 {
        let answer = post(gateway.addr(), "/echo", b"whole").await;
        assert_eq!((answer.status, answer.text()), (StatusCode::OK, "whole"));
    }
    // Each was asked, so each has a connection.
    assert_eq!(one.connections.load(Ordering::SeqCst), 1);
    assert_eq!(two.connections.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_server_that_does_not_answer_in_time_is_504() {
    let (server, mut sockets) = scripted(b"").await;
    let gateway = gateway(&format!("upstream = \"http://{server}\"\ntimeout_ms = 50"), "").await;
    let answer = get(gateway.addr(), "/").await;
    assert_eq!(answer.status, StatusCode::GATEWAY_TIMEOUT);
    assert!(answer.text().contains("within 50 ms"), "{}", answer.text());
    // Its connection is given up.
    let mut socket = soon(sockets.recv()).await.unwrap();
    assert_eq!(soon(socket.read(&mut [0; 1])).await.unwrap(), 0);
}

#[tokio::test]
async fn what_is_no_answer_is_502() {
    for nonsense in [
        &b"220 smtp ready\r\n\r\n"[..],
        b"HTTP/1.1 101 Switching\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n",
    ] {
        let (server, _sockets) = scripted(nonsense).await;
        let gateway = before(server).await;
        assert_eq!(get(gateway.addr(), "/").await.status, StatusCode::BAD_GATEWAY);
    }
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_cut_for_the_client_too() {
    let (server, mut sockets) =
        scripted(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf").await;
    let gateway = before(server).await;
    let mut answer = soon(open(gateway.addr(), request("GET", "/", b""))).await;
    assert_eq!(answer.frame().await.unwrap().unwrap().into_data().unwrap(), "half");
    drop(sockets.recv().await);
    assert!(soon(answer.frame()).await.unwrap().is_err());
}

#[tokio::test]
async fn a_server_that_pauses_for_too_long_is_cut() {
    let (server, _sockets) =
        scripted(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n").await;
    let route = format!("upstream = {{ urls = \"http://{server}\", idle_timeout_ms = 50 }}");
    let gateway = gateway(&route, "").await;
    let mut answer = soon(open(gateway.addr(), request("GET", "/", b""))).await;
    assert_eq!(answer.frame().await.unwrap().unwrap().into_data().unwrap(), "half");
    assert!(soon(answer.frame()).await.unwrap().is_err());
}

#[tokio::test]
async fn the_server_sees_when_the_client_leaves() {
    let (server, mut sockets) = scripted(b"").await;
    let gateway = before(server).await;
    let mut socket = TcpStream::connect(gateway.addr()).await.unwrap();
    socket.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let mut seen = soon(sockets.recv()).await.unwrap();
    drop(socket);
    assert_eq!(soon(seen.read(&mut [0; 1])).await.unwrap(), 0);
}

#[tokio::test]
async fn a_client_that_does_not_read_holds_the_server_back() {
    let (server, mut sockets) =
        scripted(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").await;
    let route = format!("upstream = \"http://{server}\"");
    let gateway = gateway(&route, "write_stall_timeout_ms = 1000").await;
    let mut client = TcpStream::connect(gateway.addr()).await.unwrap();
    client.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let mut server = soon(sockets.recv()).await.unwrap();
    let chunk = [b"10000\r\n".as_slice(), &[b'x'; 0x10000], b"\r\n"].concat();
    // Until the client is cut off, as much is taken as fits into the buffers of the sockets.
    let mut sent = 0_usize;
    while soon(server.write_all(&chunk)).await.is_ok() {
        sent += chunk.len();
    }
    assert!(sent < 64 << 20, "{sent} bytes were taken for a client that reads nothing");
}

#[tokio::test]
async fn the_limits_of_bodies_hold() {
    let server = server().await;
    let route = format!("upstream = \"http://{}\"", server.addr);
    let gateway = gateway(&route, "body_bytes_max = 10\nbody_idle_timeout_ms = 50").await;
    assert_eq!(post(gateway.addr(), "/echo", b"0123456789").await.text(), "0123456789");
    let long = post(gateway.addr(), "/echo", b"0123456789x").await;
    assert_eq!(long.status, StatusCode::PAYLOAD_TOO_LARGE);
    let head =
        "POST /echo HTTP/1.1\r\nhost: x\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n";
    for (body, status) in
        [("8\r\n01234567\r\n8\r\n01234567\r\n0\r\n\r\n", 413), ("8\r\n01234567\r\nx\r\n", 400)]
    {
        let answer = raw(gateway.addr(), format!("{head}{body}").as_bytes()).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{status}: {answer}");
    }
    let mut slow = TcpStream::connect(gateway.addr()).await.unwrap();
    slow.write_all(format!("{head}8\r\n0123").as_bytes()).await.unwrap();
    assert!(soon(rest(&mut slow)).await.starts_with("HTTP/1.1 408 "));
    for (cause, count) in [("body_too_large", 2.0), ("body_timeout", 1.0), ("malformed", 1.0)] {
        let line = format!("becket_http_refused_total{{cause=\"{cause}\"}}");
        assert_eq!(metric(&gateway, &line).await, Some(count), "{cause}");
    }
}

#[tokio::test]
async fn a_path_with_dots_is_not_passed_on() {
    let server = server().await;
    let gateway = before(server.addr).await;
    for path in ["/a/../b", "/a/%2e%2E/b", "/a/..%2Fb", "/."] {
        let text = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        assert!(raw(gateway.addr(), text.as_bytes()).await.starts_with("HTTP/1.1 400 "), "{path}");
    }
    assert_eq!(server.connections.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_filter_stands_before_a_server() {
    let server = server().await;
    let route = format!("upstream = \"http://{}\"\nfilters = [\"guard.say\"]", server.addr);
    let gateway = gateway(&route, "").await;
    let asked = |say: &str| with(request("POST", "/x", b"body"), "x-say", say);
    let refused = send(gateway.addr(), asked("respond 401||no")).await;
    assert_eq!((refused.status, refused.text()), (StatusCode::UNAUTHORIZED, "no"));
    let failed = send(gateway.addr(), asked("nonsense")).await;
    assert_eq!(failed.status, StatusCode::BAD_GATEWAY);
    assert_eq!(server.connections.load(Ordering::SeqCst), 0);

    // Of these headers the gateway's own three are its own; a filter may set others, and a client none.
    let say =
        "continue|set x-forwarded-user: alice|path /in?q|remove x-say|set x-forwarded-for: forged";
    let forging = with(asked(say), "x-forwarded-groups", "forged");
    let answer = send(gateway.addr(), forging).await;
    let wanted = format!(
        "POST /in?q [content-length=4 host={} x-forwarded-for=127.0.0.1 \
         x-forwarded-host=localhost x-forwarded-proto=http x-forwarded-user=alice] 4 bytes",
        server.addr
    );
    assert_eq!(answer.text(), wanted);
    let later =
        with(request("POST", "/echo", b"body"), "x-later", "continue/remove x-server/add x-a: b");
    let answer = send(gateway.addr(), later).await;
    assert_eq!((answer.header("x-server"), answer.header("x-a"), answer.text()), ("", "b", "body"));
}

#[tokio::test]
async fn a_client_cannot_remove_what_a_filter_has_set() {
    let server = server().await;
    let route = format!("upstream = \"http://{}\"\nfilters = [\"guard.say\"]", server.addr);
    let gateway = gateway(&route, "").await;
    let mut asked = with(request("GET", "/", b""), "x-say", "continue|set x-user: alice");
    for (name, value) in [("connection", "x-user, x-hop"), ("x-user", "forged"), ("x-hop", "1")] {
        asked.headers_mut().append(name, value.parse().unwrap());
    }
    let answer = send(gateway.addr(), asked).await;
    assert!(answer.text().contains(" x-user=alice]"), "{}", answer.text());
    assert!(!answer.text().contains("x-hop"), "{}", answer.text());
}

#[tokio::test]
async fn a_filter_may_read_both_bodies() {
    let server = server().await;
    let filters = "[{ name = \"guard.outer\", request_body = true, response_body = true }]";
    let route = format!("upstream = \"http://{}\"\nfilters = {filters}", server.addr);
    let gateway = gateway(&route, "").await;
    let body = vec![b'y'; 1 << 20];
    let answer = post(gateway.addr(), "/echo", &body).await;
    assert!(answer.body == body);
    assert_eq!(answer.header("x-order"), "outer with outer's");
    until_no_body_is_held(&gateway).await;
}
