// SPDX-License-Identifier: BSD-3-Clause
//! What workers write to their stdout and stderr.

use std::sync::Arc;
use std::time::Duration;

use becket_coro::block_on;
use becket_host::{Host, PluginSpec};
use becket_process::Process;

use crate::{load, sample};

/// The greeting program, after this Python code.
pub(crate) fn program_after(code: &str) -> Process {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/processes/program.py");
    let code =
        format!("import os, sys, threading, time, runpy\n{code}\nrunpy.run_path({script:?})");
    Process::program(crate::worker(), vec!["python3".into(), "-c".into(), code.into()])
}

#[test]
fn a_flood_stops_neither_its_plugin_nor_another() {
    let flood = "
def flood():
    while True:
        os.write(1, b'flood' * 1000)
        os.write(2, b'flood\\n' * 1000)
threading.Thread(target=flood, daemon=True).start()";
    let host = Host::new();
    let healthy = load(&host, "dry", sample("c"));
    let flooding = PluginSpec::remote("floods", Arc::new(program_after(flood)));
    let flooding = flooding.config(serde_json::json!({}));
    let flooding = host.load(flooding).unwrap_or_else(|error| panic!("{error}"));
    for _ in 0..50 {
        block_on(flooding.call_raw("greet", b"you")).unwrap();
        block_on(healthy.call_raw("echo", b"x")).unwrap();
    }
    block_on(host.shutdown(Duration::from_secs(10)));
    assert!(crate::workers("floods").is_empty());
}

#[test]
fn what_a_program_wrote_last_is_why_it_did_not_start() {
    let host = Host::new();
    let process = program_after("raise ValueError('no such\\x1b[1m thing')");
    let error = host.load(PluginSpec::remote("raises", Arc::new(process))).unwrap_err();
    let cause = error.cause().unwrap();
    assert!(cause.contains("it wrote: ValueError: no such"), "{cause}");
    assert!(!cause.contains('\x1b'), "{cause}");
}
