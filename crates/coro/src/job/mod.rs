// SPDX-License-Identifier: BSD-3-Clause
//! Jobs: a tree of what runs, so that it can be waited for, cancelled and looked at.
//!
//! ```text
//!   server ─┬─ accept ─┬─ connection 1      cancel(server): everything stops
//!           │          └─ connection 2      cancel(connection 1): nothing else does
//!           └─ flush                        accept fails: connections 1 and 2 are cancelled; then
//!                                           server fails, and flush is cancelled
//! ```
//!
//! A job has a body (a coroutine, or whoever holds its [`Body`]) and children. It ends when its body
//! is over and the last child has ended. Its [`Token`] is set when it is cancelled or fails, and
//! is a child of its parent's token, so that everything below is told at once.
//!
//! | file | holds |
//! |---|---|
//! | `machine` | the states of one job |
//! | `failure` | what went wrong, and whose doing it was |
//! | `launch`, `child` | a job whose body is a coroutine; its handle |
//! | `ambient` | the job of the coroutine that runs |
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
//! 2. A child ends before its parent. A job that has ended adopts no child.
//! 3. The first cause stands, except that a panic replaces a cancellation: a panic is never hidden.
//!    An error after a cancellation is taken for its consequence, and only counted.
//! 4. A failure reaches the parent at once, before the job has ended, unless the parent is a
//!    supervisor or the child was made to keep its failures (a scope's owner hears of them by its
//!    result). A child's cancellation is its own.
//! 5. The token is set after the cause is recorded, and the parent hears of the end after the job's
//!    own waiters are woken. Both without a lock.

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

use self::machine::{Machine, Step};
pub use self::{
    ambient::current,
    child::{Child, ChildError},
    failure::{BoxError, Failure},
    launch::Launch,
    machine::JobState,
};
pub(crate) use self::{
    ambient::enter,
    child::Outcome,
    failure::Of,
    launch::{Options, Task, Work, spawn_task},
    machine::Cause,
};

/// One job of a tree. Clones are the same job; holding one keeps nothing running.
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
    /// The token that it was begun under, if that is not a job's.
    above: Option<Token>,
    /// Set once the job has ended.
    over: Token,
    /// Its children's failures are their own.
    supervises: bool,
    /// Its failures are its own.
    keeps_failures: bool,
    tree: Mutex<Tree>,
}

struct Tree {
    machine: Machine,
    /// Until the job has ended.
    parent: Option<Job>,
    children: BTreeMap<u64, Weak<Inner>>,
}

/// Makes a job. See [`Job::builder`].
#[derive(Debug, Default)]
#[must_use]
pub struct JobBuilder<'a> {
    name: Option<Arc<str>>,
    parent: Option<&'a Job>,
    token: Option<&'a Token>,
    supervises: bool,
    keeps_failures: bool,
}

/// The right to say how a job's body ended. Dropped without a word, it cancels the job: a job whose
/// body is forgotten does not run for ever.
#[derive(Debug)]
#[must_use = "dropping it cancels the job"]
pub struct Body {
    job: Job,
    /// How it ended has been said.
    said: bool,
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

    /// Its children's failures are their own: they neither cancel the others nor fail this job.
    pub fn supervisor(mut self) -> Self {
        self.supervises = true;
        self
    }

    /// Its failures do not reach its parent: somebody else hears of them.
    pub(crate) fn keep_failures(mut self) -> Self {
        self.keeps_failures = true;
        self
    }

    /// Begins the job. Under a parent that has ended, or under a token that is set, it is born
    /// cancelled.
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
        Body { job, said: false }
    }
}

impl Job {
    /// Begins a job without a parent.
    #[track_caller]
    pub fn begin() -> Body {
        Self::builder().begin()
    }

    /// Says more of a job before it begins.
    pub fn builder<'a>() -> JobBuilder<'a> {
        JobBuilder::default()
    }

