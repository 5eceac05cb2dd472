// SPDX-License-Identifier: BSD-3-Clause
//! Whether bytes that were written to an HTTP/2 connection belong to an answer.
//!
//! ```text
//!   │ length 3 │ type 1 │ flags 1 │ stream 4 │ payload, `length` bytes │ the next frame …
//! ```
//!
//! A client that only sends PING or SETTINGS frames has each of them acknowledged. Those writes are
//! no activity: it would keep its connection for ever without a request.

/// Frames that answer requests: DATA, HEADERS, PUSH_PROMISE, CONTINUATION (RFC 9113, section 6).
const ANSWERS: [u8; 4] = [0x0, 0x1, 0x5, 0x9];

const HEAD_BYTES: usize = 9;

/// Follows the frames of what is written.
#[derive(Debug, Default)]
pub(super) struct FrameScan {
    /// The length and the type of the frame that is being written.
    head: [u8; 4],
    /// How much of its head was written.
    head_written: usize,
    /// What is left of its payload.
    payload_left: usize,
    /// It answers a request.
    is_answer: bool,
}

impl FrameScan {
    /// These bytes were written. True if some of them belong to an answer.
    pub(super) fn wrote(&mut self, mut bytes: &[u8]) -> bool {
        let mut has_answer = false;
        while let Some((&byte, rest)) = bytes.split_first() {
            if self.payload_left > 0 {
                let taken = self.payload_left.min(bytes.len());
                self.payload_left -= taken;
                has_answer |= self.is_answer;
                bytes = bytes.get(taken..).unwrap_or_default();
                continue;
            }
            if let Some(place) = self.head.get_mut(self.head_written) {
                *place = byte;
            }
            self.head_written += 1;
            bytes = rest;
            if self.head_written == HEAD_BYTES {
                let [high, middle, low, kind] = self.head;
                self.payload_left = u32::from_be_bytes([0, high, middle, low]) as usize;
                self.is_answer = ANSWERS.contains(&kind);
                has_answer |= self.is_answer;
                self.head_written = 0;
            }
        }
        has_answer
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, len: usize) -> Vec<u8> {
        let mut frame = (len as u32).to_be_bytes()[1..].to_vec();
        frame.extend([kind, 0, 0, 0, 0, 1]);
        // Payload that looks like the head of another kind.
        frame.resize(HEAD_BYTES + len, kind ^ 1);
        frame
    }

    #[test]
    fn answers_are_told_from_acknowledgements_however_they_are_cut() {
        const PING: u8 = 0x6;
        const SETTINGS: u8 = 0x4;
        const WINDOW_UPDATE: u8 = 0x8;
        for cut in 1..40 {
            let mut scan = FrameScan::default();
            let written = |scan: &mut FrameScan, frame: &[u8]| {
                frame.chunks(cut).fold(false, |is_answer, piece| scan.wrote(piece) | is_answer)
            };
            for (kind, len) in [(PING, 8), (SETTINGS, 0), (WINDOW_UPDATE, 4), (PING, 8)] {
                assert!(!written(&mut scan, &frame(kind, len)), "{kind} in pieces of {cut}");
            }
            for (kind, len) in [(0x1, 30), (0x0, 0), (0x0, 300), (0x9, 1)] {
                assert!(written(&mut scan, &frame(kind, len)), "{kind} in pieces of {cut}");
            }
            assert!(!written(&mut scan, &frame(PING, 8)));
        }
    }

    #[test]
    fn a_long_payload_is_an_answer_to_its_last_byte() {
        let mut scan = FrameScan::default();
        let data = frame(0x0, 70_000);
        assert!(data.chunks(1_000).all(|piece| scan.wrote(piece)));
        assert!(!scan.wrote(&frame(0x6, 8)));
    }
}
