// SPDX-License-Identifier: BSD-3-Clause
//! Requests to a gateway, one after the other on one connection.

use std::net::SocketAddr;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::Request;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::HOST;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// What was answered.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Bytes,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error(transparent)]
    Socket(#[from] std::io::Error),
    #[error(transparent)]
    Http(#[from] hyper::Error),
    #[error(transparent)]
    Request(#[from] hyper::http::Error),
}

/// A client of one gateway. It connects when there is no connection.
pub(crate) struct Client {
    address: SocketAddr,
    open: Option<SendRequest<Full<Bytes>>>,
}

impl Client {
    pub(crate) const fn new(address: SocketAddr) -> Self {
        Self { address, open: None }
    }

    /// Dropped before its end, or failed, it costs the connection.
    pub(crate) async fn post(&mut self, path: &str, body: Bytes) -> Result<Answer, Failure> {
        let request = Request::post(path).header(HOST, self.address.to_string());
        let request = request.body(Full::new(body))?;
        let mut sender = match self.open.take().filter(|open| !open.is_closed()) {
            Some(open) => open,
            None => {
                let socket = TcpStream::connect(self.address).await?;
                socket.set_nodelay(true)?;
                let (sender, connection) = http1::handshake(TokioIo::new(socket)).await?;
                // It ends with `sender`; what fails in it fails the request too.
                tokio::spawn(connection);
                sender
            }
        };
        sender.ready().await?;
        let answer = sender.send_request(request).await?;
        let status = answer.status().as_u16();
        let body = answer.into_body().collect().await?.to_bytes();
        self.open = Some(sender);
        Ok(Answer { status, body })
    }
}
