// SPDX-License-Identifier: BSD-3-Clause
//! `becket mon` as a process: its lines, its failures, its end.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking, in its helpers too"
)]

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::process::{Child, Command as Process, Stdio};

use rustix::fs::{Mode, OFlags, open};
use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcgetattr, tcsetwinsize};
use serde_json::Value;
use snapbox::cmd::Command;
use snapbox::str;
use tempfile::TempDir;

fn mon(args: &[&str]) -> Command {
    Command::new(env!("CARGO_BIN_EXE_becket"))
        .env_remove("RUST_LOG")
        .env_remove("NO_COLOR")
        .arg("mon")
        .args(args)
}

/// The command on a terminal of its own.
struct Session {
    child: Child,
    master: File,
    before: String,
    screen: Vec<u8>,
}

impl Session {
    fn start(serving: &Serving, args: &[&str]) -> Self {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let name = ptsname(&master, Vec::new()).unwrap();
        let slave = open(name.as_c_str(), OFlags::RDWR | OFlags::NOCTTY, Mode::empty()).unwrap();
        resize(&master, 80, 24);
        let before = format!("{:?}", tcgetattr(&master).unwrap());
        let stdio = || Stdio::from(slave.try_clone().unwrap());
        let child = Process::new(env!("CARGO_BIN_EXE_becket"))
            .args(["mon", "--socket"])
            .arg(&serving.socket)
            .args(args)
            .env_remove("NO_COLOR")
            .env("TERM", "xterm")
            .stdin(stdio())
            .stdout(stdio())
            .stderr(stdio())
            .spawn()
            .unwrap();
        Self { child, master: File::from(master), before, screen: Vec::new() }
    }

    /// Waits until this word has been written to the terminal since the last such wait. One word
    /// only: unchanged parts of the screen are not written again.
    fn shows(&mut self, text: &str) {
        loop {
            let shown = String::from_utf8_lossy(&self.screen);
            if let Some(at) = shown.find(text) {
                self.screen = shown.as_bytes()[at + text.len()..].to_vec();
                return;
            }
            let mut more = [0; 4096];
            let read = match self.master.read(&mut more) {
                Ok(read) => read,
                // The other end is closed.
                Err(error) => panic!("{text:?} never came ({error}), but {shown}"),
            };
            self.screen.extend_from_slice(&more[..read]);
        }
    }

