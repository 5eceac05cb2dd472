// SPDX-License-Identifier: BSD-3-Clause
//! A session's rules, one by one.

use crate::support::{Pair, Wire, carry, frame};
use becket_wire::{
    Credit, Head, Kind, Left, Limits, Priority, Refused, Role, Session, SessionError, StreamId,
    UnsentBlocks, Withdrawn, codes, flags,
};
use bytes::Bytes;
use std::time::{Duration, Instant};

use crate::support;

const MUCH: Credit = Credit { messages: 1000, bytes: 10 << 20 };

fn opened(pair: &mut Pair, client_gets: Credit, server_gets: Credit) -> StreamId {
    let name = Bytes::from_static(b"orders");
    let id = pair.client.open(7, Priority::Normal, client_gets, name).unwrap();
    pair.reach_server().unwrap();
    pair.server.accept(id, server_gets, Bytes::new()).unwrap();
    pair.reach_client().unwrap();
    id
}

#[test]
fn a_stream_is_opened_used_and_ended() {
    let mut pair = Pair::plain();
    let name = Bytes::from_static(b"orders");
    let id = pair.client.open(7, Priority::High, Credit::new(1, 10), name).unwrap();
    assert_eq!(pair.client.send(id, 0, Bytes::from_static(b"x")), Err(Refused::NoCredit));
    let events = pair.reach_server().unwrap();
    assert_eq!(
        events,
        [format!(
            "Opened {{ stream: {id}, service: 7, priority: High, credit: Credit {{ messages: 1, \
             bytes: 10 }}, name: {:?} }}",
            b"orders"
        )]
    );
    assert_eq!(pair.server.send(id, 0, Bytes::from_static(b"x")), Err(Refused::State));
    pair.server.accept(id, Credit::new(2, 3), Bytes::from_static(b"ok")).unwrap();
    assert_eq!(pair.server.accept(id, MUCH, Bytes::new()), Err(Refused::State));
    assert_eq!(pair.server.send(id, 0, Bytes::from_static(b"down")), Ok(1));
    assert_eq!(pair.server.send(id, 0, Bytes::new()), Err(Refused::NoCredit), "one message");
    assert_eq!(pair.reach_client().unwrap().len(), 2);

    assert_eq!(pair.client.credit(id), Some(Left { messages: 2, bytes: 3 }));
    assert_eq!(pair.client.send(id, 0, Bytes::from_static(b"four")), Err(Refused::NoCredit));
    assert_eq!(pair.client.send(id, flags::TRY, Bytes::from_static(b"up!")), Ok(1));
    pair.client.end(id, 300, "enough").unwrap();
    assert_eq!(pair.client.send(id, 0, Bytes::new()), Err(Refused::Ended));
    let events = pair.reach_server().unwrap();
    assert!(events[0].contains("Element") && events[0].contains("flags: 4"), "{events:?}");
    assert!(events[1].contains("Ended") && events[1].contains("code: 300"), "{events:?}");

    // The other half is still there: acks, then the other end.
    pair.server.ack(id, 1).unwrap();
    pair.server.end(id, 0, "").unwrap();
    let events = pair.reach_client().unwrap();
    assert!(events[0].starts_with("Acked") && events[1].starts_with("Ended"), "{events:?}");
    assert_eq!((pair.client.streams(), pair.server.streams()), (0, 0));
    assert_eq!(pair.client.send(id, 0, Bytes::new()), Err(Refused::UnknownStream));
    assert!(pair.client.is_idle() && pair.server.is_idle());
}

#[test]
fn what_is_sent_straight_is_the_same_as_what_is_queued() {
    let mut pair = Pair::plain();
    let id = opened(&mut pair, MUCH, MUCH);
    let mut wire = Wire::endless();
    assert_eq!(pair.client.send_through(&mut wire, id, 0, b"one", || b"one"[..].into()), Ok(1));
    assert_eq!(pair.client.queued(id), Some(Left::default()));
    // No room: it waits.
    let mut shut = Wire::default();
    assert_eq!(pair.client.send_through(&mut shut, id, 0, b"two", || b"two"[..].into()), Ok(2));
    assert_eq!(pair.client.queued(id), Some(Left { messages: 1, bytes: 3 }));
    // Not before the one that waits.
    assert_eq!(pair.client.send_through(&mut wire, id, 0, b"three", || b"three"[..].into()), Ok(3));
    assert_eq!(wire.heads.len(), 1);
    assert!(pair.client.transmit(&mut wire));
    let numbers: Vec<_> = wire.heads.iter().map(|head| (head.kind, head.sequence)).collect();
    assert_eq!(numbers, [(Kind::Data, 1), (Kind::Data, 2), (Kind::Data, 3)]);
    assert_eq!(pair.client.credit(id), Some(Left { messages: 997, bytes: (10 << 20) - 11 }));
}

