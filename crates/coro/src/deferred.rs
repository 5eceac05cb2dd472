// SPDX-License-Identifier: BSD-3-Clause
//! A value that a coroutine computes, with any number of waiters.
//!
//! ```text
//!   defer ─────────────► started ──► its value ──► wait: taken, or copied if there are clones
//!   defer_lazy ─► not started ─┘              │ ▲
//!               the first wait starts it      ▼ │ lent for the copy, then put back
//! ```
//!
//! The value is in a channel of capacity 1, the *place*. A waiter takes it out; if the handle has
//! clones, it copies the value and puts it back for the next waiter. So the value need not be
//! `Sync`, and its `clone` runs under no lock.
//!
//! Invariants:
//!
//! 1. The place is filled once, before the coroutine's job ends, or closed by then.
//! 2. Once the job has ended, the value is in the place, or lent to a waiter, or taken by the only
//!    handle there ever was.
//! 3. A lazy one is started once: the thread that takes the code out of the stage starts it, and
//!    all others wait for `started`.

use std::{
    fmt,
    future::{Future, IntoFuture},
    mem,
    pin::Pin,
    sync::{Arc, OnceLock},
};

use becket_chan::{Reason, Receiver, Sender, Token, bounded};
use parking_lot::Mutex;

use crate::job::{BoxError, Child, ChildError, Job, Outcome};
use crate::launch::{Place, Spawn};
use crate::scope::Scope;

/// A value that a coroutine computes. Clones, if the value can be cloned, wait for the same one.
///
/// Thread safe. Dropping it lets the coroutine continue; a lazy one that was never waited for does
/// not start.
///
/// ```
/// let sum = becket_coro::scope(|s| {
///     let one = s.defer(|| 1);
///     let two = s.defer_lazy(|| 2);
///     let again = two.clone();
///     one.wait().unwrap() + two.wait().unwrap() + again.wait().unwrap()
/// });
/// assert_eq!(sum.unwrap(), 5);
/// ```
#[must_use = "a lazy one does nothing until it is waited for"]
pub struct Deferred<'a, T> {
    shared: Arc<Shared<'a, T>>,
}

struct Shared<'a, T> {
    stage: Mutex<Stage<'a>>,
    /// Cancelled when the stage is past `Starting`: a wait for it is a wait for that.
    started: Token,
    filled: Sender<T>,
    place: Receiver<T>,
    /// `T::clone`, once the handle was cloned.
    copy: OnceLock<fn(&T) -> T>,
}

enum Stage<'a> {
    Lazy(Start<'a>),
    Starting,
    Started(Begun),
    /// Cancelled before it started.
    Cancelled(Reason),
}

type Start<'a> = Box<dyn FnOnce() -> Child<'a, ()> + Send + 'a>;

/// The coroutine's job, and its outcome.
#[derive(Clone)]
struct Begun {
    job: Job,
    outcome: Arc<Outcome<()>>,
}

/// The next step before a deferred value's job can be waited for.
enum Next<'a> {
    Start(Start<'a>),
    WaitForStart,
    Begun(Begun),
    Cancelled(Reason),
}

