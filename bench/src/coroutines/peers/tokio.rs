// SPDX-License-Identifier: BSD-3-Clause
//! tokio's tasks: on the current-thread runtime (one worker) or on the multi-thread one.

use std::time::Duration;

use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use super::super::child::Begin;
use super::super::peer::answering;
use super::super::tasks::{Tasks, perform, serve};
use super::super::work::Work;
use crate::error::BenchError;
use crate::harness::Contestant;

const NAME: &str = "tokio";

#[derive(Clone)]
pub(crate) struct Tokio(Handle);

impl Tasks for Tokio {
    type Handle<T: Send + 'static> = JoinHandle<T>;
    type Bell = Notify;

    fn spawn<T: Send + 'static>(
        &self,
        f: impl Future<Output = T> + Send + 'static,
    ) -> JoinHandle<T> {
        self.0.spawn(f)
    }

    async fn join<T: Send + 'static>(handle: JoinHandle<T>) -> Option<T> {
        handle.await.ok()
    }

    async fn yield_now() {
        tokio::task::yield_now().await;
    }

    #[allow(clippy::disallowed_methods, reason = "a sleep is what is measured")]
    fn sleep(time: Duration) -> Option<impl Future<Output = ()> + Send> {
        Some(tokio::time::sleep(time))
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

    fn heard_within(bell: &Notify, time: Duration) -> Option<impl Future<Output = ()> + Send> {
        Some(async move {
            let _ = tokio::time::timeout(time, bell.notified()).await;
        })
    }
}

/// On a runtime of its own with so many workers.
pub(crate) fn side(work: Work, workers: usize) -> Result<Contestant, BenchError> {
    let runtime = runtime(workers)?;
    Ok(answering(NAME, work, move |n, answers| {
        let on = Tokio(runtime.handle().clone());
        let done = runtime.block_on(runtime.spawn(perform(on, work, n)));
        let _ = answers.send(done.map_err(|_| BenchError::Worker)?);
        Ok(())
    }))
}

/// The same in a child.
pub(crate) fn servant(workers: usize) -> Result<Begin, BenchError> {
    let runtime = runtime(workers)?;
    Ok(Box::new(move |request, answers| {
        let on = Tokio(runtime.handle().clone());
        let done = runtime.block_on(runtime.spawn(serve(on, request)));
        let _ = answers.send(done.unwrap_or(None));
    }))
}

fn runtime(workers: usize) -> Result<Runtime, BenchError> {
    let runtime = match workers {
        1 => Builder::new_current_thread().enable_time().build(),
        _ => Builder::new_multi_thread().worker_threads(workers).enable_time().build(),
    };
    runtime.map_err(|source| BenchError::System { what: "start a tokio runtime", source })
}
