// SPDX-License-Identifier: BSD-3-Clause
//! The cost of monitoring: ten thousand live channels, with reports and without, in turns.
//!
//! ```text
//!   turns     watched            unwatched          unwatched          watched            …
//!             │report            │                  │                  │report
//!             └─ 0.2 s of CPU ───┴─ 0.2 s of CPU ───┴─ 0.2 s of CPU ───┴─ 0.2 s of CPU ──
//! ```
//!
//! The cost of a report is the loss of work in a turn with a report against the neighbouring turn
//! without: the CPU time of the report, and the effects of its locks and of cache evictions. Turns
//! are measured in CPU time, so other processes lengthen a turn without changing its work. A turn
//! is a tenth of what two workers use in a second, so that the cost, which at one report per second
//! would be lost in noise, is ten times as visible.

mod load;

use std::time::Duration;

use becket_ipc::monitor::{ChannelSort, Query, Source};
use rustix::time::{ClockId, clock_gettime};

use self::load::Load;
use crate::error::{BenchError, check};
use crate::harness::{Figures, Plan};
use crate::report::{Goal, Group, Row};

const OURS: &str = "all it costs";
const OWN: &str = "its own CPU time";
const COLUMNS: [&str; 2] = [OURS, OWN];
const CHANNELS: u32 = 10_000;
const WORKERS: usize = 2;
/// CPU time of the process from turn to turn.
const TURN: Duration = Duration::from_millis(200);
/// Between two looks whether a turn is over.
const LOOK: Duration = Duration::from_millis(1);
/// One in a hundred of what two workers use in a second, after which `becket mon` looks again.
const COST_MS_MAX: f64 = 20.0;
/// Turns of each kind for one repetition.
const PAIRS: usize = 2;

const NOTES: &str = "\
Milliseconds of CPU time for one report. A message of 8 bytes is sent by a coroutine and received \
by another, through one of 10 000 bounded(16) channels that are all in use, on two workers. *All \
it costs*: the loss of work in 0.2 s of CPU time with a report at its beginning, against the 0.2 \
s before or after it without one. The goal is 1 % of what two workers use in a second, since \
`becket mon` requests a report per second. *A screen*: 20 channels, the busiest first; *lines*: \
1024 channels, as for `--headless`; both count 20 000 coroutines by their state, one by one, and \
are written as JSON.
";

/// Measures the group `monitor`.
pub(crate) fn run(plan: Plan<'_>) -> Result<Group, BenchError> {
    let mut rows = Vec::new();
    for (name, query) in queries() {
        let name = format!("a report of 10 000 channels, {name}: ms");
        if !plan.wants(&name) {
            continue;
        }
        let load = Load::start(CHANNELS, WORKERS)?;
        let (all, own) = measure(&load, &query, plan.repetitions)?;
        load.finish()?;
        let goal = Some(Goal::Figure(COST_MS_MAX));
        rows.push(Row::of(&COLUMNS, name, goal, [(OURS, all), (OWN, own)]));
    }
    Ok(Group::of_peers(("monitor", "The monitor"), NOTES.to_owned(), &COLUMNS, 1, rows))
}

/// What a screen and what lines ask for.
fn queries() -> [(&'static str, Query); 2] {
    let screen = {
        let mut query = Query::default();
        query.channels.sort = ChannelSort::Rate;
        query.channels.rows = 20;
        (query.coroutines.rows, query.plugins.rows, query.sessions.rows) = (0, 0, 0);
        query
    };
    let lines = {
        let mut query = Query::default();
        query.channels.rows = 1024;
        (query.coroutines.rows, query.plugins.rows, query.sessions.rows) = (0, 1024, 1024);
        query
    };
    [("a screen", screen), ("lines", lines)]
}

/// All that a report costs, and its own CPU time.
fn measure(
    load: &Load,
    query: &Query,
    repetitions: usize,
) -> Result<(Figures, Figures), BenchError> {
    let mut own_ms = Vec::new();
    let mut turn = |is_watched: bool| -> Result<f64, BenchError> {
        let (begin, messages) = (time(ClockId::ProcessCPUTime), load.messages());
        if is_watched {
            let own = time(ClockId::ThreadCPUTime);
            let report = load.exporter().collect(query);
            check(OURS, "channels in a report", u64::from(CHANNELS), report.totals.channels)?;
            report.to_json().map_err(failed)?;
            own_ms.push((time(ClockId::ThreadCPUTime) - own).as_secs_f64() * 1e3);
        }
        while time(ClockId::ProcessCPUTime) - begin < TURN {
            #[allow(
                clippy::disallowed_methods,
                reason = "no event tells how much CPU time has gone"
            )]
            std::thread::sleep(LOOK);
        }
        let messages = load.messages() - messages;
        let cpu = time(ClockId::ProcessCPUTime) - begin;
        Ok(messages as f64 / cpu.as_secs_f64())
    };
    // The first report finds nothing in the caches, and at first everything is spawned.
    for _ in 0..10 {
        turn(true)?;
    }
    let mut all_ms = Vec::new();
    for repetition in 0..repetitions {
        let mut speeds = [0.0, 0.0];
        let first = repetition % 2 == 0;
        for is_watched in [first, !first].into_iter().chain([!first, first]).take(2 * PAIRS) {
            let speed = turn(is_watched)?;
            let [unwatched, watched] = &mut speeds;
            *(if is_watched { watched } else { unwatched }) += speed;
        }
        let [unwatched, watched] = speeds;
        all_ms.push((1.0 - watched / unwatched) * TURN.as_secs_f64() * 1e3);
    }
    Ok((Figures::new(all_ms), Figures::new(own_ms.split_off(10))))
}

fn time(clock: ClockId) -> Duration {
    let now = clock_gettime(clock);
    Duration::new(now.tv_sec.unsigned_abs(), now.tv_nsec.unsigned_abs() as u32)
}

fn failed(source: impl std::error::Error + Send + Sync + 'static) -> BenchError {
    BenchError::Host { host: OURS, source: Box::new(source) }
}