#[test]
fn what_is_due_goes_before_an_element_that_is_sent_straight() {
    let mut pair = Pair::plain();
    let id = opened(&mut pair, MUCH, MUCH);
    pair.server.send(id, 0, Bytes::from_static(b"question")).unwrap();
    pair.reach_client().unwrap();
    pair.client.ack(id, 1).unwrap();
    pair.client.grant(id, 1, 8).unwrap();
    let mut wire = Wire::endless();
    pair.client.send_through(&mut wire, id, 0, b"answer", || b"answer"[..].into()).unwrap();
    let kinds: Vec<_> = wire.heads.iter().map(|head| head.kind).collect();
    assert_eq!(kinds, [Kind::Ack, Kind::Credit, Kind::Data]);
}

#[test]
fn a_long_element_goes_in_pieces_between_others() {
    let limits = Limits { frame_body_bytes_max: 256, quantum_bytes: 256, ..Limits::default() };
    let mut pair = Pair::new(limits.clone(), limits);
    let long = opened(&mut pair, MUCH, MUCH);
    let short = opened(&mut pair, MUCH, MUCH);
    let element: Vec<u8> = (0..5000_u32).map(|n| n as u8).collect();
    pair.client.send(long, 0, element.clone().into()).unwrap();
    pair.client.send(short, 0, Bytes::from_static(b"quick")).unwrap();
    let mut wire = Wire::endless();
    assert!(pair.client.transmit(&mut wire));
    let place = wire.heads.iter().position(|head| head.stream == short.number()).unwrap();
    assert!(place < 3, "the short one does not wait for the long one: {place}");
    let mut whole = None;
    support::feed(&mut pair.server, &wire.bytes, |_, event| {
        if let becket_wire::Event::Element { stream, body, .. } = event
            && stream == long
        {
            whole = Some(body.into_bytes());
        }
    })
    .unwrap();
    assert_eq!(whole.as_deref(), Some(&element[..]));
}

#[test]
fn the_urgent_goes_first() {
    let mut pair = Pair::plain();
    let mut ids = Vec::new();
    for priority in [Priority::Low, Priority::Normal, Priority::High] {
        let id = pair.client.open(1, priority, MUCH, Bytes::new()).unwrap();
        pair.reach_server().unwrap();
        pair.server.accept(id, MUCH, Bytes::new()).unwrap();
        pair.reach_client().unwrap();
        ids.push(id.number());
    }
    for id in &ids {
        pair.client.send(StreamId::from_number(*id), 0, Bytes::from_static(b"x")).unwrap();
    }
    let mut wire = Wire::endless();
    // A low one may not go straight while a more urgent one waits.
    pair.client
        .send_through(&mut wire, StreamId::from_number(ids[0]), 0, b"y", || b"y"[..].into())
        .unwrap();
    assert!(wire.heads.is_empty());
    pair.client.transmit(&mut wire);
    let order: Vec<_> = wire.heads.iter().map(|head| head.stream).collect();
    assert_eq!(order, [ids[2], ids[1], ids[0], ids[0]]);
}

#[test]
fn more_than_the_credit_ends_the_session() {
    for (messages, bytes, fits) in [(1, 3, true), (1, 2, false), (0, 9, false)] {
        let mut pair = Pair::plain();
        let id = opened(&mut pair, MUCH, Credit::new(messages, bytes));
        let mut head = Head::new(Kind::Data);
        head.stream = id.number();
        head.sequence = 1;
        let result = pair.server.receive(frame(head, b"abc")).map(|event| event.is_some());
        if fits {
            assert_eq!(result, Ok(true));
            continue;
        }
        assert_eq!(result, Err(SessionError::CreditExceeded { stream: id, bytes: 3 }));
        let events = pair.reach_client().unwrap();
        assert!(events[0].starts_with("Closed { code: 2"), "{events:?}");
        assert!(pair.server.is_closed() && pair.client.is_closed());
        assert_eq!(
            pair.server.receive(frame(Head::new(Kind::Ping), &[])),
            Err(SessionError::Closed)
        );
    }
}

