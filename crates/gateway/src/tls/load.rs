// SPDX-License-Identifier: BSD-3-Clause
//! From files to a server's settings. Every file is read and every key compared with its certificate.

use std::path::Path;
use std::sync::Arc;

use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{ParsedCertificate, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::version::{TLS12, TLS13};
use rustls::{Error, InconsistentKeys, RootCertStore, ServerConfig};

use super::names::ByName;
use crate::config::{
    ClientCertificates, Complaint, KeyPath, TlsConfig, check_private, read_file, tls_root,
};

/// The longest file of certificates or keys.
const FILE_BYTES_MAX: u64 = 1 << 20;

pub(super) fn server_config(config: &TlsConfig) -> Result<Arc<ServerConfig>, Complaint> {
    let provider = Arc::new(ring::default_provider());
    let keys = config
        .pairs()
        .map(|(path, certificate, key)| certified(&path, certificate, key, &provider))
        .collect::<Result<_, _>>()?;
    let failed = |error: Error| {
        Complaint::new(tls_root(), "TLS cannot be set up".to_owned(), "check the files of [tls]")
            .because(error.to_string())
    };
    let names = ByName::new(keys).ok_or_else(|| failed(Error::NoCertificatesPresented))?;
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&TLS13, &TLS12])
        .map_err(failed)?;
    let mut server = match verifier(config, provider)? {
        Some(verifier) => builder.with_client_cert_verifier(verifier),
        None => builder.with_no_client_auth(),
    }
    .with_cert_resolver(Arc::new(names));
    server.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    // Tickets and no table of sessions: nothing grows with clients.
    server.ticketer = ring::Ticketer::new().map_err(failed)?;
    server.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
    Ok(Arc::new(server))
}

/// A certificate with the key that belongs to it.
fn certified(
    path: &KeyPath,
    certificate: &Path,
    key: &Path,
    provider: &CryptoProvider,
) -> Result<CertifiedKey, Complaint> {
    let at_certificate = path.clone().key("certificate");
    let at_key = path.clone().key("key");
    let chain = certificates(&at_certificate, certificate)?;
    let secret = private_key(&at_key, key)?;
    CertifiedKey::from_der(chain, secret, provider).map_err(|error| match error {
        Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => Complaint::new(
            at_key.clone(),
            format!("`{at_key}` is `{}`, which is the key of another certificate", key.display()),
            "name the key that the certificate was requested with",
        )
        .because(format!("`{at_certificate}` is `{}`", certificate.display())),
        Error::InvalidCertificate(error) => Complaint::new(
            at_certificate.clone(),
            format!(
                "`{at_certificate}` is `{}`, which is no certificate of a server",
                certificate.display()
            ),
            "write the server's own certificate first, then those that sign it",
        )
        .because(error.to_string()),
        // Of the key alone, and without a word of it.
        _ => Complaint::new(
            at_key.clone(),
            format!("`{at_key}` is `{}`, which is no key that can sign", key.display()),
            "use an RSA key of 2048 bits or more, ECDSA with P-256 or P-384, or Ed25519",
        ),
    })
}

/// The check of clients' certificates, where they are asked for one.
fn verifier(
    config: &TlsConfig,
    provider: Arc<CryptoProvider>,
) -> Result<Option<Arc<dyn ClientCertVerifier>>, Complaint> {
    let Some(file) = config.client_ca.as_deref() else { return Ok(None) };
    let path = tls_root().key("client_ca");
    let wrong = |cause: String| {
        let what = format!("`{path}` is `{}`, which signs no certificates", file.display());
        Complaint::new(path.clone(), what, "name a file of CA certificates, as PEM").because(cause)
    };
    let mut roots = RootCertStore::empty();
    for certificate in certificates(&path, file)? {
        roots.add(certificate).map_err(|error| wrong(error.to_string()))?;
    }
    let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
    let builder = match config.client_certificates {
        ClientCertificates::Off => return Ok(None),
        ClientCertificates::Optional => builder.allow_unauthenticated(),
        ClientCertificates::Required => builder,
    };
    builder.build().map(Some).map_err(|error| wrong(error.to_string()))
}

pub(super) fn certificates(
    path: &KeyPath,
    file: &Path,
) -> Result<Vec<CertificateDer<'static>>, Complaint> {
    let text = read_file(path, file, FILE_BYTES_MAX)?;
    let chain = CertificateDer::pem_slice_iter(&text).collect::<Result<Vec<_>, _>>();
    let chain = chain.map_err(|error| no_pem(path, file, "certificate", &error))?;
    let Some(first) = chain.first() else {
        return Err(no_pem(path, file, "certificate", &pem::Error::NoItemsFound));
    };
    ParsedCertificate::try_from(first).map_err(|error| {
        let what = format!("`{path}` is `{}`, which holds no certificate", file.display());
        Complaint::new(path.clone(), what, "make the file again").because(error.to_string())
    })?;
    Ok(chain)
}

pub(super) fn private_key(
    path: &KeyPath,
    file: &Path,
) -> Result<PrivateKeyDer<'static>, Complaint> {
    check_private(path, file)?;
    let text = read_file(path, file, FILE_BYTES_MAX)?;
    PrivateKeyDer::from_pem_slice(&text).map_err(|error| no_pem(path, file, "private key", &error))
}

/// No error of the parser is shown: it may quote a line of the file.
fn no_pem(path: &KeyPath, file: &Path, what: &str, error: &pem::Error) -> Complaint {
    let hint = match what {
        "certificate" => {
            "it has lines `-----BEGIN CERTIFICATE-----`; convert DER by `openssl x509`"
        }
        _ => {
            "it has a line `-----BEGIN PRIVATE KEY-----`, and no passphrase; convert it by `openssl pkey`"
        }
    };
    let cause = match error {
        pem::Error::NoItemsFound => format!("there is no {what} in it"),
        pem::Error::MissingSectionEnd { .. } => "its last section has no end".to_owned(),
        _ => "it is not well-formed PEM".to_owned(),
    };
    let message = format!("`{path}` is `{}`, which holds no {what}", file.display());
    Complaint::new(path.clone(), message, hint).because(cause)
}
