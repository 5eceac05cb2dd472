// SPDX-License-Identifier: BSD-3-Clause
//! A name on the command line, as one of the known names.

use becket_host::Plugin;

use crate::exit::Exit;
use crate::failure::Failure;

/// Names listed in a failure; of more names only the nearest is given.
const SHOWN_MAX: usize = 24;

/// The element of `all` with the name `asked`, ignoring case.
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
    // Wrong arguments have the same exit code everywhere, also in the lab.
    let mut failure = Failure::new(Exit::Usage, format!("there is no {what} `{asked}`"));
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

/// The most similar name, if one is similar enough.
pub(crate) fn nearest<'a>(name: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let wanted = name.to_lowercase();
    names
        .into_iter()
        .map(|known| (strsim::jaro_winkler(&wanted, &known.to_lowercase()), known))
        .filter(|(likeness, _)| *likeness > 0.8)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, known)| known)
}

/// Checks that each entry to skip exists: a misspelt name would skip nothing, silently.
pub(in crate::commands) fn skipped(skip: &[String], plugin: &Plugin) -> Result<(), Failure> {
    let entries = plugin.entries();
    let names = || entries.iter().map(|entry| entry.name.as_str());
    for asked in skip {
        one("entry", asked, names(), |name| name)?;
    }
    Ok(())
}
