// SPDX-License-Identifier: BSD-3-Clause
//! One channel for many coroutines, many channels for one.

use std::{panic::Location, sync::Arc};

use becket_chan::{Receiver, Select};

use super::{Closing, FlowError, On, Queue, Verdict, verdict};
use crate::job::Job;

/// Coroutines that share the values of a channel. See [`fan_out`].
#[derive(Debug)]
pub struct FanOut {
    job: Job,
}

/// Spawns `workers` coroutines (at least one) that take the values of a channel, each value once,
/// and run `work` with it. They end when the channel is closed and drained.
///
/// ```
/// use std::sync::atomic::{AtomicU32, Ordering};
///
/// use becket_coro::{flow, scope};
///
/// let sum = AtomicU32::new(0);
/// scope(|s| {
///     let numbers = flow::produce(s, 4, |out| (1..=10).try_for_each(|n| out.send(n)).ok());
///     flow::fan_out(s, numbers, 3, |n| {
///         sum.fetch_add(n, Ordering::Relaxed);
///     });
/// })
/// .unwrap();
/// assert_eq!(sum.into_inner(), 55);
/// ```
///
/// The first worker that fails cancels the others, and fails the scope or the job.
#[track_caller]
pub fn fan_out<'a, T, V>(
    on: impl On<'a>,
    rx: Receiver<T>,
    workers: usize,
    work: impl Fn(T) -> V + Send + Sync + 'a,
) -> FanOut
where
    T: Send + 'a,
    V: Verdict,
{
    let site = Location::caller();
    let options = on.options().called(site, "fan_out");
    let body = Job::builder().name("fan_out").parent(on.job()).begin_at(site);
    let job = body.job().clone();
    let work = Arc::new(work);
    for _ in 0..workers.max(1) {
        let (rx, work, token) = (rx.clone(), Arc::clone(&work), job.token().clone());
        let worker = Box::new(move || {
            while let Ok(value) = rx.recv().cancel_on(&token).wait() {
                work(value).into_result()?;
            }
            Ok(())
        });
        drop(on.start(&job, &options, worker));
    }
    body.complete();
    FanOut { job }
}

impl FanOut {
    /// Waits on a thread or in a coroutine until all have ended.
    ///
    /// # Errors
    ///
    /// A worker failed, or they were cancelled.
    pub fn join(self) -> Result<(), FlowError> {
        self.job.join();
        verdict(&self.job)
    }

    /// Their job.
    #[must_use]
    pub const fn job(&self) -> &Job {
        &self.job
    }
}

/// Spawns a coroutine that merges the values of several channels into one. Each channel's values
/// stay in order; of several ready channels, a random one is next. It ends when all are closed and
/// drained.
///
/// ```
/// use becket_coro::{flow, scope};
///
/// let mut all = scope(|s| {
///     let sources = (0..3).map(|n| flow::produce(s, 1, move |out| drop(out.send(n))));
///     flow::fan_in(s, sources, 4).iter().collect::<Vec<_>>()
/// })
/// .unwrap();
/// all.sort();
/// assert_eq!(all, [0, 1, 2]);
/// ```
#[track_caller]
pub fn fan_in<'a, T>(
    on: impl On<'a>,
    sources: impl IntoIterator<Item = Receiver<T>>,
    queue: impl Queue<T>,
) -> Receiver<T>
where
    T: Send + 'a,
{
    let (tx, all) = queue.make();
    let sources: Vec<_> = sources.into_iter().collect();
    let token = on.job().token().clone();
    let options = on.options().called(Location::caller(), "fan_in");
    let closing = Closing::new(tx, "the fan-in");
    let work = Box::new(move || {
        let mut select = Select::new();
        let cases: Vec<_> = sources.iter().map(|source| select.recv(source)).collect();
        loop {
            let (case, received) = match select.ready().cancel_on(&token).wait() {
                Ok(ready) => match cases.get(ready.index()) {
                    Some(&case) => (case, ready.recv(case)),
                    None => break,
                },
                // No source is left, or it is cancelled.
                Err(_) => break,
            };
            let sent = match received {
                Some(Ok(value)) => closing.sender().send(value).cancel_on(&token).wait().is_ok(),
                Some(Err(_)) => {
                    select.remove_recv(case);
                    true
                }
                None => true,
            };
            if !sent {
                break;
            }
        }
        drop(select);
        closing.end(!token.is_cancelled());
        Ok(())
    });
    drop(on.start(on.job(), &options, work));
    all
}
