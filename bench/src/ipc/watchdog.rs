// SPDX-License-Identifier: BSD-3-Clause
//! Ends the run if a block does not end: where a message or a wake-up was lost, one side would
//! wait or spin for ever.

use std::sync::Once;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use parking_lot::Mutex;

use crate::error::BenchError;

/// No block is near this long.
const LIMIT_S: u64 = 60;

/// Odd while something is watched, another number each time.
static TURN: AtomicU64 = AtomicU64::new(0);
static WATCHED: Mutex<(&str, &str)> = Mutex::new(("", ""));

/// Watches until it is dropped; one at a time.
#[derive(Debug)]
pub(crate) struct Watchdog(());

impl Watchdog {
    /// From now on.
    pub(crate) fn set(host: &'static str, operation: &'static str) -> Self {
        static START: Once = Once::new();
        START.call_once(|| drop(std::thread::spawn(watch)));
        *WATCHED.lock() = (host, operation);
        TURN.fetch_add(1, Relaxed);
        Self(())
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        TURN.fetch_add(1, Relaxed);
    }
}

fn watch() {
    let (mut turn, mut seconds) = (0, 0);
    loop {
        std::thread::park_timeout(Duration::from_secs(1));
        let now = TURN.load(Relaxed);
        seconds = if now == turn && now % 2 == 1 { seconds + 1 } else { 0 };
        turn = now;
        if seconds >= LIMIT_S {
            let (host, operation) = *WATCHED.lock();
            eprintln!("error: {}", BenchError::Stuck { host, operation, limit_s: LIMIT_S });
            std::process::abort();
        }
    }
}
