// SPDX-License-Identifier: BSD-3-Clause
//! Options of a coroutine before it is spawned: on its own, into a job, or into a scope.
//!
//! | from | belongs to | `spawn` returns |
//! |---|---|---|
//! | [`Spawn::new`] | nothing | a [`JoinHandle`], or why it was refused |
//! | [`Job::launch`] | the job | a [`Child`]; a refusal fails the job |
//! | [`Scope::launch`] | the scope | a [`Child`]; it may borrow what outlives the scope |

use std::{panic::Location, sync::Arc, time::Instant};

use crate::{
    error::SpawnError,
    job::{BoxError, Child, Job, JobBuilder, start_child},
    join::JoinHandle,
    runtime::{Handle, spawn_with},
    scope::Scope,
};

/// The options of a coroutine.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    pub(crate) name: Option<Arc<str>>,
    pub(crate) stack_size: Option<usize>,
    pub(crate) runtime: Option<Handle>,
    /// The index of the worker that it runs on, if not any.
    pub(crate) worker: Option<usize>,
    pub(crate) site: &'static Location<'static>,
}

impl Options {
    pub(crate) const fn at(site: &'static Location<'static>) -> Self {
        Self { name: None, stack_size: None, runtime: None, worker: None, site }
    }

    /// The same options, with this name and spawn site.
    pub(crate) fn called(self, site: &'static Location<'static>, name: &str) -> Self {
        Self { name: Some(name.into()), site, ..self }
    }

    /// The time of the runtime that it would run on.
    pub(crate) fn now(&self) -> Instant {
        match &self.runtime {
            Some(runtime) => runtime.now(),
            None => Handle::current().map_or_else(|_| crate::now(), |runtime| runtime.now()),
        }
    }

    /// A job for it, below `parent` if there is one.
    pub(crate) fn job<'a>(&self, parent: Option<&'a Job>) -> JobBuilder<'a> {
        let mut builder = Job::builder();
        if let Some(parent) = parent {
            builder = builder.parent(parent);
        }
        if let Some(name) = &self.name {
            builder = builder.name(Arc::clone(name));
        }
        builder
    }
}

/// Options of a coroutine before it is spawned: by itself, or into a job ([`Job::launch`]) or a
/// scope ([`Scope::launch`]).
///
/// ```
/// let handle = becket_coro::Spawn::new()
///     .name("parser")
///     .stack_size(256 * 1024)
///     .spawn(|| becket_coro::current().and_then(|me| me.name()))?;
/// assert_eq!(handle.join().unwrap().as_deref(), Some("parser"));
/// # Ok::<(), becket_coro::SpawnError>(())
/// ```
#[derive(Debug, Clone)]
#[must_use]
pub struct Spawn<P = Alone> {
    options: Options,
    place: P,
}

/// The place of a coroutine that belongs to no job.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Alone;

impl<P> Spawn<P> {
    pub(crate) const fn into(place: P, options: Options) -> Self {
        Self { options, place }
    }

    /// A name, for messages, listings and reports.
    pub fn name(mut self, name: impl Into<Arc<str>>) -> Self {
        self.options.name = Some(name.into());
        self
    }

    /// Bytes of stack, rounded up to a power of two of at least 16 KiB.
    pub fn stack_size(mut self, bytes: usize) -> Self {
        self.options.stack_size = Some(bytes);
        self
    }

    /// The runtime it is spawned on, if not the current one.
    pub fn on(mut self, runtime: &Handle) -> Self {
        self.options.runtime = Some(runtime.clone());
        self
    }

    /// The worker that starts it, and on which it stays, by its index among the runtime's: no idle
    /// worker steals it.
    pub fn on_worker(mut self, worker: usize) -> Self {
        self.options.worker = Some(worker);
        self
    }
}

impl Spawn {
    /// The options of [`spawn`](crate::spawn). The place of this call is the spawn site in listings.
    #[track_caller]
    pub fn new() -> Self {
        Self::into(Alone, Options::at(Location::caller()))
    }

    /// Its spawn site in listings, for a library that spawns on behalf of its caller.
    pub fn site(mut self, site: &'static Location<'static>) -> Self {
        self.options.site = site;
        self
    }

    /// Spawns it.
    ///
    /// # Errors
    ///
    /// The stack size is too large, too many coroutines live, the runtime has ended or has no such
    /// worker, or there is no default runtime. `f` is dropped.
    pub fn spawn<F, T>(self, f: F) -> Result<JoinHandle<T>, SpawnError>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        spawn_with(self.options, f)
    }
}

impl Default for Spawn {
    #[track_caller]
    fn default() -> Self {
        Self::new()
    }
}

impl<'a, P: Parent<'a>> Spawn<P> {
    /// Spawns it. Its panic is a failure of its job or scope.
    pub fn spawn<F, T>(self, work: F) -> Child<'a, T>
    where
        F: FnOnce() -> T + Send + 'a,
        T: Send + 'a,
    {
        self.start(move || Ok(work()))
    }

    /// As [`spawn`](Self::spawn); its error is a failure too.
    pub fn spawn_try<F, T, E>(self, work: F) -> Child<'a, T>
    where
        F: FnOnce() -> Result<T, E> + Send + 'a,
        T: Send + 'a,
        E: Into<BoxError>,
    {
        self.start(move || work().map_err(Into::into))
    }
}

impl<'a, P: Place<'a>> Spawn<P> {
    pub(crate) fn start<F, T>(self, work: F) -> Child<'a, T>
    where
        F: FnOnce() -> Result<T, BoxError> + Send + 'a,
        T: Send + 'a,
    {
        self.place.start(self.options, work)
    }
}

/// Where a coroutine with a job of its own is spawned. Sealed: its module is private.
pub trait Place<'a>: Send + Sized + 'a {
    #[doc(hidden)]
    #[allow(private_interfaces, reason = "sealed")]
    fn start<F, T>(self, options: Options, work: F) -> Child<'a, T>
    where
        F: FnOnce() -> Result<T, BoxError> + Send + 'a,
        T: Send + 'a;
}

/// A place that the coroutine is a child of.
pub trait Parent<'a>: Place<'a> {}

impl Parent<'static> for Job {}
impl<'scope> Parent<'scope> for &'scope Scope<'scope, '_> {}

#[allow(private_interfaces, reason = "sealed")]
impl Place<'static> for Alone {
    fn start<F, T>(self, options: Options, work: F) -> Child<'static, T>
    where
        F: FnOnce() -> Result<T, BoxError> + Send + 'static,
        T: Send + 'static,
    {
        start_child(None, options, work)
    }
}

#[allow(private_interfaces, reason = "sealed")]
impl Place<'static> for Job {
    fn start<F, T>(self, options: Options, work: F) -> Child<'static, T>
    where
        F: FnOnce() -> Result<T, BoxError> + Send + 'static,
        T: Send + 'static,
    {
        start_child(Some(&self), options, work)
    }
}

#[allow(private_interfaces, reason = "sealed")]
impl<'scope> Place<'scope> for &'scope Scope<'scope, '_> {
    fn start<F, T>(self, options: Options, work: F) -> Child<'scope, T>
    where
        F: FnOnce() -> Result<T, BoxError> + Send + 'scope,
        T: Send + 'scope,
    {
        self.spawn_below(self.job(), options, work)
    }
}
