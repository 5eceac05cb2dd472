// SPDX-License-Identifier: BSD-3-Clause
//! Clients of both protocols at one server.

use std::time::Duration;

use becket_ipc::Server;

use crate::raw::{
    ABI_MAJOR, ABI_MINOR, CHAN_ID, ELEMENT, FOR_EVER, HELLO, MAKE, Packing, RECV, RESULT, Raw,
    SEND, TIMEOUT_MS, four,
};

const LONG: Duration = Duration::from_secs(60);

fn server() -> (tempfile::TempDir, std::path::PathBuf, Server) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("private/socket");
    let server = Server::builder().bind_both(&path).unwrap();
    (directory, path, server)
}

#[test]
fn they_share_a_channel() {
    let (_directory, path, _server) = server();
    let client = becket_ipc::Client::connect(&path).wait().unwrap();
    // None while another thread has the connection.
    let mut status = std::iter::repeat_with(|| client.status()).flatten();
    assert_eq!(status.next().unwrap().transport, "shared-memory");
    for packing in [Packing::One, Packing::Two] {
        let mut old = Raw::connect(&path, packing);
        old.hello();
        let id = old.make(1, 4, 8);
        let (tx, rx) = (
            client.sender(&format!("#{id}")).wait().unwrap(),
            client.receiver(&format!("#{id}")).wait().unwrap(),
        );
        let attributes: [(u16, &[u8]); 3] =
            [(CHAN_ID, &four(id)), (TIMEOUT_MS, &four(FOR_EVER)), (ELEMENT, b"old!")];
        assert_eq!(old.ask(SEND, &attributes).number(RESULT), 0);
        assert_eq!(rx.recv().timeout(LONG).wait().unwrap().as_ref(), b"old!");
        tx.send("new!").timeout(LONG).wait().unwrap();
        let answer = old.ask(RECV, &attributes[..2]);
        assert_eq!(answer.attributes[1], (ELEMENT, b"new!".to_vec()));
        // The channel's elements have four bytes, for every sender.
        assert!(tx.send("five!").timeout(LONG).wait().is_err());
    }
}

#[test]
fn an_invalid_handshake_is_answered_too() {
    let (_directory, path, _server) = server();
    for packing in [Packing::One, Packing::Two] {
        let mut old = Raw::connect(&path, packing);
        // A truncated attribute.
        old.say_bytes(HELLO, &[0, 1, 0, 4, 0]);
        assert!(old.hear().is_some());
        let mut old = Raw::connect(&path, packing);
        old.say(MAKE, &[(ABI_MAJOR, &four(1))]);
        assert!(old.hear().is_some());
    }
}

#[test]
fn a_server_that_ends_disconnects_its_old_clients() {
    let (_directory, path, server) = server();
    let mut old = Raw::connect(&path, Packing::One);
    old.hello();
    drop(server);
    assert_eq!(old.hear(), None);
    assert!(!path.exists());
}

#[test]
fn a_client_in_its_handshake_is_disconnected_when_a_server_ends() {
    let (_directory, path, server) = server();
    let mut slow = Raw::connect(&path, Packing::One);
    // Connections are accepted in order.
    Raw::connect(&path, Packing::One).hello();
    drop(server);
    slow.say(HELLO, &[(ABI_MAJOR, &four(1)), (ABI_MINOR, &four(0))]);
    while slow.hear().is_some() {}
}

#[test]
fn a_path_is_free_as_soon_as_its_server_is_dropped() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("private/socket");
    for _ in 0..200 {
        let server = Server::builder().bind_both(&path).unwrap();
        // The I/O thread may be using the listener while it is dropped.
        let _client = Raw::connect(&path, Packing::One);
        drop(server);
        assert!(!path.exists());
    }
}
