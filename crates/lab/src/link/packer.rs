// SPDX-License-Identifier: BSD-3-Clause
//! Packs frames into bodies.
//!
//! Invariant: the concatenation of all bodies is the concatenation of all frames.

use std::collections::VecDeque;

use super::Cut;
use crate::choice::Choices;

/// Bytes that may wait here. Beyond that, the session keeps its frames and is notified when there
/// is room.
const WAITING_BYTES_MAX: usize = 256 << 10;
/// Length up to which a frame counts as short, in bytes.
const SHORT_BYTES_MAX: usize = 256;

/// Frames that wait to be sent.
#[derive(Debug)]
pub(super) struct Packer {
    cut: Cut,
    frames: VecDeque<Vec<u8>>,
    /// Bytes of the first frame that were packed already.
    gone: usize,
    bytes: usize,
}

/// The content of one envelope.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Packed {
    pub(super) body: Vec<u8>,
    pub(super) is_short: bool,
}

impl Packer {
    pub(super) const fn new(cut: Cut) -> Self {
        Self { cut, frames: VecDeque::new(), gone: 0, bytes: 0 }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// Whether further frames are refused.
    pub(super) const fn is_full(&self) -> bool {
        self.bytes >= WAITING_BYTES_MAX
    }

    /// Whether the next body would have its maximum size.
    pub(super) fn has_whole(&self) -> bool {
        self.bytes >= self.cut.bytes_max || self.frames.len() >= self.cut.frames_max
    }

    pub(super) fn put(&mut self, frame: Vec<u8>) {
        self.bytes += frame.len();
        self.frames.push_back(frame);
    }

    /// The next body; `None`: nothing waits.
    pub(super) fn pack(&mut self, choices: &mut Choices) -> Option<Packed> {
        let Cut { bytes_max, frames_max, splits, varies } = self.cut;
        let most = u32::try_from(bytes_max).unwrap_or(u32::MAX);
        let bytes_max = if varies && choices.happens(1, 4) {
            1 + choices.below(most) as usize
        } else {
            bytes_max
        };
        let mut body = Vec::new();
        let mut frames = 0;
        while let Some(frame) = self.frames.front().filter(|_| frames < frames_max) {
            let rest = frame.get(self.gone..).unwrap_or_default();
            let room = bytes_max - body.len().min(bytes_max);
            let fits = rest.len() <= room || !splits && body.is_empty();
            if !fits && (!splits || room == 0) {
                break;
            }
            let taken = if fits { rest.len() } else { room };
            body.extend_from_slice(rest.get(..taken).unwrap_or_default());
            self.bytes -= taken;
            self.gone += taken;
            if fits {
                self.frames.pop_front();
                self.gone = 0;
                frames += 1;
            }
        }
        let is_short = body.len() <= SHORT_BYTES_MAX;
        (!body.is_empty()).then_some(Packed { body, is_short })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::super::{Link, Shape};
    use super::*;

    fn bodies(link: Link, lengths: &[usize], choices: &mut Choices) -> Vec<Packed> {
        let mut packer = Packer::new(Shape::of(link).cut);
        let mut all = Vec::new();
        for (at, length) in lengths.iter().enumerate() {
            let frame = vec![at as u8; *length];
            all.extend_from_slice(&frame);
            packer.put(frame);
        }
        let packed: Vec<_> = std::iter::from_fn(|| packer.pack(choices)).collect();
        let joined: Vec<u8> = packed.iter().flat_map(|packed| packed.body.clone()).collect();
        assert!(joined == all && packer.is_empty() && packer.bytes == 0, "{link:?}");
        packed
    }

    #[test]
    fn bodies_in_a_row_are_frames_in_a_row() {
        for link in Link::ALL {
            for seed in 0..50 {
                let mut choices = Choices::seeded(seed);
                let lengths: Vec<_> =
                    (0..choices.below(20)).map(|_| 24 + choices.below(5000) as usize).collect();
                bodies(link, &lengths, &mut choices);
            }
        }
    }

    #[test]
    fn each_link_cuts_frames_as_documented() {
        let lengths = |link| -> Vec<usize> {
            let packed = bodies(link, &[24, 1000, 24, 2000], &mut Choices::replayed(vec![]));
            packed.iter().map(|packed| packed.body.len()).collect()
        };
        assert_eq!(lengths(Link::Message), [24, 1000, 24, 2000]);
        assert_eq!(lengths(Link::Interactive), [24, 1000, 24, 2000]);
        assert_eq!(lengths(Link::Datagram), [24, 1000, 24, 1200, 800]);
        assert_eq!(lengths(Link::Batch), [3048]);
        assert_eq!(lengths(Link::LongPoll), [3048]);
        let chunked = lengths(Link::Chunked);
        assert!(chunked.len() == 12 && chunked[..11].iter().all(|length| *length == 256));
        let lossy = lengths(Link::LossyReordered);
        assert_eq!(lossy, [24, 512, 488, 24, 512, 512, 512, 464]);
        let eight = bodies(Link::Batch, &[24; 20], &mut Choices::replayed(vec![]));
        assert_eq!(eight.iter().map(|packed| packed.body.len()).max(), Some(8 * 24));
    }
}
