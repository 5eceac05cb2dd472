// SPDX-License-Identifier: BSD-3-Clause
//! From pieces to elements, on one stream.
//!
//! Each piece's `aux` says how many bytes of the element follow after it, so the first one tells
//! the whole length. It is checked and paid for as a whole before anything is allocated, and no
//! element ever waits half assembled for credit.
//!
//! ```text
//!                 aux > 0                     aux > 0 (fewer each time)
//!   ┌──────┐  ───────────────▶  ┌──────────┐ ──┐
//!   │ none │                    │ half way │ ◀─┘
//!   └──────┘  ◀───────────────  └──────────┘
//!    │    ▲        aux = 0: the element
//!    └────┘
//!    aux = 0: the element, where it lies
//! ```

use bytes::{Bytes, BytesMut};

use crate::{Body, Head, Kind, SessionError, flags};

/// An element on its way in.
#[derive(Debug)]
pub(crate) struct Assembly {
    kind: Kind,
    sequence: u64,
    flags: u8,
    total: u32,
    follow: u32,
    buffer: BytesMut,
}

/// What a piece is.
pub(crate) enum Piece<'a> {
    /// The first: an element of so many bytes begins. Check and pay, then [`begin`].
    First { bytes: u32 },
    /// A later one, put to the others.
    Later(Option<Whole<'a>>),
}

/// An element that is complete.
pub(crate) struct Whole<'a> {
    pub(crate) sequence: u64,
    pub(crate) flags: u8,
    pub(crate) bytes: u32,
    pub(crate) body: Body<'a>,
}

const fn broken(kind: Kind, rule: &'static str) -> SessionError {
    SessionError::Protocol { kind, rule }
}

/// Sorts a piece in. `keep`: its bytes are wanted.
#[inline]
pub(crate) fn sort<'a>(
    place: &mut Option<Assembly>,
    head: &Head,
    body: &'a [u8],
    keep: bool,
) -> Result<Piece<'a>, SessionError> {
    let kind = head.kind;
    if (head.flags & flags::MORE != 0) != (head.aux > 0) {
        return Err(broken(kind, "MORE is set if, and only if, bytes of the element follow"));
    }
    if head.aux > 0 && body.is_empty() {
        return Err(broken(kind, "a piece of an element has no bytes"));
    }
    if place.is_none() {
        let bytes = head.length.checked_add(head.aux);
        let bytes = bytes.ok_or(broken(kind, "an element longer than 4 GiB"))?;
        return Ok(Piece::First { bytes });
    }
    Ok(Piece::Later(later(place, head, body, keep)?))
}

/// Puts a piece to those before it.
#[inline(never)]
fn later<'a>(
    place: &mut Option<Assembly>,
    head: &Head,
    body: &[u8],
    keep: bool,
) -> Result<Option<Whole<'a>>, SessionError> {
    let kind = head.kind;
    let assembly = place.as_mut().ok_or(broken(kind, "no element"))?;
    if (assembly.kind, assembly.sequence) != (kind, head.sequence) {
        return Err(broken(kind, "another element begins before this one is whole"));
    }
    if body.is_empty() || assembly.follow.checked_sub(head.length) != Some(head.aux) {
        return Err(broken(kind, "the pieces do not make up the element's length"));
    }
    assembly.follow = head.aux;
    if keep {
        assembly.buffer.extend_from_slice(body);
    }
    if head.aux > 0 {
        return Ok(None);
    }
    let Assembly { sequence, flags, total: bytes, buffer, .. } =
        place.take().ok_or(broken(kind, "no element"))?;
    let body = Body::Owned(buffer.freeze());
    Ok(Some(Whole { sequence, flags, bytes, body }))
}

/// Begins an element whose first piece has been checked and paid for.
#[inline]
pub(crate) fn begin<'a>(
    place: &mut Option<Assembly>,
    head: &Head,
    body: &'a [u8],
    bytes: u32,
    keep: bool,
) -> Option<Whole<'a>> {
    let flags = head.flags & !flags::MORE;
    let sequence = head.sequence;
    if head.aux == 0 {
        return Some(Whole { sequence, flags, bytes, body: Body::Borrowed(body) });
    }
    *place = Some(first(head, body, bytes, keep));
    None
}

/// An element of which more is to come.
#[inline(never)]
fn first(head: &Head, body: &[u8], total: u32, keep: bool) -> Assembly {
    let mut buffer = BytesMut::new();
    if keep {
        buffer.reserve(total as usize);
        buffer.extend_from_slice(body);
    }
    let Head { kind, sequence, aux: follow, .. } = *head;
    let flags = head.flags & !flags::MORE;
    Assembly { kind, sequence, flags, total, follow, buffer }
}

impl Assembly {
    /// What was paid for it.
    pub(crate) const fn bytes(&self) -> u32 {
        self.total
    }

    /// What it holds is not wanted any more; its pieces are still counted.
    pub(crate) fn discard(&mut self) {
        self.buffer = BytesMut::new();
    }
}

/// Cuts an element for sending: the piece at `offset`, and how many bytes follow it.
#[inline]
pub(crate) fn cut(element: &Bytes, offset: usize, piece_max: u32) -> (&[u8], u32) {
    let rest = element.get(offset..).unwrap_or_default();
    let piece = rest.get(..piece_max as usize).unwrap_or(rest);
    (piece, (rest.len() - piece.len()) as u32)
}
