// SPDX-License-Identifier: BSD-3-Clause
//! The list of plugins.

use becket_ipc::monitor::{PluginReport, PluginWorker, RolloutReport, WorkerEnd};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::frame::rate_text;
use super::table::{Cell, Column, Table, left, list, plain, right, styled};
use super::theme::Theme;
use crate::commands::mon::app::{App, Sorts};
use crate::commands::mon::store::Of;
use crate::commands::mon::units;

const COLUMNS: [Column; 15] = [
    left("NAME", 0, Some(Sorts::Name)),
    left("WHERE", 7, None),
    right("CALLS", 7, Some(Sorts::Calls)),
    right("RATE", 9, None),
    right("PEAK", 9, None).from(100),
    right("ERRORS", 7, Some(Sorts::Failed)),
    right("p50", 6, None),
    right("p99", 6, None),
    right("QUEUE", 6, Some(Sorts::Depth)),
    right("WORKERS", 7, None),
    right("MEMORY", 8, None).from(100),
    right("CPU", 5, None).from(120),
    right("RESTARTS", 8, None).from(120),
    left("LAST END", 16, None).from(140),
    left("ROLLOUT", 14, None).from(160),
];

/// The workers of one plugin.
const WORKERS: [Column; 8] = [
    left("WORKER", 9, None),
    left("STATE", 10, None),
    right("PID", 7, None),
    right("CALLS", 5, None),
    right("MEMORY", 8, None),
    right("CPU", 5, None),
    right("RESTARTS", 8, None),
    left("LAST END", 0, None),
];

pub(super) fn draw(app: &App, theme: Theme, area: Rect, buffer: &mut Buffer) {
    let Some(report) = &app.report else { return };
    let columns = (COLUMNS.as_slice(), |row: &_| cells(app, theme, row));
    list(app, theme, &report.plugins, columns, area, buffer);
}

/// Draws the workers of a plugin; returns the lines that they take. Those that do not fit are left out.
pub(super) fn workers(
    app: &App,
    theme: Theme,
    row: &PluginReport,
    area: Rect,
    buffer: &mut Buffer,
) -> u16 {
    let lines = u16::try_from(row.workers.len() + 1).unwrap_or(u16::MAX).min(area.height);
    let rows = row.workers.iter().map(|worker| worker_cells(app, theme, worker));
    let place = Rect { height: lines, ..area };
    Table { theme, columns: &WORKERS, list: None, selected: None }.draw(rows, place, buffer);
    lines
}

fn worker_cells(app: &App, theme: Theme, worker: &PluginWorker) -> Vec<Cell> {
    let none = || theme.none().to_owned();
    let (pid, memory) = match worker.pid {
        0 => (none(), none()),
        pid => (pid.to_string(), units::bytes(worker.resident_bytes as f64)),
    };
    let state = match worker.state.as_str() {
        "running" => theme.good(),
        _ => theme.warn(),
    };
    let end = worker
        .last_end
        .as_ref()
        .map_or_else(none, |end| format!("{}, {}", last_end(end), end.status));
    vec![
        plain(format!("{}{}", worker.worker, if worker.canary { " canary" } else { "" })),
        styled(worker.state.as_str(), state),
        plain(pid),
        plain(units::count(worker.in_hand)),
        plain(memory),
        styled(percent(app.store.cpus_of(worker), theme), theme.rate()),
        plain(units::count(worker.restarts)),
        plain(end),
    ]
}

/// A rollout under way: its share, and how much of what it takes has come.
fn rollout(of: &RolloutReport) -> String {
    format!("{}% {}/{}", of.percent, units::count(of.calls), units::count(of.calls_min))
}

fn last_end(end: &WorkerEnd) -> String {
    format!("{} {} ago", end.reason, units::age(end.age_ms))
}

/// A share of one CPU.
fn percent(cpus: Option<f64>, theme: Theme) -> String {
    cpus.map_or_else(|| theme.none().to_owned(), |cpus| format!("{:.0}%", cpus * 100.0))
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
    let (running, workers) = (row.workers_running(), row.workers.len() as u64);
    let of_workers = |text: String| if workers == 0 { theme.none().to_owned() } else { text };
    let cpus = row.workers.iter().filter_map(|worker| app.store.cpus_of(worker));
    let cpus = cpus.reduce(|sum, cpus| sum + cpus);
    let end = row.last_end().map_or_else(|| theme.none().to_owned(), last_end);
    let rolling_out = row.rollout.as_ref().map_or_else(|| theme.none().to_owned(), rollout);
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
        styled(
            of_workers(format!("{running}/{workers}")),
            if running < workers { theme.warn() } else { theme.dim() },
        ),
        plain(of_workers(units::bytes(row.resident_bytes() as f64))),
        plain(percent(cpus, theme)),
        plain(units::count(row.restarts)),
        plain(end),
        plain(rolling_out),
    ]
}
