// SPDX-License-Identifier: BSD-3-Clause
//! Plugins of the first ABI, which cannot declare the kinds of their entries: streams are detected,
//! and entries that take only a payload are called.

use std::io::{BufRead, BufReader};
use std::process::Command as Process;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use snapbox::str;
use tempfile::TempDir;

use crate::support::{becket, compile, process, run};

/// `inside` streams within `handle`, `thread` from a thread after `handle` has returned; `twice`
/// fails and then sends more, which is not a stream; `late` answers once. With `RAW_ONLY` there is
/// no `handle`.
const FIRST_ABI: &str = r#"
#include <pthread.h>
#include <string.h>
#include "nylon_ring.h"
static void *host_ctx;
static const NrHostVTable *host;
static NrStatus init(void *ctx, void *its, const NrHostVTable *table) {
    (void)ctx; host_ctx = its; host = table; return NR_OK;
}
static void say(uint64_t sid, NrStatus status, const char *text) {
    NrBytes bytes = {(const uint8_t *)text, strlen(text)};
    host->send_result(host_ctx, sid, status, bytes);
}
static void *frames(void *arg) {
    uint64_t sid = (uint64_t)(uintptr_t)arg;
    say(sid, NR_OK, "one "); say(sid, NR_OK, "two "); say(sid, NR_OK, "three");
    say(sid, NR_STREAM_END, "");
    return NULL;
}
static int is(NrStr entry, const char *name) {
    return entry.len == strlen(name) && memcmp(entry.ptr, name, entry.len) == 0;
}
static NrStatus handle(void *ctx, NrStr entry, uint64_t sid, const NrRequest *request, NrBytes data) {
    (void)ctx; (void)data;
    if (is(entry, "inside")) { frames((void *)(uintptr_t)sid); return NR_OK; }
    if (is(entry, "twice")) { say(sid, NR_ERR, "no"); say(sid, NR_OK, "or yes"); return NR_OK; }
    if (is(entry, "once")) { say(sid, NR_OK, request ? "whole" : "raw"); return NR_OK; }
    if (is(entry, "thread")) {
        pthread_t thread;
        pthread_create(&thread, NULL, frames, (void *)(uintptr_t)sid);
        pthread_detach(thread);
        return NR_OK;
    }
    return NR_UNSUPPORTED;
}
static NrStatus raw(void *ctx, NrStr entry, uint64_t sid, NrBytes data) {
    (void)ctx; (void)entry;
    host->send_result(host_ctx, sid, NR_OK, data);
    return NR_OK;
}
static void stop(void *ctx) { (void)ctx; }
static NrStatus data(void *ctx, uint64_t sid, NrBytes bytes) {
    (void)ctx; (void)sid; (void)bytes; return NR_UNSUPPORTED;
}
static NrStatus closed(void *ctx, uint64_t sid) { (void)ctx; (void)sid; return NR_OK; }
const struct {
    NrStatus (*init)(void *, void *, const NrHostVTable *);
    NrStatus (*handle)(void *, NrStr, uint64_t, const NrRequest *, NrBytes);
    NrStatus (*raw)(void *, NrStr, uint64_t, NrBytes);
    void (*stop)(void *);
    NrStatus (*data)(void *, uint64_t, NrBytes);
    NrStatus (*closed)(void *, uint64_t);
} vtable = {init,
#ifdef RAW_ONLY
            NULL,
#else
            handle,
#endif
            raw, stop, data, closed};
NR_EXPORT const NrPluginInfo *nylon_ring_get_plugin_v1(void) {
    static NrPluginInfo info;
    (void)handle;
    info.abi_version = NR_ABI_VERSION;
    info.struct_size = NR_PLUGIN_INFO_SIZE_DOCUMENTED;
    info.name = NR_STR("first");
    info.version = NR_STR("1.0.0");
    info.vtable = (const NrPluginVTable *)&vtable;
    return &info;
}
"#;

