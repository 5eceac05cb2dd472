// SPDX-License-Identifier: BSD-3-Clause
//! Plugins in processes of their own: what comes back from them, and what becomes of calls when one ends.
//!
//! The samples are `libsample_LANG.so` in `BECKET_SAMPLES_DIR`, or in the workspace's `target/plugins`, and
//! the zoo is in `BECKET_ZOO_DIR`, or in `target/zoo`: `cargo xtask plugins` and `cargo xtask zoo` build
//! them. A test without its file fails.
//!
//! | module | what lives there |
//! |---|---|
//! | `buffers` | leases and owned bytes of workers that end |
//! | `calls` | calls and streams, in each language |
//! | `everyone` | every plugin of the zoo |
//! | `ends` | workers that crash, are killed, or are ended |
//! | `crashes` | the stacks of workers that crash |
//! | `output` | what workers write to stdout and stderr |
//! | `moves` | reloads, and moves between placements |
//! | `lines` | programs that speak JSON lines |
//! | `program` | programs that speak the session themselves: as described, and to harm the host |
//! | `supervision` | death records, the limit of restarts, several workers, health |
//! | `sandbox` | what workers may do, and what becomes of what they try |

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests fail as tests do"
)]

mod buffers;
mod calls;
mod crashes;
mod ends;
mod everyone;
mod lines;
mod moves;
mod output;
mod program;
mod sandbox;
mod supervision;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::{env, fs};

use becket_host::{Host, Plugin, PluginSpec};
use becket_process::Process;

fn built(variable: &str, folder: &str, name: &str) -> PathBuf {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target").join(folder);
    let place = env::var_os(variable).map_or(workspace, PathBuf::from).join(name);
    assert!(place.is_file(), "{} is not there: see the first lines of this file", place.display());
    place
}

fn sample(language: &str) -> PathBuf {
    built("BECKET_SAMPLES_DIR", "plugins", &format!("libsample_{language}.so"))
}

fn zoo(name: &str) -> PathBuf {
    built("BECKET_ZOO_DIR", "zoo", &format!("{name}.so"))
}

/// The program that workers begin as.
fn worker() -> Vec<OsString> {
    vec![env!("CARGO_BIN_EXE_becket-worker").into()]
}

/// Loads a native plugin into a process of its own.
fn load(host: &Host, name: &str, file: PathBuf) -> Plugin {
    let spec = PluginSpec::remote(name, Arc::new(Process::native(worker(), file)));
    host.load(spec).unwrap_or_else(|error| panic!("{error}"))
}

/// Loads the sample of a language: a native plugin in a worker, or a program.
fn load_sample(host: &Host, name: &str, language: &str) -> Plugin {
    let (interpreter, script) = match language {
        "node" => ("node", "node/plugin.js"),
        "python" => ("python3", "python/plugin.py"),
        _ => return load(host, name, sample(language)),
    };
    let samples = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/plugins/");
    let command = vec![interpreter.into(), format!("{samples}{script}").into()];
    let process = Process::program(worker(), command);
    host.load(PluginSpec::remote(name, Arc::new(process))).unwrap_or_else(|error| panic!("{error}"))
}

/// The processes that a thread of this one has started and not waited for, and that supervises `name`.
fn workers(name: &str) -> Vec<u32> {
    let mut found = Vec::new();
    for task in fs::read_dir("/proc/self/task").unwrap() {
        let task = task.unwrap().path();
        let of = fs::read_to_string(task.join("comm")).unwrap_or_default();
        let mut wanted = format!("becket-{name}");
        wanted.truncate(15);
        if of.trim_end() == wanted {
            let children = fs::read_to_string(task.join("children")).unwrap_or_default();
            found.extend(children.split_whitespace().map(|pid| pid.parse::<u32>().unwrap()));
        }
    }
    found
}
