// SPDX-License-Identifier: BSD-3-Clause
//! Scopes: coroutines that end before the block that spawned them, and may borrow from it.
//!
//! ```
//! let words = ["one", "two", "three"];
//! let lengths = becket_coro::scope(|s| {
//!     let children: Vec<_> = words.iter().map(|word| s.spawn(|| word.len())).collect();
//!     children.into_iter().map(|child| child.join().unwrap()).collect::<Vec<_>>()
//! });
//! assert_eq!(lengths.unwrap(), [3, 3, 5]);
//! ```
//!
//! A scope is a job ([`crate::job`]) whose body is a closure, run by the caller: a coroutine, or a
//! thread. Its children are coroutines of the current runtime.
//!
//! | in a | a child that panics or returns an error |
//! |---|---|
//! | [`scope`] | cancels the other children; the scope's result is that failure |
//! | [`supervisor`] | affects no other child; joining it returns the failure |
//!
//! # Guarantees
//!
//! 1. **A scope outlives its children**: it returns, or unwinds, after the last child is gone, and
//!    with it everything that the child held. That holds if the body panics, if a handle is leaked,
//!    and if the runtime is shut down meanwhile.
//! 2. **The first failure wins.** It cancels the scope's token; every wait with
//!    `.cancel_on(s.token())` ends, in the body too. The result has that failure: which child,
//!    spawned where, and the panic's payload or the error.
//! 3. **Cancellation propagates to the children, failure to the scope's caller.** A scope inside
//!    another scope's child, or below a job, is cancelled with it.
//! 4. A child that has not started when the scope is cancelled does not start.
//! 5. **Waiting parks**: the worker of a coroutine that waits for its children runs them.
//! 6. A panic of the body cancels the children, waits for them, and continues.

mod alarm;
mod builder;
mod erase;
mod wait;

use std::{
    marker::PhantomData,
    panic::{Location, resume_unwind},
    sync::Arc,
    time::{Duration, Instant},
};

use becket_chan::{Reason, Token};
use parking_lot::Mutex;

pub(crate) use self::alarm::Alarm;
pub use self::builder::ScopeBuilder;
use crate::{
    job::{self, Body, BoxError, Cause, Child, Failure, Job, JobState},
    launch::{Options, Spawn},
};

/// The scope in which children are spawned; it ends after them. See [`scope`].
///
/// Thread safe; children may spawn into it too.
#[derive(Debug)]
pub struct Scope<'scope, 'env: 'scope> {
    job: Job,
    /// The options of its children.
    options: Options,
    alarm: Mutex<Option<Alarm>>,
    scope: PhantomData<&'scope mut &'scope ()>,
    env: PhantomData<&'env mut &'env ()>,
}

/// Why a scope has no value.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum ScopeError {
    /// A child panicked, returned an error or could not be spawned: the first failure.
    #[error("a child failed: {0}")]
    Failed(#[source] Failure),
    /// The scope was cancelled, or a job above it.
    #[error("cancelled: {reason}")]
    Cancelled {
        /// The reason, as text.
        reason: Reason,
    },
    /// Its deadline passed.
    #[error("the deadline passed")]
    DeadlinePassed,
}

impl ScopeError {
    /// The failure, if there was one.
    #[must_use]
    pub const fn failure(&self) -> Option<&Failure> {
        match self {
            Self::Failed(failure) => Some(failure),
            Self::Cancelled { .. } | Self::DeadlinePassed => None,
        }
    }
}

