// SPDX-License-Identifier: BSD-3-Clause
//! A node that offers a plugin, as it answers when it is asked.

use std::collections::BTreeMap;
use std::time::Duration;

use async_nats::service::{Info, Stats as AllStats};
use serde::Serialize;

use super::offer::metadata;

/// A node, and the plugin that it offers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Node {
    /// The plugin's name on the cluster.
    pub plugin: String,
    /// What the node calls itself; empty: nothing.
    pub node: String,
    /// The offer: each has another.
    pub id: String,
    /// The name that the plugin gives itself.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Its entries, in its order.
    pub entries: Vec<EntryReport>,
}

/// An entry on one node, since the plugin is offered there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct EntryReport {
    /// Its name; `*`: those that the plugin does not list.
    pub name: String,
    /// `unary`, `stream` or `bidirectional`; empty: the plugin does not say it.
    pub kind: String,
    /// The subject of its calls.
    pub subject: String,
    /// Calls that were answered; those of streams are not counted.
    pub requests: u64,
    /// Those of them that failed.
    pub errors: u64,
    /// How long one took.
    pub average_ns: u64,
}

/// What a node has counted.
pub(crate) type NodeStats = AllStats;

impl Node {
    /// `None`: a service of something else.
    pub(crate) fn new(info: Info, stats: &BTreeMap<String, NodeStats>) -> Option<Self> {
        let of = |name| info.metadata.get(name).cloned();
        let plugin = of(metadata::PLUGIN)?;
        let counted = stats.get(&info.id).map_or(&[][..], |stats| &stats.endpoints);
        let mut entries = Vec::new();
        for endpoint in &info.endpoints {
            let of = |name| endpoint.metadata.get(name).cloned();
            let place = of(metadata::PLACE).and_then(|place| place.parse::<u32>().ok());
            let stats = counted.iter().find(|stats| stats.subject == endpoint.subject);
            let average = stats.map_or(Duration::ZERO, |stats| stats.average_processing_time);
            let report = EntryReport {
                name: of(metadata::ENTRY).unwrap_or_else(|| "*".to_owned()),
                kind: of(metadata::KIND).unwrap_or_default(),
                subject: endpoint.subject.clone(),
                requests: stats.map_or(0, |stats| stats.requests as u64),
                errors: stats.map_or(0, |stats| stats.errors as u64),
                average_ns: u64::try_from(average.as_nanos()).unwrap_or(u64::MAX),
            };
            entries.push((place.unwrap_or(u32::MAX), report));
        }
        entries.sort_by_key(|(place, _)| *place);
        Some(Self {
            plugin,
            node: of(metadata::NODE).unwrap_or_default(),
            name: of(metadata::NAME).unwrap_or_default(),
            version: of(metadata::VERSION).unwrap_or_default(),
            entries: entries.into_iter().map(|(_, entry)| entry).collect(),
            id: info.id,
        })
    }
}
