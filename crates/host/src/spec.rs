// SPDX-License-Identifier: BSD-3-Clause
//! What to load, and how.

use std::{fs::File, path::PathBuf, sync::Arc};

use becket_abi::LinkedPlugin;
use serde_json::Value;

use crate::{
    limits::{Dispatch, Limits},
    load::{Layout, Origin, Source, StartRemote},
    observer::Observer,
};

/// A plugin to load: where it is, its name in this host, its configuration and bounds.
///
/// ```
/// use becket_host::PluginSpec;
///
/// let spec = PluginSpec::path("greeter", "./libgreeter.so")
///     .config(serde_json::json!({ "greeting": "Ahoy" }));
/// ```
#[derive(Debug, Clone)]
pub struct PluginSpec {
    pub(crate) name: String,
    pub(crate) source: Origin,
    pub(crate) config: Value,
    pub(crate) file: Option<Arc<File>>,
    pub(crate) layout: Option<Layout>,
    pub(crate) sha256: Option<[u8; 32]>,
    pub(crate) limits: Limits,
    pub(crate) dispatch: Dispatch,
    pub(crate) private_copy: bool,
    pub(crate) observer: Option<Arc<dyn Observer>>,
}

impl PluginSpec {
    /// A plugin from a file: a path, or a name that is looked for in the host's search path.
    #[must_use]
    pub fn path(name: impl Into<String>, path: impl Into<PathBuf>) -> Self {
        Self::new(name.into(), Origin::Here(Source::Path(path.into())))
    }

    /// A plugin from a file that is open: what it holds when the plugin is loaded, whatever is at
    /// `path` by then. The path is what messages name, and an absolute one.
    #[must_use]
    pub fn file(name: impl Into<String>, path: impl Into<PathBuf>, file: File) -> Self {
        Self { file: Some(Arc::new(file)), ..Self::path(name, path) }
    }

    /// A plugin that is linked into this binary.
    #[must_use]
    pub fn linked(name: impl Into<String>, plugin: LinkedPlugin) -> Self {
        Self::new(name.into(), Origin::Here(Source::Linked(plugin)))
    }

    /// A plugin that runs elsewhere.
    #[must_use]
    pub fn remote(name: impl Into<String>, start: Arc<dyn StartRemote>) -> Self {
        Self::new(name.into(), Origin::Elsewhere(start))
    }

    fn new(name: String, source: Origin) -> Self {
        Self {
            name,
            source,
            config: Value::Null,
            file: None,
            layout: None,
            sha256: None,
            limits: Limits::default(),
            dispatch: Dispatch::default(),
            private_copy: true,
            observer: None,
        }
    }

    /// The plugin's configuration, a JSON object, over its own defaults.
    #[must_use]
    pub fn config(mut self, config: Value) -> Self {
        self.config = config;
        self
    }

    /// The vtable's layout, for a plugin of the first version that carries no mark of it.
    #[must_use]
    pub fn layout(mut self, layout: Layout) -> Self {
        self.layout = Some(layout);
        self
    }

    /// The SHA-256 that the file must have.
    #[must_use]
    pub fn sha256(mut self, digest: [u8; 32]) -> Self {
        self.sha256 = Some(digest);
        self
    }

    /// The plugin's bounds.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// On which thread the plugin's `handle` runs.
    #[must_use]
    pub fn dispatch(mut self, dispatch: Dispatch) -> Self {
        self.dispatch = dispatch;
        self
    }

    /// Whether each load maps a private copy of the file (the default), so that a reload runs the
    /// bytes of that moment. A plugin that finds its libraries through `$ORIGIN` needs `false`, and
    /// cannot be reloaded then.
    #[must_use]
    pub fn private_copy(mut self, private_copy: bool) -> Self {
        self.private_copy = private_copy;
        self
    }

    /// What the plugin reports goes there.
    #[must_use]
    pub fn observer(mut self, observer: Arc<dyn Observer>) -> Self {
        self.observer = Some(observer);
        self
    }

    /// The plugin's name in the host.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
}
