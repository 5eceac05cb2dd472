// SPDX-License-Identifier: BSD-3-Clause
//! Coroutines that borrow: the one place where a lifetime is erased.
//!
//! ```text
//!   'env    ├──────────────────────────────────────────────┤   what the body may borrow
//!   'scope      ├──────────────────────────────────────┤       what children may borrow
//!   run()       ├─ body ─────┤ waits ──────────────────┤       returns only here
//!   child           ├─ spawned ── runs ── dropped ──┤          the job ends last of all
//! ```
//!
//! # Safety
//!
//! A scheduler takes code that is `'static`; a child's is not. [`run`] makes that sound by not
//! returning control before every child is gone. The argument, as for `std::thread::scope`:
//!
//! 1. *A scope comes from [`run`] only*, which lends it for `'scope`, a lifetime chosen by `run`
//!    and invariant. So nothing that names `'scope` leaves the body, and every call of [`spawn`]
//!    happens in the body or in a child.
//! 2. *A child's job holds up the scope's job*: [`spawn`] checks, after the job has started and
//!    before the code is passed on, that the scope's job is above it. A job does not end before the
//!    jobs below it (`job`, invariants 1 and 2). Otherwise the code is dropped here, in the caller,
//!    and no lifetime is erased.
//! 3. *A child's job ends after all of the child's code, captures and value are gone* from the
//!    coroutine: they are fields of one `Task`, whose job's body is the last field. That holds if
//!    it ran to its end, if it panicked, if the runtime unwound it, and if the runtime or a refused
//!    spawn dropped it before it started. Code that touches memory after that is `'static`. The
//!    frames that see the end hold the task by a box: none has a borrow of the child's as an
//!    argument.
//! 4. *A stack is not freed before it is unwound* (the scheduler's promise), unless code that has
//!    control of every frame on it abandons it (`foreign`), which requires that no scope is among
//!    them.
//! 5. *[`run`] neither returns nor unwinds before the scope's job has ended.* A panic of the body
//!    is caught and resumed afterwards. Its wait cannot be unwound: it is made by
//!    [`wait_to_the_end`], through a shutdown too. From before the body starts, [`Keeper`] ensures
//!    that, whatever unwinds.
//! 6. A handle that is leaked leaks its outcome, which is never read. A handle that is kept in the
//!    body is dropped in the body, while everything that its value borrows is alive.

use std::{
    any::Any,
    marker::PhantomData,
    mem,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use parking_lot::Mutex;

use super::{Scope, wait::wait_to_the_end};
use crate::{
    job::{Body, BoxError, Child, Failure, Job, Outcome, Task, enter, spawn_task},
    launch::Options,
    unwinding::is_ending,
};

/// Runs the body of a scope and waits until everything in it has ended.
///
/// The error is the panic of the body. (Other failures are in the scope's job.)
pub(super) fn run<'env, F, T>(
    body: Body,
    options: Options,
    work: F,
) -> Result<T, Box<dyn Any + Send>>
where
    F: for<'scope> FnOnce(&'scope Scope<'scope, 'env>) -> T,
{
    let job = body.job().clone();
    let keeper = Keeper { job: job.clone(), body: Some(body) };
    let scope = Scope {
        job: job.clone(),
        options,
        alarm: Mutex::new(None),
        scope: PhantomData,
        env: PhantomData,
    };
    let entered = enter(&job);
    let result = catch_unwind(AssertUnwindSafe(|| work(&scope)));
    drop(entered);
    let interrupted = keeper.end(|body| match &result {
        Ok(_) => body.will_complete(),
        Err(payload) if is_ending(&**payload) => {
            job.cancel("the runtime was shut down");
        }
        Err(payload) => body.failed(&Failure::panicking(job.of(), &**payload)),
    });
    scope.call_off();
    match (result, interrupted) {
        (Ok(_), Some(payload)) => Err(payload),
        (result, _) => result,
    }
}

/// Waits for the end of a scope's job in any case: also if code between the body and the wait
/// unwinds, though none is known to.
struct Keeper {
    job: Job,
    body: Option<Body>,
}

impl Keeper {
    /// Ends the body after `say` has recorded its result, and waits. Returns the payload that would
    /// have unwound the wait.
    fn end(mut self, say: impl FnOnce(&mut Body)) -> Option<Box<dyn Any + Send>> {
        if let Some(mut body) = self.body.take() {
            say(&mut body);
        }
        wait_to_the_end(&self.job)
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        drop(self.body.take());
        drop(wait_to_the_end(&self.job));
    }
}

/// Spawns a coroutine that may borrow what outlives the scope, with a job below `parent`, which is
/// the scope's job or one below that.
pub(super) fn spawn<'scope, F, T>(
    scope: &'scope Scope<'scope, '_>,
    parent: &Job,
    options: Options,
    work: F,
) -> Child<'scope, T>
where
    F: FnOnce() -> Result<T, BoxError> + Send + 'scope,
    T: Send + 'scope,
{
    let body = options.job(Some(parent)).begin_at(options.site);
    let child = Child::new(body.job().clone(), Arc::new(Outcome::new()));
    let task = Box::new(Task::new(work, Arc::clone(child.outcome()), body));
    if child.job().is_cancelled() || !child.job().is_below(&scope.job) {
        // It would not run: it is dropped here.
        return child;
    }
    let task: Box<dyn Erased + 'scope> = task;
    // SAFETY: only the lifetime changes. The task's job is below the scope's, hence `run` does not
    // return before that job has ended, which is after the task and all its captures are gone.
    let task: Box<dyn Erased + 'static> = unsafe { mem::transmute(task) };
    spawn_task(options, Some(parent), &child, move || task.run());
    child
}

/// A task whose types are erased.
trait Erased: Send {
    fn run(self: Box<Self>);
}

impl<F, T> Erased for Task<F, T>
where
    F: FnOnce() -> Result<T, BoxError> + Send,
    T: Send,
{
    fn run(self: Box<Self>) {
        Self::run(self);
    }
}
