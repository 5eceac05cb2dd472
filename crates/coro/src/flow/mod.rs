// SPDX-License-Identifier: BSD-3-Clause
//! Flows: coroutines with channels between them, built by their shape.
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
//! [`Job`]. Its coroutines are children of it.
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
//! # Guarantees
//!
//! 1. **Everything is bounded**: the values in flight in a stage are at most as many as its channel
//!    and its coroutines hold; an ordered stage holds back at most as many.
//! 2. **The end propagates downstream.** When a source ends, all values in flight arrive, then
//!    every stage ends.
//! 3. **The end propagates upstream.** When a flow has no receiver any more, its stages end, and
//!    the next send of its source fails. That is no failure of the flow.
//! 4. **A failure ends the flow**: a stage that panics, or returns an error, cancels the other
//!    stages of its flow, closes its output with the reason, and fails the scope or the job that
//!    the flow is spawned on.
//! 5. **Cancelling ends every wait** of a flow.
//!
//! | file | contents |
//! |---|---|
//! | `produce` | a coroutine that sends |
//! | `fan` | one channel for many coroutines, many channels for one |
//! | `pipeline` | stages |
//! | `ordered` | a stage whose results leave in the order of its values |

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
    job::{Child, Failure, Job, JobState, Work, start_child},
    launch::Options,
    scope::Scope,
};

/// Why a flow has no result.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum FlowError {
    /// One of its coroutines failed.
    #[error("the flow failed: {0}")]
    Failed(#[source] Failure),
    /// The flow was cancelled, or the scope or job that it was spawned on.
    #[error("the flow was cancelled: {reason}")]
    Cancelled {
        /// The reason, as text.
        reason: Reason,
    },
    /// There are more values than the limit.
    #[error("the flow has more than {values_max} values")]
    TooMany {
        /// The limit.
        values_max: usize,
    },
}

/// A parent of a flow: a scope, or a job.
pub trait On<'a>: Copy + sealed::On<'a> {}

impl<'scope> On<'scope> for &'scope Scope<'scope, '_> {}
impl On<'static> for &Job {}

mod sealed {
    use super::{Child, Job, Options, Work};

    #[allow(private_interfaces, reason = "sealed")]
    pub trait On<'a> {
        /// The job it belongs to.
        fn job(&self) -> &Job;
        /// The options of its coroutines.
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
        self.spawn_below(below, options.clone(), work)
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
        start_child(Some(below), options.clone(), work)
    }
}

/// The channel of a flow: a capacity for a bounded one, or a [`becket_chan::Builder`] for one of
/// any kind.
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

/// The result of a flow that has ended.
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

/// The sender of a coroutine that may fail: closes the channel with the reason, unless `end` was
/// called with success.
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

    /// Ends the output.
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
