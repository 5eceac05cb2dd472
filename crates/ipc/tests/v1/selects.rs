// SPDX-License-Identifier: BSD-3-Clause
//! One of several operations: built, registered, decided, claimed.

use becket_ipc::v1::Limits;

use crate::raw::*;

const SELECT_SEND: u16 = 30;
const SELECT_RECV: u16 = 31;
const REGISTER: u16 = 32;
const CANCEL: u16 = 33;
const NOTIFY: u16 = 34;
const CLAIM: u16 = 35;

const SELECT: (u16, &[u8]) = (ID, &[0, 0, 0, 5]);

fn clauses(raw: &mut Raw, send_to: u32, recv_from: u32) {
    let added = raw.ask(SELECT_SEND, &[SELECT, (CHAN_ID, &four(send_to)), (ELEMENT, b"s")]);
    assert_eq!((added.command, added.result()), (SELECT_SEND, 0));
    let added = raw.ask(SELECT_RECV, &[SELECT, (CHAN_ID, &four(recv_from))]);
    assert_eq!((added.command, added.result()), (SELECT_RECV, 1));
}

fn notice(raw: &mut Raw) -> (u32, i32) {
    let notice = raw.hear().unwrap();
    assert_eq!((notice.command, notice.number(ID)), (NOTIFY, 5));
    (notice.number(SELECT_MASK), notice.result())
}

#[test]
fn one_clause_happens_is_notified_and_claimed() {
    for packing in EVERY_PACKING {
        let server = server();
        let mut raw = client(&server, packing);
        let (a, b) = (raw.make(0, 1, 0), raw.make(0, 1, 0));
        clauses(&mut raw, a, b);
        assert_eq!(raw.ask(CLAIM, &[SELECT]).result(), -11);
        assert_eq!(raw.ask(REGISTER, &[SELECT, (TIMEOUT_MS, &[0xff; 4])]).result(), 0);
        assert_eq!(raw.ask(REGISTER, &[SELECT]).result(), -114);
        assert_eq!(raw.ask(SELECT_RECV, &[SELECT, (CHAN_ID, &four(b))]).result(), -114);
        assert_eq!(raw.ask(CLAIM, &[SELECT]).result(), -11);
        give(&inside(&server, b), b"r");
        assert_eq!(notice(&mut raw), (0b10, 1));
        let claimed = raw.ask(CLAIM, &[(REQ_ID, &four(3)), SELECT]);
        assert_eq!((claimed.command, claimed.number(REQ_ID), claimed.result()), (CLAIM, 3, 1));
        assert_eq!(claimed.number(CHAN_ID), b);
        assert_eq!(claimed.bytes(ELEMENT), Some(b"r".as_slice()));
        assert_eq!(raw.ask(CLAIM, &[SELECT]).result(), -2, "once");
        // The other clause did not happen.
        assert!(inside(&server, a).receiver().unwrap().try_recv().is_err());
        // The same number is another select now, and its send happens.
        clauses(&mut raw, a, b);
        raw.say(REGISTER, &[SELECT]);
        assert_eq!(raw.hear().unwrap().result(), 0);
        assert_eq!(take(&inside(&server, a)), b"s");
        assert_eq!(notice(&mut raw), (0b01, 0));
        let claimed = raw.ask(CLAIM, &[SELECT]);
        assert_eq!((claimed.result(), claimed.number(CHAN_ID)), (0, a));
        assert_eq!(claimed.bytes(ELEMENT), None);
    }
}

#[test]
fn its_timeout_passes_or_a_channel_closes() {
    let server = server();
    let mut raw = client(&server, Packing::One);
    let (a, b) = (raw.make(0, 1, 0), raw.make(0, 1, 0));
    for (timeout, errno) in [(0, -11), (1, -62)] {
        clauses(&mut raw, a, b);
        assert_eq!(raw.ask(REGISTER, &[SELECT, (TIMEOUT_MS, &four(timeout))]).result(), 0);
        assert_eq!(notice(&mut raw), (0, errno));
        let claimed = raw.ask(CLAIM, &[SELECT]);
        assert_eq!(claimed.attributes, [(RESULT, errno.to_be_bytes().to_vec())]);
    }
    clauses(&mut raw, a, b);
    assert_eq!(raw.ask(REGISTER, &[SELECT]).result(), 0);
    inside(&server, b).close(None);
    assert_eq!(notice(&mut raw), (0b10, -32));
    let claimed = raw.ask(CLAIM, &[SELECT]);
    assert_eq!((claimed.result(), claimed.number(CHAN_ID)), (-32, b));
}

