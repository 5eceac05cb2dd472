// SPDX-License-Identifier: BSD-3-Clause
//! The client of a connection, and what is done for each of its requests beside answering it.
//!
//! Where clients are asked for certificates, a plugin gets that of the client in the header `client-cert`, as RFC
//! 9440 has it: the certificate's DER in Base64, between colons.
//!
//! # Invariants
//!
//! 1. A connection for whose requests nothing is to be done has no [`Client`]: they pay for one branch.
//! 2. Where clients are asked for certificates, `client-cert` and `client-cert-chain` come from the gateway
//!    alone: what a client sends under these names is removed.

use std::net::IpAddr;

use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use super::record::{Recorders, Records};
use crate::clients::TooMany;
use crate::config::HttpLimits;
use crate::problem::Problem;
use crate::router::Table;
use crate::shared::Shared;
use crate::stats::Refusal;

const CLIENT_CERT: HeaderName = HeaderName::from_static("client-cert");
const CLIENT_CERT_CHAIN: HeaderName = HeaderName::from_static("client-cert-chain");

/// What the handshake of TLS has shown.
#[derive(Debug, Clone, Default)]
pub(crate) enum ClientCertificate {
    /// Clients are not asked for one.
    #[default]
    NotAsked,
    /// The certificate as a header's value, if the client has one.
    #[cfg_attr(not(feature = "tls"), allow(dead_code, reason = "a handshake makes it"))]
    Asked(Option<HeaderValue>),
}

/// The other end of a connection.
#[derive(Debug, Clone, Default)]
pub(crate) struct Peer {
    pub(super) address: Option<IpAddr>,
    /// It has made a handshake of TLS.
    pub(super) is_tls: bool,
    pub(super) certificate: ClientCertificate,
}

/// See the module's documentation.
#[derive(Debug, Clone)]
pub(super) struct Client {
    peer: Peer,
    recorders: Recorders,
    makes_traces: bool,
    /// `None`: its requests are not counted.
    counted: Option<(IpAddr, HttpLimits)>,
}

impl Client {
    /// `None` if nothing is to be done for its requests.
    pub(super) fn new(peer: Peer, recorders: Recorders, table: &Table) -> Option<Box<Self>> {
        let is_asked = !matches!(peer.certificate, ClientCertificate::NotAsked);
        let makes_traces = table.makes_traces;
        let is_limited = table.limits.client_requests_per_second_max > 0;
        let counted = peer.address.filter(|_| is_limited);
        let counted = counted.map(|address| (address, table.limits.clone()));
        let is_needed = is_asked || makes_traces || counted.is_some() || !recorders.is_empty();
        is_needed.then(|| Box::new(Self { peer, recorders, makes_traces, counted }))
    }

    /// Changes a request's head to what the plugin may believe. The request's records, if there are any; and why it is
    /// refused, if it is one too many.
    #[cold]
    pub(super) fn begin(
        &self,
        shared: &Shared,
        head: &mut Parts,
    ) -> (Option<Box<Records>>, Option<Problem>) {
        self.peer.mark(&mut head.headers);
        let Peer { address, is_tls, .. } = self.peer;
        let records = self.recorders.begin(head, address, is_tls, self.makes_traces);
        (records, self.refuse(shared))
    }

    fn refuse(&self, shared: &Shared) -> Option<Problem> {
        let (address, limits) = self.counted.as_ref()?;
        shared.clients.request(*address, limits).err().map(|TooMany| {
            shared.stats.refuse(Refusal::ClientRequests);
            let max = limits.client_requests_per_second_max;
            Problem::new(StatusCode::TOO_MANY_REQUESTS, "too many requests from this address")
                .cause(format!("it may send {max} in a second"))
                .hint("send fewer, or raise limits.client_requests_per_second_max")
                .retry()
        })
    }
}

impl Peer {
    /// Changes the headers of a request to what the plugin may believe.
    fn mark(&self, headers: &mut HeaderMap) {
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
            Peer { certificate, ..Peer::default() }.mark(&mut headers);
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
