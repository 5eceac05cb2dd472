// SPDX-License-Identifier: BSD-3-Clause
//! What every request reaches: the routes in force, the counters, the connections.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::Arc;

use becket_host::Plugin;
use parking_lot::RwLock;
use tokio::sync::{Notify, oneshot};

use crate::connections::Connections;
use crate::router::{RouteInfo, Table};
use crate::stats::Stats;

#[derive(Debug)]
pub(crate) struct Shared {
    routes: RwLock<Routes>,
    /// Told when other routes are in force.
    changed: Notify,
    pub(crate) stats: Arc<Stats>,
    pub(crate) connections: Arc<Connections>,
}

#[derive(Debug)]
struct Routes {
    table: Arc<Table>,
    /// Completes when the table is dropped.
    unused: oneshot::Receiver<()>,
    listing: Vec<RouteInfo>,
    plugins: BTreeMap<String, Plugin>,
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
    ) -> Self {
        Self {
            routes: RwLock::new(Routes::new(table, listing, plugins)),
            changed: Notify::new(),
            stats,
            connections: Connections::new(),
        }
    }

    /// The routes in force. A request keeps the table until its call is done.
    pub(crate) fn table(&self) -> Arc<Table> {
        Arc::clone(&self.routes.read().table)
    }

    /// Completes when `table` is not in force any more. Who waits here uses it no more.
    pub(crate) async fn replaced(&self, table: &Arc<Table>) {
        let mut changed = pin!(self.changed.notified());
        // Listening first: a swap after the look is heard.
        changed.as_mut().enable();
        let is_in_force = Arc::ptr_eq(table, &self.routes.read().table);
        if is_in_force {
            changed.await;
        }
    }

    pub(crate) fn listing(&self) -> Vec<RouteInfo> {
        self.routes.read().listing.clone()
    }

    pub(crate) fn plugins(&self) -> BTreeMap<String, Plugin> {
        self.routes.read().plugins.clone()
    }

    /// Puts other routes in force. What comes back completes when no request uses the routes
    /// before.
    pub(crate) fn swap(
        &self,
        table: Table,
        listing: Vec<RouteInfo>,
        plugins: BTreeMap<String, Plugin>,
    ) -> impl Future<Output = ()> + use<> {
        let next = Routes::new(table, listing, plugins);
        let before = std::mem::replace(&mut *self.routes.write(), next);
        self.changed.notify_waiters();
        drop(before.table);
        let unused = before.unused;
        async move {
            // The sender is never used, only dropped.
            let _ = unused.await;
        }
    }
}
