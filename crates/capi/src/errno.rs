// SPDX-License-Identifier: BSD-3-Clause
//! The error numbers of C functions: negative, each the `errno` of the system it is built for, so
//! that they are equal to `port/posix.h`'s.

use libc::c_int;

/// Success.
pub const OK: c_int = 0;
/// The operation would have to wait (`KC_EAGAIN`).
pub const EAGAIN: c_int = -libc::EAGAIN;
/// Closed and drained (`KC_EPIPE`).
pub const EPIPE: c_int = -libc::EPIPE;
/// The timeout elapsed (`KC_ETIME`; not `ETIMEDOUT`).
pub const ETIME: c_int = -libc::ETIME;
/// The token is set (`KC_ECANCELED`).
pub const ECANCELED: c_int = -libc::ECANCELED;
/// The channel or the platform does not support this (`KC_ENOTSUP`).
pub const ENOTSUP: c_int = -libc::ENOTSUP;
/// An invalid argument.
pub const EINVAL: c_int = -libc::EINVAL;
/// No memory.
pub const ENOMEM: c_int = -libc::ENOMEM;
/// No object of that name or number.
pub const ENOENT: c_int = -libc::ENOENT;
/// A table is full.
pub const ENOSPC: c_int = -libc::ENOSPC;
/// It is in progress already.
pub const EALREADY: c_int = -libc::EALREADY;
/// An internal failure: a panic was contained (see `boundary`). A bug.
pub const EIO: c_int = -libc::EIO;
/// A file that is too large.
pub const EFBIG: c_int = -libc::EFBIG;
/// No open file.
pub const EBADF: c_int = -libc::EBADF;
/// A wait for itself.
pub const EDEADLK: c_int = -libc::EDEADLK;
