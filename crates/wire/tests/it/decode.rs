// SPDX-License-Identifier: BSD-3-Clause
//! From bytes to frames: however a stream of bytes is split, the same frames and the same events
//! come of it; what was encoded is decoded; no bytes are worth a panic.

use crate::support::{Pair, Wire, described, feed, or_long};
use becket_wire::{
    Credit, DecodeError, Decoder, HEAD_BYTES, Head, HeadError, Kind, Limits, Priority, StreamId,
};
use bytes::Bytes;
use proptest::{collection::vec, prelude::*, sample::Index};

fn heads() -> impl Strategy<Value = Head> {
    let kind = any::<u8>().prop_filter_map("a kind", Kind::from_number);
    let words = any::<(u8, u16, u32, u32, u64)>();
    (kind, words).prop_map(|(kind, (flags, code, stream, aux, sequence))| Head {
        flags,
        code,
        stream,
        aux,
        sequence,
        ..Head::new(kind)
    })
}

/// Reads frames from bytes that come in parts, as a connection does.
fn in_parts(bytes: &[u8], cuts: &[Index], body_bytes_max: u32) -> Vec<(Head, Vec<u8>)> {
    let decoder = Decoder::new(body_bytes_max);
    let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
    cuts.push(bytes.len());
    cuts.sort_unstable();
    let (mut buffer, mut from, mut frames) = (Vec::new(), 0, Vec::new());
    for cut in cuts {
        buffer.extend_from_slice(&bytes[from..cut]);
        from = cut;
        while let Some((frame, used)) = decoder.decode(&buffer).unwrap() {
            frames.push((frame.head, frame.body.to_vec()));
            buffer.drain(..used);
        }
        if let Some(needs) = decoder.needs(&buffer).unwrap() {
            assert!(needs > buffer.len(), "what is whole is given out");
        } else {
            assert!(buffer.len() < HEAD_BYTES);
        }
    }
    assert!(buffer.is_empty());
    frames
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(or_long(64, 256)))]

    #[test]
    fn any_split_gives_the_same_frames(
        frames in vec((heads(), vec(any::<u8>(), 0..300)), 0..20),
        cuts in vec(any::<Index>(), 0..30),
    ) {
        let mut bytes = Vec::new();
        let mut expected = Vec::new();
        for (head, body) in frames {
            let head = Head { length: body.len() as u32, ..head };
            bytes.extend_from_slice(&head.encode());
            bytes.extend_from_slice(&body);
            expected.push((head, body));
        }
        prop_assert_eq!(in_parts(&bytes, &cuts, 300), expected);
    }

    #[test]
    fn any_split_gives_the_same_events(
        elements in vec(vec(any::<u8>(), 0..2000), 1..20),
        cuts in vec(any::<Index>(), 0..30),
    ) {
        let limits = Limits { frame_body_bytes_max: 300, ..Limits::default() };
        let prepared = || {
            let mut pair = Pair::new(limits.clone(), limits.clone());
            let credit = Credit::new(1000, 1 << 20);
            let id = pair.client.open(1, Priority::Normal, credit, Bytes::new()).unwrap();
            pair.reach_server().unwrap();
            pair.server.accept(id, credit, Bytes::new()).unwrap();
            pair.reach_client().unwrap();
            (pair, id)
        };
        let (mut pair, id): (_, StreamId) = prepared();
        for element in &elements {
            pair.client.send(id, 0, element.clone().into()).unwrap();
            pair.client.notice(1, 1, Bytes::from_static(b"between")).unwrap();
        }
        pair.client.end(id, 0, "").unwrap();
        let mut wire = Wire::endless();
        pair.client.transmit(&mut wire);

        let mut at_once = Vec::new();
        feed(&mut pair.server, &wire.bytes, |_, event| at_once.push(described(&event)))
            .unwrap();
        let (mut other, _) = prepared();
        let mut split = Vec::new();
        for (head, body) in in_parts(&wire.bytes, &cuts, 300) {
            let frame = becket_wire::Frame { head, body: &body };
            split.extend(other.server.receive(frame).unwrap().map(|event| described(&event)));
        }
        prop_assert_eq!(at_once.len(), 2 * elements.len() + 1);
        prop_assert_eq!(at_once, split);
    }

    #[test]
    fn any_bytes_are_a_frame_or_an_error(
        bytes in vec(any::<u8>(), 0..600),
        body_bytes_max in 0..400_u32,
    ) {
        let decoder = Decoder::new(body_bytes_max);
        match decoder.decode(&bytes) {
            Ok(Some((frame, used))) => {
                prop_assert!(used <= bytes.len() && frame.body.len() <= body_bytes_max as usize);
                prop_assert_eq!(&bytes[HEAD_BYTES..used], frame.body);
            }
            Ok(None) => {}
            Err(DecodeError::TooLong { bytes, bytes_max }) => {
                prop_assert!(bytes > bytes_max);
            }
            Err(DecodeError::Head(HeadError::UnknownKind(kind))) => {
                prop_assert_eq!(Kind::from_number(kind), None);
            }
            Err(other) => return Err(TestCaseError::fail(other.to_string())),
        }
    }
}

#[test]
fn a_length_over_the_limit_is_refused_by_the_head_alone() {
    let head = Head { length: 301, ..Head::new(Kind::Data) };
    let error = DecodeError::TooLong { bytes: 301, bytes_max: 300 };
    assert_eq!(Decoder::new(300).decode(&head.encode()), Err(error));
    assert_eq!(Decoder::new(301).decode(&head.encode()), Ok(None));
}

#[test]
fn a_packet_is_one_frame() {
    let head = Head { length: 2, ..Head::new(Kind::Notice) };
    let mut packet = head.encode().to_vec();
    packet.extend_from_slice(b"ab");
    assert_eq!(Decoder::new(9).packet(&packet).unwrap().map(|frame| frame.body), Some(&b"ab"[..]));
    packet.push(0);
    assert_eq!(Decoder::new(9).packet(&packet), Ok(None));
    assert_eq!(Decoder::new(9).packet(&packet[..25]), Ok(None));
}
