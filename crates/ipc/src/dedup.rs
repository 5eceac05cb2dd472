// SPDX-License-Identifier: BSD-3-Clause
//! What a channel remembers of producers that number their elements: the highest number that it has
//! accepted of each.
//!
//! ```text
//!   element on such a stream        number against highest        answer
//!   ┌────────────────┬─────────┐    ≤ highest                     ack, not sent again
//!   │ number, u64 LE │  bytes  │    = highest + 1                 into the channel, ack, highest + 1
//!   └────────────────┴─────────┘    > highest + 1                 nack: a predecessor is missing
//! ```
//!
//! A producer is identified by 128 bits that its client chose. It is in the table while it has an
//! open stream, and after that until [`PRODUCERS_MAX`] other producers have been used since.
//!
//! # Invariants
//!
//! 1. A number is accepted only directly after its predecessor: `highest = n` means that 1 to n
//!    have been accepted, each once, and nothing else.
//! 2. A producer has one stream at a time, so that an element that waits in the channel for one
//!    stream cannot be sent by another. A second stream is refused; the first ends with its
//!    connection.
//! 3. Between an element's acceptance and the end of its stream its number is in the table.
//! 4. At most [`PRODUCERS_MAX`] are remembered. At the bound the producer whose last stream ended
//!    first is forgotten; if all have a stream, the next producer is refused.
//! 5. An entry has a random mark. A client that reconnects and finds another mark learns that its
//!    producer was forgotten.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

/// The maximum number of producers that a channel remembers.
pub(crate) const PRODUCERS_MAX: usize = 1024;

/// The length of a producer id, in front of the channel's name when it is opened.
pub(crate) const PRODUCER_BYTES: usize = 16;
/// The length of a number, in front of each element.
pub(crate) const NUMBER_BYTES: usize = 8;

/// What a client learns of its producer when it opens a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Remembered {
    /// The entry's mark.
    pub(crate) mark: u64,
    /// The highest number accepted.
    pub(crate) highest: u64,
}

/// Why a producer's stream is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Denied {
    /// It has an open stream.
    Open,
    /// All remembered producers have an open stream.
    TooMany,
}

/// The producers of one channel.
#[derive(Debug, Default)]
pub(crate) struct Producers {
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    by_id: HashMap<u128, Entry>,
    /// Counts ended streams: the order in which entries are forgotten.
    ended: u64,
}

#[derive(Debug)]
struct Entry {
    remembered: Remembered,
    /// The order in which its last stream ended; `None`: it has an open stream.
    ended: Option<u64>,
}

/// How an element's number relates to the accepted ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NumberOrder {
    /// The next number.
    Next,
    /// Accepted already.
    Again,
    /// A predecessor is missing.
    Gap,
}

/// The open stream of a producer.
#[derive(Debug)]
pub(crate) struct Producer {
    producers: Arc<Producers>,
    id: u128,
    remembered: Remembered,
}

impl Producers {
    /// Registers a stream of the producer.
    pub(crate) fn open(self: &Arc<Self>, id: u128) -> Result<Producer, Denied> {
        let mut table = self.table.lock();
        if !table.by_id.contains_key(&id) {
            table.make_room()?;
        }
        let entry = table.by_id.entry(id).or_insert_with(|| {
            let remembered = Remembered { mark: fastrand::u64(..), highest: 0 };
            Entry { remembered, ended: Some(0) }
        });
        entry.ended.take().ok_or(Denied::Open)?;
        Ok(Producer { producers: self.clone(), id, remembered: entry.remembered })
    }
}

impl Table {
    fn make_room(&mut self) -> Result<(), Denied> {
        if self.by_id.len() < PRODUCERS_MAX {
            return Ok(());
        }
        let idle = self.by_id.iter().filter_map(|(id, entry)| Some((entry.ended?, *id)));
        let (_, oldest) = idle.min().ok_or(Denied::TooMany)?;
        self.by_id.remove(&oldest);
        Ok(())
    }
}

impl Producer {
    pub(crate) const fn remembered(&self) -> Remembered {
        self.remembered
    }

    /// How this number relates to the accepted ones.
    pub(crate) const fn compare(&self, number: u64) -> NumberOrder {
        let highest = self.remembered.highest;
        if number <= highest {
            NumberOrder::Again
        } else if number - highest == 1 {
            NumberOrder::Next
        } else {
            NumberOrder::Gap
        }
    }

