// SPDX-License-Identifier: BSD-3-Clause
//! The client of a connection, as far as its requests are concerned.
//!
//! Where clients are asked for certificates, a plugin gets that of the client in the header `client-cert`, as RFC
//! 9440 has it: the certificate's DER in Base64, between colons.
//!
//! # Invariants
//!
//! 1. Where clients are asked for certificates, `client-cert` and `client-cert-chain` come from the gateway
//!    alone: what a client sends under these names is removed.

use http::{HeaderMap, HeaderName, HeaderValue};

const CLIENT_CERT: HeaderName = HeaderName::from_static("client-cert");
const CLIENT_CERT_CHAIN: HeaderName = HeaderName::from_static("client-cert-chain");

/// What the handshake of TLS has shown.
#[derive(Debug, Clone, Default)]
pub(crate) enum ClientCertificate {
    /// Clients are not asked for one.
    #[default]
    NotAsked,
    /// The certificate as a header's value, if the client has one.
    #[cfg_attr(not(feature = "tls"), expect(dead_code))]
    Asked(Option<HeaderValue>),
}

/// See the module's documentation.
#[derive(Debug, Clone, Default)]
pub(crate) struct Peer {
    pub(super) certificate: ClientCertificate,
}

impl Peer {
    /// Whether its requests need no change.
    pub(super) fn is_plain(&self) -> bool {
        matches!(self.certificate, ClientCertificate::NotAsked)
    }

    /// Changes the headers of a request to what the plugin may believe.
    pub(super) fn mark(&self, headers: &mut HeaderMap) {
        let ClientCertificate::Asked(certificate) = &self.certificate else { return };
        headers.remove(CLIENT_CERT_CHAIN);
        match certificate {
            Some(certificate) => _ = headers.insert(CLIENT_CERT, certificate.clone()),
            None => _ = headers.remove(CLIENT_CERT),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_client_writes_is_no_certificate() {
        let forged = HeaderValue::from_static(":forged:");
        let marked = |certificate| {
            let mut headers = HeaderMap::new();
            headers.append(CLIENT_CERT, forged.clone());
            headers.append(CLIENT_CERT, forged.clone());
            headers.append(CLIENT_CERT_CHAIN, forged.clone());
            Peer { certificate }.mark(&mut headers);
            let left = headers.get_all(CLIENT_CERT).iter().cloned().collect::<Vec<_>>();
            (left, headers.contains_key(CLIENT_CERT_CHAIN))
        };
        let own = HeaderValue::from_static(":own:");
        assert_eq!(marked(ClientCertificate::Asked(None)), (vec![], false));
        assert_eq!(marked(ClientCertificate::Asked(Some(own.clone()))), (vec![own], false));
        let untouched = vec![forged.clone(), forged.clone()];
        assert_eq!(marked(ClientCertificate::NotAsked), (untouched, true));
    }
}