#[test]
fn a_grant_counts_when_it_has_gone() {
    let mut pair = Pair::plain();
    let id = opened(&mut pair, MUCH, Credit::NONE);
    pair.server.grant(id, 1, 3).unwrap();
    pair.server.grant(id, 1, 3).unwrap();
    let events = pair.reach_client().unwrap();
    assert_eq!(events, [format!("Credit {{ stream: {id} }}")], "two grants, one frame");
    assert_eq!(pair.client.credit(id), Some(Left { messages: 2, bytes: 6 }));
}

#[test]
fn what_is_revoked_is_what_was_not_spent() {
    let mut pair = Pair::plain();
    let id = opened(&mut pair, MUCH, Credit::new(2, 10));
    pair.client.send(id, 0, Bytes::from_static(b"abcd")).unwrap();
    pair.server.revoke(id, 1, 4).unwrap();
    pair.server.revoke(id, 1, 4).unwrap();
    let events = pair.reach_client().unwrap();
    assert_eq!(events, [format!("Revoke {{ stream: {id}, messages: 1, bytes: 6 }}")]);
    assert_eq!(pair.client.send(id, 0, Bytes::new()), Err(Refused::NoCredit));
    let events = pair.reach_server().unwrap();
    let asked = "asked: Credit { messages: 2, bytes: 8 }";
    let taken = "taken: Credit { messages: 1, bytes: 6 }";
    assert_eq!(events[0], format!("Revoked {{ stream: {id}, {asked}, {taken} }}"));
    assert!(events[1].starts_with("Element"), "{events:?}");
}

#[test]
fn one_revocation_is_under_way_at_a_time() {
    let mut pair = Pair::plain();
    let id = opened(&mut pair, MUCH, Credit::new(4, 4));
    pair.server.revoke(id, 1, 1).unwrap();
    let mut wire = Wire::endless();
    pair.server.transmit(&mut wire);
    pair.server.revoke(id, 2, 2).unwrap();
    pair.server.transmit(&mut wire);
    assert_eq!(wire.heads.len(), 1);
    support::feed(&mut pair.client, &wire.bytes, |_, _| {}).unwrap();
    let events = pair.exchange();
    assert_eq!(events.len(), 3, "answer, question, answer: {events:?}");
    assert_eq!(pair.client.credit(id), Some(Left { messages: 1, bytes: 1 }));

    // A second one before our answer has gone is against the rules.
    let mut head = Head::new(Kind::Revoke);
    (head.stream, head.aux) = (id.number(), 1);
    pair.client.receive(frame(head, &[])).unwrap();
    assert_eq!(pair.client.receive(frame(head, &[])), Err(SessionError::Flood("revocations")));
}

#[test]
fn an_element_is_taken_back_here_or_asked_for() {
    let mut pair = Pair::plain();
    let id = opened(&mut pair, MUCH, Credit::new(3, 100));
    for element in [&b"one"[..], b"two", b"three"] {
        pair.client.send(id, 0, element.into()).unwrap();
    }
    let here = pair.client.withdraw(id, 2).unwrap();
    assert_eq!(here, Withdrawn::Here(Bytes::from_static(b"two")));
    assert_eq!(pair.client.withdraw(id, 2), Err(Refused::UnknownElement));
    assert_eq!(pair.client.withdraw(id, 4), Err(Refused::UnknownElement));
    assert_eq!(pair.client.credit(id), Some(Left { messages: 1, bytes: 92 }));
    let events = pair.reach_server().unwrap();
    assert!(events[0].contains("sequence: 1") && events[1].contains("sequence: 3"), "{events:?}");

    // One that has gone: the ack crosses with the question and is its answer.
    pair.server.ack(id, 1).unwrap();
    assert_eq!(pair.client.withdraw(id, 1), Ok(Withdrawn::Asked));
    assert_eq!(pair.client.withdraw(id, 3), Ok(Withdrawn::Asked));
    let events = pair.reach_server().unwrap();
    assert_eq!(events, [format!("Withdraw {{ stream: {id}, sequence: 3 }}")]);
    pair.server.nack(id, 3, 400).unwrap();
    let events = pair.reach_client().unwrap();
    assert_eq!(
        events,
        [
            format!("Nacked {{ stream: {id}, sequence: 3, code: 400 }}"),
            format!("Acked {{ stream: {id}, upto: 1 }}")
        ]
    );
    assert_eq!(pair.client.withdraw(id, 1), Err(Refused::UnknownElement));
}

