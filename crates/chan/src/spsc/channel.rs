// SPDX-License-Identifier: BSD-3-Clause
//! The state shared by the two handles: the ring, waiting, closing.
//!
//! # Waiting
//!
//! There is at most one waiter per side. It links its node under the lock, as a waiter of any
//! channel does; but no value is handed to it: a woken waiter checks the ring again.
//!
//! ```text
//!   receiver about to wait                       sender, after each value
//!     lock, link the node, waits = 1               tail = position          (a plain store)
//!     set the sender's flag, unlock                light fence              (no instruction)
//!     heavy fence                                  flag? ── no ──▶ done
//!     check the tail again                           │ yes
//!     sleep                                          ▼
//!                                                  full fence; waits? ──▶ lock, wake
//! ```
//!
//! The heavy fence is a system call, so it is paid once and not for each wait: the flag stays set
//! when the waiter is woken, and while it is set both sides run ordinary fences. A receiver that
//! has found values for a while without waiting clears the flag (hysteresis). A sender that waits
//! for room does the same, with the roles exchanged.
//!
//! # Closing
//!
//! `last` is the position up to which values are received. A sender that closes sets it to its own
//! position. A receiver that closes sets CLOSED in the sender's flags, runs the heavy fence and
//! then reads the tail: a send that published later sees CLOSED, compares under the lock, and takes
//! its value back if it is beyond `last`. The receiver never reads a slot beyond it.
//!
//! # Invariants
//!
//! 1. Flags, the setting of `waits`, `last` and the wait queues change under the lock.
//! 2. A side that publishes behind a waiter's fence sees its flag; a value that was published
//!    before it is seen by the waiter's second check.
//! 3. `last` is set once. Nothing beyond it is received or counted.
//! 4. No user code runs under the lock.

use std::collections::VecDeque;
use std::mem::{self, ManuallyDrop};
use std::time::Instant;

use crossbeam_utils::CachePadded;

use super::ring::{Ring, RingCursor};
use crate::channel::{FailureCause, Kind, Undelivered, Weigh, or_undelivered};
use crate::contain::contain;
use crate::counters::{FailureCounters, Snapshot};
use crate::handle::Reason;
use crate::lock::{Guard, Lock};
use crate::sync::{AtomicU32, AtomicU64, Ordering, fence, heavy, light};
use crate::waiter::{Node, PendingWakes, WaitQueue};

/// Set in a side's flags while the other side may wait.
const PEER_WAITS: u32 = 1;
/// Set in the sender's flags when the channel is closed.
const CLOSED: u32 = 2;
/// Hysteresis: values moved without a wait after which a side clears the flag it has set.
const HYSTERESIS_VALUES: u64 = if cfg!(feature = "loom") { 1 } else { 64 };

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
    /// Read by the side after each value.
    sender_flags: AtomicU32,
    receiver_flags: AtomicU32,
    last: AtomicU64,
    rare: CachePadded<Rare>,
}

/// Fields that are written rarely, on another cache line than those that are read all the time.
struct Rare {
    sender_waits: AtomicU32,
    receiver_waits: AtomicU32,
    core: Lock<Core>,
    high_water: AtomicU64,
    send_failures: FailureCounters,
    receive_failures: FailureCounters,
    bytes_sent: AtomicU64,
    bytes_received: AtomicU64,
}

#[derive(Debug)]
struct Core {
    sender: WaitQueue,
    receiver: WaitQueue,
    reason: Option<Reason>,
    abandoned: bool,
}

/// The cursor of one side: its position in the ring, and its private state.
#[derive(Debug)]
pub(super) struct Cursor {
    pub(super) ring: RingCursor,
    /// This side has set PEER_WAITS in the other side's flags.
    peer_flagged: bool,
    /// Our position at the last wait.
    waited: u64,
    /// See [`Self::pause`].
    pause: u32,
}

impl Cursor {
    const PAUSE_MIN: u32 = 4;
    const PAUSE_MAX: u32 = 2048;

