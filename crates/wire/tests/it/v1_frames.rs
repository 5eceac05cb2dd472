// SPDX-License-Identifier: BSD-3-Clause
//! Frames of protocol 1.0: however their bytes are split, the same frames come out, and a length
//! over the limit is refused by the header alone.

use becket_wire::v1::{
    Assembler, Attribute, FrameError, HEADER_BYTES, Header, Packets, Tlvs, TooLong,
    VALUE_BYTES_MAX, Writer, decode, put,
};
use proptest::collection::vec;
use proptest::prelude::*;

const LIMIT: u32 = 300;

type Owned = (u16, Vec<u8>);

fn frames() -> impl Strategy<Value = Vec<Owned>> {
    vec((any::<u16>(), vec(any::<u8>(), 0..=LIMIT as usize)), 0..8)
}

fn header(command: u16, payload: &[u8]) -> [u8; HEADER_BYTES] {
    Header::new(command, payload.len() as u32).encode()
}

#[test]
fn a_header_lies_as_the_protocol_draws_it() {
    assert_eq!(Header::new(0x0b, 0x0102_0304).encode(), [0, 0x0b, 0, 0, 1, 2, 3, 4]);
    let decoded = Header::decode([0xff, 0xee, 1, 2, 0, 0, 1, 0]);
    assert_eq!(decoded, Header { command: 0xffee, reserved: 0x0102, length: 256 });
}

