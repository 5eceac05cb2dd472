// SPDX-License-Identifier: BSD-3-Clause
//! The rows of the group `ipc`, with their goals and with who takes part.

use super::case::{Case, Unit};
use super::contest::Contestant;
use super::floors::{eventfd, futex, memcpy, slots, word};
use super::peers::{iceoryx2, ipc_channel, seqpacket, shmem_ipc, unix_stream};
use super::place::Place;
use super::way::Kind;
use super::work::Work;
use crate::report::Goal;

/// Makes a side with each kind of way.
macro_rules! sides {
    ($($kind:ty),+ $(,)?) => {
        |place, work| Ok(vec![$(Contestant::of::<$kind>(place, work)?),+])
    };
}

pub(super) use sides;

/// Bytes of a small message.
const SMALL: usize = 64;
/// Bytes of a large one.
const LARGE: usize = 1 << 20;
/// Messages under way.
const WINDOW: u64 = 64;

/// All rows.
pub(crate) fn rows() -> Vec<Case> {
    vec![
        case(
            "64 B there and back, awake",
            Place::Apart,
            Work::RoundTrip(SMALL),
            sides![
                iceoryx2::Polling,
                ipc_channel::Bytes,
                shmem_ipc::Polling,
                unix_stream::Plain,
                unix_stream::Polled,
                seqpacket::Seqpacket,
                word::Word,
                slots::Slots,
            ],
        )
        .goal(Goal::Figure(400.0)),
        case(
            "64 B there and back, packed",
            Place::Packed,
            Work::RoundTrip(SMALL),
            sides![
                iceoryx2::Events,
                ipc_channel::Bytes,
                shmem_ipc::Events,
                unix_stream::Plain,
                seqpacket::Seqpacket,
                futex::Futex,
                eventfd::Eventfd,
            ],
        )
        .goal(Goal::Figure(2200.0)),
        case(
            "64 B there and back, asleep",
            Place::Apart,
            Work::Asleep(SMALL),
            sides![
                iceoryx2::Events,
                ipc_channel::Bytes,
                shmem_ipc::Events,
                unix_stream::Plain,
                seqpacket::Seqpacket,
                futex::Futex,
                eventfd::Eventfd,
            ],
        )
        .goal(Goal::Times(1.1, futex::Futex::COLUMN)),
        case(
            "64 B, window of 64, awake",
            Place::Apart,
            Work::Window(SMALL, WINDOW),
            sides![
                iceoryx2::Polling,
                ipc_channel::Bytes,
                shmem_ipc::Polling,
                unix_stream::Plain,
                unix_stream::Coalesced,
                seqpacket::Seqpacket,
                slots::Slots,
            ],
        )
        .goal(Goal::Figure(60.0)),
        case(
            "64 B one way, awake",
            Place::Apart,
            Work::OneWay(SMALL),
            sides![
                iceoryx2::Polling,
                ipc_channel::Bytes,
                shmem_ipc::Polling,
                unix_stream::Plain,
                unix_stream::Coalesced,
                seqpacket::Seqpacket,
                slots::Slots,
            ],
        )
        .goal(Goal::Figure(50.0)),
        case(
            "1 MiB handed over, there and back, awake",
            Place::Apart,
            Work::RoundTrip(LARGE),
            sides![iceoryx2::Loans, ipc_channel::Memory, word::Word],
        )
        .goal(Goal::Figure(450.0)),
        case(
            "1 MiB filled and read, one way: GB/s",
            Place::Apart,
            Work::OneWay(LARGE),
            |place, work| {
                let sides = sides![
                    iceoryx2::Polling,
                    ipc_channel::Bytes,
                    shmem_ipc::Polling,
                    unix_stream::Plain,
                    slots::Slots,
                ];
                let mut sides: Vec<_> = sides(place, work)?;
                sides.push(memcpy::side(work.bytes())?);
                Ok(sides)
            },
        )
        .rate(Unit::GigabytesPerSecond)
        .goal(Goal::Figure(10.0)),
    ]
}

/// A row in nanoseconds, without a goal.
pub(crate) fn case(
    name: impl Into<String>,
    place: Place,
    work: Work,
    sides: fn(Place, Work) -> Result<Vec<Contestant>, crate::error::BenchError>,
) -> Case {
    Case { name: name.into(), goal: None, unit: Unit::Nanoseconds, place, work, sides }
}

impl Case {
    /// With this goal.
    pub(crate) fn goal(self, goal: Goal) -> Self {
        Self { goal: Some(goal), ..self }
    }

    /// As a rate.
    pub(crate) fn rate(self, unit: Unit) -> Self {
        Self { unit, ..self }
    }
}
