// SPDX-License-Identifier: BSD-3-Clause
//! The memory of requests' bodies is bounded over the process, and goes back after a burst.
//!
//! One test, in a process of its own: it looks at how much memory the process has.

// The lints' leave for tests does not reach their helpers.
#![allow(clippy::expect_used, clippy::panic)]

#[path = "it/common/mod.rs"]
mod common;

use std::net::SocketAddr;

use becket_gateway::Gateway;
use common::{gateway, metric, post, rest, soon};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

const BODY: u64 = 1 << 20;
const BODIES: u64 = 256;

async fn held(gateway: &Gateway) -> f64 {
    metric(gateway, "becket_http_bodies_held_bytes").await.expect("the gauge")
}

/// Pages of this process that are in memory, in bytes.
fn resident() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").expect("/proc");
    let pages = statm.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok());
    pages.expect("a number") * rustix::param::page_size() as u64
}

/// The piece in which a body comes.
const PIECE: [u8; 1 << 10] = [b'x'; 1 << 10];

/// A request whose body lacks its last piece.
async fn upload(addr: SocketAddr) -> TcpStream {
    let mut socket = TcpStream::connect(addr).await.expect("a connection");
    let head = format!(
        "POST /kit/about HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {BODY}\r\n\r\n"
    );
    socket.write_all(head.as_bytes()).await.expect("sent");
    for _ in 1..BODY / PIECE.len() as u64 {
        // A refusal comes before all was sent.
        if socket.write_all(&PIECE).await.is_err() {
            break;
        }
    }
    socket
}

/// Waits until the bodies held are this long.
async fn until_held(gateway: &Gateway, bytes: u64) {
    soon(async {
        while held(gateway).await != bytes as f64 {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn bodies_have_a_bound_together_and_their_memory_goes_back() {
    let max = BODY * BODIES;
    let limits = format!("[limits]\nbodies_bytes_max = {max}\nbody_idle_timeout_ms = 60000\n");
    let gateway = gateway(&limits).await;
    let addr = gateway.addr();
    let before = resident();
    let mut open = Vec::new();
    for _ in 0..BODIES {
        open.push(upload(addr).await);
    }
    let came = BODIES * (BODY - PIECE.len() as u64);
    until_held(&gateway, came).await;
    let burst = resident() - before;
    assert!(burst >= came, "{burst} bytes for bodies of {came}");

    // What does not fit is refused, and takes nothing away; what fits goes on.
    let answer = rest(&mut upload(addr).await).await;
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    for said in [
        "\r\nretry-after: 1\r\n",
        "\r\nconnection: close\r\n",
        "error: there is no room for the body\ncause: ",
        "\nhint: try again, or raise limits.bodies_bytes_max\n",
    ] {
        assert!(answer.contains(said), "{said:?} in {answer}");
    }
    let refused = metric(&gateway, "becket_http_refused_total{cause=\"bodies\"}").await;
    assert_eq!(refused, Some(1.0));
    assert_eq!(post(addr, "/kit/echo", b"small").await.text(), "small");
    until_held(&gateway, came).await;

    for mut socket in open {
        socket.write_all(&PIECE).await.expect("sent");
        let answer = rest(&mut socket).await;
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    }
    until_held(&gateway, 0).await;
    let after = resident();
    assert!(after < before + burst / 4, "{burst} bytes came, {} stay", after - before);

    // A client that leaves in its body lets go of it.
    let mut gone = TcpStream::connect(addr).await.expect("a connection");
    let head = "POST /kit/echo HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\n12345";
    gone.write_all(head.as_bytes()).await.expect("sent");
    until_held(&gateway, 5).await;
    drop(gone);
    until_held(&gateway, 0).await;
}
