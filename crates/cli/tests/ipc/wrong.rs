// SPDX-License-Identifier: BSD-3-Clause
//! Mistakes of users, and the messages about them.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;

use snapbox::str;

use crate::world::{World, becket};

#[test]
fn nobody_listens() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("ipc.sock");
    for args in [&["send", "jobs"][..], &["recv", "jobs"], &["pipe", "a", "b"], &["stat"]] {
        let command = becket(&["ipc"]).args(args).arg("--socket").arg(&socket).stdin("");
        command.assert().code(1).stdout_eq("").stderr_eq(str![[r#"
error: cannot connect to [..]/ipc.sock
cause: no server listens there (No such file or directory (os error 2))
hint:  `[..] ipc serve --socket [..]/ipc.sock` starts a server there

"#]]);
    }
    let home = becket(&["ipc", "recv", "jobs"]).env("XDG_RUNTIME_DIR", directory.path());
    home.assert().code(1).stderr_eq(str![[r#"
error: cannot connect to [..]/becket/ipc.sock
cause: no server listens there (No such file or directory (os error 2))
hint:  `[..] ipc serve` starts a server there

"#]]);
}

#[test]
fn what_lies_there_is_no_socket() {
    let directory = tempfile::tempdir().unwrap();
    let (file, folder) = (directory.path().join("file"), directory.path().join("folder"));
    std::fs::write(&file, "").unwrap();
    std::fs::create_dir(&folder).unwrap();
    for path in [&file, &folder] {
        let stat = becket(&["ipc", "stat", "--socket"]).arg(path);
        stat.assert().code(1).stdout_eq("").stderr_eq(str![[r#"
error: cannot connect to [..]
cause: the file there is not a socket
hint:  name the socket that the server prints when it starts

"#]]);
    }
}

#[test]
fn a_path_that_names_no_file() {
    for args in [&["serve"][..], &["stat"]] {
        let command = becket(&["ipc"]).args(args).args(["--socket", "/"]);
        command.assert().code(1).stdout_eq("").stderr_eq(str![[r#"
error: "/" cannot be a socket
cause: it names no file
hint:  use DIRECTORY/NAME

"#]]);
    }
}

#[test]
fn a_path_that_no_socket_can_have() {
    let long = format!("/tmp/{}/ipc.sock", "x".repeat(120));
    for args in [&["serve"][..], &["stat"]] {
        let command = becket(&["ipc"]).args(args).args(["--socket", &long]);
        command.assert().code(1).stdout_eq("").stderr_eq(str![[r#"
error: socket path of 134 bytes: /tmp/[..]/ipc.sock
cause: a Unix socket's path has at most 107
hint:  choose a shorter directory, such as one in $XDG_RUNTIME_DIR

"#]]);
    }
}

#[test]
fn a_directory_that_others_can_enter() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::set_permissions(directory.path(), Permissions::from_mode(0o755)).unwrap();
    let socket = directory.path().join("ipc.sock");
    let serve = becket(&["ipc", "serve", "--socket"]).arg(socket);
    serve.assert().code(1).stdout_eq("").stderr_eq(str![[r#"
error: cannot put a socket into [..]
cause: other users can enter or read it (mode 755)
hint:  name a directory that does not exist, such as [..]/becket: it is created with mode 700

"#]]);
}

#[test]
fn a_directory_of_somebody_else_is_not_trusted() {
    let directory = tempfile::tempdir().unwrap();
    let runtime = directory.path().join("becket");
    std::fs::create_dir(&runtime).unwrap();
    // Only root can change the owner; for other users there is nothing to test.
    if std::os::unix::fs::chown(&runtime, Some(12_345), None).is_err() {
        return;
    }
    let recv = becket(&["ipc", "recv", "jobs"]).env("XDG_RUNTIME_DIR", directory.path());
    recv.assert().code(1).stdout_eq("").stderr_eq(str![[r#"
error: [..]/becket/ipc.sock is not used
cause: [..]/becket belongs to user 12345
hint:  name the server's socket by --socket

"#]]);
}

#[test]
fn somebody_listens_there_already() {
    let world = World::new(&[]);
    world.ipc(&["serve"]).assert().code(1).stdout_eq("").stderr_eq(str![[r#"
error: cannot listen at [..]/ipc.sock
cause: another process listens there
hint:  stop it, or choose another path

"#]]);
}

#[test]
fn a_channel_that_is_not_there() {
    let world = World::new(&["jobs:bounded:8"]);
    world.ipc(&["recv", "jbos"]).assert().code(4).stdout_eq("").stderr_eq(str![[r#"
error: the server has no channel "jbos"
hint:  did you mean `jobs`?

"#]]);
    world.ipc(&["send", "x y"]).stdin("a\n").assert().code(4).stdout_eq("").stderr_eq(str![[r#"
error: the server has no channel "x y"
hint:  `[..] ipc send 'x y' --socket [..] --make bounded:64` makes it

"#]]);
    // No hint to make a channel whose name is not valid.
    for name in ["", "#7", "a\nb"] {
        world.ipc(&["recv", name]).assert().code(4).stdout_eq("").stderr_eq(str![[r#"
error: the server has no channel "[..]"
hint:  `[..] ipc stat --socket [..]` lists the channels

"#]]);
    }
}

#[test]
fn a_kind_that_there_is_not() {
    let serve = |channel| becket(&["ipc", "serve", "--channel", channel]).assert().code(2);
    serve("jobs").stderr_eq(str![[r#"
error: invalid value 'jobs' for '--channel <NAME:KIND>'
cause: write it as NAME:KIND, such as jobs:bounded:64
hint:  `--help` says what is expected

"#]]);
    serve("jobs:queue").stderr_eq(str![[r#"
error: invalid value 'jobs:queue' for '--channel <NAME:KIND>'
cause: "queue" is none of rendezvous, bounded:N, conflated, unlimited
hint:  `--help` says what is expected

"#]]);
    serve("jobs:bounded:0").stderr_eq(str![[r#"
error: invalid value 'jobs:bounded:0' for '--channel <NAME:KIND>'
cause: a bounded channel holds 1 to 1048576 elements
hint:  `--help` says what is expected

"#]]);
}

#[test]
fn a_channel_twice() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("private/ipc.sock");
    let serve = becket(&["ipc", "serve", "--channel", "a:unlimited", "--channel", "a:conflated"]);
    serve.arg("--socket").arg(&socket).assert().code(2).stdout_eq("").stderr_eq(str![[r#"
error: channel "a" cannot be made
cause: a channel named "a" exists already

"#]]);
    assert!(!socket.exists());
}

#[test]
fn a_condition_that_means_nothing() {
    becket(&["ipc", "stat", "--fail-if", "lenn>5"]).assert().code(2).stderr_eq(str![[r#"
error: invalid value 'lenn>5' for '--fail-if <CONDITION>'
cause: there is no figure "lenn"; did you mean len?
hint:  `--help` says what is expected

"#]]);
    becket(&["ipc", "stat", "--fail-if", "sends_per_second<1"]).assert().code(2).stderr_eq(str![[
        r#"
error: sends_per_second<1 needs two looks
cause: a rate is of the time between two looks
hint:  `--interval 1s` says how far apart

"#
    ]]);
    becket(&["ipc", "stat", "--interval", "10ms"]).assert().code(2).stderr_eq(str![[r#"
error: invalid value '10ms' for '--interval <TIME>'
cause: less than 100ms is too short to carry a rate
hint:  `--help` says what is expected

"#]]);
}

#[test]
fn two_framings_at_once() {
    becket(&["ipc", "recv", "jobs", "--lines", "--null"]).assert().code(2).stderr_eq(str![[r#"
error: the argument '--lines' cannot be used with '--null'
hint:  usage: becket ipc recv [..]

"#]]);
}

#[test]
fn an_element_that_says_it_is_longer_than_may_be() {
    let world = World::with(&["jobs:bounded:8"], &["--element-bytes-max", "1000"]);
    let send = world.ipc(&["send", "jobs", "--length-prefixed"]);
    send.stdin(&b"\0\0\0\x01a\xff\xff\xff\xff"[..]).assert().code(1).stderr_eq(str![[r#"
1 element accepted by jobs before
error: element 2 of stdin is too long
cause: its length says 4 294 967 295 bytes, and 16 777 216 are the most
hint:  is stdin framed so? --lines, --null and --length-prefixed say how

"#]]);
    let send = world.ipc(&["send", "jobs", "--length-prefixed"]);
    send.stdin(&b"\0\0\0\x05a"[..]).assert().code(1).stderr_eq(str![[r#"
0 elements accepted by jobs before
error: element 1 of stdin is cut off
cause: stdin ended 4 bytes before its end

"#]]);
    let long = format!("{}\nb\n", "a".repeat(2000));
    world.ipc(&["send", "jobs"]).stdin(long).assert().code(4).stdout_eq("").stderr_eq(str![[r#"
error: line 1 was not accepted
cause: the element is longer than the session allows
hint:  0 elements before it were accepted by jobs

"#]]);
    assert_eq!(world.recv("jobs", 1), "a\n");
    assert_eq!(world.figures("jobs")["len"], 0);
}
