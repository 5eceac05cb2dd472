// SPDX-License-Identifier: BSD-3-Clause
//! Shared memory: a ring each way, in memory that only its writer can write.
//!
//! Two channels carry a connection. The Unix stream over which it was established stays open: it
//! identifies the peer and reports its end, carries file descriptors, and wakes a side that waits
//! for descriptors. Frames go through two segments, one created by each side. A side writes only
//! into its own segment; it maps the peer's read-only, and the seals enforce both:
//!
//! ```text
//!   a segment: one sealed memfd, written by the side that created it, read by the other
//!
//!       0 ┌─────────────────────────────────────────────────────────┐
//!         │ header: magic, version, slots, classes, bytes           │ written once
//!     256 ├─────────────────────────────────────────────────────────┤
//!         │ taken: frames read from the OTHER segment's ring        │ by the consumer of that one
//!     384 ├─────────────────────────────────────────────────────────┤
//!         │ wait: whether this side sleeps, and what for │ last cpu │ by the waiter
//!     512 ├─────────────────────────────────────────────────────────┤
//!         │ bell: a futex on which the OTHER side sleeps            │ by the waker
//!    1024 ├─────────────────────────────────────────────────────────┤
//!         │ ring: slots of 128 B, a frame each                      │ by the producer
//!         ├─────────────────────────────────────────────────────────┤
//!         │ blocks of class 1, of class 2, …: longer bodies         │ by the producer
//!         └─────────────────────────────────────────────────────────┘
//! ```
//!
//! Each word has one writer. Cache lines that different sides write are in different segments; those
//! that one side writes for different purposes are 128 bytes apart, so that neither the line nor its
//! neighbour, which the processor may prefetch with it, bounces without need.
//!
//! | file | contents |
//! |---|---|
//! | `memory` | bounds-checked copies into and out of shared memory; all of the `unsafe` |
//! | `segment` | memfds, created and sealed, or checked and mapped read-only |
//! | `validate` | validation of the peer's values: pure functions |
//! | `arena` | which blocks are in flight, and when they are free again |
//! | `ring` | frames in slots |
//! | `spin` | how long to spin before sleeping |
//! | `doorbell` | sleeping, and waking a sleeping side |
//! | `futex` | the system calls for that |
//! | `endpoint` | both rings and the doorbell of one side |
//! | `handshake` | how two sides exchange segments |
//! | `link` | the transport: rings and a socket |
//! | `error` | errors |
//!
//! # What a hostile peer can do
//!
//! End its own connection, with a [`Violation`] as the cause. It cannot make this side fault (sizes are
//! sealed), make it read or write elsewhere (offsets are checked, on copies), see private memory of
//! this process (the last word is zero-padded), change a body after its validation (bodies are copied
//! out, once), make a wait or a table grow without bound (each has its limit), or write into this
//! side's segment (it is sealed against that).

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
pub use ring::{Consumer, FrameProbe, Producer, Refused, Taken};
pub use segment::{OwnSegment, PeerSegment};
pub use spin::SpinLimits;
pub use validate::{
    Body, CLASSES_MAX, Class, DESCRIPTORS_MAX, Geometry, GeometryError, INLINE_BYTES, SLOT_BYTES,
    SlotMeta, Violation, check_body, check_sequence, check_taken, sequence,
};

#[cfg(test)]
mod tests;
