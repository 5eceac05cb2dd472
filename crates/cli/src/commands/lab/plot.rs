// SPDX-License-Identifier: BSD-3-Clause
//! Flows over time, a character a tick.
//!
//! ```text
//!            0    5    10
//!   flow 1   →→←·←✓            → to the target   ← to the sink   ↔ both
//!   flow 2   →=··→→←✗          = the source is stalled   · waits
//!   flow 3      →←✓            ✓ ended in order   ✗ failed   r reset   ! a fault
//! ```
//!
//! Ticks without an event are left out; `┊` replaces two or more of them. A plot that is too wide
//! loses its oldest columns.

use std::collections::BTreeMap;

use becket_lab::contract::FlowState;
use becket_lab::pattern::Direction;
use becket_lab::trace::{Event, EventKind, FaultKind};

use crate::ui::{BAD, DIM, GOOD, WARN, paint};

/// Flows that are drawn; further ones are only counted.
const FLOWS_MAX: usize = 16;

/// What a flow did in one tick.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Cell {
    is_up: bool,
    is_down: bool,
    is_stalled: bool,
    is_struck: bool,
    end: Option<FlowState>,
}

/// One flow.
#[derive(Debug, Default)]
struct Row {
    /// By column, from the one in which the flow opened.
    cells: BTreeMap<usize, Cell>,
    state: Option<FlowState>,
    request_bytes: u64,
    answer_bytes: u64,
    is_stalled: bool,
}

/// All flows up to the last event.
#[derive(Debug, Default)]
pub(super) struct Plot {
    rows: BTreeMap<u32, Row>,
    /// The tick of each column; `None`: some were left out.
    columns: Vec<Option<u64>>,
}

impl Plot {
    /// Adds an event.
    pub(super) fn add(&mut self, event: &Event) {
        let tick = event.tick.0;
        let column = self.column(tick);
        let number = event.flow.number();
        if number == 0 {
            return;
        }
        let row = self.rows.entry(number).or_default();
        let cell = row.cells.entry(column).or_default();
        match event.what {
            EventKind::Crossed { direction: Direction::Request, bytes } => {
                cell.is_up = true;
                row.request_bytes += bytes;
            }
            EventKind::Crossed { direction: Direction::Response, bytes } => {
                cell.is_down = true;
                row.answer_bytes += bytes;
            }
            EventKind::Stalled => row.is_stalled = true,
            EventKind::Resumed => row.is_stalled = false,
            EventKind::Fault(kind) => cell.is_struck = kind != FaultKind::SpuriousWake,
            EventKind::Moved { state } => {
                row.state = Some(state);
                if is_over(state) {
                    row.is_stalled = false;
                    cell.end = Some(state);
                }
            }
            _ => {}
        }
        cell.is_stalled |= row.is_stalled;
    }

    fn column(&mut self, tick: u64) -> usize {
        let last = self.columns.iter().rev().flatten().next().copied();
        if last != Some(tick) {
            if last.is_some_and(|last| tick > last + 1) {
                self.columns.push(None);
            }
            self.columns.push(Some(tick));
        }
        self.columns.len() - 1
    }

    /// The number of lines.
    pub(super) fn height(&self) -> usize {
        self.rows.len().min(FLOWS_MAX) + 1 + usize::from(self.rows.len() > FLOWS_MAX)
    }

    /// Draws the plot, at most `width` columns wide.
    pub(super) fn draw(&self, width: usize) -> String {
        const LEFT: usize = 9;
        const RIGHT: usize = 34;
        let room = width.saturating_sub(LEFT + RIGHT).max(8);
        let from = self.columns.len().saturating_sub(room);
        let mut text = format!("{:LEFT$}{}\n", "tick", paint(DIM, &self.scale(from)));
        let shown = self.columns.len() - from;
        for (number, row) in self.rows.iter().take(FLOWS_MAX) {
            let label = format!("flow {number}");
            text.push_str(&format!("{label:LEFT$}"));
            for column in from..self.columns.len() {
                text.push_str(&self.mark(row, column));
            }
            let fill = room - shown.min(room) + 2;
            let tail = format!(
                "{} up, {} down, {}",
                row.request_bytes,
                row.answer_bytes,
                row.state.map_or("new", FlowState::name),
            );
            let tail: String = tail.chars().take(RIGHT - 2).collect();
            text.push_str(&format!("{:fill$}{}\n", "", paint(DIM, &tail)));
        }
        if self.rows.len() > FLOWS_MAX {
            text.push_str(&format!("and {} more flows\n", self.rows.len() - FLOWS_MAX));
        }
        text
    }

