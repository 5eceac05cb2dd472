// SPDX-License-Identifier: BSD-3-Clause
//! The frame around the middle of the screen: title, tabs, totals, alerts, keys.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;

use super::graph;
use super::table::{pieces, put};
use super::theme::Theme;
use crate::commands::mon::app::{App, Tab, View};
use crate::commands::mon::store::{Grade, Of, Unit};
use crate::commands::mon::units;

pub(super) fn title(app: &App, theme: Theme, area: Rect, buffer: &mut Buffer) {
    let state = match (&app.ended, app.running) {
        (Some(why), _) => (why.clone(), theme.warn()),
        (None, true) => ("running".to_owned(), theme.good()),
        (None, false) => ("stopped".to_owned(), theme.warn()),
    };
    let every = match app.interval_ms {
        ms if ms.is_multiple_of(1000) => format!("every {}s  ", ms / 1000),
        ms => format!("every {ms}ms  "),
    };
    let right = (every.chars().count() + state.0.chars().count()) as u16;
    let left = Rect { width: area.width.saturating_sub(right + 1), ..area };
    let what = match &app.report {
        Some(report) => {
            let process = &report.process;
            let cpus = app
                .store
                .cpus()
                .map_or_else(|| theme.none().to_owned(), |cpus| format!("{:.0}%", cpus * 100.0));
            format!(
                "{} pid {}  cpu {cpus}  up {}  {}",
                process.name,
                process.pid,
                units::age(process.uptime_ms),
                app.origin,
            )
        }
        None => format!("{}  waiting for the first report", app.origin),
    };
    pieces(buffer, theme, left, &[("becket mon  ", theme.head()), (&what, Style::new())]);
    let place = Rect { x: area.x + area.width.saturating_sub(right), width: right, ..area };
    pieces(buffer, theme, place, &[(&every, theme.dim()), (&state.0, state.1)]);
}

pub(super) fn tabs(app: &App, theme: Theme, area: Rect, buffer: &mut Buffer) {
    let mut texts = Vec::new();
    for (number, tab) in (1..).zip(Tab::ALL) {
        let count = units::count(app.total(tab));
        texts.push(if tab == app.tab {
            (format!("[{number} {} {count}]", tab.title()), theme.head())
        } else {
            (format!(" {number} {} {count} ", tab.title()), theme.dim())
        });
        texts.push((" ".to_owned(), Style::new()));
    }
    let list = app.list();
    if !list.filter().is_empty() {
        let shown = units::count(app.matched(app.tab));
        texts.push((format!(" /{}: {shown}", list.filter()), theme.warn()));
    }
    let texts: Vec<(&str, Style)> =
        texts.iter().map(|(text, style)| (text.as_str(), *style)).collect();
    pieces(buffer, theme, area, &texts);
}

pub(super) fn total(app: &App, theme: Theme, area: Rect, buffer: &mut Buffer) {
    let track = app.store.track(&Of::Total);
    let rates = track.and_then(|track| track.rates(app.unit));
    let bytes = track.and_then(|track| track.rates(Unit::Bytes));
    let figure = |value: Option<f64>| {
        value.map_or_else(|| theme.none().to_owned(), |value| rate_text(value, app.unit))
    };
    let now = figure(rates.map(|rates| rates.now));
    let smoothed = figure(rates.map(|rates| rates.smoothed));
    let peak = figure(rates.map(|rates| rates.peak));
    let speed = bytes.map_or_else(|| theme.none().to_owned(), |bytes| units::bits(bytes.now));
    let x = pieces(
        buffer,
        theme,
        area,
        &[
            ("all ", theme.dim()),
            (app.unit.word(), Style::new()),
            (" ", Style::new()),
            (&format!("{now:>9}"), theme.rate()),
            ("  smooth ", theme.dim()),
            (&format!("{smoothed:<9}"), Style::new()),
            (" peak ", theme.dim()),
            (&format!("{peak:<9}"), Style::new()),
            (" ", Style::new()),
            (&format!("{speed:<12}"), theme.dim()),
            (" ", Style::new()),
        ],
    );
    let rest = Rect { x, width: (area.x + area.width).saturating_sub(x), ..area };
    if let Some(track) = track.filter(|_| rest.width > 4) {
        graph::spark(track.history(app.unit), theme, theme.rate(), rest, buffer);
    }
}

