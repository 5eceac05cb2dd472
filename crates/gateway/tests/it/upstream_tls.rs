// SPDX-License-Identifier: BSD-3-Clause
//! TLS to upstream servers, which are gateways too.

use std::fs;
use std::net::SocketAddr;

use becket_gateway::Gateway;
use becket_host::Host;
use futures_util::{SinkExt, StreamExt};
use http::StatusCode;
use tokio::net::TcpListener;
use tokio_tungstenite::tungstenite::Message;

use crate::common::{BASE, config, kit, metric, post, soon, start, websocket};
use crate::tls::world::World;

/// A server with the certificate `it`, for these names; `lines`: of its [tls].
async fn server(world: &World, dns: &[&str], lines: &str) -> Gateway {
    world.certificate("it", dns);
    let (certificate, key) = (world.file("it.pem"), world.file("it.key"));
    let text = format!(
        "{BASE}[plugins.kit]\nlinked = \"kit\"\n[tls]\ncertificate = \"{certificate}\"\nkey = \
         \"{key}\"\n{lines}"
    );
    let gateway = Gateway::builder().link("kit", kit::PLUGIN).start(config(&text), Host::new());
    gateway.await.unwrap()
}

/// A gateway before it, with these keys in the table of the route.
async fn before(port: u16, keys: &str) -> Gateway {
    let upstream = format!("{{ urls = \"https://localhost:{port}\", {keys} }}");
    start(&format!("{BASE}[[routes]]\nprefix = \"/\"\nupstream = {upstream}\n")).await.unwrap()
}

async fn status(gateway: &Gateway) -> StatusCode {
    post(gateway.addr(), "/kit/echo", b"x").await.status
}

/// A server that accepts connections and says nothing.
async fn silent() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let mut held = Vec::new();
        while let Ok((socket, _)) = listener.accept().await {
            held.push(socket);
        }
    });
    addr
}

#[tokio::test]
async fn a_server_shows_a_certificate_of_the_authority() {
    let (world, other) = (World::new(), World::new());
    let server = server(&world, &["localhost"], "").await;
    let port = server.addr().port();
    let gateway = before(port, &format!("tls = {{ ca = \"{}\" }}", world.file("ca.pem"))).await;
    let body: Vec<u8> = (0..300_000).map(|at| (at % 251) as u8).collect();
    let answer = post(gateway.addr(), "/kit/echo", &body).await;
    assert_eq!((answer.status, &answer.body[..]), (StatusCode::OK, &body[..]));

    let wary = before(port, &format!("tls = {{ ca = \"{}\" }}", other.file("ca.pem"))).await;
    let answer = post(wary.addr(), "/kit/echo", b"x").await;
    assert_eq!(answer.status, StatusCode::BAD_GATEWAY);
    assert!(answer.text().contains("hint: see whether `ca` in `tls`"), "{}", answer.text());
    // One that speaks none is no server of that kind either.
    let plain = start(&format!("{BASE}[plugins.kit]\nlinked = \"kit\"\n")).await.unwrap();
    let keys = format!("tls = {{ ca = \"{}\" }}", world.file("ca.pem"));
    let gateway = before(plain.addr().port(), &keys).await;
    let answer = post(gateway.addr(), "/kit/echo", b"x").await;
    assert_eq!(answer.status, StatusCode::BAD_GATEWAY);
    assert!(answer.text().contains("hint: see whether the server speaks TLS"), "{}", answer.text());
    // Its own certificate is that of an authority.
    fs::copy(world.path().join("ca.pem"), world.path().join("self.pem")).unwrap();
    let (certificate, key) = (world.file("self.pem"), world.file("ca.key"));
    let text = format!("{BASE}[tls]\ncertificate = \"{certificate}\"\nkey = \"{key}\"\n");
    let own = start(&text).await.unwrap();
    let gateway = before(own.addr().port(), &keys).await;
    let answer = post(gateway.addr(), "/", b"").await;
    assert!(answer.text().contains("needs `basicConstraints=CA:FALSE`"), "{}", answer.text());
}

