// SPDX-License-Identifier: BSD-3-Clause
//! Where data goes: stdout; or, once code of others is in the process, what stdout was before.
//!
//! ```text
//!   before            fd 1 ──► the reader
//!   take_for_data()   fd 1 ──► stderr        what a plugin prints is seen, and is no data
//!                     TAKEN ─► the reader    what this command prints
//! ```

use std::fs::File;
#[cfg(feature = "lab")]
use std::io::IsTerminal;
use std::io::{self, BufWriter, Write};
use std::os::fd::AsFd;
use std::sync::OnceLock;

use anstream::AutoStream;

/// What stdout was, if it was taken.
static TAKEN: OnceLock<File> = OnceLock::new();

/// Takes stdout away from everybody else: who writes to it writes to stderr from here on.
pub(crate) fn take() -> io::Result<File> {
    let own = io::stdout().as_fd().try_clone_to_owned()?;
    rustix::stdio::dup2_stdout(io::stderr())?;
    Ok(own.into())
}

/// Takes stdout for what this command prints. Before the first plugin is loaded; once is enough.
pub(crate) fn take_for_data() -> io::Result<()> {
    if TAKEN.get().is_none() {
        // Threads that came first have taken it: then this one is a copy of stderr, and dropped.
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

/// Whether a person reads it.
#[cfg(feature = "lab")]
pub(crate) fn is_terminal() -> bool {
    TAKEN.get().map_or_else(|| io::stdout().is_terminal(), IsTerminal::is_terminal)
}
