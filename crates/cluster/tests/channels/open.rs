// SPDX-License-Identifier: BSD-3-Clause
//! Channels on a server, or on three.

use std::time::Duration;

use becket_cluster::{Connection, Kind, Options, Receiver, Sender};
use futures_lite::future::block_on;

use crate::server::Server;
use crate::server::cluster::Cluster;

/// Far longer than anything here takes.
pub(crate) const LONG: Duration = Duration::from_secs(60);

/// Servers on which channels are opened, each over a connection of its own.
pub(crate) trait Open {
    fn connection(&self) -> Connection;

    fn options(&self, options: Options) -> Options {
        options
    }

    fn open(&self, name: &str, kind: Kind) -> (Sender, Receiver) {
        self.open_with(name, kind, Options::default())
    }

    fn open_with(&self, name: &str, kind: Kind, options: Options) -> (Sender, Receiver) {
        block_on(self.connection().open(name, kind, self.options(options))).unwrap()
    }
}

impl Open for Server {
    fn connection(&self) -> Connection {
        self.connect()
    }
}

/// Replicated channels of a namespace.
pub(crate) struct Replicated<'a> {
    pub(crate) cluster: &'a Cluster,
    pub(crate) namespace: &'a str,
}

impl Open for Replicated<'_> {
    fn connection(&self) -> Connection {
        self.cluster.connect()
    }

    fn options(&self, options: Options) -> Options {
        options.namespace(self.namespace).replicas(3)
    }
}
