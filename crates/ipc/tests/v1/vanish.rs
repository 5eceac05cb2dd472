// SPDX-License-Identifier: BSD-3-Clause
//! The operations of a disconnected client are cancelled, and values it has not read are requeued.

use std::sync::Arc;

use becket_ipc::v1::{Client, Server};

use crate::raw::*;

/// A channel with some numbers in it, and a client that has requested as many of them as given,
/// with every request served: a later frame of the client has arrived.
fn asked_for(requests: u32, packing: Packing) -> (Raw, Arc<Client>, Arc<Server>) {
    let server = server();
    let (mut raw, client) = stranger(&server, packing);
    raw.hello();
    let (chan, marker) = (raw.make(1, 4, 8), raw.make(1, 1, 1));
    let channel = inside(&server, chan);
    for number in 0..5_u32 {
        give(&channel, &number.to_be_bytes());
    }
    for _ in 0..requests {
        raw.say(RECV, &[(CHAN_ID, &four(chan)), (TIMEOUT_MS, &[0xff; 4])]);
    }
    raw.say(TRY_SEND, &[(CHAN_ID, &four(marker)), (ELEMENT, b"!")]);
    assert_eq!(take(&inside(&server, marker)), b"!");
    (raw, client, server)
}

#[test]
fn unread_values_are_requeued_in_their_order() {
    for packing in EVERY_PACKING {
        let (raw, client, server) = asked_for(4, packing);
        let channel = inside(&server, 1001);
        drop(raw);
        client.over().cancelled().wait();
        for number in 0..5_u32 {
            assert_eq!(take(&channel), number.to_be_bytes(), "{packing:?}");
        }
        assert!(channel.receiver().unwrap().try_recv().is_err());
        let snapshot = channel.snapshot().unwrap();
        assert_eq!((snapshot.sends, snapshot.receives), (5, 5), "each received once");
    }
}

#[test]
fn read_values_are_the_clients() {
    for packing in EVERY_PACKING {
        for read in 0..=4_u32 {
            let (mut raw, client, server) = asked_for(4, packing);
            for number in 0..read {
                let answer = raw.hear().unwrap();
                assert_eq!(answer.bytes(ELEMENT), Some(number.to_be_bytes().as_slice()));
            }
            drop(raw);
            client.over().cancelled().wait();
            let channel = inside(&server, 1001);
            for number in read..5 {
                assert_eq!(take(&channel), number.to_be_bytes(), "{packing:?}, {read} read");
            }
            assert!(channel.receiver().unwrap().try_recv().is_err());
            assert_eq!(server.counts().requeued, u64::from(4 - read));
        }
    }
}

#[test]
fn waiting_receivers_get_them_in_their_order() {
    let (raw, client, server) = asked_for(5, Packing::One);
    let mut waiting = crate::raw::client(&server, Packing::One);
    let recv: [(u16, &[u8]); 2] = [(CHAN_ID, &four(1001)), (TIMEOUT_MS, &[0xff; 4])];
    for _ in 0..3 {
        waiting.say(RECV, &recv);
    }
    assert_eq!(waiting.ask(GET_INFO, &[]).number(ABI_MAJOR), 1);
    drop(raw);
    client.over().cancelled().wait();
    for number in 0..3_u32 {
        let got = waiting.hear().unwrap();
        assert_eq!(got.bytes(ELEMENT), Some(number.to_be_bytes().as_slice()));
    }
    for number in 3..5_u32 {
        assert_eq!(take(&inside(&server, 1001)), number.to_be_bytes());
    }
}

#[test]
fn a_value_whose_header_alone_was_read_is_requeued() {
    let (raw, client, server) = asked_for(1, Packing::Two);
    let mut header = [0; 8];
    rustix::net::recv(&raw.socket, &mut header, rustix::net::RecvFlags::empty()).unwrap();
    assert_eq!(header[1], RECV as u8);
    drop(raw);
    client.over().cancelled().wait();
    assert_eq!(take(&inside(&server, 1001)), 0_u32.to_be_bytes());
}

#[test]
fn pipelined_values_are_all_delivered_to_a_client_that_reads() {
    for packing in EVERY_PACKING {
        let (mut raw, ..) = asked_for(5, packing);
        for number in 0..5_u32 {
            let answer = raw.hear().unwrap();
            assert_eq!(answer.bytes(ELEMENT), Some(number.to_be_bytes().as_slice()));
        }
        assert_eq!(raw.hear().unwrap().command, SEND, "the answers stay in turn");
    }
}

#[test]
fn a_receiver_that_disconnects_leaves_the_wait_queue() {
    let server = server();
    let (mut going, mut staying) = (client(&server, Packing::One), client(&server, Packing::Two));
    let chan = four(going.make(0, 1, 0));
    let recv: [(u16, &[u8]); 2] = [(CHAN_ID, &chan), (TIMEOUT_MS, &[0xff; 4])];
    going.say(RECV, &recv);
    // It waits before the other one: its next request has been answered.
    assert_eq!(going.ask(TRY_RECV, &recv[..1]).result(), -11);
    going.part();
    staying.say(RECV, &recv);
    give(&inside(&server, 1001), b"x");
    assert_eq!(staying.hear().unwrap().bytes(ELEMENT), Some(b"x".as_slice()));
    assert_eq!(inside(&server, 1001).snapshot().unwrap().receivers_waiting, 0);
}

#[test]
fn a_sender_that_disconnects_sends_nothing() {
    let server = server();
    let (mut going, mut staying) = (client(&server, Packing::One), client(&server, Packing::Two));
    let chan = four(going.make(0, 1, 0));
    let wait: (u16, &[u8]) = (TIMEOUT_MS, &[0xff; 4]);
    going.say(SEND, &[(CHAN_ID, &chan), wait, (ELEMENT, b"a")]);
    assert_eq!(going.ask(GET_INFO, &[(CHAN_ID, &chan)]).result(), 0);
    assert_eq!(inside(&server, 1001).snapshot().unwrap().senders_waiting, 1);
    going.part();
    staying.say(SEND, &[(CHAN_ID, &chan), wait, (ELEMENT, b"b")]);
    assert_eq!(take(&inside(&server, 1001)), b"b");
    assert_eq!(staying.hear().unwrap().result(), 0);
}

#[test]
fn a_client_that_the_server_closes_is_notified_by_its_socket() {
    let server = server();
    for packing in EVERY_PACKING {
        let (mut raw, client) = stranger(&server, packing);
        raw.say(HELLO, &[(ABI_MAJOR, &four(1)), (ABI_MINOR, &four(0))]);
        assert!(raw.hear().is_some());
        assert!(!client.over().is_cancelled());
        client.close();
        assert_eq!(raw.hear(), None);
        client.over().cancelled().wait();
    }
}

#[test]
fn sends_before_the_disconnect_have_happened() {
    for packing in EVERY_PACKING {
        let server = server();
        let mut raw = client(&server, packing);
        let chan = raw.make(-2, 4, 0);
        for number in 0..100_u32 {
            raw.say(SEND, &[(CHAN_ID, &four(chan)), (ELEMENT, &number.to_be_bytes())]);
        }
        // Not one answer was read.
        drop(raw);
        let channel = inside(&server, chan);
        for number in 0..100_u32 {
            assert_eq!(take(&channel), number.to_be_bytes());
        }
    }
}
