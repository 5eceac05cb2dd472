// SPDX-License-Identifier: BSD-3-Clause
//! One configuration after another, and plugins whose file changed, without losing a request.
//!
//! ```text
//!  1  load the plugins that are new           on failure: unload them, keep everything
//!  2  reload the changed as they are to be    the host starts the new one first; on failure: back
//!  3  hold the routes of those left           their requests wait for step 6
//!  4  wait for the requests of the old table
//!  5  unload them, load them again            on failure: load what was, keep everything
//!  6  put the new routes in force             held requests go on
//!  7  wait for the requests of the old table
//!  8  unload the plugins that are gone
//! ```
//!
//! Left for steps 3 to 5 are plugins that cannot run twice in this process: a part of this program,
//! a file that is mapped in place, a Go runtime.
//!
//! # Invariants
//!
//! 1. A request holds the table that it was routed by until its call is done, and dropping a table
//!    completes the waits of steps 4 and 7; so steps 5 and 8 touch only plugins that can no longer
//!    be called, unless `drain_ms` passed first. A stream releases the table once it is open: the
//!    host drains those.
//! 2. One reload at a time.
//! 3. Each watched file has one task, which ends with the configuration that named it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;

use becket_host::{Host, Plugin, ReloadError};
use parking_lot::Mutex;
use serde::Serialize;
use tokio::sync::Notify;
use tokio::task::AbortHandle;
use tokio::time::timeout;

use crate::TARGET;
use crate::config::{Config, PluginConfig};
use crate::error::GatewayError;
use crate::origins::Origins;
use crate::router::{DeadRoute, Table};
use crate::shared::Shared;
use crate::status::ms;
use crate::watch::{FileWatch, files_of_command};

/// What a reload did.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ReloadReport {
    /// Plugins that are new.
    pub loaded: Vec<String>,
    /// Plugins that were loaded again, because their configuration changed.
    pub replaced: Vec<String>,
    /// Plugins that are gone.
    pub unloaded: Vec<String>,
    /// Settings that take effect only at the next start.
    pub needs_restart: Vec<&'static str>,
    /// Routes that lead to entries that do not exist; they answer 404.
    pub dead_routes: Vec<String>,
}