    /// Its name, if it has one.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.0.name.as_deref()
    }

    /// Where it was begun.
    #[must_use]
    pub fn site(&self) -> &'static Location<'static> {
        self.0.site
    }

    /// Set when it is cancelled, or fails, or is cancelled from above. Waits of its body should
    /// watch it: `rx.recv().cancel_on(job.token())`.
    #[must_use]
    pub fn token(&self) -> &Token {
        &self.0.token
    }

    /// Whether it or something above it was cancelled or has failed.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.0.token.is_cancelled()
    }

    /// Cancels it and all below it. True if this call did: the first reason stands.
    ///
    /// Nothing is stopped by force: the job ends when its coroutines have seen it.
    pub fn cancel(&self, reason: impl Into<Reason>) -> bool {
        self.record(Cause::Cancelled(Some(reason.into())))
    }

    pub(crate) fn record(&self, cause: Cause) -> bool {
        let set = self.is_cancelled();
        let step = self.0.tree.lock().machine.cancel(cause, set);
        if step.cancel {
            self.0.token.cancel();
        }
        step.cancel
    }

    /// Cancels its children, each by itself: the job goes on. What is spawned later runs.
    pub fn cancel_children(&self, reason: impl Into<Reason>) {
        let reason = reason.into();
        for child in self.children() {
            child.cancel(reason.clone());
        }
    }

    /// Fails it, and upwards as far as failures go (invariant 4).
    pub(crate) fn fail(&self, failure: &Failure) {
        let mut next = Some(self.clone());
        while let Some(job) = next.take() {
            // An error may come of a cancellation that has not come down to here yet.
            let set = !failure.is_panic() && job.is_told();
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

    /// Whether it, or anything above it, is cancelled or has failed. Cancelling sets a token, wakes
    /// who waits on it, and then goes down: who was woken may know of it before his own job does.
    pub(crate) fn is_told(&self) -> bool {
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

    /// Where it is in its life.
    #[must_use]
    pub fn state(&self) -> JobState {
        let set = self.is_cancelled();
        self.0.tree.lock().machine.state(set)
    }

    /// Why it was cancelled, in words; a job that was cancelled from above says why that was.
    #[must_use]
    pub fn reason(&self) -> Option<Reason> {
        let mut asked = Vec::new();
        let mut next = Some(self.clone());
        let mut reason = None;
        while let Some(job) = next.take() {
            let set = job.is_cancelled();
            let tree = job.0.tree.lock();
            reason = match tree.machine.cause() {
                None if tree.machine.is_ended() || !set => return None,
                Some(Cause::Cancelled(Some(reason))) => Some(Reason::clone(reason)),
                Some(Cause::Late) => Some("the deadline passed".into()),
                Some(Cause::Failed(failure)) => Some(failure.to_string().into()),
                Some(Cause::Cancelled(None)) | None => {
                    next.clone_from(&tree.parent);
                    None
                }
            };
            drop(tree);
            asked.push(job);
        }
        let reason = reason.unwrap_or_else(|| "its token was cancelled".into());
        // So that nobody goes this way again.
        for job in asked {
            job.0.tree.lock().machine.explain(&reason);
        }
        Some(reason)
    }

    /// What it failed with, if it has failed: the first failure.
    #[must_use]
    pub fn failure(&self) -> Option<Failure> {
        match self.0.tree.lock().machine.cause() {
            Some(Cause::Failed(failure)) => Some(failure.clone()),
            _ => None,
        }
    }

    /// Failures beside the one that [`failure`](Self::failure) tells: later ones, errors after a
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

    /// How many children have not ended.
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

    /// Whether `above` is this job, or above it, and waits for it. Once true of a job that has not
    /// ended, it stays so until that has ended.
    pub(crate) fn is_below(&self, above: &Self) -> bool {
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

    /// Set once it has ended.
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

    /// Tells of its end, and of the end of those above that ended with it.
    fn end(&self, step: Step) {
        let mut next = step.ended.then(|| self.clone());
        while let Some(job) = next.take() {
            // It is asked as long as there is somebody above to ask.
            drop(job.reason());
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

    /// The body ended well. The job completes when its children have ended.
    pub fn complete(mut self) {
        self.said = true;
    }

    /// The body failed: the job's children are cancelled, and it fails when they have ended.
    pub fn fail(mut self, error: impl Into<BoxError>) {
        self.failed(&Failure::error(self.job.of(), error.into()));
    }

    pub(crate) fn failed(&mut self, failure: &Failure) {
        self.said = true;
        self.job.fail(failure);
    }

    /// For one that says so by [`complete`](Self::complete) at once, and is dropped later.
    pub(crate) const fn will_complete(&mut self) {
        self.said = true;
    }
}

impl Drop for Body {
    fn drop(&mut self) {
        if !self.said {
            self.job.cancel("its body was dropped");
        }
        self.job.body_over();
    }
}
