// SPDX-License-Identifier: BSD-3-Clause
//! The seconds of a side that has something in hand.

use tokio::time::{Instant, Interval, interval};

use super::NOTE_PERIOD;

/// See the module's documentation.
pub(super) struct Ticks {
    ticks: Interval,
    last: Instant,
}

/// One of them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tick {
    pub(super) now: Instant,
    /// This side was late itself: what came meanwhile may not have been looked at.
    pub(super) was_late: bool,
}

impl Ticks {
    /// The first comes after one period.
    pub(super) async fn start() -> Self {
        let mut ticks = interval(NOTE_PERIOD);
        ticks.tick().await;
        Self { ticks, last: Instant::now() }
    }

    pub(super) async fn next(&mut self) -> Tick {
        self.ticks.tick().await;
        let now = Instant::now();
        let was_late = now - self.last > 2 * NOTE_PERIOD;
        self.last = now;
        Tick { now, was_late }
    }
}
