// SPDX-License-Identifier: BSD-3-Clause
//! `becket plugin …` on a plugin that `becket plugin new` made.

use serde_json::Value;
use snapbox::str;
use tempfile::TempDir;

use crate::support::{becket, plugin};

fn json(output: &[u8]) -> Value {
    serde_json::from_slice(output)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(output)))
}

#[test]
fn inspect_says_what_the_file_is() {
    becket().args(["plugin", "inspect"]).arg(plugin()).assert().success().stderr_eq("").stdout_eq(
        str![[r#"
greeter 0.1.0
file       [..]/libgreeter.so, [..] bytes, [..]
sha256     [..]
abi        version 1, info 88 bytes, function table 96 bytes, attaches to the host's functions
layout     becket: [..]
flags      thread-safe, multi-instance, may-unload
functions  init, handle, shutdown, stream_data, stream_close, handle_raw, resolve_entry, handle_by_id, describe, cancel, reload_export, reload_import
not there  none
exports    nylon_ring_get_plugin_v1 of 1
needs      libc.so.6
config     {"greeting":"Hello"}

entries
hello      unary          greets whom the payload names
countdown  stream         sends 3, 2, 1

"#]],
    );
    let output = becket().args(["plugin", "inspect", "--json"]).arg(plugin()).assert().success();
    let inspection = json(&output.get_output().stdout);
    assert_eq!(inspection["entries"][1]["kind"], "stream");
}

#[test]
fn a_file_that_is_no_plugin_is_a_load_error() {
    let dir = TempDir::new().unwrap();
    std::fs::write(dir.path().join("notes.txt"), "hello").unwrap();
    becket()
        .args(["plugin", "inspect", "notes.txt"])
        .current_dir(dir.path())
        .assert()
        .code(3)
        .stdout_eq("")
        .stderr_eq(str![[r#"
error: plugin [..]notes.txt is [..], not an ELF shared library
...
"#]]);
    becket().args(["plugin", "call", "none.so", "x"]).assert().code(3).stdout_eq("");
}

#[test]
fn call_prints_the_answer() {
    let call = || becket().args(["plugin", "call"]).arg(plugin()).arg("hello");
    call().args(["--data", "you"]).assert().success().stderr_eq("").stdout_eq("Hello, you\n");
    call().args(["--file", "-"]).stdin("stdin").assert().success().stdout_eq("Hello, stdin\n");
    let output = call().arg("--json").assert().success();
    let answer = json(&output.get_output().stdout);
    assert_eq!(answer["status"], "Ok");
    assert_eq!(answer["body"], "Hello, world");
}

#[test]
fn call_prints_a_stream_frame_by_frame() {
    let call = || becket().args(["plugin", "call"]).arg(plugin()).arg("countdown");
    call().assert().success().stdout_eq("3\n2\n1\n");
    call().arg("--json").assert().success().stdout_eq(str![[r#"
{"body":"3","status":"Ok","status_code":0}
{"body":"2","status":"Ok","status_code":0}
{"body":"1","status":"Ok","status_code":0}

"#]]);
}

#[test]
fn an_unknown_entry_names_the_nearest() {
    becket()
        .args(["plugin", "call"])
        .arg(plugin())
        .arg("helo")
        .assert()
        .code(4)
        .stdout_eq("")
        .stderr_eq(str![[r#"
error: plugin `greeter` has no entry `helo`
hint:  did you mean `hello`?

"#]]);
}

#[test]
fn a_wrong_configuration_is_a_usage_error() {
    becket()
        .args(["plugin", "call", "--config", "[1]"])
        .arg(plugin())
        .arg("hello")
        .assert()
        .code(2)
        .stderr_eq(str![[r#"
error: invalid value '[1]' for '--config <JSON>'
cause: it must be an object, such as {"greeting":"Hi"}
hint:  `--help` says what is expected

"#]]);
}

#[test]
fn check_tries_every_promise() {
    becket().args(["plugin", "check"]).arg(plugin()).assert().success().stderr_eq("").stdout_eq(
        str![[r#"
ok    load              greeter 0.1.0, layout becket
ok    entries           2 entries, each resolves
ok    reload            generation 1 became 2
ok    unknown entry     refused: plugin `greeter` has no entry `becket-check-no-such-entry`
ok    unary hello       empty payload: answered Ok in [..]; small payload: answered Ok in [..]
ok    stream countdown  3 frames, ended well in [..]
ok    answers           each to a call that waited for it
ok    unload            nothing was left behind
[..]libgreeter.so passed

"#]],
    );
}

#[test]
fn bench_says_how_fast() {
    let bench =
        || becket().args(["plugin", "bench", "--seconds", "0.1", "--threads", "2"]).arg(plugin());
    bench().arg("hello").assert().success().stderr_eq("").stdout_eq(str![[r#"
hello: [..] calls in [..] s, 0 failed
calls/s   [..]
latency   p50 [..]   p90 [..]   p99 [..]   p99.9 [..]   max [..]
2 threads, 0 bytes each, one call at a time on each thread

"#]]);
    let output = bench().args(["countdown", "--json"]).assert().success();
    let report = json(&output.get_output().stdout);
    let (calls, frames) = (report["calls"].as_u64().unwrap(), report["frames"].as_u64().unwrap());
    assert!(calls > 0);
    assert_eq!(frames, calls * 3, "three frames each, also from the last one begun");
    assert_eq!(report["failed"], 0);
}