#[tokio::test]
async fn the_name_in_the_certificate_is_that_of_the_url_or_the_one_set() {
    let world = World::new();
    let server = server(&world, &["inner.example"], "").await;
    let (port, ca) = (server.addr().port(), world.file("ca.pem"));
    let gateway = before(port, &format!("tls = {{ ca = \"{ca}\" }}")).await;
    let answer = post(gateway.addr(), "/kit/echo", b"x").await;
    assert_eq!(answer.status, StatusCode::BAD_GATEWAY);
    assert!(answer.text().contains("hint: set `server_name` in `tls`"), "{}", answer.text());
    let named = format!("tls = {{ ca = \"{ca}\", server_name = \"inner.example\" }}");
    assert_eq!(status(&before(port, &named).await).await, StatusCode::OK);
}

#[tokio::test]
async fn a_server_that_asks_for_a_certificate_gets_the_one_set() {
    let world = World::new();
    world.certificate("caller", &["caller"]);
    let asks =
        format!("client_certificates = \"required\"\nclient_ca = \"{}\"\n", world.file("ca.pem"));
    let server = server(&world, &["localhost"], &asks).await;
    let (port, ca) = (server.addr().port(), world.file("ca.pem"));
    let without = before(port, &format!("tls = {{ ca = \"{ca}\" }}")).await;
    assert_eq!(status(&without).await, StatusCode::BAD_GATEWAY);
    let (certificate, key) = (world.file("caller.pem"), world.file("caller.key"));
    let with =
        format!("tls = {{ ca = \"{ca}\", certificate = \"{certificate}\", key = \"{key}\" }}");
    assert_eq!(status(&before(port, &with).await).await, StatusCode::OK);
}

#[tokio::test]
async fn a_websocket_passes_over_tls() {
    let world = World::new();
    let server = server(&world, &["localhost"], "").await;
    let keys = format!("tls = {{ ca = \"{}\" }}", world.file("ca.pem"));
    let gateway = before(server.addr().port(), &keys).await;
    let mut socket = websocket(gateway.addr(), "/kit/chat", "").await;
    for message in [Message::text("text"), Message::binary(vec![7; 200_000])] {
        soon(socket.send(message.clone())).await.unwrap();
        assert_eq!(soon(socket.next()).await.unwrap().unwrap(), message);
    }
}

#[tokio::test]
async fn a_handshake_takes_its_time_at_most_and_then_another_server_is_asked() {
    let world = World::new();
    let (server, silent) = (server(&world, &["localhost"], "").await, silent().await);
    let keys = format!("connect_timeout_ms = 200, tls = {{ ca = \"{}\" }}", world.file("ca.pem"));
    let alone = before(silent.port(), &keys).await;
    let answer = post(alone.addr(), "/kit/echo", b"x").await;
    assert_eq!(answer.status, StatusCode::GATEWAY_TIMEOUT);
    assert!(answer.text().contains("no connection within 200 ms"), "{}", answer.text());
    let ports = [silent.port(), server.addr().port()];
    let urls = ports.map(|port| format!("\"https://localhost:{port}\"")).join(", ");
    let text =
        format!("{BASE}[[routes]]\nprefix = \"/\"\nupstream = {{ urls = [{urls}], {keys} }}\n");
    let both = start(&text).await.unwrap();
    assert_eq!([status(&both).await, status(&both).await], [StatusCode::OK; 2]);
}

#[tokio::test]
async fn checks_speak_tls_too() {
    let (world, other) = (World::new(), World::new());
    let server = server(&world, &["localhost"], "").await;
    let port = server.addr().port();
    let checked = async |world: &World| {
        let checks = "path = \"/kit/about\", interval_ms = 100, up_after = 1, down_after = 1";
        let ca = world.file("ca.pem");
        before(port, &format!("health = {{ {checks} }}, tls = {{ ca = \"{ca}\" }}")).await
    };
    let up = format!("becket_http_upstream_up{{route=\"/*\",server=\"localhost:{port}\"}}");
    let gateway = checked(&world).await;
    soon(async { while metric(&server, "becket_http_connections_total ").await < Some(3.0) {} })
        .await;
    assert_eq!(metric(&gateway, &up).await, Some(1.0));
    let wary = checked(&other).await;
    soon(async { while metric(&wary, &up).await != Some(0.0) {} }).await;
}

