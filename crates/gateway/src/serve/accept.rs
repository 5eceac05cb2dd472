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
//! 4. A handshake runs on the connection's task: the listener goes on meanwhile.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use super::connection::{self, Serve};
use super::{Listener, Peer, Socket};
use crate::TARGET;
use crate::connections::{Connections, Permit, Phase};
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

/// Serves the listener's connections on the calling tokio runtime.
///
/// A function without generics and not an `async` one, since the compiler makes the code of a task where the task is
/// spawned, and that of an `async fn` in the crate that awaits it: so what runs for each request is compiled here, with
/// this crate's optimisation.
pub(crate) fn start(
    listener: TcpListener,
    connections: Arc<Connections>,
    serve: Listener,
    tls: Option<Arc<Tls>>,
) {
    tokio::spawn(run(listener, connections, serve, tls));
}

async fn run<S: Serve>(
    listener: TcpListener,
    connections: Arc<Connections>,
    serve: S,
    tls: Option<Arc<Tls>>,
) {
    let failures = Repeats::default();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = connections.reached(Phase::Draining) => break,
        };
        match accepted {
            Ok((socket, peer)) => admit(&serve, &connections, tls.as_ref(), socket, peer),
            Err(error) if is_about_one_connection(&error) => {}
            Err(error) => {
                if let Some(before) = failures.pass() {
                    tracing::warn!(target: TARGET, %error, not_logged = before, "cannot accept connections");
                }
                let _ = timeout(DESCRIPTOR_WAIT, connections.one_closed()).await;
            }
        }
    }
    let waiting = || poll_fn(|cx| Poll::Ready(listener.poll_accept(cx)));
    while let Poll::Ready(Ok((socket, peer))) = waiting().await {
        admit(&serve, &connections, tls.as_ref(), socket, peer);
    }
}

fn admit<S: Serve>(
    serve: &S,
    connections: &Arc<Connections>,
    tls: Option<&Arc<Tls>>,
    socket: TcpStream,
    peer: SocketAddr,
) {
    match connections.enter(serve.limits().connections_max) {
        Some(permit) => {
            serve.stats().connections.add(1);
            let peer = Peer { address: Some(peer.ip().to_canonical()), ..Peer::default() };
            let Ok(seat) = serve.seat(&peer) else {
                serve.stats().refuse(Refusal::ClientConnections);
                if tls.is_none() {
                    refuse(&socket, CLIENT_FULL);
                }
                return;
            };
            let permit = permit.with(seat);
            let connections = Arc::clone(connections);
            match tls {
                None => {
                    let (serve, socket) = (serve.of(peer), Socket::Plain(socket));
                    tokio::spawn(connection::run(serve, socket, permit, connections));
                }
                Some(tls) => {
                    let tls = Arc::clone(tls);
                    tokio::spawn(secured(serve.clone(), peer, tls, socket, permit, connections));
                }
            }
        }
        None => {
            serve.stats().refuse(Refusal::Connections);
            // With TLS nothing can be written before a handshake, and that costs what the bound is to save.
            if tls.is_none() {
                refuse(&socket, FULL);
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

/// Writes `answer` without waiting. What the client already sent is read first: closing a socket
/// with unread bytes resets the connection, and the client may lose the answer.
fn refuse(socket: &TcpStream, answer: &[u8]) {
    let mut sent = [0; 4096];
    let _ = socket.try_read(&mut sent);
    let _ = socket.try_write(answer);
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
