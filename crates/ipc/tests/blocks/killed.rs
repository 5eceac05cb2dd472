// SPDX-License-Identifier: BSD-3-Clause
//! kill -9 of a process that holds blocks, or has lent some.

use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use becket_chan::unlimited;
use becket_ipc::transport::SocketKind;
use becket_ipc::{Client, Element, Options, ReceiverOptions, Server};

use crate::memory::{HANGS, all_free, filled, holds, is_filled, pool, until};

const MIB: usize = 1 << 20;
const BLOCKS: u32 = 8;
const PATH: &str = "BECKET_BLOCKS_PATH";
const PLAYS: &str = "BECKET_BLOCKS_PLAYS";

fn options(transport: &str) -> Options {
    let mut options = Options::default();
    options.shared_memory = transport == "shared-memory";
    options.socket =
        if transport == "seqpacket" { SocketKind::Seqpacket } else { SocketKind::Stream };
    options
}

fn start(plays: &str, transport: &str, path: &Path) -> Child {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "killed::the_other_process", "--ignored", "--nocapture"])
        .env(PLAYS, format!("{plays} {transport}"))
        .env(PATH, path)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    // The harness prints something first.
    let out = child.stdout.as_mut().unwrap();
    let mut byte = [0];
    while byte != *b"+" {
        assert_eq!(out.read(&mut byte).unwrap(), 1, "it has ended early");
    }
    child
}

/// Run by the process that is killed; without its variable it does nothing.
#[test]
#[ignore = "a part of the other tests"]
fn the_other_process() {
    let (Ok(plays), Ok(path)) = (std::env::var(PLAYS), std::env::var(PATH)) else { return };
    let (plays, transport) = plays.split_once(' ').unwrap();
    let client = Client::connect_with(path, options(transport)).wait().unwrap();
    let mut held = Vec::new();
    let mut sender = None;
    let (_region, pool) = pool(MIB, BLOCKS);
    if plays == "holds" {
        let rx = client.receiver_with("down", ReceiverOptions::window(4)).wait().unwrap();
        while held.len() < BLOCKS as usize / 2 {
            let element = rx.recv().timeout(HANGS).wait().unwrap();
            if element.as_block().is_some() {
                held.push(element);
            }
        }
        sender = Some((None, Some(rx)));
    } else {
        let tx = client.sender("up").wait().unwrap();
        while tx.blocks().lent < u64::from(BLOCKS) / 2 {
            tx.send(filled(&pool, MIB, 7)).timeout(HANGS).wait().unwrap();
        }
        sender.replace((Some(tx), None));
    }
    print!("+");
    std::io::stdout().flush().unwrap();
    std::io::stdin().read_exact(&mut [0]).unwrap();
    drop((sender, held));
}

fn receiver_is_killed(transport: &str) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("private/socket");
    let server = Server::builder().options(options(transport)).bind_both(&path).unwrap();
    let (tx, rx) = unlimited::<Element>();
    server.export("down", None, Some(rx.clone())).unwrap();
    let (region, pool) = pool(MIB, BLOCKS);
    for _ in 0..2 {
        let feeds = std::sync::atomic::AtomicBool::new(true);
        let mut child = std::thread::scope(|scope| {
            scope.spawn(|| {
                // As many blocks as there are, until the test ends.
                while feeds.load(std::sync::atomic::Ordering::Relaxed) {
                    match pool.try_lease(MIB) {
                        Ok(mut lease) => {
                            lease.fill(1);
                            tx.try_send(lease.freeze().into()).unwrap();
                        }
                        Err(_) => std::thread::yield_now(),
                    }
                }
            });
            let child = start("holds", transport, &path);
            feeds.store(false, std::sync::atomic::Ordering::Relaxed);
            child
        });
        child.kill().unwrap();
        child.wait().unwrap();
        // Elements in its channel, or not yet transmitted, are still there; the blocks it held are
        // free.
        until("its connection is over", || server.sessions().is_empty());
        while rx.try_recv().is_ok() {}
        all_free(&pool);
        assert_eq!(holds(&region), (1, 1));
    }
}