#[tokio::test]
async fn new_certificates_are_used_when_their_file_changes_and_wrong_ones_never() {
    let (world, next) = (World::new(), World::new());
    let (old, new) =
        (server(&world, &["localhost"], "").await, server(&next, &["localhost"], "").await);
    let ca = world.path().join("trusted.pem");
    fs::copy(world.path().join("ca.pem"), &ca).unwrap();
    let upstream = |gateway: &Gateway| {
        let (port, ca) = (gateway.addr().port(), ca.display());
        format!("{{ urls = \"https://localhost:{port}\", tls = {{ ca = \"{ca}\" }} }}")
    };
    let text = format!(
        "watch = true\n{BASE}[[routes]]\nprefix = \"/\"\nupstream = {}\n[[routes]]\nprefix = \
         \"/new\"\nupstream = {}\n",
        upstream(&old),
        upstream(&new)
    );
    let gateway = start(&text).await.unwrap();
    let to_new = async || post(gateway.addr(), "/new", b"").await.status;
    assert_eq!((status(&gateway).await, to_new().await), (StatusCode::OK, StatusCode::BAD_GATEWAY));
    fs::write(&ca, "no certificate").unwrap();
    assert_eq!(status(&gateway).await, StatusCode::OK);
    let both = [&world, &next].map(|world| fs::read(world.path().join("ca.pem")).unwrap()).concat();
    fs::write(&ca, both).unwrap();
    // The server has no such path.
    soon(async { while to_new().await != StatusCode::NOT_FOUND {} }).await;
    assert_eq!(status(&gateway).await, StatusCode::OK);
}

#[tokio::test]
async fn a_file_that_cannot_be_used_is_named_and_changes_nothing() {
    let world = World::new();
    let wrong = [
        ("ca = \"/missing.pem\"", "`routes[0].upstream.tls.ca` is `/missing.pem`"),
        ("server_name = \"not a name\"", "`routes[0].upstream.tls.server_name` is `not a name`"),
    ];
    for (keys, message) in wrong {
        let text = format!(
            "{BASE}[[routes]]\nprefix = \"/\"\nupstream = {{ urls = \"https://a\", tls = {{ {keys} }} }}\n"
        );
        let error = start(&text).await.unwrap_err().to_string();
        assert!(error.contains(message), "{error}");
    }
    let server = server(&world, &["localhost"], "").await;
    let keys = format!("tls = {{ ca = \"{}\" }}", world.file("ca.pem"));
    let gateway = before(server.addr().port(), &keys).await;
    let next = format!(
        "{BASE}[[routes]]\nprefix = \"/\"\nupstream = {{ urls = \"https://a\", tls = {{ ca = \
         \"/missing.pem\" }} }}\n"
    );
    assert!(gateway.reload(config(&next)).await.is_err());
    assert_eq!(status(&gateway).await, StatusCode::OK);
}

#[tokio::test]
async fn a_gateway_in_another_server_speaks_none_and_says_so() {
    let embedded = async |more: &str| {
        let text = format!("[admin]\nenabled = false\n{more}");
        Gateway::builder().embedded().start(config(&text), Host::new()).await
    };
    let upstream = "[[routes]]\nprefix = \"/\"\nupstream = [\"http://a\", \"https://b\"]\n";
    let error = embedded(upstream).await.unwrap_err().to_string();
    assert!(error.contains("`routes[0].upstream` is `https://b`, and no TLS"), "{error}");
    let error = embedded("[trace]\n").await.unwrap_err().to_string();
    assert!(error.contains("[trace] is set"), "{error}");
    let gateway = embedded("").await.unwrap();
    let next = format!("[admin]\nenabled = false\n{upstream}");
    assert!(gateway.reload(config(&next)).await.is_err());
}