    /// The channel has accepted the next element.
    pub(crate) fn accepted(&mut self) {
        self.remembered.highest = self.remembered.highest.saturating_add(1);
    }
}

impl Drop for Producer {
    fn drop(&mut self) {
        let table = &mut *self.producers.table.lock();
        table.ended += 1;
        if let Some(entry) = table.by_id.get_mut(&self.id) {
            entry.remembered = self.remembered;
            entry.ended = Some(table.ended);
        }
    }
}

/// Prefixes a channel's name with its producer, and splits it again.
pub(crate) fn with_producer(id: u128, name: &str) -> Vec<u8> {
    [&id.to_le_bytes(), name.as_bytes()].concat()
}

pub(crate) fn split_producer(name: &[u8]) -> Option<(u128, &[u8])> {
    let (id, name) = name.split_first_chunk::<PRODUCER_BYTES>()?;
    Some((u128::from_le_bytes(*id), name))
}

/// Prefixes an element with its number, and reads it again.
pub(crate) fn with_number(number: u64, element: &[u8]) -> Vec<u8> {
    [&number.to_le_bytes(), element].concat()
}

pub(crate) fn number_of(element: &[u8]) -> Option<u64> {
    element.first_chunk::<NUMBER_BYTES>().map(|number| u64::from_le_bytes(*number))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Whatever numbers arrive, over however many streams: those accepted are 1, 2, 3 and so
        /// on.
        #[test]
        fn numbers_are_accepted_once_and_in_order(
            streams in prop::collection::vec(
                prop::collection::vec(prop_oneof![0..12_u64, Just(u64::MAX)], 0..20),
                1..8,
            ),
        ) {
            let producers = Arc::new(Producers::default());
            let mut accepted = Vec::new();
            let mut mark = None;
            for numbers in streams {
                let mut producer = producers.open(7).unwrap();
                let remembered = producer.remembered();
                prop_assert_eq!(remembered.highest, accepted.len() as u64);
                prop_assert_eq!(*mark.get_or_insert(remembered.mark), remembered.mark);
                for number in numbers {
                    match producer.compare(number) {
                        NumberOrder::Next => {
                            producer.accepted();
                            accepted.push(number);
                        }
                        NumberOrder::Again => prop_assert!(number <= accepted.len() as u64),
                        NumberOrder::Gap => prop_assert!(number > accepted.len() as u64 + 1),
                    }
                }
            }
            prop_assert!(accepted.iter().copied().eq(1..=accepted.len() as u64));
        }
    }

    #[test]
    fn a_producer_has_one_stream() {
        let producers = Arc::new(Producers::default());
        let first = producers.open(1).unwrap();
        assert_eq!(producers.open(1).unwrap_err(), Denied::Open);
        let _other = producers.open(2).unwrap();
        drop(first);
        producers.open(1).unwrap();
    }

    #[test]
    fn at_the_bound_the_producer_unused_for_longest_is_forgotten() {
        let producers = Arc::new(Producers::default());
        let mark = |id| producers.open(id).unwrap().remembered().mark;
        let used = producers.open(0).unwrap();
        let marks: Vec<u64> = (1..PRODUCERS_MAX as u128).map(mark).collect();
        assert_eq!(mark(1), marks[0]);
        // Producer 2 has been unused for longest now.
        mark(PRODUCERS_MAX as u128);
        assert_eq!(mark(1), marks[0]);
        assert_eq!(mark(3), marks[2]);
        assert_ne!(mark(2), marks[1]);
        assert_eq!(producers.open(0).unwrap_err(), Denied::Open);
        drop(used);
        assert_eq!(producers.table.lock().by_id.len(), PRODUCERS_MAX);
    }

    #[test]
    fn when_all_producers_are_in_use_another_is_refused() {
        let producers = Arc::new(Producers::default());
        let all: Vec<_> =
            (0..PRODUCERS_MAX as u128).map(|id| producers.open(id).unwrap()).collect();
        assert_eq!(producers.open(u128::MAX).unwrap_err(), Denied::TooMany);
        drop(all);
        producers.open(u128::MAX).unwrap();
    }

    #[test]
    fn a_short_name_has_no_producer_and_a_short_element_no_number() {
        let name = with_producer(5, "jobs");
        assert_eq!(split_producer(&name), Some((5, b"jobs".as_slice())));
        assert_eq!(split_producer(&name[..15]), None);
        assert_eq!(number_of(&[0; 7]), None);
        assert_eq!(number_of(&[1, 0, 0, 0, 0, 0, 0, 0, 9]), Some(1));
    }
}
