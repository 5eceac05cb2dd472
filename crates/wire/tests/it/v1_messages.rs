// SPDX-License-Identifier: BSD-3-Clause
//! Requests and answers of protocol 1.0: what was encoded is decoded, every fault has its errno,
//! and a `REQ_ID` that could be read is never lost.

use becket_wire::v1::{
    Attribute, Body, Command, ELEMENT_BYTES_MAX, Errno, Fault, Frame, HELLO_BYTES_MAX, Header,
    Hello, Info, Listing, Malformed, PAYLOAD_BYTES_MAX, Reply, ReqId, Request, Stats, Timeout,
    Tlvs, Writer, decode, put, req_id,
};
use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::*;

fn req_ids() -> impl Strategy<Value = Option<ReqId>> {
    of(prop_oneof![any::<u32>().prop_map(ReqId::Short), any::<u64>().prop_map(ReqId::Long)])
}

fn timeouts() -> impl Strategy<Value = Timeout> {
    prop_oneof![Just(Timeout::Forever), (0..=i32::MAX as u32).prop_map(Timeout::Ms)]
}

fn elements() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        20 => vec(any::<u8>(), 0..64),
        1 => Just(vec![0xa5; ELEMENT_BYTES_MAX as usize]),
    ]
}

/// The numbers that a request is made of.
#[derive(Debug, Clone)]
struct Numbers {
    chan: u32,
    select: u32,
    maybe: Option<u32>,
    timeout: Option<Timeout>,
    always: Timeout,
    kind: i32,
    elem_size: u32,
}

fn numbers() -> impl Strategy<Value = Numbers> {
    let some = (any::<u32>(), any::<u32>(), of(any::<u32>()), of(timeouts()), timeouts());
    let sizes = (-2..=i32::MAX, 1..=ELEMENT_BYTES_MAX);
    (some, sizes).prop_map(|((chan, select, maybe, timeout, always), (kind, elem_size))| Numbers {
        chan,
        select,
        maybe,
        timeout,
        always,
        kind,
        elem_size,
    })
}

/// One request of every kind.
fn every_request<'a>(numbers: &Numbers, element: &'a [u8]) -> Vec<Request<'a>> {
    let Numbers { chan, select, maybe, timeout, always, kind, elem_size } = *numbers;
    vec![
        Request::Hello(Hello { major: chan, minor: select, caps: elem_size }),
        Request::GetInfo { chan: maybe },
        Request::GetStats { chan },
        Request::SetConfig { timeout: always },
        Request::ResetStats { chan },
        Request::List { after: maybe },
        Request::ChanMake { kind, elem_size, capacity: select },
        Request::ChanSend { chan, timeout, element },
        Request::ChanTrySend { chan, element },
        Request::ChanRecv { chan, timeout },
        Request::ChanTryRecv { chan },
        Request::ChanClose { chan },
        Request::ChanDestroy { chan },
        Request::SelectSend { select, chan, element },
        Request::SelectRecv { select, chan },
        Request::SelectRegister { select, timeout },
        Request::SelectCancel { select },
        Request::SelectClaim { select },
    ]
}

fn infos() -> impl Strategy<Value = Info> {
    any::<(u32, i32, u32, u32)>().prop_map(|(chan, kind, elem_size, capacity)| Info {
        chan,
        kind,
        elem_size,
        capacity,
    })
}

fn encoded(request: &Request<'_>, req_id: Option<ReqId>) -> Vec<u8> {
    let mut out = Vec::new();
    request.encode(req_id, &mut out).unwrap();
    out
}

/// A payload of attributes as they are given.
fn payload(tlvs: &[(u16, &[u8])]) -> Vec<u8> {
    let mut out = vec![0; tlvs.iter().map(|(_, value)| 4 + value.len()).sum()];
    let mut at = 0;
    for (kind, value) in tlvs {
        at += put(&mut out[at..], *kind, value).unwrap();
    }
    out
}

fn errno(command: u16, tlvs: &[(u16, &[u8])]) -> Errno {
    Request::parse(command, &payload(tlvs)).unwrap_err().errno
}

