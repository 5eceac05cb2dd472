// SPDX-License-Identifier: BSD-3-Clause
//! A C program as a monitor shows it.

use std::io::Read as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use becket_ipc::Client;
use becket_ipc::monitor::{ChannelReport, ClientFeed, Feed as _, Query, Report};

use crate::common::{C, CPP, Library, check, folder, include, is_under_valgrind, program, run};

#[test]
fn the_header_is_strict_c11_and_cpp17_alone_and_twice() {
    for language in [C, CPP] {
        let file = folder().join("header").with_extension(language.extension);
        let source =
            "#include \"kcoro_monitor.h\"\n#include \"kcoro_monitor.h\"\nint probe(void);\n";
        std::fs::write(&file, source).unwrap();
        run(language.compiler().args(["-fsyntax-only", "-I"]).arg(include()).arg(&file));
    }
}

#[test]
fn the_functions() {
    check("monitor");
}

/// A program that is watched until it is dropped.
struct Watched(Child);

impl Watched {
    fn start(command: &mut Command) -> Self {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut ready = [0; 6];
        child.stdout.as_mut().unwrap().read_exact(&mut ready).unwrap();
        Self(child)
    }

    /// Lets it end by itself.
    fn end(mut self) {
        drop(self.0.stdin.take());
        assert!(self.0.wait().unwrap().success());
    }
}

/// A report in which the coroutine and the actor have begun to wait, and the three sessions are open.
fn report(socket: &Path) -> Report {
    let mut feed = ClientFeed::new(Client::connect(socket).wait().unwrap(), "test");
    loop {
        let report = feed.next(&Query::default()).unwrap();
        if report.coroutines.parked == 2 && report.sessions.total == 3 {
            return report;
        }
    }
}

fn channel(report: &Report, is: impl Fn(&ChannelReport) -> bool) -> &ChannelReport {
    report.channels.rows.iter().find(|row| is(row)).unwrap()
}

fn is_whole(report: &Report, pid: u32) {
    assert_eq!(report.process.pid, pid);
    assert!(report.process.name.starts_with("monitor-") || is_under_valgrind());
    assert_eq!(report.channels.total, 2, "those that were destroyed are gone");
    let orders = channel(report, |row| row.name == "orders");
    assert_eq!((orders.kind.as_str(), orders.capacity, orders.len), ("bounded", Some(2), 1));
    assert_eq!((orders.sends, orders.receives), (2, 1));
    assert_eq!((orders.bytes_in, orders.bytes_out), (8, 4));
    let failed = orders.failed.send;
    assert_eq!((failed.would_block, failed.timed_out, failed.closed), (1, 1, 0));
    let meetings = channel(report, |row| row.name.starts_with('#'));
    assert_eq!((meetings.kind.as_str(), meetings.receivers_waiting), ("rendezvous", 2));
    let names: Vec<&str> =
        report.coroutines.rows.rows.iter().map(|row| row.name.as_str()).collect();
    assert!(names.iter().any(|name| name.starts_with("actor ")), "{names:?}");
    assert!(
        names.iter().any(|name| name.contains("+0x") && !name.starts_with("actor")),
        "{names:?}"
    );
    assert!(report.workers.len() >= 2, "of both schedulers");
    let with = |peer| report.sessions.rows.iter().filter(|row| row.peer_pid == peer).count();
    assert_eq!((with(std::process::id()), with(pid)), (1, 2), "the monitor; both ends of its own");
}

#[test]
fn a_program_that_asks_for_it_is_watched_until_it_exits() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("private/mon");
    let mut command = program("monitor", &C, Library::Shared);
    let watched = Watched::start(command.arg("serve").arg(&socket));
    is_whole(&report(&socket), watched.0.id());
    watched.end();
    assert!(!socket.exists());
}

#[test]
fn the_environment_has_a_program_watched_without_a_change() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("private/mon");
    let mut command = program("monitor", &C, Library::Static);
    let watched = Watched::start(command.arg("plain").env("KCORO_MON", &socket));
    is_whole(&report(&socket), watched.0.id());
    // Of a second one the socket is in use: it goes on without.
    let mut second = program("monitor", &C, Library::Shared);
    second.arg("plain").env("KCORO_MON", &socket).stdin(Stdio::null());
    let output = second.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        said.contains("kcoro: not watched (KCORO_MON): ") && said.contains("listens"),
        "{said}"
    );
    watched.end();
    assert!(!socket.exists());
}