impl<'a, T: Send + 'a> Deferred<'a, T> {
    /// `start` spawns the coroutine that runs the given work.
    fn new<F>(
        lazy: bool,
        work: F,
        start: impl FnOnce(Box<dyn FnOnce() -> Result<(), BoxError> + Send + 'a>) -> Child<'a, ()>
        + Send
        + 'a,
    ) -> Self
    where
        F: FnOnce() -> Result<T, BoxError> + Send + 'a,
    {
        let (filled, place) = bounded(1);
        let mut fill = Fill(Some(filled.clone()));
        let work = Box::new(move || {
            let value = work()?;
            fill.fill(value);
            Ok(())
        });
        let start: Start<'a> = Box::new(move || start(work));
        let stage = if lazy { Stage::Lazy(start) } else { Stage::Started(begun(start())) };
        let started = Token::new();
        let copy = OnceLock::new();
        Self { shared: Arc::new(Shared { stage: Mutex::new(stage), started, filled, place, copy }) }
    }

    /// Starts it, if it is lazy and was not started before.
    pub fn start(&self) {
        if let Next::Start(start) = self.shared.next() {
            self.shared.start(start);
        }
    }

    /// Waits on a thread or in a coroutine for the value; a task awaits the handle instead. Starts
    /// the computation if necessary.
    ///
    /// # Errors
    ///
    /// The coroutine failed, or was cancelled before it had a value.
    pub fn wait(self) -> Result<T, ChildError> {
        let begun = loop {
            match self.shared.next() {
                Next::Start(start) => self.shared.start(start),
                Next::WaitForStart => drop(self.shared.started.cancelled().wait()),
                Next::Begun(begun) => break begun,
                Next::Cancelled(reason) => return Err(cancelled(reason)),
            }
        };
        begun.job.join();
        begun.outcome.share(&begun.job)?;
        let value = self.shared.place.recv().wait();
        self.shared.take(value.ok(), &begun)
    }

    async fn wait_async(self) -> Result<T, ChildError> {
        let begun = loop {
            match self.shared.next() {
                Next::Start(start) => self.shared.start(start),
                Next::WaitForStart => drop(self.shared.started.cancelled().await),
                Next::Begun(begun) => break begun,
                Next::Cancelled(reason) => return Err(cancelled(reason)),
            }
        };
        begun.job.ended().await;
        begun.outcome.share(&begun.job)?;
        let value = self.shared.place.recv().await;
        self.shared.take(value.ok(), &begun)
    }

    /// Cancels its coroutine; one that has not started never will. True if this call cancelled it;
    /// false also while another thread is starting it.
    pub fn cancel(&self, reason: impl Into<Reason>) -> bool {
        let reason = reason.into();
        let mut stage = self.shared.stage.lock();
        match &*stage {
            Stage::Lazy(_) => {
                let before = mem::replace(&mut *stage, Stage::Cancelled(reason));
                drop(stage);
                // User code is dropped without the lock.
                drop(before);
                true
            }
            Stage::Started(begun) => {
                let job = begun.job.clone();
                drop(stage);
                job.cancel(reason)
            }
            Stage::Starting | Stage::Cancelled(_) => false,
        }
    }

    /// Its coroutine's job; `None` if it has not started.
    #[must_use]
    pub fn job(&self) -> Option<Job> {
        match &*self.shared.stage.lock() {
            Stage::Started(begun) => Some(begun.job.clone()),
            Stage::Lazy(_) | Stage::Starting | Stage::Cancelled(_) => None,
        }
    }

    /// Whether its coroutine has ended, or will never start.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        match &*self.shared.stage.lock() {
            Stage::Started(begun) => begun.job.state().is_ended(),
            Stage::Lazy(_) | Stage::Starting => false,
            Stage::Cancelled(_) => true,
        }
    }
}

impl<'a, T> Shared<'a, T> {
    fn next(&self) -> Next<'a> {
        let mut stage = self.stage.lock();
        match mem::replace(&mut *stage, Stage::Starting) {
            Stage::Lazy(start) => Next::Start(start),
            Stage::Starting => Next::WaitForStart,
            Stage::Started(begun) => {
                *stage = Stage::Started(begun.clone());
                Next::Begun(begun)
            }
            Stage::Cancelled(reason) => {
                *stage = Stage::Cancelled(reason.clone());
                Next::Cancelled(reason)
            }
        }
    }

    fn start(&self, start: Start<'a>) {
        // If the code's drop panics on the way, the other waiters must not wait for ever.
        let mut guard =
            StageGuard { shared: self, stage: Some(Stage::Cancelled("it did not begin".into())) };
        guard.stage = Some(Stage::Started(begun(start())));
    }

    /// The value from the place, or a copy of it if the handle was cloned at any time.
    fn take(&self, value: Option<T>, begun: &Begun) -> Result<T, ChildError> {
        let gone = || cancelled(begun.job.reason().unwrap_or_else(|| "it has no value".into()));
        let value = value.ok_or_else(gone)?;
        match self.copy.get() {
            None => Ok(value),
            Some(copy) => {
                let lent = Lent { value: Some(value), back: &self.filled };
                lent.value.as_ref().map(copy).ok_or_else(gone)
            }
        }
    }
}

fn begun(child: Child<'_, ()>) -> Begun {
    Begun { job: child.job().clone(), outcome: Arc::clone(child.outcome()) }
}

fn cancelled(reason: Reason) -> ChildError {
    ChildError::Cancelled { reason, error: None }
}

/// Sets the stage and wakes the waiters, in any case.
struct StageGuard<'s, 'a, T> {
    shared: &'s Shared<'a, T>,
    stage: Option<Stage<'a>>,
}

