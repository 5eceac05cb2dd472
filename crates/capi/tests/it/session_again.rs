// SPDX-License-Identifier: BSD-3-Clause
//! Sessions in C whose servers end and start.

use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use becket_chan::bounded;
use becket_ipc::channels::Channels;
use becket_ipc::{Client, Element, Server};

use crate::common::{C, Library, program};
use crate::peer::{Peer, place};

const LONG: Duration = Duration::from_secs(120);
const ELEMENTS: u64 = 2_000;

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
    let (_directory, socket) = place();
    let channels = Arc::new(Channels::new(16));
    let (jobs, kept) = bounded::<Element>(16);
    channels.export("jobs", None, Some(kept)).unwrap();
    let serve = || Server::builder().channels(channels.clone()).bind(&socket).unwrap();
    let mut gathers = program("session_again", &C, Library::Static);
    gathers.arg("gathers").arg(&socket);
    let mut client = Peer::spawn(gathers);
    let mut server = Some(serve());
    let sending = thread::spawn(move || {
        for at in 0..ELEMENTS {
            jobs.send(at.to_ne_bytes().to_vec().into()).timeout(LONG).wait().unwrap();
        }
    });
    let (mut seen, mut losses) = (Vec::new(), 0);
    while let Some(number) = client.number() {
        seen.push(number);
        if seen.len().is_multiple_of(101) {
            drop(server.take());
            losses += 1;
            server = Some(serve());
        }
    }
    sending.join().unwrap();
    client.ends();
    assert!(seen.is_sorted_by(|one, other| one < other), "each at most once, in order");
    assert!(losses > 15, "{losses}");
    assert!(ELEMENTS - seen.len() as u64 <= losses, "{} over {losses} losses", seen.len());
}