/// Runs `body` and waits for all children. The first failure of a child cancels the others.
///
/// The body runs on the calling coroutine or thread; while it waits for its children, the coroutine
/// or thread is parked.
///
/// ```
/// use becket_coro::scope;
///
/// let error = scope(|s| {
///     s.launch().name("fetch").spawn_try(|| Err::<(), _>("no route to the host"));
///     // This one would wait for ever.
///     s.spawn(|| s.token().cancelled().wait());
/// })
/// .unwrap_err();
/// assert_eq!(error.failure().unwrap().name(), Some("fetch"));
/// ```
///
/// Values that a child borrows must outlive the scope, and be `Send`:
///
/// ```compile_fail,E0373
/// becket_coro::scope(|s| {
///     let inside = 1;
///     s.spawn(|| inside + 1);
/// })
/// .unwrap();
/// ```
/// ```compile_fail,E0277
/// let local = std::rc::Rc::new(1);
/// becket_coro::scope(|s| drop(s.spawn(|| *local))).unwrap();
/// ```
///
/// and no handle leaves it:
///
/// ```compile_fail
/// let escaped = becket_coro::scope(|s| s.spawn(|| 1)).unwrap();
/// ```
///
/// # Errors
///
/// A child failed, the scope was cancelled, or its deadline passed. The body's value is dropped
/// then.
///
/// # Panics
///
/// If the body panics: with its panic, after the children have ended.
#[track_caller]
pub fn scope<'env, F, T>(body: F) -> Result<T, ScopeError>
where
    F: for<'scope> FnOnce(&'scope Scope<'scope, 'env>) -> T,
{
    Scope::builder().run(body)
}

/// As [`scope`], except that a child's failure cancels no other child and is not in the result; the
/// child's handle returns it.
///
/// # Errors
///
/// The scope was cancelled, or its deadline passed.
///
/// # Panics
///
/// If the body panics: with its panic, after the children have ended.
///
/// ```
/// use becket_coro::supervisor;
///
/// let answers = supervisor(|s| {
///     let bad = s.spawn_try(|| "x".parse::<u32>());
///     let good = s.spawn_try(|| "7".parse::<u32>());
///     (bad.join().ok(), good.join().ok())
/// });
/// assert_eq!(answers.unwrap(), (None, Some(7)));
/// ```
#[track_caller]
pub fn supervisor<'env, F, T>(body: F) -> Result<T, ScopeError>
where
    F: for<'scope> FnOnce(&'scope Scope<'scope, 'env>) -> T,
{
    Scope::builder().supervisor().run(body)
}

/// The token of the innermost scope or job that the caller belongs to, for code that was not passed
/// one; `None` without one.
///
/// ```
/// use becket_coro::scope::{current_token, scope};
///
/// fn patient(rx: &becket_chan::Receiver<u32>) -> Option<u32> {
///     match current_token() {
///         Some(token) => rx.recv().cancel_on(&token).wait().ok(),
///         None => rx.recv().wait().ok(),
///     }
/// }
/// let (_tx, rx) = becket_chan::rendezvous();
/// let ended = scope(|s| {
///     let child = s.spawn(|| patient(&rx));
///     s.cancel("enough");
///     child.join().ok().flatten()
/// });
/// assert!(ended.is_err());
/// ```
#[must_use]
pub fn current_token() -> Option<Token> {
    job::current().map(|job| job.token().clone())
}

