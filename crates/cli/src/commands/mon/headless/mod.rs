// SPDX-License-Identifier: BSD-3-Clause
//! `--headless`: one JSON object a line, for programs. The fields are in
//! `docs/src/using/monitor.md`.

mod line;

use std::io::{self, Write};

use becket_chan::Receiver;
use becket_ipc::monitor::{Query, ROWS_MAX, Report, Select};

use self::line::Lines;
use super::driver::{Ending, News};
use super::store::Store;
use crate::exit::Exit;
use crate::failure::Failure;

/// How the run went.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) ending: Option<Ending>,
    reports: u64,
    wall_ms: u64,
}

/// The query: as many rows as allowed, and coroutines only as counts.
pub(super) fn query(filter: &str) -> Query {
    fn all<S: Default>(filter: &str) -> Select<S> {
        Select { rows: ROWS_MAX as u32, filter: filter.to_owned(), ..Select::default() }
    }
    Query {
        channels: all(filter),
        coroutines: Select::default(),
        plugins: all(filter),
        sessions: all(""),
        ..Query::default()
    }
}

/// Writes lines until the reports end.
pub(super) fn run(
    news: &Receiver<News>,
    store: &mut Store,
    out: &mut dyn Write,
) -> Result<Outcome, Failure> {
    let mut lines = Lines::default();
    let mut outcome = Outcome { ending: None, reports: 0, wall_ms: 0 };
    while let Ok(heard) = news.recv().wait() {
        match heard {
            News::Report(report) => {
                write_report(&report, &mut lines, store, out)?;
                outcome.reports += 1;
                outcome.wall_ms = report.wall_ms;
            }
            News::Ended(ending) => {
                outcome.ending = Some(ending);
                break;
            }
            News::Signal | News::Panicked | News::Deaf(_) => break,
            News::Terminal(_) => {}
        }
    }
    Ok(outcome)
}

fn write_report(
    report: &Report,
    lines: &mut Lines,
    store: &mut Store,
    out: &mut dyn Write,
) -> io::Result<()> {
    store.take(report);
    for line in lines.of(report, store) {
        serde_json::to_writer(&mut *out, &line)?;
        out.write_all(b"\n")?;
    }
    out.flush()
}

impl Outcome {
    /// Writes the last line, and returns the exit of the process.
    pub(super) fn end(self, out: &mut dyn Write) -> Result<Exit, Failure> {
        let reason = match &self.ending {
            Some(Ending::Finished) => "finished",
            Some(Ending::TimeUp) => "time_up",
            Some(Ending::Failed(_)) => "failed",
            None => "interrupted",
        };
        let line = line::end(self.wall_ms, reason, self.reports);
        serde_json::to_writer(&mut *out, &line).map_err(io::Error::from)?;
        out.write_all(b"\n")?;
        out.flush()?;
        match self.ending {
            Some(Ending::Finished | Ending::TimeUp) => Ok(Exit::Ok),
            Some(Ending::Failed(error)) => Err(super::feed_failed(&error)),
            None => Ok(Exit::Interrupted),
        }
    }
}

#[cfg(test)]
mod tests;
