// SPDX-License-Identifier: BSD-3-Clause
//! The rows of the group `ipc`, with their goals and participants.

use super::case::{Case, Sides, Unit};
use super::contest;
use super::floors::{eventfd, futex, memcpy, slots, word};
use super::ours::{c, handed, remote, ring};
use super::peers::{iceoryx2, ipc_channel, seqpacket, shmem_ipc, unix_stream};
use super::place::Place::{self, Apart, Packed};
use super::way::Kind;
use super::work::Work;
use crate::report::Goal;

/// Makes a side with each kind of way.
macro_rules! sides {
    ($($kind:ty),+ $(,)?) => {
        |place, work| Ok(vec![$(contest::side::<$kind>(place, work)?),+])
    };
}

pub(super) use sides;

/// Bytes of a small message.
const SMALL: usize = 64;
/// Bytes of a large one.
const LARGE: usize = 1 << 20;
/// Messages in flight.
const WINDOW: u64 = 64;

/// Rings and floors of which each end is woken.
const RINGS_ASLEEP: Sides =
    sides![ring::Ring, iceoryx2::Events, shmem_ipc::Events, futex::Futex, eventfd::Eventfd];
/// Those that have many messages under way.
const RINGS_FULL: Sides = sides![ring::Ring, iceoryx2::Polling, shmem_ipc::Polling, slots::Slots];
/// Channels, sockets and floors of which each end is woken.
const CHANNELS_ASLEEP: Sides = sides![
    remote::Shared,
    iceoryx2::Events,
    ipc_channel::Bytes,
    unix_stream::Plain,
    seqpacket::Seqpacket,
    futex::Futex,
];
/// Those that have many messages under way.
const CHANNELS_FULL: Sides = sides![
    remote::Shared,
    iceoryx2::Polling,
    ipc_channel::Bytes,
    unix_stream::Coalesced,
    seqpacket::Seqpacket,
    slots::Slots,
];

/// All rows.
pub(crate) fn rows() -> Vec<Case> {
    [ring(), handed_over(), remote()].into_iter().flatten().collect()
}

/// The ring alone.
fn ring() -> Vec<Case> {
    vec![
        case(
            "ring alone: 64 B there and back, awake",
            Apart,
            Work::RoundTrip(SMALL),
            sides![
                ring::Ring,
                iceoryx2::Polling,
                shmem_ipc::Polling,
                unix_stream::Polled,
                word::Word,
                slots::Slots,
            ],
        )
        .goal(Goal::Figure(400.0)),
        case(
            "ring alone: 64 B there and back, packed",
            Packed,
            Work::RoundTrip(SMALL),
            RINGS_ASLEEP,
        )
        .goal(Goal::Figure(2200.0)),
        case("ring alone: 64 B there and back, asleep", Apart, Work::Asleep(SMALL), RINGS_ASLEEP)
            .goal(Goal::Times(1.1, futex::Futex::COLUMN)),
        case("ring alone: 64 B, window of 64", Apart, Work::Window(SMALL, WINDOW), RINGS_FULL)
            .goal(Goal::Figure(60.0)),
        case("ring alone: 64 B one way", Apart, Work::OneWay(SMALL), RINGS_FULL)
            .goal(Goal::Figure(50.0)),
    ]
}

/// Large blocks.
fn handed_over() -> Vec<Case> {
    vec![
        case(
            "1 MiB handed over, there and back, awake",
            Apart,
            Work::RoundTrip(LARGE),
            sides![handed::Handed, iceoryx2::Loans, ipc_channel::Memory, word::Word,],
        )
        .goal(Goal::Figure(450.0)),
        case(
            "1 MiB handed over, there and back, packed",
            Packed,
            Work::RoundTrip(LARGE),
            sides![handed::Handed, ipc_channel::Memory, futex::Futex,],
        )
        .goal(Goal::Figure(2200.0)),
        case("1 MiB filled and read, one way: GB/s", Apart, Work::OneWay(LARGE), |place, work| {
            let sides = sides![
                ring::Ring,
                iceoryx2::Polling,
                ipc_channel::Bytes,
                shmem_ipc::Polling,
                unix_stream::Plain,
                slots::Slots,
            ];
            memcpy::beside(sides, place, work)
        })
        .rate(Unit::GigabytesPerSecond)
        .goal(Goal::Figure(10.0)),
    ]
}

