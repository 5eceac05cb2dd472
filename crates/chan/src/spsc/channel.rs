// SPDX-License-Identifier: BSD-3-Clause
//! What the two handles share: the ring, who waits, and how it ends.
//!
//! # Waiting
//!
//! There is at most one waiter a side. It links its node under the lock, as a waiter of any channel
//! does; but nothing is handed to it: woken means look again.
//!
//! ```text
//!   receiver about to wait                       sender, after each value
//!     lock, link the node, waits = 1               tail = position          (a plain store)
//!     raise the sender's alert, unlock             light fence              (no instruction)
//!     heavy fence                                  alert? ── no ──▶ done
//!     look at the tail again                         │ yes
//!     sleep                                          ▼
//!                                                  full fence; waits? ──▶ lock, wake
//! ```
//!
//! The heavy fence is a call into the kernel, so it is paid once and not for each wait: the alert
//! stays up when the waiter is woken, and while it is up both sides run ordinary fences. A receiver
//! that has found values for a while without waiting takes the alert back. A sender that waits for
//! room does the same, with the roles exchanged.
//!
//! # Closing
//!
//! `last` is the position up to which values are received. A sender that closes sets it to its own
//! position. A receiver that closes sets CLOSED in the sender's alert, runs the heavy fence and
//! then reads the tail: a send that published later sees CLOSED, compares under the lock, and takes
//! its value back if it is beyond `last`. The receiver never looks there.
//!
//! # Invariants
//!
//! 1. Alerts, `waits` that go up, `last` and the lists change under the lock.
//! 2. Who publishes behind a waiter's fence sees its alert; who published before it is seen by the
//!    waiter's second look.
//! 3. `last` is set once. Nothing beyond it is received or counted.
//! 4. No code of the user's runs under the lock.

use std::collections::VecDeque;
use std::mem;
use std::time::Instant;

use crossbeam_utils::CachePadded;

use super::ring::{Cursor, Ring};
use crate::channel::{Cause, Queued, Undelivered, Weigh};
use crate::counters::{FailureCounters, Snapshot};
use crate::gate::Kind;
use crate::handle::Reason;
use crate::lock::{Guard, Lock};
use crate::sync::{AtomicU32, AtomicU64, Ordering, fence, heavy, light};
use crate::waiter::{List, Node, Wakes, contain};

/// Set in a side's alert while the other side may wait.
const WAITS: u32 = 1;
/// Set in the sender's alert when the channel is closed.
const CLOSED: u32 = 2;
/// Set in the receiver's alert if its values are weighed.
const WEIGHED: u32 = 4;
/// Values moved without a wait after which a side takes back the other's alert.
const CALM: u64 = if cfg!(feature = "loom") { 1 } else { 64 };

/// One of the two sides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Sender,
    Receiver,
}

pub(super) struct Channel<T> {
    pub(super) ring: Ring<T>,
    undelivered: Option<Undelivered<T>>,
    weigh: Option<Weigh<T>>,
    /// What a side looks at after each value.
    sender_alert: AtomicU32,
    receiver_alert: AtomicU32,
    last: AtomicU64,
    rare: CachePadded<Rare>,
}

/// What is written now and then, apart from what is read all the time.
struct Rare {
    sender_waits: AtomicU32,
    receiver_waits: AtomicU32,
    gate: Lock<Gate>,
    high_water: AtomicU64,
    send_failures: FailureCounters,
    receive_failures: FailureCounters,
    bytes_sent: AtomicU64,
    bytes_received: AtomicU64,
}

#[derive(Debug)]
struct Gate {
    sender: List,
    receiver: List,
    reason: Option<Reason>,
    abandoned: bool,
}

/// How one side stands: its place in the ring, and what it keeps for itself.
#[derive(Debug)]
pub(super) struct Stand {
    pub(super) cursor: Cursor,
    /// The other side's alert is up.
    raised: bool,
    /// Our position at the last wait.
    waited: u64,
    /// See [`Self::pause`].
    pause: u32,
}

impl Stand {
    const PAUSE_MIN: u32 = 4;
    const PAUSE_MAX: u32 = 2048;

    /// How long a thread that found nothing looks away before it looks again: while it looks, it
    /// takes the other side's cache line away for each value. Doubled while that brings several
    /// values at once, halved when it brings one or none.
    pub(super) fn pause(&self) -> u32 {
        self.pause
    }

