// SPDX-License-Identifier: BSD-3-Clause
//! Errors of a profile: the line, and what to write instead.

use std::fmt;

use crate::replay::words::shown;

/// An invalid profile. Its message repeats nothing that looks like a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProfileError {
    origin: String,
    line: Option<usize>,
    message: String,
    hint: Option<String>,
}

/// A module that cannot be generated.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GenerateError {
    /// The plans of the source are not a function of the seed that constants can express.
    #[error("what {0} gives for a seed cannot be said in constants")]
    Source(&'static str),
}

impl ProfileError {
    pub(super) fn new(origin: &str, message: String) -> Self {
        Self { origin: origin.to_owned(), line: None, message, hint: None }
    }

    pub(super) fn hinted(mut self, hint: String) -> Self {
        self.hint = Some(hint);
        self
    }

    /// Sets the line to that of a key in a table; `""` is the top level.
    pub(super) fn at_key(mut self, text: &str, table: &str, key: &str) -> Self {
        let mut here = "";
        let place = text.lines().position(|line| {
            let line = line.trim();
            if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.split(']').next()) {
                here = name.trim();
            }
            let named = line.split('=').next().unwrap_or_default().trim();
            here == table && named == key
        });
        self.line = place.map(|line| line + 1);
        self
    }

    /// Turns serde's messages, the only place with the known keys, into sentences.
    pub(super) fn from_toml(error: &toml::de::Error, text: &str, origin: &str) -> Self {
        let message = error.message().trim();
        let mut quoted = message.split('`').skip(1).step_by(2);
        let first = quoted.next().unwrap_or_default();
        let known: Vec<&str> = quoted.collect();
        let (message, hint) = if message.starts_with("unknown field") {
            (format!("unknown key `{}`", shown(first)), Some(suggestion(first, &known)))
        } else if let Some((value, known)) = unknown_word(message) {
            let hint = suggestion(value, &known);
            (message.split(": ").next().unwrap_or(message).to_owned(), Some(hint))
        } else {
            let said = message.lines().collect::<Vec<_>>().join("; ");
            let key = error.span().and_then(|span| key_before(text, span.start));
            let key = key.map(|key| format!("`{}`: ", shown(key))).unwrap_or_default();
            (format!("{key}{}", shown(&said)), None)
        };
        let line = error.span().and_then(|span| text.get(..span.start));
        let line = line.map(|before| before.matches('\n').count() + 1);
        Self { origin: origin.to_owned(), line, message, hint }
    }

    /// The line of the file, from 1. `None`: the error concerns no single line.
    #[must_use]
    pub const fn line(&self) -> Option<usize> {
        self.line
    }

    /// What to write instead.
    #[must_use]
    pub fn hint(&self) -> Option<&str> {
        self.hint.as_deref()
    }
}

impl fmt::Display for ProfileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.origin)?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        write!(f, ": {}", self.message)
    }
}

impl std::error::Error for ProfileError {}

/// The key whose value begins here: `max_flows` of `max_flows = 65`.
fn key_before(text: &str, at: usize) -> Option<&str> {
    let line = text.get(..at)?.lines().last()?;
    let key = line.trim_end().strip_suffix('=')?.trim();
    (!key.is_empty()).then_some(key)
}

/// `no link is "strem": stream, message`: the unknown word, and the known ones.
fn unknown_word(message: &str) -> Option<(&str, Vec<&str>)> {
    let (said, known) = message.strip_prefix("no ")?.split_once("\": ")?;
    let (_, word) = said.split_once("is \"")?;
    Some((word, known.split(", ").collect()))
}

/// `did you mean …` for a similar name, otherwise the list of known ones.
fn suggestion(unknown: &str, known: &[&str]) -> String {
    let likely = known.iter().map(|name| (strsim::jaro_winkler(unknown, name), name));
    let nearest = likely.filter(|(likeness, _)| *likeness > 0.8).max_by(|a, b| a.0.total_cmp(&b.0));
    match nearest {
        Some((_, name)) => format!("did you mean `{name}`?"),
        None if known.is_empty() => "there is nothing to set here; remove it".to_owned(),
        None => format!("known here: {}", known.join(", ")),
    }
}
