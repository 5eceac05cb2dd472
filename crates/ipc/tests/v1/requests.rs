// SPDX-License-Identifier: BSD-3-Clause
//! Each request has its answer, and each error its errno.

use std::sync::Arc;

use becket_chan::Kind;
use becket_ipc::channels::{Channels, Wanted};
use becket_ipc::v1::{Limits, Server};
use proptest::prelude::*;

use crate::raw::*;

#[test]
fn a_hello_is_answered_and_its_version_checked() {
    for packing in EVERY_PACKING {
        for major in [0, 2, 7, u32::MAX] {
            let (mut raw, _) = stranger(&server(), packing);
            raw.say(HELLO, &[(ABI_MAJOR, &four(major)), (ABI_MINOR, &four(0))]);
            let answer = raw.hear().unwrap();
            assert_eq!((answer.command, answer.number(ABI_MAJOR)), (HELLO, 1));
            assert_eq!(raw.hear(), None, "{major} is not spoken");
        }
        let mut raw = client(&server(), packing);
        let again = raw.ask(HELLO, &[(ABI_MAJOR, &four(1)), (ABI_MINOR, &four(9))]);
        assert_eq!(again.number(ABI_MINOR), 0);
    }
}

#[test]
fn nothing_is_served_before_hello() {
    for packing in EVERY_PACKING {
        let server = server();
        let (mut raw, _) = stranger(&server, packing);
        raw.say(MAKE, &[(REQ_ID, &four(5)), (KIND, &four(0)), (ELEM_SIZE, &four(8))]);
        let answer = raw.hear().unwrap();
        assert_eq!((answer.result(), answer.number(REQ_ID)), (-71, 5));
        assert_eq!(raw.hear(), None);
        assert!(server.channels().is_empty());
    }
}

#[test]
fn a_malformed_hello_ends_the_connection() {
    let (mut raw, _) = stranger(&server(), Packing::One);
    raw.say(HELLO, &[(ABI_MAJOR, &[1])]);
    assert_eq!(raw.hear().unwrap().result(), -71);
    assert_eq!(raw.hear(), None);
}

#[test]
fn elements_are_received_in_order() {
    for packing in EVERY_PACKING {
        let server = server();
        let mut raw = client(&server, packing);
        let chan = four(raw.make(1, 3, 2));
        assert_eq!(chan, four(1001));
        for element in [b"one", b"two"] {
            let sent = raw
                .ask(SEND, &[(CHAN_ID, &chan), (TIMEOUT_MS, &four(FOR_EVER)), (ELEMENT, element)]);
            assert_eq!((sent.command, sent.result()), (SEND, 0));
        }
        let full = raw.ask(TRY_SEND, &[(CHAN_ID, &chan), (ELEMENT, b"thr")]);
        assert_eq!((full.command, full.result()), (SEND, -11), "the plain command's number");
        let first = raw.ask(RECV, &[(CHAN_ID, &chan), (TIMEOUT_MS, &four(FOR_EVER))]);
        assert_eq!((first.command, first.result()), (RECV, 0));
        assert_eq!(first.bytes(ELEMENT), Some(b"one".as_slice()));
        let second = raw.ask(TRY_RECV, &[(CHAN_ID, &chan)]);
        assert_eq!((second.command, second.bytes(ELEMENT)), (RECV, Some(b"two".as_slice())));
        let none = raw.ask(TRY_RECV, &[(CHAN_ID, &chan)]);
        assert_eq!((none.result(), none.bytes(ELEMENT)), (-11, None));
        raw.part();
    }
}

#[test]
fn a_channel_is_drained_after_its_close_and_unknown_after_its_destruction() {
    let mut raw = client(&server(), Packing::One);
    let chan = four(raw.make(1, 1, 1));
    assert_eq!(raw.ask(TRY_SEND, &[(CHAN_ID, &chan), (ELEMENT, b"x")]).result(), 0);
    assert_eq!(
        raw.ask(CLOSE, &[(REQ_ID, &[9; 8]), (CHAN_ID, &chan)]).attributes,
        [(REQ_ID, vec![9; 8]), (RESULT, vec![0; 4]),]
    );
    assert_eq!(raw.ask(CLOSE, &[(CHAN_ID, &chan)]).result(), 0);
    assert_eq!(raw.ask(TRY_SEND, &[(CHAN_ID, &chan), (ELEMENT, b"y")]).result(), -32);
    assert_eq!(raw.ask(TRY_RECV, &[(CHAN_ID, &chan)]).bytes(ELEMENT), Some(b"x".as_slice()));
    let end = raw.ask(RECV, &[(CHAN_ID, &chan), (TIMEOUT_MS, &four(FOR_EVER))]);
    assert_eq!(end.result(), -32);
    // It has no answer, well-formed or not: the next answer is to the next request.
    raw.say(DESTROY, &[(CHAN_ID, &chan), (REQ_ID, &four(1))]);
    raw.say(DESTROY, &[(CHAN_ID, &chan)]);
    raw.say(DESTROY, &[]);
    assert_eq!(raw.ask(GET_INFO, &[(CHAN_ID, &chan)]).result(), -2);
    assert_eq!(raw.make(0, 1, 0), 1002, "a number is not used again");
}

