// SPDX-License-Identifier: BSD-3-Clause
//! The colours. They are always written, and removed by `anstream` where they are not supported: no
//! terminal, `NO_COLOR`, `TERM=dumb`.

use anstyle::{AnsiColor, Style};

/// A failure.
pub(crate) const BAD: Style = AnsiColor::Red.on_default().bold();
/// A good result, or a hint.
pub(crate) const GOOD: Style = AnsiColor::Green.on_default();
/// A warning.
pub(crate) const WARN: Style = AnsiColor::Yellow.on_default();
/// A heading.
pub(crate) const HEAD: Style = Style::new().bold();
/// Secondary text.
pub(crate) const DIM: Style = Style::new().dimmed();

/// `text` in `style`.
pub(crate) fn paint(style: Style, text: &str) -> String {
    format!("{style}{text}{style:#}")
}
