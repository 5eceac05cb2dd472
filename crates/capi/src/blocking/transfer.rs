// SPDX-License-Identifier: BSD-3-Clause
//! Waiting for, reading and writing file descriptors.
//!
//! A descriptor in blocking mode would block the worker. Such a descriptor is read after it is
//! ready, when a read returns the available bytes; and written after it is ready in pieces that a
//! pipe takes whole, or, if it is a socket, with the flag that makes the call non-blocking.

use std::ffi::{c_int, c_long, c_void};
use std::os::fd::RawFd;

use super::reactor::{self, Direction, last_error};
use super::{ETIMEDOUT, Until};
use crate::boundary::{answer, call};
use crate::errno;

/// A pipe that is ready takes at least this much at once.
const PIECE_BYTES: usize = libc::PIPE_BUF;

/// See `kc_blocking.h`.
#[unsafe(no_mangle)]
pub extern "C" fn kc_io_wait_readable(fd: c_int, timeout_ms: c_long) -> c_int {
    answer(|| reactor::wait(fd, Direction::Readable, Until::of(timeout_ms)))
}

/// See `kc_blocking.h`.
#[unsafe(no_mangle)]
pub extern "C" fn kc_io_wait_writable(fd: c_int, timeout_ms: c_long) -> c_int {
    answer(|| reactor::wait(fd, Direction::Writable, Until::of(timeout_ms)))
}

/// See `kc_blocking.h`.
///
/// # Safety
///
/// `buffer` is valid for `len` writes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kc_io_read(
    fd: c_int,
    buffer: *mut c_void,
    len: usize,
    timeout_ms: c_long,
) -> isize {
    call(errno::EIO as isize, || {
        transfer(fd, Direction::Readable, buffer.is_null(), len, timeout_ms, |done| {
            // SAFETY: `done` is less than `len`.
            unsafe { libc::read(fd, buffer.byte_add(done), len - done) }
        })
    })
}

/// See `kc_blocking.h`.
///
/// # Safety
///
/// `buffer` is valid for `len` reads.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kc_io_write(
    fd: c_int,
    buffer: *const c_void,
    len: usize,
    timeout_ms: c_long,
) -> isize {
    call(errno::EIO as isize, || {
        let may_block = may_block(fd);
        let mut socket = true;
        transfer(fd, Direction::Writable, buffer.is_null(), len, timeout_ms, |done| {
            // SAFETY: `done` is less than `len`.
            let from = unsafe { buffer.byte_add(done) };
            let left = len - done;
            if !may_block {
                // SAFETY: as above.
                return unsafe { libc::write(fd, from, left) };
            }
            if socket {
                // SAFETY: as above.
                let sent = unsafe { libc::send(fd, from, left, libc::MSG_DONTWAIT) };
                if sent >= 0 || last_error() != -libc::ENOTSOCK {
                    return sent;
                }
                socket = false;
            }
            // SAFETY: as above.
            unsafe { libc::write(fd, from, left.min(PIECE_BYTES)) }
        })
    })
}

/// Whether it is in blocking mode.
fn may_block(fd: RawFd) -> bool {
    // SAFETY: passes numbers only.
    let flags = unsafe { libc::fcntl(fd, libc::F_GETFL) };
    flags >= 0 && flags & libc::O_NONBLOCK == 0
}

/// Moves `len` bytes with `piece`, which is passed how many were moved and returns what `read`
/// does.
fn transfer(
    fd: RawFd,
    direction: Direction,
    null: bool,
    len: usize,
    timeout_ms: c_long,
    mut piece: impl FnMut(usize) -> isize,
) -> isize {
    if null && len != 0 {
        return errno::EINVAL as isize;
    }
    let until = Until::of(timeout_ms);
    let mut done = 0;
    while done < len {
        let error = match reactor::wait(fd, direction, until) {
            Ok(()) => match usize::try_from(piece(done)) {
                Ok(0) => break,
                Ok(moved) => {
                    done += moved;
                    continue;
                }
                Err(_) => match last_error() {
                    error if error == -libc::EINTR => continue,
                    // Another thread was faster.
                    error if error == -libc::EAGAIN && !matches!(until, Until::Now) => continue,
                    error if error == -libc::EAGAIN => ETIMEDOUT,
                    error => error,
                },
            },
            Err(error) => error,
        };
        if done == 0 {
            return error as isize;
        }
        break;
    }
    done as isize
}
