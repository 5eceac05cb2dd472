// SPDX-License-Identifier: BSD-3-Clause
//! `becket lab …`: the catalogue, single runs, replays.

use std::fs;

use serde_json::Value;
use snapbox::str;
use tempfile::TempDir;

use crate::support::{becket, is_long};

#[test]
fn rules_are_listed_by_family_and_level() {
    becket()
        .args(["lab", "rules", "--family", "integrity", "--level", "should"])
        .assert()
        .success()
        .stderr_eq("")
        .stdout_eq(str![[r#"
integrity
  INT-09  SHOULD  A chunk without bytes is put out only to say that a direction ended.

1 of [..] rules

"#]]);
    let output = becket().args(["lab", "rules", "--json"]).assert().success();
    let rules: Value = serde_json::from_slice(&output.get_output().stdout).unwrap();
    assert!(rules.as_array().unwrap().iter().any(|rule| rule["id"] == "DET-02"));
    let output = becket().args(["lab", "rules", "-f", "honesty", "--json"]).assert().success();
    let rules: Value = serde_json::from_slice(&output.get_output().stdout).unwrap();
    assert!(rules.as_array().unwrap().iter().all(|rule| rule["family"] == "capability honesty"));
}

#[test]
fn a_family_that_is_not_there_gets_the_nearest() {
    becket().args(["lab", "rules", "-f", "isol"]).assert().code(2).stdout_eq("").stderr_eq(str![[
        r#"
error: there is no family `isol`
cause: known are integrity, [..]
hint:  did you mean `isolation`?

"#
    ]]);
}

#[test]
fn a_rule_is_explained_with_who_breaks_it_and_where_it_is_tried() {
    becket().args(["lab", "explain", "bpr-01"]).assert().success().stderr_eq("").stdout_eq(str![[
        r#"
BPR-01  MUST  backpressure

An adapter puts out no more bytes than there is room for.

why        [..]
...
tried in   [..]
...
see it violated: [..] lab run --adapter [..] --witness

"#
    ]]);
    let output = becket().args(["lab", "explain", "INT-05", "--json"]).assert().success();
    let rule: Value = serde_json::from_slice(&output.get_output().stdout).unwrap();
    assert_eq!(rule["scenarios"][0]["scenario"], "single_flow_echo");
    assert!(!rule["mutants"].as_array().unwrap().is_empty());
    becket().args(["lab", "explain", "INT-5"]).assert().code(2).stderr_eq(str![[r#"
error: there is no rule `INT-5`
hint:  did you mean `INT-05`?

"#]]);
}

#[test]
fn the_run_that_explain_names_breaks_the_rule() {
    let dir = TempDir::new().unwrap();
    let rules = ["INT-05", "BPR-01", "LIF-05", "ERR-08"];
    for rule in rules.into_iter().take(if is_long() { 4 } else { 1 }) {
        let output = becket().args(["lab", "explain", rule]).assert().success();
        let text = String::from_utf8(output.get_output().stdout.clone()).unwrap();
        let (_, command) = text.split_once("see it violated: ").unwrap();
        let args: Vec<_> = command.split_whitespace().skip(1).collect();
        let output = becket().args(args).current_dir(dir.path()).assert().code(1);
        let text = String::from_utf8(output.get_output().stdout.clone()).unwrap();
        assert!(text.contains(rule), "{rule}: {text}");
    }
}

#[test]
fn a_run_shows_every_event_and_is_the_same_each_time() {
    let run = || becket().args(["lab", "run", "--scenario", "half_close", "--seed", "1"]);
    run().assert().success().stderr_eq("").stdout_eq(str![[r#"
memory: half_close, seed 1
...
    1 [..] ms  flow 1   is opening
...
demanded: a direction is half-closed, [..]; that was shown
no rule is violated ([..] events, trace [..])

"#]]);
    let json = || run().arg("--json").assert().success().get_output().stdout.clone();
    let lines = json();
    assert!(lines == json());
    let lines: Vec<Value> = String::from_utf8(lines)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!((&lines[0]["scenario"], &lines[1]["event"]), (&"half_close".into(), &1.into()));
    let last = lines.last().unwrap();
    assert_eq!(last["events"], lines.len() - 2);
    assert_eq!(last["exit_code"], 0);
}

#[test]
fn what_is_named_is_as_named_and_what_is_not_known_gets_the_nearest() {
    let run = |args: &[&str]| becket().args(["lab", "run"]).args(args).assert();
    let chosen = [
        "--source",
        "small_burst_source",
        "--target",
        "discard",
        "--link",
        "batch",
        "--fault",
        "delay",
        "--scheduler",
        "pct",
        "--flows",
        "3",
        "--json",
    ];
    let output = run(&chosen).success();
    let text = String::from_utf8(output.get_output().stdout.clone()).unwrap();
    let head: Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
    assert_eq!((&head["target"], &head["link"]), (&"discard".into(), &"batch".into()));
    assert_eq!((&head["flows"], &head["faults"][0]), (&3.into(), &"delay".into()));
    for (option, asked, near) in [
        ("--source", "small_burst", "small_burst_source"),
        ("--target", "ecko", "echo"),
        ("--link", "strem", "stream"),
        ("--fault", "dely", "delay"),
        ("--scheduler", "rand", "random"),
        ("--scenario", "halfclose", "half_close"),
    ] {
        let output = run(&[option, asked]).code(2).stdout_eq("");
        let text = String::from_utf8(output.get_output().stderr.clone()).unwrap();
        assert!(text.contains(&format!("did you mean `{near}`?")), "{text}");
    }
    run(&["--flows", "65"]).code(2);
    run(&["--witness"]).code(2).stderr_eq(str![[r#"
error: memory has no witness
cause: only a mutant has a run that shows what is wrong with it
hint:  name one with --adapter; `--adapter list` lists them

"#]]);
}

#[test]
fn all_orders_of_a_small_run_are_tried() {
    becket()
        .args(["lab", "run", "--exhaustive", "--source", "small_burst_source", "--flows", "1"])
        .args(["--target", "echo", "--carrier", "stream", "--fault", "none"])
        .assert()
        .success()
        .stdout_eq(str![[r#"
no rule is violated in [..] runs: all that depart three times from the plainest in their first 64 choices

"#]]);
    let four = ["--source", "small_burst_source", "--flows", "4"];
    becket().args(["lab", "run", "--exhaustive"]).args(four).assert().code(2).stderr_eq(str![[
        r#"
error: the runs of 4 flows are too many to be made one by one
cause: there may be 3 at most
hint:  `--flows 2` makes it smaller

"#
    ]]);
}

/// A run of a mutant, kept.
fn kept(dir: &TempDir) {
    becket()
        .args(["lab", "run", "--adapter", "drops_final_chunk", "--witness"])
        .args(["--save", "failed.replay"])
        .current_dir(dir.path())
        .assert()
        .code(1);
}

#[test]
fn a_failure_is_made_small_repeated_compared_and_turned_into_a_test() {
    let dir = TempDir::new().unwrap();
    kept(&dir);
    let lab = |args: &[&str]| becket().arg("lab").args(args).current_dir(dir.path()).assert();
    lab(&["shrink", "failed.replay"]).success().stderr_eq("").stdout_eq(str![[r#"
failed.small.replay: [..] events became 25 (INT-05, 1 flow, 1 byte, done after [..] runs: nothing simpler fails)
...
look: [..] lab replay failed.small.replay --diff

"#]]);
    lab(&["replay", "failed.small.replay"]).success().stdout_eq(str![[r#"
...
FAIL INT-05  flow 1, offset 0, tick 0, event 21
...
the same run as was kept, to the last event

"#]]);
    let output = lab(&["replay", "failed.small.replay", "--diff"]).success();
    let text = String::from_utf8(output.get_output().stdout.clone()).unwrap();
    let missing = "flow 1   egress put out 1 byte at 0, chunk 1, the last     <";
    assert!(text.lines().any(|line| line == missing), "{text}");
    // Compared with another file, under the names of both.
    let with = |other| lab(&["replay", "failed.small.replay", "--diff-with", other]).success();
    with("failed.small.replay").stdout_eq(str![[r#"
the traces are the same: 25 events

FAIL INT-05  flow 1, offset 0, tick 0, event 21
...
"#]]);
    let output = with("failed.replay");
    let text = String::from_utf8(output.get_output().stdout.clone()).unwrap();
    let heads: Vec<_> = text.lines().next().unwrap().split_whitespace().collect();
    assert_eq!(heads, ["failed.replay", "failed.small.replay"]);
    assert!(text.lines().any(|line| line.ends_with(" <")), "{text}");
    lab(&["replay", "failed.replay", "--diff-with", "none.replay"]).code(2).stdout_eq("");
    lab(&["replay", "failed.replay", "--diff-with", "failed.replay", "--diff"]).code(2);
    lab(&["replay", "failed.small.replay", "--only-flow", "7"]).code(2).stdout_eq("").stderr_eq(
        str![[r#"
error: the run has no flow 7
cause: it has 1
hint:  without --only-flow all are shown

"#]],
    );
    // Without a terminal all events are shown at once.
    lab(&["replay", "failed.small.replay", "--step"]).success();
    lab(&["replay", "failed.small.replay", "--as-test"]).success().stdout_eq(str![[r#"
// Adapter drops_final_chunk, scenario witness, profile 1.
#[test]
...
"#]]);
    // With healthy adapters the rule holds.
    lab(&["replay", "failed.replay", "--adapter", "ring"]).code(1).stdout_eq(str![[r#"
...
INT-05 is no longer violated

"#]]);
    lab(&["shrink", "failed.replay", "--adapter", "ring"]).code(3).stdout_eq("").stderr_eq(str![[
        r#"
error: INT-05 is not violated in failed.replay
cause: the run was made again, and the rule held
hint:  `[..] lab replay failed.replay` shows the run

"#
    ]]);
    lab(&["shrink", "failed.replay", "--out", "-", "--tries", "1"]).success().stdout_eq(str![[
        r#"
{
  "format": "becket-lab-replay",
...
"#
    ]]);
}

#[test]
fn a_file_that_is_no_replay_says_why() {
    let dir = TempDir::new().unwrap();
    kept(&dir);
    let good = fs::read_to_string(dir.path().join("failed.replay")).unwrap();
    let replay = |bytes: &[u8]| {
        fs::write(dir.path().join("wrong.replay"), bytes).unwrap();
        let replay = becket().args(["lab", "replay", "wrong.replay"]).current_dir(dir.path());
        let output = replay.assert().code(2).stdout_eq("");
        String::from_utf8(output.get_output().stderr.clone()).unwrap()
    };
    let newer = good.replacen("\"version\": 1", "\"version\": 99", 1);
    let changed = good.replacen("\"window_bytes\": ", "\"window_bytes\": 1", 1);
    for (bytes, says) in [
        (newer.as_bytes(), "has version 99"),
        (&good.as_bytes()[..good.len() / 2], "ends too early"),
        (&b"\x7fELF\x00\xff\xfe"[..], "wrong.replay is no text"),
        (b"{}", "is no replay"),
        (b"hello", "is no JSON"),
        (b"", "ends too early"),
        (changed.as_bytes(), "was changed"),
    ] {
        let said = replay(bytes);
        assert!(said.contains(says), "{says}: {said}");
        assert!(said.contains("cause:") && said.contains("hint:"), "{said}");
    }
    // Longer than any replay: it is not read to its end.
    let file = fs::File::create(dir.path().join("huge.replay")).unwrap();
    file.set_len(1 << 40).unwrap();
    let huge = becket().args(["lab", "replay", "huge.replay"]).current_dir(dir.path());
    let output = huge.assert().code(2).stdout_eq("");
    let said = String::from_utf8(output.get_output().stderr.clone()).unwrap();
    assert!(said.contains("67108864 at most"), "{said}");
    becket().args(["lab", "replay", "none.replay"]).assert().code(2).stdout_eq("").stderr_eq(str![
        [r#"
error: none.replay cannot be read
cause: No such file or directory (os error 2)
hint:  is the name right, from this folder?

"#]
    ]);
}

#[test]
fn a_demo_is_a_plot() {
    becket().args(["lab", "demo", "--flows", "3"]).assert().success().stderr_eq("").stdout_eq(
        str![[r#"
memory: demo, seed 1
...
tick     [..]
flow 1   [..] up, [..] down, [..]
flow 2   [..] up, [..] down, [..]
flow 3   [..] up, [..] down, [..]

→ to the target [..]

no rule is violated ([..])

"#]],
    );
    becket().args(["lab", "demo", "--generated", "--flows", "4"]).assert().success().stdout_eq(
        str![[r#"
generated backend steady, seed 1, [..] events
...
trace [..]; the interpreted backend gives the same

"#]],
    );
}
