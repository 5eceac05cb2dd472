// SPDX-License-Identifier: BSD-3-Clause
//! Whatever the other side sends: no panic, nothing kept beyond the limits, and a typed end where a
//! rule is broken.

use crate::support::{Pair, Wire, frame, or_long};
use becket_wire::{
    Credit, Event, Head, Kind, Limits, Priority, Refused, Role, Session, SessionError, StreamId,
    codes, flags,
};
use bytes::Bytes;
use proptest::{collection::vec, prelude::*, sample::Index};

use crate::support;

fn limits() -> Limits {
    Limits {
        frame_body_bytes_max: 256,
        element_bytes_max: 600,
        session_credit_bytes: 1000,
        streams_max: 4,
        requests_max: 3,
        regions_max: 2,
        stream_queue_messages_max: 4,
        session_queue_bytes_max: 3000,
        control_frames_max: 10,
        pongs_max: 4,
        ..Limits::default()
    }
}

/// Nothing is kept beyond the limits, whatever has come.
fn within_limits(session: &Session) {
    assert!(session.streams() <= 8);
    assert!(session.requests().1 <= 3);
    assert!(session.charged_bytes() <= 1000);
    assert!(session.queued_bytes() <= 3000);
    assert!(session.listed() <= 2 * 8 + 128);
    // Loose frames, replies, requests, opens and accepts, pongs, streams with something due.
    assert!(session.queued_control() <= 10 + 3 + 3 + 8 + 4 + 3 * 8, "{}", session.queued_control());
}

/// An application that does what events ask for, and more.
fn apply(session: &mut Session, event: &Event<'_>) {
    let credit = Credit::new(3, 500);
    let all = Bytes::new();
    match event {
        Event::Request { request, .. } => session.reply(*request, 0, all).unwrap(),
        Event::Opened { stream, .. } => session.accept(*stream, credit, all).unwrap(),
        Event::Element { stream, sequence, body, .. } => {
            let body = Bytes::copy_from_slice(body);
            let _ = session.send(*stream, 0, body.clone());
            let _ = match sequence % 3 {
                0 => session.ack(*stream, *sequence),
                1 => session.nack(*stream, *sequence, 300),
                _ => session.give_back(*stream, *sequence, 0, body),
            };
            let _ = session.grant(*stream, 1, 300);
        }
        Event::Withdraw { stream, sequence } => {
            let _ = session.nack(*stream, *sequence, 300);
        }
        Event::Ended { stream, .. } => drop(session.end(*stream, 0, "")),
        Event::Region { region, generation, .. } => {
            let _ = session.release(*region, *generation, 0);
        }
        _ => {}
    }
}

/// Frames that are likely to mean something: small numbers, real stream ids.
fn heads() -> impl Strategy<Value = Head> {
    let kind = (0..51_u8).prop_filter_map("a kind", Kind::from_number);
    let stream = prop_oneof![
        3 => (0..2_u32, 0..5_u32, 1..3_u32).prop_map(|(by, index, turn)| {
            turn << 17 | index << 1 | by
        }),
        1 => 0..4_u32,
        1 => any::<u32>(),
    ];
    let number =
        || prop_oneof![4 => 0..5_u64, 1 => (0..4_u64).prop_map(|n| n | 1 << 32), 1 => any::<u64>()];
    let aux = prop_oneof![3 => Just(0_u32), 3 => 0..5_u32, 1 => 0..700_u32, 1 => any::<u32>()];
    let flags = prop_oneof![3 => Just(0_u8), 1 => 0..8_u8, 1 => any::<u8>()];
    (kind, stream, number(), aux, flags, 0..400_u16).prop_map(
        |(kind, stream, sequence, aux, flags, code)| Head {
            length: 0,
            kind,
            flags,
            code,
            stream,
            aux,
            sequence,
        },
    )
}