proptest! {
    #[test]
    fn a_request_is_parsed_as_it_was_encoded(
        numbers in numbers(),
        element in elements(),
        req_id in req_ids(),
        strange in vec((27..=u16::MAX, vec(any::<u8>(), 0..9)), 0..3),
    ) {
        for request in every_request(&numbers, &element) {
            let mut frame = encoded(&request, req_id);
            // Unknown attributes are skipped.
            for (kind, value) in &strange {
                frame.extend(payload(&[(*kind, value)]));
            }
            let length = (frame.len() - 8) as u32;
            frame[4..8].copy_from_slice(&length.to_be_bytes());
            let (read, bytes) = decode(&frame, PAYLOAD_BYTES_MAX).unwrap().unwrap();
            prop_assert_eq!(bytes, frame.len());
            prop_assert_eq!(Request::of(&read), Ok((request, req_id)));
            prop_assert_eq!(read.header.command, request.command().number());
        }
    }

    #[test]
    fn a_truncated_request_is_refused_wherever_it_is_cut(
        numbers in numbers(),
        element in vec(any::<u8>(), 0..40),
        id in any::<u64>(),
    ) {
        for request in every_request(&numbers, &element) {
            let frame = encoded(&request, Some(ReqId::Long(id)));
            let (command, payload) = (request.command().number(), &frame[8..]);
            let mut ends = vec![0];
            for tlv in Tlvs::new(payload) {
                ends.push(ends[ends.len() - 1] + 4 + tlv.unwrap().value.len());
            }
            for cut in 0..payload.len() {
                let parsed = Request::parse(command, &payload[..cut]);
                // The number stands first: it is whole from its twelfth byte on.
                let echoed = (cut >= 12).then_some(ReqId::Long(id));
                let fault = Fault { errno: Errno::PROTO, req_id: echoed };
                if !ends.contains(&cut) {
                    prop_assert_eq!(parsed, Err(fault));
                } else if let Err(other) = parsed {
                    prop_assert_eq!(other.req_id, echoed);
                }
                // A header that promises more is malformed too, even at the end of an attribute.
                let header = Header::new(command, payload.len() as u32);
                let short = Frame { header, payload: &payload[..cut] };
                prop_assert_eq!(Request::of(&short), Err(fault));
            }
        }
    }

    #[test]
    fn an_answer_is_parsed_as_it_was_encoded(
        req_id in req_ids(),
        element in elements(),
        result in any::<i32>(),
        (a, b, c) in any::<(u32, u32, u64)>(),
        info in infos(),
    ) {
        let element = element.as_slice();
        let stats = Stats {
            chan: a,
            send_ops: c,
            recv_ops: !c,
            waiters_send: b,
            waiters_recv: !b,
            drops: c ^ 5,
            lat_min_ns: c >> 3,
            lat_max_ns: c >> 1,
            lat_avg_ns: c >> 2,
            fifo_max: c >> 40,
        };
        let answers = [
            (Command::Hello, Body::Hello(Hello { major: a, minor: b, caps: a ^ b })),
            (Command::ChanClose, Body::Result(result)),
            (Command::ChanMake, Body::Made(a)),
            (Command::ChanMake, Body::Result(result)),
            (Command::ChanRecv, Body::Element(element)),
            (Command::ChanRecv, Body::Result(result)),
            (Command::GetInfo, Body::Info(info)),
            (Command::GetStats, Body::Stats(stats)),
            (Command::SelectNotify, Body::Decided { select: a, mask: b, result }),
            (Command::GetInfo, Body::Hello(Hello { major: a, minor: b, caps: 0 })),
            (Command::SelectClaim, Body::Claimed { result, chan: a, element: Some(element) }),
            (Command::SelectClaim, Body::Claimed { result, chan: a, element: None }),
        ];
        for (command, body) in answers {
            let reply = Reply { command, req_id, body };
            let mut out = Vec::new();
            reply.encode(&mut out).unwrap();
            let (frame, _) = decode(&out, PAYLOAD_BYTES_MAX).unwrap().unwrap();
            prop_assert_eq!(Reply::parse(frame.header.command, frame.payload), Ok(reply));
            let cut = &frame.payload[..frame.payload.len() - 1];
            prop_assert_eq!(Reply::parse(frame.header.command, cut), Err(Malformed));
        }
    }

    #[test]
    fn a_listing_is_read_as_it_was_written(channels in vec(infos(), 0..40), req_id in req_ids()) {
        let mut scratch = vec![1, 2, 3];
        let listing = Listing::new(channels.iter().copied(), &mut scratch).unwrap();
        let mut out = Vec::new();
        let body = Body::Listing(listing);
        Reply { command: Command::List, req_id, body }.encode(&mut out).unwrap();
        prop_assert!(out.len() <= 8 + 12 + 8 + channels.len() * Listing::CHANNEL_BYTES);
        let (frame, _) = decode(&out, PAYLOAD_BYTES_MAX).unwrap().unwrap();
        let reply = Reply::parse(frame.header.command, frame.payload).unwrap();
        prop_assert_eq!(reply.req_id, req_id);
        let Body::Listing(listing) = reply.body else { panic!("{reply:?}") };
        prop_assert_eq!(listing.count() as usize, channels.len());
        let read: Result<Vec<_>, _> = listing.channels().collect();
        prop_assert_eq!(read, Ok(channels));
    }

    #[test]
    fn no_bytes_make_the_parsers_panic(command in 0..40_u16, bytes in vec(any::<u8>(), 0..200)) {
        let _ = Request::parse(command, &bytes);
        let _ = Hello::decode(&bytes);
        if let Ok(Reply { body: Body::Listing(listing), .. }) = Reply::parse(command, &bytes) {
            // Each channel costs some bytes: there are no more than the bytes allow.
            prop_assert!(listing.channels().count() <= bytes.len() / 8 + 1);
        }
    }

    #[test]
    fn attributes_in_any_order_and_shape_are_met_with_sense(
        command in 0..40_u16,
        tlvs in vec((0..30_u16, prop_oneof![vec(any::<u8>(), 4), vec(any::<u8>(), 0..9)]), 0..8),
    ) {
        let tlvs: Vec<(u16, &[u8])> = tlvs.iter().map(|(k, v)| (*k, v.as_slice())).collect();
        let payload = payload(&tlvs);
        let last = tlvs.iter().rev().find(|(kind, _)| *kind == 26).map(|(_, value)| *value);
        let expected = last.and_then(|value| match value.len() {
            4 => Some(ReqId::Short(u32::from_be_bytes(value.try_into().unwrap()))),
            8 => Some(ReqId::Long(u64::from_be_bytes(value.try_into().unwrap()))),
            _ => None,
        });
        prop_assert_eq!(req_id(&payload), expected);
        match Request::parse(command, &payload) {
            Ok((request, id)) => {
                prop_assert_eq!(id, expected);
                // What was understood says the same when it is said again.
                let again = encoded(&request, id);
                prop_assert_eq!(Request::parse(command, &again[8..]), Ok((request, id)));
            }
            Err(fault) => prop_assert_eq!(fault.req_id, expected),
        }
    }

    #[test]
    fn a_result_is_encoded_for_every_number(
        command in prop_oneof![0..40_u16, any::<u16>()],
        id in req_ids(),
        result: i32,
    ) {
        let mut out = Vec::new();
        Reply::encode_result(command, id, result, &mut out).unwrap();
        if command == Command::ChanDestroy.number() {
            prop_assert!(out.is_empty());
        } else {
            let answered = match command { 12 => 11, 14 => 13, other => other };
            let (frame, _) = decode(&out, 64).unwrap().unwrap();
            prop_assert_eq!(frame.header.command, answered);
            prop_assert_eq!(req_id(frame.payload), id);
        }
    }

    #[test]
    fn a_time_out_below_zero_is_for_ever(ms in any::<i32>()) {
        let timeout = Timeout::from_attribute(ms);
        prop_assert_eq!(timeout == Timeout::Forever, ms < 0);
        prop_assert_eq!(timeout.attribute(), ms.max(-1));
        prop_assert_eq!(timeout.duration().map(|d| d.as_millis() as i32), (ms >= 0).then_some(ms));
    }
}

