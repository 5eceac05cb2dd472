// SPDX-License-Identifier: BSD-3-Clause
//! Why something was not accepted, or is over: the numbers of the system's errors, above those that
//! are the session's own.

use becket_wire::codes::APPLICATION;

/// Nothing is wrong.
pub(crate) const OK: u16 = 0;
/// There is no such channel (`ENOENT`).
pub(crate) const NOT_FOUND: u16 = APPLICATION + 2;
/// It would have had to wait (`EAGAIN`).
pub(crate) const WOULD_BLOCK: u16 = APPLICATION + 11;
/// The producer has a stream already (`EBUSY`).
pub(crate) const BUSY: u16 = APPLICATION + 16;
/// There is one of this name (`EEXIST`).
pub(crate) const EXISTS: u16 = APPLICATION + 17;
/// It makes no sense, or is not of the channel's length (`EINVAL`).
pub(crate) const INVALID: u16 = APPLICATION + 22;
/// The same, of an element.
pub(crate) const WRONG_LENGTH: u16 = INVALID;
/// There are as many as there may be (`EMFILE`).
pub(crate) const TOO_MANY: u16 = APPLICATION + 24;
/// The channel is closed (`EPIPE`).
pub(crate) const CLOSED: u16 = APPLICATION + 32;
/// One that its producer numbered before it is missing (`EILSEQ`).
pub(crate) const GAP: u16 = APPLICATION + 84;
/// Longer than may be (`EMSGSIZE`).
pub(crate) const TOO_LONG: u16 = APPLICATION + 90;
/// Not offered here (`ENOTSUP`).
pub(crate) const UNSUPPORTED: u16 = APPLICATION + 95;
/// Taken back by who sent it (`ECANCELED`).
pub(crate) const WITHDRAWN: u16 = APPLICATION + 125;

/// The system's error, of a number that is one of these.
pub(crate) const fn errno(code: u16) -> u16 {
    if code >= APPLICATION { code - APPLICATION } else { code }
}