impl<'scope, 'env> Scope<'scope, 'env> {
    /// Spawns a coroutine into the scope. Its panic is a failure.
    ///
    /// It runs on the current runtime, or on the one that the scope was built for. A refused spawn
    /// is a failure too.
    #[track_caller]
    pub fn spawn<F, T>(&'scope self, work: F) -> Child<'scope, T>
    where
        F: FnOnce() -> T + Send + 'scope,
        T: Send + 'scope,
    {
        self.launch().spawn(work)
    }

    /// As [`spawn`](Self::spawn); its error is a failure too.
    #[track_caller]
    pub fn spawn_try<F, T, E>(&'scope self, work: F) -> Child<'scope, T>
    where
        F: FnOnce() -> Result<T, E> + Send + 'scope,
        T: Send + 'scope,
        E: Into<BoxError>,
    {
        self.launch().spawn_try(work)
    }

    /// Options of a coroutine before it is spawned: a name, the size of its stack.
    #[track_caller]
    pub fn launch(&'scope self) -> Spawn<&'scope Self> {
        Spawn::into(self, Options { site: Location::caller(), ..self.options.clone() })
    }

    /// Cancelled when the scope is cancelled or fails, from above too.
    #[must_use]
    pub fn token(&self) -> &Token {
        self.job.token()
    }

    /// Whether it was cancelled or has failed.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.job.is_cancelled()
    }

    /// Cancels everything in it, the body included; its result is an error then. True if this call
    /// did: the first reason stands.
    pub fn cancel(&self, reason: impl Into<Reason>) -> bool {
        self.job.cancel(reason)
    }

    /// Cancels the children spawned so far; the scope continues, and its result is the body's.
    pub fn cancel_children(&self, reason: impl Into<Reason>) {
        self.job.cancel_children(reason);
    }

    /// Cancels the scope at an instant of the runtime's clock, unless it has ended by then. The
    /// last call holds.
    ///
    /// While it is set, a coroutine waits for that instant. If its spawn is refused, the scope
    /// fails.
    #[track_caller]
    pub fn deadline(&self, at: Instant) {
        let site = Location::caller();
        let job = self.job.clone();
        let alarm = Alarm::set(&self.options, at, move || {
            job.record(Cause::Late);
        });
        let before = match alarm {
            Ok(alarm) => self.alarm.lock().replace(alarm),
            Err(error) => {
                let name = Arc::from("deadline");
                let of = job::Of { name: Some(&name), site };
                self.job.fail(&Failure::refused(of, error));
                None
            }
        };
        drop(before);
    }

    /// As [`deadline`](Self::deadline), `duration` from now. One beyond the clock's range sets
    /// none.
    #[track_caller]
    pub fn timeout(&self, duration: Duration) {
        if let Some(at) = self.options.now().checked_add(duration) {
            self.deadline(at);
        }
    }

    /// Its job: state, children, reason.
    #[must_use]
    pub const fn job(&self) -> &Job {
        &self.job
    }

    /// Options of a scope before it runs.
    pub fn builder<'a>() -> ScopeBuilder<'a> {
        ScopeBuilder::default()
    }

    fn call_off(&self) {
        let alarm = self.alarm.lock().take();
        drop(alarm);
    }

    pub(crate) const fn options(&self) -> &Options {
        &self.options
    }

    /// As `spawn`, for a coroutine below a job of the scope.
    pub(crate) fn spawn_below<F, T>(
        &'scope self,
        parent: &Job,
        options: Options,
        work: F,
    ) -> Child<'scope, T>
    where
        F: FnOnce() -> Result<T, BoxError> + Send + 'scope,
        T: Send + 'scope,
    {
        erase::spawn(self, parent, options, work)
    }
}

/// When a scope is to be cancelled.
#[derive(Debug, Clone, Copy)]
enum Limit {
    At(Instant),
    After(Duration),
}

/// Runs a scope whose job has started, and returns its result.
fn run<'env, F, T>(
    job: Body,
    options: Options,
    limit: Option<Limit>,
    body: F,
) -> Result<T, ScopeError>
where
    F: for<'scope> FnOnce(&'scope Scope<'scope, 'env>) -> T,
{
    let handle = job.job().clone();
    let result = erase::run(job, options, |scope| {
        match limit {
            Some(Limit::At(at)) => scope.deadline(at),
            Some(Limit::After(duration)) => scope.timeout(duration),
            None => {}
        }
        body(scope)
    });
    match (result, handle.state(), handle.failure()) {
        (Err(payload), ..) => resume_unwind(payload),
        (Ok(_), JobState::Failed, Some(failure)) => Err(ScopeError::Failed(failure)),
        (Ok(value), JobState::Completed, _) => Ok(value),
        (Ok(_), ..) if handle.is_late() => Err(ScopeError::DeadlinePassed),
        (Ok(_), ..) => {
            let reason = handle.reason().unwrap_or_else(|| "cancelled".into());
            Err(ScopeError::Cancelled { reason })
        }
    }
}