    fn types(&mut self, keys: &str) {
        self.master.write_all(keys.as_bytes()).unwrap();
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Waits for the end; the terminal is as it was before.
    fn ends_with(mut self, code: i32) {
        self.shows("\u{1b}[?1049l");
        assert_eq!(self.child.wait().unwrap().code(), Some(code));
        assert_eq!(format!("{:?}", tcgetattr(&self.master).unwrap()), self.before);
    }
}

fn resize(master: &impl AsFd, columns: u16, rows: u16) {
    let size = Winsize { ws_col: columns, ws_row: rows, ws_xpixel: 0, ws_ypixel: 0 };
    tcsetwinsize(master, size).unwrap();
}

fn lines(output: &[u8]) -> Vec<Value> {
    let text = std::str::from_utf8(output).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn lines_go_to_a_file_and_the_filter_chooses_channels() {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("load.ndjson");
    let channels: Vec<_> = (0..12).map(|index| format!("load-{index}:bounded:4")).collect();
    let serving = Serving::start(&channels.iter().map(String::as_str).collect::<Vec<_>>());
    serving
        .mon(&["--filter", "LOAD-1", "--duration", "100ms", "--json"])
        .arg(&file)
        .assert()
        .success()
        .stdout_eq("")
        .stderr_eq("");
    let lines = lines(&std::fs::read(&file).unwrap());
    let mut names: Vec<&str> = lines
        .iter()
        .filter(|line| line["kind"] == "channel")
        .map(|line| line["name"].as_str().unwrap())
        .collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names, ["load-1", "load-10", "load-11"]);
    let totals = lines.iter().find(|line| line["kind"] == "totals").unwrap();
    assert_eq!((&totals["channels"], &totals["channels_listed"]), (&12.into(), &3.into()));
}

#[test]
fn a_duration_ends_it() {
    let serving = Serving::start(&["jobs:bounded:64"]);
    let run = serving.mon(&["--duration", "300ms", "--interval", "100ms", "--json", "-"]);
    let lines = lines(&run.assert().success().get_output().stdout);
    assert_eq!(lines.last().unwrap()["reason"], "time_up");
    let rates: Vec<f64> = lines
        .iter()
        .filter(|line| line["kind"] == "totals")
        .filter_map(|line| line["interval_ms"].as_f64())
        .collect();
    assert!(!rates.is_empty() && rates.iter().all(|ms| *ms >= 100.0), "{rates:?}");
}

#[test]
fn a_recording_says_again_what_was_seen() {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("recording");
    let path = file.to_str().unwrap();
    let serving = Serving::start(&["jobs:bounded:64"]);
    serving.send("jobs", "one\ntwo\nthree\n");
    let first = serving.mon(&["--headless", "--duration", "100ms", "--record", path]);
    let first = first.assert().success();
    let first = lines(&first.get_output().stdout);
    let again = mon(&["--replay", path, "--headless"]).assert().success();
    let again = lines(&again.get_output().stdout);
    let all_but_end = |lines: &[Value]| lines[..lines.len() - 1].to_vec();
    assert_eq!(all_but_end(&again), all_but_end(&first));
    assert_eq!(again.last().unwrap()["reason"], "finished");
}

#[test]
fn a_file_that_is_no_recording_fails_in_words() {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("recording");
    std::fs::write(&file, "{\"schema\":7}\n").unwrap();
    mon(&["--headless", "--replay"]).arg(&file).assert().code(1).stderr_eq(str![[r#"
error: what came is no report
cause: it has schema 7, expected 1

"#]]);
    mon(&["--headless", "--replay", "/nowhere/at/all"]).assert().code(1).stdout_eq("").stderr_eq(
        str![[r#"
error: /nowhere/at/all cannot be read
cause: No such file or directory (os error 2)

"#]],
    );
}

/// A server of channels in a process of its own. Killed when dropped.
struct Serving {
    child: Child,
    socket: PathBuf,
    _directory: TempDir,
}

impl Serving {
    fn start(channels: &[&str]) -> Self {
        let directory = TempDir::new().unwrap();
        let socket = directory.path().join("private/ipc.sock");
        let mut process = Process::new(env!("CARGO_BIN_EXE_becket"));
        process.args(["ipc", "serve", "--json", "--socket"]).arg(&socket).stdout(Stdio::piped());
        for channel in channels {
            process.args(["--channel", channel]);
        }
        let mut child = process.spawn().unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap()).lines();
        // It listens before it prints its first line.
        out.next().unwrap().unwrap();
        Self { child, socket, _directory: directory }
    }

    /// Sends lines to a channel.
    fn send(&self, channel: &str, lines: &str) {
        Command::new(env!("CARGO_BIN_EXE_becket"))
            .args(["ipc", "send", channel, "--socket"])
            .arg(&self.socket)
            .stdin(lines)
            .assert()
            .success();
    }

    fn mon(&self, args: &[&str]) -> Command {
        mon(&["--socket"]).arg(&self.socket).args(args)
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        // An error means that it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn another_process_is_watched_over_its_socket() {
    let serving = Serving::start(&["jobs:bounded:64", "state:conflated"]);
    serving.send("jobs", "one\ntwo\nthree\n");
    let run = serving.mon(&["--headless", "--duration", "200ms", "--interval", "100ms"]);
    let run = run.assert().success().stderr_eq("");
    let lines = lines(&run.get_output().stdout);
    let jobs = lines.iter().rfind(|line| line["name"] == "jobs").unwrap();
    assert_eq!((&jobs["sends_total"], &jobs["len"]), (&3.into(), &3.into()));
    assert_eq!((&jobs["capacity"], &jobs["bytes_in_total"]), (&64.into(), &11.into()));
    let process = lines.iter().find(|line| line["kind"] == "process").unwrap();
    assert_eq!(process["pid"], serving.child.id());
    assert_eq!(lines.last().unwrap()["reason"], "time_up");
    assert!(lines.iter().all(|line| line["schema"] == 1));
}

#[test]
fn counts_are_exact() {
    let serving = Serving::start(&["jobs:unlimited"]);
    let lines_sent: String = (0..5_000).map(|number| format!("{number:099}\n")).collect();
    serving.send("jobs", &lines_sent);
    Command::new(env!("CARGO_BIN_EXE_becket"))
        .args(["ipc", "recv", "jobs", "--count", "5000", "--socket"])
        .arg(&serving.socket)
        .assert()
        .success()
        .stdout_eq(snapbox::Data::text(lines_sent).raw());
    let run = serving.mon(&["--headless", "--duration", "100ms"]).assert().success();
    let lines = lines(&run.get_output().stdout);
    let jobs = lines.iter().rfind(|line| line["name"] == "jobs").unwrap();
    let counts = ["sends_total", "receives_total", "bytes_in_total", "bytes_out_total", "len"];
    assert_eq!(
        counts.map(|count| jobs[count].as_u64().unwrap()),
        [5_000, 5_000, 495_000, 495_000, 0]
    );
}

#[test]
fn who_is_connected_is_shown() {
    let serving = Serving::start(&["jobs:bounded:64"]);
    let run = |args: &[&str]| {
        let mut process = Process::new(env!("CARGO_BIN_EXE_becket"));
        process.args(args).arg("--socket").arg(&serving.socket);
        process.stdout(Stdio::piped()).spawn().unwrap()
    };
    let recv = run(&["ipc", "recv", "jobs"]);
    let mut mon = run(&["mon", "--headless", "--interval", "100ms"]);
    let mut lines = BufReader::new(mon.stdout.take().unwrap()).lines();
    let mut session = |pid: u32, seen: &dyn Fn(&Value) -> bool| {
        lines
            .by_ref()
            .map(|line| serde_json::from_str::<Value>(&line.unwrap()).unwrap())
            .find(|line| line["kind"] == "session" && line["peer_pid"] == pid && seen(line))
            .unwrap()
    };
    let waits = session(recv.id(), &|line| line["streams"] == 1);
    assert_eq!((&waits["transport"], &waits["protocol"]), (&"shared-memory".into(), &2.into()));
    assert_eq!(waits["peer_uid"], rustix::process::geteuid().as_raw());
    assert_eq!(waits["refused_total"], 0);
    serving.send("jobs", "one\ntwo\nthree\n");
    // The three elements, eleven bytes, and their frames' heads.
    let total = |line: &Value, field: &str| line[field].as_u64().unwrap();
    session(recv.id(), &|line| {
        total(line, "frames_out_total") > total(&waits, "frames_out_total")
            && total(line, "bytes_out_total") >= total(&waits, "bytes_out_total") + 11
    });
    // Its own connection: each query is a frame.
    session(mon.id(), &|line| total(line, "frames_in_total") >= 3);
    for mut child in [mon, recv] {
        child.kill().unwrap();
        child.wait().unwrap();
    }
}

#[test]
fn a_process_that_goes_ends_the_lines() {
    for (signal, reason, code) in [(Signal::TERM, "finished", 0), (Signal::KILL, "failed", 1)] {
        let serving = Serving::start(&["jobs:bounded:64"]);
        let mut child = Process::new(env!("CARGO_BIN_EXE_becket"))
            .args(["mon", "--headless", "--interval", "100ms", "--socket"])
            .arg(&serving.socket)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap()).lines();
        out.next().unwrap().unwrap();
        kill_process(Pid::from_child(&serving.child), signal).unwrap();
        let last: Value = serde_json::from_str(&out.last().unwrap().unwrap()).unwrap();
        assert_eq!((&last["kind"], &last["reason"]), (&"end".into(), &reason.into()));
        let ended = child.wait_with_output().unwrap();
        assert_eq!(ended.status.code(), Some(code));
        let said = String::from_utf8(ended.stderr).unwrap();
        assert_eq!(
            said.contains("error: the process cannot be reached any more"),
            code == 1,
            "{said}"
        );
    }
}

#[test]
fn a_socket_without_a_server_says_what_to_try() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("ipc.sock");
    mon(&["--headless", "--socket"]).arg(&path).assert().code(1).stdout_eq("").stderr_eq(str![[
        r#"
error: cannot connect to [..]/ipc.sock
cause: no server listens there (No such file or directory (os error 2))
hint:  `[..] ipc serve --socket [..]/ipc.sock` starts a server there

"#
    ]]);
}

#[test]
fn an_interrupt_ends_the_lines() {
    let serving = Serving::start(&["jobs:bounded:64"]);
    let mut child = Process::new(env!("CARGO_BIN_EXE_becket"))
        .args(["mon", "--headless", "--socket"])
        .arg(&serving.socket)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap()).lines();
    out.next().unwrap().unwrap();
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    let last: Value = serde_json::from_str(&out.last().unwrap().unwrap()).unwrap();
    assert_eq!((&last["kind"], &last["reason"]), (&"end".into(), &"interrupted".into()));
    assert_eq!(child.wait().unwrap().code(), Some(130));
}

#[test]
fn a_reader_that_leaves_is_no_failure() {
    let serving = Serving::start(&["jobs:bounded:64"]);
    let mut child = Process::new(env!("CARGO_BIN_EXE_becket"))
        .args(["mon", "--headless", "--interval", "100ms", "--socket"])
        .arg(&serving.socket)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap()).lines();
    out.next().unwrap().unwrap();
    drop(out);
    let ended = child.wait_with_output().unwrap();
    assert_eq!((ended.status.code(), ended.stderr), (Some(0), Vec::new()));
}

#[test]
fn keys_work_on_a_terminal_and_it_is_given_back() {
    let serving = Serving::start(&["jobs:bounded:64"]);
    let mut session = Session::start(&serving, &[]);
    session.shows("\u{1b}[?1049h");
    session.shows("jobs");
    // Ctrl-L redraws the whole screen.
    session.types("\r\u{c}");
    session.shows("conflated)");
    session.types("h\u{c}");
    session.shows("(Ctrl-C");
    session.types("x2\u{c}");
    session.shows("DISPATCHES");
    session.types("q");
    session.ends_with(0);
}

#[test]
fn however_it_ends_the_terminal_is_given_back() {
    let serving = Serving::start(&["jobs:bounded:64"]);
    for (keys, signal, code) in
        [("\u{3}", None, 130), ("", Some(Signal::TERM), 130), ("", Some(Signal::HUP), 130)]
    {
        let mut session = Session::start(&serving, &[]);
        session.shows("jobs");
        session.types(keys);
        if let Some(signal) = signal {
            session.signal(signal);
        }
        session.ends_with(code);
    }
}

#[test]
fn figures_stay_on_the_screen_after_the_end_of_the_process() {
    let serving = Serving::start(&["jobs:bounded:64"]);
    let mut session = Session::start(&serving, &["--interval", "100ms"]);
    session.shows("jobs");
    kill_process(Pid::from_child(&serving.child), Signal::TERM).unwrap();
    session.shows("ended");
    session.types("\u{c}");
    session.shows("jobs");
    session.types("q");
    session.ends_with(0);
}

#[test]
fn another_size_is_drawn_at_once() {
    let serving = Serving::start(&["jobs:bounded:64"]);
    let mut session = Session::start(&serving, &["--interval", "1h"]);
    // When keys are read, sizes are too.
    session.types("h");
    session.shows("(Ctrl-C");
    session.types("x\u{c}");
    session.shows("PEAK");
    resize(&session.master, 200, 50);
    session.signal(Signal::WINCH);
    session.shows("PAST");
    session.types("q");
    session.ends_with(0);
}

#[test]
fn failures_say_what_to_try() {
    mon(&[]).assert().code(1).stdout_eq("").stderr_eq(str![[r#"
error: the monitor has no terminal to draw on
cause: stdout is not a terminal
hint:  `--headless` writes lines instead

"#]]);
    mon(&["--filter", "a"]).assert().code(2).stdout_eq("").stderr_eq(str![[r#"
error: `--filter` is for lines, and the monitor draws
hint:  add `--headless`

"#]]);
    let nowhere = TempDir::new().unwrap();
    mon(&["--headless"])
        .env("XDG_RUNTIME_DIR", nowhere.path())
        .assert()
        .code(1)
        .stdout_eq("")
        .stderr_eq(str![[r#"
error: cannot connect to [..]/becket/ipc.sock
cause: no server listens there (No such file or directory (os error 2))
hint:  `[..] ipc serve` starts a server there

"#]]);
    mon(&["--interval", "5ms"]).assert().code(2).stderr_eq(str![[r#"
error: invalid value '5ms' for '--interval <TIME>'
cause: less than 100ms is too short to carry a rate
hint:  `--help` says what is expected

"#]]);
    mon(&["--duration", "soon"]).assert().code(2).stderr_eq(str![[r#"
error: invalid value 'soon' for '--duration <TIME>'
cause: write it as 30, 1.5s, 250ms, 2m or 1h
hint:  `--help` says what is expected

"#]]);
    let serving = Serving::start(&["jobs:bounded:64"]);
    serving.mon(&["--headless", "/nowhere/at/all"]).assert().code(1).stderr_eq(str![[r#"
error: /nowhere/at/all cannot be written
cause: No such file or directory (os error 2)

"#]]);
}

#[test]
fn the_help_is_short() {
    mon(&["-h"]).assert().success().stderr_eq("").stdout_eq(str![[r#"
Watch a process: its channels, coroutines, plugins and sessions

Usage: becket mon [OPTIONS] [OUTPUT]

Arguments:
  [OUTPUT]  Where the lines go: a file, or - for stdout [default: -]

Options:
      --socket <PATH>    Watch the process that serves this socket [default: that of `becket ipc
                         serve`]
      --replay <FILE>    Show a recording
      --record <FILE>    Write every report to a file, for --replay
      --headless         Write lines of JSON instead of drawing; so does --json
      --interval <TIME>  The interval of reports, such as 1s or 250ms; at least 100ms [default: 1s]
      --duration <TIME>  End after this time, such as 30s or 2m
      --filter <TEXT>    With --headless: only rows whose names contain this
      --no-color         No colours; so does NO_COLOR
      --ascii            ASCII characters only
  -h, --help             Print help (see more with '--help')

Global options:
      --json                Print JSON on stdout, and a failure as one JSON object on stderr
  -q, --quiet               Print only errors on stderr
      --log-level <FILTER>  What to log: a level (error, warn, info, debug, trace) or targets such
                            as `warn,becket::call=debug` [default: RUST_LOG, else info for `serve`
                            and warn for the rest]
      --log-json            Log one JSON object a line

"#]]);
}
