// SPDX-License-Identifier: BSD-3-Clause
//! Clients that violate the protocol: none crashes the server, hangs it or makes it grow.

use std::time::Duration;

use becket_ipc::v1::Limits;
use proptest::collection::vec;
use proptest::prelude::*;
use rustix::net::{SendFlags, send};

use crate::raw::*;

#[test]
fn a_length_above_the_limit_ends_the_connection_without_an_answer() {
    for packing in EVERY_PACKING {
        for length in [Limits::default().payload_bytes_max + 1, u32::MAX] {
            let mut raw = client(&server(), packing);
            raw.put(&header(SEND, length));
            assert_eq!(raw.hear(), None);
        }
    }
}

#[test]
fn a_packet_above_the_limit_ends_the_connection() {
    let limits = Limits { payload_bytes_max: 64, ..Limits::default() };
    let mut raw = client(&limited(limits), Packing::One);
    raw.put(&[&header(SEND, 64)[..], &[0; 65]].concat());
    assert_eq!(raw.hear(), None);
}

#[test]
fn a_packet_that_has_no_header_ends_the_connection() {
    let mut raw = client(&server(), Packing::One);
    raw.put(&[0; 7]);
    assert_eq!(raw.hear(), None);
}

#[test]
fn a_packet_of_the_wrong_length_is_malformed_and_the_next_is_served() {
    let mut raw = client(&server(), Packing::One);
    let body = payload(&[(REQ_ID, &four(4)), (CHAN_ID, &four(1001))]);
    for length in [body.len() as u32 - 1, body.len() as u32 + 1, 0] {
        raw.put(&[&header(TRY_RECV, length)[..], &body].concat());
        let answer = raw.hear().unwrap();
        assert_eq!((answer.command, answer.result(), answer.number(REQ_ID)), (RECV, -71, 4));
    }
    let mut reserved = header(TRY_RECV, body.len() as u32);
    reserved[3] = 1;
    raw.put(&[&reserved[..], &body].concat());
    assert_eq!(raw.hear().unwrap().result(), -71);
    assert_eq!(raw.make(0, 1, 0), 1001);
}

#[test]
fn a_client_that_never_sends_hello_is_disconnected() {
    for packing in EVERY_PACKING {
        let limits = Limits { hello_timeout: Duration::from_millis(1), ..Limits::default() };
        let (mut raw, _) = stranger(&limited(limits), packing);
        assert_eq!(raw.hear(), None);
    }
}

#[test]
fn a_client_that_does_not_read_is_not_read_from() {
    const ANSWERS_MAX: usize = 4;
    const ASKED: usize = 5_000;
    for packing in [Packing::One, Packing::Stream] {
        let server = limited(Limits { answers_max: ANSWERS_MAX, ..Limits::default() });
        let mut raw = client(&server, packing);
        let frame = [&header(GET_INFO, 12)[..], &payload(&[(REQ_ID, &[1; 8])])].concat();
        let writer = raw.socket.try_clone().unwrap();
        let asking = std::thread::spawn(move || {
            for _ in 0..ASKED {
                let mut sent = 0;
                while sent < frame.len() {
                    sent += send(&writer, &frame[sent..], SendFlags::NOSIGNAL).unwrap();
                }
            }
        });
        for heard in 0..ASKED {
            // Another client is served meanwhile.
            if heard == 10 {
                assert_eq!(client(&server, Packing::Two).ask(GET_INFO, &[]).number(ABI_MAJOR), 1);
            }
            // Read in this order, the difference is at most its value at some moment.
            let answers = server.counts().answers;
            let waiting = server.counts().requests.saturating_sub(answers);
            let read_since = server.counts().answers - answers;
            assert!(waiting <= ANSWERS_MAX as u64 + 1 + read_since, "{waiting}");
            assert_eq!(raw.hear().unwrap().number(ABI_MAJOR), 1);
        }
        asking.join().unwrap();
    }
}

#[test]
fn a_stream_may_come_in_any_pieces() {
    let mut raw = client(&server(), Packing::Stream);
    let frame = [&header(GET_INFO, 12)[..], &payload(&[(REQ_ID, &[1; 8])])].concat();
    let three = frame.repeat(3);
    for size in 1..three.len() {
        for piece in three.chunks(size) {
            raw.put(piece);
        }
        for _ in 0..3 {
            assert_eq!(raw.hear().unwrap().number(ABI_MAJOR), 1);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn no_packets_keep_the_next_client_from_being_served(
        packets in vec(prop_oneof![
            vec(any::<u8>(), 1..40),
            (0..40_u16, vec((0..28_u16, vec(any::<u8>(), 0..9)), 0..4)).prop_map(|(command, tlvs)| {
                let tlvs: Vec<_> = tlvs.iter().map(|(k, v)| (*k, v.as_slice())).collect();
                let payload = payload(&tlvs);
                [&header(command, payload.len() as u32)[..], &payload].concat()
            }),
        ], 0..20),
        packing in prop_oneof![Just(Packing::One), Just(Packing::Stream)],
    ) {
        let server = server();
        let raw = client(&server, packing);
        for packet in &packets {
            // It may have been disconnected already.
            let _ = send(&raw.socket, packet, SendFlags::NOSIGNAL);
        }
        drop(raw);
        let mut next = client(&server, Packing::Two);
        let chan = next.make(1, 1, 1);
        let chan = four(chan);
        prop_assert_eq!(next.ask(TRY_SEND, &[(CHAN_ID, &chan), (ELEMENT, b"x")]).result(), 0);
        let got = next.ask(TRY_RECV, &[(CHAN_ID, &chan)]);
        prop_assert_eq!(got.bytes(ELEMENT), Some(b"x".as_slice()));
    }
}
