// SPDX-License-Identifier: BSD-3-Clause
//! A trace as one number, to compare two runs.
//!
//! ```text
//!   event ──► five words ──► Σ word × odd constant ──┐
//!                                                    ├──► xor, × odd constant, fold ──► state
//!   state of the events before ──────────────────────┘
//! ```
//!
//! Two lanes of 64 bits do this, with different constants. The products of an event are
//! independent, so an event costs little more than one step of the state. A single changed word
//! changes each lane, because an odd factor and each step of a state are bijections; for traces
//! with more differences the lanes agree by chance once in 2¹²⁸. It is not a cryptographic hash: it
//! need not resist deliberate collisions.

use std::fmt;

use super::Event;
use crate::pattern::{GOLDEN, mix};

/// All events of a trace as one number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TraceHash([u64; 2]);

/// SplitMix64's first numbers for the seed 0, made odd: for each lane one per word.
const FACTORS: [[u64; 5]; 2] = [
    [factor(1), factor(2), factor(3), factor(4), factor(5)],
    [factor(6), factor(7), factor(8), factor(9), factor(10)],
];

const fn factor(number: u64) -> u64 {
    mix(GOLDEN.wrapping_mul(number)) | 1
}

const STEP: u64 = 0xd6e8_feb8_6659_fd93;

impl Default for TraceHash {
    fn default() -> Self {
        Self([GOLDEN, !GOLDEN])
    }
}

impl TraceHash {
    pub(super) fn of(events: &[Event]) -> Self {
        let mut hash = Self::default();
        for event in events {
            hash.add(event);
        }
        hash
    }

    #[inline]
    fn add(&mut self, event: &Event) {
        let [first, second, third, fourth] = event.what.words();
        let head = event.tick.0 ^ u64::from(event.flow.number()).rotate_left(40);
        let words = [head, first, second, third, fourth];
        let Self(lanes) = self;
        for (lane, factors) in lanes.iter_mut().zip(&FACTORS) {
            let products = words.iter().zip(factors).map(|(word, odd)| word.wrapping_mul(*odd));
            let step = (*lane ^ products.fold(0, u64::wrapping_add)).wrapping_mul(STEP);
            *lane = step ^ step >> 32;
        }
    }

    /// Parses the displayed form: 32 hexadecimal digits in lower case.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        if text.len() != 32 || !text.bytes().all(is_digit) {
            return None;
        }
        let (one, other) = text.split_at_checked(16)?;
        let word = |digits| u64::from_str_radix(digits, 16).ok();
        Some(Self([word(one)?, word(other)?]))
    }

    /// Combines the hashes of two runs.
    #[must_use]
    pub const fn join(self, next: Self) -> Self {
        let Self([one, other]) = self;
        let Self([first, second]) = next;
        Self([mix(one ^ first), mix(other.rotate_left(17) ^ second)])
    }
}

impl fmt::Display for TraceHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self([one, other]) = self;
        write!(f, "{one:016x}{other:016x}")
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::super::{Call, EventKind, OutletEvent, Stage, Trace};
    use crate::contract::{ErrorClass, FlowId, Tick};

    fn hash(events: &[(u64, u32, EventKind)]) -> super::TraceHash {
        let mut trace = Trace::new(100);
        for (tick, flow, what) in events {
            trace.push(Tick(*tick), FlowId::new(*flow), *what);
        }
        trace.hash()
    }

    #[test]
    fn every_field_and_the_order_count() {
        let place = Stage::Ingress;
        let took = |bytes| EventKind::Took { place, bytes };
        let called = |call| EventKind::Called { place, call, refused: None };
        let mut seen = HashSet::new();
        let traces: &[&[(u64, u32, EventKind)]] = &[
            &[],
            &[(0, 1, took(1))],
            &[(1, 1, took(1))],
            &[(0, 2, took(1))],
            &[(0, 1, took(2))],
            &[(0, 1, EventKind::Took { place: Stage::Egress, bytes: 1 })],
            &[(0, 1, EventKind::Holds { place, bytes: 1 })],
            &[(0, 1, took(1)), (0, 1, took(2))],
            &[(0, 1, took(2)), (0, 1, took(1))],
            &[(0, 1, called(Call::Open))],
            &[(0, 1, called(Call::Reset))],
            &[(
                0,
                1,
                EventKind::Called { place, call: Call::Open, refused: Some(ErrorClass::Closed) },
            )],
            &[(0, 1, EventKind::Signalled { place, said: OutletEvent::Closed })],
            &[(0, 1, EventKind::Signalled { place, said: OutletEvent::Failed })],
        ];
        for trace in traces {
            assert!(seen.insert(hash(trace)), "{trace:?}");
            assert_eq!(hash(trace), hash(trace));
        }
    }

    #[test]
    fn a_trace_that_is_too_long_is_cut() {
        let mut trace = Trace::new(2);
        for _ in 0..2 {
            trace.push(Tick(0), FlowId::new(1), EventKind::Stalled);
        }
        assert!(!trace.is_cut());
        trace.push(Tick(0), FlowId::new(1), EventKind::Stalled);
        assert!(trace.is_cut() && trace.events().len() == 2);
        trace.clear();
        assert!(!trace.is_cut() && trace.events().is_empty() && trace.hash() == hash(&[]));
    }
}
