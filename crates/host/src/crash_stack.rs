// SPDX-License-Identifier: BSD-3-Clause
//! The stack of a worker that a signal of its own has ended.

use std::fmt;
use std::path::Path;

use serde::{Deserialize, Serialize};

/// The stack of the thread that the signal came to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CrashStack {
    /// The signal, such as `SIGSEGV`.
    pub signal: String,
    /// The address that it is about, in hexadecimal digits: of the memory that was touched, or of the
    /// instruction. `None` for a signal that a process sent, as an abort does.
    pub address: Option<String>,
    /// The thread's name.
    pub thread: String,
    /// The thread's number.
    pub thread_id: u32,
    /// The innermost first, at most 64.
    pub frames: Vec<CrashFrame>,
    /// What is missing.
    pub notes: Vec<String>,
}

/// One function call.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CrashFrame {
    /// The function, if its file names it.
    pub function: Option<String>,
    /// The source file, if the debug information names it.
    pub file: Option<String>,
    /// The line in it.
    pub line: Option<u32>,
    /// The file that the code is in; `None`: memory without a file, or an address of none.
    pub module: Option<String>,
    /// Where in the module, as its own addresses count, or else the address: in hexadecimal digits.
    pub offset: String,
    /// The module is the plugin's file.
    pub is_plugin: bool,
    /// The compiler has put this function into the next one.
    pub is_inlined: bool,
}

/// `function at file:line (module+offset)`: one line, of which any part may be missing but the offset.
impl fmt::Display for CrashFrame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.function.as_deref().unwrap_or("?"))?;
        if let Some(file) = &self.file {
            write!(f, " at {file}")?;
            if let Some(line) = self.line {
                write!(f, ":{line}")?;
            }
        }
        let Some(module) = &self.module else { return write!(f, " ({})", self.offset) };
        let name = Path::new(module).file_name().and_then(|name| name.to_str()).unwrap_or(module);
        write!(f, " ({name}+{})", self.offset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_a_line_with_what_is_known() {
        let offset = "0x1139".to_owned();
        let mut frame = CrashFrame { offset, ..CrashFrame::default() };
        assert_eq!(frame.to_string(), "? (0x1139)");
        frame.module = Some("/usr/lib/libp.so".to_owned());
        frame.function = Some("hit".to_owned());
        assert_eq!(frame.to_string(), "hit (libp.so+0x1139)");
        (frame.file, frame.line) = (Some("p.c".to_owned()), Some(7));
        assert_eq!(frame.to_string(), "hit at p.c:7 (libp.so+0x1139)");
    }
}
