// SPDX-License-Identifier: BSD-3-Clause
//! may's coroutines, with its `mpmc` channel. The number of workers is set once per process, so
//! each row runs it in a separate process.
//!
//! may has no bounded channel. Its unbounded one stands in for a capacity of 1024; for a
//! rendezvous, the receiver acknowledges each value by a second channel.

use std::time::Duration;

use may::coroutine::JoinHandle;
use may::sync::mpmc::{Receiver, Sender, channel};

use super::super::child::Begin;
use super::super::straight::{Straight, serve};

pub(crate) struct May;

/// Sends values, and receives the acknowledgements if the sender waits for them.
pub(crate) struct Tx(Sender<u64>, Option<Receiver<()>>);
/// The other end.
pub(crate) struct Rx(Receiver<u64>, Option<Sender<()>>);

impl Clone for Tx {
    fn clone(&self) -> Self {
        Self(self.0.clone(), self.1.clone())
    }
}

impl Clone for Rx {
    fn clone(&self) -> Self {
        Self(self.0.clone(), self.1.clone())
    }
}

impl Straight for May {
    type Handle<T: Send + 'static> = JoinHandle<T>;
    type Tx = Tx;
    type Rx = Rx;

    fn spawn<T: Send + 'static>(f: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
        // SAFETY: the works use no thread-local state across a wait, and stay far from the end of
        // a stack.
        unsafe { may::coroutine::spawn(f) }
    }

    fn join<T: Send + 'static>(handle: JoinHandle<T>) -> Option<T> {
        handle.join().ok()
    }

    fn yield_now() {
        may::coroutine::yield_now();
    }

    fn sleep(time: Duration) {
        may::coroutine::sleep(time);
    }

    fn wake<T: Send + 'static>(handle: &JoinHandle<T>) {
        handle.coroutine().unpark();
    }

    fn park() {
        may::coroutine::park();
    }

    fn park_timeout(time: Duration) {
        may::coroutine::park_timeout(time);
    }

    fn rendezvous() -> (Tx, Rx) {
        let ((tx, rx), (done, acknowledged)) = (channel(), channel());
        (Tx(tx, Some(acknowledged)), Rx(rx, Some(done)))
    }

    fn bounded() -> (Tx, Rx) {
        let (tx, rx) = channel();
        (Tx(tx, None), Rx(rx, None))
    }

    fn send(tx: &Tx, value: u64) -> Option<()> {
        tx.0.send(value).ok()?;
        tx.1.as_ref().map_or(Some(()), |acknowledged| acknowledged.recv().ok())
    }

    fn recv(rx: &Rx) -> Option<u64> {
        let value = rx.0.recv().ok()?;
        rx.1.as_ref().map_or(Some(()), |done| done.send(()).ok())?;
        Some(value)
    }
}

/// On so many workers.
pub(crate) fn servant(workers: usize) -> Begin {
    may::config().set_workers(workers);
    Box::new(|request, answers| {
        May::spawn(move || {
            let _ = answers.send(serve::<May>(request));
        });
    })
}
