// SPDX-License-Identifier: BSD-3-Clause
//! Streams of elements between a session and local channels.
//!
//! | file | contents |
//! |---|---|
//! | `outgoing` | a channel's elements into a stream |
//! | `incoming` | a stream's elements into a channel |
//! | `code` | error codes |
//! | `service` | the services of streams and requests |
//! | `table` | a side's entries by stream |

pub(crate) mod code;
pub(crate) mod incoming;
pub(crate) mod outgoing;
pub(crate) mod service;
pub(crate) mod table;

use becket_wire::{Refused, Session, StreamId};

use crate::blocks::{Announcing, Blocks, PackedBody};
use crate::transport::Link;

/// Ignores the result of a call to the session: the stream or the session has ended, which an event
/// reports, or the caller states why a refusal is harmless.
#[inline]
pub(crate) fn ignore_refusal<T>(_: Result<T, Refused>) {}

/// Sends an element: directly into the link, if there is one and nothing precedes the element;
/// otherwise it is queued in the session.
#[inline]
pub(crate) fn send<'a>(
    (session, link): (&mut Session, Option<&mut (dyn Link + 'a)>),
    blocks: &mut Blocks,
    stream: StreamId,
    (flags, body): (u8, &PackedBody<'_>),
) -> Result<u64, Refused> {
    match link {
        Some(link) => {
            let outlet = &mut Announcing { link, blocks };
            let (slice, owned) = (body.as_slice(), || body.to_bytes());
            session.send_through(outlet, stream, flags, slice, owned)
        }
        None => session.send(stream, flags, body.to_bytes()),
    }
}
