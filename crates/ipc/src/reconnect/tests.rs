// SPDX-License-Identifier: BSD-3-Clause
//! Clients that number their elements in violation of the protocol.

#![allow(clippy::unwrap_used, clippy::panic)]

use becket_chan::{Kind, bounded};
use becket_wire::Priority;

use crate::client::Client;
use crate::dedup::{Remembered, with_number};
use crate::error::{OpenError, SendError};
use crate::remote::sender::RemoteSender;
use crate::{Element, Options, ReceiverOptions, Server};

fn server() -> (tempfile::TempDir, Server) {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::bind(directory.path().join("private/socket")).unwrap();
    (directory, server)
}

fn client(server: &Server) -> Client {
    let (one, other) = crate::transport::memory::pair(64, 1 << 16);
    server.serve(Box::new(one)).unwrap();
    Client::over(Box::new(other), &Options::default()).unwrap()
}

fn open(client: &Client, producer: u128) -> Result<RemoteSender, OpenError> {
    client.sender_once("jobs", Priority::Normal, producer).wait()
}

fn remembered(sender: &RemoteSender) -> Remembered {
    sender.info().remembered.unwrap()
}

#[test]
fn numbers_that_go_back_or_leave_gaps_do_no_harm() {
    let (_directory, server) = server();
    let (tx, rx) = bounded::<Element>(16);
    server.export("jobs", Some(tx), None).unwrap();
    let client = client(&server);
    let sender = open(&client, 7).unwrap();
    assert_eq!(remembered(&sender).highest, 0);
    let send = |number, text: &str| sender.send(with_number(number, text.as_bytes())).wait();
    let refused = |number| matches!(send(number, "never"), Err(SendError::Closed { .. }));
    assert!(refused(2) && refused(u64::MAX));
    send(0, "never").unwrap();
    send(1, "one").unwrap();
    send(1, "never").unwrap();
    assert!(refused(3));
    send(2, "two").unwrap();
    send(0, "never").unwrap();
    for short in 0..8 {
        let error = sender.send(vec![1; short]).wait().unwrap_err();
        assert!(matches!(error, SendError::WrongLength(_)), "{error:?}");
    }
    let attempt = sender.try_send(with_number(9, b"never")).wait();
    assert!(matches!(attempt, Err(SendError::Closed { .. })));
    sender.try_send(with_number(3, b"three")).wait().unwrap();
    let seen: Vec<_> = rx.try_iter().map(Element::into_bytes).collect();
    assert_eq!(seen, ["one", "two", "three"]);
}

#[test]
fn credit_outlives_any_number_of_refusals() {
    let (_directory, server) = server();
    let (tx, rx) = bounded::<Element>(16);
    server.export("jobs", Some(tx), None).unwrap();
    let client = client(&server);
    let sender = open(&client, 7).unwrap();
    for _ in 0..3_000 {
        assert!(sender.send(with_number(5, b"gap")).wait().is_err());
        sender.send(with_number(0, b"again")).wait().unwrap();
        assert!(sender.send(vec![1; 3]).wait().is_err());
    }
    sender.send(with_number(1, b"one")).wait().unwrap();
    assert_eq!(rx.try_iter().count(), 1);
}

#[test]
fn a_producer_has_one_stream_at_a_time_and_is_remembered() {
    let (_directory, server) = server();
    server
        .channels()
        .make(
            Some("jobs"),
            crate::channels::Wanted { kind: Kind::Bounded, capacity: 4, element_bytes: Some(3) },
        )
        .unwrap();
    let (first, second) = (client(&server), client(&server));
    let sender = open(&first, 7).unwrap();
    sender.send(with_number(1, b"one")).wait().unwrap();
    assert!(matches!(sender.send(with_number(2, b"three")).wait(), Err(SendError::WrongLength(_))));
    assert!(matches!(open(&second, 7), Err(OpenError::Refused { code: 16, .. })));
    assert_eq!(remembered(&open(&second, 8).unwrap()).highest, 0);
    let before = remembered(&sender);
    // The server has processed the end of a stream when it answers a later request.
    drop(sender);
    first.list(None).wait().unwrap();
    let again = open(&second, 7).unwrap();
    assert_eq!(remembered(&again), Remembered { highest: 1, ..before });
    let receiver = second.receiver_with("jobs", ReceiverOptions::default()).wait().unwrap();
    assert_eq!(receiver.recv().wait().unwrap().as_slice(), b"one");
}

/// Withdrawn, waiting or accepted: what is remembered after a stream matches the channel's
/// contents. `BECKET_TEST_LONG` asks for more rounds.
#[test]
fn what_the_channel_accepted_while_the_stream_ended_is_remembered() {
    let rounds = if std::env::var_os("BECKET_TEST_LONG").is_some() { 200 } else { 50 };
    for round in 0..rounds {
        let (_directory, server) = server();
        let (tx, rx) = bounded::<Element>(1);
        server.export("jobs", Some(tx), None).unwrap();
        let going = client(&server);
        let sender = open(&going, 7).unwrap();
        sender.send(with_number(1, b"one")).wait().unwrap();
        let seen = std::thread::scope(|scope| {
            let sending = scope.spawn(|| sender.send(with_number(2, b"two")).wait());
            while rx.snapshot().senders_waiting == 0 {
                std::thread::yield_now();
            }
            let closing = scope.spawn(|| going.close());
            if round % 2 == 0 {
                std::thread::yield_now();
            }
            let mut seen = usize::from(rx.try_recv().is_ok());
            closing.join().unwrap();
            let _unknown_or_accepted = sending.join().unwrap();
            let next = client(&server);
            let again = loop {
                match open(&next, 7) {
                    Ok(again) => break again,
                    Err(OpenError::Refused { code: 16, .. }) => std::thread::yield_now(),
                    Err(error) => panic!("{error}"),
                }
            };
            seen += rx.try_iter().count();
            (seen as u64, remembered(&again).highest)
        });
        assert_eq!(seen.0, seen.1);
    }
}
