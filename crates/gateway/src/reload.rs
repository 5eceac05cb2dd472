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
//! A plugin with a `rollout` takes step 2 by steps of its own: the host gives the new version a share
//! of the calls, and decides later. Until then, and after a version was taken back, the plugin is *aside*:
//! the version that has its calls is not the one that the configuration names.
//!
//! Left for steps 3 to 5 are plugins that cannot run twice in this process: a part of this program,
//! a file that is mapped in place, a Go runtime.
//!
//! | module | what lives there |
//! |---|---|
//! | `files` | files that change: those of plugins, and certificates |
//!
//! # Invariants
//!
//! 1. A request holds the table that it was routed by until its call is done, and dropping a table
//!    completes the waits of steps 4 and 7; so steps 5 and 8 touch only plugins that can no longer
//!    be called, unless `drain_ms` passed first. A stream releases the table once it is open: the
//!    host drains those.
//! 2. One reload at a time.
//! 3. Each watched file has one task, which ends with the configuration that named it.
//! 4. Certificates that are wrong change nothing: all files of `[tls]` are read before anything else of a reload.
//! 5. A version that was taken back is not tried again by the same configuration: another file or
//!    configuration, or 0 percent in between, begins anew.

mod files;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;

use becket_host::{Host, Plugin, ReloadError, Rollout, RolloutResult};
use parking_lot::Mutex;
use serde::Serialize;
use tokio::task::AbortHandle;
use tokio::time::timeout;

use crate::TARGET;
use crate::config::{ClusterConfig, Complaint, Config, PluginConfig};
use crate::error::GatewayError;
use crate::gateway::load_tls;
use crate::origins::Origins;
use crate::router::{DeadRoute, Table};
use crate::shared::Shared;
use crate::status::ms;
use crate::tls::Tls;
use crate::watch::FileWatch;

/// What a reload did.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ReloadReport {
    /// Plugins that are new.
    pub loaded: Vec<String>,
    /// Plugins that were loaded again, because their configuration changed.
    pub replaced: Vec<String>,
    /// Plugins whose new version gets a share of the calls first.
    pub rolling_out: Vec<String>,
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
    /// That of the public listeners, if there is any.
    tls: Option<Arc<Tls>>,
    in_force: tokio::sync::Mutex<InForce>,
    watching: Mutex<Watching>,
}

/// The configuration in force.
#[derive(Debug)]
struct InForce {
    config: Config,
    /// The plugins of which another version has the calls, or most of them.
    aside: BTreeMap<String, Aside>,
}

impl InForce {
    /// What the version of a plugin that has its calls was loaded by.
    fn loaded_by(&self, name: &str) -> Option<&PluginConfig> {
        let aside = self.aside.get(name).map(|aside| &aside.before);
        aside.or_else(|| self.config.plugins.get(name))
    }
}

#[derive(Debug, Clone)]
struct Aside {
    /// What the version that has the calls was loaded by.
    before: PluginConfig,
    next: Next,
}

/// What became of the version that the configuration names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    RollingOut,
    /// It was tried, and is not tried again.
    TakenBack,
    /// Its share is 0.
    NotStarted,
}

#[derive(Debug, Default)]
struct Watching {
    files: Option<FileWatch>,
    /// By file: what it is, and the task that waits for its changes.
    followed: BTreeMap<PathBuf, (WatchedFile, AbortHandle)>,
}

/// What has to be done when a file changes.
#[derive(Debug, Clone, PartialEq, Eq)]
enum WatchedFile {
    /// It is of `[tls]`.
    Certificate,
    /// It is the file of these plugins.
    Plugins(Vec<String>),
}