#[test]
fn an_element_in_pieces_is_asked_for_when_it_has_gone() {
    let limits = Limits { frame_body_bytes_max: 256, ..Limits::default() };
    let mut pair = Pair::new(limits.clone(), limits);
    let id = opened(&mut pair, MUCH, MUCH);
    pair.client.send(id, 0, vec![1; 600].into()).unwrap();
    let mut wire = Wire { room: 300, ..Wire::default() };
    assert!(!pair.client.transmit(&mut wire));
    assert_eq!(pair.client.withdraw(id, 1), Ok(Withdrawn::Asked));
    wire.room = usize::MAX;
    assert!(pair.client.transmit(&mut wire));
    let kinds: Vec<_> = wire.heads.iter().map(|head| head.kind).collect();
    assert_eq!(kinds, [Kind::Data, Kind::Data, Kind::Data, Kind::Withdraw]);
}

#[test]
fn what_goes_back_goes_before_the_ack_that_covers_it() {
    let mut pair = Pair::plain();
    let id = opened(&mut pair, MUCH, MUCH);
    for element in [&b"one"[..], b"two", b"three"] {
        pair.client.send(id, 0, element.into()).unwrap();
    }
    pair.reach_server().unwrap();
    pair.server.give_back(id, 2, 0, Bytes::from_static(b"two")).unwrap();
    pair.server.ack(id, 3).unwrap();
    assert_eq!(pair.server.give_back(id, 1, 0, Bytes::new()), Err(Refused::UnknownElement));
    pair.server.end(id, 0, "").unwrap();
    let events = pair.reach_client().unwrap();
    assert!(events[0].starts_with("Returned") && events[0].contains("sequence: 2"), "{events:?}");
    assert!(events[1].starts_with("Acked"), "{events:?}");
    assert!(events[2].starts_with("Ended"), "{events:?}");
}

#[test]
fn what_goes_back_goes_before_the_credit_for_what_stands_behind_it() {
    let mut pair = Pair::plain();
    let id = opened(&mut pair, MUCH, MUCH);
    for element in [&b"one"[..], b"two"] {
        pair.client.send(id, 0, element.into()).unwrap();
    }
    pair.reach_server().unwrap();
    // Credit that is asked for before the return is queued and after it.
    pair.server.grant(id, 1, 3).unwrap();
    pair.server.give_back(id, 2, 0, Bytes::from_static(b"two")).unwrap();
    pair.server.grant(id, 1, 3).unwrap();
    let events = pair.reach_client().unwrap();
    assert!(events[0].starts_with("Returned") && events[0].contains("sequence: 2"), "{events:?}");
    assert!(events[1].starts_with("Credit"), "{events:?}");
    assert_eq!(events.len(), 2);
}

#[test]
fn no_more_comes_back_than_was_sent() {
    let mut pair = Pair::plain();
    let id = opened(&mut pair, MUCH, MUCH);
    pair.client.send(id, 0, Bytes::from_static(b"one")).unwrap();
    pair.reach_server().unwrap();
    let mut head = Head::new(Kind::Return);
    (head.stream, head.sequence) = (id.number(), 1);
    assert!(pair.client.receive(frame(head, b"one")).unwrap().is_some());
    let again = pair.client.receive(frame(head, b"one"));
    assert!(matches!(again, Err(SessionError::Protocol { .. })), "{again:?}");
}

#[test]
fn an_elements_number_only_grows() {
    for (first, second, fits) in [(1, 2, true), (1, 5, true), (2, 2, false), (2, 1, false)] {
        let mut pair = Pair::plain();
        let id = opened(&mut pair, MUCH, MUCH);
        let mut head = Head::new(Kind::Data);
        (head.stream, head.sequence) = (id.number(), first);
        assert!(pair.server.receive(frame(head, b"x")).unwrap().is_some());
        head.sequence = second;
        let result = pair.server.receive(frame(head, b"y"));
        assert_eq!(result.is_ok(), fits, "{first}, then {second}: {result:?}");
    }
}

