// SPDX-License-Identifier: BSD-3-Clause
//! The states of one job, without its tree, its lock or its token. See [the table](super#states).

use becket_chan::Reason;

use super::failure::Failure;

/// The state of a job. See [the table](super#states).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum JobState {
    /// Its body runs, or a child does.
    Active,
    /// It was cancelled or has failed, and its body or a child still runs.
    Cancelling,
    /// It was cancelled and has ended.
    Cancelled,
    /// It has ended without a cancellation or a failure.
    Completed,
    /// It has ended with a failure.
    Failed,
}

impl JobState {
    /// Whether it has ended, for good.
    #[must_use]
    pub const fn is_ended(self) -> bool {
        matches!(self, Self::Cancelled | Self::Completed | Self::Failed)
    }
}

/// Why a job does not complete. The first cause stands, except that a panic, or a failure with a
/// code, replaces a cancellation.
#[derive(Debug, Clone)]
pub(crate) enum Cause {
    /// `None`: a token above it was cancelled by itself, without a reason.
    Cancelled(Option<Cancellation>),
    /// Its deadline passed.
    Late,
    Failed(Failure),
}

/// Why a job was cancelled, as text and as a number.
#[derive(Debug, Clone)]
pub(crate) struct Cancellation {
    pub(crate) reason: Reason,
    /// 0: none.
    pub(crate) code: i32,
}

impl Cause {
    /// 0: none.
    fn code(&self) -> i32 {
        match self {
            Self::Cancelled(Some(cancellation)) => cancellation.code,
            Self::Failed(failure) => failure.code(),
            Self::Cancelled(None) | Self::Late => 0,
        }
    }
}

/// The work of a job's owner after a change of state, without the lock.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[must_use]
pub(crate) struct Step {
    /// There is a new cause: cancel the token, and with it everything below.
    pub(crate) cancel: bool,
    /// The new cause is a failure: notify the parent.
    pub(crate) failed: bool,
    /// The job has just ended.
    pub(crate) ended: bool,
}

#[derive(Debug)]
pub(crate) struct Machine {
    body_runs: bool,
    children: usize,
    cause: Option<Cause>,
    /// The first code that a cause had; 0: none.
    code: i32,
    ended: bool,
    /// Failures that had no effect any more.
    failures_later: usize,
}

impl Machine {
    pub(crate) const fn new() -> Self {
        let (children, failures_later) = (0, 0);
        Self { body_runs: true, children, cause: None, code: 0, ended: false, failures_later }
    }

    /// `set`: whether the job's token is cancelled.
    pub(crate) fn state(&self, set: bool) -> JobState {
        match (&self.cause, self.ended) {
            (None, false) if set => JobState::Cancelling,
            (None, false) => JobState::Active,
            (Some(_), false) => JobState::Cancelling,
            (None, true) => JobState::Completed,
            (Some(Cause::Failed(_)), true) => JobState::Failed,
            (Some(Cause::Cancelled(_) | Cause::Late), true) => JobState::Cancelled,
        }
    }

    pub(crate) const fn cause(&self) -> Option<&Cause> {
        self.cause.as_ref()
    }

    /// 0: none.
    pub(crate) const fn code(&self) -> i32 {
        self.code
    }

    fn set_cause(&mut self, cause: Cause) {
        if self.code == 0 {
            self.code = cause.code();
        }
        self.cause = Some(cause);
    }

    pub(crate) const fn is_ended(&self) -> bool {
        self.ended
    }

    /// Adds reason and code to a cancellation from above.
    pub(crate) fn explain(&mut self, cancellation: &Cancellation) {
        let unexplained = match &self.cause {
            None => !self.ended,
            Some(Cause::Cancelled(cancellation)) => cancellation.is_none(),
            Some(Cause::Late | Cause::Failed(_)) => false,
        };
        if unexplained {
            self.set_cause(Cause::Cancelled(Some(cancellation.clone())));
        }
    }

    pub(crate) const fn children(&self) -> usize {
        self.children
    }

    pub(crate) const fn failures_later(&self) -> usize {
        self.failures_later
    }

    /// Adds a child. False: the job has ended, and cannot have children any more.
    pub(crate) const fn adopt(&mut self) -> bool {
        if !self.ended {
            self.children += 1;
        }
        !self.ended
    }

    /// Cancels it; no effect if it has a cause already, was cancelled from above, or has ended.
    pub(crate) fn cancel(&mut self, cause: Cause, set: bool) -> Step {
        if self.ended || set || self.cause.is_some() {
            return Step::default();
        }
        self.set_cause(cause);
        Step { cancel: true, ..Step::default() }
    }

    /// Records a failure: of its body, or of a child whose failures reach it.
    ///
    /// An error after a cancellation is taken for its consequence; a panic, or a failure with a code,
    /// is not.
    pub(crate) fn fail(&mut self, failure: Failure, set: bool) -> Step {
        let cancelled = match &self.cause {
            None => set,
            Some(Cause::Cancelled(_) | Cause::Late) => true,
            Some(Cause::Failed(_)) => {
                self.failures_later += 1;
                return Step::default();
            }
        };
        if self.ended || (cancelled && !failure.is_by_itself()) {
            self.failures_later += 1;
            if !self.ended && self.cause.is_none() {
                self.cause = Some(Cause::Cancelled(None));
            }
            return Step::default();
        }
        self.set_cause(Cause::Failed(failure));
        Step { cancel: true, failed: true, ended: false }
    }

    /// Counts a child's failure that does not reach the job.
    pub(crate) const fn note_failure(&mut self) {
        self.failures_later += 1;
    }

    pub(crate) fn body_over(&mut self, set: bool) -> Step {
        self.body_runs = false;
        self.settle(set)
    }

    pub(crate) fn child_over(&mut self, set: bool) -> Step {
        self.children = self.children.saturating_sub(1);
        self.settle(set)
    }

    /// Ends it if its body is over and no child is left.
    fn settle(&mut self, set: bool) -> Step {
        if self.ended || self.body_runs || self.children > 0 {
            return Step::default();
        }
        if self.cause.is_none() && set {
            self.cause = Some(Cause::Cancelled(None));
        }
        self.ended = true;
        Step { ended: true, ..Step::default() }
    }
}
