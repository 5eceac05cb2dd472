// SPDX-License-Identifier: BSD-3-Clause
//! Plugins as adapters of the lab: what they do to the process that they are in.

use std::io::Read;
use std::path::PathBuf;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

use crate::support::{becket, compile, pipe, process};

/// Answers with what it is called with, and prints that it did: by its C library, which keeps it
/// until the process ends, and by the system.
const PRINTS: &str = r#"
#include <stdio.h>
#include <unistd.h>
#include "becket_plugin.h"
static NrStatus echo(const BkCall *call) {
    puts("said by the plugin, late");
    ssize_t written = write(STDOUT_FILENO, "said by the plugin\n", 19);
    return written < 0 ? NR_ERR : bk_answer(call, NR_OK, call->payload);
}
static const BkEntry entries[] = {{"echo", BK_ENTRY_UNARY, "", echo}};
static const BkPluginDef def = {.name = "prints", .version = "1", BK_ENTRIES(entries)};
BK_PLUGIN(def)
"#;

/// Gives back what it is given, and ends the process in the middle: in what way, `HOW` says.
const ENDS_IT: &str = r#"
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>
#include "becket_plugin.h"
static int calls;
static NrStatus echo(const BkCall *call) {
    const char *how = getenv("HOW");
    if (++calls == 100 && *how == 'a') abort();
    if (calls == 100 && *how == 'e') _Exit(0);
    if (calls == 100 && open(how, O_WRONLY) >= 0) for (;;) pause();
    return bk_answer(call, NR_OK, call->payload);
}
static const BkEntry entries[] = {{"echo", BK_ENTRY_UNARY, "", echo}};
static const BkPluginDef def = {.name = "ends", .version = "1", BK_ENTRIES(entries)};
BK_PLUGIN(def)
"#;

/// Builds a plugin in the directory.
fn built(dir: &TempDir, source: &str) -> PathBuf {
    let (file, library) = (dir.path().join("plugin.c"), dir.path().join("plugin.so"));
    std::fs::write(&file, source).unwrap();
    compile(&file, &library);
    library
}

/// What a plugin prints is no part of a report, whoever asked for it.
#[test]
fn a_plugin_that_prints_leaves_stdout_to_the_report() {
    let dir = TempDir::new().unwrap();
    let library = built(&dir, PRINTS);
    let adapter = format!("plugin:{}#echo", library.display());
    let said = |args: &[&str], code: i32| {
        let output = becket().args(args).current_dir(dir.path()).assert().code(code);
        let stderr = String::from_utf8_lossy(&output.get_output().stderr).into_owned();
        for line in ["said by the plugin\n", "said by the plugin, late\n"] {
            assert!(stderr.contains(line), "{args:?}: {stderr}");
        }
        String::from_utf8(output.get_output().stdout.clone()).unwrap()
    };
    let check = ["check", "local-adapter", "--profiles", "1", "--adapter", &adapter];
    for place in [&["--json"][..], &["--out", "-"]] {
        let report: Value = serde_json::from_str(&said(&[&check, place].concat(), 0)).unwrap();
        assert_eq!(
            (&report["adapter"], &report["verdict"]),
            (&adapter.as_str().into(), &"pass".into())
        );
    }
    let run = ["lab", "run", "--scenario", "single_flow_echo", "--json", "--adapter", &adapter];
    let events = said(&run, 0);
    assert!(events.lines().count() > 10);
    assert!(events.lines().all(|line| serde_json::from_str::<Value>(line).is_ok()), "{events}");
    let text = said(&run.map(|it| if it == "--json" { "--quiet" } else { it }), 0);
    assert!(!text.contains("said by"), "{text}");
    let library = library.display().to_string();
    assert_eq!(said(&["plugin", "call", &library, "echo", "--data", "seven"], 0), "seven\n");
}

/// Whatever the plugin ends with, it is no pass; and no half of a report is left.
#[test]
fn a_plugin_that_ends_the_process_has_not_passed() {
    let dir = TempDir::new().unwrap();
    let adapter = format!("plugin:{}", built(&dir, ENDS_IT).display());
    for (how, ended) in [("abort", "signal 6, SIGABRT"), ("exit", "exit code 0")] {
        let check = ["check", "local-adapter", "--out", "report.json", "--adapter", &adapter];
        let output = becket().args(check).env("HOW", how).current_dir(dir.path()).assert();
        let output = output.code(1).stdout_eq("");
        let said = String::from_utf8(output.get_output().stderr.clone()).unwrap();
        let told = format!(
            "error: the plugin ended the process that it was checked in\n\
             cause: {ended}; there is no report\nhint:  "
        );
        assert!(said.contains(&told), "{said}");
        let left = std::fs::read_dir(dir.path()).unwrap().map(|it| it.unwrap().file_name());
        let mut left: Vec<_> = left.map(|name| name.into_string().unwrap()).collect();
        left.sort();
        assert_eq!(left, ["plugin.c", "plugin.so"]);
    }
}

/// One that hangs is ended with the command, which says how far it was.
#[test]
fn a_check_of_a_plugin_is_interrupted_as_any_other() {
    let dir = TempDir::new().unwrap();
    let adapter = format!("plugin:{}", built(&dir, ENDS_IT).display());
    let pipe = pipe(dir.path());
    let mut check = process();
    check.args(["check", "local-adapter", "--adapter", &adapter]).env("HOW", &pipe);
    for signal in [Signal::TERM, Signal::INT] {
        let child = check.spawn().unwrap();
        // The fresh process is the first that opens it; nobody reads it there to its end.
        let mut reader = std::fs::File::open(&pipe).unwrap();
        kill_process(Pid::from_child(&child), signal).unwrap();
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(130));
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(said.matches("interrupted: checking plugin:").count(), 1, "{said}");
        assert_eq!(reader.read_to_string(&mut String::new()).unwrap(), 0, "one lives on");
    }
}