/// Channels of another process.
fn remote() -> Vec<Case> {
    vec![
        case(
            "channels: 64 B there and back, awake",
            Apart,
            Work::RoundTrip(SMALL),
            sides![
                remote::Shared,
                iceoryx2::Polling,
                ipc_channel::Bytes,
                unix_stream::Plain,
                unix_stream::Polled,
                seqpacket::Seqpacket,
                word::Word,
            ],
        )
        .goal(Goal::Figure(650.0)),
        case(
            "channels: 64 B there and back, packed",
            Packed,
            Work::RoundTrip(SMALL),
            CHANNELS_ASLEEP,
        )
        .goal(Goal::Figure(3000.0)),
        case("channels: 64 B there and back, asleep", Apart, Work::Asleep(SMALL), CHANNELS_ASLEEP),
        case(
            "channels of one server: 64 B there and back, awake",
            Apart,
            Work::RoundTrip(SMALL),
            sides![remote::SharedServer, ipc_channel::Bytes, unix_stream::Plain],
        ),
        case("channels: 64 B, window of 64", Apart, Work::Window(SMALL, WINDOW), CHANNELS_FULL),
        case("channels: 64 B one way", Apart, Work::OneWay(SMALL), CHANNELS_FULL),
        case(
            "channels over a Unix socket: 64 B there and back, awake",
            Apart,
            Work::RoundTrip(SMALL),
            sides![remote::Unix, ipc_channel::Bytes, unix_stream::Plain, seqpacket::Seqpacket],
        ),
        case(
            "channels over a Unix socket, window of 64: M requests/s",
            Apart,
            Work::Window(SMALL, WINDOW),
            sides![
                remote::Unix,
                ipc_channel::Bytes,
                unix_stream::Plain,
                unix_stream::Coalesced,
                seqpacket::Seqpacket
            ],
        )
        .rate(Unit::MillionPerSecond)
        .goal(Goal::Figure(1.3)),
        case(
            "channels of one server over a Unix socket, window of 64: M requests/s",
            Apart,
            Work::Window(SMALL, WINDOW),
            sides![remote::UnixServer, unix_stream::Plain, unix_stream::Coalesced],
        )
        .rate(Unit::MillionPerSecond)
        .goal(Goal::Figure(1.3)),
    ]
}

/// Channels of another process from C, and from Rust.
pub(crate) fn of_c(goal: Goal) -> Vec<Case> {
    const SHARED: Sides = sides![c::Shared, remote::Shared];
    const UNIX: Sides = sides![c::Unix, remote::Unix];
    [
        ("channels: 64 B there and back, awake", Apart, Work::RoundTrip(SMALL), SHARED),
        ("channels: 64 B there and back, packed", Packed, Work::RoundTrip(SMALL), SHARED),
        ("channels: 64 B there and back, asleep", Apart, Work::Asleep(SMALL), SHARED),
        ("channels: 64 B, window of 64", Apart, Work::Window(SMALL, WINDOW), SHARED),
        ("channels: 64 B one way", Apart, Work::OneWay(SMALL), SHARED),
        (
            "channels over a Unix socket: 64 B there and back, awake",
            Apart,
            Work::RoundTrip(SMALL),
            UNIX,
        ),
        ("channels over a Unix socket, window of 64", Apart, Work::Window(SMALL, WINDOW), UNIX),
    ]
    .into_iter()
    .map(|(name, place, work, sides)| case(name, place, work, sides).goal(goal))
    .collect()
}

/// A row in nanoseconds, without a goal.
pub(crate) fn case(name: impl Into<String>, place: Place, work: Work, sides: Sides) -> Case {
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
