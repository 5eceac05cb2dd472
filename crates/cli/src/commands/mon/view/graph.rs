// SPDX-License-Identifier: BSD-3-Clause
//! Bars of the past, the latest at the right.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;

use super::theme::Theme;

/// One line of bars, for as many of the latest values as fit.
pub(super) fn spark(
    values: impl ExactSizeIterator<Item = f64>,
    theme: Theme,
    style: Style,
    area: Rect,
    buffer: &mut Buffer,
) {
    bars(values, theme, style, Rect { height: 1, ..area }, buffer);
}

/// Bars over the whole area. The highest value fills it. Returns that value.
pub(super) fn bars(
    values: impl ExactSizeIterator<Item = f64>,
    theme: Theme,
    style: Style,
    area: Rect,
    buffer: &mut Buffer,
) -> f64 {
    let room = usize::from(area.width);
    let skip = values.len().saturating_sub(room);
    let values: Vec<f64> = values.skip(skip).collect();
    let top = values.iter().copied().fold(0.0, f64::max);
    let steps = theme.bars().len() - 1;
    let indent = area.width - values.len().min(room) as u16;
    for (column, value) in (0..).zip(&values) {
        // A value above zero has at least one step.
        let full = f64::from(area.height) * steps as f64;
        let height = if top > 0.0 { value / top * full } else { 0.0 };
        let height = if *value > 0.0 { height.max(1.0) } else { 0.0 }.round() as usize;
        for line in 0..area.height {
            let below = usize::from(area.height - 1 - line) * steps;
            let step = height.saturating_sub(below).min(steps);
            let bar = theme.bars().get(step).copied().unwrap_or(" ");
            buffer.set_stringn(area.x + indent + column, area.y + line, bar, 1, style);
        }
    }
    top
}

/// A gauge that is full up to `share`.
pub(super) fn gauge(share: f64, theme: Theme, style: Style, area: Rect, buffer: &mut Buffer) {
    let (full, empty) = theme.gauge();
    let filled = (share.clamp(0.0, 1.0) * f64::from(area.width)).round() as u16;
    for column in 0..area.width {
        let text = if column < filled { full } else { empty };
        buffer.set_stringn(area.x + column, area.y, text, 1, style);
    }
}
