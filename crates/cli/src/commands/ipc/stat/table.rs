// SPDX-License-Identifier: BSD-3-Clause
//! The figures as a table: a line per channel.

use super::row::Row;
use crate::ui::table::{self, Column};
use crate::ui::text;

const COLUMNS: [Column; 8] = [
    ("CHANNEL", false),
    ("KIND", false),
    ("DEPTH", true),
    ("MOST", true),
    ("WAITING", true),
    ("SENT", true),
    ("RECEIVED", true),
    ("FAILED", true),
];

const RATES: [Column; 2] = [("SENT/S", true), ("RECEIVED/S", true)];

/// The table.
pub(super) fn of(rows: &[Row], has_rates: bool) -> String {
    let mut columns = COLUMNS.to_vec();
    if has_rates {
        columns.extend(RATES);
    }
    let cells: Vec<Vec<String>> = rows.iter().map(|row| cells(row, has_rates)).collect();
    table::of(&columns, &cells)
}

fn cells(row: &Row, has_rates: bool) -> Vec<String> {
    let channel = &row.channel;
    let mut kind = channel.kind.clone();
    if channel.closed {
        kind.push_str(", closed");
    }
    let depth = match channel.capacity {
        Some(capacity) if channel.kind == "bounded" => {
            format!("{}/{}", text::count(channel.len), text::count(capacity))
        }
        _ => text::count(channel.len),
    };
    let waiting = match (channel.senders_waiting, channel.receivers_waiting) {
        (0, 0) => "-".to_owned(),
        (sends, 0) => format!("{} to send", text::count(sends)),
        (0, receives) => format!("{} to receive", text::count(receives)),
        (sends, receives) => {
            format!("{} to send, {} to receive", text::count(sends), text::count(receives))
        }
    };
    let mut cells = vec![
        channel.name.clone(),
        kind,
        depth,
        text::count(channel.high_water),
        waiting,
        text::count(channel.sends),
        text::count(channel.receives),
        text::count(channel.failed.total()),
    ];
    if has_rates {
        for name in ["sends_per_second", "receives_per_second"] {
            cells.push(row.rate(name).map_or_else(|| "-".into(), |rate| format!("{rate:.1}")));
        }
    }
    cells
}
