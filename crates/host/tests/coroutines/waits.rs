// SPDX-License-Identifier: BSD-3-Clause
//! The plugin of these tests, in C: its handlers wait.

use std::path::PathBuf;

use becket_host::{Host, Limits, Plugin};

use crate::spec;
use crate::support::{
    logs,
    native::{Workshop, images},
    unload_clean,
    wait::wait,
};

/// The plugin's source.
pub(crate) const SOURCE: &str = include_str!("waits.c");

/// The plugin, in a host of its own.
pub(crate) struct Waits {
    pub(crate) host: Host,
    pub(crate) plugin: Plugin,
    pub(crate) _workshop: Workshop,
    pub(crate) path: PathBuf,
}

impl Waits {
    pub(crate) fn load(name: &str) -> Self {
        Self::load_with(name, Limits::default())
    }

    pub(crate) fn load_with(name: &str, limits: Limits) -> Self {
        logs::capture();
        let workshop = Workshop::new();
        let path = workshop.build(name, SOURCE);
        let host = Host::builder().coroutine_workers(1).build();
        let plugin = host.load(spec(name, &path).limits(limits)).unwrap();
        Self { host, plugin, _workshop: workshop, path }
    }

    pub(crate) fn ask(&self, entry: &str, payload: &[u8]) -> String {
        let response = wait(self.plugin.call_raw(entry, payload)).unwrap();
        assert!(response.status.is_ok());
        String::from_utf8(response.body.to_vec()).unwrap()
    }

    pub(crate) fn end(self) {
        unload_clean(&self.host, &self.plugin);
        let name = self.plugin.name();
        logs::reach(1, &["shut down", &format!("plugin={name} ")]);
        assert_eq!(images(&format!("{name}.so")), 0, "a coroutine keeps the image");
    }
}