#[test]
fn a_channel_has_the_requested_kind_and_capacity() {
    let server = server();
    let mut raw = client(&server, Packing::Two);
    // kind, capacity: the channel's kind and capacity.
    let wanted = [
        (0, 7, 0, 0),
        (1, 0, 1, 1),
        (1, 5, 1, 5),
        (9, 0, 1, 9),
        (9, 2, 1, 2),
        (-1, 4, -1, 1),
        (-2, 4, -2, 0),
    ];
    for (kind, capacity, is_kind, is_capacity) in wanted {
        let chan = raw.make(kind, 16, capacity);
        let info = raw.ask(GET_INFO, &[(CHAN_ID, &four(chan))]);
        assert_eq!(info.number(KIND) as i32, is_kind, "{kind}");
        assert_eq!((info.result(), info.number(ELEM_SIZE)), (0, 16));
        let inside = inside(&server, chan);
        assert_eq!(info.number(CAPACITY), is_capacity, "{:?}", inside.kind());
    }
    let about = raw.ask(GET_INFO, &[]);
    assert_eq!((about.command, about.number(ABI_MAJOR)), (GET_INFO, 1));
}

/// A request, and the errno of its refusal.
type Fault<'a> = (u16, Vec<(u16, &'a [u8])>, i32);

#[test]
fn each_error_has_its_errno_and_request_id_and_the_next_request_is_served() {
    for packing in EVERY_PACKING {
        let mut raw = client(&server(), packing);
        let chan = four(raw.make(1, 4, 4));
        let id: (u16, &[u8]) = (REQ_ID, &[0, 0, 0, 0, 0, 0, 0, 77]);
        let size = |size: u32| size.to_be_bytes();
        let long = vec![7; 65_535];
        let faults: [Fault<'_>; 14] = [
            (TRY_SEND, vec![id, (CHAN_ID, &[0, 0, 0, 9]), (ELEMENT, b"four")], -2),
            (RECV, vec![id, (CHAN_ID, &[0, 0, 0, 9]), (TIMEOUT_MS, &[0xff; 4])], -2),
            (CLOSE, vec![id, (CHAN_ID, &[0, 0, 0, 9])], -2),
            (GET_STATS, vec![id, (ID, &[0, 0, 0, 9])], -2),
            (TRY_SEND, vec![id, (CHAN_ID, &chan), (ELEMENT, b"five!")], -22),
            (SEND, vec![id, (CHAN_ID, &chan), (ELEMENT, b"")], -22),
            (SEND, vec![id, (CHAN_ID, &chan), (ELEMENT, &long)], -22),
            (SEND, vec![id, (CHAN_ID, &chan)], -71),
            (SEND, vec![id, (ELEMENT, b"four")], -71),
            (MAKE, vec![id, (KIND, &[0; 4]), (ELEM_SIZE, &[0, 1, 0, 0])], -90),
            (MAKE, vec![id, (KIND, &[0; 4]), (ELEM_SIZE, &[0; 4])], -22),
            (MAKE, vec![id, (KIND, &[0xff, 0xff, 0xff, 0xf0]), (ELEM_SIZE, &[0, 0, 0, 1])], -22),
            (99, vec![id], -38),
            (20, vec![id, (23, &[0; 4])], -38),
        ];
        for (command, attributes, errno) in &faults {
            let answer = raw.ask(*command, attributes);
            let answered = match *command {
                TRY_SEND => SEND,
                other => other,
            };
            assert_eq!(answer.command, answered);
            let expected = [(REQ_ID, id.1.to_vec()), (RESULT, errno.to_be_bytes().to_vec())];
            assert_eq!(answer.attributes, expected, "{command} {attributes:?}");
        }
        assert_eq!(raw.make(0, size(1)[3].into(), 0), 1002);
        // A truncated TLV, after the request id and before it.
        let mut cut = payload(&[id, (CHAN_ID, &chan), (ELEMENT, b"four")]);
        cut.pop();
        raw.say_bytes(TRY_SEND, &cut);
        let answer = raw.hear().unwrap();
        assert_eq!((answer.result(), answer.long(REQ_ID)), (-71, 77));
        raw.say_bytes(TRY_RECV, &[0, 20, 0, 4, 0]);
        let answer = raw.hear().unwrap();
        assert_eq!(answer.attributes, [(RESULT, (-71_i32).to_be_bytes().to_vec())]);
        raw.part();
    }
}

