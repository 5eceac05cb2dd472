// SPDX-License-Identifier: BSD-3-Clause
//! TLS of the public listeners, by rustls: versions 1.2 and 1.3, ALPN for HTTP/2 and HTTP/1.1.
//!
//! ```text
//!   accept ──▶ task: peek ──▶ handshake ──▶ Socket::Tls ──▶ connection, as without TLS
//!                    │             └ at most `handshake_timeout_ms`, on the connection's own task
//!                    └ a client that speaks plain HTTP gets an answer that it can read
//! ```
//!
//! | module | what lives there |
//! |---|---|
//! | `client` | settings for connections to upstream servers |
//! | `load` | from files to a server's settings, with every mistake shown |
//! | `names` | the certificate for the name that a client asks for |
//!
//! # Invariants
//!
//! 1. A connection keeps the settings that it began with. Others replace them whole, and only when every file
//!    was read and fits: a certificate that is wrong changes nothing.
//! 2. No key and no part of one is in a log or an error: rustls's keys have no text, and errors name files.
//! 3. A session that is resumed is one of the settings in force: the keys of tickets are replaced with them.
//! 4. What rustls buffers for a client that does not read is at most [`BUFFER_BYTES`] and one record.

mod client;
mod load;
mod names;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;
use parking_lot::RwLock;
use rustls::ServerConfig;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

pub(crate) use self::client::{ClientTls, hint_of};
use crate::TARGET;
use crate::config::{ClientCertificates, Complaint, TlsConfig};
use crate::repeats::Repeats;
use crate::serve::{ClientCertificate, Socket};

/// The plaintext that a session holds while its socket is full.
const BUFFER_BYTES: usize = 16 << 10;

/// The first byte of a TLS connection: the type of a handshake record.
const HANDSHAKE_RECORD: u8 = 22;

/// The answer to a client that speaks plain HTTP.
const PLAIN: &[u8] = b"HTTP/1.1 400 Bad Request\r\n\
content-type: text/plain; charset=utf-8\r\ncontent-length: 74\r\nconnection: close\r\n\r\n\
error: this port speaks TLS, and the request came without\nhint: use https\n";

/// Settings that every file was read for.
#[derive(Debug, Clone)]
pub(crate) struct Loaded {
    server: Arc<ServerConfig>,
    handshake_max: Duration,
    asks_for_certificates: bool,
}

impl Loaded {
    /// Reads the files of `config`.
    ///
    /// # Errors
    /// The first file that cannot be used, with the key that names it.
    pub(crate) fn read(config: &TlsConfig) -> Result<Self, Complaint> {
        Ok(Self {
            server: load::server_config(config)?,
            handshake_max: Duration::from_millis(config.handshake_timeout_ms),
            asks_for_certificates: config.client_certificates != ClientCertificates::Off,
        })
    }
}

/// The settings in force.
#[derive(Debug)]
pub(crate) struct Tls {
    in_force: RwLock<Loaded>,
    failures: Repeats,
}

/// Why a connection has no TLS.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HandshakeError {
    #[error("the client speaks no TLS")]
    Plain,
    #[error("the client left")]
    Gone,
    #[error("the handshake took longer than {} ms", .0.as_millis())]
    Late(Duration),
    #[error("{0}")]
    Refused(io::Error),
}

impl Tls {
    pub(crate) fn new(loaded: Loaded) -> Arc<Self> {
        Arc::new(Self { in_force: RwLock::new(loaded), failures: Repeats::default() })
    }

    /// Uses these for the next connection.
    pub(crate) fn put_in_force(&self, loaded: Loaded) {
        *self.in_force.write() = loaded;
    }

    /// The handshake, in its time. The second value is the client's certificate.
    pub(crate) async fn accept(
        &self,
        socket: TcpStream,
    ) -> Result<(Socket, ClientCertificate), HandshakeError> {
        let Loaded { server, handshake_max, asks_for_certificates } = self.in_force.read().clone();
        let handshake = async {
            is_tls(&socket).await?;
            // A handshake is flights of several small records.
            let _ = socket.set_nodelay(true);
            let accept = TlsAcceptor::from(server).accept_with(socket, |session| {
                session.set_buffer_limit(Some(BUFFER_BYTES));
            });
            accept.await.map_err(HandshakeError::Refused)
        };
        let stream = match timeout(handshake_max, handshake).await {
            Ok(stream) => stream?,
            Err(_) => return Err(HandshakeError::Late(handshake_max)),
        };
        let certificate = match asks_for_certificates {
            true => ClientCertificate::Asked(shown(stream.get_ref().1)),
            false => ClientCertificate::NotAsked,
        };
        Ok((Socket::Tls(Box::new(stream)), certificate))
    }

    /// Logs why a connection has no TLS; of many, one now and then.
    pub(crate) fn log(&self, error: &HandshakeError) {
        if matches!(error, HandshakeError::Gone) {
            return;
        }
        if let Some(before) = self.failures.pass() {
            tracing::info!(target: TARGET, %error, not_logged = before, "no TLS with a client");
        }
    }
}

/// Looks at the first byte, and answers plain HTTP.
async fn is_tls(socket: &TcpStream) -> Result<(), HandshakeError> {
    let mut first = [0];
    match socket.peek(&mut first).await {
        Ok(0) | Err(_) => Err(HandshakeError::Gone),
        Ok(_) if first == [HANDSHAKE_RECORD] => Ok(()),
        Ok(_) => {
            // Closing a socket with unread bytes resets the connection, and the client may lose the answer.
            let mut sent = [0; 4096];
            let _ = socket.try_read(&mut sent);
            let _ = socket.try_write(PLAIN);
            Err(HandshakeError::Plain)
        }
    }
}

/// The certificate that the client has shown, as RFC 9440 has it in a header.
fn shown(session: &rustls::ServerConnection) -> Option<HeaderValue> {
    let certificate = session.peer_certificates()?.first()?;
    let text = format!(":{}:", data_encoding::BASE64.encode(certificate));
    HeaderValue::from_str(&text).ok()
}

#[cfg(test)]
mod tests {
    use super::PLAIN;

    #[test]
    fn the_answer_to_plain_http_has_the_length_that_it_says() {
        let text = str::from_utf8(PLAIN).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("content-length: {}\r\n", body.len())), "{}", body.len());
    }
}
