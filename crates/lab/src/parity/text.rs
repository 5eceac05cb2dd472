// SPDX-License-Identifier: BSD-3-Clause
//! Compares the text of a generated module with the output of the generator: a file that was
//! modified, or that comes from another profile or generator, is reported with the first different
//! line and its constant.

use crate::generate::{GenerateError, Profile, module, module_in_lab};
use crate::replay::words::shown;

/// How a text differs from the generator's output.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TextDifference {
    /// There is nothing to compare it with.
    #[error(transparent)]
    Generate(#[from] GenerateError),
    /// A line differs.
    #[error("line {line}{}: `{found}`, and `{expected}` by the profile", of(constant.as_deref()))]
    Line {
        /// Its number, from 1.
        line: usize,
        /// The constant, or the item, in which it is.
        constant: Option<String>,
        /// The line.
        found: String,
        /// The generator's line.
        expected: String,
    },
}

fn of(constant: Option<&str>) -> String {
    constant.map(|name| format!(", {name}")).unwrap_or_default()
}

/// Compares a module's text with the generator's output for a profile, byte by byte.
///
/// # Errors
///
/// The first line that differs.
pub fn of_text(profile: &Profile, text: &str) -> Result<(), TextDifference> {
    compared(text, &module(profile)?)
}

/// The same for one of the lab's own modules.
pub(super) fn of_text_in_lab(profile: &Profile, text: &str) -> Result<(), TextDifference> {
    compared(text, &module_in_lab(profile)?)
}

fn compared(text: &str, expected: &str) -> Result<(), TextDifference> {
    if text == expected {
        return Ok(());
    }
    // A shorter text differs in the line in which it ends.
    let found = text.split('\n').map(Some).chain(std::iter::repeat(None));
    let mut constant = None;
    let differing =
        (1..).zip(expected.split('\n')).zip(found).filter_map(|((line, expected), found)| {
            constant = item(expected).or(constant.take());
            (found != Some(expected))
                .then(|| (line, constant.clone(), expected, found.unwrap_or_default()))
        });
    let differing: Vec<_> = differing.collect();
    // The head of the file follows from the constants.
    let first = differing.iter().find(|(_, constant, ..)| constant.is_some()).or(differing.first());
    let (line, constant, expected, found) =
        first.cloned().unwrap_or_else(|| (expected.split('\n').count() + 1, None, "", "more"));
    let (found, expected) = (shown(found.trim()).to_owned(), expected.trim().to_owned());
    Err(TextDifference::Line { line, constant, found, expected })
}

/// The name of the item that begins in a line.
fn item(line: &str) -> Option<String> {
    let line = line.trim_start();
    let line = line.strip_prefix("pub ").unwrap_or(line);
    let line =
        line.strip_prefix("const fn ").or_else(|| line.strip_prefix("const ")).or_else(|| {
            ["fn ", "struct ", "enum ", "trait ", "impl ", "mod "]
                .into_iter()
                .find_map(|kind| line.strip_prefix(kind))
        })?;
    let is_name = |char: char| char.is_ascii_alphanumeric() || char == '_';
    let end = line.find(|char| !is_name(char)).unwrap_or(line.len());
    line.get(..end).filter(|name| !name.is_empty()).map(Into::into)
}
