// SPDX-License-Identifier: BSD-3-Clause
//! Nodes that offer plugins, for the test programs of the placement `cluster`.

#![allow(dead_code, unreachable_pub, reason = "each test program uses its own part")]

#[path = "../server/mod.rs"]
pub mod server;
pub mod through;

use std::sync::{Arc, LazyLock};

use becket_cluster::{ClusterPlugin, Connection, Offer, offer};
use becket_host::{Host, Limits, Plugin, PluginSpec};
use futures_lite::future::block_on;
pub use server::Server;

/// The server of a test program, with a connection for hosts and one for nodes.
pub struct Shared {
    pub server: Server,
    pub host: Connection,
    pub node: Connection,
}

pub fn shared() -> &'static Shared {
    static SHARED: LazyLock<Shared> = LazyLock::new(|| {
        let server = Server::start();
        let (host, node) = (server.connect(), server.connect());
        Shared { server, host, node }
    });
    &SHARED
}

/// A plugin that a host of this program offers.
pub struct Node {
    pub offer: Offer,
    pub plugin: Plugin,
    pub host: Host,
}

impl Node {
    pub fn start(connection: &Connection, spec: PluginSpec) -> Self {
        let host = Host::new();
        let plugin = host.load(spec).unwrap_or_else(|error| panic!("{error}"));
        let offer = block_on(offer(connection, &plugin)).unwrap();
        Self { offer, plugin, host }
    }
}

/// Loads the plugin that nodes offer by this name.
pub fn load(host: &Host, connection: &Connection, name: &str) -> Plugin {
    load_with(host, connection, name, Limits::default())
}

pub fn load_with(host: &Host, connection: &Connection, name: &str, limits: Limits) -> Plugin {
    let cluster = Arc::new(ClusterPlugin::new(connection, name));
    let spec = PluginSpec::remote(name, cluster).limits(limits);
    host.load(spec).unwrap_or_else(|error| panic!("{error}"))
}
