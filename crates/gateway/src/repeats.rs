// SPDX-License-Identifier: BSD-3-Clause
//! Log records that clients can cause: of many, one every ten seconds, with the number of those left out.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// The pause between two records.
const PAUSE: Duration = Duration::from_secs(10);

/// One kind of record.
#[derive(Debug, Default)]
pub(crate) struct Repeats {
    /// When the next record may be logged, in milliseconds since [`BEGAN`].
    due_ms: AtomicU64,
    left_out: AtomicU64,
}

static BEGAN: LazyLock<Instant> = LazyLock::new(Instant::now);

impl Repeats {
    /// `Some` if a record may be logged now, with the number of those left out since the last.
    pub(crate) fn pass(&self) -> Option<u64> {
        self.pass_at(BEGAN.elapsed())
    }

    fn pass_at(&self, now: Duration) -> Option<u64> {
        let now_ms = now.as_millis() as u64;
        let due_ms = self.due_ms.load(Relaxed);
        let next_ms = now_ms + PAUSE.as_millis() as u64;
        // The thread that moves the time is the one that logs.
        let passes = now_ms >= due_ms
            && self.due_ms.compare_exchange(due_ms, next_ms, Relaxed, Relaxed).is_ok();
        if !passes {
            self.left_out.fetch_add(1, Relaxed);
            return None;
        }
        Some(self.left_out.swap(0, Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_many_one_passes_and_counts_the_others() {
        let repeats = Repeats::default();
        assert_eq!(repeats.pass_at(Duration::ZERO), Some(0));
        assert_eq!(repeats.pass_at(Duration::from_secs(1)), None);
        assert_eq!(repeats.pass_at(PAUSE - Duration::from_millis(1)), None);
        assert_eq!(repeats.pass_at(PAUSE), Some(2));
        assert_eq!(repeats.pass_at(PAUSE), None);
        assert_eq!(repeats.pass_at(PAUSE * 3), Some(1));
    }
}