#[test]
fn a_greeting_lies_as_the_protocol_says() {
    let mut out = Vec::new();
    Hello::V1.encode(&mut out).unwrap();
    #[rustfmt::skip]
    assert_eq!(out, [
        0, 1, 0, 0, 0, 0, 0, 16,
        0, 1, 0, 4, 0, 0, 0, 1,
        0, 2, 0, 4, 0, 0, 0, 0,
    ]);
    let (frame, _) = decode(&out, HELLO_BYTES_MAX).unwrap().unwrap();
    assert_eq!(Hello::decode(frame.payload), Ok(Hello::V1));
}

#[test]
fn a_send_lies_as_the_protocol_says() {
    let send = Request::ChanSend { chan: 1001, timeout: Some(Timeout::Forever), element: b"hey" };
    #[rustfmt::skip]
    assert_eq!(encoded(&send, Some(ReqId::Short(9))), [
        0, 11, 0, 0, 0, 0, 0, 31,
        0, 26, 0, 4, 0, 0, 0, 9,
        0, 20, 0, 4, 0, 0, 3, 0xe9,
        0, 8, 0, 4, 0xff, 0xff, 0xff, 0xff,
        0, 21, 0, 3, b'h', b'e', b'y',
    ]);
}

#[test]
fn each_fault_has_its_errno() {
    let four = |n: u32| n.to_be_bytes();
    let (kind, size, chan, element) = (5, 6, 20, 21);
    // Commands that there are not, and those that do nothing.
    for command in [0, 7, 9, 17, 20, 21, 34, 36, u16::MAX] {
        assert_eq!(errno(command, &[]), Errno::NOSYS, "{command}");
    }
    // What must be there and is not.
    for command in [1, 3, 5, 10, 11, 12, 13, 14, 15, 16, 30, 31, 32, 33, 35] {
        assert_eq!(errno(command, &[]), Errno::PROTO, "{command}");
    }
    assert_eq!(errno(4, &[]), Errno::INVAL, "nothing to set");
    // Numbers of another width.
    assert_eq!(errno(15, &[(chan, &[0; 8])]), Errno::PROTO);
    assert_eq!(errno(15, &[(chan, &[0; 3])]), Errno::PROTO);
    assert_eq!(errno(15, &[(chan, &four(1001)), (26, &[0; 5])]), Errno::PROTO);
    // Sizes and kinds.
    let make =
        |k: i32, s: u32| errno(10, &[(kind, &k.to_be_bytes()), (size, &four(s)), (7, &four(4))]);
    assert_eq!(make(0, 0), Errno::INVAL);
    assert_eq!(make(0, ELEMENT_BYTES_MAX + 1), Errno::MSGSIZE);
    assert_eq!(make(-3, 8), Errno::INVAL);
    assert_eq!(make(i32::MIN, u32::MAX), Errno::MSGSIZE);
    // A field that is reserved, and a length that is not that of the payload.
    let payload = payload(&[(chan, &four(1001)), (element, b"x")]);
    let length = payload.len() as u32;
    for header in [Header { command: 12, reserved: 1, length }, Header::new(12, length + 1)] {
        let fault = Request::of(&Frame { header, payload: &payload }).unwrap_err();
        assert_eq!(fault.errno, Errno::PROTO);
    }
}