impl<T> Drop for StageGuard<'_, '_, T> {
    fn drop(&mut self) {
        if let Some(stage) = self.stage.take() {
            *self.shared.stage.lock() = stage;
        }
        self.shared.started.cancel();
    }
}

/// Fills the place, or closes it if the coroutine ends without a value.
struct Fill<T>(Option<Sender<T>>);

impl<T> Fill<T> {
    fn fill(&mut self, value: T) {
        if let Some(place) = self.0.take() {
            // Closed: all handles are gone, and the value is dropped here.
            drop(place.try_send(value));
        }
    }
}

impl<T> Drop for Fill<T> {
    fn drop(&mut self) {
        if let Some(place) = self.0.take() {
            place.close();
        }
    }
}

/// A value that is put back, also if its copy panics.
struct Lent<'s, T> {
    value: Option<T>,
    back: &'s Sender<T>,
}

impl<T> Drop for Lent<'_, T> {
    fn drop(&mut self) {
        if let Some(value) = self.value.take() {
            drop(self.back.try_send(value));
        }
    }
}

impl<T: Clone> Clone for Deferred<'_, T> {
    fn clone(&self) -> Self {
        self.shared.copy.get_or_init(|| T::clone);
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl<'a, T: Send + 'a> IntoFuture for Deferred<'a, T> {
    type Output = Result<T, ChildError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send + 'a>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.wait_async())
    }
}

impl<'a, T: Send + 'a> fmt::Debug for Deferred<'a, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Deferred").field("job", &self.job()).finish_non_exhaustive()
    }
}

impl<'scope, 'env> Scope<'scope, 'env> {
    /// Spawns a coroutine for a value. Its panic is a failure of the scope, as with any child.
    #[track_caller]
    pub fn defer<F, T>(&'scope self, work: F) -> Deferred<'scope, T>
    where
        F: FnOnce() -> T + Send + 'scope,
        T: Send + 'scope,
    {
        self.launch().defer(work)
    }

    /// As [`defer`](Self::defer), but it starts when it is first waited for, or never.
    #[track_caller]
    pub fn defer_lazy<F, T>(&'scope self, work: F) -> Deferred<'scope, T>
    where
        F: FnOnce() -> T + Send + 'scope,
        T: Send + 'scope,
    {
        self.launch().defer_lazy(work)
    }
}

impl Job {
    /// Spawns a coroutine for a value, as a child of this job.
    #[track_caller]
    pub fn defer<F, T>(&self, work: F) -> Deferred<'static, T>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        self.launch().defer(work)
    }

    /// As [`defer`](Self::defer), but it starts when it is first waited for, or never.
    #[track_caller]
    pub fn defer_lazy<F, T>(&self, work: F) -> Deferred<'static, T>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        self.launch().defer_lazy(work)
    }
}

impl<'a, P: Place<'a>> Spawn<P> {
    /// Spawns a coroutine for a value.
    pub fn defer<F, T>(self, work: F) -> Deferred<'a, T>
    where
        F: FnOnce() -> T + Send + 'a,
        T: Send + 'a,
    {
        Deferred::new(false, move || Ok(work()), move |work| self.start(work))
    }

    /// As [`defer`](Self::defer); an error is a failure too.
    pub fn defer_try<F, T, E>(self, work: F) -> Deferred<'a, T>
    where
        F: FnOnce() -> Result<T, E> + Send + 'a,
        T: Send + 'a,
        E: Into<BoxError>,
    {
        Deferred::new(false, move || work().map_err(Into::into), move |work| self.start(work))
    }

    /// As [`defer`](Self::defer), but it starts when it is first waited for, or never.
    pub fn defer_lazy<F, T>(self, work: F) -> Deferred<'a, T>
    where
        F: FnOnce() -> T + Send + 'a,
        T: Send + 'a,
    {
        Deferred::new(true, move || Ok(work()), move |work| self.start(work))
    }
}

/// Spawns a coroutine for a value, on the current runtime, without a parent job.
///
/// ```
/// let answer = becket_coro::defer(|| 6 * 7);
/// assert_eq!(answer.wait().unwrap(), 42);
/// ```
#[track_caller]
pub fn defer<F, T>(work: F) -> Deferred<'static, T>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    Spawn::new().defer(work)
}
