// SPDX-License-Identifier: BSD-3-Clause
//! Protocol 1.0. What holds of any bytes:
//!
//! 1. However a stream is cut, the same frames come out, and the same end.
//! 2. No payload is longer than the limit, in a stream or in packets.
//! 3. What a request was understood as says the same when it is said again; the same of an answer.
//! 4. A fault has its errno, and the `REQ_ID` that can be read.

use becket_wire::v1::{
    Assembler, Body, Errno, Frame, FrameError, HEADER_BYTES, Header, Hello, Reply, Request, decode,
    req_id,
};

use crate::pieces::pieces;

/// Two bytes of limit and seed, then a stream; and the same again as packets.
pub fn check(data: &[u8]) {
    let Some(([limit, seed], bytes)) = data.split_first_chunk() else { return };
    let limit = u32::from(*limit) * 8;
    let whole = stream(bytes, limit, 0);
    assert_eq!(whole, stream(bytes, limit, *seed));
    for (header, payload) in &whole.0 {
        message(&Frame { header: *header, payload });
    }
    packets(bytes, limit);
    let _greeting = Hello::decode(bytes);
}

type Frames = Vec<(Header, Vec<u8>)>;

fn stream(bytes: &[u8], limit: u32, seed: u8) -> (Frames, Option<FrameError>) {
    let (mut buffer, mut frames) = (Vec::new(), Vec::new());
    for piece in pieces(bytes, seed) {
        buffer.extend_from_slice(piece);
        loop {
            match decode(&buffer, limit) {
                Ok(Some((frame, used))) => {
                    assert!(frame.payload.len() <= limit as usize);
                    frames.push((frame.header, frame.payload.to_vec()));
                    buffer.drain(..used);
                }
                Ok(None) => break,
                Err(error) => return (frames, Some(error)),
            }
        }
        let most = HEADER_BYTES + limit as usize;
        assert!(buffer.len() < most, "there is a frame in what has so many bytes");
    }
    (frames, None)
}

/// Packets, each with a byte of length before it.
fn packets(mut bytes: &[u8], limit: u32) {
    let mut assembler = Assembler::new(limit);
    while let Some((length, rest)) = bytes.split_first() {
        let (packet, rest) = rest.split_at(usize::from(*length).min(rest.len()));
        bytes = rest;
        let was_half = assembler.is_half();
        match assembler.packet(packet) {
            Ok(Some(frame)) => {
                assert!(!assembler.is_half());
                assert!(frame.header.length <= limit);
                message(&frame);
            }
            Ok(None) => assert!(assembler.is_half() && !was_half),
            Err(_) => return,
        }
    }
}

fn message(frame: &Frame<'_>) {
    let command = frame.header.command;
    let mut out = Vec::new();
    match Request::of(frame) {
        Ok((request, id)) => {
            assert!(frame.is_whole());
            request.encode(id, &mut out).expect("it came in a frame");
            let (again, used) = decode(&out, u32::MAX).expect("no limit").expect("whole");
            assert_eq!(used, out.len());
            assert_eq!(Request::of(&again), Ok((request, id)));
        }
        Err(fault) => {
            let known = [Errno::PROTO, Errno::NOSYS, Errno::INVAL, Errno::MSGSIZE];
            assert!(known.contains(&fault.errno), "{fault}");
            assert_eq!(fault.req_id, req_id(frame.payload));
            Reply::encode_result(command, fault.req_id, fault.errno.result(), &mut out)
                .expect("a number always fits");
            assert_eq!(out.is_empty(), command == 16, "a destroy alone has no answer");
        }
    }
    if let Ok(reply) = Reply::parse(command, frame.payload) {
        answer(&reply);
    }
}

fn answer(reply: &Reply<'_>) {
    let mut out = Vec::new();
    reply.encode(&mut out).expect("it came in a frame");
    let (frame, _) = decode(&out, u32::MAX).expect("no limit").expect("whole");
    let again = Reply::parse(frame.header.command, frame.payload).expect("it was understood");
    assert_eq!((again.command, again.req_id), (reply.command, reply.req_id));
    match (reply.body, again.body) {
        (Body::Listing(one), Body::Listing(other)) => {
            // The malformed one at the end is not said again.
            assert!(one.channels().flatten().eq(other.channels().flatten()));
        }
        (one, other) => assert_eq!(one, other),
    }
}