proptest! {
    #[test]
    fn any_split_of_a_stream_gives_the_same_frames(
        frames in frames(),
        sizes in vec(1..40_usize, 1..30),
    ) {
        let mut stream = Vec::new();
        for (command, payload) in &frames {
            stream.extend(header(*command, payload));
            stream.extend(payload);
        }
        let (mut buffer, mut seen) = (Vec::new(), Vec::new());
        let (mut sizes, mut rest) = (sizes.iter().cycle(), stream.as_slice());
        while !rest.is_empty() {
            let size = (*sizes.next().unwrap()).min(rest.len());
            buffer.extend_from_slice(&rest[..size]);
            rest = &rest[size..];
            while let Some((frame, bytes)) = decode(&buffer, LIMIT).unwrap() {
                prop_assert!(frame.is_whole());
                seen.push((frame.header.command, frame.payload.to_vec()));
                buffer.drain(..bytes);
            }
            prop_assert!(buffer.len() < HEADER_BYTES + LIMIT as usize);
        }
        prop_assert_eq!(buffer.len(), 0);
        prop_assert_eq!(seen, frames);
    }

    #[test]
    fn header_and_payload_are_one_packet_or_two(
        frames in vec((any::<u16>(), vec(any::<u8>(), 0..=LIMIT as usize), any::<bool>()), 0..12),
    ) {
        let mut assembler = Assembler::new(LIMIT);
        for (command, payload, two) in &frames {
            let header = header(*command, payload);
            let whole = [&header, payload.as_slice()].concat();
            let frame = if *two && !payload.is_empty() {
                prop_assert_eq!(assembler.packet(&header), Ok(None));
                prop_assert!(assembler.is_half());
                assembler.packet(payload)
            } else {
                assembler.packet(&whole)
            };
            let frame = frame.unwrap().unwrap();
            prop_assert!(frame.is_whole() && !assembler.is_half());
            prop_assert_eq!(frame.header.command, *command);
            prop_assert_eq!(frame.payload, payload.as_slice());
            if !payload.is_empty() {
                let packets = if *two { Packets::Two } else { Packets::One };
                prop_assert_eq!(assembler.packets(), packets);
            }
        }
    }

    #[test]
    fn a_payload_of_the_wrong_length_harms_no_other_frame(
        claimed in 1..=LIMIT,
        payload in vec(any::<u8>(), 1..=LIMIT as usize),
        two in any::<bool>(),
    ) {
        prop_assume!(claimed as usize != payload.len());
        let mut assembler = Assembler::new(LIMIT);
        let header = Header::new(11, claimed).encode();
        let whole = [&header, payload.as_slice()].concat();
        let frame = if two {
            prop_assert_eq!(assembler.packet(&header), Ok(None));
            assembler.packet(&payload)
        } else {
            assembler.packet(&whole)
        };
        let frame = frame.unwrap().unwrap();
        prop_assert!(!frame.is_whole());
        prop_assert_eq!(frame.payload, payload.as_slice());
        let next = Header::new(6, 0).encode();
        prop_assert!(assembler.packet(&next).unwrap().unwrap().is_whole());
    }

    #[test]
    fn a_length_over_the_limit_is_refused_by_the_header_alone(
        length in LIMIT + 1..,
        command in any::<u16>(),
        limit in 0..=LIMIT,
    ) {
        let header = Header::new(command, length).encode();
        let refused = FrameError::TooLong { length: u64::from(length), length_max: limit };
        prop_assert_eq!(decode(&header, limit), Err(refused));
        prop_assert_eq!(Assembler::new(limit).packet(&header), Err(refused));
    }

    #[test]
    fn the_limit_itself_is_allowed_and_one_more_is_not(limit in 0..=LIMIT) {
        let mut frame = header(1, &vec![7; limit as usize]).to_vec();
        frame.resize(HEADER_BYTES + limit as usize, 7);
        prop_assert!(decode(&frame, limit).unwrap().is_some());
        prop_assert!(Assembler::new(limit).packet(&frame).unwrap().unwrap().is_whole());
        let more = Header::new(1, limit + 1).encode();
        prop_assert!(decode(&more, limit).is_err());
        prop_assert!(Assembler::new(limit).packet(&more).is_err());
        frame.push(7);
        prop_assert!(Assembler::new(limit).packet(&frame).is_err());
    }

    #[test]
    fn a_packet_is_a_frame_a_header_or_the_end(packets in vec(vec(any::<u8>(), 0..330), 0..8)) {
        let mut assembler = Assembler::new(LIMIT);
        for packet in &packets {
            let half = assembler.is_half();
            match assembler.packet(packet) {
                Ok(Some(frame)) => prop_assert!(frame.payload.len() <= LIMIT as usize + 8),
                Ok(None) => prop_assert!(!half && packet.len() == HEADER_BYTES),
                Err(FrameError::Short(bytes)) => {
                    prop_assert!(!half && bytes == packet.len() && bytes < HEADER_BYTES);
                    break;
                }
                Err(_) => {
                    let claimed = packet.first_chunk().map(|h| Header::decode(*h).length);
                    let too_long = packet.len() > assembler.packet_bytes_max();
                    prop_assert!(too_long || claimed.is_some_and(|length| length > LIMIT));
                    break;
                }
            }
        }
    }

    #[test]
    fn attributes_come_out_as_they_were_put(
        tlvs in vec((any::<u16>(), vec(any::<u8>(), 0..50)), 0..20),
    ) {
        let bytes: usize = tlvs.iter().map(|(_, value)| 4 + value.len()).sum();
        let mut buffer = vec![0; bytes];
        let mut at = 0;
        for (kind, value) in &tlvs {
            at += put(&mut buffer[at..], *kind, value).unwrap();
        }
        prop_assert_eq!(put(&mut buffer[at..], 1, &[]), Err(TooLong));
        let read: Vec<_> =
            Tlvs::new(&buffer).map(|t| t.map(|t| (t.kind, t.value.to_vec())).unwrap()).collect();
        prop_assert_eq!(&read, &tlvs);
        // Cut anywhere but between two of them, the last one is an error, and the end.
        let mut ends = vec![0];
        for (_, value) in &tlvs {
            ends.push(ends[ends.len() - 1] + 4 + value.len());
        }
        for cut in 0..buffer.len() {
            let read: Vec<_> = Tlvs::new(&buffer[..cut]).collect();
            let whole = ends.iter().filter(|end| **end <= cut).count() - 1;
            let is_clean = ends.contains(&cut);
            prop_assert_eq!(read.len(), whole + usize::from(!is_clean));
            prop_assert_eq!(read.last().is_some_and(Result::is_err), !is_clean);
        }
    }
}

#[test]
fn a_value_that_no_tlv_can_hold_leaves_the_buffer_as_it_was() {
    let mut out = vec![7; 3];
    let mut writer = Writer::new(&mut out, 11);
    writer.u32(Attribute::ChanId, 1001).bytes(Attribute::Element, &vec![0; VALUE_BYTES_MAX + 1]);
    assert_eq!(writer.finish(), Err(TooLong));
    assert_eq!(out, [7; 3]);
    let mut writer = Writer::new(&mut out, 11);
    writer.bytes(Attribute::Element, &vec![0; VALUE_BYTES_MAX]);
    assert_eq!(writer.finish(), Ok(()));
    assert_eq!(out.len(), 3 + 8 + 4 + VALUE_BYTES_MAX);
}
