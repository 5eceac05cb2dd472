// SPDX-License-Identifier: BSD-3-Clause
//! A job whose body is a coroutine.
//!
//! The coroutine runs a [`Task`]. Whether it runs to its end, unwinds, or is dropped before it
//! started: the task's fields are dropped in their order, the user's code and value first and the
//! job's [`Body`] last. So when the job has ended, no user value is left in the coroutine.

use std::{
    any::Any,
    panic::{AssertUnwindSafe, Location, catch_unwind, resume_unwind},
    sync::Arc,
    time::Instant,
};

use super::{Body, BoxError, Child, Failure, Job, JobBuilder, Outcome, enter};
use crate::{Handle, Spawn, unwinding::is_ending};

/// The options of a coroutine.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    pub(crate) name: Option<Arc<str>>,
    pub(crate) stack_size: Option<usize>,
    pub(crate) runtime: Option<Handle>,
    pub(crate) site: &'static Location<'static>,
}

impl Options {
    pub(crate) const fn at(site: &'static Location<'static>) -> Self {
        Self { name: None, stack_size: None, runtime: None, site }
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

    pub(crate) fn spawn(&self) -> Spawn {
        let mut spawn = Spawn::new().site(self.site);
        if let Some(name) = &self.name {
            spawn = spawn.name(name.clone());
        }
        if let Some(bytes) = self.stack_size {
            spawn = spawn.stack_size(bytes);
        }
        if let Some(runtime) = &self.runtime {
            spawn = spawn.on(runtime);
        }
        spawn
    }
}

/// Code for a coroutine that returns only an error.
pub(crate) type Work<'a> = Box<dyn FnOnce() -> Result<(), BoxError> + Send + 'a>;

/// The code and state of a job's coroutine. The order of the fields matters.
pub(crate) struct Task<F, T> {
    work: Option<F>,
    outcome: Arc<Outcome<T>>,
    body: Body,
}

impl<F, T> Task<F, T>
where
    F: FnOnce() -> Result<T, BoxError>,
{
    pub(crate) const fn new(work: F, outcome: Arc<Outcome<T>>, body: Body) -> Self {
        Self { work: Some(work), outcome, body }
    }

    /// Runs it, unless its job was cancelled before it started.
    ///
    /// In a box: what the work borrows may be gone as soon as the job's body is dropped, which is
    /// before this returns. A reference that is a part of a function's argument must be valid until
    /// the function returns; one behind a box need not.
    #[allow(clippy::boxed_local, reason = "the box is the point")]
    pub(crate) fn run(mut self: Box<Self>) {
        let Some(work) = self.work.take() else {
            return;
        };
        if self.body.job().is_cancelled() {
            self.body.will_complete();
            drop(work);
            return;
        }
        match guarded(&mut self.body, work) {
            Some(Ok(value)) => self.outcome.put(Ok(value)),
            Some(Err(failure)) => self.outcome.put(Err(failure)),
            None => {}
        }
    }
}

/// Runs a job's body, and records its result in the job.
///
/// The unwinding by which a runtime ends its coroutines continues.
fn guarded<T>(
    body: &mut Body,
    work: impl FnOnce() -> Result<T, BoxError>,
) -> Option<Result<T, Failure>> {
    let entered = enter(body.job());
    let result = catch_unwind(AssertUnwindSafe(work));
    drop(entered);
    let failure = match result {
        Ok(Ok(value)) => {
            body.will_complete();
            return Some(Ok(value));
        }
        Ok(Err(error)) => Failure::error(body.job().of(), error),
        Err(payload) => match ended_by_runtime(body, payload) {
            Ok(never) => match never {},
            Err(payload) => Failure::panicked(body.job().of(), payload),
        },
    };
    body.failed(&failure);
    Some(Err(failure))
}

/// Resumes the unwinding by which a runtime ends its coroutines; returns any other payload.
fn ended_by_runtime(
    body: &Body,
    payload: Box<dyn Any + Send>,
) -> Result<std::convert::Infallible, Box<dyn Any + Send>> {
    if is_ending(&*payload) {
        body.job().cancel("the runtime was shut down");
        resume_unwind(payload);
    }
    Err(payload)
}

/// Spawns `spawned`, which runs a task whose job is `job`. If that is refused, the task has been
/// dropped, the job has ended, and the parent fails with it.
pub(crate) fn spawn_task<T>(
    options: &Options,
    parent: Option<&Job>,
    child: &Child<'_, T>,
    spawned: impl FnOnce() + Send + 'static,
) {
    if let Err(error) = options.spawn().spawn(spawned) {
        let failure = Failure::refused(child.job().of(), error);
        child.outcome().put(Err(failure.clone()));
        if let Some(parent) = parent
            && !parent.notes_failure()
        {
            parent.fail(&failure);
        }
    }
}

/// Options of a coroutine before it is spawned into a job. See [`Job::launch`].
#[derive(Debug, Clone)]
#[must_use]
pub struct Launch {
    /// The parent, if it has one.
    job: Option<Job>,
    options: Options,
}

impl Launch {
    /// Without a parent.
    #[track_caller]
    pub(crate) fn alone() -> Self {
        Self { job: None, options: Options::at(Location::caller()) }
    }

