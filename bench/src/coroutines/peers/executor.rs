// SPDX-License-Identifier: BSD-3-Clause
//! async-executor's tasks, with a thread for each worker. It has no timers of its own.

use std::future::{Ready, pending};
use std::sync::Arc;
use std::time::Duration;

use async_executor::{Executor, Task};
use futures_lite::future::block_on;
use tokio::sync::Notify;

use super::super::child::Begin;
use super::super::peer::answering;
use super::super::tasks::{Tasks, perform, serve};
use super::super::work::Work;
use crate::error::BenchError;
use crate::harness::Contestant;

pub(crate) const NAME: &str = "async-executor";

#[derive(Clone)]
pub(crate) struct OnExecutor(Arc<Executor<'static>>);

impl Tasks for OnExecutor {
    type Handle<T: Send + 'static> = Task<T>;
    type Bell = Notify;

    fn spawn<T: Send + 'static>(&self, f: impl Future<Output = T> + Send + 'static) -> Task<T> {
        self.0.spawn(f)
    }

    async fn join<T: Send + 'static>(handle: Task<T>) -> Option<T> {
        Some(handle.await)
    }

    async fn yield_now() {
        futures_lite::future::yield_now().await;
    }

    fn sleep(_: Duration) -> Option<impl Future<Output = ()> + Send> {
        None::<Ready<()>>
    }

    fn bell() -> Notify {
        Notify::new()
    }

    fn ring(bell: &Notify) {
        bell.notify_one();
    }

    async fn heard(bell: &Notify) {
        bell.notified().await;
    }

    fn heard_within(_: &Notify, _: Duration) -> Option<impl Future<Output = ()> + Send> {
        None::<Ready<()>>
    }
}

impl OnExecutor {
    /// One with so many workers, which end with the process: a row's work is done before.
    pub(crate) fn start(workers: usize) -> Result<Self, BenchError> {
        let executor = Arc::new(Executor::new());
        for _ in 0..workers {
            let executor = Arc::clone(&executor);
            std::thread::Builder::new()
                .name("executor".into())
                .spawn(move || block_on(executor.run(pending::<()>())))
                .map_err(|source| BenchError::System { what: "start a thread", source })?;
        }
        Ok(Self(executor))
    }
}

/// On workers of its own.
pub(crate) fn side(work: Work, workers: usize) -> Result<Contestant, BenchError> {
    let on = OnExecutor::start(workers)?;
    Ok(answering(NAME, work, move |n, answers| {
        let begun = on.clone();
        let block = async move {
            let _ = answers.send(perform(begun, work, n).await);
        };
        on.0.spawn(block).detach();
        Ok(())
    }))
}

/// The same in a child.
pub(crate) fn servant(workers: usize) -> Result<Begin, BenchError> {
    let on = OnExecutor::start(workers)?;
    Ok(Box::new(move |request, answers| {
        let begun = on.clone();
        let block = async move {
            let _ = answers.send(serve(begun, request).await);
        };
        on.0.spawn(block).detach();
    }))
}