    /// The tick above every tenth column, if there is room.
    fn scale(&self, from: usize) -> String {
        let mut scale = String::new();
        for (at, tick) in self.columns.iter().enumerate().skip(from) {
            let place = at - from;
            if let Some(tick) = tick.filter(|_| place.is_multiple_of(10))
                && scale.chars().count() <= place
            {
                scale = format!("{scale:<place$}{tick}");
            }
        }
        scale
    }

    fn mark(&self, row: &Row, column: usize) -> String {
        let (Some((first, _)), Some((last, _))) =
            (row.cells.first_key_value(), row.cells.last_key_value())
        else {
            return " ".into();
        };
        let is_over = row.state.is_some_and(is_over);
        if column < *first || column > *last && is_over {
            return " ".into();
        }
        if self.columns.get(column).copied().flatten().is_none() {
            return paint(DIM, "┊");
        }
        let Some(cell) = row.cells.get(&column) else { return paint(DIM, "·") };
        match (cell.end, cell.is_up, cell.is_down) {
            (Some(FlowState::Closed), ..) => paint(GOOD, "✓"),
            (Some(FlowState::Reset), ..) => paint(WARN, "r"),
            (Some(_), ..) => paint(BAD, "✗"),
            _ if cell.is_struck => paint(BAD, "!"),
            (None, true, true) => "↔".into(),
            (None, true, false) => "→".into(),
            (None, false, true) => "←".into(),
            (None, false, false) if cell.is_stalled => paint(WARN, "="),
            (None, false, false) => paint(DIM, "·"),
        }
    }
}

const fn is_over(state: FlowState) -> bool {
    matches!(state, FlowState::Closed | FlowState::Reset | FlowState::Failed)
}

/// What the marks mean.
pub(super) fn legend() -> String {
    paint(
        DIM,
        "→ to the target  ← to the sink  ↔ both  = source stands still  ! fault  ✓ closed  ✗ failed  r reset",
    )
}

#[cfg(test)]
mod tests {
    use becket_lab::contract::{FlowId, Tick};

    use super::*;

    fn plain(text: &str) -> String {
        anstream::adapter::strip_str(text).to_string()
    }

    #[test]
    fn a_flow_is_drawn_tick_by_tick() {
        let mut plot = Plot::default();
        let mut add = |tick, flow, what| {
            plot.add(&Event { tick: Tick(tick), flow: FlowId::new(flow), what });
        };
        let up = EventKind::Crossed { direction: Direction::Request, bytes: 3 };
        let down = EventKind::Crossed { direction: Direction::Response, bytes: 5 };
        let moved = |state| EventKind::Moved { state };
        add(0, 1, up);
        add(0, 1, down);
        add(1, 2, up);
        add(1, 2, EventKind::Stalled);
        add(2, 2, EventKind::Took { place: becket_lab::trace::Stage::Ingress, bytes: 1 });
        add(2, 1, moved(FlowState::Closed));
        add(9, 2, moved(FlowState::Failed));
        let drawn = plain(&plot.draw(80));
        let lines: Vec<_> = drawn.lines().map(str::trim_end).collect();
        assert_eq!(lines[0], "tick     0");
        assert!(lines[1].starts_with("flow 1   ↔·✓"), "{}", lines[1]);
        assert!(lines[1].ends_with("3 up, 5 down, closed"), "{}", lines[1]);
        assert!(lines[2].starts_with("flow 2    →=┊✗"), "{}", lines[2]);
        assert_eq!((plot.height(), lines.len()), (3, 3));
    }

    #[test]
    fn it_keeps_within_its_width_and_shows_the_newest() {
        let mut plot = Plot::default();
        for tick in 0..500 {
            let what = EventKind::Crossed { direction: Direction::Request, bytes: 1 };
            plot.add(&Event { tick: Tick(tick), flow: FlowId::new(1), what });
        }
        for width in [60, 80, 120] {
            let drawn = plain(&plot.draw(width));
            assert!(drawn.lines().all(|line| line.chars().count() <= width), "{drawn}");
        }
        assert!(plain(&plot.draw(80)).contains("49"), "the last ticks");
    }
}
