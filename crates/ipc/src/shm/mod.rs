// SPDX-License-Identifier: BSD-3-Clause
//! Shared memory: a ring each way, in memory that only its writer can write.
//!
//! Two planes carry a connection. The Unix stream over which it was made stays: it says who the
//! peer is and when it died, carries file descriptors, and rings a side that waits for descriptors.
//! Frames go through two segments, one made by each side. What a side writes it writes into its own
//! segment; the other's it maps read-only, and the seals see to it that nobody can do otherwise:
//!
//! ```text
//!   a segment: one sealed memfd, written by the side that made it, read by the other
//!
//!       0 ┌─────────────────────────────────────────────────────────┐
//!         │ header: magic, version, slots, classes, bytes           │ written once
//!     256 ├─────────────────────────────────────────────────────────┤
//!         │ taken: frames read from the OTHER segment's ring        │ by the consumer of that one
//!     384 ├─────────────────────────────────────────────────────────┤
//!         │ wait: does this side sleep, for what │ cpu: last run on │ by the waiter
//!     512 ├─────────────────────────────────────────────────────────┤
//!         │ bell: a futex on which the OTHER side sleeps            │ by the waker
//!    1024 ├─────────────────────────────────────────────────────────┤
//!         │ ring: slots of 128 B, a frame each                      │ by the producer
//!         ├─────────────────────────────────────────────────────────┤
//!         │ blocks of class 1, of class 2, …: longer bodies         │ by the producer
//!         └─────────────────────────────────────────────────────────┘
//! ```
//!
//! Each word has one writer. Lines that different sides write lie in different segments; those that
//! one side writes for different ends lie 128 bytes apart, so that neither the line nor its
//! neighbour, which the processor may fetch with it, goes back and forth without need.
//!
//! | file | idea |
//! |---|---|
//! | `memory` | bounds-checked copies into and out of shared memory; all of the `unsafe` |
//! | `segment` | memfds, made and sealed, or checked and mapped read-only |
//! | `validate` | what is believed of the peer's numbers: pure functions |
//! | `arena` | which blocks are lent, and when they are free again |
//! | `ring` | frames in slots |
//! | `spin` | how long to look before sleeping |
//! | `doorbell` | sleeping, and waking who sleeps |
//! | `futex` | the system calls for that |
//! | `endpoint` | both rings and the doorbell of one side |
//! | `handshake` | how two sides come to share memory |
//! | `link` | the transport: rings beside a socket |
//! | `error` | what goes wrong |
//!
//! # What a hostile peer can do
//!
//! End its own connection, with [`Broken`] to say why. It cannot make this side fault (sizes are
//! sealed), read or write elsewhere (offsets are checked, on copies), see memory of this process
//! (its last word is filled up), change a body after it was judged (bodies are copied out, once),
//! make a wait or a table grow without bound (each has its limit), or write into this side's
//! segment (it is sealed against it).

mod arena;
mod doorbell;
mod endpoint;
mod error;
mod futex;
mod handshake;
mod link;
mod memory;
mod ring;
mod segment;
mod spin;
mod validate;

pub use doorbell::{Doorbell, Ticket, Woken};
pub use endpoint::{Endpoint, EndpointLimits, ShmCounters};
pub use error::ShmError;
pub use handshake::{Handshake, ShmLimits, Side};
pub use link::ShmLink;
pub use memory::OutOfRange;
pub use ring::{Consumer, Lookout, Producer, Refused, Taken};
pub use segment::{OwnSegment, PeerSegment};
pub use spin::SpinLimits;
pub use validate::{
    Body, Broken, CLASSES_MAX, Class, DESCRIPTORS_MAX, Geometry, GeometryError, INLINE_BYTES,
    Place, SLOT_BYTES, check_body, check_sequence, check_taken, sequence,
};

#[cfg(test)]
mod tests;
