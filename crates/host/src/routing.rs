// SPDX-License-Identifier: BSD-3-Clause
//! On which threads a plugin's code runs.
//!
//! A thread that calls the host may be one of an async executor, where everything else waits for it.
//! So plugin code runs there only if the plugin declared that it never blocks
//! (`BK_PLUGIN_NEVER_BLOCKS`, or [`Dispatch::Caller`]); all other code of plugins is offloaded to
//! workers of the plugin.
//!
//! A declaration may be wrong. [`Executor`] limits what that costs: it counts the executor's threads
//! that are inside plugins and never lends the last one, and the watchdog revokes the declaration of
//! a plugin that is stuck on a thread that was lent.
//!
//! ```text
//!   declared? ── no ──────────────────────────────▶ worker
//!      │ yes
//!   revoked, or busy (one thread at a time)? ─ yes ▶ worker
//!      │ no
//!   the executor's last free thread? ─ yes ────────▶ worker
//!      │ no
//!   this thread
//! ```

use std::{
    fmt,
    marker::PhantomData,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use becket_abi::BK_PLUGIN_NEVER_BLOCKS;
use parking_lot::{Condvar, Mutex};

use crate::{
    body::OwnedBytes,
    counters::Count,
    instance::Instance,
    jobs::{Full, Job},
    limits::Dispatch,
    load::EntryInfo,
    placement::{Placement, Resolved},
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
    /// The caller's, if it can be lent: its executor counts, or the plugin takes one thread at a time.
    Lendable = 3,
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

/// Wakes an idle thread of an executor.
type Wake = Arc<dyn Fn() + Send + Sync>;

/// The executor whose threads call the host, as far as the host needs to know it.
///
/// # Invariants
///
/// 1. `inside` counts the threads that hold a [`Lent`] which was counted; it never exceeds
///    `threads − 1`.
#[repr(align(128))]
pub(crate) struct Executor {
    /// 0: not known, nothing is counted.
    threads: AtomicU32,
    inside: AtomicU32,
    wake: Mutex<Option<Wake>>,
}

impl Executor {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            threads: AtomicU32::new(0),
            inside: AtomicU32::new(0),
            wake: Mutex::new(None),
        })
    }

    /// Sets how many threads it has, and how to wake one.
    pub(crate) fn set(&self, threads: usize, wake: Wake) {
        *self.wake.lock() = Some(wake);
        self.threads.store(u32::try_from(threads).unwrap_or(u32::MAX).max(1), Ordering::SeqCst);
    }

    /// Whether threads are counted.
    pub(crate) fn is_known(&self) -> bool {
        self.threads.load(Ordering::SeqCst) > 0
    }

    /// Counts the calling thread, if another is left: `Some` of where it was counted, `None` if it
    /// need not be.
    #[inline]
    fn count(&self) -> Result<Option<&Self>, NoneLeft> {
        let threads = self.threads.load(Ordering::Relaxed);
        let lent = &thread::current().lent;
        if threads == 0 || lent.get() {
            // Not known; or nested: this thread is inside a plugin already, and counted.
            return Ok(None);
        }
        let one_more = |inside: u32| (inside + 1 < threads).then_some(inside + 1);
        let counted = self.inside.fetch_update(Ordering::AcqRel, Ordering::Relaxed, one_more);
        counted.map_err(|_| NoneLeft)?;
        lent.set(true);
        Ok(Some(self))
    }

    /// A thread of it is stuck: another one sees to what that left undone.
    pub(crate) fn wake(&self) {
        let wake = self.wake.lock().clone();
        if let Some(wake) = wake {
            wake();
        }
    }
}

impl fmt::Debug for Executor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Executor").field("threads", &self.threads).finish_non_exhaustive()
    }
}

/// All threads of the executor but one are inside plugins.
struct NoneLeft;

/// The calling thread may enter the plugin while this lives. It does not leave that thread.
#[must_use]
pub(crate) struct Lent<'a> {
    /// Where it was counted.
    executor: Option<&'a Executor>,
    _not_send: PhantomData<*const ()>,
}

impl Lent<'_> {
    /// Of a thread that nothing has to be known of.
    pub(crate) const FREE: Self = Self { executor: None, _not_send: PhantomData };
}

