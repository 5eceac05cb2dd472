// SPDX-License-Identifier: BSD-3-Clause
//! `kc_sched_debug_dump`: a scheduler, its workers and what lives there, as lines that can be
//! searched.

use std::ffi::c_int;
use std::fmt::Write as _;
use std::time::Instant;

use super::Sched;
use crate::boundary::answer;
use crate::{dump, errno};

/// The largest number of coroutines that are listed.
const ROWS_MAX: usize = 1000;

impl Sched {
    fn described(&self) -> String {
        let (name, stats, own) = (self.label(), self.handle().stats(), self.stats());
        let rows = self.handle().dump();
        let mut text = format!(
            "{name}: workers={} alive={} tasks_submitted={} tasks_completed={} injected={}\n",
            stats.workers.len(),
            self.members.left(),
            own.tasks_submitted,
            own.tasks_completed,
            own.inject_pulls
        );
        // Writing to a string does not fail.
        for (index, worker) in stats.workers.iter().enumerate() {
            let _ = writeln!(
                text,
                "{name}: worker={index} coroutines={} dispatches={} steals={} sleeps={} \
                 remote_wakes={} timers_fired={}",
                worker.coroutines,
                worker.dispatches,
                worker.steals,
                worker.sleeps,
                worker.remote_wakes,
                worker.timers_fired
            );
        }
        let now = Instant::now();
        for row in rows.iter().take(ROWS_MAX) {
            let since = now.saturating_duration_since(row.since).as_millis();
            let _ = writeln!(
                text,
                "{name}: coroutine={} {} since_ms={since} stack_bytes={}",
                row.id, row.state, row.stack_size
            );
        }
        if let Some(more @ 1..) = rows.len().checked_sub(ROWS_MAX) {
            let _ = writeln!(text, "{name}: {more} more coroutines");
        }
        text
    }
}

/// See `kcoro_ext.h`.
///
/// # Safety
///
/// `sched` is null or valid; `fd` is open, if it is not negative.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kc_sched_debug_dump(sched: *mut Sched, fd: c_int) -> c_int {
    answer(|| {
        // SAFETY: the caller's promise.
        let sched = unsafe { sched.as_ref() }.ok_or(errno::EINVAL)?;
        // SAFETY: the caller's promise.
        unsafe { dump::write(fd, &sched.described()) }
    })
}
