// SPDX-License-Identifier: BSD-3-Clause
//! TLS on the public listener, with clients of rustls and hyper.

// The lints' leave for tests does not reach their helpers.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

pub(crate) mod world;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use becket_gateway::config::ListenAt;
use becket_gateway::{Config, Gateway, ListenSocket};
use becket_host::Host;
use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

use self::world::{World, openssl};
use crate::common::kit::{Probe, probe};
use crate::common::{BASE, config, kit, metric, raw, request, rest, send, soon, with};

/// The text of a configuration with these lines in [tls].
fn text(world: &World, lines: &str) -> String {
    let (certificate, key) = (world.file("it.pem"), world.file("it.key"));
    format!(
        "{BASE}[plugins.kit]\nlinked = \"kit\"\n[tls]\ncertificate = \"{certificate}\"\nkey = \
         \"{key}\"\n{lines}"
    )
}

/// A gateway with the certificate `it`, for `localhost`.
async fn gateway(world: &World, lines: &str) -> Gateway {
    world.certificate("it", &["localhost"]);
    let config = config(&text(world, lines));
    let gateway = Gateway::builder().link("kit", kit::PLUGIN).start(config, Host::new()).await;
    gateway.expect("a gateway")
}

fn echo(body: &[u8]) -> http::Request<http_body_util::Full<bytes::Bytes>> {
    let mut request = request("POST", "https://localhost/kit/echo", body);
    request.headers_mut().insert("host", "localhost".parse().unwrap());
    request
}

fn echo1(body: &[u8]) -> http::Request<http_body_util::Full<bytes::Bytes>> {
    request("POST", "/kit/echo", body)
}

#[tokio::test]
async fn both_protocols_are_spoken_in_both_versions() {
    let world = World::new();
    let gateway = gateway(&world, "").await;
    assert!(gateway.has_tls());
    for versions in rustls::ALL_VERSIONS.chunks(1) {
        let mut client = world.client();
        client.versions = versions;
        let alpn: [(&[&str], Option<&str>); 4] = [
            (&["h2", "http/1.1"], Some("h2")),
            (&["http/1.1", "h2"], Some("h2")),
            (&["http/1.1"], Some("http/1.1")),
            (&[], None),
        ];
        for (offered, chosen) in alpn {
            client.alpn = offered.to_vec();
            let stream = client.connect(gateway.addr(), "localhost").await.unwrap();
            let session = stream.get_ref().1;
            assert_eq!(session.protocol_version(), Some(versions[0].version));
            assert_eq!(session.alpn_protocol(), chosen.map(str::as_bytes));
        }
        client.alpn = vec!["h2"];
        let body: Vec<u8> = (0..200_000).map(|at| (at % 251) as u8).collect();
        let mut asked = echo(&body);
        asked.headers_mut().clear();
        assert_eq!(client.send2(gateway.addr(), asked).await.unwrap().body, body);
        client.alpn = vec!["http/1.1"];
        assert_eq!(client.send(gateway.addr(), echo1(&body)).await.unwrap().body, body);
    }
    // No protocol that is spoken here.
    let mut client = world.client();
    client.alpn = vec!["h3"];
    assert!(client.connect(gateway.addr(), "localhost").await.is_err());
}

#[tokio::test]
async fn a_client_gets_the_certificate_of_the_name_that_it_asks_for() {
    let world = World::new();
    world.certificate("other", &["other.test", "*.wild.test"]);
    let (certificate, key) = (world.file("other.pem"), world.file("other.key"));
    let more = format!("[[tls.more]]\ncertificate = \"{certificate}\"\nkey = \"{key}\"\n");
    let gateway = gateway(&world, &more).await;
    let client = world.client();
    for (name, certificate) in
        [("localhost", "it.pem"), ("other.test", "other.pem"), ("a.wild.test", "other.pem")]
    {
        let stream = client.connect(gateway.addr(), name).await.unwrap();
        let shown = stream.get_ref().1.peer_certificates().unwrap();
        assert_eq!(shown[0], world.der(certificate), "{name}");
    }
    // It gets the first, and refuses it.
    for name in ["b.a.wild.test", "nowhere.test", "127.0.0.1"] {
        let error = client.connect(gateway.addr(), name).await.unwrap_err();
        assert!(error.to_string().contains("not valid for name"), "{name}: {error}");
    }
}

