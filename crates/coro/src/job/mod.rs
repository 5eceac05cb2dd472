// SPDX-License-Identifier: BSD-3-Clause
//! Jobs: a tree of running work, to be waited for, cancelled and inspected.
//!
//! ```text
//!   server ─┬─ accept ─┬─ connection 1      cancel(server): cancels all of them
//!           │          └─ connection 2      cancel(connection 1): cancels only this one
//!           └─ flush                        accept fails: connections 1 and 2 are cancelled; then
//!                                           server fails, and flush is cancelled
//! ```
//!
//! A job has a body (a coroutine, or the holder of its [`Body`]) and children. It ends when its
//! body is over and the last child has ended. Its [`Token`] is cancelled when it is cancelled or
//! fails, and is a child of its parent's token, so that everything below is cancelled at once.
//!
//! | file | contents |
//! |---|---|
//! | `machine` | the states of one job |
//! | `failure` | a failure, and which coroutine caused it |
//! | `launch`, `child` | a job whose body is a coroutine; its handle |
//! | `ambient` | the job of the running coroutine |
//!
//! # States
//!
//! | state | body or a child runs | a cause is recorded | token | next |
//! |---|---|---|---|---|
//! | `Active` | yes | no | clear | `Completed`; `Cancelling` |
//! | `Cancelling` | yes | a cancellation or a failure (or the token above is set) | set | `Cancelled`; `Failed` |
//! | `Completed` | no | no | clear at that moment | – |
//! | `Cancelled` | no | a cancellation | set | – |
//! | `Failed` | no | a failure | set | – |
//!
//! # Invariants
//!
//! 1. A job ends once: when its body is over and no child is left. Nothing changes it after that.
//! 2. A child ends before its parent. A job that has ended accepts no child.
//! 3. The first cause stands, except that a panic, or a failure with a code, replaces a cancellation:
//!    they are never hidden. An error after a cancellation is taken for its consequence, and only
//!    counted. The first code stands.
//! 4. A failure reaches the parent at once, before the job has ended, unless the parent is a
//!    supervisor or the child keeps its failures (a scope's owner gets them by its result). A
//!    child's cancellation does not reach the parent.
//! 5. The token is cancelled after the cause is recorded, and the parent is notified of the end
//!    after the job's own waiters are woken. Both without a lock.

mod ambient;
mod child;
mod failure;
mod launch;
mod machine;

