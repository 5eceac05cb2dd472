// SPDX-License-Identifier: BSD-3-Clause
//! The destination of data: stdout, or, after a plugin was loaded, the original stdout.
//!
//! ```text
//!   before            fd 1 ──► the reader
//!   take_for_data()   fd 1 ──► stderr        output of a plugin is visible, but not data
//!                     TAKEN ─► the reader    output of this command
//! ```

use std::fs::File;
#[cfg(feature = "lab")]
use std::io::IsTerminal;
use std::io::{self, BufWriter, Write};
use std::os::fd::AsFd;
use std::sync::OnceLock;

use anstream::AutoStream;

/// The original stdout, if it was taken over.
static TAKEN: OnceLock<File> = OnceLock::new();

/// Takes over stdout: from here on, writes of other code to fd 1 go to stderr.
pub(crate) fn take() -> io::Result<File> {
    let own = io::stdout().as_fd().try_clone_to_owned()?;
    rustix::stdio::dup2_stdout(io::stderr())?;
    Ok(own.into())
}

/// Takes over stdout for this command's output. Call it before the first plugin is loaded; further
/// calls have no effect.
pub(crate) fn take_for_data() -> io::Result<()> {
    if TAKEN.get().is_none() {
        // If another thread was first, this file is a copy of stderr, and is dropped.
        let _taken = TAKEN.set(take()?);
    }
    Ok(())
}

/// Bytes for the reader of stdout, unchanged.
pub(crate) fn out() -> Box<dyn Write> {
    match TAKEN.get() {
        Some(own) => Box::new(BufWriter::new(own)),
        None => Box::new(io::stdout().lock()),
    }
}

/// Text for the reader of stdout; colours only on a terminal.
pub(crate) fn text_out() -> Box<dyn Write> {
    match TAKEN.get() {
        Some(own) => Box::new(AutoStream::new(out(), AutoStream::choice(own))),
        None => Box::new(anstream::stdout().lock()),
    }
}

/// Whether it is a terminal.
#[cfg(feature = "lab")]
pub(crate) fn is_terminal() -> bool {
    TAKEN.get().map_or_else(|| io::stdout().is_terminal(), IsTerminal::is_terminal)
}
