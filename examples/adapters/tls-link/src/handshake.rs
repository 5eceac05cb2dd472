// SPDX-License-Identifier: BSD-3-Clause
//! From a connected socket to a link: the handshake of TLS, on the caller's thread, in bounded time.

use std::io;
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use becket_ipc::transport::{LinkLimits, Peer};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, Connection, ServerConfig, ServerConnection};

use crate::TlsLink;

/// A peer that has not finished its handshake by then is refused.
const PATIENCE: Duration = Duration::from_secs(10);

/// Why there is no link.
#[derive(Debug, thiserror::Error)]
pub enum HandshakeError {
    /// The settings are not those of a connection.
    #[error("the connection cannot be begun\ncause: {0}")]
    Settings(#[source] rustls::Error),
    /// The peer's certificate was refused, or this side's; or the peer speaks no TLS; or it took too long.
    #[error(
        "the handshake with {address} failed\ncause: {source}\n\
         hint: check the name, the certificates and the clocks of both sides"
    )]
    Peer {
        /// Its address.
        address: String,
        /// What has happened.
        source: io::Error,
    },
}

/// A link to a server; its certificate has to be valid for `name`.
///
/// # Errors
///
/// See [`HandshakeError`].
pub fn client(
    socket: TcpStream,
    name: ServerName<'static>,
    config: Arc<ClientConfig>,
    limits: LinkLimits,
    peer: Peer,
) -> Result<TlsLink, HandshakeError> {
    let tls = ClientConnection::new(config, name).map_err(HandshakeError::Settings)?;
    link(socket, tls.into(), limits, peer)
}

/// A link to a client that has connected.
///
/// # Errors
///
/// See [`HandshakeError`].
pub fn server(
    socket: TcpStream,
    config: Arc<ServerConfig>,
    limits: LinkLimits,
    peer: Peer,
) -> Result<TlsLink, HandshakeError> {
    let tls = ServerConnection::new(config).map_err(HandshakeError::Settings)?;
    link(socket, tls.into(), limits, peer)
}

fn link(
    mut socket: TcpStream,
    mut tls: Connection,
    limits: LinkLimits,
    peer: Peer,
) -> Result<TlsLink, HandshakeError> {
    let address = socket.peer_addr().map_or_else(|error| error.to_string(), |it| it.to_string());
    let failed = |source| HandshakeError::Peer { address: address.clone(), source };
    let until = Instant::now() + PATIENCE;
    while tls.is_handshaking() || tls.wants_write() {
        // Of each system call; a peer that sends a byte now and then does not get longer.
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(failed(io::ErrorKind::TimedOut.into()));
        }
        socket.set_read_timeout(Some(left)).map_err(failed)?;
        socket.set_write_timeout(Some(left)).map_err(failed)?;
        step(&mut socket, &mut tls).map_err(failed)?;
    }
    TlsLink::new(socket, tls, limits, peer).map_err(failed)
}

/// Writes what there is; else reads.
fn step(socket: &mut TcpStream, tls: &mut Connection) -> io::Result<()> {
    if tls.wants_write() {
        return tls.write_tls(socket).map(drop);
    }
    match tls.read_tls(socket) {
        Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
            return Err(io::ErrorKind::TimedOut.into());
        }
        read => read?,
    };
    let processed = tls.process_new_packets();
    if processed.is_err() {
        // The alert that says why.
        let _ = tls.write_tls(socket);
    }
    processed.map(drop).map_err(io::Error::other)
}
