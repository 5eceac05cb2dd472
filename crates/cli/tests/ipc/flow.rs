// SPDX-License-Identifier: BSD-3-Clause
//! Elements between processes.

use std::process::{Command as Process, Stdio};

use rustix::process::Signal;
use snapbox::str;

use crate::world::{Running, World, becket, file, numbers, process, stdout};

#[test]
fn a_hundred_thousand_lines_arrive_once_and_in_order() {
    let world = World::new(&["jobs:bounded:64"]);
    let lines = numbers(1, 100_000);
    let mut send = process(&["ipc", "send", "jobs", "--close", "--socket"]);
    send.arg(&world.socket).stdin(file(world.directory.path(), &lines));
    let mut send = Running::start(send);
    let received = world.ipc(&["recv", "jobs"]).assert().success();
    assert!(stdout(received.get_output()) == lines, "something was lost, doubled or moved");
    assert_eq!(send.ended(), Some(0));
    assert!(send.stderr().starts_with("sent to jobs: 100 000 elements (488 895 bytes) in "));
    let figures = world.figures("jobs");
    assert_eq!(figures["sends"], 100_000);
    assert_eq!(figures["receives"], 100_000);
    assert_eq!(figures["closed"], true);
}

#[test]
fn a_shell_joins_producers_and_consumers() {
    let world = World::new(&["jobs:bounded:4"]);
    let script = r#"
        seq 1 1000 | "$BECKET" ipc send jobs --socket "$SOCKET" --close &
        "$BECKET" ipc recv jobs --socket "$SOCKET" | wc -l
        wait
    "#;
    let output = Process::new("sh")
        .args(["-c", script])
        .env("BECKET", env!("CARGO_BIN_EXE_becket"))
        .env("SOCKET", &world.socket)
        .stderr(Stdio::inherit())
        .output()
        .unwrap();
    assert_eq!(stdout(&output).trim(), "1000");
}

#[test]
fn without_shared_memory_it_is_the_same() {
    let world = World::with(&["jobs:rendezvous"], &["--no-shared-memory"]);
    let lines = numbers(1, 1000);
    let mut send = process(&["ipc", "send", "jobs", "--close", "--window", "1", "--socket"]);
    send.arg(&world.socket).stdin(file(world.directory.path(), &lines));
    let mut send = Running::start(send);
    let received = world.ipc(&["recv", "jobs", "--window", "0"]).assert().success();
    assert_eq!(stdout(received.get_output()), lines);
    assert_eq!(send.ended(), Some(0));
}

#[test]
fn any_bytes_go_through_when_they_are_framed() {
    let world = World::new(&["jobs:unlimited"]);
    let big = vec![b'\n'; 3_000_000];
    let elements: [&[u8]; 5] = [b"", b"a\nb", b"\0\0", b"\xff\xfe", &big];
    let mut prefixed = Vec::new();
    for element in elements {
        prefixed.extend_from_slice(&(element.len() as u32).to_be_bytes());
        prefixed.extend_from_slice(element);
    }
    let send = world.ipc(&["send", "jobs", "--length-prefixed"]);
    send.stdin(prefixed.clone()).assert().success();
    let received = world.ipc(&["recv", "jobs", "--length-prefixed", "--count", "5"]);
    assert!(received.assert().success().get_output().stdout == prefixed);

    world.ipc(&["send", "jobs", "--null"]).stdin(&b"a\nb\0\0c"[..]).assert().success();
    let received = world.ipc(&["recv", "jobs", "--null", "--count", "3"]).assert().success();
    assert_eq!(received.get_output().stdout, b"a\nb\0\0c\0");
}

