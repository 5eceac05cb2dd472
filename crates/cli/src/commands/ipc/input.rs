// SPDX-License-Identifier: BSD-3-Clause
//! Stdin as elements.

use tokio::io::{AsyncBufReadExt, BufReader, Stdin};

use super::framing::{Broken, Framing, Splitter};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::ui::text;

/// Bytes of an element from stdin, at most.
pub(super) const ELEMENT_BYTES_MAX: usize = 16 << 20;

/// Read at a time.
const BUFFER_BYTES: usize = 64 << 10;

/// The elements of stdin, one at a time.
#[derive(Debug)]
pub(super) struct Input {
    reader: BufReader<Stdin>,
    splitter: Splitter,
    framing: Framing,
    /// How many were read.
    elements: u64,
}

impl Input {
    /// Starts to read stdin.
    pub(super) fn new(framing: Framing) -> Self {
        Self {
            reader: BufReader::with_capacity(BUFFER_BYTES, tokio::io::stdin()),
            splitter: Splitter::new(framing, ELEMENT_BYTES_MAX),
            framing,
            elements: 0,
        }
    }

    /// The next element; `None` at the end.
    ///
    /// Cancel safe: the part of an element that was read is kept for the next call.
    pub(super) async fn next(&mut self) -> Result<Option<Vec<u8>>, Failure> {
        loop {
            let bytes = self.reader.fill_buf().await.map_err(|error| {
                Failure::new(Exit::Failure, "stdin cannot be read").cause(error.to_string())
            })?;
            if bytes.is_empty() {
                let last = self.splitter.end().map_err(|broken| self.broken(broken))?;
                self.elements += u64::from(last.is_some());
                return Ok(last);
            }
            let taken = self.splitter.take(bytes);
            let (used, element) = taken.map_err(|broken| self.broken(broken))?;
            self.reader.consume(used);
            if element.is_some() {
                self.elements += 1;
                return Ok(element);
            }
        }
    }

    fn broken(&self, broken: Broken) -> Failure {
        let which = format!("{} {} of stdin", self.framing.noun(), self.elements + 1);
        match broken {
            Broken::TooLong(bytes) => {
                let max = text::count(ELEMENT_BYTES_MAX as u64);
                let cause = match bytes {
                    Some(bytes) => {
                        let bytes = text::count(bytes);
                        format!("its length says {bytes} bytes, and {max} are the most")
                    }
                    None => format!("no end of it in {max} bytes, which are the most"),
                };
                Failure::new(Exit::Failure, format!("{which} is too long"))
                    .cause(cause)
                    .hint("is stdin framed so? --lines, --null and --length-prefixed say how")
            }
            Broken::Cut { missing } => Failure::new(Exit::Failure, format!("{which} is cut off"))
                .cause(format!("stdin ended {} before its end", text::plural(missing, "byte"))),
        }
    }
}
