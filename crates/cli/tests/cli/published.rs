// SPDX-License-Identifier: BSD-3-Clause
//! Plugins built with the crates `nylon-ring` of crates.io: the packages in `bench/published`. Each is
//! refused, inline and in a process, by the host and by the command, and the refusal has the reason.
//!
//! | built with | file | refused by | since |
//! |---|---|---|---|
//! | 0.1.0, 0.1.4 | has the path of the crate's source, as unoptimized builds do | the loader | its functions take no `plugin_ctx` |
//! | 0.1.0, 0.1.4 | has not | its own `init` | it finds `NULL` for its host |
//! | 0.2.2 | any | the loader | it has version 2 of the ABI alone |

use std::path::PathBuf;
use std::process::Command as Process;
use std::sync::Arc;

use becket_host::{Host, LoadError, PluginSpec};
use tempfile::TempDir;

use crate::support::{becket, run};

/// Why a file is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reason {
    /// Its source's path names the crate's version.
    Path(&'static str),
    /// Its `init` refuses.
    Init,
    /// It has no function of version 1.
    Version2,
}

impl Reason {
    /// The error of an inline load.
    fn fits(self, error: &LoadError) -> bool {
        match (self, error) {
            (Self::Path(of), LoadError::WithoutPluginCtx { version, .. }) => version == of,
            (Self::Init, LoadError::InitFailed { may_lack_plugin_ctx, .. }) => *may_lack_plugin_ctx,
            (Self::Version2, LoadError::SymbolMissing { exports, .. }) => {
                exports.iter().any(|name| name == "nylon_ring_get_plugin")
            }
            _ => false,
        }
    }

    /// Parts of the error, its cause and its hint.
    fn texts(self) -> [&'static str; 3] {
        match self {
            Self::Path(_) => [
                "is built with nylon-ring 0.1.",
                "its functions take no plugin_ctx and its answers have another shape",
                "build it again with becket-plugin",
            ],
            Self::Init => [
                "answered Invalid",
                "one built with nylon-ring 0.1.0 to 0.1.4 of crates.io always answers so",
                "build it again with becket-plugin",
            ],
            Self::Version2 => [
                "does not export `nylon_ring_get_plugin_v1`",
                "it exports nylon_ring_get_plugin",
                "build it again with becket-plugin",
            ],
        }
    }
}

/// The plugins, as `cargo xtask test --only published` builds them, and a stripped copy of each.
fn plugins(dir: &TempDir) -> Vec<(PathBuf, Reason)> {
    let built = PathBuf::from(std::env::var_os("BECKET_PUBLISHED_DIR").expect(
        "BECKET_PUBLISHED_DIR is not set; `cargo xtask test --only published` builds the plugins and sets it",
    ));
    let mut plugins = Vec::new();
    for (version, debug, release) in [
        ("0_1_0", Reason::Path("0.1.0"), Reason::Init),
        ("0_1_4", Reason::Path("0.1.4"), Reason::Init),
        ("0_2_2", Reason::Version2, Reason::Version2),
    ] {
        for (profile, reason) in [("debug", debug), ("release", release)] {
            let library = built.join(version).join(profile);
            let library = library.join(format!("libpublished_{version}.so"));
            assert!(library.is_file(), "{} is not built", library.display());
            plugins.push((library.clone(), reason));
            if profile == "release" {
                let stripped = dir.path().join(format!("stripped_{version}.so"));
                run(Process::new("strip").arg("-o").arg(&stripped).arg(&library));
                plugins.push((stripped, reason));
            }
        }
    }
    plugins
}

#[test]
#[ignore = "needs plugins that `cargo xtask test --only published` builds"]
fn published_plugins_are_refused_by_the_host_with_the_reason() {
    let dir = TempDir::new().unwrap();
    let host = Host::new();
    for (library, reason) in plugins(&dir) {
        let error = host.load(PluginSpec::path("inline", &library)).unwrap_err();
        assert!(reason.fits(&error), "{}: {error:?}", library.display());
        let worker = vec![env!("CARGO_BIN_EXE_becket").into(), "plugin-worker".into()];
        let process = becket_process::Process::native(worker, &library);
        let error = host.load(PluginSpec::remote("process", Arc::new(process))).unwrap_err();
        assert!(matches!(error, LoadError::Remote { .. }), "{}: {error:?}", library.display());
        let said = [Some(error.to_string()), error.cause(), error.hint()].map(Option::unwrap);
        for (said, text) in said.iter().zip(reason.texts()) {
            assert!(said.contains(text), "{}: {text:?} in {said:?}", library.display());
        }
    }
}

#[test]
#[ignore = "needs plugins that `cargo xtask test --only published` builds"]
fn published_plugins_are_refused_by_the_command_with_the_reason() {
    let dir = TempDir::new().unwrap();
    for (library, reason) in plugins(&dir) {
        let path = library.display();
        let refused = |args: &[&str]| {
            let refused = becket().args(args).assert().failure();
            let said = String::from_utf8(refused.get_output().stderr.clone()).unwrap();
            let [error, cause, hint] = reason.texts();
            for (line, text) in [("error: ", error), ("cause: ", cause), ("hint:  ", hint)] {
                let has = said.lines().any(|said| said.contains(line) && said.contains(text));
                assert!(has, "{args:?}: {line}{text} in {said}");
            }
        };
        let path = path.to_string();
        refused(&["plugin", "call", &path, "echo", "--data", "hi"]);
        refused(&["plugin", "inspect", &path, "--placement", "process"]);
        // What maps the file without starting it cannot tell the plugin from a documented one.
        let inspected = becket().args(["plugin", "inspect", &path]).assert();
        match reason {
            Reason::Init => drop(inspected.success()),
            Reason::Path(_) | Reason::Version2 => refused(&["plugin", "inspect", &path]),
        }
        for placement in ["inline", "process"] {
            let config = dir.path().join("becket.toml");
            let text = format!("[plugins.old]\npath = \"{path}\"\nplacement = \"{placement}\"\n");
            std::fs::write(&config, text).unwrap();
            let ports = ["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"];
            refused(&[&["serve", "--config", config.to_str().unwrap()][..], &ports].concat());
        }
    }
}