use std::{
    collections::BTreeMap,
    fmt,
    panic::Location,
    sync::{
        Arc, Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use becket_chan::{Cancelled, Reason, Token};
use parking_lot::Mutex;

use self::machine::{Cancellation, Machine, Step};
pub use self::{
    ambient::current,
    child::{Child, ChildError},
    failure::{BoxError, Failure},
    machine::JobState,
};
pub(crate) use self::{
    ambient::enter,
    child::Outcome,
    failure::Of,
    launch::{Task, Work, spawn_task, start_child},
    machine::Cause,
};

/// A job of a tree. Clones are the same job; holding one keeps nothing running.
///
/// Thread safe: any number of threads, tasks and coroutines may use it.
///
/// ```
/// use becket_coro::job::{Job, JobState};
///
/// let server = Job::begin();
/// let job = server.job().clone();
/// let answer = job.spawn(|| 6 * 7);
/// assert_eq!(answer.join().unwrap(), 42);
/// server.complete();
/// assert_eq!(job.join(), JobState::Completed);
/// ```
#[derive(Clone)]
pub struct Job(Arc<Inner>);

struct Inner {
    id: u64,
    name: Option<Arc<str>>,
    site: &'static Location<'static>,
    token: Token,
    /// The token that it was started under, if that is not a job's.
    above: Option<Token>,
    /// Cancelled once the job has ended.
    over: Token,
    /// Failures of its children do not reach it.
    supervises: bool,
    /// Its failures do not reach its parent.
    keeps_failures: bool,
    tree: Mutex<Tree>,
}

struct Tree {
    machine: Machine,
    /// `None` once the job has ended.
    parent: Option<Job>,
    children: BTreeMap<u64, Weak<Inner>>,
}

/// Options of a job. See [`Job::builder`].
#[derive(Debug, Default)]
#[must_use]
pub struct JobBuilder<'a> {
    name: Option<Arc<str>>,
    parent: Option<&'a Job>,
    token: Option<&'a Token>,
    supervises: bool,
    keeps_failures: bool,
}

/// The right to end a job's body. Dropped without a call, it cancels the job: a job whose body is
/// forgotten does not run for ever.
#[derive(Debug)]
#[must_use = "dropping it cancels the job"]
pub struct Body {
    job: Job,
    /// The end was recorded.
    settled: bool,
}

impl<'a> JobBuilder<'a> {
    /// A name, for messages and listings.
    pub fn name(mut self, name: impl Into<Arc<str>>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// The job that waits for this one, cancels it and fails with it.
    pub fn parent(mut self, parent: &'a Job) -> Self {
        self.parent = Some(parent);
        self
    }

    /// A token that cancels it, for a job without a parent.
    pub fn token(mut self, token: &'a Token) -> Self {
        self.token = Some(token);
        self
    }

    /// Failures of its children neither cancel the other children nor fail this job.
    pub fn supervisor(mut self) -> Self {
        self.supervises = true;
        self
    }

    /// Its failures do not reach its parent: its owner handles them.
    pub(crate) fn keep_failures(mut self) -> Self {
        self.keeps_failures = true;
        self
    }

    /// Starts the job. Under a parent that has ended, or under a cancelled token, it is cancelled
    /// from the start.
    #[track_caller]
    pub fn begin(self) -> Body {
        self.begin_at(Location::caller())
    }

    pub(crate) fn begin_at(self, site: &'static Location<'static>) -> Body {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let id = NEXT.fetch_add(1, Ordering::Relaxed);
        let above = self.parent.map(|parent| &parent.0.token).or(self.token);
        let token = above.map_or_else(Token::new, Token::child);
        let make = |parent| {
            Job(Arc::new(Inner {
                id,
                name: self.name,
                site,
                token,
                above: self.token.cloned(),
                over: Token::new(),
                supervises: self.supervises,
                keeps_failures: self.keeps_failures,
                tree: Mutex::new(Tree {
                    machine: Machine::new(),
                    parent,
                    children: BTreeMap::new(),
                }),
            }))
        };
        let job = match self.parent {
            None => make(None),
            Some(parent) => {
                let mut tree = parent.0.tree.lock();
                if tree.machine.adopt() {
                    let job = make(Some(parent.clone()));
                    tree.children.insert(id, Arc::downgrade(&job.0));
                    job
                } else {
                    drop(tree);
                    let job = make(None);
                    job.cancel("its parent has ended");
                    job
                }
            }
        };
        Body { job, settled: false }
    }
}

impl Job {
    /// Starts a job without a parent.
    #[track_caller]
    pub fn begin() -> Body {
        Self::builder().begin()
    }

    /// Options of a job before it starts.
    pub fn builder<'a>() -> JobBuilder<'a> {
        JobBuilder::default()
    }

    /// Its name, if it has one.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.0.name.as_deref()
    }

    /// Where it was started.
    #[must_use]
    pub fn site(&self) -> &'static Location<'static> {
        self.0.site
    }

    /// Cancelled when the job is cancelled, fails, or is cancelled from above. Waits of its body
    /// should watch it: `rx.recv().cancel_on(job.token())`.
    #[must_use]
    pub fn token(&self) -> &Token {
        &self.0.token
    }

    /// Whether it or a job above it was cancelled or has failed.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.0.token.is_cancelled()
    }

    /// Cancels it and all below it. True if this call did: the first reason stands.
    ///
    /// Cancellation is cooperative: the job ends when its coroutines have noticed it.
    pub fn cancel(&self, reason: impl Into<Reason>) -> bool {
        self.cancel_with_code(0, reason)
    }

    /// As [`cancel`](Self::cancel), with a number for [`code`](Self::code).
    pub fn cancel_with_code(&self, code: i32, reason: impl Into<Reason>) -> bool {
        self.record(Cause::Cancelled(Some(Cancellation { reason: reason.into(), code })))
    }

    pub(crate) fn record(&self, cause: Cause) -> bool {
        let set = self.is_cancelled();
        let step = self.0.tree.lock().machine.cancel(cause, set);
        if step.cancel {
            self.0.token.cancel();
        }
        step.cancel
    }

    /// Cancels its children, each by itself: the job continues. Coroutines spawned later run.
    pub fn cancel_children(&self, reason: impl Into<Reason>) {
        let reason = reason.into();
        for child in self.children() {
            child.cancel(reason.clone());
        }
    }

    /// Fails it with a number, for a body that reports an error before it is over. An earlier
    /// cancellation does not hide the failure. Without effect if the job has ended.
    pub fn fail_with_code(&self, code: i32) {
        self.fail(&Failure::with_code(self.of(), code));
    }

    /// Fails it, and the jobs above as far as failures go (invariant 4).
    pub(crate) fn fail(&self, failure: &Failure) {
        let mut next = Some(self.clone());
        while let Some(job) = next.take() {
            // The error may be a consequence of a cancellation that has not reached this job yet.
            let set = !failure.is_by_itself() && job.is_cancelled_above();
            let (step, parent) = {
                let mut tree = job.0.tree.lock();
                (tree.machine.fail(failure.clone(), set), tree.parent.clone())
            };
            if step.cancel {
                job.0.token.cancel();
            }
            if step.failed && !job.0.keeps_failures {
                next = parent.filter(|parent| !parent.notes_failure());
            }
        }
    }

    /// True: it is a supervisor, and has counted a child's failure.
    fn notes_failure(&self) -> bool {
        if self.0.supervises {
            self.0.tree.lock().machine.note_failure();
        }
        self.0.supervises
    }

    /// Whether it, or a job above it, is cancelled or has failed. Cancelling a token wakes its
    /// waiters and then descends: a woken waiter may see the cancellation before its own job does.
    pub(crate) fn is_cancelled_above(&self) -> bool {
        let mut job = self.clone();
        loop {
            let above = job.0.above.as_ref();
            if job.is_cancelled() || above.is_some_and(Token::is_cancelled) {
                return true;
            }
            let parent = job.0.tree.lock().parent.clone();
            match parent {
                Some(parent) => job = parent,
                None => return false,
            }
        }
    }

    /// Its state.
    #[must_use]
    pub fn state(&self) -> JobState {
        let set = self.is_cancelled();
        self.0.tree.lock().machine.state(set)
    }

    /// The reason of its cancellation; a job that was cancelled from above has the reason from
    /// there.
    #[must_use]
    pub fn reason(&self) -> Option<Reason> {
        self.cancellation().map(|cancellation| cancellation.reason)
    }

    /// The first number with which it was cancelled or failed, by itself or from above; 0: none.
    #[must_use]
    pub fn code(&self) -> i32 {
        self.cancellation().map_or(0, |cancellation| cancellation.code)
    }

    fn cancellation(&self) -> Option<Cancellation> {
        let mut asked = Vec::new();
        let mut next = Some(self.clone());
        let mut found = None;
        while let Some(job) = next.take() {
            let set = job.is_cancelled();
            let tree = job.0.tree.lock();
            let reason = match tree.machine.cause() {
                None if tree.machine.is_ended() || !set => return None,
                Some(Cause::Cancelled(Some(cancellation))) => Some(cancellation.reason.clone()),
                Some(Cause::Late) => Some("the deadline passed".into()),
                Some(Cause::Failed(failure)) => Some(failure.to_string().into()),
                Some(Cause::Cancelled(None)) | None => {
                    next.clone_from(&tree.parent);
                    None
                }
            };
            found = reason.map(|reason| Cancellation { reason, code: tree.machine.code() });
            drop(tree);
            asked.push(job);
        }
        let found = found
            .unwrap_or_else(|| Cancellation { reason: "its token was cancelled".into(), code: 0 });
        // So that later calls need not search again.
        for job in asked {
            job.0.tree.lock().machine.explain(&found);
        }
        Some(found)
    }

    /// The first failure, if it has failed.
    #[must_use]
    pub fn failure(&self) -> Option<Failure> {
        match self.0.tree.lock().machine.cause() {
            Some(Cause::Failed(failure)) => Some(failure.clone()),
            _ => None,
        }
    }

    /// The number of failures besides [`failure`](Self::failure): later ones, errors after a
    /// cancellation, those of a supervisor's children.
    #[must_use]
    pub fn failures_later(&self) -> usize {
        self.0.tree.lock().machine.failures_later()
    }

    pub(crate) fn is_late(&self) -> bool {
        matches!(self.0.tree.lock().machine.cause(), Some(Cause::Late))
    }

    /// The children that have not ended, oldest first.
    #[must_use]
    pub fn children(&self) -> Vec<Self> {
        let tree = self.0.tree.lock();
        tree.children.values().filter_map(Weak::upgrade).map(Self).collect()
    }

    /// The number of children that have not ended.
    #[must_use]
    pub fn children_len(&self) -> usize {
        self.0.tree.lock().machine.children()
    }

    /// Waits on a thread or in a coroutine until it has ended.
    pub fn join(&self) -> JobState {
        self.0.over.cancelled().wait();
        self.state()
    }

    /// As [`join`](Self::join), until an instant of the runtime's clock; `None` if that came first.
    #[must_use]
    pub fn join_deadline(&self, deadline: Instant) -> Option<JobState> {
        self.0.over.cancelled().deadline(deadline).wait().then(|| self.state())
    }

    /// An operation that completes when the job has ended, to be awaited or waited for.
    ///
    /// # Cancel safety
    ///
    /// Dropping it changes nothing.
    pub fn ended(&self) -> Cancelled<'_> {
        self.0.over.cancelled()
    }

    /// Whether both are the same job.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Whether `above` is this job, or a job above it, and waits for it. Once true of a job that
    /// has not ended, it stays true until the job has ended.
    #[must_use]
    pub fn is_below(&self, above: &Self) -> bool {
        let mut job = self.clone();
        while !job.is_same(above) {
            let parent = job.0.tree.lock().parent.clone();
            match parent {
                Some(parent) => job = parent,
                None => return false,
            }
        }
        true
    }

    /// Cancelled once the job has ended.
    pub(crate) fn over(&self) -> &Token {
        &self.0.over
    }

    pub(crate) fn of(&self) -> Of<'_> {
        Of { name: self.0.name.as_ref(), site: self.0.site }
    }

    fn body_over(&self) {
        let step = self.0.tree.lock().machine.body_over(self.is_cancelled());
        self.end(step);
    }

    /// Notifies the waiters of its end, and of the end of the jobs above that ended with it.
    fn end(&self, step: Step) {
        let mut next = step.ended.then(|| self.clone());
        while let Some(job) = next.take() {
            // Records the reason of a cancellation from above, while the parent is still known.
            drop(job.cancellation());
            let parent = job.0.tree.lock().parent.take();
            job.0.over.cancel();
            if let Some(parent) = parent {
                let set = parent.is_cancelled();
                let step = {
                    let mut tree = parent.0.tree.lock();
                    tree.children.remove(&job.0.id);
                    tree.machine.child_over(set)
                };
                next = step.ended.then_some(parent);
            }
        }
    }
}

impl fmt::Debug for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Job")
            .field("name", &self.name())
            .field("state", &self.state())
            .field("children", &self.children_len())
            .finish_non_exhaustive()
    }
}

impl Body {
    /// The job.
    #[must_use]
    pub const fn job(&self) -> &Job {
        &self.job
    }

    /// The body succeeded. The job completes when its children have ended.
    pub fn complete(mut self) {
        self.settled = true;
    }

    /// The body failed: the job's children are cancelled, and it fails when they have ended.
    pub fn fail(mut self, error: impl Into<BoxError>) {
        self.failed(&Failure::error(self.job.of(), error.into()));
    }

    pub(crate) fn failed(&mut self, failure: &Failure) {
        self.settled = true;
        self.job.fail(failure);
    }

    /// As [`complete`](Self::complete), but the body is over only when it is dropped.
    pub(crate) const fn will_complete(&mut self) {
        self.settled = true;
    }
}

impl Drop for Body {
    fn drop(&mut self) {
        if !self.settled {
            self.job.cancel("its body was dropped");
        }
        self.job.body_over();
    }
}
