// SPDX-License-Identifier: BSD-3-Clause
//! The data for a monitor: the report, its source, its feed, and rates.
//!
//! ```text
//!   watched process                                  monitor
//!   ───────────────                                  ───────
//!   channels ──weak──┐
//!   runtimes ────────┤                     Query
//!   plugins  ────────┼─ Exporter: Source ◄──────── Feed ◄── list, detail, NDJSON
//!   sessions ────────┘          │                   ▲ │
//!                               └──── Report ───────┘ └──► Meter: rates of two reports
//! ```
//!
//! A [`Report`] holds counts since the beginning, never rates: two reports, however far apart, give
//! the rate of the time between them, and a lost report loses no data. The work in the watched
//! process is one pass over its channels per report; nothing runs in between.
//!
//! # Invariants
//!
//! 1. Every figure *per second* is computed by [`rate`], from two [`Reading`]s of one count, each
//!    with the time at which it was read. An interval below [`RATE_INTERVAL_MIN`] gives none.
//! 2. A report is bounded whatever the process holds: a page of rows per list ([`ROWS_MAX`]), and
//!    sums over all of them. Sorting and filtering happen in the watched process.
//! 3. Watching keeps nothing alive: a channel whose handles are dropped leaves the list.
//! 4. A report from another process is not trusted: [`Report::from_json`] refuses reports that are
//!    too long or of another schema, truncates lists and texts to their bounds and removes control
//!    characters, so that a name cannot write to the terminal.
//!
//! | module | contents |
//! |---|---|
//! | `report`, `figures` | the model, with its schema's version; figures derived from its rows |
//! | `query` | which rows a report contains |
//! | `tame` | validation of external input |
//! | `rate` | the one rate function; smoothing and peak |
//! | `source` | creates reports: the exporter |
//! | `serve` | a socket that answers monitors |
//! | `feed`, `attach` | fetches them: in process, from a recording, over a connection |

mod attach;
mod feed;
mod figures;
mod query;
mod rate;
mod report;
mod serve;
mod source;
mod tame;
#[cfg(test)]
mod tests;

pub use self::{
    attach::ClientFeed,
    feed::{Feed, FeedError, LocalFeed, ReplayFeed},
    query::{ChannelSort, CoroutineSort, Page, PluginSort, Query, Select, SessionSort},
    rate::{Meter, RATE_INTERVAL_MIN, Rates, Reading, SMOOTHING, rate},
    report::{
        Causes, ChannelReport, ChannelTotals, CoroutineRow, Coroutines, Failed, Held, Histogram,
        PluginReport, PluginWorker, Process, Report, RolloutReport, SCHEMA, SessionReport,
        WorkerEnd, WorkerReport,
    },
    serve::serve,
    source::{ExportError, Exporter, Limits, Source, plugin_id},
    tame::{REPORT_BYTES_MAX, ROWS_MAX, ReportError, TEXT_BYTES_MAX},
};
