// SPDX-License-Identifier: BSD-3-Clause
//! Colours and characters, and their replacements without colour or outside ASCII.

use ratatui::style::{Color, Modifier, Style};

/// How the screen is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Theme {
    /// Whether there are colours. Bold and reversed text is there without them.
    pub(crate) colour: bool,
    /// Whether every character is ASCII.
    pub(crate) ascii: bool,
}

impl Theme {
    fn coloured(self, colour: Color, without: Modifier) -> Style {
        if self.colour { Style::new().fg(colour) } else { Style::new().add_modifier(without) }
    }

    /// A title, a heading.
    pub(super) fn head(self) -> Style {
        Style::new().add_modifier(Modifier::BOLD)
    }

    /// Secondary text.
    pub(super) fn dim(self) -> Style {
        self.coloured(Color::DarkGray, Modifier::DIM)
    }

    /// A good state.
    pub(super) fn good(self) -> Style {
        self.coloured(Color::Green, Modifier::empty())
    }

    /// A possible problem.
    pub(super) fn warn(self) -> Style {
        self.coloured(Color::Yellow, Modifier::BOLD)
    }

    /// Data is lost, or progress has stopped.
    pub(super) fn bad(self) -> Style {
        self.coloured(Color::Red, Modifier::BOLD).add_modifier(Modifier::BOLD)
    }

    /// A rate above zero.
    pub(super) fn rate(self) -> Style {
        self.coloured(Color::Cyan, Modifier::empty())
    }

    /// The style of a rate: [`rate`](Self::rate) above zero, else [`dim`](Self::dim).
    pub(super) fn rate_of(self, rate: Option<f64>) -> Style {
        if rate.is_some_and(|rate| rate > 0.0) { self.rate() } else { self.dim() }
    }

    /// A key's name.
    pub(super) fn key(self) -> Style {
        self.coloured(Color::Green, Modifier::BOLD)
    }

    /// The row under the cursor.
    pub(super) fn selected(self) -> Style {
        Style::new().add_modifier(Modifier::REVERSED)
    }

    /// Column headings.
    pub(super) fn columns(self) -> Style {
        Style::new().add_modifier(Modifier::BOLD | Modifier::UNDERLINED)
    }

    /// Stands before the row under the cursor.
    pub(super) fn cursor(self) -> &'static str {
        if self.ascii { ">" } else { "▸" }
    }

    /// The mark of a heading whose list is sorted in the usual order.
    pub(super) fn falling(self) -> &'static str {
        if self.ascii { "v" } else { "▾" }
    }

    /// The mark of a heading whose list is sorted the other way round.
    pub(super) fn rising(self) -> &'static str {
        if self.ascii { "^" } else { "▴" }
    }

    /// The end of a text that was cut.
    pub(super) fn cut(self) -> &'static str {
        if self.ascii { "~" } else { "…" }
    }

    /// No figure.
    pub(super) fn none(self) -> &'static str {
        if self.ascii { "-" } else { "–" }
    }

    /// Heights of a bar within one character, from nothing to all of it.
    pub(super) fn bars(self) -> &'static [&'static str] {
        if self.ascii {
            &[" ", ".", ":", "#"]
        } else {
            &[" ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"]
        }
    }

    /// Part of a gauge that is full, and that is empty.
    pub(super) fn gauge(self) -> (&'static str, &'static str) {
        if self.ascii { ("#", ".") } else { ("█", "░") }
    }
}
