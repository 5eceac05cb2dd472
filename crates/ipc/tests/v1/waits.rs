// SPDX-License-Identifier: BSD-3-Clause
//! Operations that wait: many at once, answered in any order, in time.

use becket_ipc::v1::Limits;

use crate::raw::*;

#[test]
fn an_operation_waits_and_others_are_served_meanwhile() {
    for packing in EVERY_PACKING {
        let server = server();
        let mut raw = client(&server, packing);
        let (one, other) = (raw.make(0, 1, 0), raw.make(0, 1, 0));
        let recv = |raw: &mut Raw, chan: u32, id: u32| {
            let wait = (TIMEOUT_MS, four(FOR_EVER));
            raw.say(RECV, &[(REQ_ID, &four(id)), (CHAN_ID, &four(chan)), (wait.0, &wait.1)]);
        };
        recv(&mut raw, one, 1);
        recv(&mut raw, other, 2);
        assert_eq!(raw.ask(GET_INFO, &[(CHAN_ID, &four(one))]).result(), 0);
        give(&inside(&server, other), b"b");
        let second = raw.hear().unwrap();
        assert_eq!((second.number(REQ_ID), second.bytes(ELEMENT)), (2, Some(b"b".as_slice())));
        give(&inside(&server, one), b"a");
        let first = raw.hear().unwrap();
        assert_eq!((first.number(REQ_ID), first.bytes(ELEMENT)), (1, Some(b"a".as_slice())));
    }
}

#[test]
fn two_clients_meet_in_a_rendezvous() {
    let server = server();
    let (mut one, mut other) = (client(&server, Packing::One), client(&server, Packing::Two));
    let chan = four(one.make(0, 2, 0));
    for round in 0..100_u16 {
        let element = round.to_be_bytes();
        one.say(SEND, &[(CHAN_ID, &chan), (TIMEOUT_MS, &[0xff; 4]), (ELEMENT, &element)]);
        let got = other.ask(RECV, &[(CHAN_ID, &chan), (TIMEOUT_MS, &[0xff; 4])]);
        assert_eq!(got.bytes(ELEMENT), Some(element.as_slice()));
        assert_eq!(one.hear().unwrap().result(), 0);
    }
}

#[test]
fn a_timeout_is_reported_and_a_negative_one_never_passes() {
    let server = server();
    let mut raw = client(&server, Packing::One);
    let chan = four(raw.make(1, 1, 1));
    assert_eq!(raw.ask(RECV, &[(CHAN_ID, &chan), (TIMEOUT_MS, &four(0))]).result(), -11);
    assert_eq!(raw.ask(RECV, &[(CHAN_ID, &chan), (TIMEOUT_MS, &four(1))]).result(), -62);
    let fill: [(u16, &[u8]); 2] = [(CHAN_ID, &chan), (ELEMENT, b"x")];
    assert_eq!(raw.ask(TRY_SEND, &fill).result(), 0);
    let timed = [fill[0], fill[1], (TIMEOUT_MS, &[0, 0, 0, 1])];
    assert_eq!(raw.ask(SEND, &timed).result(), -62);
    // Any negative number waits without a timeout.
    for forever in [-1_i32, -2, i32::MIN] {
        let forever = forever.to_be_bytes();
        raw.say(SEND, &[fill[0], fill[1], (TIMEOUT_MS, &forever)]);
        assert_eq!(raw.ask(RECV, &[(CHAN_ID, &chan), (TIMEOUT_MS, &forever)]).command, RECV);
        assert_eq!(raw.hear().unwrap().command, SEND);
    }
    let failures = inside(&server, 1001).snapshot().unwrap().receive_failures;
    assert_eq!((failures.would_block, failures.timed_out), (1, 1), "each counted once");
}

#[test]
fn closing_ends_every_wait() {
    let server = server();
    let mut raw = client(&server, Packing::One);
    let chan = four(raw.make(0, 1, 0));
    for id in 0..50 {
        let id = four(id);
        raw.say(RECV, &[(REQ_ID, &id), (CHAN_ID, &chan), (TIMEOUT_MS, &[0xff; 4])]);
    }
    raw.say(CLOSE, &[(REQ_ID, &four(50)), (CHAN_ID, &chan)]);
    let mut ids: Vec<u32> = Vec::new();
    for _ in 0..51 {
        let answer = raw.hear().unwrap();
        assert_eq!(answer.result(), if answer.command == CLOSE { 0 } else { -32 });
        ids.push(answer.number(REQ_ID));
    }
    ids.sort_unstable();
    assert!(ids.into_iter().eq(0..51));
}

#[test]
fn one_client_has_no_more_waits_than_it_may() {
    let server = limited(Limits { waits_max: 3, ..Limits::default() });
    let mut raw = client(&server, Packing::Two);
    let chan = four(raw.make(0, 1, 0));
    let recv: [(u16, &[u8]); 2] = [(CHAN_ID, &chan), (TIMEOUT_MS, &[0xff; 4])];
    for _ in 0..3 {
        raw.say(RECV, &recv);
    }
    assert_eq!(raw.ask(RECV, &recv).result(), -28);
    assert_eq!(server.counts().refused, 1);
    // Operations without a wait are served, and a free slot is used again.
    assert_eq!(raw.ask(TRY_RECV, &[(CHAN_ID, &chan)]).result(), -11);
    give(&inside(&server, 1001), b"x");
    assert_eq!(raw.hear().unwrap().bytes(ELEMENT), Some(b"x".as_slice()));
    raw.say(RECV, &recv);
    assert_eq!(raw.ask(RECV, &recv).result(), -28);
}

#[test]
fn what_one_client_sends_stays_in_order() {
    let server = server();
    let mut raw = client(&server, Packing::One);
    let chan = raw.make(1, 4, 2);
    let element = |number: u32| number.to_be_bytes();
    for number in 0..200 {
        let attributes =
            [(CHAN_ID, four(chan)), (TIMEOUT_MS, [0xff; 4]), (ELEMENT, element(number))];
        let attributes: Vec<(u16, &[u8])> =
            attributes.iter().map(|(kind, value)| (*kind, value.as_slice())).collect();
        raw.say(SEND, &attributes);
    }
    let channel = inside(&server, chan);
    for number in 0..200 {
        assert_eq!(take(&channel), element(number));
        assert_eq!(raw.hear().unwrap().result(), 0);
    }
}
