// SPDX-License-Identifier: BSD-3-Clause
//! Files that change: those of plugins, and the certificates of the public listeners.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::Notify;

use super::{Aside, Control, Moved, Next, WatchedFile};
use crate::TARGET;
use crate::config::{Config, Placement, TlsConfig, upstream_files};
use crate::error::GatewayError;
use crate::gateway::load_tls;
use crate::watch::{FileWatch, files_of_command};

impl Control {
    /// Watches the files of `config` instead of those before. A file of both keeps its task: a change that it has seen,
    /// or that comes meanwhile, is not lost.
    pub(super) fn watch(self: &Arc<Self>, config: &Config) -> Result<(), GatewayError> {
        let mut watched = self.files_of_plugins(config);
        if config.watch {
            let own = config.tls.iter().filter(|_| self.has_tls()).flat_map(TlsConfig::files);
            let all = own.chain(upstream_files(config).map(PathBuf::as_path));
            watched.extend(all.map(|path| (path.to_owned(), WatchedFile::Certificate)));
        }
        let mut watching = self.watching.lock();
        let paths = watched.keys().map(PathBuf::as_path);
        let files = match watched.is_empty() {
            true => None,
            false => Some(
                FileWatch::after(watching.files.as_ref(), paths).map_err(GatewayError::Watch)?,
            ),
        };
        let mut before = std::mem::take(&mut watching.followed);
        for (path, what) in watched {
            let followed = match before.remove(&path) {
                Some(followed) if followed.0 == what => followed,
                other => {
                    if let Some((_, task)) = other {
                        task.abort();
                    }
                    let Some(notice) = files.as_ref().and_then(|files| files.notice(&path)) else {
                        continue;
                    };
                    let task = tokio::spawn(Arc::clone(self).follow(what.clone(), notice));
                    (what, task.abort_handle())
                }
            };
            watching.followed.insert(path, followed);
        }
        before.into_values().for_each(|(_, task)| task.abort());
        watching.files = files;
        Ok(())
    }

    /// The files of plugins that are to be watched.
    fn files_of_plugins(&self, config: &Config) -> BTreeMap<PathBuf, WatchedFile> {
        let mut watched: BTreeMap<PathBuf, Vec<String>> = BTreeMap::new();
        for plugin in self.shared.plugins().values() {
            let own = config.plugins.get(plugin.name());
            if !own.and_then(|own| own.watch).unwrap_or(config.watch) {
                continue;
            }
            if own.is_some_and(|own| own.placement == Placement::Cluster) {
                continue;
            }
            let mut files = match own.and_then(|own| Some((own.command.as_deref()?, own))) {
                Some((command, own)) => files_of_command(command, own.folder.as_deref()),
                None => plugin.info().path.into_iter().collect(),
            };
            // That of the version that was tried last, or is tried now, too.
            let rollouts = plugin.rollouts();
            let tried = rollouts.now.or(rollouts.last.map(|last| last.progress));
            files.extend(tried.and_then(|tried| tried.path).filter(|path| !files.contains(path)));
            for file in files {
                watched.entry(file).or_default().push(plugin.name().to_owned());
            }
        }
        watched.into_iter().map(|(path, names)| (path, WatchedFile::Plugins(names))).collect()
    }

    pub(crate) fn stop_watching(&self) {
        let mut watching = self.watching.lock();
        watching.files = None;
        let followed = std::mem::take(&mut watching.followed);
        followed.into_values().for_each(|(_, task)| task.abort());
    }

    /// Does what there is to do whenever a file has new content.
    async fn follow(self: Arc<Self>, what: WatchedFile, changed: Arc<Notify>) {
        loop {
            changed.notified().await;
            match &what {
                WatchedFile::Certificate => self.read_certificates_again().await,
                WatchedFile::Plugins(names) => {
                    for name in names {
                        self.reload_changed(name).await;
                    }
                }
            }
        }
    }

    /// Reads the files of `[tls]`, and of TLS to upstream servers, again, of which one has new content. Of a certificate and its key one is new before the
    /// other: until both are, what is in force stays.
    async fn read_certificates_again(&self) {
        let in_force = self.in_force.lock().await;
        match load_tls(&in_force.config).await {
            Ok(loaded) => {
                if let Some((tls, loaded)) = self.tls.as_ref().zip(loaded) {
                    tls.put_in_force(loaded);
                }
                if upstream_files(&in_force.config).next().is_some() {
                    let _ = self.put_in_force(&in_force.config, self.shared.plugins()).await;
                }
                tracing::info!(target: TARGET, "certificates read again: a file changed");
            }
            Err(error) => tracing::warn!(target: TARGET,
                %error,
                cause = error.cause(),
                hint = error.hint(),
                "certificates not read again: those in force stay"
            ),
        }
    }

    /// Loads a plugin again whose file has changed.
    async fn reload_changed(self: &Arc<Self>, name: &str) {
        let Some(plugin) = self.host.plugin(name) else { return };
        let mut in_force = self.in_force.lock().await;
        self.settle(&mut in_force);
        let own = in_force.config.plugins.get(name);
        if let Some((before, next)) = in_force.loaded_by(name).zip(own)
            && next.rollout().is_some_and(|rollout| rollout.percent < 100)
        {
            let before = before.clone();
            let moved = self.reload_as(name, &next.clone()).await;
            let next = match moved {
                Ok(Moved::RollingOut) => Next::RollingOut,
                Ok(_) => Next::NotStarted,
                Err(error) => {
                    tracing::error!(target: TARGET,
                        plugin = name,
                        %error,
                        hint = error.hint(),
                        "not rolled out: what was loaded goes on"
                    );
                    return;
                }
            };
            in_force.aside.insert(name.to_owned(), Aside { before, next });
            return;
        }
        match plugin.reload().await {
            Ok(()) => {
                tracing::info!(target: TARGET, plugin = name, "reloaded: its file changed");
                // It may have other entries now.
                drop(self.put_in_force(&in_force.config, self.shared.plugins()).await);
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
