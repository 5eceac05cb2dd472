// SPDX-License-Identifier: BSD-3-Clause
//! TLS to upstream servers: from files to a client's settings.

use std::io;
use std::path::Path;
use std::sync::Arc;

use hyper_rustls::{
    DefaultServerNameResolver, FixedServerNameResolver, HttpsConnector, ResolveServerName,
};
use hyper_util::client::legacy::connect::HttpConnector;
use rustls::crypto::ring;
use rustls::pki_types::ServerName;
use rustls::version::{TLS12, TLS13};
use rustls::{CertificateError, ClientConfig, Error, RootCertStore};

use super::load::{certificates, private_key};
use crate::config::{Complaint, KeyPath, UpstreamTlsConfig};

/// Settings that every file was read for.
#[derive(Clone)]
pub(crate) struct ClientTls {
    config: Arc<ClientConfig>,
    names: Arc<dyn ResolveServerName + Send + Sync>,
}

impl ClientTls {
    /// Reads the files of `tls`, which is at `path` of the configuration.
    ///
    /// # Errors
    /// The first file that cannot be used, with the key that names it.
    pub(crate) fn read(path: &KeyPath, tls: &UpstreamTlsConfig) -> Result<Self, Complaint> {
        let failed = |cause: String| {
            let what = format!("`{path}` cannot be used");
            Complaint::new(path.clone(), what, "check its files").because(cause)
        };
        let names: Arc<dyn ResolveServerName + Send + Sync> = match &tls.server_name {
            None => Arc::new(DefaultServerNameResolver::default()),
            Some(name) => Arc::new(FixedServerNameResolver::new(server_name(path, name)?)),
        };
        let roots = match &tls.ca {
            Some(file) => roots_of(&path.clone().key("ca"), file)?,
            None => roots_of_system(path)?,
        };
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(&[&TLS13, &TLS12])
            .map_err(|error| failed(error.to_string()))?
            .with_root_certificates(roots);
        let mut config = match (&tls.certificate, &tls.key) {
            (Some(certificate), Some(key)) => {
                let chain = certificates(&path.clone().key("certificate"), certificate)?;
                let key = private_key(&path.clone().key("key"), key)?;
                let shown = builder.with_client_auth_cert(chain, key);
                shown.map_err(|error| failed(error.to_string()))?
            }
            _ => builder.with_no_client_auth(),
        };
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self { config: Arc::new(config), names })
    }

    /// Speaks TLS to what is `https`, over the connections that `tcp` opens.
    pub(crate) fn connector(self, mut tcp: HttpConnector) -> HttpsConnector<HttpConnector> {
        tcp.enforce_http(false);
        HttpsConnector::new(tcp, self.config, false, self.names)
    }
}

/// What to do about a connection that TLS has failed on; `None`: it was something else.
pub(crate) fn hint_of(error: &(dyn std::error::Error + 'static)) -> Option<&'static str> {
    // The session's error comes in the socket's, which may come in another one.
    let mut error = error;
    while let Some(outer) = error.downcast_ref::<io::Error>() {
        error = outer.get_ref()?;
    }
    let Error::InvalidCertificate(error) = error.downcast_ref()? else {
        return Some("see whether the server speaks TLS on this port, and its log");
    };
    // Webpki's own errors have no type here.
    let is_of_authority = format!("{error:?}").contains("CaUsedAsEndEntity");
    Some(match error {
        _ if is_of_authority => {
            "the server shows the certificate of an authority: one that it signed itself needs `basicConstraints=CA:FALSE`"
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "set `server_name` in `tls` of the route's `upstream` to a name of the certificate"
        }
        _ => {
            "see whether `ca` in `tls` of the route's `upstream` has signed the server's certificate"
        }
    })
}

fn server_name(path: &KeyPath, name: &str) -> Result<ServerName<'static>, Complaint> {
    let at = path.clone().key("server_name");
    ServerName::try_from(name.to_owned()).map_err(|error| {
        let what = format!("`{at}` is `{name}`, which no certificate can have");
        Complaint::new(at, what, "write a DNS name or an address, without a port")
            .because(error.to_string())
    })
}

fn roots_of(path: &KeyPath, file: &Path) -> Result<RootCertStore, Complaint> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path, file)? {
        roots.add(certificate).map_err(|error| {
            let what = format!("`{path}` is `{}`, which signs no certificates", file.display());
            Complaint::new(path.clone(), what, "name a file of CA certificates, as PEM")
                .because(error.to_string())
        })?;
    }
    Ok(roots)
}

/// Those that the system trusts; what it has beside certificates that can be used is left out.
fn roots_of_system(path: &KeyPath) -> Result<RootCertStore, Complaint> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    let (used, _) = roots.add_parsable_certificates(found.certs);
    if used > 0 {
        return Ok(roots);
    }
    let cause = found.errors.first().map_or("it has none".to_owned(), ToString::to_string);
    let at = path.clone().key("ca");
    Err(Complaint::new(
        at.clone(),
        format!("`{at}` is not set, and the system trusts no certificates"),
        "install the package `ca-certificates`, or name a file of CA certificates: `ca = \"ca.pem\"`",
    )
    .because(cause))
}
