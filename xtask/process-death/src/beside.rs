// SPDX-License-Identifier: BSD-3-Clause
//! A plugin beside the one that misbehaves: the rate of its calls, and how long they take.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use becket_coro::block_on;
use becket_host::Plugin;
use parking_lot::Mutex;

use crate::kinds::at;
use crate::{WAIT_MAX, pause};

/// Calls of another plugin, one after the other.
#[derive(Default)]
pub(crate) struct Beside {
    /// From one call to the next; `None`: at once.
    pub(crate) every: Option<Duration>,
    pub(crate) answered: AtomicU64,
    pub(crate) wrong: AtomicU64,
    pub(crate) is_over: AtomicBool,
    /// From when each paced call was due to its answer, since they were last taken.
    took: Mutex<Vec<Duration>>,
}

impl Beside {
    /// A call every so often; one that comes late has the next ones late.
    pub(crate) fn paced(every: Duration) -> Self {
        Self { every: Some(every), ..Self::default() }
    }

    pub(crate) fn call(&self, plugin: &Plugin) {
        let mut number = 0u64;
        let mut due = Instant::now();
        while !self.is_over.load(Ordering::Relaxed) {
            if let Some(every) = self.every {
                due += every;
                pause(due.saturating_duration_since(Instant::now()));
            }
            number += 1;
            let payload = number.to_le_bytes();
            match block_on(plugin.call_raw("echo", &payload).timeout(WAIT_MAX)) {
                Ok(answer) if *answer.body == payload => &self.answered,
                _ => &self.wrong,
            }
            .fetch_add(1, Ordering::Relaxed);
            if self.every.is_some() {
                self.took.lock().push(due.elapsed());
            }
        }
    }

    /// Answers a second, until then.
    pub(crate) fn rate(&self, from: (Instant, u64), until: Instant) -> f64 {
        pause(until.saturating_duration_since(Instant::now()));
        let (begin, count) = from;
        let answered = self.answered.load(Ordering::Relaxed) - count;
        answered as f64 / begin.elapsed().as_secs_f64()
    }

    pub(crate) fn mark(&self) -> (Instant, u64) {
        self.took.lock().clear();
        (Instant::now(), self.answered.load(Ordering::Relaxed))
    }

    /// What 99 % of the paced calls since the mark have taken at most.
    pub(crate) fn p99(&self) -> Duration {
        let mut took = self.took.lock().clone();
        took.sort_unstable();
        at(&took, 0.99)
    }
}