    pub(super) fn paused(&mut self, values: u64) {
        self.pause = match values {
            0 | 1 => (self.pause / 2).max(Self::PAUSE_MIN),
            2..256 => (self.pause * 2).min(Self::PAUSE_MAX),
            _ => self.pause,
        };
    }
}

impl<T> Channel<T> {
    pub(super) fn new(
        capacity: usize,
        undelivered: Option<Undelivered<T>>,
        weigh: Option<Weigh<T>>,
    ) -> Self {
        #[cfg(not(feature = "loom"))]
        crate::fence::register();
        let gate =
            Gate { sender: List::new(), receiver: List::new(), reason: None, abandoned: false };
        Self {
            ring: Ring::new(capacity),
            undelivered,
            sender_alert: AtomicU32::new(0),
            receiver_alert: AtomicU32::new(if weigh.is_some() { WEIGHED } else { 0 }),
            weigh,
            last: AtomicU64::new(u64::MAX),
            rare: CachePadded::new(Rare {
                sender_waits: AtomicU32::new(0),
                receiver_waits: AtomicU32::new(0),
                gate: Lock::new(gate),
                high_water: AtomicU64::new(0),
                send_failures: FailureCounters::default(),
                receive_failures: FailureCounters::default(),
                bytes_sent: AtomicU64::new(0),
                bytes_received: AtomicU64::new(0),
            }),
        }
    }

    /// Where a side stands at the start.
    pub(super) fn stand(&self) -> Stand {
        let pause = Stand::PAUSE_MIN;
        Stand { cursor: self.ring.cursor(), raised: false, waited: 0, pause }
    }

    /// Whether a send finds a free slot.
    #[inline]
    pub(super) fn has_room(&self, stand: &mut Stand, linger: bool) -> bool {
        stand.cursor.run() != 0 || self.find_room(stand, linger)
    }

    /// Whether a receive finds a value.
    #[inline]
    pub(super) fn has_value(&self, stand: &mut Stand) -> bool {
        stand.cursor.run() != 0 || self.find_value(stand)
    }

    #[cold]
    #[inline(never)]
    fn find_room(&self, stand: &mut Stand, linger: bool) -> bool {
        self.calm(Side::Sender, stand);
        let found = self.ring.find_room(&mut stand.cursor, linger);
        self.note_len(stand.cursor.position - stand.cursor.seen);
        found
    }

    #[inline(never)]
    fn find_value(&self, stand: &mut Stand) -> bool {
        self.calm(Side::Receiver, stand);
        self.ring.find_value(&mut stand.cursor, &self.last)
    }

    /// Whether the side finds what it waits for, or that the channel is closed.
    pub(super) fn has(&self, side: Side, stand: &mut Stand) -> bool {
        match side {
            Side::Sender => self.has_room(stand, false),
            Side::Receiver => self.has_value(stand),
        }
    }

    /// As [`Self::has`], as far as a look tells that changes nothing.
    pub(super) fn may(&self, side: Side, stand: &Stand) -> bool {
        let moved = match side {
            Side::Sender => self.ring.head() + self.ring.capacity() != stand.cursor.position,
            Side::Receiver => self.ring.tail() != stand.cursor.position,
        };
        moved || self.is_closed()
    }

    /// Whether it does without a look.
    #[inline]
    pub(super) fn is_ready(stand: &Stand) -> bool {
        stand.cursor.run() != 0
    }

    /// Sends `*value`. Gives it back if the channel was closed first.
    ///
    /// # Safety
    ///
    /// [`Self::has_room`] was true since the last send. `value` is valid for a read, and is moved
    /// out.
    #[inline(always)]
    pub(super) unsafe fn send(&self, stand: &mut Stand, value: *const T) -> Result<(), T> {
        if self.weigh.is_some() {
            // SAFETY: the caller's promise.
            return unsafe { self.send_weighed(stand, value) };
        }
        // SAFETY: the caller's promise.
        unsafe { self.send_plain(stand, value) }
    }

