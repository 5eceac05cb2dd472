// SPDX-License-Identifier: BSD-3-Clause
//! Handlers on coroutines of the host: a plugin in C that waits in straight-line code.
//!
//! | module | what it shows |
//! |---|---|
//! | `answers` | the first answer wins over what a handler returns after it |
//! | `calls` | calls wait, are cancelled at their ends, and run where they should |
//! | `streams` | frames both ways, with backpressure, until one side ends |
//! | `ends` | unload and reload of plugins whose handlers wait |
//! | `rust` | a plugin in Rust |
//! | `loads` | what must not load |
//! | `overflow` | a stack that overflows, in a process of its own |

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests fail as tests do"
)]

#[path = "../support/mod.rs"]
mod support;

mod answers;
mod calls;
mod ends;
mod loads;
mod overflow;
mod rust;
mod streams;

use std::path::PathBuf;

use becket_host::{Host, Limits, Plugin, PluginSpec};

use crate::support::{
    logs,
    native::{Workshop, images},
    unload_clean,
    wait::wait,
};

/// The plugin's source.
const SOURCE: &str = include_str!("waits.c");

/// The plugin, in a host of its own.
struct Waits {
    host: Host,
    plugin: Plugin,
    _workshop: Workshop,
    path: PathBuf,
}

impl Waits {
    fn load(name: &str) -> Self {
        Self::load_with(name, Limits::default())
    }

    fn load_with(name: &str, limits: Limits) -> Self {
        logs::capture();
        let workshop = Workshop::new();
        let path = workshop.build(name, SOURCE);
        let host = Host::builder().coroutine_workers(1).build();
        let plugin = host.load(PluginSpec::path(name, &path).limits(limits)).unwrap();
        Self { host, plugin, _workshop: workshop, path }
    }

    fn ask(&self, entry: &str, payload: &[u8]) -> String {
        let response = wait(self.plugin.call_raw(entry, payload)).unwrap();
        assert!(response.status.is_ok());
        String::from_utf8(response.body.to_vec()).unwrap()
    }

    fn end(self) {
        unload_clean(&self.host, &self.plugin);
        let name = self.plugin.name();
        logs::reach(1, &["shut down", &format!("plugin={name} ")]);
        assert_eq!(images(&format!("{name}.so")), 0, "a coroutine keeps the image");
    }
}
