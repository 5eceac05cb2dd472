// SPDX-License-Identifier: BSD-3-Clause
//! Servers of an upstream that fail: which requests they still get, and when they get them again.

// The lints' leave for tests does not reach their helpers.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, AtomicUsize, Ordering::SeqCst};

use becket_gateway::Gateway;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

use crate::common::{BASE, config, get, metric, soon, start};

/// A server with a status for requests and one for checks, which counts both.
struct Server {
    addr: SocketAddr,
    seen: Arc<Seen>,
}

struct Seen {
    status: AtomicU16,
    health: AtomicU16,
    requests: AtomicUsize,
    checks: AtomicUsize,
}

impl Server {
    async fn start(status: u16, health: u16) -> Self {
        Self::on(TcpListener::bind("127.0.0.1:0").await.unwrap(), status, health)
    }

    fn on(listener: TcpListener, status: u16, health: u16) -> Self {
        let addr = listener.local_addr().unwrap();
        let seen = Arc::new(Seen {
            status: status.into(),
            health: health.into(),
            requests: AtomicUsize::new(0),
            checks: AtomicUsize::new(0),
        });
        let serving = Arc::clone(&seen);
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let seen = Arc::clone(&serving);
                let service = hyper::service::service_fn(move |request: Request<Incoming>| {
                    let (counted, status) = match request.uri().path() {
                        "/healthz" => (&seen.checks, seen.health.load(SeqCst)),
                        _ => (&seen.requests, seen.status.load(SeqCst)),
                    };
                    counted.fetch_add(1, SeqCst);
                    let answer = Response::builder().status(status).body(Full::<Bytes>::default());
                    async { Ok::<_, hyper::Error>(answer.unwrap()) }
                });
                let server = hyper::server::conn::http1::Builder::new();
                tokio::spawn(server.serve_connection(TokioIo::new(socket), service));
            }
        });
        Self { addr, seen }
    }

    fn requests(&self) -> usize {
        self.seen.requests.load(SeqCst)
    }
}

fn text(servers: &[SocketAddr], keys: &str) -> String {
    let urls: Vec<_> = servers.iter().map(|addr| format!("\"http://{addr}\"")).collect();
    let upstream = format!("{{ urls = [{}], {keys} }}", urls.join(", "));
    format!("{BASE}[[routes]]\nprefix = \"/\"\nupstream = {upstream}\n")
}

async fn gateway(servers: &[SocketAddr], keys: &str) -> Gateway {
    start(&text(servers, keys)).await.unwrap()
}

async fn is_up(gateway: &Gateway, server: SocketAddr) -> Option<f64> {
    let labels = format!("{{route=\"/*\",server=\"{server}\"}}");
    metric(gateway, &format!("becket_http_upstream_up{labels}")).await
}

async fn ejections(gateway: &Gateway, server: SocketAddr) -> f64 {
    let labels = format!("{{route=\"/*\",server=\"{server}\"}}");
    metric(gateway, &format!("becket_http_upstream_ejections_total{labels}")).await.unwrap()
}

async fn until_up_is(gateway: &Gateway, server: SocketAddr, value: f64) {
    soon(async { while is_up(gateway, server).await != Some(value) {} }).await;
}

#[tokio::test]
async fn a_server_that_cannot_answer_is_ejected() {
    for status in [502, 503, 504] {
        let (bad, good) = (Server::start(status, 200).await, Server::start(200, 200).await);
        let keys = "eject_after = 3, eject_ms = 86400000";
        let gateway = gateway(&[bad.addr, good.addr], keys).await;
        let mut failed = 0;
        for _ in 0..40 {
            failed += usize::from(get(gateway.addr(), "/").await.status.as_u16() == status);
        }
        assert_eq!((failed, bad.requests(), good.requests()), (3, 3, 37));
        assert_eq!(
            (is_up(&gateway, bad.addr).await, ejections(&gateway, bad.addr).await),
            (Some(0.0), 1.0)
        );
        assert_eq!(
            (is_up(&gateway, good.addr).await, ejections(&gateway, good.addr).await),
            (Some(1.0), 0.0)
        );
    }
}

