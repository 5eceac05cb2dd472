// SPDX-License-Identifier: BSD-3-Clause
//! The peer: a hyper server that answers by itself, with the same bytes.

use std::convert::Infallible;
use std::net::SocketAddr;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{CONTENT_TYPE, HeaderValue, X_CONTENT_TYPE_OPTIONS};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, body::Incoming};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

use crate::error::BenchError;

/// What the plugin's entry `hello` answers.
const TEXT: &[u8] = b"Hello, world!";

/// Serves on the calling runtime until that ends.
pub(super) async fn start() -> Result<SocketAddr, BenchError> {
    let failed = |source| BenchError::System { what: "listen on the loopback", source };
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.map_err(failed)?;
    let addr = listener.local_addr().map_err(failed)?;
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            // As in the gateway: a small answer does not wait for an acknowledgement.
            let _ = socket.set_nodelay(true);
            let connection = http1::Builder::new()
                .header_read_timeout(None)
                .serve_connection(TokioIo::new(socket), service_fn(answer));
            // An error is the client's end of the connection.
            tokio::spawn(async move { drop(connection.await) });
        }
    });
    Ok(addr)
}

async fn answer(_: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let mut response = Response::new(Full::new(Bytes::from_static(TEXT)));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    Ok(response)
}