/// The server ends while a client holds blocks, and the client is killed later.
fn receiver_is_killed_after_the_close(transport: &str) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("private/socket");
    let server = Server::builder().options(options(transport)).bind_both(&path).unwrap();
    let (tx, rx) = unlimited::<Element>();
    server.export("down", None, Some(rx.clone())).unwrap();
    let (_region, pool) = pool(MIB, BLOCKS);
    let feeds = std::sync::atomic::AtomicBool::new(true);
    let mut child = std::thread::scope(|scope| {
        scope.spawn(|| {
            while feeds.load(std::sync::atomic::Ordering::Relaxed) {
                match pool.try_lease(MIB) {
                    Ok(lease) => tx.try_send(lease.freeze().into()).unwrap(),
                    Err(_) => std::thread::yield_now(),
                }
            }
        });
        let child = start("holds", transport, &path);
        feeds.store(false, std::sync::atomic::Ordering::Relaxed);
        child
    });
    drop(server);
    while rx.try_recv().is_ok() {}
    assert!(pool.snapshot()[0].free <= BLOCKS as usize / 2, "those that it holds are not free");
    child.kill().unwrap();
    child.wait().unwrap();
    all_free(&pool);
    until("nothing is left", || becket_ipc::blocks::lingering().now == 0);
}

fn sender_is_killed(transport: &str) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("private/socket");
    let server = Server::builder().options(options(transport)).bind_both(&path).unwrap();
    let (tx, rx) = unlimited::<Element>();
    server.export("up", Some(tx), None).unwrap();
    let memfds = || {
        let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
        maps.lines().filter(|line| line.contains("becket-region") && line.contains("r--s")).count()
    };
    let mut child = start("lends", transport, &path);
    child.kill().unwrap();
    child.wait().unwrap();
    until("its connection is over", || server.sessions().is_empty());
    // Accepted elements are there, and stay.
    let elements: Vec<_> = std::iter::from_fn(|| rx.try_recv().ok()).collect();
    let blocks = elements.iter().filter(|element| element.as_block().is_some()).count();
    assert_eq!(blocks, BLOCKS as usize / 2);
    assert!(memfds() > 0);
    for element in elements {
        assert!(is_filled(element.as_slice(), 7));
    }
}

/// The server ends while it holds a client's blocks, and the client is killed later.
fn sender_is_killed_after_the_close(transport: &str) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("private/socket");
    let server = Server::builder().options(options(transport)).bind_both(&path).unwrap();
    let (tx, rx) = unlimited::<Element>();
    server.export("up", Some(tx), None).unwrap();
    let mut child = start("lends", transport, &path);
    let is_block = |element: &Element| element.as_block().is_some();
    let elements: Vec<_> = (0..=BLOCKS / 2)
        .map(|_| rx.recv().timeout(HANGS).wait().unwrap())
        .filter(is_block)
        .collect();
    assert_eq!(elements.len(), BLOCKS as usize / 2);
    drop(server);
    until("it lingers", || becket_ipc::blocks::lingering().now == 1);
    child.kill().unwrap();
    child.wait().unwrap();
    until("nothing is left", || becket_ipc::blocks::lingering().now == 0);
    for element in elements {
        assert!(is_filled(element.as_slice(), 7));
    }
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    assert!(!maps.contains("becket-region"), "its memory has gone with the last block");
}

macro_rules! over_sockets {
    ($($name:ident: $transport:literal),* $(,)?) => {$(
        mod $name {
            #[test]
            fn a_holder_of_blocks_is_killed() {
                super::receiver_is_killed($transport);
            }

            #[test]
            fn a_holder_of_blocks_is_killed_after_the_close() {
                super::receiver_is_killed_after_the_close($transport);
            }

            #[test]
            fn a_lender_of_blocks_is_killed() {
                super::sender_is_killed($transport);
            }

            #[test]
            fn a_lender_of_blocks_is_killed_after_the_close() {
                super::sender_is_killed_after_the_close($transport);
            }
        }
    )*};
}

over_sockets! {
    unix_stream: "unix-stream",
    seqpacket: "seqpacket",
    shared_memory: "shared-memory",
}
