// SPDX-License-Identifier: BSD-3-Clause
//! One line on stderr that says how far a long command is; rewritten in place, gone at the end.

use std::io::Write;

/// The line. Shows nothing unless a person watches.
#[derive(Debug)]
pub(crate) struct Progress {
    shown: bool,
}

impl Progress {
    /// A line that shows if `shown`.
    pub(crate) fn new(shown: bool) -> Self {
        Self { shown }
    }

    /// Whether a person sees it.
    #[cfg(any(feature = "ipc", feature = "lab"))]
    pub(crate) fn is_shown(&self) -> bool {
        self.shown
    }

    /// Replaces what the line says.
    pub(crate) fn set(&self, text: &str) {
        if self.shown {
            // Erase the line, begin it again. Nobody reads stderr: then nobody misses it.
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
