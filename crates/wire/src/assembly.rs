// SPDX-License-Identifier: BSD-3-Clause
//! Assembles the pieces of one stream into elements.
//!
//! `aux` of a piece is the number of bytes that follow it, so the first piece gives the whole length.
//! That is checked and its credit spent before anything is allocated: no element waits for credit
//! partly assembled.
//!
//! ```text
//!                 aux > 0                     aux > 0 (fewer each time)
//!   ┌──────┐  ───────────────▶  ┌──────────┐ ──┐
//!   │ none │                    │ partial  │ ◀─┘
//!   └──────┘  ◀───────────────  └──────────┘
//!    │    ▲        aux = 0: the element
//!    └────┘
//!    aux = 0: the element, borrowed from the frame
//! ```

use bytes::{Bytes, BytesMut};

use crate::{Body, Head, Kind, SessionError, chunk::Chunk, flags};

/// An element of which pieces are missing.
#[derive(Debug)]
pub(crate) struct Assembly {
    kind: Kind,
    sequence: u64,
    flags: u8,
    total: u32,
    follow: u32,
    buffer: BytesMut,
}

/// The place of a piece in its element.
pub(crate) enum Piece<'a> {
    /// The first: an element of `bytes` begins. Check it, spend its credit, then call [`begin`].
    First { bytes: u32 },
    /// A later one, appended.
    Later(Option<Whole<'a>>),
}

/// A complete element.
pub(crate) struct Whole<'a> {
    pub(crate) sequence: u64,
    pub(crate) flags: u8,
    pub(crate) bytes: u32,
    pub(crate) body: Body<'a>,
}

const fn broken(kind: Kind, rule: &'static str) -> SessionError {
    SessionError::Protocol { kind, rule }
}

/// Checks a piece and appends it if it is not the first. `keep`: its bytes are needed, and what has the
/// memory for them.
#[inline]
pub(crate) fn sort<'a>(
    place: &mut Option<Assembly>,
    head: &Head,
    body: &'a [u8],
    keep: Option<&mut Chunk>,
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

/// Appends a piece.
#[inline(never)]
fn later<'a>(
    place: &mut Option<Assembly>,
    head: &Head,
    body: &[u8],
    keep: Option<&mut Chunk>,
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
    if keep.is_some() {
        assembly.buffer.extend_from_slice(body);
    }
    if head.aux > 0 {
        return Ok(None);
    }
    let Assembly { sequence, flags, total: bytes, buffer, .. } =
        place.take().ok_or(broken(kind, "no element"))?;
    let body = match keep {
        Some(chunk) => chunk.end(buffer),
        None => Bytes::new(),
    };
    let body = Body::Owned(body);
    Ok(Some(Whole { sequence, flags, bytes, body }))
}

/// Begins an element whose first piece was checked and whose credit was spent.
#[inline]
pub(crate) fn begin<'a>(
    place: &mut Option<Assembly>,
    head: &Head,
    body: &'a [u8],
    bytes: u32,
    keep: Option<&mut Chunk>,
) -> Option<Whole<'a>> {
    let flags = head.flags & !flags::MORE;
    let sequence = head.sequence;
    if head.aux == 0 {
        return Some(Whole { sequence, flags, bytes, body: Body::Borrowed(body) });
    }
    *place = Some(first(head, body, bytes, keep));
    None
}

/// A partial element.
#[inline(never)]
fn first(head: &Head, body: &[u8], total: u32, keep: Option<&mut Chunk>) -> Assembly {
    let mut buffer = BytesMut::new();
    if let Some(chunk) = keep {
        buffer = chunk.take(total as usize);
        buffer.extend_from_slice(body);
    }
    let Head { kind, sequence, aux: follow, .. } = *head;
    let flags = head.flags & !flags::MORE;
    Assembly { kind, sequence, flags, total, follow, buffer }
}

impl Assembly {
    /// Its length, which is the credit spent.
    pub(crate) const fn bytes(&self) -> u32 {
        self.total
    }

    /// Drops its bytes; later pieces are still counted.
    pub(crate) fn discard(&mut self) {
        self.buffer = BytesMut::new();
    }
}

/// The piece of an element at `offset`, and the number of bytes that follow it.
#[inline]
pub(crate) fn cut(element: &Bytes, offset: usize, piece_max: u32) -> (&[u8], u32) {
    let rest = element.get(offset..).unwrap_or_default();
    let piece = rest.get(..piece_max as usize).unwrap_or(rest);
    (piece, (rest.len() - piece.len()) as u32)
}