#[test]
fn channels_are_listed_page_by_page() {
    let limits = Limits { payload_bytes_max: 20 + 3 * 32, ..Limits::default() };
    let server = limited(limits);
    let mut raw = client(&server, Packing::One);
    let wanted = Wanted { kind: Kind::Unlimited, capacity: 0, element_bytes: None };
    for number in 0..7 {
        let name = format!("channel {number}");
        server.channels().make((number % 2 == 0).then_some(&name), wanted).unwrap();
    }
    let (mut seen, mut after) = (Vec::new(), None::<u32>);
    loop {
        let page = match after {
            Some(after) => raw.ask(LIST, &[(REQ_ID, &[3; 8]), (ID, &four(after))]),
            None => raw.ask(LIST, &[(REQ_ID, &[3; 8])]),
        };
        let chans = page.attributes.iter().filter(|(kind, _)| *kind == CHAN_ID);
        let chans: Vec<_> =
            chans.map(|(_, id)| u32::from_be_bytes(id.as_slice().try_into().unwrap())).collect();
        assert_eq!(page.result() as usize, chans.len());
        assert!(chans.len() <= 3);
        let Some(last) = chans.last() else { break };
        after = Some(*last);
        seen.extend(chans);
    }
    assert_eq!(seen, (1001..1008).collect::<Vec<_>>());
}

#[test]
fn statistics_restart_only_for_the_client_that_resets_them() {
    let server = server();
    let (mut one, mut other) = (client(&server, Packing::One), client(&server, Packing::Two));
    let chan = four(one.make(1, 1, 8));
    let of: [(u16, &[u8]); 1] = [(CHAN_ID, &chan)];
    for _ in 0..5 {
        one.ask(TRY_SEND, &[(CHAN_ID, &chan), (ELEMENT, b"x")]);
    }
    let counted = |raw: &mut Raw| {
        let stats = raw.ask(GET_STATS, &of);
        assert_eq!((stats.result(), stats.number(CHAN_ID)), (0, 1001));
        // SEND_OPS, RECV_OPS, FIFO_MAX
        (stats.long(9), stats.long(10), stats.long(17))
    };
    assert_eq!(counted(&mut one), (5, 0, 5));
    other.ask(TRY_RECV, &of);
    assert_eq!((counted(&mut one), counted(&mut other)), ((5, 1, 5), (5, 1, 5)));
    let stats = one.ask(GET_STATS, &of);
    let (min, max, avg) = (stats.long(14), stats.long(15), stats.long(16));
    assert!(0 < min && min <= avg && avg <= max, "{min} {avg} {max}");
    assert_eq!(one.ask(RESET_STATS, &of).result(), 0);
    one.ask(TRY_RECV, &of);
    assert_eq!((counted(&mut one), counted(&mut other)), ((0, 1, 5), (5, 2, 5)));
}

#[test]
fn a_client_creates_at_most_its_limit_of_channels() {
    let server = limited(Limits { channels_made_max: 2, ..Limits::default() });
    let mut raw = client(&server, Packing::One);
    let chan = raw.make(0, 1, 0);
    raw.make(0, 1, 0);
    let make: [(u16, &[u8]); 2] = [(KIND, &[0; 4]), (ELEM_SIZE, &[0, 0, 0, 1])];
    assert_eq!(raw.ask(MAKE, &make).result(), -28);
    assert_eq!(server.counts().refused, 1);
    raw.say(DESTROY, &[(CHAN_ID, &four(chan))]);
    assert_eq!(raw.make(0, 1, 0), 1003);
    assert_eq!(client(&server, Packing::One).make(0, 1, 0), 1004, "the limit is each client's");
}