#[test]
fn the_last_of_two_counts_and_a_channel_may_be_named_by_either_number() {
    let two = payload(&[(20, &[0, 0, 0, 1]), (20, &[0, 0, 0, 2]), (4, &[0, 0, 0, 3])]);
    assert_eq!(Request::parse(3, &two), Ok((Request::GetStats { chan: 2 }, None)));
    let other = payload(&[(4, &[0, 0, 0, 3])]);
    assert_eq!(Request::parse(3, &other), Ok((Request::GetStats { chan: 3 }, None)));
    assert_eq!(Request::parse(2, &[]), Ok((Request::GetInfo { chan: None }, None)));
}

#[test]
fn every_number_has_one_name() {
    for number in 0..100 {
        if let Some(command) = Command::from_number(number) {
            assert_eq!(command.number(), number);
        }
        if let Some(attribute) = Attribute::from_number(number) {
            assert_eq!(attribute.number(), number);
        }
    }
    let commands: Vec<_> = (0..100).filter_map(Command::from_number).collect();
    let attributes: Vec<_> = (0..100).filter_map(Attribute::from_number).collect();
    assert_eq!(commands, Command::ALL);
    assert_eq!(attributes, Attribute::ALL);
}

#[test]
fn an_errno_is_negative_on_the_wire_and_survives_it() {
    assert_eq!(Errno::PROTO.result(), -71);
    assert_eq!(Errno::TIME.result(), -62);
    assert_eq!(Errno::from_result(-90), Some(Errno::MSGSIZE));
    assert_eq!((Errno::from_result(0), Errno::from_result(5)), (None, None));
    assert_eq!(Errno::from_result(i32::MIN), None);
    assert_eq!(format!("{} {}", Errno::NOSYS, Errno::from_result(-5).unwrap()), "ENOSYS errno 5");
}

#[test]
fn a_listing_ends_with_the_first_channel_that_is_malformed() {
    let four = |n: u32| n.to_be_bytes();
    let whole = |chan: u32| [(20, four(chan)), (5, four(0)), (6, four(8)), (7, four(1))].to_vec();
    let mut tlvs = vec![(22, four(3))];
    tlvs.extend(whole(1001));
    tlvs.push((20, four(1002)));
    tlvs.extend(whole(1003));
    let tlvs: Vec<(u16, &[u8])> = tlvs.iter().map(|(k, v)| (*k, v.as_slice())).collect();
    let payload = payload(&tlvs);
    let Ok(Reply { body: Body::Listing(listing), .. }) = Reply::parse(6, &payload) else {
        panic!("no listing")
    };
    let read: Vec<_> = listing.channels().map(|info| info.map(|info| info.chan)).collect();
    assert_eq!(read, [Ok(1001), Err(Malformed)]);
}

#[test]
fn an_answer_that_lacks_its_point_is_malformed() {
    for command in [1, 2, 3, 6, 10, 11, 13, 15, 34, 35] {
        assert_eq!(Reply::parse(command, &[]), Err(Malformed), "{command}");
    }
    let mut out = Vec::new();
    let mut writer = Writer::new(&mut out, 13);
    writer.i32(Attribute::Result, -62);
    writer.finish().unwrap();
    let reply = Reply::parse(13, &out[8..]).unwrap();
    assert_eq!(reply.body, Body::Result(Errno::TIME.result()));
}
