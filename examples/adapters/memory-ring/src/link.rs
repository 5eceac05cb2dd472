// SPDX-License-Identifier: BSD-3-Clause
//! The backend's part of a channel: the ring, and the operations that wait for it.
//!
//! # Waiting
//!
//! Two events, channels of capacity 1: `writable` is set when a send can succeed, `readable` when a
//! receive can. An operation tries; if that would block, it waits for its event, within its limits,
//! and tries again. The channel parks tasks, threads and coroutines, and an operation that is
//! dropped has received nothing.
//!
//! An event wakes one waiter, and two that are set together may merge into one: therefore **an
//! operation that succeeds, and sees that another one could, sets the event again**. A waiter that
//! was woken and finds nothing, because another operation was faster, waits again.
//!
//! # Ownership
//!
//! A descriptor is [launched](InFlight::launch) before it is pushed: its region stays until it has
//! arrived. If it is not pushed, it is landed again, and is the producer's as before.

use std::sync::Arc;

use becket_chan::{Receiver, RecvError, Sender, bounded};
use becket_zcopy::{Carrier, Desc, Error, Failure, InFlight, Limits, Link, Pending};
use parking_lot::Mutex;

use crate::Options;
use crate::ring::{Left, Refused, Ring};

pub(crate) struct RingLink {
    carrier: Arc<dyn Carrier>,
    ring: Mutex<Ring<InFlight>>,
    writable: Event,
    readable: Event,
    bytes_max: usize,
}

impl RingLink {
    pub(crate) fn new(carrier: Arc<dyn Carrier>, window: usize, options: Options) -> Self {
        let Options { bytes_max, grant } = options;
        let ring = Mutex::new(Ring::new(window, grant));
        Self { carrier, ring, writable: Event::new(), readable: Event::new(), bytes_max }
    }

    /// Wakes the next operation that can succeed.
    fn notify(&self, left: Left) {
        if left.room {
            self.writable.set();
        }
        if left.filled {
            self.readable.set();
        }
    }
}

// ANCHOR: link
impl Link for RingLink {
    fn try_send(&self, desc: Desc) -> Result<(), Failure> {
        if desc.len > self.bytes_max {
            return Err(Error::TooLong { len: desc.len, max: self.bytes_max }.into());
        }
        let flight = InFlight::launch(desc)?;
        let pushed = self.ring.lock().push(flight);
        match pushed {
            Ok(left) => {
                self.notify(left);
                Ok(())
            }
            Err((refused, flight)) => {
                // Not sent: it belongs to the producer again, with the reference that it carries.
                let _theirs = flight.land();
                Err(refused.into())
            }
        }
    }

    fn try_recv(&self) -> Result<Desc, Failure> {
        let (flight, left) = self.ring.lock().pop()?;
        self.notify(left);
        Ok(flight.land())
    }

    fn send<'a>(&'a self, desc: Desc, limits: Limits<'a>) -> Pending<'a, ()> {
        // The timeout starts here, once for all waits.
        let limits = limits.from_now();
        Box::pin(async move {
            loop {
                match self.try_send(desc) {
                    Err(Failure::WouldBlock) => self.writable.wait(limits).await?,
                    answer => return answer,
                }
            }
        })
    }

    fn recv<'a>(&'a self, limits: Limits<'a>) -> Pending<'a, Desc> {
        let limits = limits.from_now();
        Box::pin(async move {
            loop {
                match self.try_recv() {
                    Err(Failure::WouldBlock) => self.readable.wait(limits).await?,
                    answer => return answer,
                }
            }
        })
    }

    fn in_flight(&self) -> usize {
        self.ring.lock().len()
    }

    fn close(&self) {
        // First the ring, then the events: a waiter that is woken by the close tries again, and
        // sees the closed ring.
        self.ring.lock().close();
        self.writable.close();
        self.readable.close();
    }

    fn detach(&self) {
        while let Ok(desc) = self.try_recv() {
            self.carrier.undelivered(desc);
        }
    }
}
// ANCHOR_END: link

impl From<Refused> for Failure {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::WouldBlock => Self::WouldBlock,
            Refused::Closed => Self::Closed,
        }
    }
}

/// Wakes one waiter, or the next one.
struct Event {
    sets: Sender<()>,
    waits: Receiver<()>,
}

impl Event {
    fn new() -> Self {
        let (sets, waits) = bounded(1);
        Self { sets, waits }
    }

    fn set(&self) {
        // Full: it is set already, and the operation that it wakes sets it again.
        let _is_set = self.sets.try_send(());
    }

    /// Waits until it is set or closed; the caller's next attempt shows which.
    async fn wait(&self, limits: Limits<'_>) -> Result<(), Failure> {
        match limits.drive(self.waits.recv()).await {
            Ok(()) | Err(RecvError::Closed) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    fn close(&self) {
        self.sets.close();
    }
}