impl Drop for Lent<'_> {
    #[inline]
    fn drop(&mut self) {
        if let Some(executor) = self.executor {
            thread::current().lent.set(false);
            executor.inside.fetch_sub(1, Ordering::Release);
        }
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
            _ => Route::Lendable,
        }
    }

    /// The right to run the plugin's code on the calling thread, a caller's.
    #[inline]
    pub(crate) fn lend(&self) -> Option<Lent<'_>> {
        let route = self.route.load(Ordering::Relaxed);
        if route == Route::Caller as u8 {
            return Some(Lent::FREE);
        }
        if route != Route::Lendable as u8 || self.placement.would_wait() {
            return None;
        }
        let executor = self.plugin.executor.count().ok()?;
        Some(Lent { executor, _not_send: PhantomData })
    }

    /// From now on callers' threads are lent one by one, if that makes a difference.
    pub(crate) fn mind_executor(&self) {
        if self.plugin.executor.is_known() || self.placement.is_one_at_a_time() {
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
        let is_revoked = self.reroute(Route::Lendable, Route::Worker)
            || self.reroute(Route::Caller, Route::Worker)
            || self.reroute(Route::Lendable, Route::Worker);
        if !is_revoked {
            return;
        }
        self.plugin.counters.one(Count::Revoked);
        tracing::warn!(
            target: "becket::watchdog",
            plugin = %self.plugin.spec.name,
            stuck_for_ms = stuck_for.as_millis() as u64,
            hint = "remove BK_PLUGIN_NEVER_BLOCKS from its flags, or set dispatch = \"worker\"",
            "declared that it never blocks, and blocked its caller's thread: its calls run on \
             workers until its next load",
        );
    }

    /// A thread has been inside for too long; `is_worker`: one that is there for that.
    pub(crate) fn blocked(&self, stuck_for: Duration, is_worker: bool) {
        self.plugin.counters.one(Count::Blocked);
        let blocked = self.blocked.fetch_add(1, Ordering::Relaxed) + 1;
        let most = self.blocked_most.fetch_max(blocked, Ordering::Relaxed);
        // Workers are there to be blocked: each further one at once is news, each call is not.
        if is_worker && (self.dispatch == Dispatch::Worker || blocked <= most) {
            return;
        }
        tracing::warn!(
            target: "becket::watchdog",
            plugin = %self.plugin.spec.name,
            stuck_for_ms = stuck_for.as_millis() as u64,
            blocked,
            "a thread is stuck inside the plugin",
        );
        if is_worker {
            return;
        }
        let callers = self.blocked_callers.fetch_add(1, Ordering::Relaxed) + 1;
        if callers >= self.limits.blocked_max {
            self.route.store(Route::Quarantined as u8, Ordering::Relaxed);
            tracing::error!(
                target: "becket::watchdog",
                plugin = %self.plugin.spec.name,
                blocked = callers,
                "quarantined until its next reload",
            );
        }
    }

    /// A thread that had been reported came back.
    pub(crate) fn unblocked(&self, is_worker: bool) {
        self.blocked.fetch_sub(1, Ordering::Relaxed);
        if !is_worker {
            self.blocked_callers.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Threads that are stuck inside right now.
    pub(crate) fn blocked_now(&self) -> u32 {
        self.blocked.load(Ordering::Relaxed)
    }

    /// Runs a call on a worker of this plugin.
    pub(crate) fn offload(&'static self, job: Box<dyn Job>) -> Result<(), Full> {
        self.calls.submit(job)
    }

    /// Releases bytes of the plugin's, which hold the instance. What runs for that is the plugin's
    /// code, and the calling thread may be anyone's.
    pub(crate) fn release(&'static self, bytes: OwnedBytes) {
        let record = thread::current();
        if record.is_worker() || record.is_inside(self) {
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
        self.let_go();
    }

    /// The entry's id: as it was found at the load, else as the plugin says if it is asked now.
    pub(crate) fn resolve(&'static self, name: &str) -> Resolved {
        if let Some(known) = self.resolved.get().and_then(|known| known.get(name)) {
            return *known;
        }
        if !self.placement.resolves() {
            return Resolved::ByName;
        }
        if let Some(_lent) = self.lend() {
            return self.placement.resolve(name);
        }
        let answer = Arc::new((Mutex::new(None), Condvar::new()));
        let (told, name) = (answer.clone(), name.to_owned());
        self.hold();
        let job = move || {
            // This thread is inside: the end of the instance sees that, or is seen here.
            let ask = || (!self.is_given_up()).then(|| self.placement.resolve(&name));
            *told.0.lock() = Some(self.inside(ask).flatten().unwrap_or(Resolved::ByName));
            told.1.notify_all();
            self.let_go();
        };
        if self.offload(Box::new(job)).is_err() {
            self.let_go();
            return Resolved::ByName;
        }
        let mut resolved = answer.0.lock();
        answer.1.wait_while_for(&mut resolved, |resolved| resolved.is_none(), self.block_report());
        // Busy: it goes by name until the plugin can be asked.
        resolved.unwrap_or(Resolved::ByName)
    }

    /// Resolves the entries that the plugin describes, on the thread that loads it.
    pub(crate) fn resolve_all(&self, entries: &[EntryInfo]) {
        if self.placement.resolves() {
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
