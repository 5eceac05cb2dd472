// SPDX-License-Identifier: BSD-3-Clause
//! A plugin beside the one that misbehaves: the rate of its calls.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use becket_coro::block_on;
use becket_host::Plugin;

use crate::{WAIT_MAX, pause};

/// Calls of another plugin, one after the other.
#[derive(Default)]
pub(crate) struct Beside {
    pub(crate) answered: AtomicU64,
    pub(crate) wrong: AtomicU64,
    pub(crate) is_over: AtomicBool,
}

impl Beside {
    pub(crate) fn call(&self, plugin: &Plugin) {
        let mut number = 0u64;
        while !self.is_over.load(Ordering::Relaxed) {
            number += 1;
            let payload = number.to_le_bytes();
            match block_on(plugin.call_raw("echo", &payload).timeout(WAIT_MAX)) {
                Ok(answer) if *answer.body == payload => &self.answered,
                _ => &self.wrong,
            }
            .fetch_add(1, Ordering::Relaxed);
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
        (Instant::now(), self.answered.load(Ordering::Relaxed))
    }
}
