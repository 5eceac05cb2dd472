// SPDX-License-Identifier: BSD-3-Clause
//! Several listeners, of every kind, are one gateway.

// The lints' leave for tests does not reach their helpers.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use becket_gateway::config::ListenAt;
use becket_gateway::{Gateway, GatewayError, ListenSocket};
use becket_host::Host;
use bytes::Bytes;
use futures_util::StreamExt;
use http_body_util::Full;
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio_tungstenite::tungstenite::Message;

use crate::common::kit::{self, Probe, probe};
use crate::common::{config, get, metric, post, raw, soon, start, websocket};

/// A gateway with the kit that listens at `listen`, which is TOML.
async fn listening(listen: &str, more: &str) -> Gateway {
    start(&text(listen, more)).await.expect("a gateway")
}

fn text(listen: &str, more: &str) -> String {
    format!(
        "listen = {listen}\n[admin]\nlisten = \"127.0.0.1:0\"\n[plugins.kit]\nlinked = \"kit\"\n{more}"
    )
}

const ABOUT: &str = "GET /kit/about HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";

/// Sends bytes to a Unix socket as they are, and reads until the server closes.
async fn raw_unix(path: &Path, bytes: &str) -> String {
    let mut socket = UnixStream::connect(path).await.expect("a connection");
    socket.write_all(bytes.as_bytes()).await.unwrap();
    let mut all = String::new();
    soon(socket.read_to_string(&mut all)).await.unwrap();
    all
}

#[tokio::test]
async fn limits_figures_and_the_log_are_those_of_all_listeners() {
    let folder = tempfile::tempdir().unwrap();
    let (socket, log) = (folder.path().join("s"), folder.path().join("log"));
    let listen = format!(
        "[\"127.0.0.1:0\", {{ at = \"unix:{}\", mode = 0o640 }}, \"127.0.0.1:0\"]",
        socket.display()
    );
    let limits = "[limits]\nconnections_max = 3\nclient_connections_max = 1\nclient_requests_per_second_max = 1\n";
    let logged = format!("[access_log]\nformat = \"json\"\nfile = \"{}\"\n", log.display());
    let gateway = listening(&listen, &format!("{limits}{logged}")).await;
    assert_eq!(fs::metadata(&socket).unwrap().mode() & 0o777, 0o640);
    let at: Vec<_> = gateway.listeners().iter().map(|listener| listener.at.clone()).collect();
    let [ListenAt::Tcp(first), ListenAt::Unix(unix), ListenAt::Tcp(third)] = &*at else {
        panic!("{at:?}")
    };
    assert_eq!((unix, gateway.addr(), gateway.has_tls()), (&socket, *first, false));
    // One client has one connection, whichever listener it comes by, and a second request has to wait.
    let mut kept = TcpStream::connect(first).await.unwrap();
    kept.write_all(b"GET /kit/about HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    assert_eq!(soon(kept.read_u8()).await.unwrap(), b'H');
    assert!(raw(*third, b"").await.starts_with("HTTP/1.1 429 "));
    // A client at a Unix socket has no address, and no limits of its own.
    let mut held = Vec::new();
    for _ in 0..2 {
        let mut socket = UnixStream::connect(&socket).await.unwrap();
        socket.write_all(b"GET /kit/about HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
        assert_eq!(soon(socket.read_u8()).await.unwrap(), b'H');
        held.push(socket);
    }
    assert_eq!(metric(&gateway, "becket_http_connections").await, Some(3.0));
    let full = raw_unix(&socket, ABOUT).await;
    assert!(full.starts_with("HTTP/1.1 503 ") && full.contains("connections_max"), "{full}");
    drop((kept, held));
    soon(gateway.drain(Duration::from_secs(20))).await;
    let lines = fs::read_to_string(&log).unwrap();
    let clients: Vec<Value> = lines
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["client"].clone())
        .collect();
    assert_eq!(clients, ["127.0.0.1".into(), Value::Null, Value::Null]);
}

#[tokio::test]
async fn a_drain_answers_what_waits_at_a_unix_socket_and_removes_it() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("s");
    let gateway = Arc::new(listening(&format!("\"unix:{}\"", socket.display()), "").await);
    assert_eq!(gateway.addr().port(), 0);
    assert_eq!(fs::metadata(&socket).unwrap().mode() & 0o777, 0o600);
    let held = probe("unix-held");
    let asked = ABOUT.replace("about", "gated").replace("host", "x-test: unix-held\r\nhost");
    let path = socket.clone();
    let answer = tokio::spawn(async move { raw_unix(&path, &asked).await });
    Probe::saw(&held.entered).await;
    let draining = tokio::spawn({
        let gateway = Arc::clone(&gateway);
        async move { gateway.drain(Duration::from_secs(20)).await }
    });
    soon(async { while UnixStream::connect(&socket).await.is_ok() {} }).await;
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    held.open();
    assert!(answer.await.unwrap().ends_with("through"));
    let report = soon(draining).await.unwrap();
    assert_eq!((report.connections_cut, report.requests_cut), (0, 0));
}

