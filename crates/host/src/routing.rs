// SPDX-License-Identifier: BSD-3-Clause
//! On which threads a plugin's code runs.
//!
//! A thread that calls the host may be one of an async executor, where everything else waits for
//! it. So plugin code runs there only if the plugin declared that it never blocks
//! (`BK_PLUGIN_NEVER_BLOCKS`, or [`Dispatch::Caller`]); all other code of plugins is offloaded to
//! workers of the plugin.
//!
//! A hand-over to a worker costs more than most calls. So the calls of a plugin that has been quick
//! for a while run as tasks of the executor ([`crate::executor`]), if the program has named one:
//! still not in their callers, but without another thread. [`Pace`] decides.
//!
//! A declaration may be wrong, and a quick plugin may block. The executor limits what that costs:
//! it counts its threads that are inside plugins and never lends the last one, and the watchdog
//! sends the calls of a plugin that is stuck on such a thread to workers until the plugin's next
//! load.
//!
//! ```text
//!   declared? ── no ──▶ quick so far? ── no ───────▶ worker
//!      │ yes               │ yes
//!   busy (one thread at a time)? ─ yes ────────────▶ worker
//!      │ no                │ no
//!   a thread that lends nothing? ─ yes ────────────▶ worker
//!      │ no                │ no
//!   the executor's last free thread? ─ yes ────────▶ worker
//!      │ no                │ no
//!   this thread        a task of the executor
//! ```

use std::{
    sync::{
        Arc,
        atomic::{AtomicI32, Ordering},
    },
    time::Duration,
};

use becket_abi::{BK_LOG_ERROR, BK_LOG_INFO, BK_LOG_WARN, BK_PLUGIN_NEVER_BLOCKS};
use parking_lot::{Condvar, Mutex};

use crate::{
    body::OwnedBytes,
    counters::Count,
    executor::Lent,
    instance::Instance,
    jobs::{BoxedJob, Full},
    limits::Dispatch,
    load::EntryInfo,
    placement::{Capabilities, Placement, Resolved},
    thread,
};

/// On which thread the next call runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Route {
    /// The caller's.
    Caller = 0,
    /// A worker's.
    Worker = 1,
    /// None: too many threads are stuck in the plugin.
    Quarantined = 2,
    /// The caller's, if it can be lent: its executor counts, the plugin takes one thread at a time, or
    /// some of its callers' threads lend nothing.
    Lendable = 3,
    /// A worker's, or for calls a task of the executor: the plugin has been quick.
    Quick = 4,
}

impl Route {
    /// Of a plugin that was just loaded.
    pub(crate) fn new(dispatch: Dispatch, flags: u32) -> Self {
        match dispatch {
            Dispatch::Caller => Self::Caller,
            Dispatch::Auto if flags & BK_PLUGIN_NEVER_BLOCKS != 0 => Self::Caller,
            Dispatch::Auto | Dispatch::Worker => Self::Worker,
        }
    }
}

/// How quick the offloaded calls of a plugin are.
///
/// A score: each quick call adds one, up to [`Self::BEST`], each slow one takes
/// [`Self::SLOW_COSTS`] away. From 0 on the plugin is quick, so that a plugin proves itself by as
/// many quick calls as lie between [`Self::FIRST`] and 0, and one slow call in a few hundred, such
/// as one that the system interrupted, changes nothing. Of two threads that count at the same
/// moment one may be lost.
pub(crate) struct Pace(AtomicI32);

impl Pace {
    /// A call that takes longer than this is slow. It is of the order of what a hand-over to a
    /// worker takes under load, and a tenth of what a client notices.
    const QUICK: Duration = Duration::from_micros(100);
    const FIRST: i32 = -64;
    const BEST: i32 = 64;
    const WORST: i32 = -1024;
    const SLOW_COSTS: i32 = 16;
    const NEVER: i32 = i32::MIN;

    pub(crate) fn new() -> Self {
        Self(AtomicI32::new(Self::FIRST))
    }

    /// Counts a call, and returns whether the plugin is quick.
    #[inline]
    fn count(&self, took: Duration) -> bool {
        let score = self.0.load(Ordering::Relaxed);
        if score == Self::NEVER {
            return false;
        }
        let next = match took <= Self::QUICK {
            true => score.saturating_add(1).min(Self::BEST),
            false => score.saturating_sub(Self::SLOW_COSTS).max(Self::WORST),
        };
        if next != score {
            // Lost if another thread was faster.
            let _ = self.0.compare_exchange(score, next, Ordering::Relaxed, Ordering::Relaxed);
        }
        next >= 0
    }

