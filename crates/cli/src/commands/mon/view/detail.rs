// SPDX-License-Identifier: BSD-3-Clause
//! One row of a list in detail, and graphs of its history.

use becket_ipc::monitor::{
    ChannelReport, CoroutineRow, PluginReport, RolloutReport, SessionReport,
};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;

use super::frame::{nanos, rate_text};
use super::graph;
use super::plugins;
use super::table::{pieces, put};
use super::theme::Theme;
use crate::commands::mon::app::{App, Row, Tab, with_id};
use crate::commands::mon::store::{Of, Track, Unit};
use crate::commands::mon::units;

/// Draws the row with this id, or a message that it is gone.
pub(super) fn draw(app: &App, id: u64, theme: Theme, area: Rect, buffer: &mut Buffer) {
    let mut page = Page { app, theme, area, line: 0, buffer };
    let Some(report) = &app.report else { return };
    let found = match app.tab {
        Tab::Channels => with_id(&report.channels, id).map(|row| page.channel(row)),
        Tab::Coroutines => with_id(&report.coroutines.rows, id).map(|row| page.coroutine(row)),
        Tab::Plugins => with_id(&report.plugins, id).map(|row| page.plugin(row)),
        Tab::Sessions => with_id(&report.sessions, id).map(|row| page.session(row)),
    };
    if found.is_none() {
        page.text(&[("it is gone", theme.warn()), ("   Esc goes back", theme.dim())]);
    }
}

/// The graph of the row under the cursor.
pub(super) fn graph_of_selected(app: &App, theme: Theme, area: Rect, buffer: &mut Buffer) {
    let Some((name, of)) = app.selected_row().and_then(Row::graph) else { return };
    let mut page = Page { app, theme, area, line: 0, buffer };
    if let Some(track) = app.store.track(&of) {
        page.graph(&name, track);
    }
}

/// Lines from the top to the bottom; lines that do not fit are left out.
struct Page<'a> {
    app: &'a App,
    theme: Theme,
    area: Rect,
    line: u16,
    buffer: &'a mut Buffer,
}

