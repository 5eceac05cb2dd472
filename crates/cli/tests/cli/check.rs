// SPDX-License-Identifier: BSD-3-Clause
//! `becket check`: its output, its exit codes, its files.

use std::fs;
use std::io::Read;
use std::path::Path;

use serde_json::Value;
use snapbox::cmd::Command;
use snapbox::str;
use tempfile::TempDir;

use crate::support::{becket, is_long, pipe, process, root, sample};

/// A mutant that every mode finds.
const FAULTY: &str = "drops_final_chunk";

fn check() -> Command {
    becket().args(["check", "local-adapter"])
}

fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).unwrap();
    let mut names: Vec<_> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_pair_that_is_faulty_fails_with_the_rule_and_where_it_was_broken() {
    let dir = TempDir::new().unwrap();
    check().current_dir(dir.path()).args(["--adapter", FAULTY]).assert().code(1).stdout_eq(str![[
        r#"
drops_final_chunk: quick, seeds 1 to 3
...
✗ INT-05 MUST integrity, in [..] runs
  rule:   When an adapter says that a direction ended, it has put out all that it took of it.
...
  where:  single_flow_echo, seed 1, flow 1, offset 0, tick 0, event [..]
...
  repeat: becket lab replay becket-lab/drops_final_chunk-INT-05-single_flow_echo-1.small.replay
...
FAIL  [..] (exit code 1)

"#
    ]]);
}

#[test]
fn the_seeds_spelling_and_several_adapters_make_a_matrix() {
    let dir = TempDir::new().unwrap();
    let output = becket()
        .args(["check", "localadapter", "--adapter", "ring", "--adapter", FAULTY])
        .current_dir(dir.path())
        .args(["--profiles", "1", "--jobs", "1"])
        .assert()
        .code(1);
    let text = String::from_utf8(output.get_output().stdout.clone()).unwrap();
    assert!(text.contains("┌ correctness"), "{text}");
    assert!(text.lines().any(|line| line.starts_with("ring ")), "{text}");
}

#[test]
fn the_same_check_gives_the_same_bytes_in_every_process_and_with_any_jobs() {
    let dir = TempDir::new().unwrap();
    let profiles = if is_long() { 3 } else { 1 };
    let run = |name: &str, jobs: &str| {
        let path = dir.path().join(name);
        let output = check()
            .args(["--profiles", &profiles.to_string()])
            .args(["--adapter", "chunks", "--start-seed", "7", "--json", "--jobs", jobs, "--out"])
            .arg(&path)
            .assert();
        let stdout = output.get_output().stdout.clone();
        (stdout, path)
    };
    // `--json` uses stdout; a report in a file does not conflict.
    let (one, file) = run("one.json", "1");
    let (again, _) = run("again.json", "1");
    let (two, _) = run("two.json", "2");
    assert!(one == again, "two processes differ");
    assert!(one == two, "one thread and two differ");
    assert_eq!(fs::read(file).unwrap(), one);
    assert_eq!(names(dir.path()), ["again.json", "one.json", "two.json"]);
    let report: Value = serde_json::from_slice(&one).unwrap();
    assert_eq!(report["adapter"], "chunks");
    assert_eq!(report["profiles"][profiles - 1]["seed"], 7 + profiles - 1);
}

