// SPDX-License-Identifier: BSD-3-Clause
//! What every request reaches: the routes in force, the counters, the connections.

use std::collections::BTreeMap;
use std::ops::Deref;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use becket_host::Plugin;
use parking_lot::RwLock;
use tokio::sync::{Notify, oneshot};

use crate::clients::Clients;
use crate::connections::{Connections, Phase};
use crate::router::{RouteInfo, Table};
use crate::serve::Budget;
use crate::stats::Stats;

#[derive(Debug)]
pub(crate) struct Shared {
    routes: RwLock<Routes>,
    /// How often routes were put in force.
    version: AtomicU64,
    /// Notified when other routes are in force.
    changed: Notify,
    pub(crate) stats: Arc<Stats>,
    pub(crate) connections: Arc<Connections>,
    /// What each client has.
    pub(crate) clients: Arc<Clients>,
    /// Bytes of requests' bodies.
    pub(crate) bodies: Arc<Budget>,
}

#[derive(Debug)]
struct Routes {
    table: Arc<Table>,
    /// Completes when the table is dropped.
    unused: oneshot::Receiver<()>,
    listing: Vec<RouteInfo>,
    plugins: BTreeMap<String, Plugin>,
}

/// A table as one connection keeps it. Its requests count references here and not on the table, so
/// that connections do not contend for one cache line.
#[derive(Debug)]
pub(crate) struct KeptTable {
    table: Arc<Table>,
    version: u64,
}

impl Deref for KeptTable {
    type Target = Table;

    fn deref(&self) -> &Table {
        &self.table
    }
}

impl Routes {
    fn new(mut table: Table, listing: Vec<RouteInfo>, plugins: BTreeMap<String, Plugin>) -> Self {
        let (used, unused) = oneshot::channel();
        table.in_use = Some(used);
        Self { table: Arc::new(table), unused, listing, plugins }
    }
}

impl Shared {
    pub(crate) fn new(
        table: Table,
        listing: Vec<RouteInfo>,
        plugins: BTreeMap<String, Plugin>,
        stats: Arc<Stats>,
        phase: Phase,
    ) -> Self {
        Self {
            routes: RwLock::new(Routes::new(table, listing, plugins)),
            version: AtomicU64::new(1),
            changed: Notify::new(),
            stats,
            connections: Connections::new(phase),
            clients: Arc::default(),
            bodies: Arc::default(),
        }
    }

    /// The routes in force, as one connection keeps them.
    pub(crate) fn kept(&self) -> Arc<KeptTable> {
        let routes = self.routes.read();
        let version = self.version.load(Ordering::Acquire);
        Arc::new(KeptTable { table: Arc::clone(&routes.table), version })
    }

    pub(crate) fn is_current(&self, kept: &KeptTable) -> bool {
        kept.version == self.version.load(Ordering::Acquire)
    }

    /// Completes when another table is in force.
    pub(crate) async fn replaced(&self, kept: &KeptTable) {
        self.changed_since(kept.version).await;
    }

    /// Completes when the version is another one, with that.
    pub(crate) async fn changed_since(&self, version: u64) -> u64 {
        let mut changed = pin!(self.changed.notified());
        // Registered before the check, so that a swap in between is not missed.
        changed.as_mut().enable();
        if self.version.load(Ordering::Acquire) == version {
            changed.await;
        }
        self.version.load(Ordering::Acquire)
    }

    pub(crate) fn listing(&self) -> Vec<RouteInfo> {
        self.routes.read().listing.clone()
    }

    pub(crate) fn plugins(&self) -> BTreeMap<String, Plugin> {
        self.routes.read().plugins.clone()
    }

    /// Puts other routes in force. The returned future completes when no request uses the previous
    /// ones.
    pub(crate) fn swap(
        &self,
        table: Table,
        listing: Vec<RouteInfo>,
        plugins: BTreeMap<String, Plugin>,
    ) -> impl Future<Output = ()> + use<> {
        let next = Routes::new(table, listing, plugins);
        let before = {
            let mut routes = self.routes.write();
            self.version.fetch_add(1, Ordering::Release);
            std::mem::replace(&mut *routes, next)
        };
        self.changed.notify_waiters();
        drop(before.table);
        self.connections.refresh();
        let unused = before.unused;
        async move {
            // The sender is never used, only dropped.
            let _ = unused.await;
        }
    }
}
