// SPDX-License-Identifier: BSD-3-Clause
//! The host: a set of plugins by name.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::Duration};

use futures_lite::future::zip;
use parking_lot::Mutex;

use crate::{
    error::UnloadError,
    executor::{Executor, Work},
    instance::{Instance, Ready},
    load::LoadError,
    plugin::{Plugin, Shared},
    spec::PluginSpec,
};

/// A set of plugins. Cloning it is cheap; the last clone's drop unloads nothing: plugins live as
/// long as someone holds them, or until [`Host::unload`] or [`Host::shutdown`].
///
/// ```no_run
/// use becket_host::{Host, PluginSpec, Request};
///
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let host = Host::new();
/// let plugin = host.load(PluginSpec::path("greeter", "./libgreeter.so"))?;
/// let response = plugin.call("unary", Request::new("hi").path("/")).await?;
/// println!("{}: {} bytes", response.status, response.body.len());
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Host {
    inner: Arc<Inner>,
}

struct Inner {
    plugins: Mutex<Plugins>,
    search_path: Arc<[PathBuf]>,
    coroutine_workers: Option<usize>,
    executor: Arc<Executor>,
}

#[derive(Default)]
struct Plugins {
    by_name: BTreeMap<String, Plugin>,
    shutting_down: bool,
}

impl Plugins {
    fn check_name(&self, name: &str) -> Result<(), LoadError> {
        if self.shutting_down {
            return Err(LoadError::ShuttingDown);
        }
        if self.by_name.contains_key(name) {
            return Err(LoadError::NameTaken { name: name.to_owned() });
        }
        Ok(())
    }
}

/// What a shutdown left behind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ShutdownReport {
    /// Plugins that were unloaded.
    pub plugins: usize,
    /// Calls and streams that outlasted the drain and were failed.
    pub abandoned_calls: u64,
}

/// Makes a [`Host`].
#[derive(Debug, Default)]
pub struct HostBuilder {
    search_path: Vec<PathBuf>,
    coroutine_workers: Option<usize>,
}

impl HostBuilder {
    /// Folders in which a plugin given by a bare name is looked for, in order.
    #[must_use]
    pub fn search_path(mut self, path: Vec<PathBuf>) -> Self {
        self.search_path = path;
        self
    }

    /// Threads of each plugin whose handlers run on coroutines, started when it is first called.
    /// Without this, one for each CPU that the process may use.
    #[must_use]
    pub fn coroutine_workers(mut self, workers: usize) -> Self {
        self.coroutine_workers = Some(workers);
        self
    }

    /// The host.
    #[must_use]
    pub fn build(self) -> Host {
        let inner = Inner {
            plugins: Mutex::default(),
            search_path: self.search_path.into(),
            coroutine_workers: self.coroutine_workers,
            executor: Executor::new(),
        };
        Host { inner: Arc::new(inner) }
    }
}

impl Default for Host {
    fn default() -> Self {
        Self::new()
    }
}

impl Host {
    /// A host without plugins and without a search path.
    #[must_use]
    pub fn new() -> Self {
        Self::builder().build()
    }

    /// A host to be configured.
    #[must_use]
    pub fn builder() -> HostBuilder {
        HostBuilder::default()
    }

    /// Loads and starts a plugin. Runs the plugin's code, and blocks as long as that does, at most
    /// [`Limits::load_timeout_ms`](crate::Limits::load_timeout_ms).
    ///
    /// # Errors
    /// [`LoadError`]; the host is as before.
    pub fn load(&self, spec: PluginSpec) -> Result<Plugin, LoadError> {
        self.inner.plugins.lock().check_name(spec.name())?;
        let inner = &self.inner;
        let shared = Shared::new(
            spec,
            inner.search_path.clone(),
            inner.coroutine_workers,
            inner.executor.clone(),
        );
        let spec = shared.spec();
        let Ready { instance, entries } = Instance::load(&shared, &spec, shared.next_generation())?;
        // Cannot be gone: it was not handed out yet.
        let _ = shared.put(instance, entries, spec);
        let plugin = Plugin::new(shared);
        let name = plugin.name().to_owned();
        let added = {
            let mut plugins = self.inner.plugins.lock();
            plugins.check_name(&name).map(|()| plugins.by_name.insert(name, plugin.clone()))
        };
        if let Err(error) = added {
            // Another load took the name meanwhile, or the host is shutting down.
            crate::plugin::retire(instance);
            return Err(error);
        }
        // `set_executor` does not reach a plugin that is not in the map yet.
        plugin.mind_executor();
        tracing::info!(
            target: "becket::host",
            plugin = plugin.name(),
            layout = instance.about.layout,
            version = %instance.about.version,
            "loaded",
        );
        Ok(plugin)
    }

