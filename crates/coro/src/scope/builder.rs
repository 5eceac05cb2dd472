// SPDX-License-Identifier: BSD-3-Clause
//! Options of a scope before it runs.

use std::{
    panic::Location,
    sync::Arc,
    time::{Duration, Instant},
};

use becket_chan::Token;

use super::{Limit, Scope, ScopeError, run};
use crate::{
    Handle,
    job::{self, Job},
    launch::Options,
};

/// Options of a scope before it runs. See [`Scope::builder`].
///
/// ```
/// use std::time::Duration;
///
/// use becket_coro::scope::{Scope, ScopeError};
///
/// let late = Scope::builder()
///     .name("request")
///     .timeout(Duration::from_millis(5))
///     .run(|s| s.token().cancelled().wait());
/// assert!(matches!(late, Err(ScopeError::DeadlinePassed)));
/// ```
#[derive(Debug, Default)]
#[must_use]
pub struct ScopeBuilder<'a> {
    name: Option<Arc<str>>,
    above: Option<Above<'a>>,
    limit: Option<Limit>,
    supervises: bool,
    runtime: Option<Handle>,
}

#[derive(Debug)]
enum Above<'a> {
    Job(&'a Job),
    Token(&'a Token),
}

impl<'a> ScopeBuilder<'a> {
    /// A name, for messages and listings.
    pub fn name(mut self, name: impl Into<Arc<str>>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// The job above it, instead of the caller's current one.
    pub fn job(mut self, job: &'a Job) -> Self {
        self.above = Some(Above::Job(job));
        self
    }

    /// A token that cancels it, instead of the caller's current job.
    pub fn token(mut self, token: &'a Token) -> Self {
        self.above = Some(Above::Token(token));
        self
    }

    /// As [`Scope::deadline`].
    pub fn deadline(mut self, at: Instant) -> Self {
        self.limit = Some(Limit::At(at));
        self
    }

    /// As [`Scope::timeout`], from when it runs.
    pub fn timeout(mut self, duration: Duration) -> Self {
        self.limit = Some(Limit::After(duration));
        self
    }

    /// Failures of its children do not reach it.
    pub fn supervisor(mut self) -> Self {
        self.supervises = true;
        self
    }

    /// The runtime of its children, if not the current one.
    pub fn on(mut self, runtime: &Handle) -> Self {
        self.runtime = Some(runtime.clone());
        self
    }

    /// Runs it. See [`scope`](super::scope).
    ///
    /// # Errors
    ///
    /// A child failed, it was cancelled, or its deadline passed.
    #[track_caller]
    pub fn run<'env, F, T>(self, body: F) -> Result<T, ScopeError>
    where
        F: for<'scope> FnOnce(&'scope Scope<'scope, 'env>) -> T,
    {
        let site = Location::caller();
        let current = job::current();
        let mut builder = Job::builder().keep_failures();
        builder = match (self.above, &current) {
            (Some(Above::Job(job)), _) | (None, Some(job)) => builder.parent(job),
            (Some(Above::Token(token)), _) => builder.token(token),
            (None, None) => builder,
        };
        if let Some(name) = self.name {
            builder = builder.name(name);
        }
        if self.supervises {
            builder = builder.supervisor();
        }
        let options = Options { runtime: self.runtime, ..Options::at(site) };
        run(builder.begin_at(site), options, self.limit, body)
    }
}
