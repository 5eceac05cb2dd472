// SPDX-License-Identifier: BSD-3-Clause
//! A look at a channel that does not keep it alive: the channel's own metrics, the newest kept.

use std::time::Duration;

use becket_chan::{Receiver, Snapshot, TryRecvError};
use parking_lot::Mutex;

/// How often a snapshot comes.
pub(super) const PERIOD: Duration = Duration::from_secs(1);

/// The newest snapshot of a channel.
#[derive(Debug)]
pub struct Watch {
    newest: Mutex<Snapshot>,
    metrics: Receiver<Snapshot>,
}

impl Watch {
    pub(super) fn new(first: Snapshot, metrics: Receiver<Snapshot>) -> Self {
        Self { newest: Mutex::new(first), metrics }
    }

    /// The newest; `None` once the channel is gone, or closed and empty.
    pub(super) fn look(&self) -> Option<Snapshot> {
        let mut newest = self.newest.lock();
        loop {
            match self.metrics.try_recv() {
                Ok(snapshot) => *newest = snapshot,
                Err(TryRecvError::Empty) => return Some(newest.clone()),
                Err(_) => return None,
            }
        }
    }
}
