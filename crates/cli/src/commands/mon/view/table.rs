// SPDX-License-Identifier: BSD-3-Clause
//! A table: headings, rows, the row under the cursor.

use becket_ipc::monitor::Page;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::Span;

use super::theme::Theme;
use crate::commands::mon::app::{App, List, Sorts};

/// Characters of the flexible column, at most: in a wider table rows are hard to follow.
const FLEX_MAX: u16 = 60;

/// One column.
#[derive(Debug, Clone, Copy)]
pub(super) struct Column {
    pub(super) title: &'static str,
    /// Characters; 0 takes the rest of the width.
    pub(super) width: u16,
    pub(super) right: bool,
    /// Shown on screens from this width on.
    pub(super) from: u16,
    /// Marked while the list is sorted by this.
    pub(super) sort: Option<Sorts>,
}

/// A column whose text begins at its left.
pub(super) const fn left(title: &'static str, width: u16, sort: Option<Sorts>) -> Column {
    Column { title, width, right: false, from: 0, sort }
}

/// A column of figures.
pub(super) const fn right(title: &'static str, width: u16, sort: Option<Sorts>) -> Column {
    Column { title, width, right: true, from: 0, sort }
}

impl Column {
    /// The same, on wide screens only.
    pub(super) const fn from(self, from: u16) -> Self {
        Self { from, ..self }
    }
}

/// A cell: its text and style.
#[derive(Debug, Clone)]
pub(super) struct Cell {
    pub(super) text: String,
    pub(super) style: Style,
}

/// Text without a style.
pub(super) fn plain(text: impl Into<String>) -> Cell {
    Cell { text: text.into(), style: Style::new() }
}

/// Text with one.
pub(super) fn styled(text: impl Into<String>, style: Style) -> Cell {
    Cell { text: text.into(), style }
}

/// Draws a table.
pub(super) struct Table<'a> {
    pub(super) theme: Theme,
    pub(super) columns: &'a [Column],
    /// The list whose order the headings show.
    pub(super) list: Option<&'a List>,
    /// The row under the cursor, counted from the first that is drawn.
    pub(super) selected: Option<usize>,
}

impl Table<'_> {
    /// Draws headings and as many rows as fit; returns where the last visible column begins.
    pub(super) fn draw(
        &self,
        rows: impl Iterator<Item = Vec<Cell>>,
        area: Rect,
        buffer: &mut Buffer,
    ) -> u16 {
        let columns = self.places(area);
        let last = columns.last().map_or(area.x, |(_, x, _)| *x);
        if area.height == 0 {
            return last;
        }
        buffer.set_style(Rect { height: 1, ..area }, self.theme.columns());
        for (column, x, width) in &columns {
            let sorted = self.list.filter(|list| Some(list.sort()) == column.sort);
            let mark = match sorted.map(List::is_reversed) {
                Some(true) => self.theme.rising(),
                Some(false) => self.theme.falling(),
                None => "",
            };
            let cell = styled(format!("{}{mark}", column.title), self.theme.columns());
            self.cell(&cell, column.right, Rect::new(*x, area.y, *width, 1), buffer);
        }
        for (place, cells) in (0..area.height - 1).zip(rows) {
            let y = area.y + 1 + place;
            for (cell, (column, x, width)) in cells
                .iter()
                .zip(self.columns)
                .filter(|(_, column)| column.from <= area.width)
                .map(|(cell, _)| cell)
                .zip(&columns)
            {
                self.cell(cell, column.right, Rect::new(*x, y, *width, 1), buffer);
            }
            if self.selected == Some(usize::from(place)) {
                buffer.set_style(Rect { y, height: 1, ..area }, self.theme.selected());
                buffer.set_stringn(area.x, y, self.theme.cursor(), 1, Style::new());
            }
        }
        last
    }

    /// The visible columns, with their starts and widths. The first character of a line is the
    /// cursor.
    fn places(&self, area: Rect) -> Vec<(Column, u16, u16)> {
        let shown: Vec<Column> =
            self.columns.iter().filter(|column| column.from <= area.width).copied().collect();
        let taken: u16 = shown.iter().map(|column| column.width + 1).sum();
        let rest = area.width.saturating_sub(taken).min(FLEX_MAX);
        let mut x = area.x + 1;
        let mut places = Vec::new();
        for column in shown {
            let end = area.x + area.width;
            let width = if column.width == 0 { rest } else { column.width };
            let width = width.min(end.saturating_sub(x));
            places.push((column, x, width));
            x = x.saturating_add(width + 1).min(end);
        }
        places
    }

    fn cell(&self, cell: &Cell, right: bool, place: Rect, buffer: &mut Buffer) {
        put(buffer, self.theme, place, &cell.text, cell.style, right);
    }
}

/// Draws the list of the current tab: the rows of its page from the first that is on the screen.
/// Returns where the last visible column begins, and these rows.
pub(super) fn list<'a, T>(
    app: &App,
    theme: Theme,
    page: &'a Page<T>,
    (columns, cells): (&[Column], impl Fn(&T) -> Vec<Cell>),
    area: Rect,
    buffer: &mut Buffer,
) -> (u16, &'a [T]) {
    let list = app.list();
    let skip = list.offset().saturating_sub(page.first) as usize;
    let selected = (page.matched > 0).then(|| (list.selected() - list.offset()) as usize);
    let table = Table { theme, columns, list: Some(list), selected };
    let rows = page.rows.get(skip..).unwrap_or_default();
    let x = table.draw(rows.iter().map(cells), area, buffer);
    super::frame::nothing(app, theme, area, buffer);
    (x, rows)
}

/// Writes text into a part of a line; text that is cut ends with a mark.
pub(super) fn put(
    buffer: &mut Buffer,
    theme: Theme,
    place: Rect,
    text: &str,
    style: Style,
    right: bool,
) {
    let room = usize::from(place.width);
    let width = Span::raw(text).width();
    let indent = if right { room.saturating_sub(width) as u16 } else { 0 };
    let text: String = if theme.ascii {
        text.chars().map(|c| if c.is_ascii() { c } else { '?' }).collect()
    } else {
        text.to_owned()
    };
    buffer.set_stringn(place.x + indent, place.y, text, room, style);
    if width > room && room > 0 {
        buffer.set_stringn(place.x + place.width - 1, place.y, theme.cut(), 1, style);
    }
}

/// Writes pieces one after the other; returns where the next would begin.
pub(super) fn pieces(
    buffer: &mut Buffer,
    theme: Theme,
    place: Rect,
    pieces: &[(&str, Style)],
) -> u16 {
    let end = place.x + place.width;
    let mut x = place.x;
    for (text, style) in pieces {
        let rest = Rect { x, width: end.saturating_sub(x), ..place };
        put(buffer, theme, rest, text, *style, false);
        x = x.saturating_add(Span::raw(*text).width() as u16).min(end);
    }
    x
}