    /// The pause of a thread that found nothing, before it checks again: each check takes the cache
    /// line that the other side writes for each value. Doubled while a pause brings several values
    /// at once, halved when it brings one or none.
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
        let core = Core {
            sender: WaitQueue::default(),
            receiver: WaitQueue::default(),
            reason: None,
            abandoned: false,
        };
        Self {
            ring: Ring::new(capacity),
            undelivered,
            sender_flags: AtomicU32::new(0),
            receiver_flags: AtomicU32::new(0),
            weigh,
            last: AtomicU64::new(u64::MAX),
            rare: CachePadded::new(Rare {
                sender_waits: AtomicU32::new(0),
                receiver_waits: AtomicU32::new(0),
                core: Lock::new(core),
                high_water: AtomicU64::new(0),
                send_failures: FailureCounters::default(),
                receive_failures: FailureCounters::default(),
                bytes_sent: AtomicU64::new(0),
                bytes_received: AtomicU64::new(0),
            }),
        }
    }

    /// The initial cursor of a side.
    pub(super) fn cursor(&self) -> Cursor {
        let pause = Cursor::PAUSE_MIN;
        Cursor { ring: self.ring.cursor(), peer_flagged: false, waited: 0, pause }
    }

    /// Whether a send finds a free slot.
    #[inline]
    pub(super) fn has_room(&self, cursor: &mut Cursor, backoff: bool) -> bool {
        cursor.ring.run() != 0 || self.find_room(cursor, backoff)
    }

    /// Whether a receive finds a value.
    #[inline]
    pub(super) fn has_value(&self, cursor: &mut Cursor) -> bool {
        cursor.ring.run() != 0 || self.find_value(cursor)
    }

    /// As [`Self::has_room`], for the shortest path of a send, which weighs nothing.
    #[inline(always)]
    pub(super) fn has_plain_room(&self, cursor: &mut Cursor, backoff: bool) -> bool {
        !self.is_weighed() && self.has_room(cursor, backoff)
    }

    /// As [`Self::has_value`], for the shortest path of a receive, which weighs nothing.
    #[inline(always)]
    pub(super) fn has_plain_value(&self, cursor: &mut Cursor) -> bool {
        !self.is_weighed() && self.has_value(cursor)
    }

    #[cold]
    #[inline(never)]
    fn find_room(&self, cursor: &mut Cursor, backoff: bool) -> bool {
        self.clear_stale_flag(Side::Sender, cursor);
        let found = self.ring.find_room(&mut cursor.ring, backoff);
        self.note_len(cursor.ring.position - cursor.ring.seen);
        found
    }

    #[inline(never)]
    fn find_value(&self, cursor: &mut Cursor) -> bool {
        self.clear_stale_flag(Side::Receiver, cursor);
        self.ring.find_value(&mut cursor.ring, &self.last)
    }

    /// Whether the side finds what it waits for: room, or a value.
    pub(super) fn has(&self, side: Side, cursor: &mut Cursor) -> bool {
        match side {
            Side::Sender => self.has_room(cursor, false),
            Side::Receiver => self.has_value(cursor),
        }
    }

    /// Whether the side may find what it waits for or a closed channel, by a check that changes
    /// nothing.
    pub(super) fn may(&self, side: Side, cursor: &Cursor) -> bool {
        let moved = match side {
            Side::Sender => self.ring.head() + self.ring.capacity() != cursor.ring.position,
            Side::Receiver => self.ring.tail() != cursor.ring.position,
        };
        moved || self.is_closed()
    }

    /// Sends `*value`. Returns it if the channel was closed first.
    ///
    /// # Safety
    ///
    /// [`Self::has_room`] was true since the last send. `value` is valid for a read, and is moved
    /// out.
    #[inline(always)]
    pub(super) unsafe fn send(&self, cursor: &mut Cursor, value: *const T) -> Result<(), T> {
        if self.weigh.is_some() {
            // SAFETY: the caller's promise.
            return unsafe { self.send_weighed(cursor, value) };
        }
        // SAFETY: the caller's promise.
        unsafe { self.send_plain(cursor, value) }
    }

    /// As [`Self::send`], for a value that is not weighed.
    ///
    /// # Safety
    ///
    /// As for [`Self::send`].
    #[inline(always)]
    pub(super) unsafe fn send_plain(&self, cursor: &mut Cursor, value: *const T) -> Result<(), T> {
        // SAFETY: the caller's promise.
        unsafe { self.ring.write(&mut cursor.ring, value) };
        self.ring.publish_tail(&cursor.ring);
        if self.is_flagged(Side::Sender) { self.sent_one_flagged(cursor) } else { Ok(()) }
    }

    #[cold]
    #[inline(never)]
    fn sent_one_flagged(&self, cursor: &mut Cursor) -> Result<(), T> {
        if self.sent_flagged(cursor, 1) {
            return Ok(());
        }
        // SAFETY: it is beyond `last`, where the receiver stops.
        Err(unsafe { self.ring.take_back(&mut cursor.ring) })
    }

    #[cold]
    #[inline(never)]
    unsafe fn send_weighed(&self, cursor: &mut Cursor, value: *const T) -> Result<(), T> {
        // SAFETY: the caller's promise.
        let weight = self.weight(unsafe { &*value });
        // SAFETY: the caller's promise.
        unsafe { self.send_plain(cursor, value) }?;
        self.count_sent(weight);
        Ok(())
    }

    /// Receives the value that [`Self::has_value`] found.
    ///
    /// Whether values are weighed is asked before the value is read. Where its address were needed
    /// after that, the compiler would copy each value to a place of its own first.
    ///
    /// # Safety
    ///
    /// `has_value` was true since the last receive.
    #[inline(always)]
    pub(super) unsafe fn recv(&self, cursor: &mut Cursor) -> T {
        if self.is_weighed() {
            // SAFETY: the caller's promise.
            return unsafe { self.recv_weighed(cursor) };
        }
        // SAFETY: the caller's promise.
        unsafe { self.recv_plain(cursor) }
    }

    /// As [`Self::recv`], for a value that is not weighed.
    ///
    /// # Safety
    ///
    /// As for [`Self::recv`].
    #[inline(always)]
    pub(super) unsafe fn recv_plain(&self, cursor: &mut Cursor) -> T {
        // SAFETY: the caller's promise.
        let value = unsafe { self.ring.read(&mut cursor.ring) };
        self.publish_received(cursor);
        value
    }

    /// # Safety
    ///
    /// As for [`Self::recv`].
    #[cold]
    #[inline(never)]
    unsafe fn recv_weighed(&self, cursor: &mut Cursor) -> T {
        // SAFETY: the caller's promise.
        let mut value = ManuallyDrop::new(unsafe { self.recv_plain(cursor) });
        // SAFETY: it holds a value, which is not used again if this unwinds.
        unsafe {
            or_undelivered(&raw mut *value, |it| self.count_received(it), |it| self.discard(it));
        }
        ManuallyDrop::into_inner(value)
    }

    /// Takes back a run that was published last and that [`Self::publish_sent`] refused.
    ///
    /// # Safety
    ///
    /// There was such a run, of `run` values.
    #[cold]
    pub(super) unsafe fn take_back(&self, cursor: &mut Cursor, run: u64, to: &mut VecDeque<T>) {
        for _ in 0..run {
            // SAFETY: it is beyond `last`, where the receiver stops.
            to.push_front(unsafe { self.ring.take_back(&mut cursor.ring) });
        }
    }

    /// The weight of a value, if values are weighed.
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

    /// Publishes the `values` values written since the last publication. False: the channel was
    /// closed first.
    #[inline]
    pub(super) fn publish_sent(&self, cursor: &Cursor, values: u64) -> bool {
        self.ring.publish_tail(&cursor.ring);
        !self.is_flagged(Side::Sender) || self.sent_flagged(cursor, values)
    }

    /// Publishes that the values were read.
    #[inline]
    pub(super) fn publish_received(&self, cursor: &Cursor) {
        self.ring.publish_head(&cursor.ring);
        if self.is_flagged(Side::Receiver) {
            self.wake(Side::Sender);
        }
    }

    /// Whether a flag is set that needs the slow path after a publication.
    #[inline]
    fn is_flagged(&self, side: Side) -> bool {
        light();
        self.flags(side).load(Ordering::Relaxed) != 0
    }

    /// The receiver waits, or the channel is closed. False: the last publication, of `values`
    /// values, came after the close.
    #[cold]
    #[inline(never)]
    fn sent_flagged(&self, cursor: &Cursor, values: u64) -> bool {
        if self.is_closed() {
            let core = self.rare.core.lock();
            let last = self.last.load(Ordering::Relaxed);
            drop(core);
            debug_assert!(
                cursor.ring.position <= last || cursor.ring.position - values >= last,
                "a batch is published as one"
            );
            return cursor.ring.position <= last;
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
        let mut core = self.rare.core.lock();
        self.waits(side).store(0, Ordering::Relaxed);
        let due = core.list(side).pop_claimed().and_then(|waiter| waiter.matched());
        drop(core);
        if let Some(due) = due {
            due.fire();
        }
    }

    /// Links a side's node. False: an attempt can succeed or the channel is closed, and the node is
    /// not linked.
    ///
    /// # Safety
    ///
    /// As for [`WaitQueue::push_back`].
    pub(super) unsafe fn queue(&self, side: Side, cursor: &mut Cursor, node: *const Node) -> bool {
        let mut core = self.rare.core.lock();
        if self.is_closed() {
            return false;
        }
        // A side has one waiter. Another one in the queue is of an operation that was forgotten.
        while let Some(forgotten) = core.list(side).pop_claimed() {
            drop(forgotten.matched());
        }
        // SAFETY: the caller's promise.
        unsafe { core.list(side).push_back(node) };
        self.waits(side).store(1, Ordering::Relaxed);
        let peer_flagged = mem::replace(&mut cursor.peer_flagged, true);
        if !peer_flagged {
            self.set_flag(side.other(), PEER_WAITS);
        }
        drop(core);
        cursor.waited = cursor.ring.position;
        // Between the registration and the second check.
        if peer_flagged {
            fence(Ordering::SeqCst);
        } else {
            heavy();
        }
        if self.has(side, cursor) {
            // SAFETY: the node is alive and was linked here.
            unsafe { self.unqueue(side, node) };
            return false;
        }
        true
    }

    /// Unlinks a side's node, if it is still linked.
    ///
    /// # Safety
    ///
    /// The node is alive, and was queued here by this side.
    pub(super) unsafe fn unqueue(&self, side: Side, node: *const Node) {
        let mut core = self.rare.core.lock();
        // SAFETY: the caller's promise.
        if unsafe { core.list(side).unlink(node) } {
            self.waits(side).store(0, Ordering::Relaxed);
        }
    }

    /// Clears the other side's flag if this side has not waited for a while.
    fn clear_stale_flag(&self, side: Side, cursor: &mut Cursor) {
        if cursor.peer_flagged && cursor.ring.position - cursor.waited >= HYSTERESIS_VALUES {
            let _gate = self.rare.core.lock();
            let flags = self.flags(side.other());
            flags.store(flags.load(Ordering::Relaxed) & !PEER_WAITS, Ordering::Relaxed);
            cursor.peer_flagged = false;
        }
    }

    fn set_flag(&self, side: Side, bit: u32) {
        let flags = self.flags(side);
        flags.store(flags.load(Ordering::Relaxed) | bit, Ordering::Release);
    }

    #[inline]
    fn flags(&self, side: Side) -> &AtomicU32 {
        match side {
            Side::Sender => &self.sender_flags,
            Side::Receiver => &self.receiver_flags,
        }
    }

    fn waits(&self, side: Side) -> &AtomicU32 {
        match side {
            Side::Sender => &self.rare.sender_waits,
            Side::Receiver => &self.rare.receiver_waits,
        }
    }

    pub(super) fn raw(&self) -> &crate::lock::RawLock {
        self.rare.core.raw()
    }

    pub(super) fn is_closed(&self) -> bool {
        self.sender_flags.load(Ordering::Acquire) & CLOSED != 0
    }

    pub(super) fn reason(&self) -> Option<Reason> {
        self.rare.core.lock().reason.clone()
    }

    /// Closes the channel from one side. True if it was open.
    pub(super) fn close(&self, side: Side, cursor: &mut Cursor, reason: Option<Reason>) -> bool {
        let core = self.rare.core.lock();
        let closed = self.close_locked(core, side, cursor, reason);
        // The next send checks, and finds the channel closed.
        if side == Side::Sender {
            cursor.ring.stop();
        }
        closed
    }

    fn close_locked(
        &self,
        mut core: Guard<'_, Core>,
        side: Side,
        cursor: &Cursor,
        reason: Option<Reason>,
    ) -> bool {
        if self.is_closed() {
            return false;
        }
        core.reason = reason;
        let last = match side {
            Side::Sender => cursor.ring.position,
            Side::Receiver => {
                self.set_flag(Side::Sender, CLOSED);
                heavy();
                self.ring.tail()
            }
        };
        self.last.store(last, Ordering::Release);
        self.set_flag(Side::Sender, CLOSED);
        let mut wakes = PendingWakes::new();
        for side in [Side::Sender, Side::Receiver] {
            self.waits(side).store(0, Ordering::Relaxed);
            wakes.push(core.list(side).pop_claimed().and_then(|waiter| waiter.closed()));
        }
        drop(core);
        wakes.fire();
        true
    }

    /// The receiver is gone: the remaining values are undelivered.
    pub(super) fn abandon(&self, cursor: &mut Cursor) {
        self.close(Side::Receiver, cursor, None);
        self.rare.core.lock().abandoned = true;
        while self.has_value(cursor) {
            // SAFETY: there is a value; `head` stays where it is, and counts what was received.
            self.discard(unsafe { self.ring.read(&mut cursor.ring) });
        }
    }

    /// The value is undelivered: calls the hook, or drops it.
    pub(super) fn discard(&self, value: T) {
        match &self.undelivered {
            Some(undelivered) => contain(|| undelivered(value)),
            None => contain(|| drop(value)),
        }
    }

    pub(super) fn is_weighed(&self) -> bool {
        self.weigh.is_some()
    }

    #[cold]
    pub(super) fn count_send_failure(&self, cause: FailureCause) {
        self.rare.send_failures.count(cause);
    }

    #[cold]
    pub(super) fn count_receive_failure(&self, cause: FailureCause) {
        self.rare.receive_failures.count(cause);
    }

    /// Records that the channel was seen to hold `len` values.
    fn note_len(&self, len: u64) {
        if len > self.rare.high_water.load(Ordering::Relaxed) {
            self.rare.high_water.fetch_max(len, Ordering::Relaxed);
        }
    }

    /// The values received, and sent, of which the latter are at least as many.
    fn positions(&self) -> (u64, u64) {
        let head = self.ring.head();
        (head, self.ring.tail().min(self.last.load(Ordering::Acquire)).max(head))
    }

    pub(super) fn len(&self) -> usize {
        if self.is_closed() && self.rare.core.lock().abandoned {
            return 0;
        }
        let (head, tail) = self.positions();
        (tail - head).min(self.ring.capacity()) as usize
    }

    pub(super) fn capacity(&self) -> usize {
        self.ring.capacity() as usize
    }

    pub(super) fn snapshot(&self) -> Snapshot {
        let core = self.rare.core.lock();
        let (head, tail) = self.positions();
        let held = (tail - head).min(self.ring.capacity());
        self.note_len(held);
        let (len, left) = if core.abandoned { (0, held) } else { (held, 0) };
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
            senders_waiting: core.sender.len(),
            receivers_waiting: core.receiver.len(),
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

/// Adds to a counter that only the calling thread writes.
fn add(counter: &AtomicU64, number: u64) {
    let sum = counter.load(Ordering::Relaxed).wrapping_add(number);
    counter.store(sum, Ordering::Relaxed);
}

impl Core {
    fn list(&mut self, side: Side) -> &mut WaitQueue {
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
