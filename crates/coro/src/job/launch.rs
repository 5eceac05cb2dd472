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
};

use super::{Body, BoxError, Child, Failure, Job, Outcome, enter};
use crate::{
    launch::{Options, Spawn},
    runtime::spawn_with,
    unwinding::is_ending,
};

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
    options: Options,
    parent: Option<&Job>,
    child: &Child<'_, T>,
    spawned: impl FnOnce() + Send + 'static,
) {
    if let Err(error) = spawn_with(options, spawned) {
        let failure = Failure::refused(child.job().of(), error);
        child.outcome().put(Err(failure.clone()));
        if let Some(parent) = parent
            && !parent.notes_failure()
        {
            parent.fail(&failure);
        }
    }
}

/// Spawns a coroutine with a job of its own, below `parent` if there is one.
pub(crate) fn start_child<F, T>(
    parent: Option<&Job>,
    options: Options,
    work: F,
) -> Child<'static, T>
where
    F: FnOnce() -> Result<T, BoxError> + Send + 'static,
    T: Send + 'static,
{
    let body = options.job(parent).begin_at(options.site);
    let child = Child::new(body.job().clone(), Arc::new(Outcome::new()));
    let task = Box::new(Task::new(work, Arc::clone(child.outcome()), body));
    if !child.job().is_cancelled() {
        spawn_task(options, parent, &child, move || task.run());
    }
    child
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
    pub fn launch(&self) -> Spawn<Self> {
        Spawn::into(self.clone(), Options::at(Location::caller()))
    }
}