#[tokio::test]
async fn a_socket_that_is_served_is_refused_and_nothing_is_left_of_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let (socket, other) = (folder.path().join("s"), folder.path().join("other"));
    let served = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let both = format!("[\"unix:{}\", \"unix:{}\"]", other.display(), socket.display());
    let error = start(&text(&both, "")).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("cannot listen on unix:{} for requests", socket.display())
    );
    assert_eq!(error.cause().unwrap(), "another process serves it");
    assert!(error.hint().unwrap().contains("another path"));
    assert!(!other.exists());
    drop(served);
    let gateway = start(&text(&both, "")).await.unwrap();
    assert!(raw_unix(&socket, ABOUT).await.starts_with("HTTP/1.1 200 "));
    drop(gateway);
}

/// What a service manager passes.
async fn passing(
    listen: &str,
    sockets: Vec<(&str, ListenSocket)>,
) -> Result<Gateway, GatewayError> {
    let builder = Gateway::builder().link("kit", kit::PLUGIN);
    let builder = sockets.into_iter().fold(builder, |builder, (name, it)| builder.passed(name, it));
    builder.start(config(&text(listen, "")), Host::new()).await
}

#[tokio::test]
async fn passed_sockets_belong_to_the_listeners_that_name_them() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s");
    let tcp = || ListenSocket::Tcp(std::net::TcpListener::bind("127.0.0.1:0").unwrap());
    let unix = ListenSocket::Unix(std::os::unix::net::UnixListener::bind(&path).unwrap());
    let unnamed = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let unnamed_addr = unnamed.local_addr().unwrap();
    let passed = vec![("web", tcp()), ("x", ListenSocket::Tcp(unnamed)), ("web", unix)];
    let gateway = passing("[\"systemd\", \"systemd:web\"]", passed).await.unwrap();
    let at: Vec<_> = gateway.listeners().iter().map(|listener| listener.at.clone()).collect();
    // In the order of the configuration; the first takes what no other names.
    assert_eq!((&at[0], gateway.addr()), (&ListenAt::Tcp(unnamed_addr), unnamed_addr));
    let [_, ListenAt::Tcp(web), ListenAt::Unix(unix)] = &*at else { panic!("{at:?}") };
    assert_eq!(*unix, path);
    assert!(raw_unix(&path, ABOUT).await.starts_with("HTTP/1.1 200 "));
    for addr in [*web, unnamed_addr] {
        assert_eq!(get(addr, "/kit/about").await.status, 200);
    }
    // The file belongs to the process that has made it.
    soon(gateway.drain(Duration::ZERO)).await;
    assert!(path.exists());

    let error = passing("\"systemd:web\"", vec![("api", tcp())]).await.unwrap_err();
    assert_eq!(error.to_string(), "cannot listen on systemd:web for requests");
    assert_eq!(error.cause().unwrap(), "the sockets that were passed are named api");
    let error = passing("\"systemd\"", vec![]).await.unwrap_err();
    assert!(error.cause().unwrap().contains("LISTEN_FDS") && error.hint().is_some());
}

#[tokio::test]
async fn other_listeners_are_of_the_next_start() {
    let gateway = listening("\"127.0.0.1:0\"", "").await;
    let next = config(&text("[\"127.0.0.1:0\", \"127.0.0.1:0\"]", ""));
    assert_eq!(gateway.reload(next).await.unwrap().needs_restart, ["listen"]);
    assert_eq!(gateway.listeners().len(), 1);
    assert_eq!(post(gateway.addr(), "/kit/echo", b"still").await.text(), "still");
}

#[tokio::test]
async fn a_taken_address_ends_the_start_of_all() {
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let listen = format!("[\"127.0.0.1:0\", \"{}\"]", taken.local_addr().unwrap());
    let error = start(&text(&listen, "")).await.unwrap_err();
    assert!(matches!(error, GatewayError::Bind { .. }), "{error}");
}

/// A connection that asks once more at the test's word, and whether the server keeps it then.
async fn ask(socket: &mut TcpStream) -> bool {
    socket.write_all(b"GET /kit/about HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    while !answer.contains("\r\n\r\n") || !answer.contains(" /kit/about") {
        let mut piece = [0; 4096];
        let count = soon(socket.read(&mut piece)).await.unwrap();
        assert!(count > 0, "no answer: {answer}");
        answer.push_str(std::str::from_utf8(&piece[..count]).unwrap());
    }
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    !answer.contains("connection: close")
}

