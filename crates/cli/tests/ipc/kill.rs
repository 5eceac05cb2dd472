// SPDX-License-Identifier: BSD-3-Clause
//! Processes that are killed in the middle.

use std::io::{BufRead, BufReader};

use rustix::process::Signal;
use snapbox::str;

use crate::world::{Running, World, file, numbers, parsed, process, stdout};

const LINES: u32 = 20_000;

/// A receiver that is killed after some lines, then a second one; returns the output of each.
fn kill_a_receiver(window: &str) -> (Vec<u32>, Vec<u32>) {
    let world = World::new(&["jobs:bounded:64"]);
    let mut first = world.start(&["recv", "jobs", "--window", window]);
    let mut send = process(&["ipc", "send", "jobs", "--close", "--socket"]);
    send.arg(&world.socket).stdin(file(world.directory.path(), &numbers(1, LINES)));
    let mut send = Running::start(send);
    let mut out = BufReader::new(first.0.stdout.take().unwrap());
    let mut seen = String::new();
    for _ in 0..500 {
        out.read_line(&mut seen).unwrap();
    }
    first.signal(Signal::KILL);
    // The output written before is in the pipe.
    seen.push_str(&std::io::read_to_string(out).unwrap());
    let rest = world.ipc(&["recv", "jobs"]).assert().success();
    assert_eq!(send.ended(), Some(0), "the sender goes on");
    (parsed(&seen), parsed(&stdout(rest.get_output())))
}

fn judge(first: &[u32], rest: &[u32], lost_max: u32) {
    assert!(first.iter().copied().eq(1..=first.len() as u32), "{first:?}");
    let begin = *rest.first().unwrap();
    assert!(rest.iter().copied().eq(begin..=LINES), "the rest in order, each once");
    let last = *first.last().unwrap();
    assert!(begin > last, "{begin} came after {last} had come already");
    assert!(begin - last - 1 <= lost_max, "{} lost", begin - last - 1);
}

#[test]
fn nothing_comes_twice_when_a_receiver_is_killed() {
    let (first, rest) = kill_a_receiver("64");
    // The window, and the current element.
    judge(&first, &rest, 65);
}

#[test]
fn without_a_window_a_kill_costs_one_element_at_most() {
    let (first, rest) = kill_a_receiver("0");
    judge(&first, &rest, 1);
}

#[test]
fn a_sender_that_is_killed_leaves_a_beginning() {
    let world = World::new(&["jobs:bounded:8"]);
    let mut send = world.start(&["send", "jobs"]);
    let mut recv = world.start(&["recv", "jobs"]);
    send.write(numbers(1, 1000).as_bytes());
    let mut out = BufReader::new(recv.0.stdout.take().unwrap());
    let mut seen = String::new();
    for _ in 0..1000 {
        out.read_line(&mut seen).unwrap();
    }
    send.signal(Signal::KILL);
    assert_eq!(send.ended(), None);
    world.send("jobs", "1001\n");
    out.read_line(&mut seen).unwrap();
    assert_eq!(seen, numbers(1, 1001));
}

#[test]
fn when_the_server_is_killed_each_client_says_what_it_did() {
    let world = World::new(&["jobs:rendezvous"]);
    let mut send = world.start(&["send", "jobs", "--json"]);
    let mut recv = world.start(&["recv", "jobs", "--window", "0"]);
    send.write(b"a\nb\n");
    assert_eq!(recv.read(4), b"a\nb\n");
    world.server.signal(Signal::KILL);
    // Both were accepted, but a killed server may not have answered.
    assert_eq!(recv.ended(), Some(1));
    snapbox::assert_data_eq!(
        recv.stderr(),
        str![[r#"
error: the server has gone: 2 elements of jobs written
cause: the peer is gone

"#]]
    );
    // It may have noticed the end already, and read no more.
    send.try_write(b"c\n");
    assert_eq!(send.ended(), Some(1));
    let report: serde_json::Value = serde_json::from_reader(send.0.stdout.take().unwrap()).unwrap();
    let count = |name: &str| report[name].as_u64().unwrap();
    assert!(count("accepted") <= 2 && count("accepted") + count("unknown") <= 3, "{report}");
    assert!(send.stderr().contains("the server has gone: "));
}
