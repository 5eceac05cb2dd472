// SPDX-License-Identifier: BSD-3-Clause
//! Coroutines: their number by state, the workers, and the list.

use becket_ipc::monitor::{CoroutineRow, Report};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;

use super::table::{Cell, Column, Table, left, list, pieces, plain, right, styled};
use super::theme::Theme;
use crate::commands::mon::app::{App, Sorts};
use crate::commands::mon::store::{Unit, of_worker};
use crate::commands::mon::units;

const COLUMNS: [Column; 7] = [
    right("ID", 12, Some(Sorts::Id)).from(100),
    left("NAME", 0, Some(Sorts::Name)),
    left("STATE", 8, Some(Sorts::State)),
    right("FOR", 6, Some(Sorts::Age)),
    right("WORKER", 7, Some(Sorts::Worker)),
    right("STACK", 8, None),
    left("SPAWNED AT", 26, None),
];

const WORKERS: [Column; 7] = [
    left("WORKER", 0, None),
    right("DISPATCHES", 10, None),
    right("STEALS", 9, None),
    right("WAKES", 9, None),
    right("SLEEPS", 8, None),
    right("TIMERS", 8, None),
    right("OWN", 7, None),
];

/// Lines above the list: states, workers' headings, workers, one between.
pub(super) fn rows_above(app: &App, middle: u16) -> u16 {
    let workers = app.report.as_ref().map_or(0, |report| report.workers.len());
    1 + 1 + workers_shown(workers, middle) + 1
}

/// At most a third of the middle.
fn workers_shown(workers: usize, middle: u16) -> u16 {
    u16::try_from(workers).unwrap_or(u16::MAX).min(middle / 3)
}

pub(super) fn draw(app: &App, theme: Theme, area: Rect, buffer: &mut Buffer) {
    let Some(report) = &app.report else { return };
    states(report, theme, Rect { height: 1, ..area }, buffer);
    let shown = workers_shown(report.workers.len(), area.height);
    let place = Rect { y: area.y + 1, height: 1 + shown, ..area };
    Table { theme, columns: &WORKERS, list: None, selected: None }.draw(
        report.workers.iter().map(|worker| {
            let rates =
                |unit| app.store.track(&of_worker(worker)).and_then(|track| track.rates(unit));
            let rate = |unit| {
                rates(unit).map_or_else(
                    || theme.none().to_owned(),
                    |rates| format!("{}/s", units::short(rates.now)),
                )
            };
            vec![
                plain(format!("{} {}", worker.runtime, worker.index)),
                styled(rate(Unit::Messages), theme.rate()),
                plain(rate(Unit::Bytes)),
                plain(rate(Unit::Failures)),
                plain(units::count(worker.sleeps)),
                plain(units::count(worker.timers)),
                plain(units::count(worker.coroutines)),
            ]
        }),
        place,
        buffer,
    );
    let above = rows_above(app, area.height);
    let place = Rect { y: area.y + above, height: area.height.saturating_sub(above), ..area };
    let columns = (COLUMNS.as_slice(), |row: &_| cells(theme, row));
    list(app, theme, &report.coroutines.rows, columns, place, buffer);
}

fn states(report: &Report, theme: Theme, area: Rect, buffer: &mut Buffer) {
    let all = &report.coroutines;
    let live = format!("{} live  ", units::count(all.live));
    if !all.listed {
        let why = "too many to be looked at one by one";
        pieces(buffer, theme, area, &[(&live, theme.head()), (why, theme.dim())]);
        return;
    }
    let states = [
        ("running", all.running),
        ("ready", all.ready),
        ("fresh", all.fresh),
        ("sleeping", all.sleeping),
        ("parked", all.parked),
    ];
    let mut texts = vec![(live, theme.head())];
    for (state, count) in states {
        texts.push((format!("{} ", units::count(count)), Style::new()));
        texts.push((format!("{state}  "), theme.dim()));
    }
    let made = format!("{} made, {} ended", units::count(all.spawned), units::count(all.finished));
    texts.push((made, theme.dim()));
    let texts: Vec<(&str, Style)> =
        texts.iter().map(|(text, style)| (text.as_str(), *style)).collect();
    pieces(buffer, theme, area, &texts);
}

fn cells(theme: Theme, row: &CoroutineRow) -> Vec<Cell> {
    let name = if row.name.is_empty() { theme.none() } else { &row.name };
    let state = match row.state.as_str() {
        "running" => theme.good(),
        "ready" => theme.warn(),
        _ => theme.dim(),
    };
    vec![
        styled(row.id.to_string(), theme.dim()),
        plain(name),
        styled(row.state.as_str(), state),
        plain(units::age(row.state_ms)),
        plain(row.worker.map_or_else(|| theme.none().to_owned(), |worker| worker.to_string())),
        plain(units::bytes(row.stack_bytes as f64)),
        styled(row.site.as_str(), theme.dim()),
    ]
}
