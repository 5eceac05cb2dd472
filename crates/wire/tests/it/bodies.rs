// SPDX-License-Identifier: BSD-3-Clause
//! Bodies arrive whole, wherever the session has its memory for them.

use becket_wire::{Credit, Limits, Priority, Refused, StreamId};
use bytes::Bytes;

use crate::support::{self, Pair, Wire};

#[test]
fn bodies_of_two_parts_arrive_as_one_whatever_their_lengths() {
    let mut pair = Pair::plain();
    let content: Vec<u8> = (0..4000_u32).map(|at| (at * 7 + at / 256) as u8).collect();
    let lengths =
        [(0, 0), (16, 0), (0, 96), (4, 92), (16, 80), (16, 81), (96, 1), (97, 0), (16, 3000)];
    for (first, second) in lengths {
        let parts = [&content[..first], &content[first..first + second]];
        let whole = &content[..first + second];
        let request = pair.client.request_parts(3, parts).unwrap();
        let events = pair.reach_server().unwrap();
        let expected = format!("Request {{ request: {request}, operation: 3, body: {whole:?} }}");
        assert_eq!(events, [expected]);
        pair.server.reply_parts(request, 5, parts).unwrap();
        let again = pair.server.reply_parts(request, 5, parts);
        assert_eq!(again, Err(Refused::UnknownRequest));
        let events = pair.reach_client().unwrap();
        let expected = format!("Reply {{ request: {request}, status: 5, body: {whole:?} }}");
        assert_eq!(events, [expected]);
        assert_eq!(pair.client.join(parts), whole);
    }
    // Several wait at once.
    for length in [90, 3000, 95] {
        pair.client.request_parts(3, [&content[..length], &[]]).unwrap();
    }
    let events = pair.reach_server().unwrap();
    for (event, length) in events.iter().zip([90, 3000, 95]) {
        assert!(event.ends_with(&format!("body: {:?} }}", &content[..length])), "{event}");
    }
    let long = vec![0; Limits::default().frame_body_bytes_max as usize];
    assert_eq!(pair.client.request_parts(3, [&[1], &long]), Err(Refused::TooLong));
    let (_, asked) = pair.server.requests();
    assert_eq!((events.len(), asked), (3, 3), "the one that is too long has left nothing");
}

#[test]
fn the_memory_of_a_long_element_is_used_for_the_next_one() {
    let mut pair = Pair::plain();
    let id = opened(&mut pair);
    let element = Bytes::from(vec![7; 1 << 20]);
    let received = |pair: &mut Pair| {
        let mut body = Bytes::new();
        pair.client.send(id, 0, element.clone()).unwrap();
        let mut wire = Wire::endless();
        assert!(pair.client.transmit(&mut wire));
        support::feed(&mut pair.server, &wire.bytes, |_, event| {
            if let becket_wire::Event::Element { body: whole, .. } = event {
                body = whole.into_bytes();
            }
        })
        .unwrap();
        pair.server.grant(id, 1, 1 << 20).unwrap();
        pair.reach_client().unwrap();
        assert_eq!(body, element);
        body
    };
    let first = received(&mut pair);
    let at = first.as_ptr();
    drop(first);
    for _ in 0..3 {
        assert_eq!(received(&mut pair).as_ptr(), at);
    }
    let kept = received(&mut pair);
    assert_ne!(received(&mut pair).as_ptr(), kept.as_ptr());
    assert_eq!(kept, element, "what is kept is not written");
}

fn opened(pair: &mut Pair) -> StreamId {
    let much = Credit { messages: 1000, bytes: 10 << 20 };
    let id = pair.client.open(7, Priority::Normal, Credit::NONE, Bytes::new()).unwrap();
    pair.reach_server().unwrap();
    pair.server.accept(id, much, Bytes::new()).unwrap();
    pair.reach_client().unwrap();
    id
}
