// SPDX-License-Identifier: BSD-3-Clause
//! tokio's `Notify` and tokio-util's cancellation token: wake all waiters.

use std::sync::Arc;

use tokio::sync::Notify;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio_util::sync::CancellationToken;

use super::super::peer::Peer;
use super::super::wake::WakesAll;

impl WakesAll for Arc<Notify> {
    const PEER: Peer = Peer::TokioNotify;

    fn open() -> Self {
        Self::new(Notify::new())
    }

    fn wait(&self) -> impl Future<Output = bool> + Send + 'static {
        let notified = Self::clone(self).notified_owned();
        async move {
            notified.await;
            true
        }
    }

    fn wake(self) {
        self.notify_waiters();
    }
}

impl WakesAll for CancellationToken {
    const PEER: Peer = Peer::TokioUtil;

    fn open() -> Self {
        Self::new()
    }

    fn wait(&self) -> impl Future<Output = bool> + Send + 'static {
        let cancelled = self.clone().cancelled_owned();
        async move {
            cancelled.await;
            true
        }
    }

    fn wake(self) {
        self.cancel();
    }
}

/// A full channel, whose receiver closes it while many want to send.
pub(crate) struct Closing {
    tx: Sender<u64>,
    rx: Receiver<u64>,
}

impl WakesAll for Closing {
    const PEER: Peer = Peer::Tokio;

    fn open() -> Self {
        let (tx, rx) = channel(1);
        // Its one place is taken, so that every other sender waits.
        let _ = tx.try_send(0);
        Self { tx, rx }
    }

    fn wait(&self) -> impl Future<Output = bool> + Send + 'static {
        let tx = self.tx.clone();
        async move { tx.send(1).await.is_err() }
    }

    fn wake(mut self) {
        self.rx.close();
    }
}
