// SPDX-License-Identifier: BSD-3-Clause
//! An operation whose result is mapped.

use crate::limit::{Limit, StopReason};
use crate::op::{Action, Driver, Linked, Operation, sealed};
use crate::waiter::{Claim, WaitOutcome, Waiter, Wake};

/// Maps the result of an operation. See [`Operation::map`].
pub trait Map<O> {
    /// The new result.
    type Output;

    /// Called once, when the operation has its result; never if the operation is dropped before.
    fn map(&mut self, output: O) -> Self::Output;
}

/// An action whose result is mapped.
pub struct Mapped<A, M> {
    action: A,
    map: M,
}

impl<A: Action, L: Limit> Operation<A, L> {
    /// The same operation with another result: for the operations of a type that has a channel
    /// inside.
    pub fn map<M: Map<A::Output>>(self, map: M) -> Operation<Mapped<A, M>, L> {
        let (action, limit) = self.into_parts();
        Operation::with(Mapped { action, map }, limit)
    }
}

impl<A: Action, M: Map<A::Output>> Mapped<A, M> {
    #[inline]
    fn mapped(&mut self, output: A::Output) -> M::Output {
        self.map.map(output)
    }
}

#[allow(private_bounds, private_interfaces, reason = "sealed")]
impl<A: Action, M: Map<A::Output>> sealed::Action for Mapped<A, M> {
    type Output = M::Output;
    const SPINS_LINKED: bool = A::SPINS_LINKED;
    const REWAKES: bool = A::REWAKES;

    #[inline]
    fn fast(&mut self, driver: Driver) -> Option<M::Output> {
        let output = self.action.fast(driver)?;
        Some(self.mapped(output))
    }

    #[inline]
    fn slow(&mut self, driver: Driver) -> Option<M::Output> {
        let output = self.action.slow(driver)?;
        Some(self.mapped(output))
    }

    fn spin(&mut self, driver: Driver) -> bool {
        self.action.spin(driver)
    }

    unsafe fn link(
        &mut self,
        waiter: &Waiter,
        shared: bool,
        wake: impl Fn() -> Wake,
    ) -> Linked<M::Output> {
        // SAFETY: the caller's promise.
        match unsafe { self.action.link(waiter, shared, wake) } {
            Linked::Waiting => Linked::Waiting,
            Linked::Again => Linked::Again,
            Linked::Ended(output) => Linked::Ended(self.mapped(output)),
        }
    }

    unsafe fn claim<'w>(&'w self, waiter: &'w Waiter) -> &'w Claim {
        // SAFETY: the caller's promise.
        unsafe { self.action.claim(waiter) }
    }

    unsafe fn unlink(&mut self, waiter: &Waiter) -> Option<WaitOutcome> {
        // SAFETY: the caller's promise.
        unsafe { self.action.unlink(waiter) }
    }

    unsafe fn ended(&mut self, waiter: &Waiter, outcome: WaitOutcome) -> Option<M::Output> {
        // SAFETY: the caller's promise.
        let output = unsafe { self.action.ended(waiter, outcome) }?;
        Some(self.mapped(output))
    }

    unsafe fn rewake(&mut self, waiter: &Waiter, wake: Wake) -> Option<Wake> {
        // SAFETY: the caller's promise.
        unsafe { self.action.rewake(waiter, wake) }
    }

    fn stopped(&mut self, stop: StopReason) -> M::Output {
        let output = self.action.stopped(stop);
        self.mapped(output)
    }

    fn dropped(&mut self, waiter: &Waiter, ended: Option<WaitOutcome>) {
        self.action.dropped(waiter, ended);
    }
}
