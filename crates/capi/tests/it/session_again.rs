// SPDX-License-Identifier: BSD-3-Clause
//! Sessions in C whose servers end and start.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use becket_chan::bounded;
use becket_ipc::channels::Channels;
use becket_ipc::{Client, Element, Server};

use crate::common::{C, Library, is_under_valgrind, program};
use crate::peer::{Peer, again, place};

const LONG: Duration = Duration::from_secs(120);

/// As `NUMBERS` of `session_again.c`.
const NUMBERS: u64 = 2_000;
/// A process is killed after so many numbers.
const EVERY: usize = 61;

/// `session_again.c`, built once for many processes.
struct Program(Command);

impl Program {
    fn new() -> Self {
        Self(program("session_again", &C, Library::Static))
    }

    fn start(&self, mode: &str, socket: &Path) -> Peer {
        let mut command = again(&self.0);
        command.arg(mode).arg(socket);
        Peer::spawn(command)
    }
}

fn send(socket: &Path, channel: &str, text: &'static str) {
    let client = Client::connect(socket).wait().unwrap();
    client.sender(channel).wait().unwrap().send(text).timeout(LONG).wait().unwrap();
}

#[test]
fn a_select_waits_over_the_loss_of_its_server() {
    let (_directory, socket) = place();
    let mut client = Peer::client("session_again", "selects", &socket);
    let server = Peer::server(&socket);
    send(&socket, "jobs", "first");
    client.is_ready();
    server.kill();
    client.is_ready();
    let server = Peer::server(&socket);
    send(&socket, "jobs", "second");
    client.is_ready();
    server.kill();
    client.is_ready();
    let server = Peer::server(&socket);
    let other = Client::connect(&socket).wait().unwrap();
    let meet = other.receiver("meet").wait().unwrap();
    assert_eq!(meet.recv().timeout(LONG).wait().unwrap().as_slice(), b"hello");
    other.sender("jobs").wait().unwrap().send("answer").timeout(LONG).wait().unwrap();
    client.ends();
    server.ends();
}

/// Of elements that were in flight to a lost connection at most one each is lost, none arrives
/// twice.
#[test]
fn a_select_receives_nothing_twice_over_many_servers() {
    // Under valgrind one thread runs at a time, and the one that sends to the select's other channel never waits: a
    // number takes a second.
    let (numbers, every) = if is_under_valgrind() { (60, 7) } else { (NUMBERS, 101) };
    let (_directory, socket) = place();
    let channels = Arc::new(Channels::new(16));
    let (jobs, kept) = bounded::<Element>(16);
    channels.export("jobs", None, Some(kept)).unwrap();
    let serve = || Server::builder().channels(channels.clone()).bind(&socket).unwrap();
    let mut client = Program::new().start("gathers", &socket);
    let mut server = Some(serve());
    let sending = thread::spawn(move || {
        for at in 0..numbers {
            jobs.send(at.to_ne_bytes().to_vec().into()).timeout(LONG).wait().unwrap();
        }
    });
    let (mut seen, mut losses) = (Vec::new(), 0);
    while let Some(number) = client.number() {
        seen.push(number);
        if (seen.len() as u64).is_multiple_of(every) {
            drop(server.take());
            losses += 1;
            server = Some(serve());
        }
    }
    sending.join().unwrap();
    client.ends();
    assert!(seen.is_sorted_by(|one, other| one < other), "each at most once, in order");
    assert!(losses > numbers / every - 4, "{losses}");
    assert!(numbers - seen.len() as u64 <= losses, "{} over {losses} losses", seen.len());
}

/// The server ends and starts again in one process, with the same channels.
#[test]
fn each_is_accepted_once_over_many_servers() {
    let (_directory, socket) = place();
    let program = Program::new();
    let mut server = program.start("keeps", &socket);
    let client = program.start("once", &socket);
    let mut seen: Vec<_> = (0..NUMBERS).map_while(|_| server.number()).collect();
    // Those of one thread are in order.
    for part in 0..4 {
        assert!(seen.iter().filter(|at| *at % 4 == part).is_sorted());
    }
    seen.sort_unstable();
    assert!(seen.into_iter().eq(0..NUMBERS));
    client.ends();
    server.ends();
}

#[test]
fn a_killed_producer_goes_on_where_the_channel_is() {
    let (_directory, socket) = place();
    let server = Server::bind(&socket).unwrap();
    let (tx, jobs) = bounded::<Element>(8);
    server.export("jobs", Some(tx), None).unwrap();
    let program = Program::new();
    let mut client = program.start("produces", &socket);
    for at in 0..NUMBERS {
        let element = jobs.recv().timeout(LONG).wait().unwrap();
        assert_eq!(element.as_slice(), at.to_ne_bytes());
        if (at as usize + 1).is_multiple_of(EVERY) {
            client.kill();
            client = program.start("produces", &socket);
        }
    }
    client.ends();
    assert_eq!(jobs.try_iter().count(), 0);
}

/// A killed server takes its numbers with it: nothing is sent twice, and what is not known is
/// reported.
#[test]
fn a_killed_server_gets_nothing_twice() {
    let (_directory, socket) = place();
    let program = Program::new();
    let mut client = program.start("reports", &socket);
    let reporting = thread::spawn(move || {
        let outcomes: Vec<_> = (0..NUMBERS).map_while(|_| client.number()).collect();
        (outcomes, client)
    });
    let (mut seen, mut killed) = (Vec::new(), 0);
    while seen.last() != Some(&u64::MAX) {
        let mut server = program.start("prints", &socket);
        for _ in 0..EVERY {
            seen.push(server.number().expect("it has not ended by itself"));
        }
        seen.extend(server.killed());
        killed += 1;
    }
    let (outcomes, client) = reporting.join().unwrap();
    client.kill();
    seen.retain(|number| *number != u64::MAX);
    assert!(outcomes.iter().map(|outcome| outcome / 4).eq(0..NUMBERS));
    assert!(killed > 20, "{killed}");
    assert!(seen.is_sorted_by(|one, other| one < other), "each at most once, in order");
    let of = |what: u64| {
        outcomes.iter().filter(move |outcome| *outcome % 4 == what).map(|outcome| outcome / 4)
    };
    // A server receives a number, acknowledges it and writes it: one killed in between misses it.
    let lost = of(0).filter(|at| seen.binary_search(at).is_err()).count();
    assert!(lost <= killed, "{lost} lost by {killed} servers");
    assert!(of(2).all(|at| seen.binary_search(&at).is_err()));
    let unknown = of(1).count();
    println!("{killed} servers: {lost} lost, {unknown} unknown");
    assert!(unknown > 0, "no message was under way when a server was killed");
}