    #[inline(always)]
    unsafe fn send_plain(&self, stand: &mut Stand, value: *const T) -> Result<(), T> {
        // SAFETY: the caller's promise.
        unsafe { self.ring.write(&mut stand.cursor, value) };
        self.ring.publish_tail(&stand.cursor);
        if self.is_alerted(Side::Sender) { self.sent_one_alerted(stand) } else { Ok(()) }
    }

    #[cold]
    #[inline(never)]
    fn sent_one_alerted(&self, stand: &mut Stand) -> Result<(), T> {
        if self.sent_alerted(stand, 1) {
            return Ok(());
        }
        // SAFETY: it is beyond `last`, which is where the receiver stops.
        Err(unsafe { self.ring.take_back(&mut stand.cursor) })
    }

    #[cold]
    #[inline(never)]
    unsafe fn send_weighed(&self, stand: &mut Stand, value: *const T) -> Result<(), T> {
        // SAFETY: the caller's promise.
        let weight = self.weight(unsafe { &*value });
        // SAFETY: the caller's promise.
        unsafe { self.send_plain(stand, value) }?;
        self.count_sent(weight);
        Ok(())
    }

    /// Receives the value that [`Self::has_value`] found.
    ///
    /// # Safety
    ///
    /// `has_value` was true since the last receive.
    #[inline(always)]
    pub(super) unsafe fn recv(&self, stand: &mut Stand) -> T {
        // SAFETY: the caller's promise.
        let value = unsafe { self.ring.read(&mut stand.cursor) };
        self.ring.publish_head(&stand.cursor);
        if self.is_alerted(Side::Receiver) {
            self.received_alerted(&value);
        }
        value
    }

    #[cold]
    #[inline(never)]
    fn received_alerted(&self, value: &T) {
        self.wake(Side::Sender);
        self.count_received(value);
    }

    /// Takes back a run that was published last and that [`Self::publish_sent`] refused.
    ///
    /// # Safety
    ///
    /// There was such a run, of so many values.
    #[cold]
    pub(super) unsafe fn take_back(&self, stand: &mut Stand, run: u64, to: &mut VecDeque<T>) {
        for _ in 0..run {
            // SAFETY: it is beyond `last`, which is where the receiver stops.
            to.push_front(unsafe { self.ring.take_back(&mut stand.cursor) });
        }
    }

    /// What a value weighs, if values are weighed.
    pub(super) fn weight(&self, value: &T) -> Option<u64> {
        self.weigh.as_ref().map(|weigh| weigh(value))
    }

    pub(super) fn count_sent(&self, weight: Option<u64>) {
        if let Some(weight) = weight {
            add(&self.rare.bytes_sent, weight);
        }
    }

    pub(super) fn count_received(&self, value: &T) {
        if let Some(weight) = self.weight(value) {
            add(&self.rare.bytes_received, weight);
        }
    }

    /// What was written since the last publication is published, `values` many. False: the channel
    /// was closed first.
    #[inline]
    pub(super) fn publish_sent(&self, stand: &Stand, values: u64) -> bool {
        self.ring.publish_tail(&stand.cursor);
        !self.is_alerted(Side::Sender) || self.sent_alerted(stand, values)
    }

    /// The values that were read are published as received.
    #[inline]
    pub(super) fn publish_received(&self, stand: &Stand) {
        self.ring.publish_head(&stand.cursor);
        if self.is_alerted(Side::Receiver) {
            self.wake(Side::Sender);
        }
    }

    /// Whether the other side wants to be looked after, after a publication.
    #[inline]
    fn is_alerted(&self, side: Side) -> bool {
        light();
        self.alert(side).load(Ordering::Relaxed) != 0
    }

    /// The receiver waits, or the channel is closed. False: what was published last, `values` many,
    /// came after that.
    #[cold]
    #[inline(never)]
    fn sent_alerted(&self, stand: &Stand, values: u64) -> bool {
        if self.is_closed() {
            let gate = self.rare.gate.lock();
            let last = self.last.load(Ordering::Relaxed);
            drop(gate);
            debug_assert!(
                stand.cursor.position <= last || stand.cursor.position - values >= last,
                "a batch is published as one"
            );
            return stand.cursor.position <= last;
        }
        self.wake(Side::Receiver);
        true
    }

