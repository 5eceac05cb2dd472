// SPDX-License-Identifier: BSD-3-Clause
//! Plugins built with the crates `nylon-ring` of crates.io: the packages in `bench/published`, inline and
//! in a process, by the host and by the command.
//!
//! | built with | file | |
//! |---|---|---|
//! | 0.1.0, 0.1.4 | has the path of the crate's source, as unoptimized builds do | refused by the loader: its functions take no `plugin_ctx` |
//! | 0.1.0, 0.1.4 | has not | refused by its own `init`, which finds `NULL` for its host |
//! | 0.2.2 | any | runs, by version 2 of the ABI |

use std::path::PathBuf;
use std::process::Command as Process;
use std::sync::Arc;

use becket_host::{CallError, Host, LoadError, NrStatus, Plugin, PluginSpec, Request, Stream};
use futures_lite::future::block_on;
use tempfile::TempDir;

use crate::support::{becket, run};

/// Why a file is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reason {
    /// Its source's path names the crate's version.
    Path(&'static str),
    /// Its `init` refuses.
    Init,
}

impl Reason {
    /// The error of an inline load.
    fn fits(self, error: &LoadError) -> bool {
        match (self, error) {
            (Self::Path(of), LoadError::WithoutPluginCtx { version, .. }) => version == of,
            (Self::Init, LoadError::InitFailed { may_lack_plugin_ctx, .. }) => *may_lack_plugin_ctx,
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
        }
    }
}

/// The plugins of a version, as `cargo xtask test --only published` builds them, and a stripped copy: the
/// unoptimized one, and two optimized ones.
fn plugins(dir: &TempDir, version: &str) -> [PathBuf; 3] {
    let built = PathBuf::from(std::env::var_os("BECKET_PUBLISHED_DIR").expect(
        "BECKET_PUBLISHED_DIR is not set; `cargo xtask test --only published` builds the plugins and sets it",
    ));
    let [debug, release] = ["debug", "release"].map(|profile| {
        let library = built.join(version).join(profile);
        let library = library.join(format!("libpublished_{version}.so"));
        assert!(library.is_file(), "{} is not built", library.display());
        library
    });
    let stripped = dir.path().join(format!("stripped_{version}.so"));
    run(Process::new("strip").arg("-o").arg(&stripped).arg(&release));
    [debug, release, stripped]
}

/// The plugins of 0.1, with the reason for which each is refused.
fn refused(dir: &TempDir) -> Vec<(PathBuf, Reason)> {
    [("0_1_0", "0.1.0"), ("0_1_4", "0.1.4")]
        .into_iter()
        .flat_map(|(version, path)| {
            let [debug, release, stripped] = plugins(dir, version);
            [(debug, Reason::Path(path)), (release, Reason::Init), (stripped, Reason::Init)]
        })
        .collect()
}

