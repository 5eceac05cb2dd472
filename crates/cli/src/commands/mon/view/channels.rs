// SPDX-License-Identifier: BSD-3-Clause
//! The list of channels.

use becket_ipc::monitor::ChannelReport;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;

use super::frame::rate_text;
use super::graph;
use super::table::{Cell, Column, left, list, plain, right, styled};
use super::theme::Theme;
use crate::commands::mon::app::{App, Sorts};
use crate::commands::mon::store::{Of, Unit};
use crate::commands::mon::units;

const COLUMNS: [Column; 10] = [
    left("NAME", 0, Some(Sorts::Name)),
    left("KIND", 5, None),
    right("DEPTH", 12, Some(Sorts::Depth)),
    right("WAIT", 7, Some(Sorts::Waiting)),
    right("RATE", 9, Some(Sorts::Rate)),
    right("SMOOTH", 9, None),
    right("PEAK", 9, None),
    right("FAILED", 7, Some(Sorts::Failed)),
    right("SPEED", 12, Some(Sorts::Bytes)).from(110),
    left("PAST", PAST, None).from(PAST_FROM),
];

/// Bars of the past in a row, and from which width of the screen on.
const PAST: u16 = 40;
const PAST_FROM: u16 = 140;

pub(super) fn draw(app: &App, theme: Theme, area: Rect, buffer: &mut Buffer) {
    let Some(report) = &app.report else { return };
    let columns = (COLUMNS.as_slice(), |row: &_| cells(app, theme, row));
    let (x, rows) = list(app, theme, &report.channels, columns, area, buffer);
    if area.width >= PAST_FROM {
        for (line, row) in (1..area.height).zip(rows) {
            let place = Rect::new(x, area.y + line, PAST, 1);
            if let Some(track) = app.store.track(&Of::Channel(row.id)) {
                graph::spark(track.history(app.unit), theme, theme.rate(), place, buffer);
            }
        }
    }
}

fn cells(app: &App, theme: Theme, row: &ChannelReport) -> Vec<Cell> {
    let track = app.store.track(&Of::Channel(row.id));
    let rates = track.and_then(|track| track.rates(app.unit));
    let bytes = track.and_then(|track| track.rates(Unit::Bytes));
    let rate = |value: Option<f64>| {
        value.map_or_else(|| theme.none().to_owned(), |value| rate_text(value, app.unit))
    };
    let figure = |value: Option<f64>, is_now: bool| {
        let is_still = value.is_none_or(|value| value == 0.0);
        let style = if is_now || is_still { theme.rate_of(value) } else { Style::new() };
        styled(rate(value), style)
    };
    let full = row.is_full();
    let name =
        if row.closed { styled(row.name.as_str(), theme.dim()) } else { plain(row.name.as_str()) };
    let failed = row.failed.total();
    vec![
        name,
        styled(kind(row), theme.dim()),
        styled(depth(row), if full { theme.warn() } else { theme.head() }),
        plain(format!(
            "{}s {}r",
            units::count(row.senders_waiting),
            units::count(row.receivers_waiting)
        )),
        figure(rates.map(|rates| rates.now), true),
        figure(rates.map(|rates| rates.smoothed), false),
        figure(rates.map(|rates| rates.peak), false),
        styled(
            units::count(failed),
            if row.failed.grave() > 0 { theme.warn() } else { theme.dim() },
        ),
        plain(bytes.map_or_else(|| theme.none().to_owned(), |bytes| units::bits(bytes.now))),
        plain(""),
    ]
}

/// What kind of channel, in five letters.
fn kind(row: &ChannelReport) -> &'static str {
    match (row.kind.as_str(), row.closed) {
        (_, true) => "ended",
        ("bounded", _) => "bound",
        ("rendezvous", _) => "rendz",
        ("conflated", _) => "confl",
        ("unlimited", _) => "unlim",
        _ => "other",
    }
}

/// `12/16.4k`, and a mark at the bound.
fn depth(row: &ChannelReport) -> String {
    let full = if row.is_full() { "!" } else { "" };
    match row.capacity {
        Some(capacity) => {
            format!("{full}{}/{}", units::count(row.len), units::count(capacity))
        }
        None => units::count(row.len),
    }
}