    pub(crate) fn below(job: &Job, options: Options) -> Self {
        Self { job: Some(job.clone()), options }
    }

    /// A name, for messages and listings.
    pub fn name(mut self, name: impl Into<Arc<str>>) -> Self {
        self.options.name = Some(name.into());
        self
    }

    /// The size of its stack in bytes.
    pub fn stack_size(mut self, bytes: usize) -> Self {
        self.options.stack_size = Some(bytes);
        self
    }

    /// The runtime it runs on, if not the current one.
    pub fn on(mut self, runtime: &Handle) -> Self {
        self.options.runtime = Some(runtime.clone());
        self
    }

    /// As [`Job::spawn`].
    pub fn spawn<F, T>(self, work: F) -> Child<'static, T>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        self.start(move || Ok(work()))
    }

    /// As [`Job::spawn_try`].
    pub fn spawn_try<F, T, E>(self, work: F) -> Child<'static, T>
    where
        F: FnOnce() -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: Into<BoxError>,
    {
        self.start(move || work().map_err(Into::into))
    }

    pub(crate) fn start<F, T>(self, work: F) -> Child<'static, T>
    where
        F: FnOnce() -> Result<T, BoxError> + Send + 'static,
        T: Send + 'static,
    {
        let Self { job: parent, options } = self;
        let parent = parent.as_ref();
        let body = options.job(parent).begin_at(options.site);
        let child = Child::new(body.job().clone(), Arc::new(Outcome::new()));
        let task = Box::new(Task::new(work, Arc::clone(child.outcome()), body));
        if !child.job().is_cancelled() {
            spawn_task(&options, parent, &child, move || task.run());
        }
        child
    }
}

impl Job {
    /// Spawns a coroutine as a child of this job. Its panic fails the job.
    ///
    /// If the job is cancelled before the coroutine starts, it does not start, and its code is
    /// dropped.
    #[track_caller]
    pub fn spawn<F, T>(&self, work: F) -> Child<'static, T>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        self.launch().spawn(work)
    }

    /// As [`spawn`](Self::spawn); its error fails the job too.
    #[track_caller]
    pub fn spawn_try<F, T, E>(&self, work: F) -> Child<'static, T>
    where
        F: FnOnce() -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: Into<BoxError>,
    {
        self.launch().spawn_try(work)
    }

    /// Options of a coroutine before it is spawned.
    #[track_caller]
    pub fn launch(&self) -> Launch {
        Launch { job: Some(self.clone()), options: Options::at(Location::caller()) }
    }
}
