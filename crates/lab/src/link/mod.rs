// SPDX-License-Identifier: BSD-3-Clause
//! Links: how the output of a session is cut and carried to the other one.
//!
//! A session needs a transport that keeps bytes in order and loses none. Not every network does
//! that; a link on top of it does.
//!
//! ```text
//!   session ──frames──► packer ──bodies──► sender ──envelopes──► channel ──► receiver ──► session
//!                       cuts, batches      numbers, repeats      delays,     checks,
//!                                             ▲                  loses       puts in order
//!                                             └───── acks ────── channel ◄───────┘
//! ```
//!
//! | link | an envelope is | on its way |
//! |---|---|---|
//! | stream | no envelope: bytes, which arrive in any pieces | – |
//! | message | one frame | as sent |
//! | datagram | up to 1200 bytes of one frame | late, and so out of order |
//! | chunked | up to 256 bytes, wherever frames end | as sent |
//! | batch | up to 8 frames or 4 KiB, held back up to 2 ticks for more | as sent |
//! | interactive | one frame; short ones overtake long ones | out of order |
//! | long_poll | everything up to 16 KiB, one at a time, when the other side asks | late |
//! | lossy_reordered | up to 512 bytes of one frame | lost, doubled, late, out of order |
//!
//! | file | holds |
//! |---|---|
//! | `envelope` | a body with a number and a checksum |
//! | `packer` | frames into bodies |
//! | `sender` | retransmission of unacknowledged envelopes |
//! | `channel` | envelopes in transit |
//! | `receiver` | envelopes back into bytes in order |
//! | `one_way` | all of these, for one direction |
//!
//! # Faults
//!
//! Links with envelopes repair what a [`FaultPlan`](crate::fault::FaultPlan) does to the envelopes.
//! A stream cannot repair anything: a session's frames have no checksum, because sockets have one.
//! So when a plan modifies bytes below a stream, the stream carries envelopes too. They are checked
//! but not retransmitted, like TLS records: the first modified one ends the connection.

mod channel;
mod envelope;
mod one_way;
mod packer;
mod receiver;
mod sender;

pub(crate) use channel::Hazard;
pub(crate) use one_way::{Broken, OneWay};

use strum::{IntoStaticStr, VariantArray};

use crate::all;

/// How the output of a session is cut and carried; see the module's documentation.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, IntoStaticStr, VariantArray,
)]
#[strum(serialize_all = "snake_case")]
pub enum Link {
    /// Bytes, in pieces of any size.
    #[default]
    Stream,
    /// One frame at a time.
    Message,
    /// Packets of bounded length, which may be late.
    Datagram,
    /// Pieces of any length, independent of frames.
    Chunked,
    /// Several frames at once, held back for a while.
    Batch,
    /// Short frames overtake long ones.
    Interactive,
    /// One at a time, when the other side asks.
    LongPoll,
    /// Packets are lost, duplicated, late and out of order.
    LossyReordered,
}

impl Link {
    /// All links.
    pub const ALL: [Self; Self::VARIANTS.len()] = all(Self::VARIANTS);

    /// Name in scenarios and reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.into()
    }

    /// Whether it repairs modified and lost envelopes.
    #[must_use]
    pub const fn repairs(self) -> bool {
        !matches!(self, Self::Stream)
    }
}

/// The properties of a link, in numbers.
#[derive(Debug, Clone, Copy)]
struct Shape {
    cut: Cut,
    /// Envelopes that may be unacknowledged. `None`: there are no acks.
    window: Option<u64>,
    /// Short ones go first.
    short_first: bool,
    /// Ticks for which a sendable body is held back for more, at most.
    hold_ms_max: u32,
    /// Ticks by which an envelope may be late, at most.
    late_ms_max: u32,
    /// A late envelope may be overtaken.
    is_overtaken: bool,
    /// Envelopes of sixteen that are lost.
    lost: u32,
    /// Envelopes of sixteen that arrive twice.
    doubled: u32,
    /// The other side polls: one tick in this many has no outstanding poll.
    asks_ms: Option<u64>,
}

/// Where bodies end.
#[derive(Debug, Clone, Copy)]
struct Cut {
    bytes_max: usize,
    frames_max: usize,
    /// A frame may continue in the next body.
    splits: bool,
    /// The length varies.
    varies: bool,
}

/// Envelopes that may be unacknowledged, and early envelopes that a receiver keeps.
const WINDOW: u64 = 32;

impl Shape {
    const fn of(link: Link) -> Self {
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
        match link {
            Link::Stream => Self {
                cut: Cut { bytes_max: 4096, frames_max: usize::MAX, splits: true, varies: true },
                window: None,
                ..plain
            },
            Link::Message => plain,
            Link::Datagram => Self {
                cut: Cut { bytes_max: 1200, splits: true, ..cut },
                late_ms_max: 3,
                is_overtaken: true,
                ..plain
            },
            Link::Chunked => Self {
                cut: Cut { bytes_max: 256, frames_max: usize::MAX, splits: true, varies: true },
                ..plain
            },
            Link::Batch => {
                Self { cut: Cut { bytes_max: 4096, frames_max: 8, ..cut }, hold_ms_max: 2, ..plain }
            }
            Link::Interactive => Self { short_first: true, ..plain },
            Link::LongPoll => Self {
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
            Link::LossyReordered => Self {
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
