// SPDX-License-Identifier: BSD-3-Clause
//! Stages, one after another, with a channel between each two.

use std::{panic::Location, sync::Arc};

use becket_chan::{Receiver, bounded};

use super::{Closing, FlowError, On, ordered, verdict};
use crate::job::{Body, BoxError, Job, Work};
use crate::launch::Options;

/// The default capacity of the channel between two stages, in values.
const CAPACITY_DEFAULT: usize = 16;

/// A pipeline under construction, and the output of its last stage. See [`pipeline`].
///
/// Its stages run already. Dropped before it is ended (by [`receiver`](Self::receiver),
/// [`collect`](Self::collect), ...), it cancels them.
#[derive(Debug)]
#[must_use = "dropped before it is ended, it cancels its stages"]
pub struct Pipeline<S, T> {
    on: S,
    options: Options,
    body: Body,
    rx: Receiver<T>,
    capacity: usize,
}

/// Starts a pipeline with the values of `rx`, on a scope or a job.
///
/// Its stages are coroutines of one job: the first that fails cancels the others, and fails the
/// scope or the job too.
///
/// ```
/// use becket_coro::{flow, scope};
///
/// let sizes = scope(|s| {
///     let lines = flow::produce(s, 8, |out| {
///         ["1 2", "3", "x"].into_iter().try_for_each(|line| out.send(line)).ok()
///     });
///     flow::pipeline(s, lines)
///         .stage(2, |line: &str| line.split(' ').next().unwrap_or_default())
///         .try_ordered(2, str::parse::<u8>)
///         .collect(100)
/// });
/// let error = sizes.unwrap_err();
/// assert!(error.to_string().contains("invalid digit"), "{error}");
/// ```
#[track_caller]
pub fn pipeline<'a, T, S: On<'a>>(on: S, rx: Receiver<T>) -> Pipeline<S, T> {
    let site = Location::caller();
    let options = on.options().called(site, "stage");
    let body = Job::builder().name("pipeline").parent(on.job()).begin_at(site);
    Pipeline { on, options, body, rx, capacity: CAPACITY_DEFAULT }
}

