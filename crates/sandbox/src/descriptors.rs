// SPDX-License-Identifier: BSD-3-Clause
//! Descriptors that the process inherited.
//!
//! # Safety
//!
//! No crate offers closing a descriptor by its number as a safe
//! function, since it may have an owner. What is closed here has none: it stayed open when the process
//! executed its program, and what the program opens itself is close-on-exec (the standard library and
//! `rustix` open nothing else). A descriptor with that flag is left alone.

#![allow(unsafe_code, reason = "descriptors without an owner are closed by their numbers")]

use std::ffi::c_int;
use std::{fs, io};

use crate::Error;

/// The first descriptor after stdin, stdout and stderr.
const FIRST: c_int = 3;

/// Closes every descriptor that was inherited, but stdin, stdout and stderr.
///
/// # Errors
/// There is no `/proc` to find them in.
pub fn close_inherited() -> Result<(), Error> {
    for descriptor in open()
        .map_err(|source| Error::Kernel { action: "listing inherited descriptors", source })?
    {
        // SAFETY: reads a flag; a number that names no descriptor is an error.
        let flags = unsafe { libc::fcntl(descriptor, libc::F_GETFD) };
        if flags >= 0 && flags & libc::FD_CLOEXEC == 0 {
            // SAFETY: not close-on-exec, so it was inherited, and no value of this process owns it.
            unsafe { libc::close(descriptor) };
        }
    }
    Ok(())
}

fn open() -> io::Result<Vec<c_int>> {
    let mut open = Vec::new();
    for entry in fs::read_dir("/proc/self/fd")? {
        let name = entry?.file_name();
        let number = name.to_str().and_then(|name| name.parse::<c_int>().ok());
        open.extend(number.filter(|number| *number >= FIRST));
    }
    Ok(open)
}
