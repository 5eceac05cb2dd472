// SPDX-License-Identifier: BSD-3-Clause
//! Plugins as adapters of the lab: effects on the process that they run in.

use std::io::Read;
use std::path::PathBuf;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{becket, compile, pipe, process};

/// Echoes its payload, and prints a line: through the C library, which buffers it until the process
/// ends, and by a system call.
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

/// Echoes its payload, and ends the process in the middle, or as soon as it is loaded; `HOW` has
/// the way. With `LOSES` bytes are missing from the 51st call on.
const ENDS_IT: &str = r#"
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>
#include "becket_plugin.h"
static int calls;
static void end(const char *how) {
    if (*how == 'a') abort();
    if (*how == 'e') _Exit(0);
    if (*how == 'h' || (*how == '/' && open(how, O_WRONLY) >= 0)) for (;;) pause();
}
__attribute__((constructor)) static void loaded(void) {
    const char *how = getenv("HOW");
    if (how && *how == '!') end(how + 1);
}
static NrStatus echo(const BkCall *call) {
    const char *how = getenv("HOW"), *at = getenv("AT");
    if (++calls == (at ? atoi(at) : 100) && how) end(how);
    NrBytes payload = call->payload;
    if (getenv("LOSES") && calls > 50 && payload.len > 0) payload.len--;
    return bk_answer(call, NR_OK, payload);
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

/// Output of a plugin is no part of a report, whichever command runs it.
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

/// The names of the files in the directory.
fn names(dir: &TempDir) -> Vec<String> {
    let names = std::fs::read_dir(dir.path()).unwrap().map(|it| it.unwrap().file_name());
    let mut names: Vec<_> = names.map(|name| name.into_string().unwrap()).collect();
    names.sort();
    names
}

/// Whatever exit code the plugin chooses, the check fails; and requested reports have the failure.
#[test]
fn a_plugin_that_ends_the_process_has_not_passed() {
    let dir = TempDir::new().unwrap();
    let adapter = format!("plugin:{}", built(&dir, ENDS_IT).display());
    let check = |args: &[&str], how: &str| {
        let check = ["check", "local-adapter", "--adapter", "memory", "--adapter", &adapter];
        let output = becket().args([&check, args].concat()).env("HOW", how);
        let output = output.current_dir(dir.path()).assert().code(1);
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        (text(&output.get_output().stdout), text(&output.get_output().stderr))
    };
    let files = ["--out", "r.json", "--junit", "r.xml", "--html", "r.html", "--markdown", "r.md"];
    for (how, ended) in [("abort", "signal 6, SIGABRT"), ("exit", "exit code 0")] {
        let (data, said) = check(&files, how);
        assert_eq!(data, "");
        let expected =
            format!("error: the plugin ended the process that it ran in\ncause: {ended}\nhint:  ");
        assert!(said.contains(&expected), "{said}");
        assert_eq!(names(&dir), ["plugin.c", "plugin.so", "r.html", "r.json", "r.md", "r.xml"]);
        let read = |name| std::fs::read_to_string(dir.path().join(name)).unwrap();
        let cause = format!("the plugin ended the process that it ran in: {ended}");
        for name in ["r.html", "r.json", "r.md", "r.xml"] {
            assert!(read(name).contains(&cause), "{name}: {}", read(name));
        }
        assert_eq!(read("r.xml").matches("<failure ").count(), 1);
        let reports: Value = serde_json::from_str(&read("r.json")).unwrap();
        let of = |at: usize| (&reports[at]["adapter"], &reports[at]["verdict"]);
        assert_eq!(of(0), (&"memory".into(), &"inconclusive".into()));
        assert_eq!(of(1), (&adapter.as_str().into(), &"fail".into()));
        assert_eq!(reports[1]["unended"]["cause"], cause);
    }
    // As soon as it is loaded; and where the report is data.
    let (data, said) = check(&["--json"], "!abort");
    let reports: Value = serde_json::from_str(&data).unwrap();
    assert_eq!((&reports[1]["verdict"], &reports[1]["exit_code"]), (&"fail".into(), &1.into()));
    assert_eq!(serde_json::from_str::<Value>(&said).unwrap()["cause"], "signal 6, SIGABRT");
}

/// The replays kept until then are named. A plugin that hangs does so in the fresh process, which
/// is started before all runs.
#[test]
fn the_report_of_a_check_that_did_not_end_names_what_was_kept() {
    let dir = TempDir::new().unwrap();
    let adapter = format!("plugin:{}", built(&dir, ENDS_IT).display());
    let check = |how: &str, more: &[&str]| {
        let check =
            ["check", "local-adapter", "--junit", "r.xml", "--out", "r.json", "--jobs", "1"];
        let output = becket().args(check).args(["--artefacts", "kept", "--adapter", &adapter]);
        let output = output.args(more).env("HOW", how).env("AT", "3000").env("LOSES", "1");
        output.current_dir(dir.path()).assert().code(1).stdout_eq("");
        let read = |name| std::fs::read_to_string(dir.path().join(name)).unwrap();
        let report: Value = serde_json::from_str(&read("r.json")).unwrap();
        assert_eq!((&report["verdict"], &report["exit_code"]), (&"fail".into(), &1.into()));
        (report["unended"].clone(), read("r.xml"))
    };
    let (unended, junit) = check("abort", &[]);
    let kept = unended["replays"].as_array().unwrap();
    assert!(!kept.is_empty());
    for file in kept.iter().map(|file| file.as_str().unwrap()) {
        assert!(dir.path().join(file).is_file(), "{file}");
        assert!(junit.contains(&format!("becket lab replay {file}")), "{file}");
    }
    let (unended, junit) = check("hang", &["--idle-timeout-ms", "1"]);
    let cause = unended["cause"].as_str().unwrap();
    assert!(cause.starts_with("the plugin hangs: checking plugin:"), "{cause}");
    assert_eq!((&unended["replays"], junit.matches("<failure ").count()), (&json!([]), 1));
}

/// The replays for the commands of the lab: of the plugin, and of a broken rule.
fn kept(dir: &TempDir, adapter: &str) {
    let run = |args: &[&str], code: i32| {
        let run = ["lab", "run", "--quiet", "--save"];
        becket().args([&run, args].concat()).current_dir(dir.path()).assert().code(code);
    };
    run(&["kept.replay", "--scenario", "single_flow_echo", "--adapter", adapter], 0);
    run(&["broken.replay", "--witness", "--adapter", "drops_final_chunk"], 1);
}

/// The commands of the lab that call a plugin.
fn commands(adapter: &str) -> Vec<Vec<&str>> {
    let with = |command: &[&'static str]| {
        let mut all = vec!["lab"];
        all.extend(command);
        all
    };
    let mut commands = vec![
        with(&["run", "--scenario", "single_flow_echo", "--save", "new.replay"]),
        with(&["run", "--exhaustive", "--source", "small_burst_source", "--flows", "1", "--json"]),
        with(&["replay", "broken.replay"]),
        with(&["shrink", "broken.replay", "--out", "small.replay"]),
        with(&["demo"]),
    ];
    for command in &mut commands {
        command.extend(["--adapter", adapter]);
    }
    commands.extend([
        with(&["replay", "kept.replay"]),
        with(&["replay", "-", "--json"]),
        with(&["shrink", "kept.replay"]),
        with(&["replay", "broken.replay", "--diff-with", "kept.replay"]),
    ]);
    let mut against = with(&["replay", "broken.replay", "--diff", "--against"]);
    against.push(adapter);
    commands.push(against);
    commands
}

/// These commands report the plugin's end; they print no data and make no file.
fn failed(commands: &[Vec<&str>], dir: &TempDir, how: &str, expected: &str) {
    let replay = std::fs::read(dir.path().join("kept.replay")).unwrap();
    for command in commands {
        let output = becket().args(command).env("HOW", how).env("AT", "5").stdin(replay.clone());
        let output = output.current_dir(dir.path()).assert().code(1).stdout_eq("");
        let said = String::from_utf8(output.get_output().stderr.clone()).unwrap();
        assert!(said.contains(expected) || said.contains("\"exit_code\":1"), "{command:?}: {said}");
    }
    assert_eq!(names(dir), ["broken.replay", "kept.replay", "plugin.c", "plugin.so"]);
}

/// The child gets the input of the command: arguments after `--`, and stdin.
#[test]
fn a_replay_of_a_plugin_comes_from_stdin_as_well() {
    let dir = TempDir::new().unwrap();
    let adapter = format!("plugin:{}", built(&dir, ENDS_IT).display());
    kept(&dir, &adapter);
    let replay = std::fs::read(dir.path().join("kept.replay")).unwrap();
    let said = |args: &[&str]| {
        let replay = becket().args(["lab", "replay"]).args(args).stdin(replay.clone());
        let output = replay.current_dir(dir.path()).assert().success().stderr_eq("");
        String::from_utf8(output.get_output().stdout.clone()).unwrap()
    };
    let text = said(&["-"]);
    assert!(text.ends_with("the same run as was kept, to the last event\n"), "{text}");
    assert_eq!(said(&["--", "kept.replay"]), text);
}

/// A plugin can neither end the command that calls it nor choose its exit code.
#[test]
fn a_plugin_that_ends_the_process_fails_each_command_of_the_lab() {
    let dir = TempDir::new().unwrap();
    let adapter = format!("plugin:{}", built(&dir, ENDS_IT).display());
    kept(&dir, &adapter);
    let commands = commands(&adapter);
    for (how, ended) in [("abort", "signal 6, SIGABRT"), ("exit", "exit code 0")] {
        let expected =
            format!("error: the plugin ended the process that it ran in\ncause: {ended}\nhint:  ");
        failed(&commands, &dir, how, &expected);
        failed(&commands[..1], &dir, &format!("!{how}"), &expected);
    }
}

/// A plugin that hangs is found with any time limit.
#[test]
fn a_plugin_that_hangs_fails_each_command_of_the_lab() {
    let dir = TempDir::new().unwrap();
    let adapter = format!("plugin:{}", built(&dir, ENDS_IT).display());
    kept(&dir, &adapter);
    let mut commands = commands(&adapter);
    commands.push(vec!["check", "local-adapter", "--adapter", &adapter]);
    for command in &mut commands {
        command.extend(["--idle-timeout-ms", "1"]);
    }
    failed(&commands, &dir, "hang", "error: the plugin hangs\ncause: ");
    let loads = [commands.remove(0), commands.pop().unwrap()];
    failed(&loads, &dir, "!hang", "error: the plugin hangs\ncause: ");
}

/// A plugin that hangs is ended with the command, which prints its progress.
#[test]
fn a_check_of_a_plugin_is_interrupted_as_any_other() {
    let dir = TempDir::new().unwrap();
    let adapter = format!("plugin:{}", built(&dir, ENDS_IT).display());
    let pipe = pipe(dir.path());
    let loads = format!("!{}", pipe.display());
    let check = &["check", "local-adapter"][..];
    for (command, how, said) in [
        // The fresh process is the first that opens it; it is not read to its end there.
        (check, pipe.as_os_str(), "interrupted: checking plugin:"),
        (check, loads.as_ref(), "interrupted: loading plugin:"),
        (&["lab", "run"], pipe.as_os_str(), "error: interrupted"),
        (&["lab", "run"], loads.as_ref(), "error: interrupted"),
    ] {
        let mut process = process();
        process.args(command).args(["--adapter", &adapter]).env("HOW", how).env("AT", "5");
        for signal in [Signal::TERM, Signal::INT] {
            let child = process.spawn().unwrap();
            let mut reader = std::fs::File::open(&pipe).unwrap();
            kill_process(Pid::from_child(&child), signal).unwrap();
            let output = child.wait_with_output().unwrap();
            assert_eq!(output.status.code(), Some(130));
            let text = String::from_utf8(output.stderr).unwrap();
            assert_eq!(text.matches(said).count(), 1, "{text}");
            assert_eq!(reader.read_to_string(&mut String::new()).unwrap(), 0, "one lives on");
        }
    }
}