#[test]
fn the_pieces_of_an_element_belong_together() {
    let piece = |id: StreamId, sequence, follow| {
        let mut head = Head::new(Kind::Data);
        (head.stream, head.sequence, head.aux) = (id.number(), sequence, follow);
        head.flags = if follow > 0 { flags::MORE } else { 0 };
        head
    };
    // What comes after a first piece of 2 bytes that says that 4 follow.
    let rows: [(u64, u32, &[u8], u8, bool); 7] = [
        (1, 0, b"cdef", 0, true),
        (1, 2, b"cd", 0, true),
        (2, 0, b"cdef", 0, false),
        (1, 0, b"cde", 0, false),
        (1, 1, b"cdefg", 0, false),
        (1, 4, b"", 0, false),
        (1, 2, b"cd", flags::MORE, false),
    ];
    for (sequence, follow, body, toggle, fits) in rows {
        let mut pair = Pair::plain();
        let id = opened(&mut pair, MUCH, MUCH);
        assert_eq!(pair.server.receive(frame(piece(id, 1, 4), b"ab")), Ok(None));
        let mut head = piece(id, sequence, follow);
        head.flags ^= toggle;
        let result = pair.server.receive(frame(head, body));
        assert_eq!(result.is_ok(), fits, "{head:?}: {result:?}");
    }
    // An end, or another kind of element, in the middle of one.
    for kind in [Kind::End, Kind::Return] {
        let mut pair = Pair::plain();
        let id = opened(&mut pair, MUCH, MUCH);
        pair.server.receive(frame(piece(id, 1, 4), b"ab")).unwrap();
        let mut head = piece(id, 1, 0);
        head.kind = kind;
        assert!(pair.server.receive(frame(head, b"cdef")).is_err());
    }
}

#[test]
fn a_reset_is_answered_and_frees_the_place() {
    let mut pair = Pair::plain();
    let id = opened(&mut pair, MUCH, MUCH);
    pair.client.send(id, 0, Bytes::from_static(b"late")).unwrap();
    pair.server.send(id, 0, Bytes::from_static(b"late too")).unwrap();
    pair.server.reset(id, 500, "no").unwrap();
    assert_eq!(pair.server.queued_bytes(), 0);
    assert_eq!(pair.server.reset(id, 500, "no"), Err(Refused::Ended));
    assert_eq!(pair.server.send(id, 0, Bytes::new()), Err(Refused::Ended));
    // What crosses with it is counted and dropped.
    assert_eq!(pair.reach_server().unwrap(), [""; 0]);
    let events = pair.reach_client().unwrap();
    assert_eq!(events, [format!("Reset {{ stream: {id}, code: 500, why: {:?} }}", b"no")]);
    assert_eq!(pair.server.streams(), 1, "until the answer");
    pair.exchange();
    assert_eq!((pair.client.streams(), pair.server.streams()), (0, 0));
}

#[test]
fn resets_that_cross_answer_one_another() {
    let mut pair = Pair::plain();
    let id = opened(&mut pair, MUCH, MUCH);
    pair.server.reset(id, 1, "").unwrap();
    pair.client.reset(id, 2, "").unwrap();
    assert_eq!(pair.exchange(), [""; 0]);
    assert_eq!((pair.client.streams(), pair.server.streams()), (0, 0));
}

#[test]
fn an_old_number_does_not_reach_a_new_stream() {
    let limits = Limits { streams_max: 1, ..Limits::default() };
    let mut pair = Pair::new(limits.clone(), limits);
    let old = opened(&mut pair, MUCH, MUCH);
    assert_eq!(pair.client.open(1, Priority::Normal, MUCH, Bytes::new()), Err(Refused::TooMany));
    pair.client.end(old, 0, "").unwrap();
    pair.server.end(old, 0, "").unwrap();
    pair.exchange();
    let new = opened(&mut pair, MUCH, Credit::new(1, 1));
    assert_ne!(old, new);
    // This side's application.
    assert_eq!(pair.client.send(old, 0, Bytes::new()), Err(Refused::UnknownStream));
    assert_eq!(pair.server.grant(old, 1, 1), Err(Refused::UnknownStream));
    // The other side: what may cross with an end is dropped, an element may not.
    let mut head = Head::new(Kind::Credit);
    (head.stream, head.aux, head.sequence) = (old.number(), 50, 50);
    assert_eq!(pair.client.receive(frame(head, &[])), Ok(None));
    assert_eq!(pair.client.credit(new), Some(Left { messages: 1, bytes: 1 }));
    assert_eq!(pair.client.counters().stale_frames, 1);
    head.kind = Kind::Data;
    assert_eq!(
        pair.client.receive(frame(head, &[])),
        Err(SessionError::UnknownStream { kind: Kind::Data, stream: old })
    );
}

