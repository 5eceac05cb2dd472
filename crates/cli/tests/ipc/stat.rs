// SPDX-License-Identifier: BSD-3-Clause
//! Figures, and gates.

use snapbox::str;

use crate::world::{World, numbers};

#[test]
fn the_table_shows_every_channel() {
    let world = World::new(&["jobs:bounded:64", "state:conflated", "handover:rendezvous"]);
    world.send("jobs", &numbers(1, 5));
    world.send("state", "a\nb\n");
    assert_eq!(world.recv("jobs", 2), numbers(1, 2));
    world.ipc(&["stat"]).assert().success().stderr_eq("").stdout_eq(str![[r#"
CHANNEL   KIND        DEPTH  MOST  WAITING  SENT  RECEIVED  FAILED
jobs      bounded      3/64  [..]        -     5         2       0
state     conflated       1  [..]        -     2         0       0
handover  rendezvous      0  [..]        -     0         0       0

"#]]);
    World::new(&[]).ipc(&["stat"]).assert().success().stdout_eq("").stderr_eq(str![[r#"
the server has no channels

"#]]);
}

#[test]
fn a_gate_decides_by_its_exit_code() {
    let world = World::new(&["jobs:bounded:64", "other:unlimited"]);
    world.send("jobs", &numbers(1, 5));
    let stat = |gates: &[&str]| world.ipc(&["stat", "--quiet"]).args(gates).assert();
    stat(&["--fail-if", "len>5", "--fail-if", "closed==1"]).success();
    stat(&["--fail-if", "len>=5", "--fail-if", "sends<1"]).code(7).stderr_eq(str![[r#"
error: conditions of --fail-if hold
cause: jobs: len>=5 (it is 5)
       other: sends<1 (it is 0)

"#]]);
    world.ipc(&["stat", "other", "--fail-if", "len>0"]).assert().success();
    let json = world.ipc(&["stat", "jobs", "--json", "--fail-if", "len>0"]).assert().code(7);
    json.stderr_eq(str![[r#"
{"error":"a condition of --fail-if holds","cause":"jobs: len>0 (it is 5)","kind":"check","exit_code":7}

"#]]);
}

#[test]
fn rates_are_of_the_time_between_two_looks() {
    let world = World::new(&["jobs:unlimited"]);
    let stat = |more: &[&str]| world.ipc(&["stat", "--json"]).args(more).assert();
    let twice = stat(&["--interval", "100ms", "--fail-if", "sends_per_second>0"]).success();
    let row: serde_json::Value = serde_json::from_slice(&twice.get_output().stdout).unwrap();
    assert_eq!(row["sends_per_second"], 0.0);
    let once = stat(&[]).success();
    let row: serde_json::Value = serde_json::from_slice(&once.get_output().stdout).unwrap();
    assert!(row.get("sends_per_second").is_none(), "one look has no rate: {row}");
    stat(&["--interval", "100ms", "--fail-if", "sends_per_second<1"]).code(7);
}

#[test]
fn channels_beyond_a_page_are_there_too() {
    let names: Vec<String> = (0..150).map(|at| format!("channel-{at:03}:unlimited")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let world = World::new(&names);
    let stat = world.ipc(&["stat", "--json"]).assert().success();
    let lines = crate::world::stdout(stat.get_output());
    let seen: Vec<String> = lines
        .lines()
        .map(|line| {
            let row: serde_json::Value = serde_json::from_str(line).unwrap();
            format!("{}:unlimited", row["channel"].as_str().unwrap())
        })
        .collect();
    assert_eq!(seen, names);
}

#[test]
fn a_channel_that_is_gone_is_not_shown() {
    let world = World::new(&["a:unlimited", "b:unlimited"]);
    world.figures("a");
    world.client().destroy_channel("a").wait().unwrap();
    world.ipc(&["stat", "a"]).assert().code(4).stdout_eq("").stderr_eq(str![[r#"
error: the server has no channel "a"
hint:  `[..] ipc stat --socket [..]` lists all

"#]]);
    world.figures("b");
}
