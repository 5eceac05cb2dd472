// SPDX-License-Identifier: BSD-3-Clause
//! gRPC over a Unix socket to a process of its own, as tonic has it: unary calls whose messages are the
//! bytes, so that nothing is spent on encoding them.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::io::Write as _;
use std::task::{Context, Poll};

use bytes::{Buf as _, BufMut as _, Bytes};
use futures_util::stream::unfold;
use tokio::net::UnixListener;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::codegen::http::uri::PathAndQuery;
use tonic::codegen::{BoxFuture, Service, http};
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Response, Status};

use super::ours::payload;
use super::server::{Server, no_server};
use crate::error::{BenchError, check};
use crate::harness::Contestant;

/// The argument that makes this program a server.
pub(crate) const SERVE: &str = "--serve-grpc";
/// Its column.
pub(super) const COLUMN: &str = "gRPC (tonic)";

const METHOD: &str = "/bench.Echo/Echo";

/// Calls of one task, one after the other.
pub(super) fn calls(bytes: usize) -> Result<Contestant, BenchError> {
    let itself = std::env::current_exe().map_err(no_server)?;
    let server = Server::start(&[itself.into(), SERVE.into()])?;
    let runtime = super::runtime()?;
    let address = format!("unix://{}", server.socket.display());
    let endpoint = Endpoint::try_from(address).map_err(failed)?;
    let channel: Channel = runtime.block_on(endpoint.connect()).map_err(failed)?;
    let mut client = tonic::client::Grpc::new(channel);
    let sent = Bytes::from(payload(bytes));
    Ok(Contestant::timed(COLUMN, move |n| {
        let _runs = &server;
        runtime.block_on(async {
            for _ in 0..n {
                client.ready().await.map_err(failed)?;
                let request = Request::new(sent.clone());
                let path = PathAndQuery::from_static(METHOD);
                let answer = client.unary(request, path, Raw).await.map_err(failed)?;
                check(COLUMN, "an answer", &sent, answer.get_ref())?;
            }
            Ok(())
        })
    }))
}

/// This program as the server.
pub(crate) fn serve(path: &str) -> Result<(), BenchError> {
    super::runtime()?.block_on(async {
        let listener = UnixListener::bind(path).map_err(no_server)?;
        let mut output = std::io::stdout();
        output.write_all(b"ready\n").and_then(|()| output.flush()).map_err(no_server)?;
        let incoming = Box::pin(unfold(listener, |listener| async {
            let accepted = listener.accept().await.map(|(socket, _)| socket);
            Some((accepted, listener))
        }));
        let server = tonic::transport::Server::builder();
        server.serve_with_incoming(Echo, incoming).await.map_err(failed)
    })
}

fn failed(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> BenchError {
    BenchError::host(COLUMN, error)
}

/// The service.
#[derive(Clone)]
struct Echo;

impl Service<http::Request<tonic::body::Body>> for Echo {
    type Response = http::Response<tonic::body::Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Infallible>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<tonic::body::Body>) -> Self::Future {
        Box::pin(async { Ok(tonic::server::Grpc::new(Raw).unary(Method, request).await) })
    }
}

/// Its method.
struct Method;

impl Service<Request<Bytes>> for Method {
    type Response = Response<Bytes>;
    type Error = Status;
    type Future = Ready<Result<Response<Bytes>, Status>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Status>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Bytes>) -> Self::Future {
        ready(Ok(Response::new(request.into_inner())))
    }
}

/// Bytes as they are.
struct Raw;

impl Codec for Raw {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, into: &mut EncodeBuf<'_>) -> Result<(), Status> {
        into.put(item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(from.copy_to_bytes(from.remaining())))
    }
}