#[test]
fn an_unlimited_channel_accepts_at_most_its_limit_of_bytes() {
    let server = limited(Limits { channel_bytes_max: 30, ..Limits::default() });
    let mut raw = client(&server, Packing::One);
    let chan = four(raw.make(-2, 10, 0));
    let send: [(u16, &[u8]); 2] = [(CHAN_ID, &chan), (ELEMENT, &[1; 10])];
    for _ in 0..3 {
        assert_eq!(raw.ask(TRY_SEND, &send).result(), 0);
    }
    assert_eq!(raw.ask(TRY_SEND, &send).result(), -28);
    assert_eq!(raw.ask(SEND, &send).result(), -28);
    raw.ask(TRY_RECV, &[(CHAN_ID, &chan)]);
    assert_eq!(raw.ask(TRY_SEND, &send).result(), 0);
}

/// Makes channels of a capacity until one is refused; how many were made.
fn made_until_refused(raw: &mut Raw, capacity: u32, most: usize) -> usize {
    let capacity = four(capacity);
    let make: [(u16, &[u8]); 3] =
        [(KIND, &[0, 0, 0, 1]), (ELEM_SIZE, &[0, 0, 0, 1]), (CAPACITY, &capacity)];
    for made in 0..=most {
        let answer = raw.ask(MAKE, &make);
        if answer.bytes(CHAN_ID).is_none() {
            assert_eq!(answer.result(), -28);
            return made;
        }
    }
    panic!("more than {most} channels");
}

/// Of the largest capacity, whatever the size of the elements.
#[test]
fn the_slots_of_a_clients_channels_are_bounded() {
    let server = server();
    let mut raw = client(&server, Packing::One);
    assert!(made_until_refused(&mut raw, 1 << 20, 5) > 2);
    assert_eq!(server.counts().refused, 1);
    assert!(raw.make(1, 1, 4) > 1001, "there is room for a small one");
}

#[test]
fn the_slots_of_all_clients_channels_are_bounded() {
    let channels = Arc::new(Channels::with_bytes_max(1000, 1 << 20));
    let server = Server::new(channels, Limits { bytes_max: 400 << 10, ..Limits::default() });
    // Each stops at its own limit, and the third one at the limit of all. What is gone has left its
    // channels.
    let made: Vec<usize> =
        (0..4).map(|_| made_until_refused(&mut client(&server, Packing::One), 800, 8)).collect();
    assert!(made[0] > 4 && made[1] == made[0], "{made:?}");
    assert!((1..made[0]).contains(&made[2]) && made[3] == 0, "{made:?}");
    assert_eq!(server.channels().len(), made.iter().sum::<usize>());
    assert_eq!(server.counts().refused, 4);
    // A destroyed one makes room.
    let mut raw = client(&server, Packing::One);
    raw.say(DESTROY, &[(CHAN_ID, &four(1001))]);
    assert_eq!(made_until_refused(&mut raw, 800, 8), 1);
}

#[test]
fn the_elements_of_a_client_are_bounded_also_where_the_channel_is_not() {
    let server = limited(Limits { bytes_max: 20_000, ..Limits::default() });
    let mut raw = client(&server, Packing::One);
    let first = raw.make(-2, 1, 0);
    let send = |raw: &mut Raw, chan: u32| {
        raw.ask(TRY_SEND, &[(CHAN_ID, &four(chan)), (ELEMENT, &[1])]).result()
    };
    let mut sent = 0;
    while send(&mut raw, first) == 0 {
        sent += 1;
        assert!(sent < 1000);
    }
    assert!(sent > 10, "{sent}");
    assert_eq!(send(&mut raw, first), -28);
    assert_eq!(server.counts().refused, 2);
    // Another client has its own limit; what is received makes room again.
    let mut other = client(&server, Packing::One);
    assert_eq!(send(&mut other, first), 0);
    for _ in 0..2 {
        assert_eq!(other.ask(TRY_RECV, &[(CHAN_ID, &four(first))]).bytes(ELEMENT), Some(&[1][..]));
    }
    // The server keeps the last one until the client has read it and asked for more.
    assert_eq!(send(&mut raw, first), 0);
}

