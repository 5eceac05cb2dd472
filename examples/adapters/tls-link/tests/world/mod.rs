// SPDX-License-Identifier: BSD-3-Clause
//! Certificates of an authority of its own, made by `openssl`, and links between two sides of this process.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, LazyLock};
use std::thread;

use becket_ipc::transport::{LinkLimits, Peer};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tls_link::{HandshakeError, TlsLink};

/// The settings of both sides.
pub(crate) struct Configs {
    pub(crate) server: Arc<ServerConfig>,
    pub(crate) client: Arc<ClientConfig>,
}

/// One authority for a process.
pub(crate) static CONFIGS: LazyLock<Configs> = LazyLock::new(Configs::new);

impl Configs {
    /// Those of an authority that no other side knows.
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        openssl(folder, "req -x509 -days 2 -subj /CN=authority -keyout ca.key -out ca.pem", true);
        openssl(folder, "req -subj /CN=localhost -keyout it.key -out it.csr", true);
        let extensions = "basicConstraints=CA:FALSE\nsubjectAltName=DNS:localhost\n";
        fs::write(folder.join("extensions"), extensions).unwrap();
        let signs = "x509 -req -days 2 -in it.csr -CA ca.pem -CAkey ca.key -CAcreateserial \
                     -extfile extensions -out it.pem";
        openssl(folder, signs, false);
        let certificate = |name| CertificateDer::from_pem_file(folder.join(name)).unwrap();
        let key = PrivateKeyDer::from_pem_file(folder.join("it.key")).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(certificate("ca.pem")).unwrap();
        let server = ServerConfig::builder().with_no_client_auth();
        let server = server.with_single_cert(vec![certificate("it.pem")], key).unwrap();
        let client = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        Self { server: Arc::new(server), client: Arc::new(client) }
    }
}

fn openssl(folder: &Path, arguments: &str, makes_key: bool) {
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes";
    let arguments = [arguments, if makes_key { key } else { "" }];
    let output = Command::new("openssl")
        .args(arguments.iter().flat_map(|part| part.split_whitespace()))
        .current_dir(folder)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Two ends of a TCP connection on loopback.
pub(crate) fn sockets() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let one = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    (one, listener.accept().unwrap().0)
}

/// What both sides have after a handshake with these settings: the client, the server.
pub(crate) fn handshake(
    client: &Configs,
    server: &Configs,
    name: &str,
    limits: LinkLimits,
) -> (Result<TlsLink, HandshakeError>, Result<TlsLink, HandshakeError>) {
    let (one, other) = sockets();
    let server = Arc::clone(&server.server);
    let accepts = thread::spawn(move || tls_link::server(other, server, limits, Peer::own()));
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let client = tls_link::client(one, name, Arc::clone(&client.client), limits, Peer::own());
    (client, accepts.join().unwrap())
}

/// Two links: the client's, the server's.
pub(crate) fn links(limits: LinkLimits) -> (TlsLink, TlsLink) {
    let (client, server) = handshake(&CONFIGS, &CONFIGS, "localhost", limits);
    (client.unwrap(), server.unwrap())
}
