// SPDX-License-Identifier: BSD-3-Clause
//! One operation of a select.

use std::cell::{Cell, UnsafeCell};
use std::marker::{PhantomData, PhantomPinned};
use std::mem::MaybeUninit;
use std::pin::Pin;

use crate::channel::{Channel, FailureCause, Outcome};
use crate::core::{DeferredEffects, LockedOutcome};
use crate::lock::RawLock;
use crate::op::Operation;
use crate::transfer::{Direction, Transfer};
use crate::waiter::{Claim, Node, PendingWakes, Sequence};

use super::race::ArmRef;
use super::scan::ReadyCheck;

/// An operation as an arm of a select. Made by `select!` and by [`Select`](crate::Select); its
/// methods are for them.
#[doc(hidden)]
pub struct Arm<'a, T, D: Direction> {
    channel: &'a Channel<T>,
    stage: Cell<Stage>,
    /// When the value of a completed receive left the channel.
    left: Cell<Sequence>,
    /// A send's value until it is sent; the place for a receive's value.
    slot: UnsafeCell<MaybeUninit<T>>,
    /// Initialised when the arm is first linked.
    node: UnsafeCell<MaybeUninit<Node>>,
    /// `node` is initialised, and a kept select may have it linked.
    made: Cell<bool>,
    /// The weight of a send's value in bytes, computed beforehand: it is user code, which must not
    /// run under the lock.
    weight: Cell<u64>,
    /// Undelivered values, for the hook once the locks are free; rarely any.
    lost: Cell<Vec<T>>,
    /// Rebalance once the locks are free.
    again: Cell<bool>,
    direction: PhantomData<D>,
    _pinned: PhantomPinned,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// The operation may complete: a send's slot holds its value.
    Ready,
    /// The operation completed: a receive's slot holds a value.
    Done,
    /// The channel is closed: a send's slot holds its value.
    Closed,
    /// The slot is empty, and the arm takes no part.
    Spent,
}

// SAFETY: it holds a value of `T` or a place for one; other threads touch the node under a lock.
unsafe impl<T: Send, D: Direction> Send for Arm<'_, T, D> {}

/// An arm, as a race uses it.
///
/// A race has exclusive use of its arms: each is made from an exclusive borrow.
pub(super) trait Race {
    fn raw(&self) -> &RawLock;
    /// Whether the arm takes part.
    fn is_ready(&self) -> bool;
    /// Completes the operation without waiting, if the arm takes part and that is possible. True:
    /// the arm has a result. One call through the table of the arm's type, whatever comes of it.
    fn attempt(&self) -> bool;
    /// As [`Self::attempt`], for an arm that was found to be ready a moment ago.
    fn attempt_ready(&self) -> bool;
    /// Completes the operation without waiting, if possible.
    ///
    /// # Safety
    ///
    /// The channel's lock is held. [`Self::follow`] is called once it is free.
    unsafe fn attempt_held(&self, wakes: &mut PendingWakes) -> LockedOutcome;
    /// Links the arm as case number `case` of `claim`.
    ///
    /// # Safety
    ///
    /// The channel's lock is held since an attempt that returned blocked or busy. The claim stays
    /// where it is until the arm is unlinked.
    unsafe fn link_held(&self, claim: *const Claim, case: u32);
    /// Rebalances after a heavy fence, where the attempt returned busy.
    ///
    /// # Safety
    ///
    /// The channel's lock is held.
    unsafe fn rebalance_held(&self, wakes: &mut PendingWakes);
    /// Removes the arm from the wait queue, if it is there.
    ///
    /// # Safety
    ///
    /// It was linked.
    unsafe fn unlink(&self);
    /// Links the arm as case number `case` of an idle claim, if it is not linked.
    ///
    /// # Safety
    ///
    /// The claim stays where it is until the arm is unlinked, and is the same each time.
    unsafe fn link_alone(&self, claim: *const Claim, case: u32);
    /// Whether the arm is in the wait queue.
    fn is_linked(&self) -> bool;
    /// Whether the arm is in the wait queue and, by a check without the lock, cannot complete.
    fn is_blocked(&self) -> bool;
    /// Removes the arm of a kept select from the wait queue.
    fn unlink_kept(&self);
    /// Records that the operation completed through its node.
    fn matched(&self);
    /// Records that the channel is closed.
    fn closed(&self);
    /// Processes the deferred effects once the locks are free.
    fn follow(&self);
    /// Ends a round: a received value that was not taken is requeued, and the arm takes part again if
    /// it can.
    fn unasked(&self);
    /// Empties the slot; the arm takes no part any more.
    fn clear(&self);
}