async fn connection2(addr: std::net::SocketAddr) -> SendRequest<Full<Bytes>> {
    let io = TokioIo::new(TcpStream::connect(addr).await.unwrap());
    let (sender, connection) = http2::handshake(TokioExecutor::new(), io).await.unwrap();
    tokio::spawn(connection);
    sender
}

#[tokio::test]
async fn a_gateway_takes_over_and_kept_connections_are_answered_once_more() {
    let folder = tempfile::tempdir().unwrap();
    let (socket, gone) = (folder.path().join("s"), folder.path().join("gone"));
    let unix = |path: &Path| format!("\"unix:{}\"", path.display());
    let kept_listeners = format!("\"127.0.0.1:0\", {}", unix(&socket));
    let first = listening(&format!("[{kept_listeners}, {}]", unix(&gone)), "").await;
    let (addr, admin) = (first.addr(), first.admin_addr().unwrap());
    let mut kept = TcpStream::connect(addr).await.unwrap();
    assert!(ask(&mut kept).await);
    let mut kept2 = connection2(addr).await;
    let asked2 = || {
        let uri = format!("http://{addr}/kit/about");
        http::Request::get(uri).body(Full::<Bytes>::default()).unwrap()
    };
    assert_eq!(soon(kept2.send_request(asked2())).await.unwrap().status(), 200);
    let mut silent = TcpStream::connect(addr).await.unwrap();
    let mut chat = websocket(addr, "/kit/chat", "").await;
    // Accepted before what follows, as one that came later is.
    assert_eq!(get(addr, "/kit/about").await.status, 200);

    let to_next = |sockets: Vec<(String, std::os::fd::OwnedFd)>| {
        sockets.into_iter().map(|(name, socket)| (name, ListenSocket::try_from(socket).unwrap()))
    };
    let next = Gateway::builder().link("kit", kit::PLUGIN);
    // One that fails takes nothing along.
    let failing = Gateway::builder().inherit(to_next(first.sockets().unwrap()).collect());
    assert!(
        failing
            .start(config(&text(&format!("[{kept_listeners}]"), "")), Host::new())
            .await
            .is_err()
    );
    assert!(socket.exists());
    let next = next.inherit(to_next(first.sockets().unwrap()).collect());
    let mode = kept_listeners
        .replace(&unix(&socket), &format!("{{ at = {}, mode = 0o666 }}", unix(&socket)));
    let next = next.start(config(&text(&format!("[{mode}]"), "")), Host::new()).await.unwrap();
    assert_eq!((next.addr(), next.admin_addr().unwrap()), (addr, admin));
    let names: Vec<_> = next.sockets().unwrap().into_iter().map(|(name, _)| name).collect();
    assert_eq!(
        names,
        [
            "127.0.0.1:0".to_owned(),
            format!("unix:{}", socket.display()),
            "admin 127.0.0.1:0".to_owned()
        ]
    );
    first.hand_over(&names);
    assert!(matches!(soon(chat.next()).await, Some(Ok(Message::Close(Some(_))))));
    // Until the next one opens, connections wait.
    let waiting = tokio::spawn(get(addr, "/kit/about"));
    let admin_waiting = tokio::spawn(get(admin, "/readyz"));
    while ask(&mut kept).await {}
    // HTTP/2 refuses what it does not take, before it is sent.
    soon(kept2.ready()).await.unwrap_err();
    // A connection without a request is not cut.
    assert!(!ask(&mut silent).await);
    soon(async {
        while gone.exists() {
            get_unix_fails(&gone).await
        }
    })
    .await;
    assert!(!waiting.is_finished() && socket.exists());
    next.open();
    assert_eq!(waiting.await.unwrap().status, 200);
    assert_eq!(admin_waiting.await.unwrap().status, 200);
    assert_eq!(fs::metadata(&socket).unwrap().mode() & 0o777, 0o666);
    let report = soon(first.drain(Duration::from_secs(20))).await;
    assert_eq!((report.connections_cut, report.requests_cut), (0, 0));
    drop(first);
    assert!(raw_unix(&socket, ABOUT).await.starts_with("HTTP/1.1 200 "));
    soon(next.drain(Duration::from_secs(20))).await;
    assert!(!socket.exists());
}

/// A listener that is gone is closed in its own time.
async fn get_unix_fails(path: &Path) {
    let _ = UnixStream::connect(path).await;
    tokio::task::yield_now().await;
}
