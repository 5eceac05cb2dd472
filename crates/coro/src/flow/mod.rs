// SPDX-License-Identifier: BSD-3-Clause
//! Flows: coroutines with channels between them, made by their shape.
//!
//! ```text
//!   produce ──► stage, 4 at a time ──► stage, in order ──► collect        pipeline
//!
//!            ┌─► worker                     source ─┐
//!   rx ──────┼─► worker   fan_out           source ─┼──► rx              fan_in
//!            └─► worker                     source ─┘
//! ```
//!
//! A flow is spawned on a scope, and may then borrow as the scope's children may, or on a
//! [`Job`]. Its coroutines are children of that.
//!
//! ```
//! use becket_coro::{flow, scope};
//!
//! let factor = 10;
//! let products = scope(|s| {
//!     let numbers = flow::produce(s, 8, |out| (0..100).try_for_each(|n| out.send(n)).ok());
//!     flow::pipeline(s, numbers)
//!         .stage(4, |n| n * factor)
//!         .ordered(2, |n: i32| n + 1)
//!         .fold(0, |sum, n| sum + n)
//! });
//! # // Sum of 10 n + 1.
//! assert_eq!(products.unwrap().unwrap(), 49_600);
//! ```
//!
//! # What holds
//!
//! 1. **Everything is bounded**: what is on its way in a stage is as much as its channel and its
//!    coroutines hold; one that is in order keeps as many values back at most.
//! 2. **The end goes down.** A source that ends lets all that is on its way arrive, then every stage
//!    ends.
//! 3. **The end goes up.** If nobody receives from a flow any more, its stages end, and its source
//!    is told by its next send. That is no failure.
//! 4. **A failure ends the flow**: a stage that panics, or gives an error, cancels the others of its
//!    flow, closes its output with the reason, and fails the scope or the job that the flow is
//!    spawned on.
//! 5. **Cancelling ends every wait** of a flow.
//!
//! | file | holds |
//! |---|---|
//! | `produce` | a coroutine that sends |
//! | `fan` | one channel for many coroutines, many channels for one |
//! | `pipeline` | stages |
//! | `ordered` | a stage whose results leave in the order in which its values came |

mod fan;
mod ordered;
mod pipeline;
mod produce;

use becket_chan::{Builder, Reason, Receiver, Sender};

pub use self::{
    fan::{FanOut, fan_in, fan_out},
    pipeline::{Pipeline, pipeline},
    produce::{Output, Verdict, produce},
};
use crate::{
    job::{Child, Failure, Job, JobState, Launch, Options, Work},
    scope::Scope,
};

/// Why a flow gave no result.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum FlowError {
    /// One of its coroutines failed.
    #[error("the flow failed: {0}")]
    Failed(#[source] Failure),
    /// It was cancelled, or what it was spawned on.
    #[error("the flow was cancelled: {reason}")]
    Cancelled {
        /// Why, in words.
        reason: Reason,
    },
    /// More values came than were wanted.
    #[error("the flow has more than {values_max} values")]
    TooMany {
        /// So many were wanted at most.
        values_max: usize,
    },
}

/// What a flow can be spawned on: a scope, or a job.
pub trait On<'a>: Copy + sealed::On<'a> {}

impl<'scope> On<'scope> for &'scope Scope<'scope, '_> {}
impl On<'static> for &Job {}

mod sealed {
    use super::{Child, Job, Options, Work};

    #[allow(private_interfaces, reason = "sealed")]
    pub trait On<'a> {
        /// What it belongs to.
        fn job(&self) -> &Job;
        /// How its coroutines are spawned.
        fn options(&self) -> Options;
        /// Spawns one, below this job.
        fn start(&self, below: &Job, options: &Options, work: Work<'a>) -> Child<'a, ()>;
    }
}

#[allow(private_interfaces, reason = "sealed")]
impl<'scope> sealed::On<'scope> for &'scope Scope<'scope, '_> {
    fn job(&self) -> &Job {
        Scope::job(self)
    }

    fn options(&self) -> Options {
        Scope::options(self).clone()
    }

    fn start(&self, below: &Job, options: &Options, work: Work<'scope>) -> Child<'scope, ()> {
        self.spawn_below(below, options, work)
    }
}

#[allow(private_interfaces, reason = "sealed")]
impl sealed::On<'static> for &Job {
    fn job(&self) -> &Job {
        self
    }

    fn options(&self) -> Options {
        Options::at(self.site())
    }

    fn start(&self, below: &Job, options: &Options, work: Work<'static>) -> Child<'static, ()> {
        Launch::below(below, options.clone()).start(work)
    }
}

/// How the channel of a flow is made: a number of values for a bounded one, or a
/// [`becket_chan::Builder`] for one of any kind.
pub trait Queue<T> {
    /// Makes it.
    fn make(self) -> (Sender<T>, Receiver<T>);
}

impl<T> Queue<T> for usize {
    fn make(self) -> (Sender<T>, Receiver<T>) {
        becket_chan::bounded(self)
    }
}

impl<T> Queue<T> for Builder<T> {
    fn make(self) -> (Sender<T>, Receiver<T>) {
        self.build()
    }
}

/// What a flow that has ended came to.
fn verdict(job: &Job) -> Result<(), FlowError> {
    match (job.state(), job.failure()) {
        (JobState::Completed, _) => Ok(()),
        (_, Some(failure)) => Err(FlowError::Failed(failure)),
        (_, None) => {
            let reason = job.reason().unwrap_or_else(|| "cancelled".into());
            Err(FlowError::Cancelled { reason })
        }
    }
}

/// A sender of a coroutine that may fail: closes the channel with the reason, unless it was told
/// that all is well.
struct Closing<T> {
    tx: Sender<T>,
    name: &'static str,
    well: bool,
}

impl<T> Closing<T> {
    const fn new(tx: Sender<T>, name: &'static str) -> Self {
        Self { tx, name, well: false }
    }

    const fn sender(&self) -> &Sender<T> {
        &self.tx
    }

    /// Nothing more comes.
    fn end(mut self, well: bool) {
        self.well = well;
    }
}

impl<T> Drop for Closing<T> {
    fn drop(&mut self) {
        if !self.well {
            self.tx.close_with(format!("{} failed or was cancelled", self.name));
        }
    }
}
