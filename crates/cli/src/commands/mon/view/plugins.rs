// SPDX-License-Identifier: BSD-3-Clause
//! The list of plugins.

use becket_ipc::monitor::PluginReport;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::frame::rate_text;
use super::table::{Cell, Column, left, list, plain, right, styled};
use super::theme::Theme;
use crate::commands::mon::app::{App, Sorts};
use crate::commands::mon::store::Of;
use crate::commands::mon::units;

const COLUMNS: [Column; 10] = [
    left("NAME", 0, Some(Sorts::Name)),
    left("WHERE", 7, None),
    right("CALLS", 7, Some(Sorts::Calls)),
    right("RATE", 9, None),
    right("PEAK", 9, None),
    right("ERRORS", 7, Some(Sorts::Failed)),
    right("p50", 6, None),
    right("p99", 6, None),
    right("QUEUE", 6, Some(Sorts::Depth)),
    right("RESTARTS", 9, None).from(100),
];

pub(super) fn draw(app: &App, theme: Theme, area: Rect, buffer: &mut Buffer) {
    let Some(report) = &app.report else { return };
    let columns = (COLUMNS.as_slice(), |row: &_| cells(app, theme, row));
    list(app, theme, &report.plugins, columns, area, buffer);
}

fn cells(app: &App, theme: Theme, row: &PluginReport) -> Vec<Cell> {
    let track = app.store.track(&Of::Plugin(row.name.clone()));
    let rates = track.and_then(|track| track.rates(app.unit));
    let rate = |value: Option<f64>| {
        value.map_or_else(|| theme.none().to_owned(), |value| rate_text(value, app.unit))
    };
    let latency = |share| {
        row.latency.quantile_ns(share).map_or_else(|| theme.none().to_owned(), super::frame::nanos)
    };
    let errors = row.errors();
    vec![
        plain(row.name.as_str()),
        styled(row.placement.as_str(), theme.dim()),
        plain(units::count(row.calls)),
        styled(rate(rates.map(|rates| rates.now)), theme.rate()),
        plain(rate(rates.map(|rates| rates.peak))),
        styled(units::count(errors), if errors > 0 { theme.warn() } else { theme.dim() }),
        plain(latency(0.5)),
        plain(latency(0.99)),
        plain(units::count(row.queue_depth)),
        plain(units::count(row.restarts)),
    ]
}
