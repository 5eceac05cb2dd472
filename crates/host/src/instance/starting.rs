// SPDX-License-Identifier: BSD-3-Clause
//! An instance from its plugin's spec, within the time that a load may take: see [`crate::loading`].

use std::sync::{Arc, atomic::Ordering};

use super::Instance;
use crate::{
    load::{self, EntryInfo, LoadError, LoadStage, Loaded, Source},
    loading::{self, Loading},
    plugin::{self, Shared},
};

/// A plugin that was started, with what it says of its entries.
pub(crate) struct Ready {
    pub(crate) instance: &'static Instance,
    pub(crate) entries: Arc<[EntryInfo]>,
}

impl Instance {
    /// Loads the plugin that the spec names and starts it, within its `load_timeout_ms`.
    pub(crate) fn load(plugin: &Arc<Shared>, generation: u64) -> Result<Ready, LoadError> {
        let spec = &plugin.spec;
        let (name, timeout_ms) = (&spec.name, spec.limits.load_timeout_ms);
        // What is linked into this program has nothing to map, and its entry function is asked on
        // the thread of its program.
        let linked = match spec.source {
            Source::Linked(_) => Some(Self::map(plugin, &|_| Ok(()))?),
            Source::Path(_) => None,
        };
        let plugin = plugin.clone();
        let load = move |loading: &Loading| {
            let loaded = match linked {
                Some(loaded) => loaded,
                None => Self::map(&plugin, &|stage| loading.begin(stage))?,
            };
            Self::start(&plugin, generation, loaded, loading)
        };
        loading::within(name, timeout_ms, load, |late: Ready| plugin::discard(late.instance))
    }

    fn map(plugin: &Shared, stage: load::Begin<'_>) -> Result<Loaded, LoadError> {
        let spec = &plugin.spec;
        let options = load::LoadOptions {
            search_path: &plugin.search_path,
            layout: spec.layout,
            sha256: spec.sha256,
            private_copy: spec.private_copy,
        };
        load::load(&spec.source, &options, stage)
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
