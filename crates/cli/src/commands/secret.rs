// SPDX-License-Identifier: BSD-3-Clause
//! Secrets, which are in files and in the environment, and never on a command line.

use std::fs::File;
use std::io::{BufRead, BufReader};

use becket_gateway::config::Secret;

use crate::exit::Exit;
use crate::failure::Failure;

/// The first line of a file, or a variable. `what` names it in failures.
pub(super) fn read(what: &str, secret: &Secret) -> Result<String, Failure> {
    let absent = |cause: String, hint| {
        Failure::new(Exit::Failure, format!("the {what} is not there")).cause(cause).hint(hint)
    };
    let found = match secret {
        Secret::Env(name) => std::env::var(name).map_err(|_| {
            absent(format!("the variable {name} is not set"), "set it, or write `file:PATH`")
        })?,
        Secret::File(path) => {
            let failed = |error| Failure::file("read", path, &error);
            let mut line = String::new();
            BufReader::new(File::open(path).map_err(failed)?)
                .read_line(&mut line)
                .map_err(failed)?;
            line.truncate(line.trim_end_matches(['\r', '\n']).len());
            line
        }
    };
    match found.is_empty() {
        true => Err(absent("it is empty".to_owned(), "write it there")),
        false => Ok(found),
    }
}