impl<'a, T, D: Direction> Arm<'a, T, D> {
    #[doc(hidden)]
    pub fn new(operation: Operation<Transfer<'a, T, D>>) -> Self {
        let (channel, slot) = operation.into_parts().0.into_parts();
        // SAFETY: a send that was not driven holds its value.
        let weight = unsafe { channel.weigh::<D>(slot.as_ptr()) };
        Self {
            made: Cell::new(false),
            weight: Cell::new(weight),
            channel,
            stage: Cell::new(Stage::Ready),
            left: Cell::new(Sequence::default()),
            slot: UnsafeCell::new(slot),
            node: UnsafeCell::new(MaybeUninit::uninit()),
            lost: Cell::new(Vec::new()),
            again: Cell::new(false),
            direction: PhantomData,
            _pinned: PhantomPinned,
        }
    }

    #[inline]
    fn slot(&self) -> *mut T {
        self.slot.get().cast()
    }

    /// Whether the operation could complete, by a check without the lock that may be too
    /// optimistic.
    #[inline]
    fn may(&self) -> bool {
        self.channel.may::<D>()
    }

    fn node(&self) -> *const Node {
        self.node.get().cast()
    }

    /// A check of its readiness, if there is one.
    pub(super) fn check(&self) -> Option<ReadyCheck<'a>> {
        ReadyCheck::new::<T, D>(self.channel)
    }

    /// The arm, for a race.
    #[doc(hidden)]
    pub fn arm(self: Pin<&mut Self>) -> ArmRef<'_>
    where
        T: Send,
    {
        // SAFETY: the arm is borrowed exclusively for as long as the reference, and may be sent.
        unsafe { ArmRef::new(self.into_ref().get_ref()) }
    }

    #[doc(hidden)]
    #[inline]
    pub fn take(self: Pin<&mut Self>) -> Option<D::Output<T>> {
        self.take_shared()
    }

    /// The result, if there is one. A receive takes part again, a send when it is renewed.
    #[inline]
    pub(super) fn take_shared(&self) -> Option<D::Output<T>> {
        let stage = self.stage.get();
        if !matches!(stage, Stage::Done | Stage::Closed) {
            return None;
        }
        // Before user code: the weight of a received value may panic.
        self.stage.set(if D::SENDS { Stage::Spent } else { Stage::Ready });
        // SAFETY: it completed, or did not, as the stage said; its slot is taken once.
        Some(unsafe {
            match stage {
                Stage::Done => D::done(self.channel, self.slot()),
                _ => D::failed(self.channel, self.slot(), FailureCause::Closed),
            }
        })
    }

    /// # Safety
    ///
    /// The node is in no queue.
    unsafe fn make_node(&self, claim: *const Claim, case: u32) {
        let node = self.node.get().cast::<Node>();
        // SAFETY: the caller's promise.
        unsafe {
            node.write(Node::new(claim, case, self.slot().cast()));
            (*node).set_weight(self.weight.get());
        }
        self.made.set(true);
    }

    fn defer(&self, mut effects: DeferredEffects<T>, wakes: &mut PendingWakes) {
        wakes.append(&mut effects.wakes);
        if let Some(value) = effects.undelivered.take() {
            let mut lost = self.lost.take();
            lost.push(value);
            lost.append(&mut effects.undelivered_more);
            self.lost.set(lost);
        }
        self.again.set(effects.again || self.again.get());
    }

    /// Takes part again, with a new value.
    pub(super) fn renew(&self, slot: MaybeUninit<T>) {
        self.clear();
        // SAFETY: the arm is in no queue or its claim is idle, and its slot is empty.
        unsafe {
            *self.slot.get() = slot;
            self.weight.set(self.channel.weigh::<D>(self.slot()));
        }
        self.stage.set(Stage::Ready);
    }
}

impl<T, D: Direction> Drop for Arm<'_, T, D> {
    fn drop(&mut self) {
        self.clear();
    }
}

