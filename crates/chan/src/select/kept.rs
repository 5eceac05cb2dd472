// SPDX-License-Identifier: BSD-3-Clause
//! The race of a [`Select`](crate::Select) that is reused: its nodes stay linked.
//!
//! Linking and unlinking an arm take a lock each. A select over hundreds of channels in a loop
//! would pay both for each channel in each round, though only one of them moved. So between two
//! waits the nodes stay linked, and only the claim they lead to becomes idle. A matcher that finds
//! an idle claim unlinks the node by which it came, and goes on.
//!
//! A wait then is:
//!
//! 1. Link the arms that are not linked, unlink those that take no part any more. The claim is
//!    idle; nothing can match.
//! 2. Rearm the claim: set it waiting, then run a sequentially consistent fence.
//! 3. Check every arm, without a lock. If each is still linked and blocked, wait.
//! 4. Otherwise disarm: take the claim back to idle (or find that a matcher has claimed it, and
//!    end), try the arms that are not blocked, and begin again.
//!
//! No event is missed. An operation that becomes possible after step 2 finds the claim waiting. One
//! that became possible before either found an idle claim and unlinked the node, or did so before
//! the fence: step 3 sees the one or the other ([`Claim::rearm`] has the argument).
//!
//! Two kept selects that face each other over a rendezvous channel can, if they move in step,
//! unlink each other's idle nodes for ever. After a few rounds a select links anew, under all
//! locks, as one that is used once does ([`super::race`]).

use std::sync::Arc;

use super::race::{ArmRef, link_under_locks, pass, resolve};
use crate::waiter::{Claim, WaitOutcome, Wake};

/// Rounds before a select links under all locks.
const ROUNDS_MAX: usize = 4;

/// The state of a kept select.
pub(super) struct Kept {
    /// Boxed: nodes lead to it, and the select may move. Shared with a wait that has a token: if
    /// that wait is forgotten and the select dropped, the token still leads to the claim.
    claim: Arc<Claim>,
    /// Some arm may be linked.
    linked: bool,
    /// The claim waits, or was claimed by a matcher.
    waiting: bool,
}

impl Kept {
    pub(super) fn new() -> Self {
        Self { claim: Arc::new(Claim::idle()), linked: false, waiting: false }
    }

    pub(super) fn claim(&self) -> &Arc<Claim> {
        &self.claim
    }

    pub(super) fn is_waiting(&self) -> bool {
        self.waiting
    }

    /// Begins to wait, unless an arm has won. `wake` is made anew for each round.
    pub(super) fn wait(
        &mut self,
        arms: &[ArmRef<'_>],
        biased: bool,
        wake: impl Fn() -> Wake,
    ) -> Option<usize> {
        self.linked = true;
        for _ in 0..ROUNDS_MAX {
            for (case, arm) in (0..).zip(arms) {
                let arm = arm.arm();
                match (arm.is_ready(), arm.is_linked()) {
                    // SAFETY: the claim stays where it is, and every arm is unlinked before it is
                    // dropped.
                    (true, false) => unsafe { arm.link_alone(&raw const *self.claim, case) },
                    // Completed without its node, which is still queued: it must not complete
                    // again.
                    (false, true) => arm.unlink_kept(),
                    _ => {}
                }
            }
            // SAFETY: idle, or matched in an earlier wait and seen to be.
            unsafe { self.claim.rearm(wake()) };
            self.waiting = true;
            if arms.iter().map(ArmRef::arm).all(|arm| !arm.is_ready() || arm.is_blocked()) {
                return None;
            }
            if let Some(outcome) = self.disarm(arms) {
                return Some(resolve(outcome, arms));
            }
            if let Some(arm) = pass(arms, biased) {
                return Some(arm);
            }
        }
        self.wait_under_locks(arms, wake())
    }

    #[cold]
    fn wait_under_locks(&mut self, arms: &[ArmRef<'_>], wake: Wake) -> Option<usize> {
        self.unlink_all(arms);
        self.linked = true;
        let claim = &raw const *self.claim;
        // SAFETY: idle, and no matcher can reach it by a node while every lock is held.
        let won = link_under_locks(arms, claim, || unsafe { (*claim).rearm(wake) });
        self.waiting = won.is_none();
        won
    }

    /// Stops waiting. Some: a matcher was faster. The token was left before.
    pub(super) fn disarm(&mut self, arms: &[ArmRef<'_>]) -> Option<WaitOutcome> {
        // SAFETY: we are the owner.
        if !std::mem::take(&mut self.waiting) || unsafe { self.claim.disarm() } {
            return None;
        }
        if self.claim.outcome().is_none() {
            // A matcher has claimed it and finishes under the lock that it holds, and that the
            // unlinking takes.
            self.unlink_all(arms);
        }
        self.claim.outcome()
    }

    /// Replaces the claim by a new one.
    pub(super) fn renew(&mut self, arms: &[ArmRef<'_>]) {
        self.unlink_all(arms);
        self.claim = Arc::new(Claim::idle());
    }

    /// The wait has ended, and its outcome was seen.
    pub(super) fn ended(&mut self) {
        self.waiting = false;
    }

    /// Unlinks every arm.
    pub(super) fn unlink_all(&mut self, arms: &[ArmRef<'_>]) {
        if std::mem::take(&mut self.linked) {
            arms.iter().for_each(|arm| arm.arm().unlink_kept());
        }
    }
}
