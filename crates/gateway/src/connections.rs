// SPDX-License-Identifier: BSD-3-Clause
//! The connections of one listener: how many there are, how many may be, and how they end.
//!
//! # Invariants
//!
//! 1. A [`Permit`] lives in the socket's own wrapper, so it counts the socket wherever it goes: to
//!    HTTP, or on to a WebSocket.
//! 2. The phase only moves forward. `Held`: connections wait in the kernel's queue. `HandedOver`: another process has the
//!    listener, so no new connection; an old one takes one more request. `Draining`: no new connection, no new
//!    request on an old one. `Cut`: every task of a connection ends at once.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::timeout;

use crate::clients::Seat;

/// How long [`Connections::drain`] waits for cut connections. One poll of each is enough.
const CUT_GRACE: Duration = Duration::from_millis(250);

/// The phase of a listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd)]
pub(crate) enum Phase {
    Held,
    Serving,
    HandedOver,
    Draining,
    Cut,
}

#[derive(Debug)]
pub(crate) struct Connections {
    open: AtomicU32,
    closed: Notify,
    signal: watch::Sender<Signal>,
}

/// The state that every connection's task watches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Signal {
    pub(crate) phase: Phase,
    /// How often [`Connections::refresh`] was called.
    refreshes: u64,
}

impl Connections {
    pub(crate) fn new(phase: Phase) -> Arc<Self> {
        Arc::new(Self {
            open: AtomicU32::new(0),
            closed: Notify::new(),
            signal: watch::Sender::new(Signal { phase, refreshes: 0 }),
        })
    }

    /// One more connection; `None` at the bound.
    pub(crate) fn enter(self: &Arc<Self>, max: u32) -> Option<Permit> {
        let more = |open: u32| (open < max).then_some(open + 1);
        self.open.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).ok()?;
        Some(Permit { connections: Arc::clone(self), _seat: None })
    }

    pub(crate) fn open(&self) -> u32 {
        self.open.load(Ordering::Relaxed)
    }

    pub(crate) fn signal(&self) -> watch::Receiver<Signal> {
        self.signal.subscribe()
    }

    /// Notifies every connection that the table it keeps may be stale.
    pub(crate) fn refresh(&self) {
        self.signal.send_modify(|signal| signal.refreshes += 1);
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.signal.borrow().phase > Phase::Serving
    }

    pub(crate) fn phase(&self) -> Phase {
        self.signal.borrow().phase
    }

    /// Completes when the phase is at least `phase`.
    pub(crate) async fn reached(&self, phase: Phase) {
        // The sender is `self`, so the wait cannot fail.
        let _ = self.signal().wait_for(|now| now.phase >= phase).await;
    }

    /// Completes when some connection ends.
    pub(crate) async fn one_closed(&self) {
        self.closed.notified().await;
    }

    /// Lets connections end by themselves for `within`, then cuts them. Returns how many it cut,
    /// and what `in_flight` returned at that moment.
    ///
    /// With the listener at another process, they may take one more request each.
    pub(crate) async fn drain(
        &self,
        within: Duration,
        in_flight: impl FnOnce() -> u64,
    ) -> (u32, u64) {
        if self.phase() != Phase::HandedOver {
            self.advance(Phase::Draining);
        }
        let cut = match timeout(within, self.all_closed()).await {
            Ok(()) => (0, 0),
            Err(_) => (self.open(), in_flight()),
        };
        self.advance(Phase::Cut);
        // A task that a plugin holds on its thread does not end, and is not waited for.
        let _ = timeout(CUT_GRACE, self.all_closed()).await;
        cut
    }

    /// Cuts every connection, without waiting for its end.
    pub(crate) fn cut(&self) {
        self.advance(Phase::Cut);
    }

    /// Moves on to `phase`, if it is not further already.
    pub(crate) fn advance(&self, phase: Phase) {
        self.signal.send_if_modified(|now| {
            let forward = now.phase < phase;
            if forward {
                now.phase = phase;
            }
            forward
        });
    }

    async fn all_closed(&self) {
        loop {
            // Registered before the check, so that a permit dropped in between is not missed.
            let mut closed = pin!(self.closed.notified());
            closed.as_mut().enable();
            if self.open() == 0 {
                return;
            }
            closed.await;
        }
    }
}

/// One open connection; dropping it ends the count.
#[derive(Debug)]
pub(crate) struct Permit {
    connections: Arc<Connections>,
    /// Its place among those of its client.
    _seat: Option<Seat>,
}

impl Permit {
    pub(crate) fn with(self, seat: Option<Seat>) -> Self {
        let mut permit = self;
        permit._seat = seat;
        permit
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.connections.open.fetch_sub(1, Ordering::Relaxed);
        self.connections.closed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_drain_waits_for_the_last_and_counts_what_it_cut() {
        let connections = Connections::new(Phase::Serving);
        let first = connections.enter(2).unwrap();
        let second = connections.enter(2).unwrap();
        assert!(connections.enter(2).is_none());
        let cut = {
            let connections = Arc::clone(&connections);
            async move {
                connections.reached(Phase::Cut).await;
                drop(second);
            }
        };
        drop(first);
        let (drained, ()) = tokio::join!(connections.drain(Duration::from_millis(1), || 7), cut);
        assert_eq!(drained, (1, 7));
        assert!(connections.is_draining());
    }
}