#[test]
fn with_json_each_element_is_an_object() {
    let world = World::new(&["jobs:bounded:8"]);
    world.ipc(&["send", "jobs", "--json"]).stdin("a \"b\"\n").assert().success().stdout_eq(str![[
        r#"
{"accepted":1,"bytes":5,"channel":"jobs","event":"sent","took_ms":[..],"unknown":0}

"#
    ]]);
    world.ipc(&["send", "jobs"]).stdin(&b"\xff\n"[..]).assert().success();
    let received = world.ipc(&["recv", "jobs", "--json", "--count", "2"]).assert().success();
    received.stderr_eq("").stdout_eq(str![[r#"
{"body":"a /"b/""}
{"body_hex":"ff"}

"#]]);
}

#[test]
fn line_ends_inside_elements_are_told_of() {
    let world = World::new(&["jobs:bounded:8"]);
    world.ipc(&["send", "jobs", "--null"]).stdin("a\nb\0").assert().success();
    let received = world.ipc(&["recv", "jobs", "--count", "1"]).assert().success();
    received.stdout_eq("a\nb\n").stderr_eq(str![[r#"
1 element had line ends inside: --null or --length-prefixed keeps elements apart
received from jobs: 1 element (3 bytes) in [..]

"#]]);
}

#[test]
fn every_line_that_the_server_prints_works_as_printed() {
    let directory = tempfile::tempdir().unwrap();
    for channels in [&[][..], &["--channel", "a:bounded:1", "--channel", "b:rendezvous"]] {
        let mut serve = process(&["ipc", "serve"]);
        serve.args(channels).env("XDG_RUNTIME_DIR", directory.path());
        let mut server = Running::start(serve);
        let mut lines = Vec::new();
        let mut out = std::io::BufReader::new(server.0.stdout.take().unwrap());
        for line in std::io::BufRead::lines(&mut out) {
            let line = line.unwrap();
            lines.extend(line.strip_prefix("    ").map(str::to_owned));
            if line == "Ctrl-C ends it." {
                break;
            }
        }
        // The monitor draws on a terminal, and is tested there.
        lines.retain(|line| !line.contains(" mon "));
        assert!(lines.iter().all(|line| !line.contains("--socket")), "{lines:?}");
        let mut said = String::new();
        for line in &lines {
            let mut shell = Process::new("sh");
            shell.args(["-c", line]).env("XDG_RUNTIME_DIR", directory.path());
            if line.ends_with('&') {
                // The output of the background process is not compared here.
                let quiet = shell.stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap();
                assert!(quiet.success());
            } else {
                let output = shell.output().unwrap();
                assert!(output.status.success(), "{line}: {output:?}");
                said.push_str(&stdout(&output));
            }
        }
        assert_eq!(said.matches("one\ntwo\n").count(), (lines.len() - 1) / 2, "{said}");
        assert!(said.contains("CHANNEL"), "{said}");
        server.signal(Signal::INT);
        assert_eq!(server.ended(), Some(0));
        assert_eq!(std::fs::read_dir(directory.path().join("becket")).unwrap().count(), 0);
    }
}

#[test]
fn a_channel_is_made_by_who_sends_or_is_there() {
    let world = World::new(&["jobs:bounded:8"]);
    world.ipc(&["send", "new", "--make", "unlimited"]).stdin("a\n").assert().success();
    world.ipc(&["send", "new", "--make", "unlimited"]).stdin("b\n").assert().success();
    assert_eq!(world.recv("new", 2), "a\nb\n");
    let other = world.ipc(&["send", "jobs", "--make", "bounded:9"]).stdin("a\n").assert().code(4);
    other.stdout_eq("").stderr_eq(str![[r#"
error: channel "jobs" is not bounded:9
cause: the server has one of this name already: bounded:8
hint:  leave --make away to use that, or choose another name

"#]]);
}

#[test]
fn quiet_says_nothing_but_errors() {
    let world = World::new(&["jobs:bounded:8"]);
    world.ipc(&["send", "jobs", "--quiet"]).stdin("a\n").assert().success().stderr_eq("");
    let received = world.ipc(&["recv", "jobs", "--quiet", "--count", "1"]).assert().success();
    received.stderr_eq("").stdout_eq("a\n");
    becket(&["ipc"]).assert().code(2);
}
