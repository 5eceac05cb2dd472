// SPDX-License-Identifier: BSD-3-Clause
//! The list of sessions.

use becket_ipc::monitor::SessionReport;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::frame::rate_text;
use super::table::{Cell, Column, left, list, plain, right, styled};
use super::theme::Theme;
use crate::commands::mon::app::{App, Sorts};
use crate::commands::mon::store::{Of, Unit};
use crate::commands::mon::units;

const COLUMNS: [Column; 11] = [
    right("ID", 5, Some(Sorts::Id)),
    right("PEER", 7, None),
    right("UID", 5, None),
    left("TRANSPORT", 0, None),
    right("PROTO", 5, None),
    right("STREAMS", 7, Some(Sorts::Streams)),
    right("WAITING", 7, None).from(100),
    right("RATE", 8, None),
    right("SPEED", 11, Some(Sorts::Bytes)),
    right("CREDIT", 9, None).from(100),
    right("REFUSED", 7, Some(Sorts::Failed)),
];

pub(super) fn draw(app: &App, theme: Theme, area: Rect, buffer: &mut Buffer) {
    let Some(report) = &app.report else { return };
    let columns = (COLUMNS.as_slice(), |row: &_| cells(app, theme, row));
    list(app, theme, &report.sessions, columns, area, buffer);
}

fn cells(app: &App, theme: Theme, row: &SessionReport) -> Vec<Cell> {
    let track = app.store.track(&Of::Session(row.id));
    let rates = track.and_then(|track| track.rates(app.unit));
    let bytes = track.and_then(|track| track.rates(Unit::Bytes));
    let none = || theme.none().to_owned();
    let refused = row.refused();
    vec![
        plain(row.id.to_string()),
        plain(if row.peer_pid == 0 { none() } else { row.peer_pid.to_string() }),
        plain(row.peer_uid.to_string()),
        plain(row.transport.as_str()),
        plain(row.protocol_name()),
        plain(if row.has_streams() { units::count(row.streams) } else { none() }),
        plain(if row.has_streams() { none() } else { units::count(row.requests) }),
        styled(
            rates.map_or_else(none, |rates| rate_text(rates.now, app.unit)),
            theme.rate_of(rates.map(|rates| rates.now)),
        ),
        plain(bytes.map_or_else(none, |bytes| units::bits(bytes.now))),
        plain(if row.has_streams() { units::bytes(row.credit_bytes as f64) } else { none() }),
        styled(units::count(refused), if refused > 0 { theme.warn() } else { theme.dim() }),
    ]
}