#[test]
fn a_select_is_cancelled_unless_it_has_happened() {
    let server = server();
    let mut raw = client(&server, Packing::Two);
    let (a, b) = (raw.make(0, 1, 0), raw.make(1, 1, 1));
    assert_eq!(raw.ask(CANCEL, &[SELECT]).result(), -2);
    for registers in [false, true] {
        clauses(&mut raw, a, b);
        if registers {
            assert_eq!(raw.ask(REGISTER, &[SELECT]).result(), 0);
        }
        assert_eq!(raw.ask(CANCEL, &[SELECT]).result(), 0);
        assert_eq!(raw.ask(CLAIM, &[SELECT]).result(), -2, "it is gone");
        assert!(inside(&server, a).receiver().unwrap().try_recv().is_err());
    }
    clauses(&mut raw, a, b);
    assert_eq!(raw.ask(REGISTER, &[SELECT]).result(), 0);
    give(&inside(&server, b), b"r");
    assert_eq!(notice(&mut raw), (0b10, 1));
    assert_eq!(raw.ask(CANCEL, &[SELECT]).result(), -114);
    assert_eq!(raw.ask(CLAIM, &[SELECT]).bytes(ELEMENT), Some(b"r".as_slice()));
}

#[test]
fn a_cancel_that_crosses_the_outcome_is_too_late() {
    let mut raw = client(&server(), Packing::Stream);
    let (a, b) = (raw.make(0, 1, 0), raw.make(0, 1, 0));
    clauses(&mut raw, a, b);
    assert_eq!(raw.ask(REGISTER, &[SELECT]).result(), 0);
    // One piece of the stream: the send makes the select happen, and the cancel is served before
    // the select was polled.
    let send = payload(&[(CHAN_ID, &four(b)), (ELEMENT, b"r")]);
    let cancel = payload(&[SELECT]);
    let send = [&header(TRY_SEND, send.len() as u32)[..], &send].concat();
    let cancel = [&header(CANCEL, cancel.len() as u32)[..], &cancel].concat();
    raw.put(&[send, cancel].concat());
    assert_eq!(raw.hear().unwrap().result(), 0);
    assert_eq!(notice(&mut raw), (0b10, 1));
    let late = raw.hear().unwrap();
    assert_eq!((late.command, late.result()), (CANCEL, -114));
    assert_eq!(raw.ask(CLAIM, &[SELECT]).bytes(ELEMENT), Some(b"r".as_slice()));
}

#[test]
fn an_unclaimed_value_of_a_select_is_requeued() {
    for is_claimed in [false, true] {
        let server = server();
        let mut raw = client(&server, Packing::One);
        let (a, b) = (raw.make(0, 1, 0), raw.make(1, 1, 2));
        give(&inside(&server, b), b"1");
        give(&inside(&server, b), b"2");
        clauses(&mut raw, a, b);
        assert_eq!(raw.ask(REGISTER, &[SELECT]).result(), 0);
        assert_eq!(notice(&mut raw), (0b10, 1));
        if is_claimed {
            // The answer to the claim is not read.
            raw.say(CLAIM, &[SELECT]);
        }
        drop(raw);
        let channel = inside(&server, b);
        // With a claim in flight the second one may come first, until the server detects the
        // disconnect.
        let mut got = [take(&channel), take(&channel)];
        got.sort();
        assert_eq!(got, [b"1".to_vec(), b"2".to_vec()]);
    }
}

#[test]
fn a_select_is_cancelled_when_its_client_disconnects() {
    let server = server();
    let mut raw = client(&server, Packing::One);
    let (a, b) = (raw.make(0, 1, 0), raw.make(0, 1, 0));
    clauses(&mut raw, a, b);
    assert_eq!(raw.ask(REGISTER, &[SELECT]).result(), 0);
    assert_eq!(inside(&server, a).snapshot().unwrap().senders_waiting, 1);
    raw.part();
    assert_eq!(inside(&server, a).snapshot().unwrap().senders_waiting, 0);
    assert_eq!(inside(&server, b).snapshot().unwrap().receivers_waiting, 0);
}

#[test]
fn selects_and_their_clauses_are_bounded() {
    let limits = Limits { selects_max: 2, waits_max: 1, ..Limits::default() };
    let server = limited(limits);
    let mut raw = client(&server, Packing::One);
    let chan = four(raw.make(0, 1, 0));
    let add = |raw: &mut Raw, select: u32| {
        raw.ask(SELECT_RECV, &[(ID, &four(select)), (CHAN_ID, &chan)]).result()
    };
    for index in 0..32 {
        assert_eq!(add(&mut raw, 1), index);
    }
    assert_eq!(add(&mut raw, 1), -28);
    assert_eq!(add(&mut raw, 2), 0);
    assert_eq!(add(&mut raw, 3), -28);
    assert_eq!(raw.ask(REGISTER, &[(ID, &four(1))]).result(), 0);
    assert_eq!(raw.ask(REGISTER, &[(ID, &four(2))]).result(), -28, "it would wait");
    assert_eq!(raw.ask(CANCEL, &[(ID, &four(1))]).result(), 0);
    assert_eq!(server.counts().refused, 3);
    for (command, attributes) in [
        (SELECT_RECV, [(ID, four(9)), (CHAN_ID, four(7))]),
        (REGISTER, [(ID, four(9)), (CHAN_ID, four(7))]),
    ] {
        let attributes: Vec<(u16, &[u8])> =
            attributes.iter().map(|(kind, value)| (*kind, value.as_slice())).collect();
        assert_eq!(raw.ask(command, &attributes).result(), -2);
    }
}
