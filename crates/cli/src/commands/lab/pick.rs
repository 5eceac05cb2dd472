// SPDX-License-Identifier: BSD-3-Clause
//! A name on the command line, as one of those that the lab knows.

use becket_lab::rules::Exit as LabExit;

use super::adapter::nearest;
use crate::exit::Exit;
use crate::failure::Failure;

/// Names that stand in a failure; of more, the nearest alone.
const SHOWN_MAX: usize = 24;

/// The one of `all` that is called `asked`, whatever the case of its letters.
pub(in crate::commands) fn one<T>(
    what: &str,
    asked: &str,
    all: impl IntoIterator<Item = T>,
    name: impl for<'a> Fn(&'a T) -> &'a str,
) -> Result<T, Failure> {
    let mut names = Vec::new();
    for it in all {
        if name(&it).eq_ignore_ascii_case(asked) {
            return Ok(it);
        }
        names.push(name(&it).to_owned());
    }
    let mut failure =
        Failure::new(Exit::Lab(LabExit::Usage), format!("there is no {what} `{asked}`"));
    if names.is_empty() {
        failure = failure.cause("none is known");
    } else if names.len() <= SHOWN_MAX {
        failure = failure.cause(format!("known are {}", names.join(", ")));
    }
    Err(match nearest(asked, names.iter().map(String::as_str)) {
        Some(near) => failure.hint(format!("did you mean `{near}`?")),
        None => failure,
    })
}