    /// From now on the plugin is never quick.
    fn end(&self) {
        self.0.store(Self::NEVER, Ordering::Relaxed);
    }
}

/// What `handle` left behind. The first answer wins: what `handle` returns counts only if nothing
/// was answered before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Handled {
    /// It was answered, whatever `handle` returned.
    Answered,
    /// It will be answered later.
    Later,
    /// `handle` refused it.
    Refused(becket_abi::NrStatus),
}

impl Handled {
    /// The one rule for every way in which `handle` is run.
    #[inline]
    pub(crate) fn of(status: becket_abi::NrStatus, answered: bool) -> Self {
        match answered {
            true => Self::Answered,
            false if status.is_ok() => Self::Later,
            false => Self::Refused(status),
        }
    }
}

impl Instance {
    /// On which thread the next call runs.
    #[inline]
    pub(crate) fn route(&self) -> Route {
        match self.route.load(Ordering::Relaxed) {
            0 => Route::Caller,
            1 => Route::Worker,
            2 => Route::Quarantined,
            3 => Route::Lendable,
            _ => Route::Quick,
        }
    }

    /// The right to run the plugin's code on the calling thread, a caller's.
    #[inline]
    pub(crate) fn lend(&self) -> Option<Lent<'_>> {
        let route = self.route.load(Ordering::Relaxed);
        if route == Route::Caller as u8 {
            return Some(Lent::FREE);
        }
        if route != Route::Lendable as u8 {
            return None;
        }
        self.lend_counted()
    }

    /// The same where threads are counted. The plugin's lock is part of what is lent: another
    /// thread cannot take it between this and the call.
    #[inline]
    pub(crate) fn lend_counted(&self) -> Option<Lent<'_>> {
        // What runs elsewhere takes no time of the thread.
        if thread::current().lends_nothing.get() && !self.placement.capabilities().is_remote {
            return None;
        }
        let turn = self.placement.try_enter()?;
        self.plugin.executor.count(turn).ok()
    }

    /// From now on callers' threads are lent one by one, if the executor is known, the plugin takes one
    /// thread at a time, or threads that lend nothing call it.
    pub(crate) fn mind_executor(&self) {
        let Capabilities { one_at_a_time, is_remote, .. } = *self.placement.capabilities();
        if self.plugin.executor.is_known()
            || one_at_a_time
            || (self.plugin.minds_lending() && !is_remote)
        {
            self.reroute(Route::Caller, Route::Lendable);
        }
    }

    fn reroute(&self, from: Route, to: Route) -> bool {
        let (from, to) = (from as u8, to as u8);
        self.route.compare_exchange(from, to, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    /// How long a thread may stay inside before it counts as blocked.
    pub(crate) fn block_report(&self) -> Duration {
        Duration::from_millis(self.limits.block_report_ms.max(1))
    }

    /// A thread that was lent does not come back soon: from now on calls run on workers.
    pub(crate) fn revoke(&self, stuck_for: Duration) {
        self.pace.end();
        let stuck_for_ms = stuck_for.as_millis() as u64;
        if self.reroute(Route::Quick, Route::Worker) {
            self.plugin.counters.one(Count::Revoked);
            if let Some(observer) = &self.plugin.observer {
                let text =
                    "it was quick, and blocked: its calls run on workers until its next load";
                return observer.watchdog(BK_LOG_INFO, text);
            }
            tracing::info!(
                target: "becket::watchdog",
                plugin = %self.plugin.name,
                stuck_for_ms,
                "it was quick, and blocked: its calls run on workers until its next load",
            );
            return;
        }
        let is_revoked = self.reroute(Route::Lendable, Route::Worker)
            || self.reroute(Route::Caller, Route::Worker)
            || self.reroute(Route::Lendable, Route::Worker);
        if !is_revoked {
            return;
        }
        self.plugin.counters.one(Count::Revoked);
        if let Some(observer) = &self.plugin.observer {
            let text = format!(
                "declared that it never blocks, and blocked for {stuck_for_ms} ms: its calls run on \
                 workers until its next load"
            );
            return observer.watchdog(BK_LOG_WARN, &text);
        }
        tracing::warn!(
            target: "becket::watchdog",
            plugin = %self.plugin.name,
            stuck_for_ms,
            hint = "remove BK_PLUGIN_NEVER_BLOCKS from its flags, or set dispatch = \"worker\"",
            "declared that it never blocks, and blocked its caller's thread: its calls run on \
             workers until its next load",
        );
    }

    /// A thread has been inside for longer than `block_report_ms`; `is_worker`: a worker of the
    /// plugin.
    pub(crate) fn blocked(&self, stuck_for: Duration, is_worker: bool) {
        // First: the count notifies an observer, which looks at both.
        let blocked = self.blocked.fetch_add(1, Ordering::Relaxed) + 1;
        self.plugin.counters.one(Count::Blocked);
        let most = self.blocked_most.fetch_max(blocked, Ordering::Relaxed);
        // Workers are there to be blocked: each further one at once is news, each call is not.
        if is_worker && (self.dispatch == Dispatch::Worker || blocked <= most) {
            return;
        }
        let stuck_for_ms = stuck_for.as_millis() as u64;
        match &self.plugin.observer {
            Some(observer) => {
                let text = format!(
                    "a thread is stuck inside the plugin for {stuck_for_ms} ms, of {blocked} at once"
                );
                observer.watchdog(BK_LOG_WARN, &text);
            }
            None => tracing::warn!(
                target: "becket::watchdog",
                plugin = %self.plugin.name,
                stuck_for_ms,
                blocked,
                "a thread is stuck inside the plugin",
            ),
        }
        if is_worker {
            return;
        }
        let callers = self.blocked_callers.fetch_add(1, Ordering::Relaxed) + 1;
        if callers >= self.limits.blocked_max {
            self.route.store(Route::Quarantined as u8, Ordering::Relaxed);
            self.plugin.counters.notify();
            match &self.plugin.observer {
                Some(observer) => {
                    let text =
                        format!("quarantined until its next reload: {callers} callers blocked");
                    observer.watchdog(BK_LOG_ERROR, &text);
                }
                None => tracing::error!(
                    target: "becket::watchdog",
                    plugin = %self.plugin.name,
                    blocked = callers,
                    "quarantined until its next reload",
                ),
            }
        }
    }

    /// A thread that was reported by [`Self::blocked`] came back.
    pub(crate) fn unblocked(&self, is_worker: bool) {
        self.blocked.fetch_sub(1, Ordering::Relaxed);
        if !is_worker {
            self.blocked_callers.fetch_sub(1, Ordering::Relaxed);
        }
        self.plugin.counters.notify();
    }

    /// Where the plugin runs elsewhere: it is quarantined there, or is not any more.
    pub(crate) fn set_quarantined(&self, is_quarantined: bool) {
        if is_quarantined {
            return self.route.store(Route::Quarantined as u8, Ordering::Relaxed);
        }
        if self.reroute(Route::Quarantined, Route::Caller) {
            self.mind_executor();
        }
    }

    /// Threads that are stuck inside right now.
    pub(crate) fn blocked_now(&self) -> u32 {
        self.blocked.load(Ordering::Relaxed)
    }

    /// Runs a job of this plugin on a worker of it.
    pub(crate) fn offload(&'static self, job: BoxedJob) -> Result<(), Full> {
        self.calls.submit(job)
    }

    /// Runs a call of this plugin on another thread than its caller's, which counts it by
    /// [`Self::took`].
    pub(crate) fn offload_call(&'static self, job: BoxedJob) -> Result<(), Full> {
        if self.route() == Route::Quick {
            self.plugin.executor.spawn(self, job);
            return Ok(());
        }
        self.offload(job)
    }

    /// Counts an offloaded call that took `time`.
    #[inline]
    pub(crate) fn took(&self, time: Duration) {
        let route = self.route();
        if !matches!(route, Route::Worker | Route::Quick) || self.dispatch != Dispatch::Auto {
            return;
        }
        match (self.pace.count(time), route) {
            (true, Route::Worker) if self.plugin.executor.lends() => {
                self.reroute(Route::Worker, Route::Quick);
            }
            (false, Route::Quick) => {
                self.reroute(Route::Quick, Route::Worker);
            }
            _ => {}
        }
    }

    /// Releases bytes of the plugin's, which retain the instance. What runs for that is the plugin's
    /// code, and the calling thread may be anyone's.
    pub(crate) fn release_bytes(&'static self, bytes: OwnedBytes) {
        let record = thread::current();
        let may_wait = record.is_worker() || record.is_inside(self);
        if may_wait && !record.lends_nothing.get() {
            return self.release_here(bytes);
        }
        match self.lend() {
            Some(_lent) => self.release_here(bytes),
            None => self.calls.submit_owed(Box::new(move || self.release_here(bytes))),
        }
    }

    fn release_here(&'static self, bytes: OwnedBytes) {
        let mut bytes = Some(bytes);
        let mut release = || bytes.take().map(OwnedBytes::release);
        // Nested too deep to be marked: it is released all the same.
        if self.inside(&mut release).is_none() {
            release();
        }
        self.release();
    }

    /// The entry's id: as it was found at the load, else as the plugin's `resolve_entry` finds it
    /// now.
    pub(crate) fn resolve(&'static self, name: &str) -> Resolved {
        if let Some(known) = self.resolved.get().and_then(|known| known.get(name)) {
            return *known;
        }
        if !self.placement.capabilities().resolves {
            return Resolved::ByName;
        }
        if let Some(_lent) = self.lend() {
            return self.placement.resolve(name);
        }
        let answer = Arc::new((Mutex::new(None), Condvar::new()));
        let (reply, name) = (answer.clone(), name.to_owned());
        self.retain();
        let job = move || {
            // This thread is inside: the end of the instance sees that, or is seen here.
            let ask = || (!self.is_given_up()).then(|| self.placement.resolve(&name));
            *reply.0.lock() = Some(self.inside(ask).flatten().unwrap_or(Resolved::ByName));
            reply.1.notify_all();
            self.release();
        };
        if self.offload(Box::new(job)).is_err() {
            self.release();
            return Resolved::ByName;
        }
        let mut resolved = answer.0.lock();
        answer.1.wait_while_for(&mut resolved, |resolved| resolved.is_none(), self.block_report());
        // Busy: it goes by name until the plugin can be asked.
        resolved.unwrap_or(Resolved::ByName)
    }

    /// Resolves the entries that the plugin describes, on the thread that loads it.
    pub(crate) fn resolve_all(&self, entries: &[EntryInfo]) {
        if self.placement.capabilities().resolves {
            let resolved = entries
                .iter()
                .map(|entry| (entry.name.clone(), self.placement.resolve(&entry.name)));
            let _ = self.resolved.set(resolved.collect());
        }
    }

    /// Calls that wait for a worker.
    pub(crate) fn calls_queued(&self) -> u64 {
        self.calls.queued()
    }
}

#[cfg(test)]
mod tests {
    use super::Pace;
    use std::time::Duration;

    const SLOW: Duration = Duration::from_millis(1);

    fn quick_calls_until_quick(pace: &Pace) -> usize {
        (1..10_000).find(|_| pace.count(Duration::ZERO)).unwrap()
    }

    #[test]
    fn a_plugin_proves_itself_once_and_again_after_it_was_slow() {
        let pace = Pace::new();
        assert_eq!(quick_calls_until_quick(&pace), 64);
        assert!(!pace.count(SLOW), "one slow call right after the proof");
        assert_eq!(quick_calls_until_quick(&pace), 16);
        (0..1000).for_each(|_| assert!(pace.count(Duration::ZERO)));
        assert_eq!((0..10).take_while(|_| pace.count(SLOW)).count(), 4);
    }

    #[test]
    fn a_slow_call_in_a_hundred_changes_nothing_and_one_in_four_does() {
        let pace = Pace::new();
        quick_calls_until_quick(&pace);
        (0..1000).for_each(|_| assert!(pace.count(Duration::ZERO)));
        assert!((0..100_000).all(|at| pace.count(if at % 100 == 0 {
            SLOW
        } else {
            Duration::ZERO
        })));
        assert!(!(0..100_000).all(|at| pace.count(if at % 4 == 0 {
            SLOW
        } else {
            Duration::ZERO
        })));
    }

    #[test]
    fn a_plugin_that_blocked_is_never_quick_again() {
        let pace = Pace::new();
        pace.end();
        assert!((0..10_000).all(|_| !pace.count(Duration::ZERO)));
    }
}
