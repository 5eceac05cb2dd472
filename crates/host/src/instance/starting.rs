// SPDX-License-Identifier: BSD-3-Clause
//! An instance from its plugin's spec, within the time that a load may take: see [`crate::loading`].

use std::sync::{Arc, atomic::Ordering};

use super::Instance;
use crate::{
    load::{self, EntryInfo, LoadError, LoadStage, Loaded, Origin, RemoteSpec, Source},
    loading::{self, Loading},
    plugin::{self, Shared},
    spec::PluginSpec,
};

/// A plugin that was started, with the entries that it describes.
pub(crate) struct Ready {
    pub(crate) instance: &'static Instance,
    pub(crate) entries: Arc<[EntryInfo]>,
}

impl Instance {
    /// Loads the plugin that the spec names and starts it, within its `load_timeout_ms`.
    pub(crate) fn load(
        plugin: &Arc<Shared>,
        spec: &Arc<PluginSpec>,
        generation: u64,
    ) -> Result<Ready, LoadError> {
        let (name, timeout_ms) = (&spec.name, spec.limits.load_timeout_ms);
        // What is linked into this program has nothing to map, and its entry function is asked on
        // the thread of its program.
        let linked = match spec.source {
            Origin::Here(Source::Linked(_)) => {
                Some(Self::map(plugin, spec, generation, &|_| Ok(()))?)
            }
            Origin::Here(Source::Path(_)) | Origin::Elsewhere(_) => None,
        };
        let (plugin, spec_of_load) = (plugin.clone(), spec.clone());
        let load = move |loading: &Loading| {
            let loaded = match linked {
                Some(loaded) => loaded,
                None => {
                    Self::map(&plugin, &spec_of_load, generation, &|stage| loading.begin(stage))?
                }
            };
            Self::start(&plugin, &spec_of_load, generation, loaded, loading)
        };
        loading::within(name, timeout_ms, load, |late: Ready| plugin::discard(late.instance))
    }

    fn map(
        plugin: &Shared,
        spec: &PluginSpec,
        generation: u64,
        stage: load::Begin<'_>,
    ) -> Result<Loaded, LoadError> {
        let source = match &spec.source {
            Origin::Here(source) => source,
            Origin::Elsewhere(start) => {
                let remote = RemoteSpec {
                    name: &spec.name,
                    config: &spec.config,
                    limits: &spec.limits,
                    dispatch: spec.dispatch,
                    search_path: &plugin.search_path,
                    generation,
                    history: &plugin.history,
                };
                return load::start_remote(&**start, remote, stage);
            }
        };
        let options = load::LoadOptions {
            search_path: &plugin.search_path,
            layout: spec.layout,
            file: spec.file.as_deref(),
            sha256: spec.sha256,
            private_copy: spec.private_copy,
        };
        load::load(source, &options, stage)
    }

    /// The load goes on with this, unless it was given up.
    pub(super) fn begin(
        &'static self,
        loading: &Loading,
        stage: LoadStage,
    ) -> Result<(), LoadError> {
        loading.begin(stage).inspect_err(|_| self.forget_image())
    }

    /// The load was given up while a thread is in it: what it has begun ends.
    pub(crate) fn give_up_load(&self) {
        self.stopped.store(true, Ordering::SeqCst);
        self.cancel_timers();
        self.coroutines.cancel_all();
    }
}
