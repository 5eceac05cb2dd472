// SPDX-License-Identifier: BSD-3-Clause
//! Coroutines and workers of the exported runtimes.

use std::time::{Duration, Instant};

use becket_coro::{Handle, Row, State};

use super::process::at_ns;
use crate::monitor::query::{CoroutineSort, Select};
use crate::monitor::report::{CoroutineRow, Coroutines, Held, WorkerReport};
use crate::monitor::tame::{HELD_MAX, WORKERS_MAX};

/// A coroutine that runs for longer than this without a pause holds its worker.
const HELD: Duration = Duration::from_millis(100);

struct Item<'a> {
    row: Row,
    runtime: &'a Handle,
    since: Duration,
}

pub(super) fn collect(
    runtimes: &[Handle],
    select: &Select<CoroutineSort>,
    listed_max: u64,
) -> (Coroutines, Vec<WorkerReport>) {
    let mut all = Coroutines { listed: true, ..Coroutines::default() };
    let mut workers = Vec::new();
    let mut items = Vec::new();
    for runtime in runtimes {
        let stats = runtime.stats();
        let at_ns = at_ns(Instant::now());
        all.live += stats.live();
        all.spawned += stats.spawned;
        all.finished += stats.finished;
        for (index, worker) in stats.workers.iter().enumerate() {
            workers.push(WorkerReport {
                runtime: runtime.name().to_owned(),
                index: index as u64,
                at_ns,
                dispatches: worker.dispatches,
                steals: worker.steals,
                sleeps: worker.sleeps,
                remote_wakes: worker.remote_wakes,
                timers: worker.timers_fired,
                coroutines: worker.coroutines,
            });
        }
        if stats.live() > listed_max {
            all.listed = false;
            continue;
        }
        let rows = runtime.dump();
        let now = runtime.now();
        items.extend(rows.into_iter().map(|row| {
            let since = now.saturating_duration_since(row.since);
            Item { row, runtime, since }
        }));
    }
    workers.truncate(WORKERS_MAX);
    if !all.listed {
        return (all, workers);
    }
    for item in &items {
        let count = match item.row.state {
            State::Fresh => &mut all.fresh,
            State::Ready => &mut all.ready,
            State::Running => &mut all.running,
            State::Parked => &mut all.parked,
            State::Sleeping => &mut all.sleeping,
            // A state of a later version: counted as live.
            _ => continue,
        };
        *count += 1;
    }
    all.held = held(&items);
    all.rows = select.page(
        &items,
        |item| item.row.name.as_deref().unwrap_or(item.row.site.file()),
        |item| item.row.id.get(),
        |a, b| match select.sort {
            CoroutineSort::Id => a.row.id.get().cmp(&b.row.id.get()),
            CoroutineSort::Name => a.row.name.cmp(&b.row.name),
            CoroutineSort::State => rank(a.row.state).cmp(&rank(b.row.state)),
            CoroutineSort::Age => b.since.cmp(&a.since),
            CoroutineSort::Worker => a.row.worker.cmp(&b.row.worker),
        },
        |item| CoroutineRow {
            id: item.row.id.get(),
            name: item.row.name.as_deref().unwrap_or_default().to_owned(),
            site: site(&item.row),
            state: item.row.state.to_string(),
            state_ms: millis(item.since),
            worker: item.row.worker.map(|worker| worker as u64),
            stack_bytes: item.row.stack_size as u64,
            runtime: item.runtime.name().to_owned(),
        },
    );
    (all, workers)
}

fn held(items: &[Item<'_>]) -> Vec<Held> {
    let mut held: Vec<Held> = items
        .iter()
        .filter(|item| item.row.state == State::Running && item.since >= HELD)
        .map(|item| Held {
            id: item.row.id.get(),
            what: item.row.name.as_deref().map_or_else(|| site(&item.row), str::to_owned),
            worker: item.row.worker.unwrap_or_default() as u64,
            held_ms: millis(item.since),
        })
        .collect();
    held.sort_unstable_by(|a, b| b.held_ms.cmp(&a.held_ms).then(a.id.cmp(&b.id)));
    held.truncate(HELD_MAX);
    held
}

/// The file and line, with a long directory removed.
fn site(row: &Row) -> String {
    let parts: Vec<&str> = row.site.file().rsplitn(3, '/').collect();
    let short: Vec<&str> = parts.iter().take(2).rev().copied().collect();
    format!("{}:{}", short.join("/"), row.site.line())
}

fn rank(state: State) -> u8 {
    match state {
        State::Running => 0,
        State::Ready => 1,
        State::Fresh => 2,
        State::Sleeping => 3,
        State::Parked => 4,
        _ => 5,
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
