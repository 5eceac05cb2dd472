// SPDX-License-Identifier: BSD-3-Clause
//! The suite of becket-ipc, whichever side sends; and channels over the link.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod world;

use std::io::Write as _;
use std::net::Shutdown;
use std::sync::Arc;
use std::thread;

use becket_chan::Kind;
use becket_ipc::channels::{Channel, Wanted};
use becket_ipc::transport::conformance::waiting::{Waiting, numbers};
use becket_ipc::transport::conformance::{LinkFactory, Pair};
use becket_ipc::transport::{LinkError, LinkLimits, Peer};
use becket_ipc::{Client, Options, RecvError, Server};
use rustls::pki_types::ServerName;
use tls_link::HandshakeError;

use crate::world::{CONFIGS, Configs, handshake, links, sockets};

// ANCHOR: suite
/// The client sends.
struct ToServer;

impl LinkFactory for ToServer {
    fn pair() -> Pair {
        let (client, server) =
            links(LinkLimits { body_bytes_max: 20_000, ..LinkLimits::default() });
        (Box::new(client), Box::new(server))
    }
}

becket_ipc::link_conforms!(to_server, ToServer, no descriptors);
// ANCHOR_END: suite

/// The server sends.
struct ToClient;

impl LinkFactory for ToClient {
    fn pair() -> Pair {
        let (client, server) = ToServer::pair();
        (server, client)
    }
}

becket_ipc::link_conforms!(to_client, ToClient, no descriptors);

/// A client, a server, and its channel `numbers`.
fn channel() -> (Client, Server, Arc<Channel>) {
    let (client, server) = links(LinkLimits::default());
    let serves = Server::builder().without_socket();
    let wanted = Wanted { kind: Kind::Bounded, capacity: 16, element_bytes: None };
    let channel = serves.channels().make(Some("numbers"), wanted).unwrap();
    serves.serve(Box::new(server)).unwrap();
    (Client::over(Box::new(client), &Options::default()).unwrap(), serves, channel)
}

/// Some are longer than a frame.
fn length(number: u32) -> usize {
    if number.is_multiple_of(1000) { 300_000 } else { 4 }
}

#[test]
fn a_channel_of_another_machine_is_a_channel() {
    let (client, _server, channel) = channel();
    let sender = client.sender("numbers").wait().unwrap();
    let receiver = client.receiver("numbers").wait().unwrap();
    let sends = thread::spawn(move || {
        for number in 0..10_000_u32 {
            let mut bytes = number.to_le_bytes().to_vec();
            bytes.resize(length(number), number as u8);
            sender.send(bytes).wait().unwrap();
        }
        channel.close(Some("all were sent"));
    });
    for number in 0..10_000_u32 {
        let element = receiver.recv().wait().unwrap();
        let bytes = element.as_slice();
        assert_eq!((&bytes[..4], bytes.len()), (&number.to_le_bytes()[..], length(number)));
        assert!(bytes[4..].iter().all(|byte| *byte == number as u8));
    }
    sends.join().unwrap();
    let Err(RecvError::Closed { reason }) = receiver.recv().wait() else { panic!("it is closed") };
    assert_eq!(reason.as_deref(), Some("all were sent"));
}

/// A receive that waits is woken, with the end of the connection.
#[test]
fn the_end_of_the_server_ends_what_waits() {
    let (client, server, _channel) = channel();
    let receiver = client.receiver("numbers").wait().unwrap();
    let waits = thread::spawn(move || receiver.recv().wait());
    drop(server);
    let error = waits.join().unwrap().unwrap_err();
    assert!(matches!(error, RecvError::Disconnected(_) | RecvError::Closed { .. }), "{error}");
}

/// Without a goodbye there is an end all the same, and no part of a frame.
#[test]
fn a_cut_connection_ends_without_part_of_a_frame() {
    let (one, other) = sockets();
    let configs = &*CONFIGS;
    let cuts = one.try_clone().unwrap();
    let server = Arc::clone(&configs.server);
    let accepts =
        thread::spawn(move || tls_link::server(other, server, LinkLimits::default(), Peer::own()));
    let name = ServerName::try_from("localhost").unwrap();
    let client = Arc::clone(&configs.client);
    let client = tls_link::client(one, name, client, LinkLimits::default(), Peer::own()).unwrap();
    let mut server = Waiting::new(Box::new(accepts.join().unwrap().unwrap()));
    let mut client = Waiting::new(Box::new(client));
    client.send(1, 100);
    cuts.shutdown(Shutdown::Both).unwrap();
    let (came, error) = server.receive_all();
    assert_eq!((numbers(&came), error), (vec![1], LinkError::Closed));
}

/// Bytes that are no record of TLS, on a connection that is.
#[test]
fn what_is_not_tls_ends_the_link() {
    let (one, other) = sockets();
    let mut raw = one.try_clone().unwrap();
    let server = Arc::clone(&CONFIGS.server);
    let accepts =
        thread::spawn(move || tls_link::server(other, server, LinkLimits::default(), Peer::own()));
    let name = ServerName::try_from("localhost").unwrap();
    let client = Arc::clone(&CONFIGS.client);
    let _client = tls_link::client(one, name, client, LinkLimits::default(), Peer::own()).unwrap();
    let mut server = Waiting::new(Box::new(accepts.join().unwrap().unwrap()));
    raw.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    let (came, error) = server.receive_all();
    assert!(came.is_empty());
    assert_ne!(error, LinkError::Closed);
    assert_eq!(server.link.take(1, &mut |_, _| {}), Err(error), "it is repeated");
}

#[test]
fn a_server_of_another_authority_or_name_is_refused() {
    let limits = LinkLimits::default();
    let strangers = Configs::new();
    for (server, name) in [(&strangers, "localhost"), (&*CONFIGS, "example.org")] {
        let (client, server) = handshake(&CONFIGS, server, name, limits);
        let error = client.err().unwrap();
        assert!(matches!(error, HandshakeError::Peer { .. }));
        assert!(error.to_string().contains("hint:"), "{error}");
        // It may have been done with its part of the handshake before the client refused it.
        if let Ok(server) = server {
            let (came, _) = Waiting::new(Box::new(server)).receive_all();
            assert!(came.is_empty());
        }
    }
}

#[test]
fn a_peer_that_speaks_no_tls_or_leaves_gets_no_link() {
    for bytes in [&b"GET / HTTP/1.1\r\n\r\n"[..], b""] {
        let (mut one, other) = sockets();
        one.write_all(bytes).unwrap();
        one.shutdown(Shutdown::Write).unwrap();
        let server = Arc::clone(&CONFIGS.server);
        let refused = tls_link::server(other, server, LinkLimits::default(), Peer::own());
        assert!(matches!(refused, Err(HandshakeError::Peer { .. })));
    }
}
