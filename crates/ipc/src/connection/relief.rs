// SPDX-License-Identifier: BSD-3-Clause
//! Work of the driving thread that may take long, and what becomes of the connection if it does.
//!
//! Frames that arrive may stand for code which is not the connection's: calls of a plugin. To hand each to
//! another thread costs more than most of them take, so the driving thread runs them, one after the other and with
//! the lock held, but [lent](super::pending_lock): nothing of the connection is on its stack. If one does not
//! return soon, any thread [relieves](Connection::relieve) it: the I/O thread serves the connection from then on,
//! and the side finds other threads for the work that is left. The relieved thread delivers what it did when it
//! is back, and drives again.
//!
//! ```text
//!   the driving thread      take frames ── work ── work ── work … (stuck) ─────────── finish ── claim ── take …
//!                                                            │                          ▲
//!   another thread                                           └ relieve: unlock, free the claim
//!   the I/O thread                                                └ take frames, send …  (until then)
//! ```
//!
//! # Invariants
//!
//! 1. Work runs while no wake is deferred: what it wakes is woken, whether it returns or not.
//! 2. A side that is not [driven](Side::driven) has no work.
//! 3. While there is work, the driving thread does not sleep.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::task::{Wake, Waker};

use becket_chan::{fence, wakes};
use becket_coro::outside::Source;

use super::{Connection, Side, Work};

impl<S: Side> Connection<S> {
    /// Drives the connection on the calling thread until it has ended. False, at once: another
    /// thread drives it or has been relieved of it, or its link can only be waited for by descriptors.
    pub(crate) fn drive_until_ended(self: &Arc<Self>, work: &mut impl Work<S>) -> bool {
        if self.lends.swap(true, Ordering::Relaxed) {
            return false;
        }
        fence::register();
        let mut drove = false;
        // False after the first time: another thread drives it since this one was relieved.
        while self.ended().is_none() && Source::claim(&**self) {
            drove = true;
            self.locked(|core| core.act(|side, at| side.driven(at, true)));
            let mut futile = 0;
            let mut is_relieved = false;
            while !is_relieved && self.ended().is_none() {
                let mut poll = || self.poll_and_work(work, &mut is_relieved);
                if !self.spin_for_frames(&mut futile, &mut poll) {
                    // What other threads have to send, they send themselves.
                    Source::sleep(&**self, None, &|| false);
                }
            }
            if !is_relieved {
                self.clone().release();
            }
        }
        drove
    }

    /// Takes frames that have arrived, and does the work. False: there was nothing, or the lock is held.
    #[inline]
    fn poll_and_work(self: &Arc<Self>, work: &mut impl Work<S>, is_relieved: &mut bool) -> bool {
        if !self.may_have_news() {
            return false;
        }
        let mut deferral = wakes::defer();
        let Some(mut core) = self.core.try_lock() else { return false };
        let mut any = core.begin_step(&self.woken);
        if core.side.has_work() && deferral.has_wakes() {
            self.unlock(core, deferral);
            deferral = wakes::defer();
            core = self.core.lock();
        }
        while !*is_relieved && core.act(|side, at| work.take(side, at)) {
            any = true;
            drop(deferral);
            (core, *is_relieved) = self.core.lend(core, || work.run());
            deferral = wakes::defer();
            core.act(|side, at| work.finish(side, at));
        }
        let some = core.end_step(any);
        self.unlock_and_recheck(core, deferral);
        some
    }

    /// Frees the connection of a driving thread that is in its work; nothing happens if it is in none.
    fn relieve(self: &Arc<Self>) {
        if !self.core.relieve() {
            return;
        }
        self.claim.release();
        self.with(|side, at| side.driven(at, false));
        self.clone().arm_socket();
    }

    /// A waker that [relieves](Self::relieve) the driving thread.
    pub(crate) fn relief(&self) -> Waker {
        Arc::new(Relief(self.me.clone())).into()
    }
}

struct Relief<S: Side>(Weak<Connection<S>>);

impl<S: Side> Wake for Relief<S> {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if let Some(connection) = self.0.upgrade() {
            connection.relieve();
        }
    }
}