/// A rate in the unit that is shown: `1.23M/s`, `1.23 MB/s`.
pub(super) fn rate_text(value: f64, unit: Unit) -> String {
    match unit {
        Unit::Bytes => format!("{}/s", units::bytes(value)),
        Unit::Messages | Unit::Failures | Unit::Sent => format!("{}/s", units::short(value)),
    }
}

pub(super) fn alerts(app: &App, theme: Theme, area: Rect, buffer: &mut Buffer) {
    let alerts = app.store.alerts().list();
    let (count, room) = (alerts.len(), usize::from(area.height));
    for (place, alert) in (0..area.height).zip(alerts) {
        let line = Rect { y: area.y + place, height: 1, ..area };
        let (mark, style) = match alert.grade {
            Grade::Warn => (" ! ", theme.warn()),
            Grade::Bad => ("!! ", theme.bad()),
        };
        // The last line has the number of further alerts.
        let last = usize::from(place) + 1 == room && count > room;
        let more = if last { format!("  (+{} more)", count - room) } else { String::new() };
        let width = area.width.saturating_sub(more.len() as u16);
        let x = pieces(
            buffer,
            theme,
            Rect { width, ..line },
            &[(mark, style), (&alert.text, Style::new())],
        );
        put(buffer, theme, Rect { x, width: more.len() as u16, ..line }, &more, theme.dim(), false);
    }
}

pub(super) fn keys(app: &App, theme: Theme, area: Rect, buffer: &mut Buffer) {
    if app.is_typing() {
        let filter = app.list().filter();
        let cursor = if theme.ascii { "_" } else { "▏" };
        pieces(
            buffer,
            theme,
            area,
            &[
                ("/", theme.key()),
                (filter, theme.head()),
                (cursor, Style::new()),
                ("   Enter keeps it, Esc drops it", theme.dim()),
            ],
        );
        return;
    }
    let run = if app.running { "stop" } else { "run" };
    let sort = format!("sort:{}", app.list().sort().word());
    let mode = app.unit.word();
    let keys: Vec<(&str, &str)> = match app.view {
        View::Help => vec![("any key", "back"), ("q", "quit")],
        View::Detail(_) => {
            vec![
                ("q", "quit"),
                ("r", run),
                ("c", "clear"),
                ("t", mode),
                ("Esc", "back"),
                ("h", "help"),
            ]
        }
        View::List => vec![
            ("q", "quit"),
            ("r", run),
            ("c", "clear"),
            ("t", mode),
            ("s", &sort),
            ("/", "filter"),
            ("Enter", "detail"),
            ("h", "help"),
        ],
    };
    let mut texts = Vec::new();
    for (key, what) in keys {
        texts.push((key, theme.key()));
        texts.push((" ", Style::new()));
        texts.push((what, theme.dim()));
        texts.push(("  ", Style::new()));
    }
    pieces(buffer, theme, area, &texts);
}

/// Writes why a list is empty.
pub(super) fn nothing(app: &App, theme: Theme, area: Rect, buffer: &mut Buffer) {
    if app.report.is_none() || app.matched(app.tab) > 0 || area.height < 3 {
        return;
    }
    let what = app.tab.title();
    let text = match (app.list().filter(), app.total(app.tab)) {
        (_, 0) => format!("no {what} are shown by this process"),
        ("", _) => format!("{what} are counted only: there are too many to list"),
        (filter, _) => format!("no name of {what} contains \"{filter}\"; Esc shows all"),
    };
    let line =
        Rect { x: area.x + 1, y: area.y + 2, width: area.width.saturating_sub(1), height: 1 };
    put(buffer, theme, line, &text, theme.dim(), false);
}

/// A duration in at most five characters: `999ns`, `1.2us`, `34ms`, `5s`.
pub(super) fn nanos(ns: u64) -> String {
    let scaled = |unit_ns: u64, unit: &str| {
        let value = ns as f64 / unit_ns as f64;
        if value < 9.95 { format!("{value:.1}{unit}") } else { format!("{value:.0}{unit}") }
    };
    match ns {
        0..1_000 => format!("{ns}ns"),
        1_000..1_000_000 => scaled(1_000, "us"),
        1_000_000..1_000_000_000 => scaled(1_000_000, "ms"),
        _ => scaled(1_000_000_000, "s"),
    }
}