/// Sessions that are ready, with a stream of each side.
fn pair() -> Pair {
    let mut pair = Pair::new(limits(), limits());
    let credit = Credit::new(5, 2000);
    let mine = pair.client.open(1, Priority::Normal, credit, Bytes::new()).unwrap();
    let yours = pair.server.open(1, Priority::Normal, credit, Bytes::new()).unwrap();
    pair.exchange();
    pair.server.accept(mine, credit, Bytes::new()).unwrap();
    pair.client.accept(yours, credit, Bytes::new()).unwrap();
    pair.exchange();
    pair.server.send(mine, 0, Bytes::from_static(b"out")).unwrap();
    pair.server.send(yours, 0, Bytes::from_static(b"out")).unwrap();
    pair.server.request(1, Bytes::new()).unwrap();
    pair.server.region(1, 1, 1).unwrap();
    pair.exchange();
    pair
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(or_long(100, 400)))]

    #[test]
    fn any_frames_end_the_session_at_worst(
        frames in vec((heads(), vec(any::<u8>(), 0..258), 0..600_usize), 0..60),
    ) {
        let mut pair = pair();
        let server = &mut pair.server;
        for (head, body, room) in frames {
            match server.receive(frame(head, &body)) {
                Ok(Some(event)) => apply(server, &event),
                Ok(None) => {}
                Err(_) => prop_assert!(server.is_closed()),
            }
            within_limits(server);
            let mut wire = Wire { room, ..Wire::default() };
            server.transmit(&mut wire);
        }
        let mut wire = Wire::endless();
        prop_assert!(server.transmit(&mut wire));
    }

    #[test]
    fn a_mutated_conversation_ends_the_session_at_worst(
        elements in vec(vec(any::<u8>(), 0..600), 1..5),
        mutations in vec((any::<Index>(), any::<u8>()), 1..6),
    ) {
        let mut pair = pair();
        let id = StreamId::from_number(1 << 17);
        for element in elements {
            let _ = pair.client.send(id, 0, element.into());
            pair.client.request(1, Bytes::from_static(b"?")).ok();
        }
        pair.client.end(id, 0, "done").unwrap();
        let mut wire = Wire::endless();
        pair.client.transmit(&mut wire);
        for (place, value) in mutations {
            let place = place.index(wire.bytes.len());
            wire.bytes[place] = value;
        }
        let decoder = becket_wire::Decoder::new(256);
        let mut rest = &wire.bytes[..];
        while let Ok(Some((frame, used))) = decoder.decode(rest) {
            rest = &rest[used..];
            match pair.server.receive(frame) {
                Ok(Some(event)) => apply(&mut pair.server, &event),
                Ok(None) => {}
                Err(_) => break,
            }
            within_limits(&pair.server);
        }
    }

    #[test]
    fn any_first_frame_is_a_greeting_or_the_end(
        head in heads(),
        body in vec(any::<u8>(), 0..80),
        server in any::<bool>(),
    ) {
        let role = if server { Role::Server } else { Role::Client };
        let now = std::time::Instant::now();
        let mut session = Session::new(role, limits(), now);
        match session.receive(frame(head, &body)) {
            Ok(Some(Event::Closed { .. })) => prop_assert_eq!(head.kind, Kind::Close),
            Ok(event) => return Err(TestCaseError::fail(format!("{event:?}"))),
            Err(_) => prop_assert!(session.is_closed()),
        }
    }
}

/// Gives a frame again and again while the outlet is shut; says what ended the session, if
/// anything.
fn flood(session: &mut Session, head: Head) -> Option<SessionError> {
    for _ in 0..1000 {
        match session.receive(frame(head, &[])) {
            Ok(Some(event)) => apply(session, &event),
            Ok(None) => {}
            Err(error) => return Some(error),
        }
        within_limits(session);
    }
    None
}

#[test]
fn pings_that_are_not_waited_for_end_the_session() {
    let mut pair = pair();
    let error = flood(&mut pair.server, Head::new(Kind::Ping));
    assert_eq!(error, Some(SessionError::Flood("pings")));
    let events = pair.reach_client().unwrap();
    assert!(events.last().unwrap().starts_with(&format!("Closed {{ code: {}", codes::FLOOD)));
}

#[test]
fn frames_for_streams_that_never_were_end_the_session() {
    let id = StreamId::from_number(1 << 17 | 3 << 1);
    for kind in [
        Kind::Data,
        Kind::Return,
        Kind::Ack,
        Kind::Nack,
        Kind::Credit,
        Kind::Withdraw,
        Kind::Revoke,
        Kind::Revoked,
        Kind::Accept,
        Kind::End,
        Kind::Reset,
    ] {
        let mut pair = pair();
        let mut head = Head::new(kind);
        (head.stream, head.sequence) = (id.number(), 1);
        assert_eq!(
            flood(&mut pair.server, head),
            Some(SessionError::UnknownStream { kind, stream: id })
        );
    }
}

