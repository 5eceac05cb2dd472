// SPDX-License-Identifier: BSD-3-Clause
//! The gateway as a node of a cluster: what it offers there, and what it calls there.
//!
//! | when | what happens |
//! |---|---|
//! | the start | a connection; without a server, one is made as soon as there is one |
//! | a connection | what is local and not offered yet is offered; the entries of what is remote are asked for |
//! | a node offers a plugin | if it has other entries than are known, it is loaded again |
//! | other routes | a local plugin whose entries differ is offered anew |
//! | a reload | before: what is not to be offered any more is withdrawn. After: the rest is offered |
//! | the end | all is withdrawn; what is in hand is answered |
//!
//! # Invariants
//!
//! 1. A plugin that is at `cluster` is not offered: a call that came in would go out again. So a plugin is withdrawn
//!    before it is moved there.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use becket_cluster::{Change, Changes, ClusterPlugin, Connection, Offer, offer_as};
use becket_gateway::config::Placement;
use becket_gateway::{Config, Gateway, StartCluster};
use becket_host::{EntryInfo, Host};
use tokio::task::JoinSet;

use crate::commands::cluster::connect;
use crate::failure::Failure;

/// This gateway on the cluster.
#[derive(Debug)]
pub(super) struct Node {
    connection: Connection,
    changes: Changes,
    name: String,
    /// By their names here.
    offered: BTreeMap<String, Offered>,
    /// Withdrawn ones, with calls in hand.
    ending: JoinSet<usize>,
    routes: u64,
    /// What is to be looked at.
    due: Due,
}

/// The remote plugins to look at: by their names on the cluster, or all.
#[derive(Debug, Default)]
struct Due {
    all: bool,
    named: Vec<String>,
}

#[derive(Debug)]
struct Offered {
    offer: Offer,
    /// Its name there.
    there: String,
    entries: Vec<EntryInfo>,
}

impl Node {
    /// Connects, if the configuration names a server.
    pub(super) async fn start(config: &Config) -> Result<Option<Self>, Failure> {
        if config.cluster.url.is_empty() {
            return Ok(None);
        }
        let (connection, away) = connect::connect_in_time(&config.cluster).await?;
        if let Some(error) = away {
            tracing::warn!(
                cause = connect::away(&error),
                "the cluster is away: what is local is served, and the rest when it is back"
            );
        }
        let changes = connection.changes().await.map_err(|error| connect::not_connected(&error))?;
        Ok(Some(Self {
            connection,
            changes,
            name: connect::node(),
            offered: BTreeMap::new(),
            ending: JoinSet::new(),
            routes: 0,
            due: Due::default(),
        }))
    }

    pub(super) fn is_connected(&self) -> bool {
        self.connection.is_connected()
    }

    /// How the gateway calls plugins on the cluster.
    pub(super) fn placing(&self) -> StartCluster {
        let connection = self.connection.clone();
        Arc::new(move |name| Arc::new(ClusterPlugin::new(&connection, name).without_nodes()))
    }

    /// Waits until [`settle`](Self::settle) has something to do. Dropped, it has missed nothing.
    pub(super) async fn next(&mut self, gateway: &Gateway) {
        tokio::select! {
            routes = gateway.routes_changed(self.routes) => self.routes = routes,
            change = self.changes.next() => match change {
                Some(Change::Offered(name)) => self.due.named.push(name),
                Some(_) => self.due.all = true,
                // The connection's thread has ended.
                None => std::future::pending().await,
            },
            Some(_) = self.ending.join_next() => {}
        }
    }

    /// Offers what is local, and asks for the entries of what is remote.
    pub(super) async fn settle(&mut self, config: &Config, gateway: &Gateway, host: &Host) {
        if !self.connection.is_connected() {
            return;
        }
        let due = std::mem::take(&mut self.due);
        let remote =
            config.plugins.iter().filter(|(_, plugin)| plugin.placement == Placement::Cluster);
        for (name, plugin) in remote {
            let there = plugin.cluster_name.as_ref().unwrap_or(name);
            if due.all || due.named.contains(there) {
                self.look_at(name, there, gateway, host).await;
            }
        }
        self.offer_all(config, host).await;
    }

    /// Loads a plugin again that has other entries than are known.
    async fn look_at(&self, name: &str, there: &str, gateway: &Gateway, host: &Host) {
        let Some(plugin) = host.plugin(name) else { return };
        // Without a node there is nothing to know: its calls fail, and the next one announces itself.
        let Ok(entries) = ClusterPlugin::new(&self.connection, there).entries().await else {
            return;
        };
        if entries == plugin.entries() {
            return;
        }
        match gateway.reload_plugin(name).await {
            Ok(()) => tracing::info!(plugin = name, "loaded from the cluster"),
            Err(error) => tracing::error!(
                plugin = name,
                %error,
                hint = error.hint(),
                "not loaded from the cluster: what was loaded goes on"
            ),
        }
    }

    async fn offer_all(&mut self, config: &Config, host: &Host) {
        for (name, plugin) in config.plugins.iter().filter(|(_, plugin)| config.offers(plugin)) {
            let Some(loaded) = host.plugin(name) else { continue };
            let there = plugin.cluster_name.as_ref().unwrap_or(name);
            let entries = loaded.entries();
            if self.offered.get(name).is_some_and(|offered| offered.entries == entries) {
                continue;
            }
            match offer_as(&self.connection, &loaded, there, &self.name).await {
                Ok(offer) => {
                    tracing::info!(plugin = name, there, "offered on the cluster");
                    let offered = Offered { offer, there: there.clone(), entries };
                    if let Some(before) = self.offered.insert(name.clone(), offered) {
                        self.withdraw(before, config).await;
                    }
                }
                Err(error) => {
                    tracing::error!(plugin = name, %error, "not offered on the cluster");
                }
            }
        }
    }

    /// Withdraws what the next configuration does not offer, or by another name.
    pub(super) async fn leave(&mut self, next: &Config) {
        let goes = |name: &String, offered: &Offered| {
            let plugin = next.plugins.get(name).filter(|plugin| next.offers(plugin));
            plugin
                .is_none_or(|plugin| plugin.cluster_name.as_ref().unwrap_or(name) != &offered.there)
        };
        let going: Vec<_> =
            self.offered.extract_if(.., |name, offered| goes(name, offered)).collect();
        for (name, offered) in going {
            tracing::info!(plugin = name, "withdrawn from the cluster");
            self.withdraw(offered, next).await;
        }
    }

    async fn withdraw(&mut self, mut offered: Offered, config: &Config) {
        offered.offer.close().await;
        let limit = Duration::from_millis(config.limits.drain_ms);
        self.ending.spawn(offered.offer.withdraw(limit));
    }

    /// Withdraws all, and waits for what is in hand. How many calls were cancelled.
    pub(super) async fn end(mut self, limit: Duration) -> usize {
        for (_, offered) in std::mem::take(&mut self.offered) {
            self.ending.spawn(offered.offer.withdraw(limit));
        }
        self.ending.join_all().await.into_iter().sum()
    }
}
