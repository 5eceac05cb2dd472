// SPDX-License-Identifier: BSD-3-Clause
//! Error codes of streams and requests: `errno` numbers, offset by [`APPLICATION`] above the
//! session's own codes.

use becket_wire::codes::APPLICATION;

/// Success.
pub(crate) const OK: u16 = 0;
/// There is no such channel (`ENOENT`).
pub(crate) const NOT_FOUND: u16 = APPLICATION + 2;
/// The operation would block (`EAGAIN`).
pub(crate) const WOULD_BLOCK: u16 = APPLICATION + 11;
/// The producer has a stream already (`EBUSY`).
pub(crate) const BUSY: u16 = APPLICATION + 16;
/// A channel of this name exists (`EEXIST`).
pub(crate) const EXISTS: u16 = APPLICATION + 17;
/// An invalid argument (`EINVAL`).
pub(crate) const INVALID: u16 = APPLICATION + 22;
/// An element without the channel's length.
pub(crate) const WRONG_LENGTH: u16 = INVALID;
/// A limit is reached (`EMFILE`).
pub(crate) const TOO_MANY: u16 = APPLICATION + 24;
/// The channel is closed (`EPIPE`).
pub(crate) const CLOSED: u16 = APPLICATION + 32;
/// An element with a smaller number is missing (`EILSEQ`).
pub(crate) const GAP: u16 = APPLICATION + 84;
/// Longer than allowed (`EMSGSIZE`).
pub(crate) const TOO_LONG: u16 = APPLICATION + 90;
/// Not offered here (`ENOTSUP`).
pub(crate) const UNSUPPORTED: u16 = APPLICATION + 95;
/// Withdrawn by its sender (`ECANCELED`).
pub(crate) const WITHDRAWN: u16 = APPLICATION + 125;

/// The `errno` of a code.
pub(crate) const fn errno(code: u16) -> u16 {
    if code >= APPLICATION { code - APPLICATION } else { code }
}
