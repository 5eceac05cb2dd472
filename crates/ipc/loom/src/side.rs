// SPDX-License-Identifier: BSD-3-Clause
//! One side's part of the doorbell, assembled as in `crates/ipc/src/shm/endpoint.rs`.

use std::sync::Arc;

use super::doorbell::{Doorbell, Mode, News, Rung, Ticket, Waiter, Waker};
use super::segment::{OwnSegment, PeerSegment, segment};

/// One side's waiter and waker, which its lock guards.
#[derive(Debug)]
pub(crate) struct Side {
    waiter: Waiter,
    waker: Waker,
    doorbell: Arc<Doorbell>,
}

/// Two sides of one connection.
pub(crate) fn pair() -> (Side, Side) {
    let (one_own, one_peer) = segment();
    let (other_own, other_peer) = segment();
    (Side::new(one_own, other_peer), Side::new(other_own, one_peer))
}

impl Side {
    fn new(own: Arc<OwnSegment>, peer: Arc<PeerSegment>) -> Self {
        Self {
            waiter: Waiter::new(own.clone()),
            waker: Waker::new(own, peer.clone()),
            doorbell: Arc::new(Doorbell::new(peer)),
        }
    }

    pub(crate) fn doorbell(&self) -> &Arc<Doorbell> {
        &self.doorbell
    }

    /// Rings after a publish.
    pub(crate) fn ring(&mut self, news: News) -> Rung {
        self.waker.ring(news).unwrap()
    }

    /// As `Endpoint::arm`: announces a wait, and checks again. True: something has arrived.
    pub(crate) fn arm(
        &mut self,
        mode: Mode,
        wants_room: bool,
        is_ready: impl FnOnce() -> bool,
    ) -> bool {
        self.waiter.arm(mode, wants_room).unwrap();
        let ready = is_ready();
        if ready {
            self.disarm();
        }
        ready
    }

    /// As `Endpoint::prepare_sleep`. `None`: something has arrived.
    pub(crate) fn prepare_sleep(
        &mut self,
        wants_room: bool,
        is_ready: impl FnOnce() -> bool,
    ) -> Option<Ticket> {
        let ticket = self.doorbell.ticket().unwrap();
        (!self.arm(Mode::Futex, wants_room, is_ready)).then_some(ticket)
    }

    pub(crate) fn disarm(&mut self) {
        self.waiter.disarm().unwrap();
    }
}
