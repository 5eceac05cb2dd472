// SPDX-License-Identifier: BSD-3-Clause
//! One configuration after another, and plugins whose file changed, without losing a request.
//!
//! ```text
//!  1  load the plugins that are new           on failure: unload them, keep everything
//!  2  hold the routes of changed plugins      their requests wait for step 5
//!  3  wait for the requests of the old table
//!  4  unload the changed, load them again     on failure: load what was, keep everything
//!  5  put the new routes in force             held requests go on
//!  6  wait for the requests of the old table
//!  7  unload the plugins that are gone
//! ```
//!
//! # Invariants
//!
//! 1. A request holds the table that it was routed by until its call is done, and a table says
//!    when it is dropped; so steps 4 and 7 touch only plugins that can no longer be called. Streams
//!    let go of the table once they are open: the host drains those.
//! 2. One reload at a time.
//! 3. Each watched file has one task, which ends with the configuration that named it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;

use becket_host::{Host, LinkedPlugin, Plugin, PluginSpec};
use parking_lot::Mutex;
use serde::Serialize;
use tokio::sync::Notify;
use tokio::task::AbortHandle;
use tokio::time::timeout;

use crate::TARGET;
use crate::config::{Config, PluginConfig};
use crate::error::GatewayError;
use crate::router::{DeadRoute, Table};
use crate::shared::Shared;
use crate::status::ms;
use crate::watch::FileWatch;

/// What a reload did.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ReloadReport {
    /// Plugins that are new.
    pub loaded: Vec<String>,
    /// Plugins that were unloaded and loaded again, because their configuration changed.
    pub replaced: Vec<String>,
    /// Plugins that are gone.
    pub unloaded: Vec<String>,
    /// Settings that take effect only at the next start.
    pub needs_restart: Vec<&'static str>,
    /// Routes that lead to entries that do not exist; they answer 404.
    pub dead_routes: Vec<String>,
}

/// What changes a running gateway.
#[derive(Debug)]
pub(crate) struct Control {
    host: Host,
    linked: BTreeMap<String, LinkedPlugin>,
    shared: Arc<Shared>,
    /// The configuration in force.
    config: tokio::sync::Mutex<Config>,
    watching: Mutex<Watching>,
}

#[derive(Debug, Default)]
struct Watching {
    files: Option<FileWatch>,
    tasks: Vec<AbortHandle>,
}