    /// The plugin of this name.
    #[must_use]
    pub fn plugin(&self, name: &str) -> Option<Plugin> {
        self.inner.plugins.lock().by_name.get(name).cloned()
    }

    /// All plugins, by name.
    #[must_use]
    pub fn plugins(&self) -> Vec<Plugin> {
        self.inner.plugins.lock().by_name.values().cloned().collect()
    }

    /// The runtimes of the plugins whose handlers run on coroutines, to look at, while there are
    /// any.
    #[must_use]
    pub fn coroutines(&self) -> Vec<becket_coro::Handle> {
        self.plugins().iter().flat_map(Plugin::runtimes).collect()
    }

    /// Sets the async executor that calls this host: how many threads it has, and how to run a
    /// piece of work as a task of its own. `spawn` must neither block nor run the work itself.
    ///
    /// With this, one thread of the executor is always outside of plugins, and it is woken when
    /// another is stuck in one: a plugin that declares that it never blocks and then does stops
    /// nothing but its own calls. And the calls of a plugin that declares nothing, but has been
    /// quick so far, run as tasks of the executor, which costs less than a hand-over to another
    /// thread; the first time that one blocks, the plugin goes back to workers until its next load.
    /// A gateway sets the runtime on which it is started. On tokio:
    ///
    /// ```
    /// # fn set(host: &becket_host::Host, runtime: tokio::runtime::Handle) {
    /// let threads = runtime.metrics().num_workers();
    /// host.set_executor(threads, move |work| drop(runtime.spawn(async { work.run() })));
    /// # }
    /// ```
    pub fn set_executor(&self, threads: usize, spawn: impl Fn(Work) + Send + Sync + 'static) {
        self.inner.executor.set(threads, Arc::new(spawn));
        // A plugin that is being loaded at this moment gets it from `load`.
        self.plugins().iter().for_each(Plugin::mind_executor);
    }

    /// Unloads a plugin: new calls are refused at once, those in flight have `drain_ms` to finish.
    /// Returns how many did not and were failed.
    ///
    /// # Errors
    /// [`UnloadError::Unknown`].
    pub async fn unload(&self, name: &str) -> Result<u64, UnloadError> {
        let plugin = self.inner.plugins.lock().by_name.remove(name);
        match plugin {
            Some(plugin) => Ok(plugin.unload(None).await),
            None => Err(UnloadError::Unknown { name: name.to_owned() }),
        }
    }

    /// Unloads every plugin, all at once, with this long to finish. Nothing is loaded afterwards.
    /// Takes at most a second more, also if a thread never comes back from a plugin.
    pub async fn shutdown(&self, drain: Duration) -> ShutdownReport {
        let plugins = {
            let mut plugins = self.inner.plugins.lock();
            plugins.shutting_down = true;
            std::mem::take(&mut plugins.by_name)
        };
        let count = plugins.len();
        let abandoned_calls = unload_all(plugins.into_values().collect(), drain).await;
        ShutdownReport { plugins: count, abandoned_calls }
    }
}

/// Unloads plugins at once: each pair of halves is awaited together.
async fn unload_all(mut plugins: Vec<Plugin>, drain: Duration) -> u64 {
    match plugins.len() {
        0 => 0,
        1 => match plugins.pop() {
            Some(plugin) => plugin.unload(Some(drain)).await,
            None => 0,
        },
        len => {
            let rest = plugins.split_off(len / 2);
            let (first, second) =
                zip(Box::pin(unload_all(plugins, drain)), Box::pin(unload_all(rest, drain))).await;
            first + second
        }
    }
}

impl std::fmt::Debug for Host {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Host").field("plugins", &self.plugins()).finish()
    }
}
