// SPDX-License-Identifier: BSD-3-Clause
//! The screen, drawn from the state alone.
//!
//! ```text
//!   0      becket mon  process, uptime, CPUs                      every 1 s  running
//!   1      [1 channels 3]  2 coroutines 9  3 plugins 0  4 sessions 0
//!   2      total: rates, smoothed, peak, and the graph of the past
//!   3 …    list, detail or help; on a tall screen the graph of the selected row below it
//!   …      alerts, two lines (five on a tall screen)
//!   last   keys, or the filter that is being typed
//! ```
//!
//! No information depends on colour alone, and with [`Theme::ascii`] every character is ASCII.

mod channels;
mod coroutines;
mod detail;
mod frame;
mod graph;
mod help;
mod plugins;
mod sessions;
mod table;
mod theme;

use ratatui::buffer::Buffer;
use ratatui::layout::{Rect, Size};

pub(crate) use self::theme::Theme;
use super::app::{App, Tab, View};

/// A narrower screen shows only that it is too small.
const WIDTH_MIN: u16 = 40;
const HEIGHT_MIN: u16 = 10;

/// From this height on there is a graph under the list.
const TALL: u16 = 34;

/// The areas of the screen.
#[derive(Debug, Clone, Copy)]
struct Areas {
    title: Rect,
    tabs: Rect,
    total: Rect,
    middle: Rect,
    graph: Option<Rect>,
    alerts: Rect,
    keys: Rect,
}

impl Areas {
    fn of(area: Rect) -> Self {
        let tall = area.height >= TALL;
        let alerts = if tall { 5 } else { 2 };
        let graph = if tall { area.height / 4 } else { 0 };
        let line = |y| Rect { y, height: 1, ..area };
        let middle = area.height.saturating_sub(4 + alerts + graph);
        let top = area.y + 3;
        Self {
            title: line(area.y),
            tabs: line(area.y + 1),
            total: line(area.y + 2),
            middle: Rect { y: top, height: middle, ..area },
            graph: tall.then_some(Rect { y: top + middle, height: graph, ..area }),
            alerts: Rect { y: top + middle + graph, height: alerts, ..area },
            keys: line(area.y + area.height.saturating_sub(1)),
        }
    }
}

/// How many rows of the tab's list fit on a screen of this size.
pub(crate) fn list_rows(app: &App, size: Size) -> u16 {
    let middle = Areas::of(Rect::new(0, 0, size.width, size.height)).middle.height;
    let above = match app.tab {
        Tab::Coroutines => coroutines::rows_above(app, middle),
        Tab::Channels | Tab::Plugins | Tab::Sessions => 0,
    };
    middle.saturating_sub(above + 1).max(1)
}

/// Draws the whole screen.
pub(crate) fn draw(app: &App, theme: Theme, buffer: &mut Buffer) {
    let area = buffer.area;
    if area.width < WIDTH_MIN || area.height < HEIGHT_MIN {
        let text = format!("at least {WIDTH_MIN}x{HEIGHT_MIN} please");
        buffer.set_stringn(area.x, area.y, text, area.width.into(), theme.warn());
        return;
    }
    let areas = Areas::of(area);
    frame::title(app, theme, areas.title, buffer);
    frame::tabs(app, theme, areas.tabs, buffer);
    frame::total(app, theme, areas.total, buffer);
    match app.view {
        View::Help => {
            let whole = areas.graph.map_or(areas.middle, |graph| areas.middle.union(graph));
            help::draw(theme, whole, buffer);
        }
        View::Detail(id) => {
            let whole = areas.graph.map_or(areas.middle, |graph| areas.middle.union(graph));
            detail::draw(app, id, theme, whole, buffer);
        }
        View::List => {
            match app.tab {
                Tab::Channels => channels::draw(app, theme, areas.middle, buffer),
                Tab::Coroutines => coroutines::draw(app, theme, areas.middle, buffer),
                Tab::Plugins => plugins::draw(app, theme, areas.middle, buffer),
                Tab::Sessions => sessions::draw(app, theme, areas.middle, buffer),
            }
            if let Some(area) = areas.graph {
                detail::graph_of_selected(app, theme, area, buffer);
            }
        }
    }
    frame::alerts(app, theme, areas.alerts, buffer);
    frame::keys(app, theme, areas.keys, buffer);
}

#[cfg(test)]
mod tests;
