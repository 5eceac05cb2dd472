// SPDX-License-Identifier: BSD-3-Clause
//! The module `tls` of a build without the feature: `[tls]` and `https` in a configuration are errors.

use std::convert::Infallible;
use std::sync::Arc;

use tokio::net::TcpStream;

use crate::config::{Complaint, KeyPath, TlsConfig, UpstreamTlsConfig, tls_root};
use crate::serve::{ClientCertificate, Socket};

/// There is none.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Loaded {}

/// There is none.
#[derive(Debug)]
pub(crate) struct Tls(Loaded);

/// There is none.
#[derive(Debug, Clone, Copy)]
pub(crate) enum ClientTls {}

const NO_FEATURE: &str = "it was built without the feature `tls`";

impl Loaded {
    pub(crate) fn read(_: &TlsConfig) -> Result<Self, Complaint> {
        let what = "[tls] is set, and this program has no TLS".to_owned();
        let hint = "use a build with the feature `tls`, or a proxy that terminates TLS";
        Err(Complaint::new(tls_root(), what, hint).because(NO_FEATURE))
    }
}

impl ClientTls {
    pub(crate) fn read(path: &KeyPath, _: &UpstreamTlsConfig) -> Result<Self, Complaint> {
        let what = "an upstream server is https, and this program has no TLS".to_owned();
        let hint = "use a build with the feature `tls`, or a tunnel that speaks TLS";
        Err(Complaint::new(path.clone(), what, hint).because(NO_FEATURE))
    }
}

pub(crate) fn hint_of(_: &(dyn std::error::Error + 'static)) -> Option<&'static str> {
    None
}

impl Tls {
    pub(crate) fn new(loaded: Loaded) -> Arc<Self> {
        match loaded {}
    }

    pub(crate) fn put_in_force(&self, loaded: Loaded) {
        match loaded {}
    }

    pub(crate) async fn accept(
        &self,
        _: TcpStream,
    ) -> Result<(Socket, ClientCertificate), Infallible> {
        match self.0 {}
    }

    pub(crate) fn log(&self, error: &Infallible) {
        match *error {}
    }
}
