// SPDX-License-Identifier: BSD-3-Clause
//! A runtime's time: the monotonic clock, or one that only the runtime moves.
//!
//! Internally, time is nanoseconds since the first use of a clock in the process, so that a timer
//! is a number. Changes of the wall clock do not move it.
//!
//! A virtual clock stands still while anything runs. An automatic one jumps to the next timer when
//! every worker of its runtime sleeps and no wake is in flight: a minute of sleeps takes as long as
//! the code between them. A manual one is moved by [`VirtualClock::advance`] alone. Only coroutines
//! keep an automatic clock from jumping: an outside thread that is about to send does not.

use std::{
    sync::{
        Arc, OnceLock, Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use parking_lot::Mutex;

use crate::{context, runtime::Shared};

/// The source of a runtime's time.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub enum Clock {
    /// The operating system's monotonic clock.
    #[default]
    Real,
    /// A clock that stands still while coroutines run.
    Virtual(VirtualClock),
}

/// A clock for tests. Clones are the same clock. It belongs to one runtime.
#[derive(Debug, Clone)]
pub struct VirtualClock {
    inner: Arc<Virtual>,
}

#[derive(Debug)]
struct Virtual {
    /// Nanoseconds since the start, as [`Clock::now`] returns them.
    now: AtomicU64,
    automatic: bool,
    runtime: Mutex<Weak<Shared>>,
}

/// The time of the calling coroutine's runtime; elsewhere `Instant::now()`.
pub fn now() -> Instant {
    context::with_worker(|worker| match worker {
        Some(worker) => worker.shared.clock.instant(worker.shared.clock.now()),
        None => Instant::now(),
    })
}

/// The instant from which nanoseconds are counted.
pub(crate) fn start() -> Instant {
    static START: OnceLock<Instant> = OnceLock::new();
    *START.get_or_init(Instant::now)
}

impl Clock {
    /// Nanoseconds since the start.
    #[inline]
    pub(crate) fn now(&self) -> u64 {
        match self {
            Self::Real => nanos_since_start(Instant::now()),
            Self::Virtual(clock) => clock.inner.now.load(Ordering::SeqCst),
        }
    }

    pub(crate) fn nanos(&self, at: Instant) -> u64 {
        nanos_since_start(at)
    }

    pub(crate) fn instant(&self, nanos: u64) -> Instant {
        let start = start();
        start.checked_add(Duration::from_nanos(nanos)).unwrap_or(start)
    }

    pub(crate) fn as_virtual(&self) -> Option<&VirtualClock> {
        match self {
            Self::Real => None,
            Self::Virtual(clock) => Some(clock),
        }
    }
}

impl VirtualClock {
    /// Jumps to the next timer whenever every worker of the runtime sleeps.
    pub fn automatic() -> Self {
        Self::new(true)
    }

    /// Moves only by [`Self::advance`].
    pub fn manual() -> Self {
        Self::new(false)
    }

    fn new(automatic: bool) -> Self {
        let now = AtomicU64::new(nanos_since_start(Instant::now()));
        Self { inner: Arc::new(Virtual { now, automatic, runtime: Mutex::default() }) }
    }

    /// The time it shows.
    pub fn now(&self) -> Instant {
        let nanos = self.inner.now.load(Ordering::SeqCst);
        Clock::Real.instant(nanos)
    }

    /// Moves the clock forward, and wakes the coroutines whose deadlines have passed, in the order
    /// of their deadlines on each worker.
    pub fn advance(&self, by: Duration) {
        let by = u64::try_from(by.as_nanos()).unwrap_or(u64::MAX / 2);
        let later = |now: u64| Some(now.saturating_add(by).min(u64::MAX / 2));
        if self.inner.now.fetch_update(Ordering::SeqCst, Ordering::SeqCst, later).is_err() {
            // Never: `later` always returns a time.
        }
        let runtime = self.inner.runtime.lock().upgrade();
        if let Some(runtime) = runtime {
            runtime.wake_everybody();
        }
    }

    pub(crate) fn is_automatic(&self) -> bool {
        self.inner.automatic
    }

    /// Moves the clock to this time, unless it is later already.
    pub(crate) fn advance_to(&self, nanos: u64) {
        self.inner.now.fetch_max(nanos, Ordering::SeqCst);
    }

    pub(crate) fn belongs_to(&self, runtime: &Arc<Shared>) {
        *self.inner.runtime.lock() = Arc::downgrade(runtime);
    }
}

/// An instant in nanoseconds since the start.
pub(crate) fn nanos_of(at: Instant) -> u64 {
    nanos_since_start(at)
}

/// The instant `nanos` nanoseconds after the start.
pub(crate) fn instant_of(nanos: u64) -> Instant {
    Clock::Real.instant(nanos)
}

/// 0 for an instant before the start.
#[inline]
fn nanos_since_start(at: Instant) -> u64 {
    let since = at.saturating_duration_since(start());
    since.as_secs().saturating_mul(1_000_000_000).saturating_add(u64::from(since.subsec_nanos()))
}
