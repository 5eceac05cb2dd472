// SPDX-License-Identifier: BSD-3-Clause
//! One slot behind a lock: the usual code in place of a conflated channel.

use std::sync::Arc;

use parking_lot::Mutex;

use super::super::channel::Refused;
use super::super::conflated::Slot;
use super::super::peer::Peer;

/// Both handles of the slot.
pub(crate) struct Guarded {
    tx: Arc<Mutex<Option<u64>>>,
    rx: Arc<Mutex<Option<u64>>>,
}

impl Slot for Guarded {
    const PEER: Peer = Peer::Mutex;

    fn open() -> Self {
        let tx = Arc::new(Mutex::new(None));
        Self { rx: Arc::clone(&tx), tx }
    }

    fn replace(&mut self, value: u64) -> Result<(), Refused> {
        *self.tx.lock() = Some(value);
        Ok(())
    }

    fn take(&mut self) -> Result<u64, Refused> {
        self.rx.lock().take().ok_or(Refused)
    }
}