/// Reloads of a running gateway: of its configuration, and of plugins whose file changed.
#[derive(Debug)]
pub(crate) struct Control {
    host: Host,
    origins: Origins,
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
        origins: Origins,
        config: Config,
        shared: Arc<Shared>,
    ) -> Result<Arc<Self>, GatewayError> {
        let control = Arc::new(Self {
            host,
            origins,
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
        // What could not be loaded at all is new to this configuration.
        let is_loaded = |(name, _): &(&String, _)| plugins.contains_key(*name);
        let before = current.plugins.iter().filter(is_loaded);
        let diff = Diff::of(&before.collect(), &config.plugins);
        let added = load(&self.host, &self.origins, &config, &diff.new).await?;
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

    /// Steps 2 to 5.
    async fn replace(
        &self,
        current: &Config,
        config: &Config,
        changed: &BTreeSet<String>,
        plugins: &mut BTreeMap<String, Plugin>,
    ) -> Result<(), GatewayError> {
        let (mut moved, mut fixed) = (Vec::new(), BTreeSet::new());
        let mut replaced = Ok(());
        for name in changed {
            match self.reload_as(name, config).await {
                Ok(Moved::Yes) => moved.push(name),
                Ok(Moved::Cannot) => _ = fixed.insert(name.clone()),
                Err(error) => {
                    replaced = Err(error);
                    break;
                }
            }
        }
        if replaced.is_ok() && !fixed.is_empty() {
            replaced = self.replace_held(current, config, &fixed, plugins).await;
        }
        if replaced.is_err() {
            for name in moved {
                if let Err(error) = self.reload_as(name, current).await {
                    tracing::error!(target: TARGET, %error, "what was is not put back");
                }
            }
        }
        replaced
    }

    /// Step 2 for one plugin.
    async fn reload_as(&self, name: &str, config: &Config) -> Result<Moved, GatewayError> {
        let (Some(plugin), Some(next)) = (self.host.plugin(name), config.plugins.get(name)) else {
            return Ok(Moved::Cannot);
        };
        match plugin.reload_as(self.origins.spec(name, next)?).await {
            Ok(()) => Ok(Moved::Yes),
            Err(ReloadError::Fixed { .. }) => Ok(Moved::Cannot),
            Err(source) => {
                let (plugin, source) = (name.to_owned(), Box::new(source));
                Err(GatewayError::Replace { plugin, source })
            }
        }
    }

    /// Steps 3 to 5.
    async fn replace_held(
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
        match load(&self.host, &self.origins, config, changed).await {
            Ok(loaded) => {
                plugins.extend(loaded);
                Ok(())
            }
            Err(error) => {
                plugins.retain(|name, _| !changed.contains(name));
                for name in changed {
                    let one = BTreeSet::from([name.clone()]);
                    match load(&self.host, &self.origins, current, &one).await {
                        Ok(loaded) => plugins.extend(loaded),
                        Err(again) => {
                            tracing::error!(target: TARGET, error = %again, "nor can what was be loaded");
                        }
                    }
                }
                drop(self.put_in_force(current, plugins.clone()).await);
                Err(error)
            }
        }
    }

    /// Step 6. The second value completes when no request uses the previous routes.
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
        let mut watched: BTreeMap<PathBuf, Vec<String>> = BTreeMap::new();
        for plugin in self.shared.plugins().values() {
            let own = config.plugins.get(plugin.name());
            if !own.and_then(|own| own.watch).unwrap_or(config.watch) {
                continue;
            }
            let command = own.and_then(|own| own.command.as_deref());
            let files =
                command.map_or_else(|| plugin.info().path.into_iter().collect(), files_of_command);
            for file in files {
                watched.entry(file).or_default().push(plugin.name().to_owned());
            }
        }
        self.stop_watching();
        if watched.is_empty() {
            return Ok(());
        }
        let files =
            FileWatch::new(watched.keys().map(PathBuf::as_path)).map_err(GatewayError::Watch)?;
        let mut watching = self.watching.lock();
        for (path, names) in watched {
            if let Some(notice) = files.notice(&path) {
                let task = tokio::spawn(Arc::clone(self).follow(names, notice));
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
    async fn follow(self: Arc<Self>, names: Vec<String>, changed: Arc<Notify>) {
        loop {
            changed.notified().await;
            for name in &names {
                self.reload_changed(name).await;
            }
        }
    }

    /// Loads a plugin again whose file has changed.
    async fn reload_changed(&self, name: &str) {
        let Some(plugin) = self.host.plugin(name) else { return };
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

/// Whether a plugin is what a configuration wants.
enum Moved {
    Yes,
    /// Not while it is loaded.
    Cannot,
}

/// Completes when no request uses the previous routes.
type Unused = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Waits until no request uses the previous routes, at most `drain_ms`.
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
    /// `before` are those that are loaded.
    fn of(
        before: &BTreeMap<&String, &PluginConfig>,
        after: &BTreeMap<String, PluginConfig>,
    ) -> Self {
        let names = |keep: &dyn Fn(&String, &PluginConfig) -> bool| -> BTreeSet<String> {
            let kept = after.iter().filter(|(name, plugin)| keep(name, plugin));
            kept.map(|(name, _)| name.clone()).collect()
        };
        Self {
            new: names(&|name, _| !before.contains_key(name)),
            changed: names(&|name, plugin| {
                before.get(name).is_some_and(|before| !plugin.loads_like(before))
            }),
            gone: before
                .keys()
                .filter(|name| !after.contains_key(**name))
                .map(|name| (*name).clone())
                .collect(),
        }
    }
}

/// Loads every plugin of a configuration.
pub(crate) async fn load_all(
    host: &Host,
    origins: &Origins,
    config: &Config,
) -> Result<BTreeMap<String, Plugin>, GatewayError> {
    load(host, origins, config, &config.plugins.keys().cloned().collect()).await
}

/// Loads those named, all or none.
async fn load(
    host: &Host,
    origins: &Origins,
    config: &Config,
    names: &BTreeSet<String>,
) -> Result<BTreeMap<String, Plugin>, GatewayError> {
    let mut loaded = BTreeMap::new();
    for (name, plugin) in config.plugins.iter().filter(|(name, _)| names.contains(*name)) {
        match load_one(host, origins, name, plugin).await {
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
    origins: &Origins,
    name: &str,
    plugin: &PluginConfig,
) -> Result<Plugin, GatewayError> {
    let spec = origins.spec(name, plugin)?;
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

/// Unloads those named; a failure is logged, and the others are still unloaded.
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
            Diff::of(&before.iter().collect(), &after),
            Diff { new: set("new"), changed: set("other"), gone: set("old") }
        );
    }
}
