// SPDX-License-Identifier: BSD-3-Clause
//! Bytes to frames of protocol 2. What holds of any bytes:
//!
//! 1. However they are cut, the same frames come out, and the same end.
//! 2. No body is longer than the limit, and no buffer needs to be longer than the longest frame.
//! 3. A frame is the bytes that it was read from.

use becket_wire::{DecodeError, Decoder, HEAD_BYTES, Head};

use crate::pieces::pieces;

type Frames = Vec<(Head, Vec<u8>)>;

/// Two bytes of limit and seed, then frames.
pub fn check(data: &[u8]) {
    let Some(([limit, seed], bytes)) = data.split_first_chunk() else { return };
    let limit = u32::from(*limit) * 4;
    let whole = stream(bytes, limit, 0);
    assert_eq!(whole, stream(bytes, limit, *seed));
    let said: Vec<u8> =
        whole.0.iter().flat_map(|(head, body)| [&head.encode()[..], body].concat()).collect();
    assert!(bytes.starts_with(&said));
    let decoder = Decoder::new(limit);
    if let Ok(Some(frame)) = decoder.packet(bytes) {
        assert_eq!(whole.0, [(frame.head, frame.body.to_vec())]);
    }
}

fn stream(bytes: &[u8], limit: u32, seed: u8) -> (Frames, Option<DecodeError>) {
    let decoder = Decoder::new(limit);
    let (mut buffer, mut frames) = (Vec::new(), Vec::new());
    for piece in pieces(bytes, seed) {
        buffer.extend_from_slice(piece);
        loop {
            let needs = decoder.needs(&buffer);
            match decoder.decode(&buffer) {
                Ok(Some((frame, used))) => {
                    assert_eq!(needs, Ok(Some(used)));
                    assert_eq!(used, HEAD_BYTES + frame.body.len());
                    assert_eq!(frame.head.length as usize, frame.body.len());
                    assert!(frame.head.length <= limit);
                    frames.push((frame.head, frame.body.to_vec()));
                    buffer.drain(..used);
                }
                Ok(None) => {
                    let needs = needs.expect("as decode says");
                    assert!(needs.is_none_or(|needs| needs > buffer.len()));
                    assert!(buffer.len() < HEAD_BYTES + limit as usize);
                    break;
                }
                Err(error) => {
                    assert_eq!(needs, Err(error));
                    return (frames, Some(error));
                }
            }
        }
    }
    (frames, None)
}