    /// Wakes a side, if it waits.
    #[cold]
    #[inline(never)]
    fn wake(&self, side: Side) {
        fence(Ordering::SeqCst);
        if self.waits(side).load(Ordering::Relaxed) == 0 {
            return;
        }
        let mut gate = self.rare.gate.lock();
        self.waits(side).store(0, Ordering::Relaxed);
        let due = gate.list(side).pop_claimed().and_then(|waiter| waiter.matched());
        drop(gate);
        if let Some(due) = due {
            due.fire();
        }
    }

    /// Links a side's node. Unless it says `Waiting`, there is something to be had, or the channel
    /// is closed, and the node is not linked.
    ///
    /// # Safety
    ///
    /// As for [`List::push_back`].
    pub(super) unsafe fn queue(&self, side: Side, stand: &mut Stand, node: *const Node) -> Queued {
        let mut gate = self.rare.gate.lock();
        if self.is_closed() {
            return Queued::Closed;
        }
        // A side has one waiter. If there is another in the list, its operation was forgotten.
        while let Some(forgotten) = gate.list(side).pop_claimed() {
            drop(forgotten.matched());
        }
        // SAFETY: the caller's promise.
        unsafe { gate.list(side).push_back(node) };
        self.waits(side).store(1, Ordering::Relaxed);
        let raised = mem::replace(&mut stand.raised, true);
        if !raised {
            self.raise(side.other(), WAITS);
        }
        drop(gate);
        stand.waited = stand.cursor.position;
        // Between the registration and the second look.
        if raised {
            fence(Ordering::SeqCst);
        } else {
            heavy();
        }
        if self.has(side, stand) {
            // SAFETY: the node is alive and was linked here.
            unsafe { self.unqueue(side, node) };
            return Queued::Done;
        }
        Queued::Waiting
    }

    /// Unlinks a side's node, if it is still linked.
    ///
    /// # Safety
    ///
    /// The node is alive, and was queued here by this side.
    pub(super) unsafe fn unqueue(&self, side: Side, node: *const Node) {
        let mut gate = self.rare.gate.lock();
        // SAFETY: the caller's promise.
        if unsafe { gate.list(side).unlink(node) } {
            self.waits(side).store(0, Ordering::Relaxed);
        }
    }

    /// Takes back the other side's alert if this side has not waited for a while.
    fn calm(&self, side: Side, stand: &mut Stand) {
        if stand.raised && stand.cursor.position - stand.waited >= CALM {
            let _gate = self.rare.gate.lock();
            let alert = self.alert(side.other());
            alert.store(alert.load(Ordering::Relaxed) & !WAITS, Ordering::Relaxed);
            stand.raised = false;
        }
    }

    fn raise(&self, side: Side, bit: u32) {
        let alert = self.alert(side);
        alert.store(alert.load(Ordering::Relaxed) | bit, Ordering::Release);
    }

    #[inline]
    fn alert(&self, side: Side) -> &AtomicU32 {
        match side {
            Side::Sender => &self.sender_alert,
            Side::Receiver => &self.receiver_alert,
        }
    }

    fn waits(&self, side: Side) -> &AtomicU32 {
        match side {
            Side::Sender => &self.rare.sender_waits,
            Side::Receiver => &self.rare.receiver_waits,
        }
    }

    pub(super) fn raw(&self) -> &crate::lock::RawLock {
        self.rare.gate.raw()
    }

    pub(super) fn is_closed(&self) -> bool {
        self.sender_alert.load(Ordering::Acquire) & CLOSED != 0
    }

    pub(super) fn reason(&self) -> Option<Reason> {
        self.rare.gate.lock().reason.clone()
    }

    /// Closes, for one side. True if it was open.
    pub(super) fn close(&self, side: Side, stand: &mut Stand, reason: Option<Reason>) -> bool {
        let gate = self.rare.gate.lock();
        let closed = self.close_locked(gate, side, stand, reason);
        // It looks from now on, and finds that it is closed.
        if side == Side::Sender {
            stand.cursor.stop();
        }
        closed
    }

