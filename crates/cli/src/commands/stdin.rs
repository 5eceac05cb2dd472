// SPDX-License-Identifier: BSD-3-Clause
//! Lines of stdin as messages, without their line ends.

use tokio::io::{AsyncBufReadExt, BufReader, Stdin};

use crate::exit::Exit;
use crate::failure::Failure;

/// The lines of stdin, one at a time.
#[derive(Debug)]
pub(super) struct Lines {
    reader: BufReader<Stdin>,
    line: Vec<u8>,
}

impl Lines {
    /// Starts to read stdin.
    pub(super) fn new() -> Self {
        Self { reader: BufReader::new(tokio::io::stdin()), line: Vec::new() }
    }

    /// The next line; `None` at the end.
    ///
    /// Cancel safe: the part of a line that was read is kept for the next call.
    pub(super) async fn next(&mut self) -> Result<Option<Vec<u8>>, Failure> {
        self.reader.read_until(b'\n', &mut self.line).await.map_err(|error| {
            Failure::new(Exit::Failure, "stdin cannot be read").cause(error.to_string())
        })?;
        let mut line = std::mem::take(&mut self.line);
        if line.is_empty() {
            return Ok(None);
        }
        if line.last() == Some(&b'\n') {
            line.pop();
        }
        if line.last() == Some(&b'\r') {
            line.pop();
        }
        Ok(Some(line))
    }
}
