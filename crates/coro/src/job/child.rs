// SPDX-License-Identifier: BSD-3-Clause
//! The handle of a job whose body is a coroutine, and the place of its value.

use std::{
    fmt,
    future::{Future, IntoFuture},
    marker::PhantomData,
    pin::Pin,
    sync::Arc,
    time::Instant,
};

use becket_chan::Reason;
use parking_lot::Mutex;

use super::{Failure, Job, JobState};

/// A coroutine that was spawned into a scope or a job. Dropping the handle lets it run; the scope
/// or the job waits for it all the same.
///
/// Thread safe. It may be awaited by a task too, through `IntoFuture`.
pub struct Child<'a, T> {
    job: Job,
    outcome: Arc<Outcome<T>>,
    lives: PhantomData<&'a ()>,
}

/// Why a coroutine has no value.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum ChildError {
    /// It failed, or a job below it did, or it could not be spawned.
    #[error("{0}")]
    Failed(#[source] Failure),
    /// It was cancelled before it started, or ended with an error after it was cancelled.
    #[error("cancelled: {reason}")]
    Cancelled {
        /// The reason, as text.
        reason: Reason,
        /// The error with which it ended, if it had started.
        #[source]
        error: Option<Failure>,
    },
}

impl ChildError {
    /// The failure, if there was one.
    #[must_use]
    pub const fn failure(&self) -> Option<&Failure> {
        match self {
            Self::Failed(failure) => Some(failure),
            Self::Cancelled { error, .. } => error.as_ref(),
        }
    }

    /// Whether it was cancelled.
    #[must_use]
    pub const fn is_cancelled(&self) -> bool {
        matches!(self, Self::Cancelled { .. })
    }
}

/// The place of a coroutine's result, filled before its job ends.
pub(crate) struct Outcome<T>(Mutex<Option<Result<T, Failure>>>);

impl<T> Outcome<T> {
    pub(crate) const fn new() -> Self {
        Self(Mutex::new(None))
    }

    pub(crate) fn put(&self, outcome: Result<T, Failure>) {
        let _never = self.0.lock().replace(outcome);
    }

    /// Takes the result. `job` has ended.
    pub(crate) fn take(&self, job: &Job) -> Result<T, ChildError> {
        let outcome = self.0.lock().take();
        settled(outcome, job)
    }
}

impl Outcome<()> {
    /// As [`take`](Self::take), but it can be called again.
    pub(crate) fn share(&self, job: &Job) -> Result<(), ChildError> {
        let outcome = self.0.lock().clone();
        settled(outcome, job)
    }
}

fn settled<T>(outcome: Option<Result<T, Failure>>, job: &Job) -> Result<T, ChildError> {
    let cancelled = |error| {
        let reason = job.reason().unwrap_or_else(|| "it did not begin".into());
        ChildError::Cancelled { reason, error }
    };
    match (outcome, job.state(), job.failure()) {
        (_, JobState::Failed, Some(failure)) => Err(ChildError::Failed(failure)),
        (Some(Ok(value)), ..) => Ok(value),
        (Some(Err(failure)), ..) if failure.refusal().is_some() => Err(ChildError::Failed(failure)),
        (Some(Err(failure)), ..) => Err(cancelled(Some(failure))),
        (None, ..) => Err(cancelled(None)),
    }
}

impl<'a, T> Child<'a, T> {
    pub(crate) const fn new(job: Job, outcome: Arc<Outcome<T>>) -> Self {
        Self { job, outcome, lives: PhantomData }
    }

    pub(crate) const fn outcome(&self) -> &Arc<Outcome<T>> {
        &self.outcome
    }

    /// Waits on a thread or in a coroutine until it has ended, and takes its value.
    ///
    /// # Errors
    ///
    /// It failed, or was cancelled before it started, or returned an error after it was cancelled.
    /// A value that it returned although it was cancelled is returned here.
    pub fn join(self) -> Result<T, ChildError> {
        self.job.join();
        self.outcome.take(&self.job)
    }

    /// As [`join`](Self::join), until an instant of the runtime's clock. If that comes first, the
    /// handle is returned.
    ///
    /// # Errors
    ///
    /// The outer one: it is still running.
    pub fn join_deadline(self, deadline: Instant) -> Result<Result<T, ChildError>, Self> {
        match self.job.join_deadline(deadline) {
            Some(_) => Ok(self.outcome.take(&self.job)),
            None => Err(self),
        }
    }

    /// Whether it has ended: joining it then does not wait.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.job.over().is_cancelled()
    }

    /// Cancels only this coroutine. True if this call did.
    pub fn cancel(&self, reason: impl Into<Reason>) -> bool {
        self.job.cancel(reason)
    }

    /// Its job.
    #[must_use]
    pub const fn job(&self) -> &Job {
        &self.job
    }
}

impl<'a, T: Send + 'a> IntoFuture for Child<'a, T> {
    type Output = Result<T, ChildError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send + 'a>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            self.job.ended().await;
            self.outcome.take(&self.job)
        })
    }
}

impl<T> fmt::Debug for Child<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Child").field("job", &self.job).finish_non_exhaustive()
    }
}