#[test]
fn a_request_has_one_answer() {
    let mut pair = Pair::plain();
    let first = pair.client.request(3, Bytes::from_static(b"a")).unwrap();
    let second = pair.client.request(4, Bytes::from_static(b"b")).unwrap();
    pair.client.cancel(first).unwrap();
    pair.client.cancel(first).unwrap();
    assert_eq!(pair.reach_server().unwrap().len(), 3, "two questions, one cancel");
    pair.server.reply(second, 0, Bytes::from_static(b"B")).unwrap();
    assert_eq!(pair.server.reply(second, 0, Bytes::new()), Err(Refused::UnknownRequest));
    pair.server.reply(first, 9, Bytes::new()).unwrap();
    let events = pair.reach_client().unwrap();
    assert_eq!(
        events,
        [
            format!("Reply {{ request: {second}, status: 0, body: {:?} }}", b"B"),
            format!("Reply {{ request: {first}, status: 9, body: [] }}")
        ]
    );
    assert_eq!(pair.client.requests(), (0, 0));
    assert_eq!(pair.server.requests(), (0, 0));
    assert_eq!(pair.client.cancel(first), Err(Refused::UnknownRequest));
    let mut head = Head::new(Kind::Reply);
    head.sequence = first;
    let again = pair.client.receive(frame(head, &[]));
    assert!(matches!(again, Err(SessionError::Protocol { kind: Kind::Reply, .. })), "{again:?}");
}

#[test]
fn the_other_sides_limits_hold() {
    let small = Limits {
        frame_body_bytes_max: 300,
        element_bytes_max: 500,
        streams_max: 2,
        requests_max: 2,
        regions_max: 1,
        ..Limits::default()
    };
    let mut pair = Pair::new(Limits::default(), small);
    let id = opened(&mut pair, MUCH, MUCH);
    assert_eq!(pair.client.send(id, 0, vec![0; 501].into()), Err(Refused::TooLong));
    assert_eq!(pair.client.request(1, vec![0; 301].into()), Err(Refused::TooLong));
    opened(&mut pair, MUCH, MUCH);
    let more = pair.client.open(1, Priority::Normal, MUCH, Bytes::new());
    assert_eq!(more, Err(Refused::TooMany));
    pair.client.request(1, Bytes::new()).unwrap();
    pair.client.request(1, Bytes::new()).unwrap();
    assert_eq!(pair.client.request(1, Bytes::new()), Err(Refused::TooMany));
    pair.client.region(5, 1, 4096).unwrap();
    assert_eq!(pair.client.region(6, 1, 4096), Err(Refused::TooMany));
    let refused = pair.client.counters().refused;
    assert_eq!((refused.too_long, refused.too_many), (2, 3));
}

#[test]
fn regions_are_announced_used_and_taken_back() {
    let mut pair = Pair::plain();
    pair.client.region(9, 2, 4096).unwrap();
    assert_eq!(pair.client.region(9, 3, 4096), Err(Refused::Region));
    assert_eq!(pair.server.release(9, 2, 64), Err(Refused::Region), "not known there yet");
    assert_eq!(pair.reach_server().unwrap(), ["Region { region: 9, generation: 2, bytes: 4096 }"]);
    pair.server.release(9, 2, 64).unwrap();
    assert_eq!(pair.reach_client().unwrap(), ["Release { region: 9, generation: 2, offset: 64 }"]);
    pair.server.release(9, 2, 128).unwrap();
    pair.client.unregion(9, 2).unwrap();
    assert_eq!(pair.exchange(), ["Unregion { region: 9, generation: 2 }"]);
    assert_eq!(pair.client.counters().stale_frames, 1, "a release that crossed");
}

#[test]
fn what_was_given_back_and_not_sent_is_kept_at_the_end() {
    let mut pair = Pair::plain();
    let id = opened(&mut pair, MUCH, MUCH);
    pair.client.region(9, 2, 4096).unwrap();
    for flags in [0, flags::DESCRIPTOR] {
        pair.client.send(id, flags, Bytes::from_static(b"body")).unwrap();
    }
    pair.reach_server().unwrap();
    pair.server.release(9, 2, 64).unwrap();
    pair.server.give_back(id, 1, 0, Bytes::from_static(b"one")).unwrap();
    pair.server.give_back(id, 2, flags::DESCRIPTOR, Bytes::from_static(b"two")).unwrap();
    assert_eq!(pair.server.take_unsent_blocks(), UnsentBlocks::default());
    pair.server.close(codes::DONE, "");
    let unsent = pair.server.take_unsent_blocks();
    assert_eq!((unsent.releases, unsent.returns), (vec![(9, 2, 64)], vec![Bytes::from("two")]));
    assert_eq!(pair.server.take_unsent_blocks(), UnsentBlocks::default());
}

