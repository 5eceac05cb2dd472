// SPDX-License-Identifier: BSD-3-Clause
//! Leases and owned bytes of a worker that ends: of both versions of the ABI.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use becket_coro::block_on;
use becket_host::{Call, CallError, Dispatch, Host, Limits, Plugin, PluginSpec};
use becket_process::{Confinement, Process};
use becket_sandbox::{Profile, Sandbox};
use tempfile::TempDir;

use crate::ends::{HANGS, kill, until};
use crate::worker;

const LEASES_MAX: u32 = 2;

fn build(folder: &Path, version: &str) -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let out = folder.join(format!("{version}.so"));
    let built = Command::new("cc")
        .args(["-shared", "-fPIC", "-I"])
        .arg(here.join("../abi/include"))
        .arg(format!("-D{version}"))
        .arg(here.join("tests/processes/buffers.c"))
        .arg("-o")
        .arg(&out)
        .status()
        .expect("a C compiler, as linking Rust needs one too");
    assert!(built.success());
    out
}

/// Runs `test` on the plugin of each version.
fn each(test: impl Fn(&Host, &Plugin, &Path)) {
    for version in ["V1", "V2"] {
        let folder = TempDir::new().unwrap();
        let path = build(folder.path(), version);
        // It writes what it releases to a file.
        let sandbox = Sandbox { profile: Profile::None, ..Sandbox::default() };
        let confinement = Confinement { sandbox, ..Confinement::default() };
        let process = Process::native(worker(), path).confined(confinement);
        let limits = Limits { leases_max: LEASES_MAX, ..Limits::default() };
        let host = Host::new();
        let spec = PluginSpec::remote(version, Arc::new(process)).limits(limits);
        let plugin = host.load(spec.dispatch(Dispatch::Caller)).unwrap();
        test(&host, &plugin, &folder.path().join("released"));
        block_on(host.shutdown(Duration::from_secs(10)));
    }
}

fn answer(call: Call<'_>) -> String {
    String::from_utf8(block_on(call).unwrap().body.to_vec()).unwrap()
}

fn pid(plugin: &Plugin) -> u32 {
    answer(plugin.call_raw("pid", b"")).parse().unwrap()
}

#[test]
fn leases_of_a_worker_end_with_it() {
    each(|_, plugin, _| {
        for _ in 0..3 {
            let worker = pid(plugin);
            let (ended, ends) = mpsc::channel();
            // One more than there are leases. Any of them may be the one that gets none.
            for _ in 0..=LEASES_MAX {
                let (plugin, ended) = (plugin.clone(), ended.clone());
                std::thread::spawn(move || {
                    let _ = ended.send(block_on(plugin.call_raw("lease", b"").timeout(HANGS)));
                });
            }
            assert_eq!(ends.recv().unwrap().unwrap().body[..], *b"none");
            kill(worker);
            for _ in 0..LEASES_MAX {
                let ended = ends.recv().unwrap();
                assert!(matches!(ended, Err(CallError::Crashed)), "{ended:?}");
            }
            assert_ne!(pid(plugin), worker);
        }
    });
}

#[test]
fn owned_bytes_of_a_worker_are_released_by_it_or_not_at_all() {
    each(|_, plugin, released| {
        let call = || {
            let place = released.to_str().unwrap();
            block_on(plugin.call_raw("owned", place.as_bytes()).timeout(HANGS)).unwrap().body
        };
        let by = || fs::read_to_string(released).unwrap_or_default();
        let worker = pid(plugin);
        let first = call();
        assert_eq!(first.len(), 5000);
        until("they are released", || (by() == format!("{worker}\n")).then_some(()));
        // What is read of the second outlives the worker, and its end here runs nothing of the plugin.
        let second = call();
        kill(worker);
        until("another worker", || (pid_now(plugin) != Some(worker)).then_some(()));
        assert!(second.iter().all(|byte| *byte == 0) && second.len() == 5000);
        drop((first, second));
        let released_by = by();
        let own = std::process::id().to_string();
        assert!(released_by.lines().all(|line| line == worker.to_string() && line != own));
        assert!((1..=2).contains(&released_by.lines().count()), "{released_by}");
    });
}

fn pid_now(plugin: &Plugin) -> Option<u32> {
    let response = block_on(plugin.call_raw("pid", b"").timeout(HANGS)).ok()?;
    String::from_utf8(response.body.to_vec()).ok()?.parse().ok()
}
