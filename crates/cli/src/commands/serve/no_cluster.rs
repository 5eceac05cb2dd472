// SPDX-License-Identifier: BSD-3-Clause
//! A build without the feature `cluster`: there is no [`Node`], and what asks for one is refused.

use std::time::Duration;

use becket_gateway::config::Placement;
use becket_gateway::{Config, Gateway, StartCluster};
use becket_host::Host;

use crate::commands::left_out;
use crate::failure::Failure;

/// None exists.
#[derive(Debug)]
pub(super) enum Node {}

impl Node {
    pub(super) async fn start(config: &Config) -> Result<Option<Self>, Failure> {
        let is_remote = |placement| placement == Placement::Cluster;
        match config.plugins.values().any(|plugin| is_remote(plugin.placement))
            || !config.cluster.url.is_empty()
        {
            true => Err(left_out::failure("serve --cluster", "serve --cluster …", "cluster")),
            false => Ok(None),
        }
    }

    pub(super) fn is_connected(&self) -> bool {
        match *self {}
    }

    pub(super) fn placing(&self) -> StartCluster {
        match *self {}
    }

    pub(super) async fn next(&mut self, _: &Gateway) {
        match *self {}
    }

    pub(super) async fn settle(&mut self, _: &Config, _: &Gateway, _: &Host) {
        match *self {}
    }

    pub(super) async fn leave(&mut self, _: &Config) {
        match *self {}
    }

    pub(super) async fn end(self, _: Duration) -> usize {
        match self {}
    }
}