#[tokio::test]
async fn clients_show_certificates_that_the_plugin_gets() {
    let world = World::new();
    world.certificate("zoe", &["zoe.test"]);
    let strangers = World::new();
    strangers.certificate("eve", &["eve.test"]);
    let shown = data_encoding::BASE64.encode(&world.der("zoe.pem"));
    let asks = |value: &str| {
        format!("client_ca = \"{}\"\nclient_certificates = \"{value}\"\n", world.file("ca.pem"))
    };
    // The header is what the plugin was sent, in the answer of `header`.
    let forged = || with(request("GET", "/kit/header?client-cert", b""), "client-cert", ":forged:");
    for (lines, without) in
        [("".to_owned(), Some(":forged:")), (asks("optional"), Some("")), (asks("required"), None)]
    {
        let gateway = gateway(&world, &lines).await;
        let addr = gateway.addr();
        let answer = world.client().send(addr, forged()).await;
        match without {
            Some(header) => assert_eq!(answer.unwrap().text(), header),
            None => assert!(answer.is_err(), "a certificate is required"),
        }
        let answer = world.client_with("zoe").send(addr, forged()).await.unwrap();
        let expected = if lines.is_empty() { ":forged:" } else { &format!(":{shown}:") };
        assert_eq!(answer.text(), expected);
        // One that a stranger has signed.
        let (key, certificate) =
            (strangers.path().join("eve.key"), strangers.path().join("eve.pem"));
        fs::copy(key, world.path().join("eve.key")).unwrap();
        fs::copy(certificate, world.path().join("eve.pem")).unwrap();
        let answer = world.client_with("eve").send(addr, forged()).await;
        assert_eq!(answer.is_err(), !lines.is_empty(), "{lines}");
    }
}

/// Renames another certificate into place, key and certificate.
fn renew(world: &World) {
    world.certificate("next", &["localhost"]);
    for kind in ["key", "pem"] {
        let next = world.path().join(format!("next.{kind}"));
        fs::rename(next, world.path().join(format!("it.{kind}"))).unwrap();
    }
}

