// SPDX-License-Identifier: BSD-3-Clause
//! Certificates of an authority of its own, made by `openssl`, and clients over TLS.

// The lints' leave for tests does not reach their helpers.
#![allow(clippy::expect_used, clippy::unwrap_used)]

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ALL_VERSIONS, ClientConfig, RootCertStore, SupportedProtocolVersion};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::common::{Answer, soon};

/// A folder with an authority: `ca.pem`.
pub(crate) struct World {
    folder: TempDir,
}

impl World {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let authority = "req -x509 -days 2 -subj /CN=authority -keyout ca.key -out ca.pem";
        openssl(folder.path(), &format!("{authority} {NEW_KEY}"));
        Self { folder }
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn file(&self, name: &str) -> String {
        self.path().join(name).display().to_string()
    }

    /// `NAME.pem` and `NAME.key`, for these DNS names, signed by the authority.
    pub(crate) fn certificate(&self, name: &str, dns: &[&str]) {
        let folder = self.path();
        let request = format!("req -subj /CN={name} -keyout {name}.key -out {name}.csr {NEW_KEY}");
        openssl(folder, &request);
        let names: Vec<_> = dns.iter().map(|name| format!("DNS:{name}")).collect();
        let extensions = format!("basicConstraints=CA:FALSE\nsubjectAltName={}\n", names.join(","));
        fs::write(folder.join(format!("{name}.ext")), extensions).unwrap();
        let signs = format!(
            "x509 -req -days 2 -in {name}.csr -CA ca.pem -CAkey ca.key -CAcreateserial -extfile \
             {name}.ext -out {name}.pem"
        );
        openssl(folder, &signs);
    }

    pub(crate) fn der(&self, file: &str) -> CertificateDer<'static> {
        CertificateDer::from_pem_file(self.path().join(file)).unwrap()
    }

    /// A client that trusts the authority.
    pub(crate) fn client(&self) -> Client {
        let mut roots = RootCertStore::empty();
        roots.add(self.der("ca.pem")).unwrap();
        Client { roots: Arc::new(roots), shows: None, alpn: vec![], versions: ALL_VERSIONS }
    }

    /// One that shows a certificate, too.
    pub(crate) fn client_with(&self, name: &str) -> Client {
        let key = PrivateKeyDer::from_pem_file(self.path().join(format!("{name}.key"))).unwrap();
        let certificate = self.der(&format!("{name}.pem"));
        Client { shows: Some((certificate, Arc::new(key))), ..self.client() }
    }
}

const NEW_KEY: &str = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes";

pub(crate) fn openssl(folder: &Path, arguments: &str) {
    let output = Command::new("openssl")
        .args(arguments.split_whitespace())
        .current_dir(folder)
        .output()
        .expect("openssl on PATH");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// How a client connects.
#[derive(Clone)]
pub(crate) struct Client {
    roots: Arc<RootCertStore>,
    shows: Option<(CertificateDer<'static>, Arc<PrivateKeyDer<'static>>)>,
    pub(crate) alpn: Vec<&'static str>,
    pub(crate) versions: &'static [&'static SupportedProtocolVersion],
}

impl Client {
    pub(crate) fn config(&self) -> ClientConfig {
        let builder = ClientConfig::builder_with_protocol_versions(self.versions)
            .with_root_certificates(Arc::clone(&self.roots));
        let mut config = match &self.shows {
            Some((certificate, key)) => {
                builder.with_client_auth_cert(vec![certificate.clone()], key.clone_key()).unwrap()
            }
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = self.alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        config
    }

    pub(crate) async fn connect(
        &self,
        addr: SocketAddr,
        name: &str,
    ) -> std::io::Result<TlsStream<TcpStream>> {
        let socket = TcpStream::connect(addr).await?;
        let connector = TlsConnector::from(Arc::new(self.config()));
        soon(connector.connect(ServerName::try_from(name.to_owned()).unwrap(), socket)).await
    }

    /// One request over HTTP/1.1 on a connection of its own.
    pub(crate) async fn send(
        &self,
        addr: SocketAddr,
        request: Request<Full<Bytes>>,
    ) -> std::io::Result<Answer> {
        let stream = self.connect(addr, "localhost").await?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .map_err(std::io::Error::other)?;
        tokio::spawn(connection);
        answer(sender.send_request(request)).await
    }

    /// One request over HTTP/2.
    pub(crate) async fn send2(
        &self,
        addr: SocketAddr,
        request: Request<Full<Bytes>>,
    ) -> std::io::Result<Answer> {
        let stream = self.connect(addr, "localhost").await?;
        let io = TokioIo::new(stream);
        let handshake = hyper::client::conn::http2::handshake(TokioExecutor::new(), io);
        let (mut sender, connection) = handshake.await.map_err(std::io::Error::other)?;
        tokio::spawn(connection);
        answer(sender.send_request(request)).await
    }
}

async fn answer(
    response: impl Future<Output = hyper::Result<hyper::Response<hyper::body::Incoming>>>,
) -> std::io::Result<Answer> {
    let (head, body) = soon(response).await.map_err(std::io::Error::other)?.into_parts();
    let body = soon(body.collect()).await.map_err(std::io::Error::other)?.to_bytes();
    Ok(Answer { status: head.status, headers: head.headers, body })
}