#[test]
#[ignore = "needs plugins that `cargo xtask test --only published` builds"]
fn published_plugins_of_0_1_are_refused_by_the_host_with_the_reason() {
    let dir = TempDir::new().unwrap();
    let host = Host::new();
    for (library, reason) in refused(&dir) {
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
fn published_plugins_of_0_1_are_refused_by_the_command_with_the_reason() {
    let dir = TempDir::new().unwrap();
    for (library, reason) in refused(&dir) {
        let path = library.display();
        let is_refused = |args: &[&str]| {
            let refused = becket().args(args).assert().failure();
            let said = String::from_utf8(refused.get_output().stderr.clone()).unwrap();
            let [error, cause, hint] = reason.texts();
            for (line, text) in [("error: ", error), ("cause: ", cause), ("hint:  ", hint)] {
                let has = said.lines().any(|said| said.contains(line) && said.contains(text));
                assert!(has, "{args:?}: {line}{text} in {said}");
            }
        };
        let path = path.to_string();
        is_refused(&["plugin", "call", &path, "echo", "--data", "hi"]);
        is_refused(&["plugin", "inspect", &path, "--placement", "process"]);
        // What maps the file without starting it cannot tell the plugin from a documented one.
        let inspected = becket().args(["plugin", "inspect", &path]).assert();
        match reason {
            Reason::Init => drop(inspected.success()),
            Reason::Path(_) => is_refused(&["plugin", "inspect", &path]),
        }
        for placement in ["inline", "process"] {
            let config = dir.path().join("becket.toml");
            let text = format!("[plugins.old]\npath = \"{path}\"\nplacement = \"{placement}\"\n");
            std::fs::write(&config, text).unwrap();
            let ports = ["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"];
            is_refused(&[&["serve", "--config", config.to_str().unwrap()][..], &ports].concat());
        }
    }
}

/// What the control of the package (`bench/published/control.rs`) sees of the published host.
fn runs(plugin: &Plugin) {
    for (entry, payload, answer) in
        [("echo", "hi", "hi"), ("upper", "hi", "HI"), ("count", "", "1"), ("count", "", "2")]
    {
        let response = block_on(plugin.call_raw(entry, payload.as_bytes())).unwrap();
        assert!(response.status.is_ok(), "{entry}");
        assert_eq!(*response.body, *answer.as_bytes(), "{entry}");
        let by_id = plugin.entry(entry).unwrap();
        if entry != "count" {
            let response = block_on(by_id.call_raw(payload.as_bytes())).unwrap();
            assert_eq!(*response.body, *answer.as_bytes(), "{entry}");
        }
    }
    let long = "x".repeat(100_000);
    assert_eq!(*block_on(plugin.call_raw("echo", long.as_bytes())).unwrap().body, *long.as_bytes());
    let unknown = block_on(plugin.call_raw("nothing", b"")).unwrap_err();
    assert!(matches!(unknown, CallError::Refused { status: NrStatus::Invalid }), "{unknown:?}");
    let mut stream = block_on(plugin.stream("stream", Request::default())).unwrap();
    let next = |stream: &mut Stream| block_on(stream.next()).unwrap().map(|frame| frame.body);
    for body in ["one", "two", "three"] {
        assert_eq!(*next(&mut stream).unwrap(), *body.as_bytes());
    }
    block_on(stream.send(b"four")).unwrap();
    stream.close().unwrap();
    assert_eq!(*next(&mut stream).unwrap(), *b"four");
    assert!(next(&mut stream).is_none());
}

#[test]
#[ignore = "needs plugins that `cargo xtask test --only published` builds"]
fn published_plugins_of_0_2_run_at_both_placements() {
    let dir = TempDir::new().unwrap();
    for library in plugins(&dir, "0_2_2") {
        let host = Host::new();
        let worker = vec![env!("CARGO_BIN_EXE_becket").into(), "plugin-worker".into()];
        let process = becket_process::Process::native(worker, &library);
        for spec in
            [PluginSpec::path("inline", &library), PluginSpec::remote("process", Arc::new(process))]
        {
            let plugin = host.load(spec).unwrap_or_else(|error| panic!("{error}"));
            assert_eq!(plugin.info().layout, "v2");
            assert_eq!(plugin.info().reported_name, "published_0_2_2");
            runs(&plugin);
            block_on(plugin.reload()).unwrap();
            // Its state is the new load's.
            runs(&plugin);
            assert_eq!(block_on(host.unload(plugin.name())).unwrap(), 0);
        }
    }
}

#[test]
#[ignore = "needs plugins that `cargo xtask test --only published` builds"]
fn published_plugins_of_0_2_run_by_the_command() {
    let dir = TempDir::new().unwrap();
    for library in plugins(&dir, "0_2_2") {
        let path = library.to_str().unwrap();
        let printed = |args: &[&str]| {
            let output = becket().args(args).assert().success().get_output().stdout.clone();
            String::from_utf8(output).unwrap()
        };
        assert_eq!(printed(&["plugin", "call", path, "upper", "--data", "hi"]), "HI\n");
        for placement in ["inline", "process"] {
            let shown = printed(&["plugin", "inspect", path, "--placement", placement]);
            let is_shown = placement == "process" || shown.contains("v2: it exports");
            assert!(is_shown && shown.contains("published_0_2_2"), "{shown}");
        }
    }
}