impl<T, D: Direction> Race for Arm<'_, T, D> {
    fn raw(&self) -> &RawLock {
        self.channel.raw()
    }

    #[inline]
    fn is_ready(&self) -> bool {
        self.stage.get() == Stage::Ready
    }

    #[inline]
    fn attempt(&self) -> bool {
        self.may() && self.attempt_ready()
    }

    #[inline]
    fn attempt_ready(&self) -> bool {
        if !self.is_ready() {
            return false;
        }
        // SAFETY: in no queue, so the slot is ours; a send's holds its value.
        match unsafe { D::attempt(self.channel, self.slot(), &self.left) } {
            Outcome::Done => self.stage.set(Stage::Done),
            Outcome::Closed => self.stage.set(Stage::Closed),
            Outcome::Blocked => return false,
        }
        true
    }

    unsafe fn attempt_held(&self, wakes: &mut PendingWakes) -> LockedOutcome {
        // The hint is exact only while the ring is slow, and then only under the lock.
        // SAFETY: the caller holds the lock.
        unsafe { self.channel.enter_held() };
        if !self.may() {
            return LockedOutcome::Blocked;
        }
        // SAFETY: the caller holds the lock; the slot is ours.
        let (locked, effects) = unsafe { self.channel.attempt_held::<D>(self.slot(), &self.left) };
        self.defer(effects, wakes);
        match locked {
            LockedOutcome::Done => {
                self.channel.count_matched::<D>(self.weight.get());
                self.stage.set(Stage::Done);
            }
            LockedOutcome::Closed => self.stage.set(Stage::Closed),
            LockedOutcome::Blocked | LockedOutcome::Busy => {}
        }
        locked
    }

    unsafe fn link_held(&self, claim: *const Claim, case: u32) {
        // SAFETY: the caller's promise; the arm is pinned and unlinked before it is dropped.
        unsafe {
            self.make_node(claim, case);
            self.channel.link_held::<D>(self.node());
        }
    }

    unsafe fn rebalance_held(&self, wakes: &mut PendingWakes) {
        // SAFETY: the caller's promise.
        let effects = unsafe { self.channel.rebalance_held() };
        self.defer(effects, wakes);
    }

    unsafe fn link_alone(&self, claim: *const Claim, case: u32) {
        // SAFETY: the caller's promise. A node that was made stays the same: it may be linked.
        unsafe {
            if !self.made.get() {
                self.make_node(claim, case);
            }
            (*self.node()).set_weight(self.weight.get());
            self.channel.link_alone::<D>(self.node());
        }
    }

    #[inline]
    fn is_linked(&self) -> bool {
        // SAFETY: made, so initialised.
        self.made.get() && unsafe { (*self.node()).is_linked() }
    }

    #[inline]
    fn is_blocked(&self) -> bool {
        self.is_linked() && !self.may()
    }

    fn unlink_kept(&self) {
        if self.made.replace(false) {
            // SAFETY: the node was made, and linked here or nowhere.
            unsafe { self.channel.unqueue::<D>(self.node()) };
        }
    }

    unsafe fn unlink(&self) {
        // SAFETY: the caller's promise.
        unsafe { self.channel.unqueue::<D>(self.node()) };
    }

    fn matched(&self) {
        // SAFETY: it was linked, and is not any more.
        let node = unsafe { &*self.node() };
        self.channel.count_matched::<D>(node.weight());
        self.left.set(node.sequence());
        self.stage.set(Stage::Done);
    }

    fn closed(&self) {
        self.stage.set(Stage::Closed);
    }

    fn follow(&self) {
        for value in self.lost.take() {
            self.channel.discard(value);
        }
        if self.again.take() {
            self.channel.rebalance();
        }
    }

    fn unasked(&self) {
        match self.stage.get() {
            // SAFETY: the arm is in no race; a value that was handed off and not taken is requeued.
            Stage::Done => unsafe {
                D::dropped(self.channel, self.slot(), true, self.left.get());
                self.stage.set(if D::SENDS { Stage::Spent } else { Stage::Ready });
            },
            Stage::Closed => self.stage.set(Stage::Ready),
            Stage::Ready | Stage::Spent => {}
        }
    }

    fn clear(&self) {
        match self.stage.replace(Stage::Spent) {
            // SAFETY: the arm is in no race; the stage says what is in the slot.
            Stage::Ready | Stage::Closed => unsafe {
                D::dropped(self.channel, self.slot(), false, self.left.get());
            },
            // SAFETY: as above; a value that was handed off and not taken is requeued.
            Stage::Done => unsafe { D::dropped(self.channel, self.slot(), true, self.left.get()) },
            Stage::Spent => {}
        }
    }
}
