// SPDX-License-Identifier: BSD-3-Clause
//! What one client's address may have at once.

// The lints' leave for tests does not reach their helpers.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::common::{BASE, config, gateway, get, metric, raw, rest, soon};

const ONE: &[u8] = b"GET /kit/about HTTP/1.1\r\nhost: a\r\n\r\n";

/// Two requests in one piece, so that no time passes between them.
fn two() -> Vec<u8> {
    let last = b"GET /kit/about HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
    [ONE, last].concat()
}

#[tokio::test]
async fn one_address_has_so_many_connections() {
    let gateway = gateway("[limits]\nclient_connections_max = 2\n").await;
    let mut open = Vec::new();
    for _ in 0..2 {
        let mut socket = TcpStream::connect(gateway.addr()).await.unwrap();
        // Answered, so it is accepted.
        socket.write_all(ONE).await.unwrap();
        assert_eq!(soon(socket.read_u8()).await.unwrap(), b'H');
        open.push(socket);
    }
    let mut third = TcpStream::connect(gateway.addr()).await.unwrap();
    let answer = rest(&mut third).await;
    assert!(answer.starts_with("HTTP/1.1 429 ") && answer.contains("retry-after: 1"), "{answer}");
    assert!(answer.contains("client_connections_max"), "{answer}");
    let refused = "becket_http_refused_total{cause=\"client_connections\"}";
    assert_eq!(metric(&gateway, refused).await, Some(1.0));
    assert_eq!(metric(&gateway, "becket_http_connections").await, Some(2.0));
    drop(open);
    soon(async { while !raw(gateway.addr(), &two()).await.contains(" 200 OK") {} }).await;
}

#[tokio::test]
async fn one_address_sends_so_many_requests_in_a_second() {
    let limit = "[limits]\nclient_requests_per_second_max = 1\n";
    let gateway = gateway(limit).await;
    let answers = raw(gateway.addr(), &two()).await;
    let (first, second) = answers.split_at(answers.rfind("HTTP/1.1 ").unwrap());
    assert!(first.starts_with("HTTP/1.1 200 "), "{answers}");
    assert!(second.starts_with("HTTP/1.1 429 ") && second.contains("retry-after: 1"), "{answers}");
    assert!(second.contains("client_requests_per_second_max"), "{answers}");
    let refused = "becket_http_refused_total{cause=\"client_requests\"}";
    assert_eq!(metric(&gateway, refused).await, Some(1.0));
    // The admin listener has no such limit, and the next connection has the next configuration.
    let admin = gateway.admin_addr().unwrap();
    for _ in 0..5 {
        assert_eq!(get(admin, "/healthz").await.status, 200);
    }
    let next = format!("{BASE}[plugins.kit]\nlinked = \"kit\"\n");
    gateway.reload(config(&next)).await.unwrap();
    let answers = raw(gateway.addr(), &two()).await;
    assert_eq!(answers.matches("HTTP/1.1 200 ").count(), 2, "{answers}");
}
