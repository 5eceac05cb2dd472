// SPDX-License-Identifier: BSD-3-Clause
//! Where plugins come from: files, this binary, processes of their own, other machines.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use becket_host::{LinkedPlugin, PluginSpec, StartRemote};

use crate::config::{Placement, PluginConfig};
use crate::error::GatewayError;

/// A plugin that is to run in a process of its own.
#[derive(Debug, Clone)]
pub enum InProcess<'a> {
    /// A native plugin's file.
    Native(&'a Path, &'a PluginConfig),
    /// A program that serves a plugin's session, with its arguments.
    Program(Vec<OsString>, &'a PluginConfig),
}

/// From such a plugin to the launcher of its process.
pub type StartProcess = Arc<dyn Fn(InProcess<'_>) -> Arc<dyn StartRemote> + Send + Sync>;

/// From a plugin's name on the cluster to what calls it there.
pub type StartCluster = Arc<dyn Fn(&str) -> Arc<dyn StartRemote> + Send + Sync>;

/// What a configuration can name beside files.
#[derive(Clone, Default)]
pub(crate) struct Origins {
    pub(crate) linked: BTreeMap<String, LinkedPlugin>,
    pub(crate) process: Option<StartProcess>,
    pub(crate) cluster: Option<StartCluster>,
}

impl Origins {
    /// What the host is to load.
    pub(crate) fn spec(
        &self,
        name: &str,
        plugin: &PluginConfig,
    ) -> Result<PluginSpec, GatewayError> {
        let mut spec = match (&plugin.path, &plugin.linked, &plugin.command) {
            _ if plugin.placement == Placement::Cluster => self.on_cluster(name, plugin)?,
            (Some(path), ..) if plugin.placement == Placement::Process => {
                self.in_process(name, InProcess::Native(path, plugin))?
            }
            (Some(path), ..) => PluginSpec::path(name, path),
            (None, None, Some(command)) => {
                let command = command.iter().map(OsString::from).collect();
                self.in_process(name, InProcess::Program(command, plugin))?
            }
            (None, other, _) => {
                let wanted = other.as_deref().unwrap_or_default();
                let found = self.linked.get(wanted).ok_or_else(|| GatewayError::NotLinked {
                    plugin: name.to_owned(),
                    linked: wanted.to_owned(),
                    known: self.linked.keys().cloned().collect(),
                })?;
                PluginSpec::linked(name, *found)
            }
        };
        spec = spec
            .config(serde_json::Value::Object(plugin.config.clone()))
            .limits(plugin.limits.clone())
            .dispatch(plugin.dispatch)
            .private_copy(plugin.private_copy);
        if let Some(layout) = plugin.layout {
            spec = spec.layout(layout);
        }
        if let Some(digest) = plugin.sha256 {
            spec = spec.sha256(digest.0);
        }
        Ok(spec)
    }

    fn in_process(&self, name: &str, what: InProcess<'_>) -> Result<PluginSpec, GatewayError> {
        let process = self.process.as_ref();
        let process =
            process.ok_or_else(|| GatewayError::NoProcesses { plugin: name.to_owned() })?;
        Ok(PluginSpec::remote(name, process(what)))
    }

    fn on_cluster(&self, name: &str, plugin: &PluginConfig) -> Result<PluginSpec, GatewayError> {
        let cluster = self.cluster.as_ref();
        let cluster = cluster.ok_or_else(|| GatewayError::NoCluster { plugin: name.to_owned() })?;
        let there = plugin.cluster_name.as_deref().unwrap_or(name);
        Ok(PluginSpec::remote(name, cluster(there)))
    }
}

impl fmt::Debug for Origins {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Origins").field("linked", &self.linked).finish_non_exhaustive()
    }
}
