// SPDX-License-Identifier: BSD-3-Clause
//! The few colours. They are written always and taken out again by `anstream` where they would not
//! show: no terminal, `NO_COLOR`, `TERM=dumb`.

use anstyle::{AnsiColor, Style};

/// Something failed.
pub(crate) const BAD: Style = AnsiColor::Red.on_default().bold();
/// Something is well, or helps.
pub(crate) const GOOD: Style = AnsiColor::Green.on_default();
/// Something to look at.
pub(crate) const WARN: Style = AnsiColor::Yellow.on_default();
/// A heading.
pub(crate) const HEAD: Style = Style::new().bold();
/// What can be skipped.
pub(crate) const DIM: Style = Style::new().dimmed();

/// `text` in `style`.
pub(crate) fn paint(style: Style, text: &str) -> String {
    format!("{style}{text}{style:#}")
}
