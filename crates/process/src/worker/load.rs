// SPDX-License-Identifier: BSD-3-Clause
//! The load of the worker's plugin, and what its host is to know of it.

use std::fs::File;
use std::sync::Arc;

use becket_host::{Host, Layout, Plugin, PluginSpec};

use super::reports::Reports;
use crate::protocol::{self, Failed, Load, Loaded, Native};

/// Loads the plugin that the host names.
pub(super) fn load(
    host: &Host,
    load: Load,
    image: Option<File>,
    reports: Arc<Reports>,
) -> Result<Plugin, Failed> {
    let failed = |error: &str, hint: &str| Failed {
        error: error.to_owned(),
        cause: String::new(),
        hint: hint.to_owned(),
    };
    if load.protocol != protocol::VERSION {
        return Err(failed(
            "the host speaks another version of the session",
            "use one build of both",
        ));
    }
    let native =
        load.native.ok_or_else(|| failed("no plugin is named", "the host names its file"))?;
    let Native { path, search_path: _, layout, sha256, dispatch, limits } = native;
    // A worker loads once: a reload starts another worker.
    let mut spec = match image {
        Some(image) => PluginSpec::file(load.name, path, image),
        None => PluginSpec::path(load.name, path),
    };
    spec = spec.config(load.config).limits(limits).dispatch(dispatch).observer(reports);
    if let Some(layout) = layout {
        spec = spec.layout(layout);
    }
    if let Some(sha256) = sha256 {
        spec = spec.sha256(sha256);
    }
    host.load(spec).map_err(|error| Failed {
        error: error.to_string(),
        cause: error.cause().unwrap_or_default(),
        hint: error.hint().unwrap_or_default(),
    })
}

/// What the host is to know of a plugin; the plugin may be asked for it.
pub(super) fn describe(plugin: Plugin) -> (Plugin, Loaded) {
    let entries = plugin.entries();
    let info = plugin.info();
    let loaded = Loaded {
        // One that describes what it has, and resolves names, knows that it does not have this
        // one. Without a description the names are known to the worker's side alone.
        is_complete: !entries.is_empty() && plugin.entry("\u{1}").is_err(),
        exports_state: plugin.exports_state(),
        takes_data: plugin.takes_data(),
        layout: Layout::from_name(info.layout),
        name: info.reported_name,
        version: info.version,
        entries: entries
            .into_iter()
            .map(|entry| protocol::Entry {
                name: entry.name,
                kind: entry.kind.name().to_owned(),
                help: entry.help,
                never_waits: entry.never_waits,
            })
            .collect(),
    };
    (plugin, loaded)
}
