// SPDX-License-Identifier: BSD-3-Clause
//! A process that does not outlive this program, however this program ends.
//!
//! ```text
//!   this program ──pipe──► sh: cat ──end of file──► kill -9 PID ──► the process
//! ```
//!
//! A shell starts the process and reads its own standard input, a pipe whose other end this program alone
//! has. The end of the pipe, by a kill here or by the end of this program, kills the process by its id. The
//! shell is in a process group of its own, so Ctrl-C does not reach it.

use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use crate::error::Error;

const UNTIL_END_OF_STDIN: &str =
    r#""$@" & process=$!; exec > /dev/null 2>&1; cat > /dev/null; kill -9 $process; wait $process"#;

/// A running process; killed when this is dropped.
pub(crate) struct Process {
    shell: Child,
    pub(crate) stdout: Option<ChildStdout>,
}

impl Process {
    /// Starts a program with its arguments; `prepare` sets where its output goes.
    pub(crate) fn start(
        program: &Path,
        arguments: &[String],
        prepare: impl FnOnce(&mut Command),
    ) -> Result<Self, Error> {
        let mut command = Command::new("sh");
        command.args(["-c", UNTIL_END_OF_STDIN, "sh"]).arg(program).args(arguments);
        command.process_group(0).stdin(Stdio::piped());
        prepare(&mut command);
        let mut shell = command.spawn().map_err(Error::system("run `sh`"))?;
        let stdout = shell.stdout.take();
        Ok(Self { shell, stdout })
    }

    /// `kill -9`; returns when the process has ended.
    pub(crate) fn kill(&mut self) {
        drop(self.shell.stdin.take());
        // It fails only for a process that was waited for.
        let _ended = self.shell.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}
