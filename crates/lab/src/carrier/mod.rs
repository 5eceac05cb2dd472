// SPDX-License-Identifier: BSD-3-Clause
//! Carriers: how what the sessions say is cut, and carried from one to the other.
//!
//! A session wants something beneath it that keeps bytes in order and loses none. Not every network
//! is so; a carrier makes it so.
//!
//! ```text
//!   session ──frames──► packer ──bodies──► sender ──envelopes──► channel ──► receiver ──► session
//!                       cuts, batches      numbers, repeats      delays,     checks,
//!                                             ▲                  loses       puts in order
//!                                             └───── acks ────── channel ◄───────┘
//! ```
//!
//! | carrier | an envelope is | on its way |
//! |---|---|---|
//! | stream | no envelope: bytes, which arrive in any pieces | – |
//! | message | one frame | as sent |
//! | datagram | up to 1200 bytes of one frame | late, and so out of order |
//! | chunked | up to 256 bytes, wherever frames end | as sent |
//! | batch | up to 8 frames or 4 KiB, held back up to 2 ticks for more | as sent |
//! | interactive | one frame; short ones overtake long ones | out of order |
//! | long_poll | all there is up to 16 KiB, one at a time, when the other side asks | as sent |
//! | lossy_reordered | up to 512 bytes of one frame | lost, doubled, late, out of order |
//!
//! | file | holds |
//! |---|---|
//! | `envelope` | a body with a number and a check sum |
//! | `packer` | frames into bodies |
//! | `sender` | what was not acknowledged, and is sent again |
//! | `channel` | envelopes on their way, and what becomes of them |
//! | `receiver` | envelopes back into bytes in order |
//! | `link` | all of these, for one direction |
//!
//! # Faults
//!
//! What the network does to envelopes by a [`FaultPlan`](crate::fault::FaultPlan), the carriers with
//! envelopes repair. A stream has nothing to repair with: a session's frames have no check sum, for
//! sockets have one. So when a plan breaks the network below a stream, it carries envelopes too,
//! which are checked and not repeated, as those of TLS: the first that is wrong ends the connection.

mod channel;
mod envelope;
mod link;
mod packer;
mod receiver;
mod sender;

pub(crate) use channel::Hazard;
pub(crate) use link::{BrokenLink, Link};

/// How what the sessions say is cut and carried. See the module's notes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub enum Carrier {
    /// Bytes, in any pieces.
    #[default]
    Stream,
    /// Frame by frame.
    Message,
    /// Packets of bounded length, which may be late.
    Datagram,
    /// Pieces of any length, wherever frames end.
    Chunked,
    /// Several frames at once, held back for a while.
    Batch,
    /// What is short overtakes what is long.
    Interactive,
    /// One at a time, when the other side asks.
    LongPoll,
    /// Packets are lost, doubled, late and out of order.
    LossyReordered,
}

impl Carrier {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Stream,
        Self::Message,
        Self::Datagram,
        Self::Chunked,
        Self::Batch,
        Self::Interactive,
        Self::LongPoll,
        Self::LossyReordered,
    ];

    /// Its name, in scenarios and reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Stream => "stream",
            Self::Message => "message",
            Self::Datagram => "datagram",
            Self::Chunked => "chunked",
            Self::Batch => "batch",
            Self::Interactive => "interactive",
            Self::LongPoll => "long_poll",
            Self::LossyReordered => "lossy_reordered",
        }
    }

    /// Whether it repairs what the network does to its envelopes.
    #[must_use]
    pub const fn repairs(self) -> bool {
        !matches!(self, Self::Stream)
    }
}

/// What a carrier does, in numbers.
#[derive(Debug, Clone, Copy)]
struct Shape {
    cut: Cut,
    /// Envelopes that may be unacknowledged. `None`: nothing is acknowledged.
    window: Option<u64>,
    /// Short ones go first.
    short_first: bool,
    /// Ticks for which what could go is held back for more.
    hold_ms_max: u32,
    /// Ticks that an envelope may be late.
    late_ms_max: u32,
    /// One that is late is overtaken.
    is_overtaken: bool,
    /// Envelopes of sixteen that are lost.
    lost: u32,
    /// Envelopes of sixteen that arrive twice.
    doubled: u32,
    /// The other side asks for more again and again: of so many ticks there is one without.
    asks_ms: Option<u64>,
}

/// Where bodies end.
#[derive(Debug, Clone, Copy)]
struct Cut {
    bytes_max: usize,
    frames_max: usize,
    /// A frame may go on in the next one.
    splits: bool,
    /// Not always the longest.
    varies: bool,
}

/// Envelopes that may be unacknowledged, and that a receiver keeps of those that came too early.
const WINDOW: u64 = 32;

impl Shape {
    const fn of(carrier: Carrier) -> Self {
        let cut = Cut { bytes_max: usize::MAX, frames_max: 1, splits: false, varies: false };
        let plain = Self {
            cut,
            window: Some(WINDOW),
            short_first: false,
            hold_ms_max: 0,
            late_ms_max: 0,
            is_overtaken: false,
            lost: 0,
            doubled: 0,
            asks_ms: None,
        };
        match carrier {
            Carrier::Stream => Self {
                cut: Cut { bytes_max: 4096, frames_max: usize::MAX, splits: true, varies: true },
                window: None,
                ..plain
            },
            Carrier::Message => plain,
            Carrier::Datagram => Self {
                cut: Cut { bytes_max: 1200, splits: true, ..cut },
                late_ms_max: 3,
                is_overtaken: true,
                ..plain
            },
            Carrier::Chunked => Self {
                cut: Cut { bytes_max: 256, frames_max: usize::MAX, splits: true, varies: true },
                ..plain
            },
            Carrier::Batch => {
                Self { cut: Cut { bytes_max: 4096, frames_max: 8, ..cut }, hold_ms_max: 2, ..plain }
            }
            Carrier::Interactive => Self { short_first: true, ..plain },
            Carrier::LongPoll => Self {
                cut: Cut {
                    bytes_max: 16 << 10,
                    frames_max: usize::MAX,
                    splits: true,
                    varies: false,
                },
                window: Some(1),
                late_ms_max: 2,
                asks_ms: Some(8),
                ..plain
            },
            Carrier::LossyReordered => Self {
                cut: Cut { bytes_max: 512, splits: true, ..cut },
                late_ms_max: 5,
                is_overtaken: true,
                lost: 2,
                doubled: 1,
                ..plain
            },
        }
    }
}