#[test]
fn more_opens_and_requests_than_allowed_end_the_session() {
    let mut pair = pair();
    let mut error = None;
    for index in 1..100_u32 {
        let mut open = Head::new(Kind::Open);
        open.stream = 1 << 17 | index << 1;
        if let Err(found) = pair.server.receive(frame(open, &[])) {
            error = Some((index, found));
            break;
        }
        within_limits(&pair.server);
    }
    let what = "streams";
    let limit = SessionError::LimitExceeded { kind: Kind::Open, what, limit: 4 };
    assert_eq!(error, Some((4, limit)));

    let mut pair = self::pair();
    let mut error = None;
    for index in 0..100_u64 {
        let mut request = Head::new(Kind::Request);
        request.sequence = 1 << 32 | index;
        if let Err(found) = pair.server.receive(frame(request, &[])) {
            error = Some((index, found));
            break;
        }
    }
    let what = "requests";
    let limit = SessionError::LimitExceeded { kind: Kind::Request, what, limit: 3 };
    assert_eq!(error, Some((3, limit)));
}

/// The answers have been said, but not sent: the places are not free.
#[test]
fn requests_again_before_the_answers_have_gone_are_refused() {
    let mut pair = pair();
    for round in 1..3_u64 {
        let mut request = Head::new(Kind::Request);
        request.sequence = round << 32;
        match pair.server.receive(frame(request, &[])) {
            Ok(Some(event)) => apply(&mut pair.server, &event),
            other => {
                assert_eq!(round, 2);
                assert!(matches!(other, Err(SessionError::Protocol { .. })), "{other:?}");
            }
        }
    }
}

#[test]
fn nacks_that_are_not_read_end_the_session() {
    let mut pair = pair();
    let id = StreamId::from_number(1 << 17);
    let mut error = None;
    for sequence in 1..100 {
        let mut head = Head::new(Kind::Data);
        (head.stream, head.sequence) = (id.number(), sequence);
        pair.server.receive(frame(head, &[])).unwrap();
        // Only what is transmitted counts as granted: so much the credit of the beginning allows.
        if let Err(refused) = pair.server.nack(id, sequence, 300) {
            error = Some(refused);
            break;
        }
        let mut withdraw = Head::new(Kind::Withdraw);
        (withdraw.stream, withdraw.sequence) = (id.number(), sequence);
        let mut nacked = 0;
        while let Ok(Some(_)) = pair.server.receive(frame(withdraw, &[])) {
            nacked += 1;
            assert!(nacked < 100);
            if let Err(refused) = pair.server.nack(id, sequence, 300) {
                error = Some(refused);
                break;
            }
            within_limits(&pair.server);
        }
        if error.is_some() {
            break;
        }
    }
    assert_eq!(error, Some(Refused::Closed));
    assert!(pair.server.is_closed());
    assert!(pair.reach_client().unwrap().last().unwrap().starts_with("Closed { code: 3"));
}

/// Each first piece announces a long element: memory is reserved for what the session's credit
/// covers, and no more.
#[test]
fn elements_that_only_begin_are_paid_for_as_a_whole() {
    let mut pair = Pair::new(limits(), limits());
    let mut ids = Vec::new();
    for _ in 0..3 {
        let id = pair.client.open(1, Priority::Normal, Credit::NONE, Bytes::new()).unwrap();
        pair.reach_server().unwrap();
        pair.server.accept(id, Credit::new(9, 9000), Bytes::new()).unwrap();
        pair.reach_client().unwrap();
        ids.push(id);
    }
    let mut head = Head::new(Kind::Data);
    (head.sequence, head.flags, head.aux) = (1, flags::MORE, 499);
    for id in &ids[..2] {
        head.stream = id.number();
        assert_eq!(pair.server.receive(frame(head, b"x")), Ok(None));
    }
    assert_eq!(pair.server.charged_bytes(), 1000);
    head.stream = ids[2].number();
    assert_eq!(
        pair.server.receive(frame(head, b"x")),
        Err(SessionError::CreditExceeded { stream: ids[2], bytes: 500 })
    );
}

#[test]
fn a_reset_in_the_middle_of_an_element_gives_its_credit_back() {
    let mut pair = Pair::new(limits(), limits());
    for round in 0..50 {
        let id = pair.client.open(1, Priority::Normal, Credit::NONE, Bytes::new()).unwrap();
        pair.exchange();
        pair.server.accept(id, Credit::new(9, 9000), Bytes::new()).unwrap();
        pair.exchange();
        pair.client.send(id, 0, vec![0; 600].into()).unwrap();
        let mut wire = Wire { room: 300, ..Wire::default() };
        assert!(!pair.client.transmit(&mut wire));
        support::feed(&mut pair.server, &wire.bytes, |_, _| {}).unwrap();
        match round % 2 {
            0 => pair.client.reset(id, 300, "").unwrap(),
            _ => pair.server.reset(id, 300, "").unwrap(),
        }
        pair.exchange();
        assert_eq!((pair.client.streams(), pair.server.streams()), (0, 0), "round {round}");
        assert!(pair.server.charged_bytes() < 500);
    }
}
