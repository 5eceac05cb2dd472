// SPDX-License-Identifier: BSD-3-Clause
//! A table: a line per row, columns as wide as their contents.

use super::{HEAD, paint};

/// One column: its heading, and whether it is aligned to the right.
pub(crate) type Column = (&'static str, bool);

/// The table, with its headings.
pub(crate) fn of(columns: &[Column], rows: &[Vec<String>]) -> String {
    let widths: Vec<usize> = columns
        .iter()
        .enumerate()
        .map(|(at, (heading, _))| {
            let cells = rows.iter().filter_map(|row| row.get(at)).map(|cell| cell.chars().count());
            cells.max().unwrap_or(0).max(heading.len())
        })
        .collect();
    let line = |cells: &mut dyn Iterator<Item = &str>| {
        let mut line = String::new();
        for (at, ((cell, width), (_, right))) in cells.zip(&widths).zip(columns).enumerate() {
            let fill = " ".repeat(width.saturating_sub(cell.chars().count()));
            if at > 0 {
                line.push_str("  ");
            }
            line.push_str(&if *right { format!("{fill}{cell}") } else { format!("{cell}{fill}") });
        }
        line.trim_end().to_owned()
    };
    let heading = line(&mut columns.iter().map(|(heading, _)| *heading));
    let mut table = format!("{}\n", paint(HEAD, &heading));
    for row in rows {
        table.push_str(&line(&mut row.iter().map(String::as_str)));
        table.push('\n');
    }
    table
}
