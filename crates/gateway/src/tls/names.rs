// SPDX-License-Identifier: BSD-3-Clause
//! The certificate for the name that a client asks for (SNI).
//!
//! Certificates are tried in the order of the configuration, and the first that is valid for the name is used,
//! wildcards included. A client that asks for no name, or for one that no certificate has, gets the first: it is
//! the client that refuses it then.

use std::sync::Arc;

use rustls::client::verify_server_name;
use rustls::pki_types::ServerName;
use rustls::server::{ClientHello, ParsedCertificate, ResolvesServerCert};
use rustls::sign::CertifiedKey;

/// Certificates with their keys.
#[derive(Debug)]
pub(super) struct ByName {
    first: Arc<CertifiedKey>,
    more: Vec<Arc<CertifiedKey>>,
}

impl ByName {
    /// `None` without a certificate.
    pub(super) fn new(keys: Vec<CertifiedKey>) -> Option<Self> {
        let mut keys = keys.into_iter().map(Arc::new);
        Some(Self { first: keys.next()?, more: keys.collect() })
    }

    fn find(&self, name: &str) -> Option<&Arc<CertifiedKey>> {
        // One certificate alone is used for every name.
        if self.more.is_empty() {
            return None;
        }
        let name = ServerName::try_from(name).ok()?;
        std::iter::once(&self.first).chain(&self.more).find(|key| {
            let certificate = key.end_entity_cert().ok();
            let certificate = certificate.and_then(|it| ParsedCertificate::try_from(it).ok());
            certificate.is_some_and(|it| verify_server_name(&it, &name).is_ok())
        })
    }
}

impl ResolvesServerCert for ByName {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let found = hello.server_name().and_then(|name| self.find(name));
        Some(Arc::clone(found.unwrap_or(&self.first)))
    }
}
