// SPDX-License-Identifier: BSD-3-Clause
//! What is wrong with a configuration, where, and what to write instead.

use std::fmt;
use std::ops::Range;
use std::path::Path;

use super::cluster::SECRET;
use super::listen;

/// A configuration that was refused.
///
/// [`fmt::Display`] is the first line; [`Self::render`] is everything, as a terminal shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError(Box<Message>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Message {
    origin: String,
    place: Option<Place>,
    message: String,
    cause: Option<String>,
    hint: Option<String>,
}

/// Where in the text, and the line itself.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Place {
    line: usize,
    column: usize,
    text: String,
    width: usize,
}

impl ConfigError {
    pub(super) fn new(origin: &str, message: String) -> Self {
        let origin = origin.to_owned();
        Self(Box::new(Message { origin, place: None, message, cause: None, hint: None }))
    }

    pub(super) fn at(mut self, text: &str, span: Option<Range<usize>>) -> Self {
        self.0.place = span.map(|span| Place::of(text, &span));
        self
    }

    pub(super) fn because(mut self, cause: Option<String>) -> Self {
        self.0.cause = cause;
        self
    }

    pub(super) fn hinted(mut self, hint: Option<String>) -> Self {
        self.0.hint = hint;
        self
    }

    pub(super) fn unreadable(path: &Path, error: &std::io::Error) -> Self {
        use std::io::ErrorKind;
        let hint = match error.kind() {
            ErrorKind::NotFound => "check the path, or start without --config",
            ErrorKind::PermissionDenied => "let the user that runs the gateway read the file",
            ErrorKind::InvalidData => "save the file as UTF-8",
            _ => "check that it is a file that can be read",
        };
        Self::new("", format!("cannot read the configuration `{}`", path.display()))
            .because(Some(error.to_string()))
            .hinted(Some(hint.to_owned()))
    }

    pub(super) fn blank(path: &Path) -> Self {
        Self::new(&path.display().to_string(), "the configuration is empty".to_owned())
            .because(Some("writing a file in place empties it first".to_owned()))
            .hinted(Some(
                "write another file and rename it to this one; to end every plugin, end the gateway"
                    .to_owned(),
            ))
    }

    /// Rewords serde's messages. Only they have the list of known keys, between backticks.
    pub(super) fn from_toml(error: &toml::de::Error, text: &str, origin: &str) -> Self {
        let message = error.message().trim();
        let mut quoted = message.split('`').skip(1).step_by(2);
        let first = quoted.next().unwrap_or_default();
        let known: Vec<&str> = quoted.collect();
        let (message, hint) = if message.starts_with("unknown field") {
            (format!("unknown key `{first}`"), Some(suggestion(first, &known)))
        } else if message.starts_with("unknown variant") {
            (format!("unknown value `{first}`"), Some(suggestion(first, &known)))
        } else {
            let (message, hint) = in_words_of_toml(message);
            (message, hint.map(str::to_owned))
        };
        if message.contains(SECRET) {
            let hint = "write where the `password` or `token` of [cluster] or [admin] is, and not the secret itself";
            return Self::new(origin, message).hinted(Some(hint.to_owned()));
        }
        Self::new(origin, message).at(text, error.span()).hinted(hint)
    }

    /// Why it failed, where the first line is not enough.
    #[must_use]
    pub fn cause(&self) -> Option<&str> {
        self.0.cause.as_deref()
    }

    /// What to write instead.
    #[must_use]
    pub fn hint(&self) -> Option<&str> {
        self.0.hint.as_deref()
    }

    /// The line in question with carets under the mistake, if there is one.
    #[must_use]
    pub fn excerpt(&self) -> Option<String> {
        let Place { line, column, text, width } = self.0.place.as_ref()?;
        let number = line.to_string();
        let gutter = " ".repeat(number.len());
        let carets = "^".repeat(*width);
        let indent = " ".repeat(column.saturating_sub(1));
        Some(format!("{gutter} |\n{number} | {text}\n{gutter} | {indent}{carets}\n"))
    }

    /// Everything, in the lines `error:`, the excerpt, `cause:`, `hint:`.
    #[must_use]
    pub fn render(&self) -> String {
        let mut out = format!("error: {self}\n");
        out.push_str(&self.excerpt().unwrap_or_default());
        for (label, text) in [("cause", &self.0.cause), ("hint", &self.0.hint)] {
            if let Some(text) = text {
                out.push_str(&format!("{label}: {text}\n"));
            }
        }
        out
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.0.place, self.0.origin.is_empty()) {
            (Some(Place { line, column, .. }), _) => {
                write!(f, "{}:{line}:{column}: ", self.0.origin)?;
            }
            (None, false) => write!(f, "{}: ", self.0.origin)?,
            (None, true) => {}
        }
        f.write_str(&self.0.message)
    }
}

impl std::error::Error for ConfigError {}

impl Place {
    /// Lines and columns count from 1, columns in characters. A tab is shown as one space, so that
    /// the carets line up.
    fn of(text: &str, span: &Range<usize>) -> Self {
        let before = text.get(..span.start).unwrap_or(text);
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        let line = text.get(line_start..).unwrap_or_default().lines().next().unwrap_or_default();
        let prefix = before.get(line_start..).unwrap_or_default();
        let marked = text.get(span.clone()).unwrap_or_default().lines().next().unwrap_or_default();
        Self {
            line: before.matches('\n').count() + 1,
            column: prefix.chars().count() + 1,
            text: line.replace('\t', " "),
            width: marked.chars().count().max(1),
        }
    }
}

/// A message of serde's, which has Rust's words for what was expected, and how to write that.
fn in_words_of_toml(message: &str) -> (String, Option<&'static str>) {
    const ADDRESS: &str = "for example \"127.0.0.1:8080\"; names are not looked up";
    if message == "invalid socket address syntax" {
        return ("expected an address and a port".to_owned(), Some(ADDRESS));
    }
    if message == listen::NO_LISTENER {
        return ("expected an address and a port".to_owned(), Some(listen::FORMS));
    }
    let mismatch = message.strip_prefix("invalid type: ");
    let Some((found, expected)) = mismatch.and_then(|it| it.split_once(", expected ")) else {
        return (message.lines().collect::<Vec<_>>().join("; "), None);
    };
    let found = match found {
        "map" => "a table",
        "sequence" => "a list",
        found => found,
    };
    let (expected, hint) = match expected {
        "socket address" => ("an address and a port", Some(ADDRESS)),
        listen::EXPECTED => ("an address and a port", Some(listen::FORMS)),
        "a sequence" => ("a list", Some("write it in brackets: `[\"…\", \"…\"]`")),
        _ if expected == "a map" || expected.starts_with("struct ") => {
            ("a table", Some("write its keys below a heading in brackets, or in braces"))
        }
        expected => (expected, None),
    };
    (format!("expected {expected}, not {found}"), hint)
}

/// `did you mean …` for a near name, else the list of known names.
pub(crate) fn suggestion(unknown: &str, known: &[&str]) -> String {
    match nearest(unknown, known.iter().copied()) {
        Some(name) => format!("did you mean `{name}`?"),
        None if known.is_empty() => "there is nothing to set here; remove it".to_owned(),
        None => format!("known here: {}", known.join(", ")),
    }
}

/// The known name that is nearest to `unknown`, if one is near at all.
pub(crate) fn nearest<'a>(
    unknown: &str,
    known: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    known
        .into_iter()
        .map(|name| (strsim::jaro_winkler(unknown, name), name))
        .filter(|(likeness, _)| *likeness > 0.8)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, name)| name)
}
