// SPDX-License-Identifier: BSD-3-Clause
//! Descriptions for a person, written to a file descriptor of C's.

use std::ffi::c_int;
use std::fs::File;
use std::io::Write as _;
use std::mem::ManuallyDrop;
use std::os::fd::FromRawFd as _;

use crate::errno;

/// Writes all of the text, or returns the error.
///
/// # Safety
///
/// `fd` is negative, or open during the call.
pub(crate) unsafe fn write(fd: c_int, text: &str) -> Result<(), c_int> {
    if fd < 0 {
        return Err(errno::EBADF);
    }
    // SAFETY: the caller's promise; it stays C's, and is not closed here.
    let mut file = ManuallyDrop::new(unsafe { File::from_raw_fd(fd) });
    let written = file.write_all(text.as_bytes());
    written.map_err(|error| error.raw_os_error().map_or(errno::EIO, |code| -code))
}
