// SPDX-License-Identifier: BSD-3-Clause
//! The target behind the server's session: it receives requests and responds.

use strum::{IntoStaticStr, VariantArray};

use crate::all;
use crate::choice::Choices;
use crate::contract::Tick;

/// The behaviour of a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
#[non_exhaustive]
pub enum Behaviour {
    /// Returns the request as it arrives.
    Echo,
    /// Takes everything and responds with nothing.
    Discard,
    /// 1024 bytes after the end of the request.
    FixedResponse,
    /// 2048 bytes, half of them two ticks later.
    SlowResponse,
    /// 4096 bytes in four chunks.
    ChunkedResponse,
    /// 256 KiB.
    LargeObject,
    /// An error.
    ErrorResponse,
    /// As many bytes as came, 256 at most, then a reset.
    ResetMidstream,
    /// 1024 bytes in sixteen chunks, one each tick.
    DripResponse,
    /// 2048 bytes in two to six chunks of any length.
    JitteryResponse,
    /// 2048 bytes in eight chunks, one each tick since the flow was opened. It waits for no
    /// request, and ends after its last byte, however much of the request is still to come.
    UnpromptedResponse,
    /// As [`Self::Echo`], while both sessions also exercise every other function of a session.
    BusyEcho,
}

/// How a response ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// In order.
    Final,
    /// By an error of the target.
    Error,
    /// By a reset from the target.
    Reset,
}

/// The response to a request, or to the opening of a flow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Chunks: delay in ticks after the end of the request, or after the opening of the flow if the
    /// target waits for no request, and length in bytes. Empty for an echo, which returns the
    /// request.
    pub chunks: Vec<(u64, u64)>,
    /// How it ends.
    pub ending: Ending,
}

impl Behaviour {
    /// All behaviours except the one that exercises the session.
    pub const ALL: [Self; Self::VARIANTS.len() - 1] = all(Self::VARIANTS);

    /// All behaviours.
    pub const EVERY: [Self; Self::VARIANTS.len()] = all(Self::VARIANTS);

    /// Name in scenarios and reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.into()
    }

    /// Whether it returns the request as it arrives.
    #[must_use]
    pub const fn is_echo(self) -> bool {
        matches!(self, Self::Echo | Self::BusyEcho)
    }

    /// Whether both sessions do more than carry flows.
    #[must_use]
    pub const fn is_busy(self) -> bool {
        matches!(self, Self::BusyEcho)
    }

    /// Whether it responds before the request.
    #[must_use]
    pub const fn is_unprompted(self) -> bool {
        matches!(self, Self::UnpromptedResponse)
    }

    /// Whether its response ends in order.
    #[must_use]
    pub const fn ends_in_order(self) -> bool {
        !matches!(self, Self::ErrorResponse | Self::ResetMidstream)
    }

    /// The response to a request of `request_bytes` bytes that has ended, or of which nothing has
    /// come yet.
    pub fn answer(self, request_bytes: u64, choices: &mut Choices) -> Answer {
        let (chunks, ending) = match self {
            Self::Echo | Self::BusyEcho | Self::Discard => (Vec::new(), Ending::Final),
            Self::FixedResponse => (vec![(0, 1024)], Ending::Final),
            Self::SlowResponse => (vec![(0, 1024), (2, 1024)], Ending::Final),
            Self::ChunkedResponse => (vec![(0, 1024); 4], Ending::Final),
            Self::LargeObject => (vec![(0, 32 << 10); 8], Ending::Final),
            Self::ErrorResponse => (Vec::new(), Ending::Error),
            Self::ResetMidstream => match request_bytes.min(256) {
                0 => (Vec::new(), Ending::Reset),
                bytes => (vec![(0, bytes)], Ending::Reset),
            },
            Self::DripResponse => ((0..16).map(|at| (at, 64)).collect(), Ending::Final),
            Self::JitteryResponse => (jittery(choices), Ending::Final),
            Self::UnpromptedResponse => ((0..8).map(|at| (at, 256)).collect(), Ending::Final),
        };
        Answer { chunks, ending }
    }
}

const JITTERY_BYTES: u64 = 2048;

fn jittery(choices: &mut Choices) -> Vec<(u64, u64)> {
    let pieces = u64::from(2 + choices.below(5));
    let (mut chunks, mut left) = (Vec::new(), JITTERY_BYTES);
    for piece in 1..=pieces {
        let most = left - (pieces - piece);
        let bytes = if piece == pieces { left } else { 1 + u64::from(choices.below(most as u32)) };
        chunks.push((piece - 1, bytes));
        left -= bytes;
    }
    chunks
}

/// When a part of a response is due.
#[must_use]
pub(crate) fn due(began: Tick, after: u64) -> Tick {
    began.after(after)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_as_the_table_says() {
        let mut choices = Choices::seeded(1);
        let mut sums = Vec::new();
        for behaviour in Behaviour::ALL {
            let answer = behaviour.answer(1000, &mut choices);
            sums.push((answer.chunks.len(), answer.chunks.iter().map(|chunk| chunk.1).sum()));
        }
        assert_eq!(sums.pop(), Some((8, 2048)));
        let jittery = sums.pop();
        let expected: [(usize, u64); 9] = [
            (0, 0),
            (0, 0),
            (1, 1024),
            (2, 2048),
            (4, 4096),
            (8, 256 << 10),
            (0, 0),
            (1, 256),
            (16, 1024),
        ];
        assert_eq!(sums, expected);
        assert!(jittery.is_some_and(|(pieces, bytes)| (2..=6).contains(&pieces) && bytes == 2048));
        let short = Behaviour::ResetMidstream.answer(7, &mut choices);
        assert_eq!((short.chunks, short.ending), (vec![(0, 7)], Ending::Reset));
    }

    #[test]
    fn a_jittery_answer_is_whole_for_every_seed() {
        let mut counts = [0; 7];
        for seed in 0..2000 {
            let answer = Behaviour::JitteryResponse.answer(0, &mut Choices::seeded(seed));
            assert_eq!(answer.chunks.iter().map(|chunk| chunk.1).sum::<u64>(), JITTERY_BYTES);
            assert!(answer.chunks.iter().all(|chunk| chunk.1 > 0));
            counts[answer.chunks.len()] += 1;
        }
        assert!(counts[2..].iter().all(|count| *count > 200), "{counts:?}");
    }
}
