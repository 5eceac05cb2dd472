// SPDX-License-Identifier: BSD-3-Clause
//! Timers of the host, as closures and as futures.
//!
//! The host's timer carries one pointer; here it is an `Arc` of a [`Cell`]. [`Timers`] lists the
//! timers that may still run.
//!
//! # Invariants
//!
//! 1. A timer belongs to the thread that removes it from the list: `fired` runs the closure, a
//!    cancellation drops it. So a cancelled closure never runs.
//! 2. The list is locked while `timer_start` runs, so a timer in the list has its id.
//! 3. When [`Timers::close`] returns, no closure runs and none will.
//!
//! # Safety
//!
//! `timer_start` gives one reference to the cell away. It comes back once: in `fired`, or to the
//! canceller that got `Ok` ("the timer will never run").

use std::collections::BTreeMap;
use std::ffi::c_void;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use becket_abi::NrStatus;

use crate::boundary;
use crate::error::TimerError;
use crate::host::Host;
use crate::lock::{Condvar, Mutex};

type Callback = Box<dyn FnOnce() + Send>;

struct Cell {
    host: Host,
    key: u64,
}

struct Pending {
    id: u64,
    cell: *const Cell,
    callback: Callback,
}

// SAFETY: `cell` is an `Arc`'s pointer to a `Cell`, which is `Send` and `Sync`.
unsafe impl Send for Pending {}

/// The timers of one plugin that may still run.
pub(crate) struct Timers {
    inner: Mutex<Inner>,
    idle: Condvar,
}

struct Inner {
    key_next: u64,
    pending: BTreeMap<u64, Pending>,
    running: usize,
}

impl Timers {
    pub(crate) const fn new() -> Self {
        let inner = Inner { key_next: 0, pending: BTreeMap::new(), running: 0 };
        Self { inner: Mutex::new(inner), idle: Condvar::new() }
    }

    /// Cancels every timer and waits for the closures that run. Not from within one.
    pub(crate) fn close(&self, host: Host) {
        let mut inner = self.inner.lock();
        // A closure that runs may start another timer, so look again after each wait.
        loop {
            while let Some((_, timer)) = inner.pending.pop_first() {
                drop(inner);
                forget_at_host(host, &timer);
                drop(timer);
                inner = self.inner.lock();
            }
            if inner.running == 0 {
                return;
            }
            inner = self.idle.wait(inner);
        }
    }
}

/// Starts a timer whose closure is dropped unrun when the [`Timer`] is.
pub(crate) fn start(host: Host, delay: Duration, callback: Callback) -> Result<Timer, TimerError> {
    let mut inner = host.timers().inner.lock();
    let key = inner.key_next;
    inner.key_next += 1;
    let cell = Arc::into_raw(Arc::new(Cell { host, key }));
    // SAFETY: the table lives as long as the process (`Host`); the reference goes with the pointer.
    let id = unsafe {
        let user_data = cell.cast_mut().cast::<c_void>();
        (host.api().timer_start)(host.ctx(), millis(delay), Some(fired), user_data)
    };
    if id == 0 {
        // SAFETY: refused, so the host keeps nothing: the reference is still ours.
        drop(unsafe { Arc::from_raw(cell) });
        return Err(if host.has_extras() { TimerError::Quota } else { TimerError::Unsupported });
    }
    inner.pending.insert(key, Pending { id, cell, callback });
    Ok(Timer { host, key })
}

unsafe extern "C" fn fired(user_data: *mut c_void) {
    // SAFETY: the reference that `start` gave away comes back here, once.
    let cell = unsafe { Arc::from_raw(user_data.cast_const().cast::<Cell>()) };
    let (host, key) = (cell.host, cell.key);
    boundary::guard(
        "a timer",
        || Some(host),
        || {
            let timers = host.timers();
            let mut inner = timers.inner.lock();
            let Some(timer) = inner.pending.remove(&key) else { return };
            inner.running += 1;
            drop(inner);
            // The count must go down however the closure ends.
            let running = Running(timers);
            (timer.callback)();
            drop(running);
        },
    );
}

struct Running<'a>(&'a Timers);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        let mut inner = self.0.inner.lock();
        inner.running -= 1;
        if inner.running == 0 {
            self.0.idle.notify_all();
        }
    }
}

fn forget_at_host(host: Host, timer: &Pending) {
    // SAFETY: the table lives as long as the process.
    if unsafe { (host.api().timer_cancel)(host.ctx(), timer.id) } == NrStatus::Ok {
        // SAFETY: the timer will never run, so the reference that went with it is ours again.
        drop(unsafe { Arc::from_raw(timer.cell) });
    }
}

/// Whole milliseconds, rounded up: a timer is never early.
pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX)
}

/// A timer that has been started. Dropping it cancels it.
#[must_use = "dropping a timer cancels it"]
pub struct Timer {
    host: Host,
    key: u64,
}

impl Timer {
    /// Cancels the timer. True: its closure was dropped and never runs. False: it ran, or runs.
    pub fn cancel(self) -> bool {
        self.cancel_ref()
    }

    /// Lets the timer run without this handle; the plugin's end still cancels it.
    pub fn detach(self) {
        let _kept = std::mem::ManuallyDrop::new(self);
    }

    fn cancel_ref(&self) -> bool {
        let removed = self.host.timers().inner.lock().pending.remove(&self.key);
        match removed {
            Some(timer) => {
                forget_at_host(self.host, &timer);
                true
            }
            None => false,
        }
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        self.cancel_ref();
    }
}

impl fmt::Debug for Timer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Timer").field("key", &self.key).finish_non_exhaustive()
    }
}

impl fmt::Debug for Timers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Timers").field("pending", &self.inner.lock().pending.len()).finish()
    }
}

/// Ready after a delay; see [`Host::sleep`]. Dropping it cancels its timer.
#[derive(Debug)]
#[must_use = "a future does nothing unless awaited"]
pub struct Sleep {
    state: Arc<Mutex<SleepState>>,
    _timer: Timer,
}

#[derive(Debug, Default)]
struct SleepState {
    over: bool,
    waker: Option<Waker>,
}

impl Sleep {
    pub(crate) fn start(host: Host, delay: Duration) -> Result<Self, TimerError> {
        let state = Arc::new(Mutex::new(SleepState::default()));
        let fired = Arc::clone(&state);
        let wake = move || {
            let waker = {
                let mut state = fired.lock();
                state.over = true;
                state.waker.take()
            };
            if let Some(waker) = waker {
                waker.wake();
            }
        };
        Ok(Self { _timer: start(host, delay, Box::new(wake))?, state })
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.state.lock();
        if state.over {
            return Poll::Ready(());
        }
        state.waker = Some(cx.waker().clone());
        Poll::Pending
    }
}
