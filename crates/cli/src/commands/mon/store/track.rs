// SPDX-License-Identifier: BSD-3-Clause
//! The history of one object with counts: a channel, a plugin, a session, a worker.

use std::collections::VecDeque;

use becket_ipc::monitor::{Meter, Rates, Reading};

/// Samples kept for the graph.
pub(crate) const SAMPLES_MAX: usize = 240;

/// What a rate is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Unit {
    /// Messages, calls, frames.
    #[default]
    Messages,
    /// Bytes.
    Bytes,
    /// Failures, errors, refusals.
    Failures,
    /// Messages sent by a channel, whose `Messages` are those received. Shown only in its detail
    /// view.
    Sent,
}

impl Unit {
    /// The next one.
    pub(crate) fn next(self) -> Self {
        match self {
            Self::Messages => Self::Bytes,
            Self::Bytes => Self::Failures,
            Self::Failures | Self::Sent => Self::Messages,
        }
    }

    /// In one word.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Messages => "messages",
            Self::Bytes => "bytes",
            Self::Failures => "failures",
            Self::Sent => "sent",
        }
    }
}

/// The counts of one object.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Counts {
    pub(crate) at_ns: u64,
    pub(crate) messages: u64,
    pub(crate) bytes: u64,
    pub(crate) failures: u64,
    pub(crate) sent: u64,
}

/// The meters of one object, and their recent values.
#[derive(Debug, Clone, Default)]
pub(crate) struct Track {
    meters: [Meter; 4],
    history: [VecDeque<f64>; 4],
    /// The number of the latest report that has the object.
    pub(super) seen: u64,
}

impl Track {
    /// Adds the counts of a report. True if they gave new rates.
    pub(super) fn read(&mut self, counts: Counts, report: u64) -> bool {
        self.seen = report;
        let Counts { at_ns, messages, bytes, failures, sent } = counts;
        let mut news = false;
        let each = self.meters.iter_mut().zip(&mut self.history);
        for ((meter, history), count) in each.zip([messages, bytes, failures, sent]) {
            if let Some(rates) = meter.read(Reading { at_ns, count }) {
                news = true;
                if history.len() >= SAMPLES_MAX {
                    history.pop_front();
                }
                history.push_back(rates.now);
            } else if meter.rates().is_none() {
                // The counts were reset, so the history is too.
                history.clear();
            }
        }
        news
    }

    /// The latest rates; none before there are two readings far enough apart.
    pub(crate) fn rates(&self, unit: Unit) -> Option<Rates> {
        self.meters.get(unit as usize).and_then(Meter::rates)
    }

    /// The rates of the past, the oldest first.
    pub(crate) fn history(&self, unit: Unit) -> impl ExactSizeIterator<Item = f64> + '_ {
        self.history.get(unit as usize).map(VecDeque::iter).unwrap_or_default().copied()
    }

    pub(super) fn clear(&mut self) {
        self.meters.iter_mut().for_each(Meter::clear);
        self.history.iter_mut().for_each(VecDeque::clear);
    }
}