impl Control {
    pub(crate) fn new(
        host: Host,
        origins: Origins,
        config: Config,
        shared: Arc<Shared>,
        tls: Option<Arc<Tls>>,
    ) -> Result<Arc<Self>, GatewayError> {
        let control = Arc::new(Self {
            host,
            origins,
            shared,
            tls,
            in_force: tokio::sync::Mutex::new(InForce {
                config: config.clone(),
                aside: BTreeMap::new(),
            }),
            watching: Mutex::default(),
        });
        control.watch(&config)?;
        Ok(control)
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    pub(crate) fn has_tls(&self) -> bool {
        self.tls.is_some()
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
        config.check_folders().map_err(Complaint::without_text)?;
        let tls = load_tls(&config).await?;
        let mut in_force = self.in_force.lock().await;
        self.settle(&mut in_force);
        let in_force = &mut *in_force;
        let current = &in_force.config;
        let mut plugins = self.shared.plugins();
        // What could not be loaded at all is new to this configuration.
        let is_loaded = |(name, _): &(&String, _)| plugins.contains_key(*name);
        let before = current.plugins.iter().filter(is_loaded);
        let mut diff = Diff::of(&before.collect(), &config.plugins);
        // Also those whose version waits for a share that it may get now.
        diff.changed.extend(self.to_be_tried(in_force, &config));
        let added = load(&self.host, &self.origins, &config, &diff.new).await?;
        let mut aside = in_force.aside.clone();
        aside.retain(|name, _| config.plugins.contains_key(name));
        if let Err(error) =
            self.replace(in_force, &config, &diff.changed, &mut plugins, &mut aside).await
        {
            unload_all(&self.host, added.keys()).await;
            return Err(error);
        }
        self.adjust(&config, &mut aside);
        let (rolling_out, replaced) = diff
            .changed
            .into_iter()
            .partition(|name| aside.get(name).is_some_and(|aside| aside.next == Next::RollingOut));
        plugins.retain(|name, _| !diff.gone.contains(name));
        plugins.extend(added);
        let (dead, unused) = self.put_in_force(&config, plugins).await;
        if !diff.gone.is_empty() {
            patiently(unused, config.limits.drain_ms).await;
            unload_all(&self.host, diff.gone.iter()).await;
        }
        if let Some((tls, loaded)) = self.tls.as_ref().zip(tls) {
            tls.put_in_force(loaded);
        }
        let mut needs_restart = Vec::new();
        if current.listen != config.listen {
            needs_restart.push("listen");
        }
        if self.has_tls() != config.tls.is_some() {
            needs_restart.push("tls");
        }
        if current.access_log != config.access_log {
            needs_restart.push("access_log");
        }
        if current.trace != config.trace {
            needs_restart.push("trace");
        }
        if current.admin != config.admin {
            needs_restart.push("admin");
        }
        // Which plugins are offered is seen at once.
        let servers = |cluster: &ClusterConfig| ClusterConfig { offer: true, ..cluster.clone() };
        if servers(&current.cluster) != servers(&config.cluster) {
            needs_restart.push("cluster");
        }
        if current.plugin_path != config.plugin_path {
            needs_restart.push("plugin_path");
        }
        if let Err(error) = self.watch(&config) {
            tracing::warn!(target: TARGET, %error, "changes of the plugins' files will not be noticed");
        }
        *in_force = InForce { config, aside };
        Ok(ReloadReport {
            loaded: diff.new.into_iter().collect(),
            replaced,
            rolling_out,
            unloaded: diff.gone.into_iter().collect(),
            needs_restart,
            dead_routes: dead.iter().map(DeadRoute::to_string).collect(),
        })
    }

    /// Steps 2 to 5. What is aside then is noted.
    async fn replace(
        self: &Arc<Self>,
        in_force: &InForce,
        config: &Config,
        changed: &BTreeSet<String>,
        plugins: &mut BTreeMap<String, Plugin>,
        aside: &mut BTreeMap<String, Aside>,
    ) -> Result<(), GatewayError> {
        let current = &in_force.config;
        let (mut moved, mut begun, mut fixed) = (Vec::new(), Vec::new(), BTreeSet::new());
        let mut replaced = Ok(());
        for name in changed {
            let (Some(before), Some(next)) = (in_force.loaded_by(name), config.plugins.get(name))
            else {
                continue;
            };
            let mut set_aside = |next| {
                aside.insert(name.clone(), Aside { before: before.clone(), next });
            };
            let is_same = current.plugins.get(name).is_some_and(|was| next.loads_like(was));
            if !is_same && next.loads_like(before) {
                // It is what has the calls.
                self.take_back(name);
                aside.remove(name);
                continue;
            }
            match self.reload_as(name, next).await {
                Ok(Moved::Yes) => {
                    aside.remove(name);
                    moved.push((name, before));
                }
                Ok(Moved::RollingOut) => {
                    set_aside(Next::RollingOut);
                    begun.push(name);
                }
                Ok(Moved::NotStarted) => {
                    self.take_back(name);
                    set_aside(Next::NotStarted);
                }
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
            for (name, before) in moved {
                let before = PluginConfig { rollout: None, ..before.clone() };
                if let Err(error) = self.reload_as(name, &before).await {
                    tracing::error!(target: TARGET, %error, "what was is not put back");
                }
            }
            begun.into_iter().for_each(|name| self.take_back(name));
        }
        replaced
    }

    /// Step 2 for one plugin.
    async fn reload_as(
        self: &Arc<Self>,
        name: &str,
        next: &PluginConfig,
    ) -> Result<Moved, GatewayError> {
        let Some(plugin) = self.host.plugin(name) else { return Ok(Moved::Cannot) };
        let spec = self.origins.spec(name, next)?;
        let rollout = next.rollout().filter(|rollout| rollout.percent < 100);
        let (moved, reloaded) = match rollout {
            Some(rollout) if rollout.percent == 0 => return Ok(Moved::NotStarted),
            Some(rollout) => (Moved::RollingOut, plugin.roll_out(Some(spec), rollout).await),
            None => (Moved::Yes, plugin.reload_as(spec).await),
        };
        match (moved, reloaded) {
            (Moved::RollingOut, Ok(())) => {
                tokio::spawn(Arc::clone(self).settle_when_over(plugin));
                Ok(Moved::RollingOut)
            }
            (moved, Ok(())) => Ok(moved),
            (Moved::Yes, Err(ReloadError::Fixed { .. })) => Ok(Moved::Cannot),
            (_, Err(source)) => {
                let (plugin, source) = (name.to_owned(), Box::new(source));
                Err(GatewayError::Replace { plugin, source })
            }
        }
    }

    // Rollouts.

    /// The plugins that are aside, whose configuration is the same but for a `rollout` by which the
    /// version that it names is to be loaded now.
    fn to_be_tried(&self, in_force: &InForce, config: &Config) -> Vec<String> {
        let is_due = |name: &String, aside: &Aside| {
            let (was, is) = (in_force.config.plugins.get(name)?, config.plugins.get(name)?);
            let percent = is.rollout().map_or(100, |rollout| rollout.percent);
            let is_due = match aside.next {
                Next::RollingOut => false,
                Next::TakenBack => percent >= 100,
                Next::NotStarted => percent > 0,
            };
            Some(is_due && is.loads_like(was))
        };
        let due = in_force.aside.iter().filter(|(name, aside)| is_due(name, aside) == Some(true));
        due.map(|(name, _)| name.clone()).collect()
    }

    /// Gives the rollouts under way, and those that were taken back, what their configurations say
    /// now.
    fn adjust(&self, config: &Config, aside: &mut BTreeMap<String, Aside>) {
        aside.retain(|name, aside| {
            let rollout = config.plugins.get(name).and_then(PluginConfig::rollout);
            let rollout = rollout.unwrap_or(Rollout { percent: 100, ..Rollout::default() });
            if rollout.percent == 0 {
                self.take_back(name);
                aside.next = Next::NotStarted;
            } else if aside.next == Next::RollingOut
                && let Some(plugin) = self.host.plugin(name)
            {
                plugin.adjust_rollout(&rollout);
                return rollout.percent < 100;
            }
            true
        });
    }

    fn take_back(&self, name: &str) {
        if let Some(plugin) = self.host.plugin(name) {
            plugin.adjust_rollout(&Rollout { percent: 0, ..Rollout::default() });
        }
    }

    /// Notes which rollouts have ended, and how. True if one was promoted.
    fn settle(&self, in_force: &mut InForce) -> bool {
        let mut promoted = false;
        in_force.aside.retain(|name, aside| {
            let Some(plugin) = self.host.plugin(name) else { return false };
            let rollouts = plugin.rollouts();
            if aside.next != Next::RollingOut || rollouts.now.is_some() {
                return true;
            }
            if rollouts.last.is_some_and(|last| last.result == RolloutResult::Promoted) {
                promoted = true;
                return false;
            }
            aside.next = Next::TakenBack;
            true
        });
        promoted
    }

    /// What was promoted may have other entries, and another file.
    async fn settle_when_over(self: Arc<Self>, plugin: Plugin) {
        let _how = plugin.rollout_over().await;
        let mut in_force = self.in_force.lock().await;
        if self.settle(&mut in_force) {
            drop(self.put_in_force(&in_force.config, self.shared.plugins()).await);
            if let Err(error) = self.watch(&in_force.config) {
                tracing::warn!(target: TARGET, %error, "changes of the plugins' files will not be noticed");
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
            tracing::warn!(target: TARGET, "{route}; it answers {}", route.status());
        }
        (dead, Box::pin(self.shared.swap(table, listing, plugins)))
    }

    /// Loads a plugin again as it is, also one that cannot run twice: its requests wait meanwhile.
    pub(crate) async fn load_again(&self, name: &str) -> Result<(), GatewayError> {
        let Some(plugin) = self.host.plugin(name) else { return Ok(()) };
        let in_force = self.in_force.lock().await;
        let config = &in_force.config;
        let mut plugins = self.shared.plugins();
        match plugin.reload().await {
            Ok(()) => {}
            Err(ReloadError::Fixed { .. }) => {
                let one = BTreeSet::from([name.to_owned()]);
                self.replace_held(config, config, &one, &mut plugins).await?;
            }
            Err(source) => {
                let (plugin, source) = (name.to_owned(), Box::new(source));
                return Err(GatewayError::Replace { plugin, source });
            }
        }
        drop(self.put_in_force(config, plugins).await);
        Ok(())
    }

    /// Loads a plugin again that has changed elsewhere.
    pub(crate) async fn reload_plugin(&self, name: &str) -> Result<(), GatewayError> {
        let Some(plugin) = self.host.plugin(name) else { return Ok(()) };
        let in_force = self.in_force.lock().await;
        plugin.reload().await.map_err(|source| GatewayError::Replace {
            plugin: name.to_owned(),
            source: Box::new(source),
        })?;
        // It may have other entries now.
        drop(self.put_in_force(&in_force.config, self.shared.plugins()).await);
        Ok(())
    }
}

/// Whether a plugin is what a configuration wants.
enum Moved {
    Yes,
    /// A share of it.
    RollingOut,
    /// Its share is 0.
    NotStarted,
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
