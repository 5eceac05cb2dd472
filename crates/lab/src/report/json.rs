// SPDX-License-Identifier: BSD-3-Clause
//! A report as JSON: two spaces, fields in the order of [`Report`], a line feed at the end.

use std::io;

use super::Report;

/// The report as JSON. The same report gives the same bytes.
///
/// # Errors
///
/// None that a report can cause: text and whole numbers are always JSON.
pub fn json(report: &Report) -> io::Result<String> {
    let mut text = serde_json::to_string_pretty(report)?;
    text.push('\n');
    Ok(text)
}