    fn close_locked(
        &self,
        mut gate: Guard<'_, Gate>,
        side: Side,
        stand: &Stand,
        reason: Option<Reason>,
    ) -> bool {
        if self.is_closed() {
            return false;
        }
        gate.reason = reason;
        let last = match side {
            Side::Sender => stand.cursor.position,
            Side::Receiver => {
                self.raise(Side::Sender, CLOSED);
                heavy();
                self.ring.tail()
            }
        };
        self.last.store(last, Ordering::Release);
        self.raise(Side::Sender, CLOSED);
        let mut wakes = Wakes::new();
        for side in [Side::Sender, Side::Receiver] {
            self.waits(side).store(0, Ordering::Relaxed);
            wakes.push(gate.list(side).pop_claimed().and_then(|waiter| waiter.closed()));
        }
        drop(gate);
        wakes.fire();
        true
    }

    /// The receiver is gone: what it left is not delivered.
    pub(super) fn abandon(&self, stand: &mut Stand) {
        self.close(Side::Receiver, stand, None);
        self.rare.gate.lock().abandoned = true;
        while self.has_value(stand) {
            // SAFETY: there is a value; `head` stays where it is, and counts what was received.
            self.lose(unsafe { self.ring.read(&mut stand.cursor) });
        }
    }

    /// Nobody will receive this value.
    pub(super) fn lose(&self, value: T) {
        match &self.undelivered {
            Some(undelivered) => contain(|| undelivered(value)),
            None => contain(|| drop(value)),
        }
    }

    pub(super) fn is_weighed(&self) -> bool {
        self.weigh.is_some()
    }

    #[cold]
    pub(super) fn count_send_failure(&self, cause: Cause) {
        self.rare.send_failures.count(cause);
    }

    #[cold]
    pub(super) fn count_receive_failure(&self, cause: Cause) {
        self.rare.receive_failures.count(cause);
    }

    /// The channel was seen to hold so many.
    fn note_len(&self, len: u64) {
        if len > self.rare.high_water.load(Ordering::Relaxed) {
            self.rare.high_water.fetch_max(len, Ordering::Relaxed);
        }
    }

    /// Values received, and sent, of which the latter are not fewer.
    fn positions(&self) -> (u64, u64) {
        let head = self.ring.head();
        (head, self.ring.tail().min(self.last.load(Ordering::Acquire)).max(head))
    }

    pub(super) fn len(&self) -> usize {
        if self.is_closed() && self.rare.gate.lock().abandoned {
            return 0;
        }
        let (head, tail) = self.positions();
        (tail - head).min(self.ring.capacity()) as usize
    }

    pub(super) fn capacity(&self) -> usize {
        self.ring.capacity() as usize
    }

    pub(super) fn snapshot(&self) -> Snapshot {
        let gate = self.rare.gate.lock();
        let (head, tail) = self.positions();
        let held = (tail - head).min(self.ring.capacity());
        self.note_len(held);
        let (len, left) = if gate.abandoned { (0, held) } else { (held, 0) };
        let (bytes_sent, bytes_received) = if self.weigh.is_some() {
            (
                self.rare.bytes_sent.load(Ordering::Relaxed),
                self.rare.bytes_received.load(Ordering::Relaxed),
            )
        } else {
            let size = size_of::<T>() as u64;
            (tail.wrapping_mul(size), head.wrapping_mul(size))
        };
        Snapshot {
            kind: Kind::Bounded,
            capacity: Some(self.capacity()),
            len: len as usize,
            high_water: self.rare.high_water.load(Ordering::Relaxed) as usize,
            senders_waiting: gate.sender.len(),
            receivers_waiting: gate.receiver.len(),
            closed: self.is_closed(),
            sends: tail,
            receives: head,
            bytes_sent,
            bytes_received,
            send_failures: self.rare.send_failures.read(),
            receive_failures: self.rare.receive_failures.read(),
            conflated: 0,
            dropped: 0,
            undelivered: left,
            matches: 0,
            first_operation: None,
            last_operation: None,
            taken_at: Instant::now(),
        }
    }
}

/// Adds to a counter that only the calling thread changes.
fn add(counter: &AtomicU64, number: u64) {
    let sum = counter.load(Ordering::Relaxed).wrapping_add(number);
    counter.store(sum, Ordering::Relaxed);
}

impl Gate {
    fn list(&mut self, side: Side) -> &mut List {
        match side {
            Side::Sender => &mut self.sender,
            Side::Receiver => &mut self.receiver,
        }
    }
}

impl Side {
    pub(super) fn other(self) -> Self {
        match self {
            Self::Sender => Self::Receiver,
            Self::Receiver => Self::Sender,
        }
    }
}
