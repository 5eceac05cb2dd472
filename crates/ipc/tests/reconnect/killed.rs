// SPDX-License-Identifier: BSD-3-Clause
//! Processes that are killed with SIGKILL and started again.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use becket_chan::{Kind, Token};
use becket_ipc::channels::Wanted;
use becket_ipc::{Options, Reconnecting, SendError, Server};

use crate::world::{LONG, World, element, number, quick};

const VARIABLE: &str = "BECKET_TEST_RECONNECT";
const ELEMENTS: u64 = 2_000;
const EVERY: usize = 151;

fn start(role: &str, path: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "killed::plays_its_part", "--nocapture"])
        .env(VARIABLE, format!("{role} {}", path.display()))
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

fn kill(mut child: Child) {
    child.kill().unwrap();
    child.wait().unwrap();
}

/// Plays its part if the variable names one; otherwise does nothing.
#[test]
fn plays_its_part() {
    let Ok(text) = std::env::var(VARIABLE) else { return };
    let (role, path) = text.split_once(' ').unwrap();
    match role {
        "producer" => produce(path.as_ref()),
        _ => serve(path.as_ref()),
    }
}

/// Sends all numbers that the channel does not have, and stays.
fn produce(path: &Path) {
    let client = Reconnecting::new(path, Options::default(), quick(None));
    let sender = client.channel("jobs").once(5.into());
    for at in sender.accepted().wait().unwrap()..ELEMENTS {
        sender.send(element(at)).wait().unwrap();
    }
    let _until_stdin_ends = std::io::stdin().read(&mut [0]);
}

#[test]
fn a_killed_producer_continues_where_the_channel_is() {
    let world = World::new(true);
    let rx = world.opens_into("jobs", 8);
    let _server = world.serve();
    let mut child = start("producer", &world.path);
    for at in 0..ELEMENTS {
        assert_eq!(number(&rx.recv().timeout(LONG).wait().unwrap()), at);
        if (at as usize + 1).is_multiple_of(EVERY) {
            kill(child);
            child = start("producer", &world.path);
        }
    }
    kill(child);
    assert_eq!(rx.try_iter().count(), 0);
}

/// Offers a rendezvous channel, and prints the received elements.
fn serve(path: &Path) {
    let server = Server::bind(path).unwrap();
    let wanted = Wanted { kind: Kind::Rendezvous, capacity: 0, element_bytes: None };
    let channel = server.channels().make(Some("jobs"), wanted).unwrap();
    let mut out = std::io::stderr();
    while let Ok(element) = channel.receiver().unwrap().recv().wait() {
        out.write_all(element.as_slice()).unwrap();
    }
}

/// The elements that all servers have printed, and the number of kills.
fn receive(path: &Path) -> (Vec<u64>, usize) {
    let mut seen = Vec::new();
    let mut killed = 0;
    loop {
        let mut child = start("server", path);
        let mut said = BufReader::new(child.stderr.take().unwrap());
        let mut here = 0;
        let mut one = [0; 8];
        while said.read_exact(&mut one).is_ok() {
            let at = u64::from_le_bytes(one);
            if at == u64::MAX {
                kill(child);
                return (seen, killed);
            }
            seen.push(at);
            here += 1;
            if here == EVERY {
                child.kill().unwrap();
            }
        }
        // Everything printed before the kill was read.
        assert!(said.fill_buf().unwrap().len() < 8);
        kill(child);
        killed += 1;
    }
}

/// A killed server takes its channel's contents and its producers with it: with and without
/// deduplication nothing is sent twice, and unknown outcomes are reported as such.
fn killed_servers(send: &dyn Fn(u64, &Token) -> Result<(), SendError>, world: &World) {
    let over = Token::new();
    std::thread::scope(|scope| {
        let receiving = scope.spawn(|| {
            let received = receive(&world.path);
            over.cancel();
            received
        });
        let (mut happened, mut may_have) = (Vec::new(), Vec::new());
        for at in 0..ELEMENTS {
            match send(at, &over) {
                Ok(()) => happened.push(at),
                Err(SendError::Unknown { .. }) => may_have.push(at),
                Err(SendError::Disconnected { .. }) => {}
                Err(error) => panic!("{error:?}"),
            }
        }
        while !over.is_cancelled() {
            let _sent = send(u64::MAX, &over);
        }
        let (seen, killed) = receiving.join().unwrap();
        assert!(killed > 5, "{killed}");
        assert!(seen.is_sorted_by(|one, other| one < other), "each at most once, in order");
        // A server receives an element, acknowledges it, and prints it: one killed in between
        // misses at most one.
        let lost = happened.iter().filter(|at| seen.binary_search(at).is_err()).count();
        assert!(lost <= killed, "{lost} lost by {killed} servers");
        let known = |at: &&u64| happened.binary_search(at).is_err();
        assert!(seen.iter().filter(known).all(|at| may_have.binary_search(at).is_ok()));
    });
}

#[test]
fn a_killed_server_receives_each_at_most_once() {
    let world = World::new(true);
    let client = world.client();
    let sender = client.channel("jobs").sender();
    killed_servers(&|at, over| sender.send(element(at)).cancel_on(over).wait(), &world);
}

#[test]
fn a_killed_server_has_forgotten_and_gets_nothing_twice() {
    let world = World::new(true);
    let client = world.client();
    let sender = client.channel("jobs").once(5.into());
    killed_servers(&|at, over| sender.send(element(at)).cancel_on(over).wait(), &world);
}
