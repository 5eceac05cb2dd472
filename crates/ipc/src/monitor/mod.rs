// SPDX-License-Identifier: BSD-3-Clause
//! What a monitor reads of a process: the report, who makes it, who fetches it, and rates.
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
//! the rate of the time between them, and a report that is lost loses nothing. The work in the
//! watched process is one pass over its channels, when somebody asks; nothing runs in between.
//!
//! # Invariants
//!
//! 1. Every figure *per second* is made by [`rate`], of two [`Reading`]s of one count, each with the
//!    time at which it was read. An interval shorter than [`RATE_INTERVAL_MIN`] gives none.
//! 2. A report is bounded whatever the process holds: a page of rows for each list ([`ROWS_MAX`]),
//!    and sums over all of them. Sorting and filtering happen where the rows are.
//! 3. Watching keeps nothing alive: a channel whose handles are gone leaves the list.
//! 4. A report from another process is not believed: [`Report::from_json`] refuses what is too long
//!    or of another schema, cuts lists and texts to their bounds and takes control characters out,
//!    so that a name cannot write to the terminal.
//!
//! | module | what lives there |
//! |---|---|
//! | `report`, `figures` | the model, with its schema's version; what its rows say of themselves |
//! | `query` | which rows a report is to have |
//! | `tame` | what came from outside, within bounds |
//! | `rate` | the one rate function; smoothing and peak |
//! | `source` | who makes reports: the exporter |
//! | `feed`, `attach` | who fetches them: in process, from a recording, over a connection |

mod attach;
mod feed;
mod figures;
mod query;
mod rate;
mod report;
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
        PluginReport, Process, Report, SCHEMA, SessionReport, WorkerReport,
    },
    source::{ExportError, Exporter, Limits, Source, plugin_id},
    tame::{REPORT_BYTES_MAX, ROWS_MAX, ReportError, TEXT_BYTES_MAX},
};