#[test]
fn a_channel_that_is_destroyed_can_still_be_drained() {
    let server = server();
    let (mut sender, mut receiver) = (client(&server, Packing::One), client(&server, Packing::Two));
    let chan = four(sender.make(1, 1, 4));
    for element in 0..3 {
        let sent = sender.ask(SEND, &[(CHAN_ID, &chan), (ELEMENT, &[element])]);
        assert_eq!(sent.result(), 0);
    }
    sender.say(DESTROY, &[(CHAN_ID, &chan)]);
    assert_eq!(sender.ask(SEND, &[(CHAN_ID, &chan), (ELEMENT, &[9])]).result(), -32);
    for element in 0..3 {
        let received = receiver.ask(RECV, &[(CHAN_ID, &chan)]);
        assert_eq!(received.bytes(ELEMENT), Some(&[element][..]));
    }
    assert_eq!(receiver.ask(RECV, &[(CHAN_ID, &chan)]).result(), -32);
    // Until here the last element might have had to go back.
    assert_eq!(receiver.ask(TRY_RECV, &[(CHAN_ID, &chan)]).result(), -32);
    assert!(server.channels().is_empty());
    assert_eq!(receiver.ask(RECV, &[(CHAN_ID, &chan)]).result(), -2);
}

#[test]
fn a_named_channel_outlives_the_clients_that_destroy_it() {
    let server = server();
    let wanted = Wanted { kind: Kind::Bounded, capacity: 1, element_bytes: None };
    let chan = server.channels().make(Some("jobs"), wanted).unwrap().id();
    let mut raw = client(&server, Packing::One);
    raw.say(DESTROY, &[(CHAN_ID, &four(chan))]);
    let info = raw.ask(GET_INFO, &[(CHAN_ID, &four(chan))]);
    assert_eq!((info.result(), info.number(ELEM_SIZE)), (0, 0), "elements of any size");
    assert!(inside(&server, chan).sender().unwrap().is_closed());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Every request except one to destroy has exactly one answer, with its request id.
    #[test]
    fn every_request_has_exactly_one_answer(
        asked in proptest::collection::vec((0..40_u16, 0..6_usize), 1..60),
        packing in prop_oneof![Just(Packing::One), Just(Packing::Two), Just(Packing::Stream)],
    ) {
        let server = server();
        let mut raw = client(&server, packing);
        let chan = four(raw.make(1, 2, 3));
        let mut expected = Vec::new();
        for (number, (command, shape)) in asked.iter().enumerate() {
            // A handshake with an unsupported version ends a connection.
            let id = four(number as u32);
            let mut attributes: Vec<(u16, &[u8])> = vec![(REQ_ID, &id)];
            // None waits: each has a timeout of 0.
            let all: [(u16, &[u8]); 6] = [
                (TIMEOUT_MS, &[0; 4]),
                (CHAN_ID, &chan),
                (ELEMENT, b"ab"),
                (KIND, &[0, 0, 0, 1]),
                (ELEM_SIZE, &[0, 0, 0, 2]),
                (ABI_MAJOR, &[0, 0, 0, 1]),
            ];
            attributes.extend(&all[..=*shape]);
            if *command != 34 {
                raw.say(*command, &attributes);
                if *command != DESTROY {
                    expected.push(number as u32);
                }
            }
        }
        // Waiting requests may be answered later, but here none waits.
        let mut heard: Vec<u32> = Vec::new();
        while heard.len() < expected.len() {
            let answer = raw.hear().unwrap();
            heard.push(answer.number(REQ_ID));
        }
        prop_assert_eq!(heard, expected);
        raw.say(99, &[(REQ_ID, &[9; 8])]);
        prop_assert_eq!(raw.hear().unwrap().long(REQ_ID), u64::from_be_bytes([9; 8]));
    }
}

#[test]
fn a_timeout_can_be_set_for_requests_without_one() {
    let mut raw = client(&server(), Packing::One);
    let chan = four(raw.make(1, 1, 1));
    assert_eq!(raw.ask(SET_CONFIG, &[(TIMEOUT_MS, &four(0))]).result(), 0);
    assert_eq!(raw.ask(RECV, &[(CHAN_ID, &chan)]).result(), -11);
    assert_eq!(raw.ask(SET_CONFIG, &[(TIMEOUT_MS, &four(1))]).result(), 0);
    assert_eq!(raw.ask(RECV, &[(CHAN_ID, &chan)]).result(), -62);
    assert_eq!(raw.ask(SET_CONFIG, &[(CAPACITY, &four(1))]).result(), -22);
}
