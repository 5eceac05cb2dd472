// SPDX-License-Identifier: BSD-3-Clause
//! Connections to upstream servers, with or without TLS, each within its time.

use std::error::Error;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
#[cfg(feature = "tls")]
use hyper_rustls::{HttpsConnector, MaybeHttpsStream};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tower_service::Service;

use crate::tls::ClientTls;

type BoxError = Box<dyn Error + Send + Sync>;

#[cfg(feature = "tls")]
type Stream = MaybeHttpsStream<TokioIo<TcpStream>>;
#[cfg(not(feature = "tls"))]
type Stream = TokioIo<TcpStream>;

/// Opens connections for hyper's client.
#[derive(Clone)]
pub(super) struct Connector {
    way: Way,
    /// For the whole of one, the handshake included.
    within: Duration,
}

#[derive(Clone)]
enum Way {
    /// Refuses what is `https`.
    Plain(HttpConnector),
    #[cfg(feature = "tls")]
    Tls(HttpsConnector<HttpConnector>),
}

impl Connector {
    pub(super) fn new(within: Duration, tls: Option<ClientTls>) -> Self {
        let mut tcp = HttpConnector::new();
        tcp.set_nodelay(true);
        // Several addresses of a name share it.
        tcp.set_connect_timeout(Some(within));
        let way = match tls {
            None => Way::Plain(tcp),
            #[cfg(feature = "tls")]
            Some(tls) => Way::Tls(tls.connector(tcp)),
            #[cfg(not(feature = "tls"))]
            Some(none) => match none {},
        };
        Self { way, within }
    }
}

impl Service<Uri> for Connector {
    type Response = Stream;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Stream, BoxError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        match &mut self.way {
            Way::Plain(tcp) => tcp.poll_ready(cx).map_err(Into::into),
            #[cfg(feature = "tls")]
            Way::Tls(tls) => tls.poll_ready(cx),
        }
    }

    fn call(&mut self, server: Uri) -> Self::Future {
        let within = self.within;
        let late = move |_| {
            let text = format!("no connection within {} ms", within.as_millis());
            BoxError::from(io::Error::new(io::ErrorKind::TimedOut, text))
        };
        match &mut self.way {
            Way::Plain(tcp) => {
                let connecting = timeout(within, tcp.call(server));
                Box::pin(async move { Ok(plain(connecting.await.map_err(late)??)) })
            }
            #[cfg(feature = "tls")]
            Way::Tls(tls) => {
                let connecting = timeout(within, tls.call(server));
                Box::pin(async move { connecting.await.map_err(late)? })
            }
        }
    }
}

#[cfg(feature = "tls")]
fn plain(stream: TokioIo<TcpStream>) -> Stream {
    MaybeHttpsStream::Http(stream)
}

#[cfg(not(feature = "tls"))]
fn plain(stream: TokioIo<TcpStream>) -> Stream {
    stream
}
