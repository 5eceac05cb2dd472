// SPDX-License-Identifier: BSD-3-Clause
//! One request on one connection, for what wrk does not do.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::Request;
use hyper::client::conn::http1;
use hyper::header::HOST;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::error::Error;

/// The time limit of a request: longer than the gateway's deadlines in the proof.
const SECONDS_MAX: u64 = 20;

/// What was answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Bytes,
}

pub(crate) async fn get(address: SocketAddr, path: &str) -> Result<Answer, Error> {
    request(address, Request::get(path), path, Bytes::new()).await
}

pub(crate) async fn post(address: SocketAddr, path: &str, body: Bytes) -> Result<Answer, Error> {
    request(address, Request::post(path), path, body).await
}

async fn request(
    address: SocketAddr,
    request: hyper::http::request::Builder,
    path: &str,
    body: Bytes,
) -> Result<Answer, Error> {
    let failed =
        |cause: &dyn ToString| Error::request(format!("http://{address}{path}"), cause.to_string());
    let request = request
        .header(HOST, address.to_string())
        .body(Full::new(body))
        .map_err(|error| failed(&error))?;
    let exchange = async {
        let socket = TcpStream::connect(address).await.map_err(|error| failed(&error))?;
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(socket)).await.map_err(|error| failed(&error))?;
        // It ends with `sender`; what fails in it fails the request too.
        tokio::spawn(connection);
        let answer = sender.send_request(request).await.map_err(|error| failed(&error))?;
        let status = answer.status().as_u16();
        let body = answer.into_body().collect().await.map_err(|error| failed(&error))?.to_bytes();
        Ok(Answer { status, body })
    };
    timeout(Duration::from_secs(SECONDS_MAX), exchange)
        .await
        .map_err(|_| Error::TooLong { what: "a request", seconds: SECONDS_MAX })?
}