#[tokio::test]
async fn an_answer_of_its_own_is_no_failure_and_ends_those_in_a_row() {
    let (odd, good) = (Server::start(500, 200).await, Server::start(404, 200).await);
    let gateway = gateway(&[odd.addr, good.addr], "eject_after = 2, eject_ms = 86400000").await;
    for status in [500, 503, 500, 503, 500, 404] {
        odd.seen.status.store(status, SeqCst);
        let answers = [get(gateway.addr(), "/").await, get(gateway.addr(), "/").await];
        assert_eq!(answers[0].status.as_u16(), status);
    }
    assert_eq!((odd.requests(), good.requests()), (6, 6));
    assert_eq!(ejections(&gateway, odd.addr).await, 0.0);
}

#[tokio::test]
async fn one_that_takes_no_connection_is_ejected_and_comes_back() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    drop(listener);
    let good = Server::start(200, 200).await;
    let gateway = gateway(&[addr, good.addr], "eject_after = 2, eject_ms = 50").await;
    // No request is lost: the other server takes it.
    soon(async {
        while ejections(&gateway, addr).await < 2.0 {
            assert_eq!(get(gateway.addr(), "/").await.status.as_u16(), 200);
        }
    })
    .await;
    let back = Server::on(TcpListener::bind(addr).await.unwrap(), 200, 200);
    soon(async {
        while back.requests() == 0 {
            assert_eq!(get(gateway.addr(), "/").await.status.as_u16(), 200);
        }
    })
    .await;
    assert_eq!(is_up(&gateway, addr).await, Some(1.0));
}

#[tokio::test]
async fn with_no_server_up_each_is_tried() {
    let bad = Server::start(503, 200).await;
    let gateway = gateway(&[bad.addr], "eject_after = 1, eject_ms = 86400000").await;
    for _ in 0..3 {
        assert_eq!(get(gateway.addr(), "/").await.status.as_u16(), 503);
    }
    assert_eq!((bad.requests(), is_up(&gateway, bad.addr).await), (3, Some(0.0)));
    bad.seen.status.store(200, SeqCst);
    assert_eq!(get(gateway.addr(), "/").await.status.as_u16(), 200);
}

#[tokio::test]
async fn checks_take_a_server_down_and_up() {
    let (one, two) = (Server::start(200, 200).await, Server::start(200, 503).await);
    let keys = "eject_after = 0, health = { interval_ms = 100, up_after = 1, down_after = 2 }";
    let gateway = gateway(&[one.addr, two.addr], keys).await;
    until_up_is(&gateway, two.addr, 0.0).await;
    assert!(two.seen.checks.load(SeqCst) >= 2);
    let before = two.requests();
    for _ in 0..10 {
        assert_eq!(get(gateway.addr(), "/").await.status.as_u16(), 200);
    }
    assert_eq!((two.requests() - before, one.requests()), (0, 10));
    assert_eq!(is_up(&gateway, one.addr).await, Some(1.0));
    two.seen.health.store(204, SeqCst);
    until_up_is(&gateway, two.addr, 1.0).await;
    let before = two.requests();
    for _ in 0..10 {
        get(gateway.addr(), "/").await;
    }
    assert_eq!(two.requests() - before, 5);
}

#[tokio::test]
async fn the_checks_end_with_their_route() {
    let server = Server::start(200, 200).await;
    let gateway = gateway(&[server.addr], "health = { interval_ms = 100 }").await;
    soon(async {
        while server.seen.checks.load(SeqCst) < 2 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(is_up(&gateway, server.addr).await, Some(1.0));
    gateway.reload(config(BASE)).await.unwrap();
    // What checks the server has it.
    soon(async { while is_up(&gateway, server.addr).await.is_some() {} }).await;
    assert_eq!(ejections(&gateway, server.addr).await, 0.0);
}