impl<'a, S: On<'a>, T: Send + 'a> Pipeline<S, T> {
    /// The capacity of the channels of the following stages: at least 1 value.
    pub fn capacity(mut self, values_max: usize) -> Self {
        self.capacity = values_max.max(1);
        self
    }

    /// A stage of `workers` coroutines (at least one) that run `work`. With more than one, results
    /// leave in the order in which they are ready.
    pub fn stage<U, F>(self, workers: usize, work: F) -> Pipeline<S, U>
    where
        U: Send + 'a,
        F: Fn(T) -> U + Send + Sync + 'a,
    {
        self.mapped(workers, move |value| Ok(work(value)))
    }

    /// As [`stage`](Self::stage); an error is a failure.
    pub fn try_stage<U, E, F>(self, workers: usize, work: F) -> Pipeline<S, U>
    where
        U: Send + 'a,
        E: Into<BoxError>,
        F: Fn(T) -> Result<U, E> + Send + Sync + 'a,
    {
        self.mapped(workers, move |value| work(value).map_err(Into::into))
    }

    /// As [`stage`](Self::stage), except that results leave in the order of their values.
    ///
    /// Two more coroutines number the values and sort the results. Results that wait for an earlier
    /// one count against the stage's capacity.
    pub fn ordered<U, F>(self, workers: usize, work: F) -> Pipeline<S, U>
    where
        U: Send + 'a,
        F: Fn(T) -> U + Send + Sync + 'a,
    {
        self.sorted(workers, move |value| Ok(work(value)))
    }

    /// As [`ordered`](Self::ordered); an error is a failure.
    pub fn try_ordered<U, E, F>(self, workers: usize, work: F) -> Pipeline<S, U>
    where
        U: Send + 'a,
        E: Into<BoxError>,
        F: Fn(T) -> Result<U, E> + Send + Sync + 'a,
    {
        self.sorted(workers, move |value| work(value).map_err(Into::into))
    }

    /// The output of the last stage. The pipeline continues by itself: a failure reaches the scope
    /// or the job it is on, and closes the channel.
    #[must_use]
    pub fn receiver(self) -> Receiver<T> {
        self.body.complete();
        self.rx
    }

    /// Runs `work` with each value, on the caller, until the last.
    ///
    /// # Errors
    ///
    /// A stage failed, or the pipeline was cancelled.
    pub fn for_each(self, mut work: impl FnMut(T)) -> Result<(), FlowError> {
        self.fold((), |(), value| work(value))
    }

    /// Folds the values into one, on the caller.
    ///
    /// # Errors
    ///
    /// A stage failed, or the pipeline was cancelled. The partial result is dropped.
    pub fn fold<U>(self, start: U, mut work: impl FnMut(U, T) -> U) -> Result<U, FlowError> {
        let token = self.body.job().token();
        let mut folded = start;
        while let Ok(value) = self.rx.recv().cancel_on(token).wait() {
            folded = work(folded, value);
        }
        self.end().map(|()| folded)
    }

    /// Collects the values, on the caller.
    ///
    /// # Errors
    ///
    /// A stage failed, the pipeline was cancelled, or it has more than `values_max` values: then it
    /// is cancelled.
    pub fn collect(self, values_max: usize) -> Result<Vec<T>, FlowError> {
        let token = self.body.job().token();
        let mut values = Vec::new();
        while let Ok(value) = self.rx.recv().cancel_on(token).wait() {
            if values.len() == values_max {
                let error = FlowError::TooMany { values_max };
                self.body.job().cancel(error.to_string());
                // An earlier failure takes precedence.
                return Err(match self.end() {
                    Err(failed @ FlowError::Failed(_)) => failed,
                    _ => error,
                });
            }
            values.push(value);
        }
        self.end().map(|()| values)
    }

    /// Waits for the stages.
    fn end(self) -> Result<(), FlowError> {
        let job = self.body.job().clone();
        drop(self.rx);
        self.body.complete();
        job.join();
        verdict(&job)
    }

    fn mapped<U, F>(self, workers: usize, work: F) -> Pipeline<S, U>
    where
        U: Send + 'a,
        F: Fn(T) -> Result<U, BoxError> + Send + Sync + 'a,
    {
        let (tx, rx) = bounded(self.capacity);
        let work = Arc::new(work);
        let stages = (0..workers.max(1)).map(|_| -> Work<'a> {
            let closing = Closing::new(tx.clone(), "the stage");
            let (rx, work) = (self.rx.clone(), Arc::clone(&work));
            let token = self.body.job().token().clone();
            Box::new(move || {
                while let Ok(value) = rx.recv().cancel_on(&token).wait() {
                    let result = work(value)?;
                    if closing.sender().send(result).cancel_on(&token).wait().is_err() {
                        break;
                    }
                }
                closing.end(!token.is_cancelled());
                Ok(())
            })
        });
        let stages = stages.collect();
        self.next(stages, rx)
    }

    fn sorted<U, F>(self, workers: usize, work: F) -> Pipeline<S, U>
    where
        U: Send + 'a,
        F: Fn(T) -> Result<U, BoxError> + Send + Sync + 'a,
    {
        let (tx, rx) = bounded(self.capacity);
        let token = self.body.job().token();
        let stages =
            ordered::stage(self.rx.clone(), tx, workers.max(1), self.capacity, token, work);
        self.next(stages, rx)
    }

    /// Spawns the coroutines of a stage.
    fn next<U>(self, stages: Vec<Work<'a>>, rx: Receiver<U>) -> Pipeline<S, U> {
        for work in stages {
            drop(self.on.start(self.body.job(), &self.options, work));
        }
        let Self { on, options, body, capacity, .. } = self;
        Pipeline { on, options, body, rx, capacity }
    }
}