fn build(dir: &TempDir, raw_only: bool) -> std::path::PathBuf {
    let (source, library) = (dir.path().join("first.c"), dir.path().join("libfirst.so"));
    let define = if raw_only { "#define RAW_ONLY\n" } else { "" };
    std::fs::write(&source, format!("{define}{FIRST_ABI}")).unwrap();
    compile(&source, &library);
    library
}

fn curl(url: &str) -> String {
    String::from_utf8(run(Process::new("curl").args(["-sS", "-d", "payload", url])).stdout).unwrap()
}

#[test]
fn an_entry_that_streams_unannounced_is_said_once_and_served_as_a_stream_from_then_on() {
    let dir = TempDir::new().unwrap();
    let library = build(&dir, false);
    let mut server = process()
        .args(["serve", "--json", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--plugin"])
        .arg(format!("first={}", library.display()))
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(server.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let started: Value = serde_json::from_str(&line).unwrap();
    let at = |entry: &str| {
        curl(&format!("http://{}/first/{entry}", started["listen"].as_str().unwrap()))
    };
    let mut log = BufReader::new(server.stderr.take().unwrap()).lines().map(Result::unwrap);
    let mut said = Vec::new();
    for entry in ["inside", "thread"] {
        assert_eq!(at(entry), "one ", "{entry}: the first frame is the answer");
        // The rest may still be in flight.
        let warning = log.find(|line| line.contains("streams: its further frames were dropped"));
        said.push(warning.unwrap());
        for _ in 0..3 {
            assert_eq!(at(entry), "one two three", "{entry}");
        }
        // An entry that answers once, or fails and continues, is not a stream.
        for _ in 0..2 {
            assert_eq!((at("once"), at("twice")), ("whole".to_owned(), "no".to_owned()));
        }
    }
    for (line, entry) in said.iter().zip(["inside", "thread"]) {
        assert!(line.contains(&format!("entry=\"{entry}\"")), "{line}");
        assert!(line.contains("hint=") && line.contains("kind = "), "{line}");
    }
    let metrics = curl_get(&format!("http://{}/metrics", started["admin"].as_str().unwrap()));
    let counted = "becket_plugin_frames_unannounced_total{plugin=\"first\"} 6\n";
    assert!(metrics.contains(counted), "{metrics}");
    kill_process(Pid::from_child(&server), Signal::TERM).unwrap();
    assert!(server.wait().unwrap().success());
    let again = log.find(|line| line.contains("further frames"));
    assert_eq!(again, None, "once of each entry");
}

fn curl_get(url: &str) -> String {
    String::from_utf8(run(Process::new("curl").args(["-sS", url])).stdout).unwrap()
}

#[test]
fn what_takes_a_payload_alone_is_reached_by_raw_and_over_http() {
    let dir = TempDir::new().unwrap();
    let library = build(&dir, false);
    let call = |args: &[&str]| {
        let call = ["plugin", "call", "--data", "payload"];
        becket().args(call).args(args).arg(&library).arg("once").assert().success()
    };
    call(&[]).stdout_eq("whole\n");
    call(&["--raw"]).stdout_eq("payload\n");
    becket()
        .args(["plugin", "call", "--raw", "--stream"])
        .arg(&library)
        .arg("once")
        .assert()
        .code(2)
        .stderr_eq(str![[r#"
error: the argument '--raw' cannot be used with '--stream'
hint:  [..]

"#]]);

    let raw_only = TempDir::new().unwrap();
    let library = build(&raw_only, true);
    let mut server = process()
        .args(["serve", "--json", "--listen", "127.0.0.1:0", "--admin", "off", "--plugin"])
        .arg(format!("first={}", library.display()))
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(server.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let started: Value = serde_json::from_str(&line).unwrap();
    let url = format!("http://{}/first/anything", started["listen"].as_str().unwrap());
    assert_eq!(curl(&url), "payload");
    kill_process(Pid::from_child(&server), Signal::TERM).unwrap();
    assert!(server.wait().unwrap().success());
}
