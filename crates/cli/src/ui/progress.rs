// SPDX-License-Identifier: BSD-3-Clause
//! One line on stderr with the progress of a long command, rewritten in place and removed at the
//! end.

use std::io::Write;

/// The line. Shown only on a terminal.
#[derive(Debug)]
pub(crate) struct Progress {
    shown: bool,
}

impl Progress {
    /// A line that is visible if `shown`.
    pub(crate) fn new(shown: bool) -> Self {
        Self { shown }
    }

    /// Whether it is visible.
    #[cfg(any(feature = "ipc", feature = "lab"))]
    pub(crate) fn is_shown(&self) -> bool {
        self.shown
    }

    /// Replaces the text of the line.
    pub(crate) fn set(&self, text: &str) {
        if self.shown {
            // Erases the line. It fails only if stderr has no reader.
            let _ = write!(std::io::stderr(), "\r\x1b[2K");
            let mut err = anstream::stderr();
            let _ = write!(err, "{text}").and_then(|()| err.flush());
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.set("");
    }
}
