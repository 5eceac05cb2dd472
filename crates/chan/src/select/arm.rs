// SPDX-License-Identifier: BSD-3-Clause
//! One operation of a select.

use std::cell::{Cell, UnsafeCell};
use std::marker::{PhantomData, PhantomPinned};
use std::mem::MaybeUninit;
use std::pin::Pin;

use crate::channel::{Cause, Channel, Tried};
use crate::direction::Direction;
use crate::gate::{After, Locked};
use crate::limit::Free;
use crate::lock::RawLock;
use crate::op::Operation;
use crate::waiter::{Claim, Node, Wakes};

use super::race::ArmRef;

/// An operation as an arm of a select. Made by `select!` and by
/// [`Select`](crate::Select); its methods are theirs.
#[doc(hidden)]
pub struct Arm<'a, T, D: Direction> {
    channel: &'a Channel<T>,
    stage: Cell<Stage>,
    /// A send's value until it is sent; where a receive's is put.
    slot: UnsafeCell<MaybeUninit<T>>,
    /// Initialised when it is first linked.
    node: UnsafeCell<MaybeUninit<Node>>,
    /// The node of a kept select's arm was made.
    made: Cell<bool>,
    /// What a send's value weighs, which must not be asked under the lock.
    weight: Cell<u64>,
    /// What is left to do once the locks are free; there hardly ever is anything.
    lost: Cell<Vec<T>>,
    again: Cell<bool>,
    direction: PhantomData<D>,
    _pinned: PhantomPinned,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Its operation may happen: a send's slot holds its value.
    Ready,
    /// Its operation happened: a receive's slot holds a value, as hand-over number so and so, or 0
    /// if it was not handed over but taken.
    Done(u64),
    /// Its channel is closed: a send's slot holds its value.
    Closed,
    /// Nothing is in the slot, and it takes no part.
    Spent,
}

// SAFETY: it holds a value of `T` or a place for one; the node is touched by others under a lock.
unsafe impl<T: Send, D: Direction> Send for Arm<'_, T, D> {}

/// An arm, as a race sees it.
///
/// The race that has it has it alone: it is made from an exclusive borrow.
pub(super) trait Race {
    fn raw(&self) -> &RawLock;
    /// Whether it takes part.
    fn is_ready(&self) -> bool;
    /// Whether a look without the lock says that it could happen, or cannot tell.
    fn may(&self) -> bool;
    /// Makes it happen if that needs no waiting.
    fn attempt(&self) -> Tried;
    /// As [`Self::attempt`].
    ///
    /// # Safety
    ///
    /// The channel's lock is held. [`Self::follow`] is called once it is free.
    unsafe fn attempt_held(&self, wakes: &mut Wakes) -> Locked;
    /// Links it as case number `case` of `claim`.
    ///
    /// # Safety
    ///
    /// The channel's lock is held since an attempt that said blocked or busy. The claim stays where
    /// it is until the arm is unlinked.
    unsafe fn link_held(&self, claim: *const Claim, case: u32);
    /// Looks again after a heavy fence, where the attempt said busy.
    ///
    /// # Safety
    ///
    /// The channel's lock is held.
    unsafe fn settle_held(&self, wakes: &mut Wakes);
    /// Takes it out of the line, if it is there.
    ///
    /// # Safety
    ///
    /// It was linked.
    unsafe fn unlink(&self);
    /// Links it as case number `case` of an idle claim, if it is not linked.
    ///
    /// # Safety
    ///
    /// The claim stays where it is until the arm is unlinked, and is the same each time.
    unsafe fn link_alone(&self, claim: *const Claim, case: u32);
    /// Whether it is in line.
    fn is_linked(&self) -> bool;
    /// Whether it is in line and, as far as a look without the lock tells, could not happen.
    fn rests(&self) -> bool;
    /// Takes the arm of a kept select out of the line.
    fn part(&self);
    /// The race says that its operation happened, by way of its node.
    fn matched(&self);
    /// The race says that its channel is closed.
    fn closed(&self);
    /// Does what is left to do once the locks are free.
    fn follow(&self);
}

