// SPDX-License-Identifier: BSD-3-Clause
//! The help: every key, and what the figures mean.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;

use super::table::pieces;
use super::theme::Theme;
use crate::commands::mon::app::KEYS;

const FIGURES: [(&str, &str); 4] = [
    ("RATE", "between the last two reports; none of less than 100 ms"),
    ("SMOOTH", "the same, smoothed over some 3 seconds"),
    ("WAIT", "sends (s) and receives (r) that wait in line"),
    ("DEPTH", "held / may hold; ! at the bound"),
];

pub(super) fn draw(theme: Theme, area: Rect, buffer: &mut Buffer) {
    // Two columns if one has no room for all of them.
    let mut lines: Vec<(&str, &str)> = KEYS.to_vec();
    lines.extend(FIGURES);
    for (place, (key, what)) in (0..area.height).zip(lines) {
        let line = Rect { y: area.y + place, height: 1, ..area };
        pieces(buffer, theme, line, &[(&format!(" {key:<14}"), theme.key()), (what, Style::new())]);
    }
}