impl Page<'_> {
    fn channel(&mut self, row: &ChannelReport) {
        let closed = if row.closed { "closed" } else { "open" };
        let theme = self.theme;
        self.text(&[
            (&row.name, theme.head()),
            (&format!("  channel {}, {}, ", row.id, row.kind), theme.dim()),
            (closed, if row.closed { theme.warn() } else { theme.good() }),
        ]);
        let bound = row.capacity.map_or_else(
            || "no bound".to_owned(),
            |capacity| format!("of {}", units::count(capacity)),
        );
        let x = self.field(
            "depth",
            &format!("{} {bound}, at most {}", units::count(row.len), units::count(row.high_water)),
        );
        if let Some(capacity) = row.capacity.filter(|capacity| *capacity > 0) {
            let place = Rect {
                x: x + 2,
                y: self.area.y + self.line - 1,
                width: (self.area.x + self.area.width).saturating_sub(x + 4).min(40),
                height: 1,
            };
            let style = if row.is_full() { theme.warn() } else { theme.rate() };
            graph::gauge(row.len as f64 / capacity as f64, theme, style, place, self.buffer);
        }
        self.field(
            "waiting",
            &format!(
                "{}, {}",
                units::many(row.senders_waiting, "send"),
                units::many(row.receivers_waiting, "receive")
            ),
        );
        self.field(
            "in",
            &format!("{} messages, {}", grouped(row.sends), units::bytes(row.bytes_in as f64)),
        );
        self.field(
            "out",
            &format!("{} messages, {}", grouped(row.receives), units::bytes(row.bytes_out as f64)),
        );
        self.field(
            "not received",
            &format!(
                "{} ({} dropped, {} conflated)",
                grouped(row.undelivered),
                grouped(row.dropped),
                grouped(row.conflated)
            ),
        );
        self.skip();
        let heads = format!(
            "{:<14}{:>12}{:>12}{:>12}{:>12}",
            "failed", "would block", "timed out", "closed", "cancelled"
        );
        self.text(&[(&heads, theme.columns())]);
        for (side, causes) in [("sends", &row.failed.send), ("receives", &row.failed.receive)] {
            let mut line = format!("{side:<14}");
            for (_, count) in causes.each() {
                line.push_str(&format!("{:>12}", units::count(count)));
            }
            self.text(&[(&line, Style::new())]);
        }
        self.skip();
        self.rates(
            &Of::Channel(row.id),
            &[
                ("sent", Unit::Sent),
                ("received", Unit::Messages),
                ("bytes", Unit::Bytes),
                ("failures", Unit::Failures),
            ],
        );
    }

    fn coroutine(&mut self, row: &CoroutineRow) {
        let theme = self.theme;
        let name = if row.name.is_empty() { "a coroutine without a name" } else { &row.name };
        self.text(&[(name, theme.head()), (&format!("  coroutine {}", row.id), theme.dim())]);
        self.field("state", &format!("{} for {}", row.state, units::age(row.state_ms)));
        let worker = row.worker.map_or_else(
            || "none yet".to_owned(),
            |worker| format!("{worker} of runtime {}", row.runtime),
        );
        self.field("worker", &worker);
        self.field("stack", &units::bytes(row.stack_bytes as f64));
        self.field("spawned at", &row.site);
    }

    fn plugin(&mut self, row: &PluginReport) {
        let theme = self.theme;
        self.text(&[
            (&row.name, theme.head()),
            (&format!("  plugin, {}", row.placement), theme.dim()),
        ]);
        self.field(
            "calls",
            &format!(
                "{}, {} under way, {} wait",
                grouped(row.calls),
                units::count(row.in_flight),
                units::count(row.queue_depth)
            ),
        );
        let errors: Vec<String> = row
            .errors
            .iter()
            .map(|(cause, count)| format!("{} {cause}", grouped(*count)))
            .collect();
        let errors = if errors.is_empty() { "none".to_owned() } else { errors.join(", ") };
        self.field("errors", &errors);
        self.field(
            "bytes",
            &format!(
                "{} in, {} out",
                units::bytes(row.bytes_in as f64),
                units::bytes(row.bytes_out as f64)
            ),
        );
        self.field(
            "started anew",
            &format!("{} restarts, {} reloads", grouped(row.restarts), grouped(row.reloads)),
        );
        self.rollouts(row);
        self.skip();
        self.workers(row);
        self.latency(row);
        self.rates(
            &Of::Plugin(row.name.clone()),
            &[("calls", Unit::Messages), ("bytes", Unit::Bytes), ("errors", Unit::Failures)],
        );
    }

    /// The rollout under way, and how the last one ended.
    fn rollouts(&mut self, row: &PluginReport) {
        let counts = |of: &RolloutReport| {
            let (calls, errors) = (grouped(of.calls), grouped(of.errors));
            format!("{calls} of {} calls, {errors} failed", grouped(of.calls_min))
        };
        if let Some(now) = &row.rollout {
            let left = match now.timeout_ms.checked_sub(now.age_ms) {
                _ if now.timeout_ms == 0 => "no limit".to_owned(),
                left => format!("{} left", units::age(left.unwrap_or_default())),
            };
            let (version, percent, max) = (&now.version, now.percent, grouped(now.errors_max));
            let counts = counts(now);
            self.field(
                "rollout",
                &format!("{version} {percent}%, {counts} (at most {max}), {left}"),
            );
        }
        if let Some(last) = &row.last_rollout {
            let RolloutReport { version, result, cause, last_error, .. } = last;
            let (result, counts) = (result.replace('_', " "), counts(last));
            let error = if last_error.is_empty() { "" } else { "; " };
            let text = format!("{version} {result}, {cause}: {counts}{error}{last_error}");
            self.field("last rollout", &text);
        }
    }

    fn workers(&mut self, row: &PluginReport) {
        if row.workers.is_empty() {
            return;
        }
        let left = self.area.height.saturating_sub(self.line);
        let place = Rect { y: self.area.y + self.line, height: left, ..self.area };
        self.line += plugins::workers(self.app, self.theme, row, place, self.buffer);
        self.skip();
    }

    fn session(&mut self, row: &SessionReport) {
        let theme = self.theme;
        self.text(&[
            (&format!("session {}", row.id), theme.head()),
            (&format!("  {}, protocol {}", row.transport, row.protocol_name()), theme.dim()),
        ]);
        self.field("peer", &format!("process {}, user {}", row.peer_pid, row.peer_uid));
        self.field("there for", &units::age(row.age_ms));
        if row.has_streams() {
            let credit = units::bytes(row.credit_bytes as f64);
            self.field("streams", &format!("{}, with credit for {credit}", row.streams));
        } else {
            self.field("requests", &format!("{} wait for a channel", grouped(row.requests)));
        }
        self.field(
            "in",
            &format!("{} frames, {}", grouped(row.frames_in), units::bytes(row.bytes_in as f64)),
        );
        self.field(
            "out",
            &format!("{} frames, {}", grouped(row.frames_out), units::bytes(row.bytes_out as f64)),
        );
        self.field("to be written", &units::bytes(row.queued_bytes as f64));
        let refused: Vec<String> = row
            .refused
            .iter()
            .map(|(cause, count)| format!("{} {cause}", grouped(*count)))
            .collect();
        let refused = if refused.is_empty() { "nothing".to_owned() } else { refused.join(", ") };
        self.field("refused", &refused);
        self.skip();
        self.rates(
            &Of::Session(row.id),
            &[("frames", Unit::Messages), ("bytes", Unit::Bytes), ("refused", Unit::Failures)],
        );
    }

    /// Buckets as bars, from the first non-empty one to the last.
    fn latency(&mut self, row: &PluginReport) {
        let theme = self.theme;
        let counts = &row.latency.counts;
        let first = counts.iter().position(|count| *count > 0);
        let last = counts.iter().rposition(|count| *count > 0);
        let (Some(first), Some(last)) = (first, last) else { return };
        let top = counts.iter().copied().max().unwrap_or(1).max(1);
        self.text(&[(&format!("{:<12}{:>8}  ", "latency to", "calls"), theme.columns())]);
        // Half of the rest, so that the graph has room too.
        let room = usize::from((self.area.height.saturating_sub(self.line)) / 2).max(3);
        for (place, count) in counts.iter().enumerate().take(last + 1).skip(first).take(room) {
            let upper = row.latency.upper_ns.get(place);
            let upper = upper.map_or_else(|| "above".to_owned(), |upper| nanos(*upper));
            if let Some(line) = self.next() {
                let text = format!("{upper:<12}{:>8}  ", units::count(*count));
                let x = pieces(self.buffer, theme, line, &[(&text, Style::new())]);
                let room = (line.x + line.width).saturating_sub(x + 1).min(50);
                let width = (*count as f64 / top as f64 * f64::from(room)).ceil() as u16;
                let place = Rect { x, width: width.min(room), ..line };
                graph::gauge(1.0, theme, theme.rate(), place, self.buffer);
            }
        }
        self.skip();
    }

    /// Rates in every unit, and the graph of the selected unit.
    fn rates(&mut self, of: &Of, rows: &[(&str, Unit)]) {
        let theme = self.theme;
        let Some(track) = self.app.store.track(of) else { return };
        let heads = format!(
            "{:<14}{:>12}{:>12}{:>12}{:>12}",
            "a second", "now", "smoothed", "peak", "average"
        );
        self.text(&[(&heads, theme.columns())]);
        for (name, unit) in rows.iter().copied() {
            let mut line = format!("{name:<14}");
            match track.rates(unit) {
                Some(rates) => {
                    for value in [rates.now, rates.smoothed, rates.peak, rates.average] {
                        line.push_str(&format!("{:>12}", rate_text(value, unit)));
                    }
                }
                None => line.push_str("  not known before the next report"),
            }
            let style = if unit == self.app.unit { theme.rate() } else { Style::new() };
            self.text(&[(&line, style)]);
        }
        self.skip();
        self.graph("", track);
    }

    /// A graph with its scale on the rest of the page.
    fn graph(&mut self, name: &str, track: &Track) {
        let theme = self.theme;
        let left = self.area.height.saturating_sub(self.line);
        if left < 2 {
            return;
        }
        let Some(head) = self.next() else { return };
        let unit = self.app.unit;
        let room = Rect { y: head.y + 1, height: left - 1, ..self.area };
        let top = graph::bars(track.history(unit), theme, theme.rate(), room, self.buffer);
        self.line = self.area.height;
        let gap = if name.is_empty() { "" } else { "  " };
        let scale = format!("{gap}{} a second, highest bar {}", unit.word(), rate_text(top, unit));
        pieces(self.buffer, theme, head, &[(name, theme.head()), (&scale, theme.dim())]);
    }

    /// Writes a name and its value; returns where the text ends.
    fn field(&mut self, name: &str, text: &str) -> u16 {
        let Some(line) = self.next() else { return self.area.x };
        let name = format!("{name:<14}");
        pieces(self.buffer, self.theme, line, &[(&name, self.theme.dim()), (text, Style::new())])
    }

    fn text(&mut self, texts: &[(&str, Style)]) {
        if let Some(line) = self.next() {
            pieces(self.buffer, self.theme, line, texts);
        }
    }

    /// An empty line, unless there is little room.
    fn skip(&mut self) {
        if self.area.height > 20 {
            self.line += 1;
        }
    }

    fn next(&mut self) -> Option<Rect> {
        if self.line >= self.area.height {
            return None;
        }
        let line = Rect { y: self.area.y + self.line, height: 1, ..self.area };
        self.line += 1;
        put(self.buffer, self.theme, line, "", Style::new(), false);
        Some(line)
    }
}

/// A count in groups of three.
fn grouped(count: u64) -> String {
    crate::ui::text::count(count)
}