impl Control {
    pub(crate) fn new(
        host: Host,
        linked: BTreeMap<String, LinkedPlugin>,
        config: Config,
        shared: Arc<Shared>,
    ) -> Result<Arc<Self>, GatewayError> {
        let control = Arc::new(Self {
            host,
            linked,
            shared,
            config: tokio::sync::Mutex::new(config.clone()),
            watching: Mutex::default(),
        });
        control.watch(&config)?;
        Ok(control)
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    pub(crate) async fn reload(
        self: &Arc<Self>,
        config: Config,
    ) -> Result<ReloadReport, GatewayError> {
        let reloaded = self.try_reload(config).await;
        match &reloaded {
            Ok(_) => self.shared.stats.reloads.add(1),
            Err(error) => {
                self.shared.stats.reload_failures.add(1);
                tracing::error!(target: TARGET, %error, "the configuration in force stays");
            }
        }
        reloaded
    }

    async fn try_reload(self: &Arc<Self>, config: Config) -> Result<ReloadReport, GatewayError> {
        config.check()?;
        let mut current = self.config.lock().await;
        let mut plugins = self.shared.plugins();
        let diff = Diff::of(&current.plugins, &config.plugins);
        let added = load(&self.host, &self.linked, &config, &diff.new).await?;
        if !diff.changed.is_empty()
            && let Err(error) = self.replace(&current, &config, &diff.changed, &mut plugins).await
        {
            unload_all(&self.host, added.keys()).await;
            return Err(error);
        }
        plugins.retain(|name, _| !diff.gone.contains(name));
        plugins.extend(added);
        let (dead, unused) = self.put_in_force(&config, plugins).await;
        if !diff.gone.is_empty() {
            patiently(unused, config.limits.drain_ms).await;
            unload_all(&self.host, diff.gone.iter()).await;
        }
        let mut needs_restart = Vec::new();
        if current.listen != config.listen {
            needs_restart.push("listen");
        }
        if current.admin != config.admin {
            needs_restart.push("admin");
        }
        if current.plugin_path != config.plugin_path {
            needs_restart.push("plugin_path");
        }
        if let Err(error) = self.watch(&config) {
            tracing::warn!(target: TARGET, %error, "changes of the plugins' files will not be noticed");
        }
        *current = config;
        Ok(ReloadReport {
            loaded: diff.new.into_iter().collect(),
            replaced: diff.changed.into_iter().collect(),
            unloaded: diff.gone.into_iter().collect(),
            needs_restart,
            dead_routes: dead.iter().map(DeadRoute::to_string).collect(),
        })
    }

    /// Steps 2 to 4.
    async fn replace(
        &self,
        current: &Config,
        config: &Config,
        changed: &BTreeSet<String>,
        plugins: &mut BTreeMap<String, Plugin>,
    ) -> Result<(), GatewayError> {
        let (held, listing, _) =
            Table::build(current, plugins, &self.shared.stats, Some(changed)).await;
        let unused = self.shared.swap(held, listing, plugins.clone());
        patiently(unused, current.limits.drain_ms).await;
        unload_all(&self.host, changed.iter()).await;
        match load(&self.host, &self.linked, config, changed).await {
            Ok(loaded) => {
                plugins.extend(loaded);
                Ok(())
            }
            Err(error) => {
                plugins.retain(|name, _| !changed.contains(name));
                match load(&self.host, &self.linked, current, changed).await {
                    Ok(loaded) => plugins.extend(loaded),
                    Err(again) => {
                        tracing::error!(target: TARGET, error = %again, "nor can what was be loaded")
                    }
                }
                drop(self.put_in_force(current, plugins.clone()).await);
                Err(error)
            }
        }
    }

    /// Step 5. What comes back second completes when no request uses the routes before.
    async fn put_in_force(
        &self,
        config: &Config,
        plugins: BTreeMap<String, Plugin>,
    ) -> (Vec<DeadRoute>, Unused) {
        let (table, listing, dead) = Table::build(config, &plugins, &self.shared.stats, None).await;
        for route in &dead {
            tracing::warn!(target: TARGET, "{route}; it answers 404");
        }
        (dead, Box::pin(self.shared.swap(table, listing, plugins)))
    }

    /// Watches the files of `config` instead of those before.
    fn watch(self: &Arc<Self>, config: &Config) -> Result<(), GatewayError> {
        let watched: Vec<(String, PathBuf)> = self
            .shared
            .plugins()
            .values()
            .filter(|plugin| {
                let own = config.plugins.get(plugin.name()).and_then(|plugin| plugin.watch);
                own.unwrap_or(config.watch)
            })
            .filter_map(|plugin| Some((plugin.name().to_owned(), plugin.info().path?)))
            .collect();
        self.stop_watching();
        if watched.is_empty() {
            return Ok(());
        }
        let files = FileWatch::new(watched.iter().map(|(_, path)| path.as_path()))
            .map_err(GatewayError::Watch)?;
        let mut watching = self.watching.lock();
        for (name, path) in watched {
            if let Some(notice) = files.notice(&path) {
                let task = tokio::spawn(Arc::clone(self).follow(name, notice));
                watching.tasks.push(task.abort_handle());
            }
        }
        watching.files = Some(files);
        Ok(())
    }

    pub(crate) fn stop_watching(&self) {
        let mut watching = self.watching.lock();
        watching.files = None;
        watching.tasks.drain(..).for_each(|task| task.abort());
    }

    /// Reloads one plugin whenever its file has new content.
    async fn follow(self: Arc<Self>, name: String, changed: Arc<Notify>) {
        loop {
            changed.notified().await;
            let Some(plugin) = self.host.plugin(&name) else { return };
            match plugin.reload().await {
                Ok(()) => {
                    tracing::info!(target: TARGET, plugin = name, "reloaded: its file changed");
                    // It may have other entries now.
                    let config = self.config.lock().await;
                    drop(self.put_in_force(&config, self.shared.plugins()).await);
                }
                Err(error) => tracing::error!(target: TARGET,
                    plugin = name,
                    %error,
                    hint = error.hint(),
                    "not reloaded: what was loaded goes on"
                ),
            }
        }
    }
}

/// Completes when no request uses the routes before.
type Unused = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Waits until no request is routed by a table any more, but not for ever.
async fn patiently(unused: impl Future<Output = ()>, drain_ms: u64) {
    if timeout(ms(drain_ms), unused).await.is_err() {
        tracing::warn!(
            target: TARGET,
            drain_ms,
            "requests of the configuration before are still running"
        );
    }
}

/// Which plugins differ between two configurations.
#[derive(Debug, PartialEq, Eq)]
struct Diff {
    new: BTreeSet<String>,
    changed: BTreeSet<String>,
    gone: BTreeSet<String>,
}

impl Diff {
    fn of(before: &BTreeMap<String, PluginConfig>, after: &BTreeMap<String, PluginConfig>) -> Self {
        let names = |keep: &dyn Fn(&String, &PluginConfig) -> bool| -> BTreeSet<String> {
            let kept = after.iter().filter(|(name, plugin)| keep(name, plugin));
            kept.map(|(name, _)| name.clone()).collect()
        };
        Self {
            new: names(&|name, _| !before.contains_key(name)),
            changed: names(&|name, plugin| {
                before.get(name).is_some_and(|before| !plugin.loads_like(before))
            }),
            gone: before.keys().filter(|name| !after.contains_key(*name)).cloned().collect(),
        }
    }
}

/// Loads every plugin of a configuration.
pub(crate) async fn load_all(
    host: &Host,
    linked: &BTreeMap<String, LinkedPlugin>,
    config: &Config,
) -> Result<BTreeMap<String, Plugin>, GatewayError> {
    load(host, linked, config, &config.plugins.keys().cloned().collect()).await
}

/// Loads those named, all or none.
async fn load(
    host: &Host,
    linked: &BTreeMap<String, LinkedPlugin>,
    config: &Config,
    names: &BTreeSet<String>,
) -> Result<BTreeMap<String, Plugin>, GatewayError> {
    let mut loaded = BTreeMap::new();
    for (name, plugin) in config.plugins.iter().filter(|(name, _)| names.contains(*name)) {
        match load_one(host, linked, name, plugin).await {
            Ok(plugin) => {
                loaded.insert(name.clone(), plugin);
            }
            Err(error) => {
                unload_all(host, loaded.keys()).await;
                return Err(error);
            }
        }
    }
    Ok(loaded)
}

async fn load_one(
    host: &Host,
    linked: &BTreeMap<String, LinkedPlugin>,
    name: &str,
    plugin: &PluginConfig,
) -> Result<Plugin, GatewayError> {
    let spec = spec(linked, name, plugin)?;
    let host = host.clone();
    // Opening a library and its `init` may take any time.
    let load = tokio::task::spawn_blocking(move || host.load(spec));
    match load.await {
        Ok(loaded) => loaded.map_err(|source| GatewayError::Load {
            plugin: name.to_owned(),
            source: Box::new(source),
        }),
        Err(stopped) => std::panic::resume_unwind(stopped.into_panic()),
    }
}

fn spec(
    linked: &BTreeMap<String, LinkedPlugin>,
    name: &str,
    plugin: &PluginConfig,
) -> Result<PluginSpec, GatewayError> {
    let mut spec = match (&plugin.path, &plugin.linked) {
        (Some(path), _) => PluginSpec::path(name, path),
        (None, other) => {
            let wanted = other.as_deref().unwrap_or_default();
            let found = linked.get(wanted).ok_or_else(|| GatewayError::NotLinked {
                plugin: name.to_owned(),
                linked: wanted.to_owned(),
                known: linked.keys().cloned().collect(),
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

/// Unloads those named; one that cannot be is the host's to tell about.
pub(crate) async fn unload_all<'a>(host: &Host, names: impl IntoIterator<Item = &'a String>) {
    for name in names {
        if let Err(error) = host.unload(name).await {
            tracing::error!(target: TARGET, plugin = name, %error, "not unloaded");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plugins(text: &str) -> BTreeMap<String, PluginConfig> {
        Config::parse(text, "t").unwrap().plugins
    }

    #[test]
    fn only_what_differs_is_touched() {
        let before = plugins(
            "[plugins.same]\nlinked = \"a\"\n[plugins.other]\nlinked = \"a\"\n[plugins.old]\n\
             linked = \"a\"\n[plugins.unwatched]\nlinked = \"a\"",
        );
        let after = plugins(
            "[plugins.same]\nlinked = \"a\"\n[plugins.other]\nlinked = \"a\"\n\
             limits.deadline_ms = 1\n[plugins.new]\nlinked = \"a\"\n[plugins.unwatched]\nlinked = \
             \"a\"\nwatch = false",
        );
        let set = |name: &str| BTreeSet::from([name.to_owned()]);
        assert_eq!(
            Diff::of(&before, &after),
            Diff { new: set("new"), changed: set("other"), gone: set("old") }
        );
    }
}