#[test]
fn draining_lets_what_is_open_end() {
    let mut pair = Pair::plain();
    let id = opened(&mut pair, MUCH, MUCH);
    let late = pair.client.open(1, Priority::Normal, MUCH, Bytes::new()).unwrap();
    let asked = pair.client.request(1, Bytes::new()).unwrap();
    pair.client.cancel(asked).unwrap();
    pair.server.drain();
    assert_eq!(pair.server.open(1, Priority::Normal, MUCH, Bytes::new()), Err(Refused::Draining));
    assert_eq!(pair.reach_server().unwrap(), [""; 0], "what crosses is turned away");
    let events = pair.reach_client().unwrap();
    assert_eq!(events[0], "Draining");
    assert!(events.contains(&format!("Reply {{ request: {asked}, status: 6, body: [] }}")));
    let why = b"draining";
    assert!(events.contains(&format!("Reset {{ stream: {late}, code: 6, why: {why:?} }}")));
    assert_eq!(pair.client.request(1, Bytes::new()), Err(Refused::Draining));
    pair.client.send(id, 0, Bytes::from_static(b"still")).unwrap();
    assert_eq!(pair.reach_server().unwrap().len(), 1);

    assert_eq!(pair.server.deadline(), Some(pair.now), "it wants to know the time");
    assert_eq!(pair.server.on_deadline(pair.now), Ok(None));
    let until = pair.server.deadline().unwrap();
    assert!(until > pair.now);
    pair.client.end(id, 0, "").unwrap();
    pair.server.end(id, 0, "").unwrap();
    pair.exchange();
    assert_eq!(pair.server.deadline(), Some(pair.now));
    assert_eq!(pair.server.on_deadline(pair.now), Ok(Some(becket_wire::Event::Drained)));
    assert_eq!(pair.server.on_deadline(pair.now), Ok(None), "once");
}

#[test]
fn draining_ends_in_time() {
    let limits = Limits { drain_ms: 100, ..Limits::default() };
    let mut pair = Pair::new(limits.clone(), limits);
    opened(&mut pair, MUCH, MUCH);
    pair.client.drain();
    pair.client.on_deadline(pair.now).unwrap();
    pair.pass(99);
    assert_eq!(pair.client.on_deadline(pair.now), Ok(None));
    pair.pass(1);
    assert_eq!(pair.client.on_deadline(pair.now), Err(SessionError::DrainTimeout(100)));
    assert!(pair.reach_server().unwrap()[0].starts_with("Closed { code: 6"));
}

#[test]
fn silence_instead_of_a_greeting_ends_the_session() {
    let now = Instant::now();
    for role in [Role::Client, Role::Server] {
        let mut session = Session::new(role, Limits::default(), now);
        let until = session.deadline().unwrap();
        assert_eq!(until, now + Duration::from_millis(5000));
        assert_eq!(session.on_deadline(until - Duration::from_millis(1)), Ok(None));
        assert_eq!(session.on_deadline(until), Err(SessionError::HandshakeTimeout(5000)));
        assert!(session.is_closed());
        let mut wire = Wire::endless();
        session.transmit(&mut wire);
        assert_eq!(wire.heads.last().map(|head| (head.kind, head.code)), Some((Kind::Close, 4)));
    }
}

#[test]
fn a_silent_peer_is_pinged_and_then_dead() {
    let mut pair = Pair::plain();
    let began = pair.now;
    let at_next = |pair: &mut Pair| {
        pair.now = pair.client.deadline().unwrap();
        pair.client.on_deadline(pair.now)
    };
    // It has been heard: its welcome.
    assert_eq!(at_next(&mut pair), Ok(None));
    assert_eq!((pair.exchange(), pair.client.counters().pings), (vec![], 0));
    assert_eq!(at_next(&mut pair), Ok(None));
    assert_eq!(pair.now, began + Duration::from_millis(10_000));
    assert_eq!(pair.exchange(), [""; 0], "ping and pong are no events");
    assert_eq!(pair.client.counters().pings, 1);
    assert_eq!(pair.client.on_deadline(pair.now), Ok(None), "it is not time");

    // It has answered. Then it is not heard any more.
    assert_eq!(at_next(&mut pair), Ok(None));
    let alive = pair.now;
    assert_eq!(at_next(&mut pair), Ok(None));
    assert_eq!(pair.client.counters().pings, 2);
    assert_eq!(at_next(&mut pair), Err(SessionError::PeerSilent(5000)));
    assert_eq!(pair.now, alive + Duration::from_millis(10_000));
}

