// SPDX-License-Identifier: BSD-3-Clause
//! becket-coro, with becket-chan's channels.

use std::time::{Duration, Instant};

use becket_chan::{Receiver, Sender};
use becket_coro::{JoinHandle, Runtime};

use super::super::child::Begin;
use super::super::peer::answering;
use super::super::straight::{Straight, perform, serve};
use super::super::work::Work;
use crate::error::BenchError;
use crate::harness::Contestant;

const NAME: &str = "Becket";

pub(crate) struct Becket;

impl Straight for Becket {
    type Handle<T: Send + 'static> = JoinHandle<T>;
    type Tx = Sender<u64>;
    type Rx = Receiver<u64>;

    fn spawn<T: Send + 'static>(f: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
        becket_coro::spawn(f)
    }

    fn join<T: Send + 'static>(handle: JoinHandle<T>) -> Option<T> {
        handle.join().ok()
    }

    fn yield_now() {
        becket_coro::yield_now();
    }

    fn sleep(time: Duration) {
        becket_coro::sleep(time);
    }

    fn wake<T: Send + 'static>(handle: &JoinHandle<T>) {
        handle.id().unparker().unpark();
    }

    fn park() {
        becket_coro::park();
    }

    fn park_timeout(time: Duration) {
        becket_coro::park_deadline(Instant::now() + time);
    }

    fn rendezvous() -> (Self::Tx, Self::Rx) {
        becket_chan::rendezvous()
    }

    fn bounded() -> (Self::Tx, Self::Rx) {
        becket_chan::bounded(1024)
    }

    fn send(tx: &Self::Tx, value: u64) -> Option<()> {
        tx.send(value).wait().ok()
    }

    fn recv(rx: &Self::Rx) -> Option<u64> {
        rx.recv().wait().ok()
    }
}

/// On a runtime of its own with so many workers.
pub(crate) fn side(work: Work, workers: usize) -> Result<Contestant, BenchError> {
    let runtime = runtime(workers)?;
    Ok(answering(NAME, work, move |n, answers| {
        runtime.spawn(move || {
            let _ = answers.send(perform::<Becket>(work, n));
        });
        Ok(())
    }))
}

fn runtime(workers: usize) -> Result<Runtime, BenchError> {
    let builder = Runtime::builder().workers(workers).name("bench");
    builder.build().map_err(|error| BenchError::host(NAME, error))
}

/// The same in a child.
pub(crate) fn servant(workers: usize) -> Result<Begin, BenchError> {
    let runtime = runtime(workers)?;
    Ok(Box::new(move |request, answers| {
        runtime.spawn(move || {
            let _ = answers.send(serve::<Becket>(request));
        });
    }))
}
