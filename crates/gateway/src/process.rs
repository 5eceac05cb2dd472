// SPDX-License-Identifier: BSD-3-Clause
//! Plugins in processes of their own, as a configuration has them. With the feature `process`.

use std::ffi::OsString;
use std::sync::Arc;
use std::time::Duration;

use becket_host::StartRemote;
use becket_process::sandbox::limits::ResourceLimits;
use becket_process::sandbox::{Allow, Profile, Sandbox};
use becket_process::{Confinement, Process, Restart, Sticky};

use crate::config::{
    PluginConfig, Protocol, SandboxAllow, SandboxConfig, SandboxProfile, StickyConfig,
};
use crate::origins::{InProcess, StartProcess};

/// What [`Builder::processes`](crate::Builder::processes) takes. `worker` is a program and its arguments, mostly this one, that
/// calls `becket_process::worker::run_on_stdin` before anything else.
#[must_use]
pub fn start(worker: Vec<OsString>) -> StartProcess {
    Arc::new(move |what: InProcess<'_>| -> Arc<dyn StartRemote> {
        Arc::new(match what {
            InProcess::Native(path, plugin) => {
                let mut process = Process::native(worker.clone(), path);
                if let Some(layout) = plugin.layout {
                    process = process.layout(layout);
                }
                if let Some(digest) = plugin.sha256 {
                    process = process.sha256(digest.0);
                }
                supervised(process, plugin)
            }
            InProcess::Program(program, plugin) => {
                let mut process = match plugin.protocol.unwrap_or_default() {
                    Protocol::Session => Process::program(worker.clone(), program),
                    Protocol::JsonLines => Process::lines(worker.clone(), program),
                };
                if let Some(folder) = &plugin.folder {
                    process = process.folder(folder);
                }
                supervised(process, plugin)
            }
        })
    })
}

/// The process with the bounds and the supervision that the plugin's configuration has.
fn supervised(process: Process, plugin: &PluginConfig) -> Process {
    let restart = plugin.restart.unwrap_or_default();
    let process = process
        .confined(confinement(plugin))
        .workers(plugin.workers.unwrap_or(1))
        .restart(Restart { attempts_max: restart.attempts_max, within_ms: restart.within_ms })
        .ping_timeout(Duration::from_millis(restart.ping_timeout_ms));
    match plugin.sticky.clone() {
        Some(StickyConfig::Header(name)) => process.sticky(Sticky::Header(name)),
        Some(StickyConfig::Path) => process.sticky(Sticky::Path),
        None => process,
    }
}

/// The sandbox of a plugin, as its configuration has it.
fn confinement(plugin: &PluginConfig) -> Confinement {
    let config = plugin.sandbox.clone().unwrap_or_default();
    let above_zero = |value: u64| Some(value).filter(|value| *value > 0);
    let limits = ResourceLimits {
        memory_bytes_max: above_zero(config.memory_bytes_max),
        descriptors_max: Some(config.descriptors_max),
        processes_max: above_zero(config.processes_max),
        file_bytes_max: above_zero(config.file_bytes_max),
        ..ResourceLimits::default()
    };
    let allow = |allow: SandboxAllow| match allow {
        SandboxAllow::Network => Allow::Network,
        SandboxAllow::Processes => Allow::Processes,
    };
    let sandbox = Sandbox {
        profile: match config.profile {
            SandboxProfile::None => Profile::None,
            SandboxProfile::Default => Profile::Default,
            SandboxProfile::Strict => Profile::Strict,
        },
        allow: config.allow.into_iter().map(allow).collect(),
        readable: config.read,
        writable: config.write,
        limits,
        require: config.require,
        ..Sandbox::default()
    };
    let SandboxConfig { env, user, group, cgroup, .. } = config;
    Confinement { sandbox, env, user, group, cgroup }
}
