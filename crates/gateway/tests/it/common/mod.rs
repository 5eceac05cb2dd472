// SPDX-License-Identifier: BSD-3-Clause
//! A gateway over real sockets, and clients for it.
// Each test file uses its own part of this.
#![allow(dead_code, unreachable_pub)]
// The lints' leave for tests does not reach their helpers.
#![allow(clippy::expect_used, clippy::panic)]

pub mod guard;
pub mod kit;

use std::net::SocketAddr;
use std::time::Duration;

use becket_gateway::{Config, Gateway, GatewayError};
use becket_host::Host;
use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

/// Longer than anything that works.
const PATIENCE: Duration = Duration::from_secs(60);

/// Fails the test instead of hanging it.
pub async fn soon<T>(future: impl Future<Output = T>) -> T {
    timeout(PATIENCE, future).await.expect("it to happen")
}

pub const BASE: &str = "\
listen = \"127.0.0.1:0\"
[admin]
listen = \"127.0.0.1:0\"
";

pub fn config(text: &str) -> Config {
    Config::parse(text, "test.toml").unwrap_or_else(|error| panic!("{}", error.render()))
}

/// A gateway with the kit under the name `kit`, and `more` after it in the configuration.
pub async fn gateway(more: &str) -> Gateway {
    start(&format!("{BASE}[plugins.kit]\nlinked = \"kit\"\n{more}")).await.expect("a gateway")
}

pub async fn start(text: &str) -> Result<Gateway, GatewayError> {
    start_on(text, Host::new()).await
}

pub async fn start_on(text: &str, host: Host) -> Result<Gateway, GatewayError> {
    let builder = Gateway::builder().link("kit", kit::PLUGIN).link("guard", guard::PLUGIN);
    builder.start(config(text), host).await
}

/// An answer, read whole.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Answer {
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("text")
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("text"))
    }
}

/// One request on a connection of its own.
pub async fn send(addr: SocketAddr, request: Request<Full<Bytes>>) -> Answer {
    let response = soon(open(addr, request)).await;
    let (parts, body) = response.into_parts();
    let body = soon(body.collect()).await.expect("a body").to_bytes();
    Answer { status: parts.status, headers: parts.headers, body }
}

/// The head of an answer; its body is still to be read.
pub async fn open(addr: SocketAddr, request: Request<Full<Bytes>>) -> hyper::Response<Incoming> {
    let socket = TcpStream::connect(addr).await.expect("a connection");
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(socket)).await.expect("HTTP");
    tokio::spawn(connection);
    sender.send_request(request).await.expect("an answer")
}

pub fn request(method: &str, path: &str, body: &[u8]) -> Request<Full<Bytes>> {
    Request::builder()
        .method(method)
        .uri(path)
        .header("host", "localhost")
        .body(Full::new(Bytes::copy_from_slice(body)))
        .expect("a request")
}

pub fn with(
    mut request: Request<Full<Bytes>>,
    name: &'static str,
    value: &str,
) -> Request<Full<Bytes>> {
    request.headers_mut().insert(name, value.parse().expect("a value"));
    request
}

pub async fn get(addr: SocketAddr, path: &str) -> Answer {
    send(addr, request("GET", path, b"")).await
}

pub async fn post(addr: SocketAddr, path: &str, body: &[u8]) -> Answer {
    send(addr, request("POST", path, body)).await
}

/// Sends bytes as they are and reads until the server closes.
pub async fn raw(addr: SocketAddr, bytes: &[u8]) -> String {
    let mut socket = TcpStream::connect(addr).await.expect("a connection");
    // The server may refuse before it has read everything.
    let _ = socket.write_all(bytes).await;
    rest(&mut socket).await
}

/// What comes until the server closes.
pub async fn rest(socket: &mut TcpStream) -> String {
    let mut all = Vec::new();
    let _ = soon(socket.read_to_end(&mut all)).await;
    String::from_utf8_lossy(&all).into_owned()
}

pub type Socket = WebSocketStream<TcpStream>;

/// A WebSocket to `path`, with `x-test` set.
pub async fn websocket(addr: SocketAddr, path: &str, test: &str) -> Socket {
    soon(try_websocket(addr, path, test)).await.expect("a WebSocket")
}

pub async fn try_websocket(
    addr: SocketAddr,
    path: &str,
    test: &str,
) -> Result<Socket, tokio_tungstenite::tungstenite::Error> {
    let socket = TcpStream::connect(addr).await.expect("a connection");
    let mut request = format!("ws://{addr}{path}").into_client_request().expect("a request");
    request.headers_mut().insert("x-test", test.parse().expect("a value"));
    tokio_tungstenite::client_async(request, socket).await.map(|(socket, _)| socket)
}

/// The value of a metric's line, found by its beginning.
pub async fn metric(gateway: &Gateway, line: &str) -> Option<f64> {
    let admin = gateway.admin_addr().expect("an admin listener");
    let text = get(admin, "/metrics").await;
    let found = text.text().lines().find_map(|found| found.strip_prefix(line))?.trim().to_owned();
    found.parse().ok()
}

/// Waits until no call holds a body: one may release it after its answer.
pub async fn until_no_body_is_held(gateway: &Gateway) {
    soon(async {
        while metric(gateway, "becket_http_bodies_held_bytes").await != Some(0.0) {
            tokio::task::yield_now().await;
        }
    })
    .await;
}