#[test]
fn another_version_is_told_apart() {
    let now = Instant::now();
    let mut server = Session::new(Role::Server, Limits::default(), now);
    let mut hello = Head::new(Kind::Hello);
    hello.aux = 3;
    assert_eq!(server.receive(frame(hello, &[])), Err(SessionError::Version(3)));
    let mut client = Session::new(Role::Client, Limits::default(), now);
    let events = carry(&mut server, &mut client).unwrap();
    assert!(events[0].starts_with(&format!("Closed {{ code: {}", codes::VERSION)), "{events:?}");
}

#[test]
fn nothing_is_commanded_before_the_greeting() {
    let mut client = Session::new(Role::Client, Limits::default(), Instant::now());
    assert_eq!(client.request(1, Bytes::new()), Err(Refused::NotReady));
    assert_eq!(
        client.open(1, Priority::Normal, Credit::NONE, Bytes::new()),
        Err(Refused::NotReady)
    );
}

#[test]
fn the_sessions_credit_comes_back_unless_it_is_held() {
    let limits =
        Limits { session_credit_bytes: 1000, element_bytes_max: 1000, ..Limits::default() };
    let mut pair = Pair::new(limits.clone(), limits);
    let one = opened(&mut pair, MUCH, MUCH);
    let two = opened(&mut pair, MUCH, MUCH);
    for _ in 0..5 {
        pair.client.send(one, 0, vec![1; 1000].into()).unwrap();
    }
    assert_eq!(pair.exchange().len(), 5, "a credit for each of them");

    pair.client.send(one, 0, vec![1; 600].into()).unwrap();
    assert_eq!(pair.reach_server().unwrap().len(), 1);
    pair.server.hold(600);
    pair.client.send(two, 0, vec![2; 500].into()).unwrap();
    assert_eq!(pair.exchange(), [""; 0], "600 of 1000 are held");
    assert_eq!(pair.server.charged_bytes(), 600);
    pair.server.let_go(600);
    assert_eq!(pair.exchange().len(), 1);
    assert_eq!(pair.server.charged_bytes(), 0);
}

#[test]
fn session_credit_that_was_promised_and_not_used_is_there_again() {
    let limits =
        Limits { session_credit_bytes: 1000, element_bytes_max: 1000, ..Limits::default() };
    for withdrawn in [false, true] {
        let mut pair = Pair::new(limits.clone(), limits.clone());
        let one = opened(&mut pair, MUCH, MUCH);
        let two = opened(&mut pair, MUCH, MUCH);
        pair.client.send(one, 0, vec![1; 900].into()).unwrap();
        pair.client.send(two, 0, vec![2; 500].into()).unwrap();
        assert_eq!(pair.reach_server().unwrap().len(), 1, "the other one waits");
        pair.reach_client().unwrap();
        assert!(!pair.client.transmit(&mut Wire::default()), "no room");
        assert_eq!(pair.client.session_credit(), 500, "promised");
        if withdrawn {
            assert_eq!(pair.client.withdraw(two, 1).unwrap(), Withdrawn::Here(vec![2; 500].into()));
        } else {
            pair.client.reset(two, 300, "").unwrap();
        }
        assert_eq!(pair.client.session_credit(), 1000);
        pair.exchange();
    }
}

#[test]
fn queues_are_bounded() {
    let limits = Limits {
        stream_queue_messages_max: 2,
        session_queue_bytes_max: 10,
        control_frames_max: 3,
        ..Limits::default()
    };
    let mut pair = Pair::new(limits, Limits::default());
    let one = opened(&mut pair, MUCH, MUCH);
    let two = opened(&mut pair, MUCH, MUCH);
    pair.client.send(one, 0, Bytes::new()).unwrap();
    pair.client.send(one, 0, Bytes::new()).unwrap();
    let before = pair.client.credit(one);
    assert_eq!(pair.client.send(one, 0, Bytes::new()), Err(Refused::Full));
    assert_eq!(pair.client.credit(one), before, "what is refused costs nothing");
    pair.client.send(two, 0, vec![0; 10].into()).unwrap();
    assert_eq!(pair.client.send(two, 0, Bytes::from_static(b"x")), Err(Refused::Full));
    for _ in 0..3 {
        pair.client.notice(1, 1, Bytes::new()).unwrap();
    }
    assert_eq!(pair.client.notice(1, 1, Bytes::new()), Err(Refused::Full));
    assert_eq!(pair.exchange().len(), 6);
    pair.client.notice(1, 1, Bytes::new()).unwrap();
}
