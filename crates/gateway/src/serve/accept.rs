// SPDX-License-Identifier: BSD-3-Clause
//! The accept loop: its bound on connections, and its end.
//!
//! # Invariants
//!
//! 1. At `connections_max` a further connection is accepted, answered 503 and closed: a clear
//!    answer instead of a silent queue, as is one above `client_connections_max` (429). With TLS it is closed.
//! 2. When the process is out of descriptors the listener waits for a connection to end.
//! 3. Connections that the kernel had accepted before the drain began are served: the listener
//!    closes only when its queue is empty. A handshake of TLS that has not finished by then ends.
//! 4. A listener that was handed over closes at once: its queue is the other process's, too.
//! 5. A handshake runs on the connection's task: the listener goes on meanwhile.

use std::future::poll_fn;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::timeout;

use super::connection::{self, Serve};
use super::{Listener, Peer, Socket};
use crate::TARGET;
use crate::connections::{Connections, Permit, Phase};
use crate::listen::{Acceptor, Stream};
use crate::repeats::Repeats;
use crate::stats::Refusal;
use crate::tls::Tls;

const FULL: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\n\
content-type: text/plain; charset=utf-8\r\ncontent-length: 127\r\nretry-after: 1\r\n\
connection: close\r\n\r\n\
error: too many connections\ncause: as many are open as limits.connections_max allows\nhint: try again, or raise connections_max\n";

const CLIENT_FULL: &[u8] = b"HTTP/1.1 429 Too Many Requests\r\n\
content-type: text/plain; charset=utf-8\r\ncontent-length: 173\r\nretry-after: 1\r\n\
connection: close\r\n\r\n\
error: too many connections from this address\ncause: as many are open as limits.client_connections_max allows\nhint: use those that are open, or raise client_connections_max\n";

/// How long the listener waits for a descriptor when none of its own connections ends.
const DESCRIPTOR_WAIT: Duration = Duration::from_millis(100);

/// Serves a listener's connections on the calling tokio runtime.
///
/// A function without generics and not an `async` one, since the compiler makes the code of a task where the task is
/// spawned, and that of an `async fn` in the crate that awaits it: so what runs for each request is compiled here, with
/// this crate's optimisation.
pub(crate) fn start(
    acceptor: Arc<Acceptor>,
    connections: Arc<Connections>,
    serve: Listener,
    tls: Option<Arc<Tls>>,
) {
    tokio::spawn(run(acceptor, connections, serve, tls));
}

async fn run<S: Serve>(
    acceptor: Arc<Acceptor>,
    connections: Arc<Connections>,
    serve: S,
    tls: Option<Arc<Tls>>,
) {
    let failures = Repeats::default();
    connections.reached(Phase::Serving).await;
    loop {
        let accepted = tokio::select! {
            accepted = poll_fn(|cx| acceptor.poll_accept(cx)) => accepted,
            () = connections.reached(Phase::HandedOver) => break,
        };
        match accepted {
            Ok((socket, address)) => admit(&serve, &connections, tls.as_ref(), socket, address),
            Err(error) if is_about_one_connection(&error) => {}
            Err(error) => {
                if let Some(before) = failures.pass() {
                    tracing::warn!(target: TARGET, %error, not_logged = before, "cannot accept connections");
                }
                let _ = timeout(DESCRIPTOR_WAIT, connections.one_closed()).await;
            }
        }
    }
    if acceptor.is_handed_over() {
        return;
    }
    let waiting = || poll_fn(|cx| Poll::Ready(acceptor.poll_accept(cx)));
    while let Poll::Ready(Ok((socket, address))) = waiting().await {
        admit(&serve, &connections, tls.as_ref(), socket, address);
    }
}

fn admit<S: Serve>(
    serve: &S,
    connections: &Arc<Connections>,
    tls: Option<&Arc<Tls>>,
    socket: Stream,
    address: Option<IpAddr>,
) {
    match connections.enter(serve.limits().connections_max) {
        Some(permit) => {
            serve.stats().connections.add(1);
            let peer = Peer { address, ..Peer::default() };
            let Ok(seat) = serve.seat(&peer) else {
                serve.stats().refuse(Refusal::ClientConnections);
                if tls.is_none() {
                    socket.refuse(CLIENT_FULL);
                }
                return;
            };
            let permit = permit.with(seat);
            let connections = Arc::clone(connections);
            let socket = match (socket, tls) {
                (Stream::Tcp(socket), Some(tls)) => {
                    let tls = Arc::clone(tls);
                    tokio::spawn(secured(serve.clone(), peer, tls, socket, permit, connections));
                    return;
                }
                (Stream::Tcp(socket), None) => Socket::Plain(socket),
                (Stream::Unix(socket), _) => Socket::Unix(socket),
            };
            tokio::spawn(connection::run(serve.of(peer), socket, permit, connections));
        }
        None => {
            serve.stats().refuse(Refusal::Connections);
            // With TLS nothing can be written before a handshake, and that costs what the bound is to save.
            if tls.is_none() {
                socket.refuse(FULL);
            }
        }
    }
}

/// A connection with TLS: first the handshake, which a drain ends.
async fn secured<S: Serve>(
    serve: S,
    peer: Peer,
    tls: Arc<Tls>,
    socket: TcpStream,
    permit: Permit,
    connections: Arc<Connections>,
) {
    let accepted = tokio::select! {
        accepted = Box::pin(tls.accept(socket)) => accepted,
        () = connections.reached(Phase::Draining) => return,
    };
    match accepted {
        Ok((socket, certificate)) => {
            let serve = serve.of(Peer { certificate, is_tls: true, ..peer });
            connection::run(serve, socket, permit, connections).await;
        }
        Err(error) => {
            serve.stats().refuse(Refusal::TlsHandshake);
            tls.log(&error);
        }
    }
}

/// Errors of the connection that was about to be accepted, not of the listener.
fn is_about_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

#[cfg(test)]
mod tests {
    use super::{CLIENT_FULL, FULL};

    #[test]
    fn the_refusal_has_the_length_that_it_says() {
        for answer in [FULL, CLIENT_FULL] {
            let text = str::from_utf8(answer).unwrap();
            let (head, body) = text.split_once("\r\n\r\n").unwrap();
            let length = format!("content-length: {}\r\n", body.len());
            assert!(head.contains(&length), "{}", body.len());
        }
    }
}
