// SPDX-License-Identifier: BSD-3-Clause
//! Where a frame ends in a buffer of bytes.

use becket_wire::{Frame, HEAD_BYTES, Head};

use super::error::LinkError;

/// The frame that the buffer begins with, and its bytes; `None`: not all of it is there.
///
/// The length is checked as soon as the head is there.
pub(crate) fn split_frame(
    buffer: &[u8],
    body_bytes_max: usize,
) -> Result<Option<(Frame<'_>, usize)>, LinkError> {
    let Some((head, rest)) = buffer.split_first_chunk::<HEAD_BYTES>() else { return Ok(None) };
    let head = Head::decode(head)?;
    let bytes = head.length as usize;
    if bytes > body_bytes_max {
        return Err(LinkError::BodyTooLong { bytes, bytes_max: body_bytes_max });
    }
    Ok(rest.get(..bytes).map(|body| (Frame { head, body }, HEAD_BYTES + bytes)))
}
