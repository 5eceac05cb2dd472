// SPDX-License-Identifier: BSD-3-Clause
//! The numbers with which C functions fail: negative, each the `errno` of the system it is built
//! for, so that they are what `port/posix.h` says.

use libc::c_int;

/// It happened.
pub const OK: c_int = 0;
/// It would have had to wait (`KC_EAGAIN`).
pub const EAGAIN: c_int = -libc::EAGAIN;
/// Closed, and nothing is left (`KC_EPIPE`).
pub const EPIPE: c_int = -libc::EPIPE;
/// The bounded wait elapsed (`KC_ETIME`; not `ETIMEDOUT`).
pub const ETIME: c_int = -libc::ETIME;
/// The token is set (`KC_ECANCELED`).
pub const ECANCELED: c_int = -libc::ECANCELED;
/// The channel or the platform does not offer this (`KC_ENOTSUP`).
pub const ENOTSUP: c_int = -libc::ENOTSUP;
/// An argument that makes no sense.
pub const EINVAL: c_int = -libc::EINVAL;
/// No memory.
pub const ENOMEM: c_int = -libc::ENOMEM;
/// Nothing of that name or number.
pub const ENOENT: c_int = -libc::ENOENT;
/// A table is full.
pub const ENOSPC: c_int = -libc::ENOSPC;
/// It is under way already.
pub const EALREADY: c_int = -libc::EALREADY;
/// The library failed inside: a panic was contained (see `boundary`). A bug.
pub const EIO: c_int = -libc::EIO;
/// A file that is too large.
pub const EFBIG: c_int = -libc::EFBIG;
