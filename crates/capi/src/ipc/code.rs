// SPDX-License-Identifier: BSD-3-Clause
//! Error numbers of the system and of the wire, in C's form.

use std::ffi::c_int;

use becket_wire::v1::Errno;

pub(super) const ECONNRESET: c_int = -libc::ECONNRESET;
pub(super) const EPROTO: c_int = -libc::EPROTO;
pub(super) const EMSGSIZE: c_int = -libc::EMSGSIZE;
pub(super) const ENOBUFS: c_int = -libc::ENOBUFS;
pub(super) const ECONNABORTED: c_int = -libc::ECONNABORTED;

/// The error of a system call.
pub(super) fn of_system(errno: rustix::io::Errno) -> c_int {
    -errno.raw_os_error()
}

/// A `RESULT`. Its numbers are Linux's, C's are the system's.
pub(super) fn of_wire(result: i32) -> c_int {
    match Errno::from_result(result) {
        None => result,
        Some(Errno::NOENT) => -libc::ENOENT,
        Some(Errno::AGAIN) => -libc::EAGAIN,
        Some(Errno::NOMEM) => -libc::ENOMEM,
        Some(Errno::INVAL) => -libc::EINVAL,
        Some(Errno::NOSPC) => -libc::ENOSPC,
        Some(Errno::PIPE) => -libc::EPIPE,
        Some(Errno::NOSYS) => -libc::ENOSYS,
        Some(Errno::TIME) => -libc::ETIME,
        Some(Errno::PROTO) => EPROTO,
        Some(Errno::MSGSIZE) => EMSGSIZE,
        Some(Errno::CONNRESET) => ECONNRESET,
        Some(Errno::CANCELED) => -libc::ECANCELED,
        Some(_) => result,
    }
}