impl<'a, T, D: Direction> Arm<'a, T, D> {
    #[doc(hidden)]
    pub fn new(operation: Operation<'a, T, D, Free>) -> Self {
        let (channel, slot) = operation.into_parts();
        // SAFETY: a send that was not driven holds its value.
        let weight = unsafe { D::weigh(channel, slot.as_ptr()) };
        Self {
            made: Cell::new(false),
            weight: Cell::new(weight),
            channel,
            stage: Cell::new(Stage::Ready),
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

    fn node(&self) -> *const Node {
        self.node.get().cast()
    }

    /// Itself, for a race.
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

    pub(super) fn take_shared(&self) -> Option<D::Output<T>> {
        match self.stage.replace(Stage::Spent) {
            // SAFETY: it happened, and its slot is taken once.
            Stage::Done(_) => Some(unsafe { D::done(self.channel, self.slot()) }),
            // SAFETY: it did not happen, and its slot is taken once.
            Stage::Closed => Some(unsafe { D::failed(self.channel, self.slot(), Cause::Closed) }),
            stage => {
                self.stage.set(stage);
                None
            }
        }
    }

    /// # Safety
    ///
    /// The node is in no list.
    unsafe fn make_node(&self, claim: *const Claim, case: u32) {
        let node = self.node.get().cast::<Node>();
        // SAFETY: the caller's promise.
        unsafe {
            node.write(Node::new(claim, case, self.slot().cast()));
            (*node).set_turn(self.weight.get());
        }
        self.made.set(true);
    }

    fn defer(&self, mut after: After<T>, wakes: &mut Wakes) {
        wakes.append(&mut after.wakes);
        if let Some(value) = after.undelivered.take() {
            let mut lost = self.lost.take();
            lost.push(value);
            lost.append(&mut after.undelivered_more);
            self.lost.set(lost);
        }
        self.again.set(after.again || self.again.get());
    }

    /// Takes part again.
    pub(super) fn renew(&self, slot: MaybeUninit<T>) {
        self.clear();
        // SAFETY: the arm is in no line or its claim is idle, and its slot is empty.
        unsafe {
            *self.slot.get() = slot;
            self.weight.set(D::weigh(self.channel, self.slot()));
        }
        self.stage.set(Stage::Ready);
    }

    /// What happened was not asked for: a received value goes back, and the arm takes part again
    /// if it can.
    pub(super) fn unasked(&self) {
        match self.stage.get() {
            // SAFETY: the arm is in no race; a value that was handed over and not taken goes back.
            Stage::Done(turn) => unsafe {
                D::dropped(self.channel, self.slot(), true, turn);
                self.stage.set(if D::REPEATS { Stage::Ready } else { Stage::Spent });
            },
            Stage::Closed => self.stage.set(Stage::Ready),
            Stage::Ready | Stage::Spent => {}
        }
    }

    /// Empties the slot and takes no part.
    pub(super) fn clear(&self) {
        match self.stage.replace(Stage::Spent) {
            // SAFETY: the arm is in no race; the stage says what is in the slot.
            Stage::Ready | Stage::Closed => unsafe {
                D::dropped(self.channel, self.slot(), false, 0);
            },
            // SAFETY: as above; a value that was handed over and not taken goes back.
            Stage::Done(turn) => unsafe { D::dropped(self.channel, self.slot(), true, turn) },
            Stage::Spent => {}
        }
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
    fn may(&self) -> bool {
        D::may(self.channel)
    }

    #[inline]
    fn attempt(&self) -> Tried {
        // SAFETY: in no line, so that the slot is ours; a send's holds its value.
        let tried = unsafe { D::attempt(self.channel, self.slot()) };
        match tried {
            Tried::Done => self.stage.set(Stage::Done(0)),
            Tried::Closed => self.stage.set(Stage::Closed),
            Tried::Blocked => {}
        }
        tried
    }

    unsafe fn attempt_held(&self, wakes: &mut Wakes) -> Locked {
        // Only once the ring is slow does a look tell, and nobody changes what it told.
        // SAFETY: the caller holds the lock.
        unsafe { self.channel.enter_held() };
        if !self.may() {
            return Locked::Blocked;
        }
        // SAFETY: the caller holds the lock; the slot is ours.
        let (locked, after) = unsafe { D::attempt_held(self.channel, self.slot()) };
        self.defer(after, wakes);
        match locked {
            Locked::Done => {
                D::happened(self.channel, self.weight.get());
                self.stage.set(Stage::Done(0));
            }
            Locked::Closed => self.stage.set(Stage::Closed),
            Locked::Blocked | Locked::Busy => {}
        }
        locked
    }

    unsafe fn link_held(&self, claim: *const Claim, case: u32) {
        // SAFETY: the caller's promise; the arm is pinned and unlinked before it goes.
        unsafe {
            self.make_node(claim, case);
            D::link_held(self.channel, self.node());
        }
    }

    unsafe fn settle_held(&self, wakes: &mut Wakes) {
        // SAFETY: the caller's promise.
        let after = unsafe { self.channel.settle_held() };
        self.defer(after, wakes);
    }

    unsafe fn link_alone(&self, claim: *const Claim, case: u32) {
        // SAFETY: the caller's promise. A node that was made stays the same: it may be linked.
        unsafe {
            if !self.made.get() {
                self.make_node(claim, case);
            }
            (*self.node()).set_turn(self.weight.get());
            D::link_alone(self.channel, self.node());
        }
    }

    #[inline]
    fn is_linked(&self) -> bool {
        // SAFETY: made, so initialised.
        self.made.get() && unsafe { (*self.node()).is_linked() }
    }

    #[inline]
    fn rests(&self) -> bool {
        self.is_linked() && !self.may()
    }

    fn part(&self) {
        if self.made.replace(false) {
            // SAFETY: the node was made, and linked here or nowhere.
            unsafe { D::unqueue(self.channel, self.node()) };
        }
    }

    unsafe fn unlink(&self) {
        // SAFETY: the caller's promise.
        unsafe { D::unqueue(self.channel, self.node()) };
    }

    fn matched(&self) {
        // SAFETY: it was linked, and is not any more.
        let node = unsafe { &*self.node() };
        D::matched(self.channel, node);
        self.stage.set(Stage::Done(node.turn()));
    }

    fn closed(&self) {
        self.stage.set(Stage::Closed);
    }

    fn follow(&self) {
        for value in self.lost.take() {
            self.channel.lose(value);
        }
        if self.again.take() {
            self.channel.settle();
        }
    }
}