/// Connects until the server shows the certificate that is in the file.
async fn until_shown(world: &World, gateway: &Gateway) {
    let (expected, client) = (world.der("it.pem"), world.client());
    soon(async {
        loop {
            let stream = client.connect(gateway.addr(), "localhost").await.unwrap();
            if stream.get_ref().1.peer_certificates().unwrap()[0] == expected {
                return;
            }
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn certificates_change_under_load_and_no_request_is_lost() {
    let world = World::new();
    let gateway = Arc::new(gateway(&world, "").await);
    let (ends, answers) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU32::new(0)));
    let clients: Vec<_> = (0..4)
        .map(|_| {
            let (client, addr) = (world.client(), gateway.addr());
            let (ends, answers) = (Arc::clone(&ends), Arc::clone(&answers));
            tokio::spawn(async move {
                while !ends.load(Ordering::Relaxed) {
                    let answer = client.send(addr, echo1(b"under load")).await.unwrap();
                    assert_eq!(answer.text(), "under load");
                    answers.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    for _ in 0..3 {
        renew(&world);
        until_shown(&world, &gateway).await;
    }
    ends.store(true, Ordering::Relaxed);
    for client in clients {
        soon(client).await.unwrap();
    }
    assert!(answers.load(Ordering::Relaxed) > 0);
}

#[tokio::test]
async fn a_reload_reads_certificates_again_and_a_wrong_one_changes_nothing() {
    let world = World::new();
    let lines = "handshake_timeout_ms = 60000\n";
    let gateway = gateway(&world, lines).await;
    let config = |lines: &str| {
        let mut config = config(&text(&world, lines));
        config.watch = false;
        config
    };
    gateway.reload(config(lines)).await.unwrap();
    renew(&world);
    gateway.reload(config(lines)).await.unwrap();
    until_shown(&world, &gateway).await;
    // A connection of the settings before goes on.
    let client = world.client();
    let mut before = client.connect(gateway.addr(), "localhost").await.unwrap();
    let shown = world.der("it.pem");
    fs::write(world.path().join("it.pem"), "no certificate").unwrap();
    let error = gateway.reload(config(lines)).await.unwrap_err();
    assert!(error.to_string().contains("`tls.certificate` is `"), "{error}");
    let stream = client.connect(gateway.addr(), "localhost").await.unwrap();
    assert_eq!(stream.get_ref().1.peer_certificates().unwrap()[0], shown);
    before.write_all(b"GET /kit/about HTTP/1.0\r\nhost: a\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    soon(before.read_to_string(&mut answer)).await.unwrap();
    assert!(answer.starts_with("HTTP/1.0 200"), "{answer}");
    // Whether there is TLS is decided at the start.
    let report = gateway.reload(crate::common::config(BASE)).await.unwrap();
    assert_eq!(report.needs_restart, ["tls"]);
    assert!(client.connect(gateway.addr(), "localhost").await.is_ok());
}

#[tokio::test]
async fn a_changed_certificate_that_is_wrong_changes_nothing() {
    let world = World::new();
    let gateway = gateway(&world, "").await;
    let (client, shown) = (world.client(), world.der("it.pem"));
    let wrong = world.path().join("wrong.pem");
    fs::write(&wrong, "no certificate").unwrap();
    fs::rename(&wrong, world.path().join("it.pem")).unwrap();
    let stream = client.connect(gateway.addr(), "localhost").await.unwrap();
    assert_eq!(stream.get_ref().1.peer_certificates().unwrap()[0], shown);
    // And the next one that is right is used.
    renew(&world);
    until_shown(&world, &gateway).await;
}

#[tokio::test]
async fn a_handshake_has_a_deadline_and_delays_no_other_client() {
    let world = World::new();
    let gateway = gateway(&world, "handshake_timeout_ms = 300\n").await;
    let mut silent = TcpStream::connect(gateway.addr()).await.unwrap();
    let mut half = TcpStream::connect(gateway.addr()).await.unwrap();
    // The beginning of a record that never ends.
    half.write_all(&[22, 3, 1, 2, 0, 1]).await.unwrap();
    let answer = world.client().send(gateway.addr(), echo1(b"meanwhile")).await.unwrap();
    assert_eq!(answer.text(), "meanwhile");
    assert_eq!(rest(&mut silent).await, "");
    assert_eq!(rest(&mut half).await, "");
    let refused = metric(&gateway, "becket_http_refused_total{cause=\"tls_handshake\"}").await;
    assert_eq!(refused, Some(2.0));
}

#[tokio::test]
async fn plain_http_gets_an_answer_that_it_can_read() {
    let world = World::new();
    let gateway = gateway(&world, "").await;
    let answer = raw(gateway.addr(), b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 400 ") && answer.contains("hint: use https"), "{answer}");
}

#[tokio::test]
async fn listeners_have_tls_unless_they_are_without() {
    let world = World::new();
    world.certificate("it", &["localhost"]);
    let socket = world.path().join("s");
    let listen = format!(
        "listen = [\"127.0.0.1:0\", {{ at = \"127.0.0.1:0\", tls = false }}, \"unix:{}\", \"systemd\"]",
        socket.display()
    );
    let config = config(
        &text(&world, "")
            .replace("listen = \"127.0.0.1:0\"\n[admin]", &format!("{listen}\n[admin]")),
    );
    let passed = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let (passed_addr, passed) = (passed.local_addr().unwrap(), ListenSocket::Tcp(passed));
    let starting = Gateway::builder().link("kit", kit::PLUGIN).passed("a", passed);
    let gateway = starting.start(config, Host::new()).await.unwrap();
    let has_tls: Vec<_> = gateway.listeners().iter().map(|listener| listener.has_tls).collect();
    assert_eq!((has_tls, gateway.has_tls()), (vec![true, false, false, true], true));
    let ListenAt::Tcp(plain) = gateway.listeners()[1].at else { panic!("not TCP") };
    for addr in [gateway.addr(), passed_addr] {
        assert_eq!(world.client().send(addr, echo1(b"a")).await.unwrap().body, "a");
    }
    assert_eq!(send(plain, request("POST", "/kit/echo", b"b")).await.body, "b");
    let mut unix = tokio::net::UnixStream::connect(&socket).await.unwrap();
    unix.write_all(b"GET /kit/about HTTP/1.0\r\nhost: a\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    soon(unix.read_to_string(&mut answer)).await.unwrap();
    assert!(answer.starts_with("HTTP/1.0 200"), "{answer}");
}

#[tokio::test]
async fn a_websocket_is_carried_over_tls() {
    let world = World::new();
    let gateway = gateway(&world, "").await;
    let stream = world.client().connect(gateway.addr(), "localhost").await.unwrap();
    let request = "wss://localhost/kit/chat".into_client_request().unwrap();
    let (mut socket, _) =
        soon(tokio_tungstenite::client_async(request, stream)).await.expect("a WebSocket");
    socket.send(Message::text("over TLS")).await.unwrap();
    assert_eq!(soon(socket.next()).await.unwrap().unwrap(), Message::text("over TLS"));
}

#[tokio::test]
async fn a_drain_ends_handshakes_and_answers_requests() {
    let world = World::new();
    let gateway = Arc::new(gateway(&world, "").await);
    let mut silent = TcpStream::connect(gateway.addr()).await.unwrap();
    let held = probe("tls-drain");
    let asked = with(request("GET", "/kit/gated", b""), "x-test", "tls-drain");
    let (client, addr) = (world.client(), gateway.addr());
    let answer = tokio::spawn(async move { client.send(addr, asked).await });
    Probe::saw(&held.entered).await;
    let draining = tokio::spawn({
        let gateway = Arc::clone(&gateway);
        async move { gateway.drain(Duration::from_secs(20)).await }
    });
    assert_eq!(rest(&mut silent).await, "");
    held.open();
    assert_eq!(soon(answer).await.unwrap().unwrap().text(), "through");
    let report = soon(draining).await.unwrap();
    assert_eq!((report.connections_cut, report.requests_cut), (0, 0));
}

#[tokio::test]
async fn a_client_that_reads_nothing_is_cut_off() {
    let world = World::new();
    let lines = "[limits]\nwrite_stall_timeout_ms = 100\n";
    let gateway = gateway(&world, lines).await;
    let held = probe("tls-stall");
    let mut stream = world.client().connect(gateway.addr(), "localhost").await.unwrap();
    let asked = "GET /kit/flood HTTP/1.1\r\nhost: a\r\nx-test: tls-stall\r\n\r\n";
    stream.write_all(asked.as_bytes()).await.unwrap();
    stream.flush().await.unwrap();
    // The plugin is notified of the end of a client that never read.
    Probe::saw(&held.full).await;
    Probe::saw(&held.left).await;
}

#[tokio::test]
async fn every_file_that_cannot_be_used_is_shown_with_its_line() {
    let world = World::new();
    world.certificate("it", &["localhost"]);
    world.certificate("other", &["localhost"]);
    let file = |name: &str| world.path().join(name);
    fs::write(file("empty.pem"), "").unwrap();
    fs::write(file("broken.pem"), "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
        .unwrap();
    let secret = fs::read_to_string(file("it.key")).unwrap();
    let secret_line = secret.lines().nth(1).unwrap();
    let own = |name: &str, text: &str| {
        fs::write(file(name), text).unwrap();
        fs::set_permissions(file(name), fs::Permissions::from_mode(0o600)).unwrap();
    };
    own("half.key", &secret.replace("-----END", "----- END"));
    own("garbled.key", &secret.replace(secret_line, &format!("{secret_line}!")));
    own("open.key", &secret);
    fs::set_permissions(file("open.key"), fs::Permissions::from_mode(0o644)).unwrap();
    openssl(world.path(), "pkey -in it.key -aes256 -passout pass:x -out locked.key");
    fs::set_permissions(file("locked.key"), fs::Permissions::from_mode(0o600)).unwrap();
    let cases = [
        ("it.pem", "nothing.key", "3:7: `tls.key` is `", "which cannot be read", "check the path"),
        ("nothing.pem", "it.key", "2:15: `tls.certificate` is", "cannot be read", "check the path"),
        ("it.pem", "open.key", "3:7: `tls.key`", "others may use", "chmod o=,g-w"),
        ("it.pem", "other.key", "3:7: `tls.key`", "the key of another", "requested with"),
        ("it.pem", "half.key", "3:7: `tls.key`", "holds no private key", "PRIVATE KEY"),
        ("it.pem", "garbled.key", "3:7: `tls.key`", "holds no private key", "PRIVATE KEY"),
        ("it.pem", "locked.key", "3:7: `tls.key`", "holds no private key", "no passphrase"),
        ("it.pem", "it.pem", "3:7: `tls.key`", "others may use", "chmod"),
        ("empty.pem", "it.key", "2:15: `tls.certificate`", "holds no certificate", "openssl x509"),
        ("broken.pem", "it.key", "2:15: `tls.certificate`", "holds no certificate", "make the"),
        ("it.key", "it.key", "2:15: `tls.certificate`", "holds no certificate", "openssl x509"),
    ];
    for (certificate, key, at, what, hint) in cases {
        let text = format!("[tls]\ncertificate = \"{certificate}\"\nkey = \"{key}\"\n");
        let error = refused(&world, &text);
        assert!(error.contains(&format!("becket.toml:{at}")), "{error}");
        assert!(error.contains(what) && error.contains(hint), "{error}");
        assert!(error.contains("\ncause: "), "{error}");
        assert!(!error.contains(secret_line), "{error}");
    }
    let asks = "certificate = \"it.pem\"\nkey = \"it.key\"\nclient_certificates = \"required\"\n";
    let error = refused(&world, &format!("[tls]\n{asks}client_ca = \"empty.pem\"\n"));
    assert!(error.contains("becket.toml:5:13: `tls.client_ca`"), "{error}");
    let good = format!("[tls]\n{asks}client_ca = \"ca.pem\"\n");
    fs::write(file("becket.toml"), good).unwrap();
    Config::load_with_files(&file("becket.toml")).unwrap();
    // The same at the start, before a port is bound.
    let config = config(&text(&world, "").replace("it.key", "other.key"));
    let error = Gateway::start(config, Host::new()).await.unwrap_err();
    assert!(error.to_string().contains("the key of another"), "{error}");
}

fn refused(world: &World, text: &str) -> String {
    let file: &Path = &world.path().join("becket.toml");
    fs::write(file, text).unwrap();
    // What is in the files is of no interest to the text alone.
    Config::load(file).unwrap();
    Config::load_with_files(file).unwrap_err().render()
}
