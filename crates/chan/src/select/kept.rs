// SPDX-License-Identifier: BSD-3-Clause
//! The race of a [`Select`](crate::Select) that is used again and again: its nodes stay linked.
//!
//! Linking an arm and unlinking it are a lock each. A select over hundreds of channels in a loop
//! would pay both for each channel in each round, though but one of them moved. So between two waits
//! the nodes are left where they are, and only the claim they lead to goes idle. A matcher that comes
//! upon an idle claim unlinks the node by which it came, and goes on.
//!
//! A wait then is:
//!
//! 1. Link the arms that are not linked, unlink those that take no part any more. The claim is idle;
//!    nothing can match.
//! 2. Revive the claim: set it waiting, then a sequentially consistent fence.
//! 3. Look at every arm, without a lock. If each is still linked and has nothing to offer, wait.
//! 4. Otherwise rest: take the claim back to idle (or find that somebody has matched it, and be
//!    done), let the arms that offer something try, and begin again.
//!
//! Nothing is missed. Who offers something after step 2 finds the claim waiting. Who did so before
//! came upon an idle claim and unlinked the node, or made its offer before the fence: step 3 sees the
//! one or the other ([`Claim::revive`] has the argument).
//!
//! Two kept selects that face each other over a rendezvous channel can, if they move in step, unlink
//! each other's idle nodes for ever. After a few rounds a select links anew, under all locks, as one
//! that is used once does ([`super::race`]).

use std::sync::Arc;

use super::race::{ArmRef, link_under_locks, pass};
use crate::waiter::{Claim, Outcome, Wake};

/// Rounds before a select links under all locks.
const ROUNDS_MAX: usize = 4;

/// What a kept select keeps.
pub(super) struct Kept {
    /// Nodes lead to it, and the select may move. Shared with a wait that has a token: should that
    /// wait be forgotten and the select be dropped, the token still leads to the claim.
    claim: Arc<Claim>,
    /// Some node may be linked.
    linked: bool,
    /// The claim waits, or was claimed by a matcher.
    waiting: bool,
}

/// What came of an attempt to wait.
pub(super) enum Wait {
    /// It waits.
    Waiting,
    /// An arm has won.
    Won(usize),
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

    /// Begins to wait. `wake` is made anew for each round.
    pub(super) fn wait(
        &mut self,
        arms: &[ArmRef<'_>],
        biased: bool,
        wake: impl Fn() -> Wake,
    ) -> Wait {
        self.linked = true;
        for _ in 0..ROUNDS_MAX {
            for (case, arm) in (0..).zip(arms) {
                let arm = arm.arm();
                match (arm.is_ready(), arm.is_linked()) {
                    // SAFETY: the claim stays where it is, and every arm is unlinked before it goes.
                    (true, false) => unsafe { arm.link_alone(&raw const *self.claim, case) },
                    // Happened by itself, with its node in line: it must not happen again.
                    (false, true) => arm.part(),
                    _ => {}
                }
            }
            // SAFETY: idle, or matched in an earlier wait and seen to be.
            unsafe { self.claim.revive(wake()) };
            self.waiting = true;
            if arms.iter().map(ArmRef::arm).all(|arm| !arm.is_ready() || arm.rests()) {
                return Wait::Waiting;
            }
            if let Some(outcome) = self.rest(arms) {
                return Wait::Won(settle(outcome, arms));
            }
            if let Some(arm) = pass(arms, biased) {
                return Wait::Won(arm);
            }
        }
        self.wait_under_locks(arms, wake())
    }

    #[cold]
    fn wait_under_locks(&mut self, arms: &[ArmRef<'_>], wake: Wake) -> Wait {
        self.part(arms);
        self.linked = true;
        let claim = &raw const *self.claim;
        // SAFETY: idle, and nobody can come by a node while every lock is held.
        let won = link_under_locks(arms, claim, || unsafe { (*claim).revive(wake) });
        self.waiting = won.is_none();
        won.map_or(Wait::Waiting, Wait::Won)
    }

    /// Stops waiting. Some: a matcher was faster. The token was left before.
    pub(super) fn rest(&mut self, arms: &[ArmRef<'_>]) -> Option<Outcome> {
        // SAFETY: we are the owner.
        if !std::mem::take(&mut self.waiting) || unsafe { self.claim.rest() } {
            return None;
        }
        if self.claim.outcome().is_none() {
            // A matcher has claimed it and finishes under the lock that it holds, and that the
            // unlinking takes.
            self.part(arms);
        }
        self.claim.outcome()
    }

    /// Gives the claim up for a new one.
    pub(super) fn renew(&mut self, arms: &[ArmRef<'_>]) {
        self.part(arms);
        self.claim = Arc::new(Claim::idle());
    }

    /// What a wait has come to.
    pub(super) fn look(&mut self) -> Option<Outcome> {
        let outcome = self.claim.outcome()?;
        self.waiting = false;
        Some(outcome)
    }

    /// Unlinks every arm.
    pub(super) fn part(&mut self, arms: &[ArmRef<'_>]) {
        if std::mem::take(&mut self.linked) {
            arms.iter().for_each(|arm| arm.arm().part());
        }
    }
}

/// Tells the arm of an outcome, and says which it is.
pub(super) fn settle(outcome: Outcome, arms: &[ArmRef<'_>]) -> usize {
    let (case, matched) = match outcome {
        Outcome::Matched(case) => (case as usize, true),
        Outcome::Closed(case) => (case as usize, false),
        Outcome::Cancelled => return usize::MAX,
    };
    if let Some(arm) = arms.get(case).map(ArmRef::arm) {
        if matched { arm.matched() } else { arm.closed() }
    }
    case
}