#[test]
fn a_report_on_stdout_is_alone_there() {
    let output = check().args(["--profiles", "1", "--out", "-"]).assert();
    let report: Value = serde_json::from_slice(&output.get_output().stdout).unwrap();
    assert_eq!(report["schema"], "becket-lab-check/2");
    check().args(["--json", "--out", "-"]).assert().code(2).stdout_eq("").stderr_eq(str![[r#"
{"error":"stdout can carry one report only","cause":"`--json` and each `-` want it","hint":"name files for the others","kind":"usage","exit_code":2}

"#]]);
}

#[test]
fn reports_have_a_form_for_everybody_and_two_are_compared() {
    let dir = TempDir::new().unwrap();
    let run = |args: &[&str]| becket().args(args).current_dir(dir.path()).assert();
    let read = |name: &str| fs::read_to_string(dir.path().join(name)).unwrap();
    let both = ["check", "local-adapter", "--adapter", "ring", "--adapter", FAULTY];
    let forms = ["--out", "r.json", "--junit", "r.xml", "--html", "r.html", "--markdown", "r.md"];
    run(&[both.as_slice(), &forms].concat()).code(1);
    let reports: Value = serde_json::from_str(&read("r.json")).unwrap();
    assert_eq!((&reports[0]["adapter"], &reports[1]["adapter"]), (&"ring".into(), &FAULTY.into()));
    assert!(reports[0].get("timing").is_none());
    let xml = read("r.xml");
    assert_eq!(xml.matches("<testsuites ").count(), 1);
    assert_eq!(xml.matches("</testsuites>").count(), 1);
    assert!(xml.contains("<testsuite name=\"ring: gates\""), "{xml}");
    assert!(read("r.html").contains("INT-05") && read("r.md").contains("INT-05"));

    let one = |name| ["check", "local-adapter", "--adapter", name, "--timing", "--json", "--out"];
    run(&[one("ring").as_slice(), &["ring.json"]].concat()).success();
    let ring: Value = serde_json::from_str(&read("ring.json")).unwrap();
    assert!(ring["timing"]["elapsed_ms"].is_u64());
    run(&["lab", "compare", "ring.json", "ring.json"]).success().stdout_eq(str![[r#"
0 worse, 0 better, 0 other, 0 new, 0 gone, [..] the same

"#]]);
    let worse = read("ring.json").replacen("\"verdict\": \"pass\"", "\"verdict\": \"fail\"", 1);
    fs::write(dir.path().join("worse.json"), worse).unwrap();
    run(&["lab", "compare", "ring.json", "worse.json"]).code(1).stdout_eq(str![[r#"
worse  ring: check: pass → fail
1 worse, [..]

"#]]);
    run(&["lab", "compare", "ring.json", "r.xml"]).code(2).stdout_eq("").stderr_eq(str![[r#"
error: the new report is none in line 1, column 1: expected value
cause: [..]
hint:  [..]

"#]]);
}

#[test]
fn what_is_required_has_to_be_claimed() {
    check().args(["--require", "flow_reset"]).assert().success();
    check().args(["--require", "flow_rest"]).assert().code(2).stdout_eq("").stderr_eq(str![[r#"
error: there is no capability `flow_rest`
cause: known are [..]
hint:  did you mean `flow_reset`?

"#]]);
}

/// In the short form the quick self-test is that of the crate `becket-lab` alone.
#[test]
fn the_lab_examines_itself() {
    if !is_long() {
        return;
    }
    let output = becket().args(["lab", "selftest", "--json"]).assert().success();
    let report: Value = serde_json::from_slice(&output.get_output().stdout).unwrap();
    assert_eq!((&report["verdict"], &report["exit_code"]), (&"pass".into(), &0.into()));
    let part = |name: &str| {
        let parts = report["parts"].as_array().unwrap();
        parts.iter().find(|part| part["name"] == name).unwrap()["verdict"].clone()
    };
    assert_eq!((part("mutants"), part("fresh_process")), ("pass".into(), "pass".into()));
}

#[test]
fn wrong_arguments_are_told_before_anything_runs() {
    check().args(["--adapter", "memroy"]).assert().code(2).stdout_eq("").stderr_eq(str![[r#"
error: there is no adapter `memroy`
hint:  did you mean `memory`? `[..] check local-adapter --adapter list` lists all

"#]]);
    check().args(["--profiles", "0"]).assert().code(2).stdout_eq("").stderr_eq(str![[r#"
error: invalid value '0' for '--profiles <N>'
cause: it is a whole number from 1 to 10000
hint:  `--help` says what is expected

"#]]);
    for wrong in [
        ["--profiles", "10001"],
        ["--jobs", "0"],
        ["--jobs", "65"],
        ["--start-seed", "18446744073709551616"],
        ["--start-seed", "one"],
    ] {
        check().args(wrong).assert().code(2).stdout_eq("");
    }
    check().args(["--quick", "--full"]).assert().code(2).stdout_eq("");
    becket().args(["check", "local-adaptr"]).assert().code(2).stdout_eq("").stderr_eq(str![[r#"
error: unrecognized subcommand 'local-adaptr'
hint:  [..]'local-adapter'

"#]]);
}

#[test]
fn what_contradicts_itself_is_refused_and_not_guessed() {
    let refused_with = |args: &[&str], error: &str| {
        let said = becket().args(args).assert().code(2).stdout_eq("");
        let said = String::from_utf8(said.get_output().stderr.clone()).unwrap();
        assert!(said.lines().next().unwrap().contains(error), "{args:?}: {said}");
    };
    let faults = ["lab", "run", "--fault", "none", "--fault", "delay"];
    refused_with(&faults, "`--fault none` and `--fault delay` contradict each other");
    refused_with(&["lab", "run", "--seed", "-1"], "invalid value '-1' for '--seed <N>'");
    refused_with(&["check", "local-adapter", "--adapter", "plugin:"], "no plugin is named");
    let library = sample();
    let plugin = ["check", "plugin", library.to_str().unwrap(), "--junit", "-"];
    refused_with(&[&plugin[..], &["--json"]].concat(), "stdout can carry one report only");
    refused_with(&[&plugin[..], &["--rules"]].concat(), "cannot be used with");
}

/// What is listed, too.
#[test]
fn stdout_has_json_alone_if_that_is_asked_for() {
    for args in [
        &["check", "local-adapter", "--adapter", "list"][..],
        &["lab", "run", "--adapter", "list"],
        &["check", "plugin", "--rules"],
        &["check", "channel", "--list"],
    ] {
        let output = becket().args(args).arg("--json").assert().success();
        let list: Value = serde_json::from_slice(&output.get_output().stdout).unwrap();
        assert!(list.as_array().is_some_and(|rows| rows.len() > 5), "{args:?}: {list}");
    }
}

#[test]
fn a_place_that_cannot_be_written_is_told_before_anything_runs() {
    let dir = TempDir::new().unwrap();
    check()
        .args(["--out", "no/such/report.json"])
        .current_dir(dir.path())
        .assert()
        .code(2)
        .stdout_eq("")
        .stderr_eq(str![[r#"
error: no/such/report.json cannot be written
cause: No such file or directory (os error 2)
hint:  make the directory first, or name another place

"#]]);
    check().args(["--out", "."]).current_dir(dir.path()).assert().code(2).stdout_eq("");
    let twice = ["--out", "report", "--html", "report"];
    check().args(twice).current_dir(dir.path()).assert().code(2).stdout_eq("").stderr_eq(str![[
        r#"
error: report is named for two reports
cause: the second would replace the first
hint:  name a file for each form

"#
    ]]);
    assert!(names(dir.path()).is_empty());
    fs::write(dir.path().join("file"), "").unwrap();
    // A folder in which no file can be made.
    check().args(["--artefacts", "/proc/kept"]).assert().code(2).stdout_eq("").stderr_eq(str![[
        r#"
error: /proc/kept cannot be written
...
"#
    ]]);
    let in_a_file = check().args(["--artefacts", "file/kept"]).current_dir(dir.path());
    in_a_file.assert().code(2).stdout_eq("").stderr_eq(str![[r#"
error: file/kept cannot be written
cause: not a directory
hint:  a part of the name is a file, and would have to be a directory; name another

"#]]);
}

/// The folder that replays would be kept in is not needed by a check that keeps none.
#[test]
fn a_check_that_passes_needs_no_place_for_replays() {
    // No user can make a file here, not even root.
    let output = check().args(["--profiles", "1"]).current_dir("/proc").assert().success();
    let said = String::from_utf8_lossy(&output.get_output().stderr);
    assert!(!said.contains("cannot be written"), "{said}");
}

#[test]
fn junit_of_several_adapters_has_the_sums_of_all() {
    let several = ["--adapter", "memory", "--adapter", FAULTY, "--profiles", "1", "--junit", "-"];
    let dir = TempDir::new().unwrap();
    let output = check().args(several).current_dir(dir.path()).assert().code(1);
    let text = String::from_utf8(output.get_output().stdout.clone()).unwrap();
    let head = text.lines().find(|line| line.starts_with("<testsuites ")).unwrap();
    let sum = |name: &str| -> usize {
        let rest = head.split_once(&format!(" {name}=\"")).expect(head).1;
        rest.split('"').next().unwrap().parse().unwrap()
    };
    assert_eq!(sum("tests"), text.matches("<testcase ").count());
    assert_eq!(sum("failures"), text.matches("<failure ").count());
    assert!(sum("failures") > 0);
}

#[test]
fn failed_runs_are_kept_at_once_and_small_and_the_same_for_any_jobs() {
    let dir = TempDir::new().unwrap();
    let kept = |place: &str, jobs: &str| {
        check()
            .args(["--adapter", FAULTY, "--jobs", jobs, "--artefacts", place])
            .args(["--profiles", if is_long() { "3" } else { "1" }])
            .current_dir(dir.path())
            .assert()
            .code(1);
        let place = dir.path().join(place);
        names(&place).into_iter().map(|name| (fs::read(place.join(&name)).unwrap(), name)).collect()
    };
    let one: Vec<_> = kept("some/where", "1");
    assert!(one.iter().any(|(_, name)| name.ends_with("-1.replay")), "{one:?}");
    assert!(one.iter().any(|(_, name)| name.ends_with("-1.small.replay")), "{one:?}");
    assert!(one == kept("two", "2"), "one thread and two keep other files");
    let file = format!("some/where/{}", one[0].1);
    becket().args(["lab", "replay", &file]).current_dir(dir.path()).assert().success();
    // A healthy pair leaves no files.
    let _any = check().args(["--artefacts", "none"]).current_dir(dir.path()).assert();
    assert!(!dir.path().join("none").exists());
}

/// No trace shows why an adapter's process ended: it is printed beside the report, once.
#[test]
fn what_a_process_did_is_told_as_a_cause() {
    let dir = TempDir::new().unwrap();
    let broken = root().join("examples/lab/exec-python/broken.py");
    let adapter = format!("exec:python3 '{}' exit", broken.display());
    let note_of = |args: &[&str], code| {
        let output = becket().args(args).current_dir(dir.path()).assert().code(code);
        let said = String::from_utf8(output.get_output().stderr.clone()).unwrap();
        // Files that were kept, and work that takes long, are printed too.
        let is_besides = |line: &&str| line.starts_with("kept ") || line.ends_with(" …");
        said.lines().filter(|line| !is_besides(line)).collect::<Vec<_>>().join("\n")
    };
    let cause = "cause: the adapter's process crashed: exit code 3";
    if is_long() {
        let check = ["check", "local-adapter", "--profiles", "1", "--adapter", &adapter];
        let said = note_of(&check, 1);
        assert_eq!(said.matches(cause).count(), 1, "{said}");
        assert!(said.contains("hint:  its stderr is not shown"), "{said}");
    }
    let run = ["lab", "run", "--scenario", "single_flow_echo", "--adapter", &adapter];
    assert!(note_of(&[&run[..], &["--save", "kept.replay"]].concat(), 1).starts_with(cause));
    assert!(note_of(&["lab", "replay", "kept.replay"], 0).starts_with(cause));
    assert!(note_of(&["lab", "shrink", "kept.replay", "--tries", "3"], 0).starts_with(cause));
    assert_eq!(note_of(&[&run[..], &["--quiet"]].concat(), 1), "");
}

#[test]
fn the_fresh_process_finds_an_adapter_that_differs_from_process_to_process() {
    let dir = TempDir::new().unwrap();
    let name = "depends_on_its_process";
    let output = check().args(["--adapter", name]).current_dir(dir.path()).assert().code(5);
    let text = String::from_utf8(output.get_output().stdout.clone()).unwrap();
    assert!(text.contains("DET-02"), "{text}");
}

#[test]
fn known_failures_do_not_count_and_those_that_do_not_come_do() {
    let dir = TempDir::new().unwrap();
    let write = |name: &str, text: &str| fs::write(dir.path().join(name), text).unwrap();
    let rules = ["INT-05", "INT-07", "ISO-04", "RES-02", "RES-03", "RES-04"];
    let entry = |rule| format!("[[expect]]\nrule = \"{rule}\"\nreason = \"it is a mutant\"\n");
    write("known.toml", &rules.map(entry).concat());
    write("none.toml", &entry("LIF-05"));
    write("wrong.toml", &entry("INT-99"));
    let expect = |adapter, file| {
        check().args(["--adapter", adapter, "--expect", file]).current_dir(dir.path()).assert()
    };
    let known = expect(FAULTY, "known.toml");
    let text = String::from_utf8(known.get_output().stdout.clone()).unwrap();
    assert!(text.contains("INT-05 known to fail: in 9 of 9 runs"), "{text}");
    assert!(text.contains("none of 9 runs failed"), "{text}");
    let unexpected = expect("memory", "none.toml").code(1);
    let text = String::from_utf8(unexpected.get_output().stdout.clone()).unwrap();
    assert!(text.contains("LIF-05 passed unexpectedly"), "{text}");
    expect("memory", "wrong.toml").code(2).stdout_eq("").stderr_eq(str![[r#"
error: wrong.toml: line 2: there is no rule "INT-99"
...
"#]]);
    expect("memory", "missing.toml").code(2).stdout_eq("");
}

/// Whether the process has a handler for SIGINT, by the mask that the kernel shows.
fn hears_interrupts(id: u32) -> bool {
    let status = fs::read_to_string(format!("/proc/{id}/status")).unwrap();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap();
    u64::from_str_radix(mask.trim(), 16).unwrap() & 1 << (2 - 1) != 0
}

#[test]
fn ctrl_c_ends_a_long_check_and_leaves_no_half_file() {
    let dir = TempDir::new().unwrap();
    let mut child = process()
        .args(["check", "local-adapter", "--full", "--profiles", "10000", "--out", "report.json"])
        .current_dir(dir.path())
        .spawn()
        .unwrap();
    while !hears_interrupts(child.id()) {
        std::thread::yield_now();
    }
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    let status = child.wait().unwrap();
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert_eq!(status.code(), Some(130), "{status}: {said}");
    assert!(said.contains("interrupted"), "{said}");
    assert!(names(dir.path()).is_empty());
}

#[test]
fn a_check_that_is_ended_ends_the_programs_that_it_started() {
    let dir = TempDir::new().unwrap();
    let pipe = pipe(dir.path());
    let program = format!("exec:sh -c '(sleep 60; echo alive) >{} & wait'", pipe.display());
    for arguments in [&["check", "local-adapter"][..], &["lab", "run"]] {
        let mut child = process().args(arguments).args(["--adapter", &program]).spawn().unwrap();
        // Opening the pipe returns when it has a writer: then the program runs.
        let mut reader = fs::File::open(&pipe).unwrap();
        let pid = rustix::process::Pid::from_child(&child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(130));
        let mut said = String::new();
        reader.read_to_string(&mut said).unwrap();
        assert_eq!(said, "", "the program lives on");
    }
}

#[test]
fn ten_minutes_end_with_the_verdicts_that_the_page_shows() {
    let page = fs::read_to_string(root().join("docs/src/lab/ten-minutes.md")).unwrap();
    let python = root().join("examples/lab/exec-python/adapter.py");
    let plugin = format!("plugin:{}#chat", sample().display());
    let all = [plugin, format!("exec:python3 {}", python.display())];
    for adapter in all.into_iter().take(if is_long() { 2 } else { 1 }) {
        let output = check().args(["--adapter", &adapter]).assert().success();
        let text = String::from_utf8(output.get_output().stdout.clone()).unwrap();
        let verdict = text.lines().rfind(|line| line.starts_with("PASS")).unwrap();
        assert!(page.lines().any(|line| line == verdict), "{adapter}: {verdict}");
    }
}

#[test]
fn every_adapter_is_listed() {
    let output = check().args(["--adapter", "list"]).assert().success();
    let text = String::from_utf8(output.get_output().stdout.clone()).unwrap();
    for name in ["memory", "ring", FAULTY] {
        assert!(text.lines().any(|line| line.trim() == name), "{name}: {text}");
    }
}

#[test]
fn generated_code_is_compared_and_a_wrong_constant_is_found() {
    becket().args(["check", "codegen"]).assert().success().stderr_eq("").stdout_eq(str![[r#"
steady       text          1 compared, [..] the same
...
pass: 0 of [..] comparisons differ

"#]]);
    let output = becket().args(["check", "codegen", "--json"]).assert().success();
    let report: Value = serde_json::from_slice(&output.get_output().stdout).unwrap();
    assert_eq!((&report["verdict"], &report["failed"]), (&"pass".into(), &0.into()));

    let dir = TempDir::new().unwrap();
    let lab = |args: &[&str]| becket().args(args).current_dir(dir.path()).assert();
    let example = lab(&["lab", "generate", "--example", "tight"]).success();
    fs::write(dir.path().join("tight.toml"), &example.get_output().stdout).unwrap();
    lab(&["lab", "generate", "--profile", "tight.toml", "--out", "made"]).success();
    lab(&["check", "codegen", "--dir", "made"]).success().stdout_eq(str![[r#"
made/src/lib.rs is what its profile gives

"#]]);
    let module = dir.path().join("made/src/lib.rs");
    let text = fs::read_to_string(&module).unwrap();
    let line = text.lines().find(|line| line.contains("const FLOW_BYTES_MAX: u64")).unwrap();
    fs::write(&module, text.replacen(line, "pub const FLOW_BYTES_MAX: u64 = 7;", 1)).unwrap();
    lab(&["check", "codegen", "--dir", "made"]).code(1).stdout_eq(str![[r#"
fail: made/src/lib.rs is not what its profile gives
line [..], FLOW_BYTES_MAX: `pub const FLOW_BYTES_MAX: u64 = 7;`, and `[..]` by the profile
generate it anew: [..] lab generate --profile made/profile.toml --out made

"#]]);
    // Comparing one directory uses no seed and no adapters.
    for (args, why) in [
        (&["--dir", "made", "--full"][..], "cannot be used with '--full'"),
        (&["--dir", "made", "--profiles", "3"], "cannot be used with '--profiles <N>'"),
        (&["--require", "flow_reset"], "unexpected argument '--require' found"),
    ] {
        let said = lab(&[&["check", "codegen"][..], args].concat()).code(2);
        let said = String::from_utf8(said.get_output().stderr.clone()).unwrap();
        assert!(said.lines().next().unwrap().ends_with(why), "{said}");
    }
    fs::write(dir.path().join("wrong.toml"), "nmae = 1\n").unwrap();
    lab(&["lab", "generate", "--profile", "wrong.toml", "--out", "other"]).code(2).stderr_eq(str![
        [r#"
error: wrong.toml:1: unknown key `nmae`
hint:  [..]

"#]
    ]);
    assert!(!dir.path().join("other").exists());
}

#[test]
fn channels_are_checked_by_kind() {
    let dir = TempDir::new().unwrap();
    let channel = |args: &[&str]| {
        becket().args(["check", "channel"]).args(args).current_dir(dir.path()).assert()
    };
    let output = channel(&["rendezvous", "zref-bounded", "--profiles", "1"]);
    let text = String::from_utf8(output.get_output().stdout.clone()).unwrap();
    for name in ["channel:rendezvous", "blocks:zref-bounded"] {
        assert!(text.lines().any(|line| line.starts_with(name) && !line.contains('✗')), "{text}");
    }
    let list = channel(&["--list"]).success();
    let list = String::from_utf8(list.get_output().stdout.clone()).unwrap();
    assert!(list.contains("drop-oldest"), "{list}");
    channel(&["rendevous"]).code(2).stdout_eq("").stderr_eq(str![[r#"
error: there is no channel `rendevous`
cause: known are [..]
hint:  did you mean `rendezvous`?

"#]]);
}
