// SPDX-License-Identifier: BSD-3-Clause
//! The queue of one stream's messages: many senders, one receiver, one compare-exchange a message.
//!
//! Messages stand in two buffers. Senders fill one of them while the receiver empties the other; when it
//! has, and there are messages in the first, the two change places. The credit's word has all that a
//! sender needs: which buffer is filled, and how many messages it has, which is the place of the next.
//!
//! ```text
//!   credit   … │ BUFFER │ frames: 3 │ …          a sender: 3 → 4, then it writes place 3
//!                │
//!                ▼ filled                         emptied
//!              ┌───────────────────┐            ┌───────────────────┐
//!              │ m m . ? free …    │            │ - - m m . m       │
//!              └───────────────────┘            └─────▲─────────────┘
//!                    │ ╰ being claimed                ╰ cursor        - taken   m published
//!                    ╰ claimed, not published yet                     . claimed, not published yet
//!
//!   nothing in either: the receiver leaves its waker and sets WAITING in the word
//!   the cursor is at a message that is claimed and not published: it sets `is_late` instead
//! ```
//!
//! A buffer grows to as many messages as were in it at once, in buckets of 16, 16, 32, 64, … that are made
//! when they are needed; the larger ones are given back when the stream is over.
//!
//! # Invariants
//!
//! 1. A place is claimed by the compare-exchange that counts its message in `frames`, or sets `ENDED`: by one
//!    sender. Until it publishes the place is its own.
//! 2. A published place is the receiver's, and is free again when its message was taken. The buffers change
//!    places only when all of the emptied one is: what a sender finds at its place is free.
//! 3. Messages come out in the order of their claims, so the end, behind which nothing is claimed, last.
//! 4. A sender that takes `WAITING` away wakes the receiver behind its publication. One that publishes while
//!    `is_late` is set does too: it reads that behind its publication, and the receiver looks at the place
//!    behind having set it, with an asymmetric fence on either side, which costs the sender nothing.
//! 5. A claimed place is published whatever happens in between ([`Place`]).
//!
//! # Safety
//!
//! `value` of a place is written by the sender that claimed it, until its `kind` is stored, and read by the
//! receiver once it has seen that, until it stores `FREE` (invariants 1 and 2). A [`Cursor`] is the receiver's,
//! and there is one at a time; a stream is opened when that of the stream before has taken all that was
//! claimed.

use std::{
    mem::MaybeUninit,
    ptr, slice,
    task::{Poll, Waker},
};

use super::credit::{Credit, Rejected, buffer_of, frames_of, has_ended, is_awaited};
use crate::sync::{
    AtomicBool, AtomicPtr, AtomicU32, AtomicWaker, Ordering, UnsafeCell, heavy_fence, light_fence,
    spin_loop, wake,
};

/// Messages of the first bucket, of which there are two; each further one is twice as large.
const BUCKET_BITS: u32 = if cfg!(feature = "loom") { 1 } else { 4 };
/// Enough for all frames that a word counts, and the end.
const BUCKETS: usize = if cfg!(feature = "loom") { 2 } else { 17 };
/// Buckets that are kept when the stream is over: 256 messages.
const BUCKETS_KEPT: usize = 5;
/// How often the receiver looks at a place that is being published before it waits for that.
const LOOKS: u32 = if cfg!(feature = "loom") { 0 } else { 64 };

/// The kind of a place that has no message; of a message the kind is another number.
const FREE: u32 = 0;

struct Slot<T> {
    kind: AtomicU32,
    value: UnsafeCell<MaybeUninit<T>>,
}

// SAFETY: `value` has one user at a time, see the module's documentation, and `T` may move between threads.
unsafe impl<T: Send> Sync for Slot<T> {}

impl<T> Slot<T> {
    fn new() -> Self {
        Self { kind: AtomicU32::new(FREE), value: UnsafeCell::new(MaybeUninit::uninit()) }
    }
}

struct Buffer<T> {
    buckets: [AtomicPtr<Slot<T>>; BUCKETS],
}

/// The bucket of a place, and the place's number in it.
#[inline]
fn bucket_of(at: u32) -> (usize, usize) {
    let bits = (at | ((1 << BUCKET_BITS) - 1)).ilog2();
    let first = if bits < BUCKET_BITS { 0 } else { 1 << bits };
    ((bits + 1 - BUCKET_BITS) as usize, (at - first) as usize)
}

/// Messages that a bucket has room for.
fn len_of(bucket: usize) -> usize {
    1 << (BUCKET_BITS as usize + bucket.saturating_sub(1))
}

impl<T> Buffer<T> {
    fn new() -> Self {
        Self { buckets: std::array::from_fn(|_| AtomicPtr::new(ptr::null_mut())) }
    }

    /// A place, if its bucket was made.
    #[inline]
    fn get(&self, at: u32) -> Option<&Slot<T>> {
        let (bucket, index) = bucket_of(at);
        let first = self.buckets.get(bucket)?.load(Ordering::Acquire);
        if first.is_null() {
            return None;
        }
        // SAFETY: made by `make` with room for `len_of` messages, of which this is one, and freed only by
        // `shrink` and `drop`, which have the buffer to themselves.
        Some(unsafe { &*first.add(index) })
    }

    /// A place and those behind it in its bucket, if that was made.
    fn rest(&self, at: u32) -> Option<&[Slot<T>]> {
        let (bucket, index) = bucket_of(at);
        let first = self.get(at)?;
        // SAFETY: the bucket has so many from this one on (see `get`).
        Some(unsafe { slice::from_raw_parts(first, len_of(bucket) - index) })
    }

    /// The same place; the bucket is made now if it was not.
    #[inline]
    fn get_or_make(&self, at: u32) -> &Slot<T> {
        match self.get(at) {
            Some(slot) => slot,
            None => self.make(at),
        }
    }

    #[cold]
    fn make(&self, at: u32) -> &Slot<T> {
        let (bucket, index) = bucket_of(at);
        let slots: Box<[Slot<T>]> = (0..len_of(bucket)).map(|_| Slot::new()).collect();
        let made = Box::into_raw(slots).cast::<Slot<T>>();
        let [.., last] = &self.buckets;
        // The last one at most: a word counts no frame beyond that.
        debug_assert!(bucket < BUCKETS);
        let place = self.buckets.get(bucket).unwrap_or(last);
        let put =
            place.compare_exchange(ptr::null_mut(), made, Ordering::AcqRel, Ordering::Acquire);
        let first = match put {
            Ok(_) => made,
            Err(other) => {
                // SAFETY: made above, and it went nowhere.
                unsafe { free(made, bucket) };
                other
            }
        };
        // SAFETY: as in `get`.
        unsafe { &*first.add(index) }
    }

    /// Gives back the larger buckets.
    ///
    /// # Safety
    /// No place is claimed or published, and none is claimed meanwhile.
    unsafe fn shrink(&self, kept: usize) {
        for (bucket, place) in self.buckets.iter().enumerate().skip(kept) {
            let first = place.load(Ordering::Relaxed);
            if first.is_null() {
                // Nor was any behind it: each place in it would have been claimed before.
                return;
            }
            place.store(ptr::null_mut(), Ordering::Relaxed);
            // SAFETY: made by `make`, and the caller promises that no place in it is used.
            unsafe { free(first, bucket) };
        }
    }
}

/// # Safety
/// `first` is that of a bucket of this number, in which there is no message and which is used for nothing else.
unsafe fn free<T>(first: *mut Slot<T>, bucket: usize) {
    let slots = ptr::slice_from_raw_parts_mut(first, len_of(bucket));
    // SAFETY: `make` made it of a box of this length; the rest is the caller's promise.
    drop(unsafe { Box::from_raw(slots) });
}

impl<T> Drop for Buffer<T> {
    fn drop(&mut self) {
        // SAFETY: this is the only reference. A message that was not taken is leaked, not dropped.
        unsafe { self.shrink(0) };
    }
}

/// What a queue carries.
pub(crate) trait Message: Sized {
    /// In place of one that could not be made.
    fn missing() -> Self;

    /// Writes it to `place`, a field at a time: a copy of a value that was just put together waits for the
    /// store buffer, as [`Published::take`] has it.
    ///
    /// # Safety
    /// `place` is valid for that.
    unsafe fn write(self, place: *mut Self);
}

/// See the module's documentation.
pub(crate) struct Queue<T> {
    pub(crate) credit: Credit,
    buffers: [Buffer<T>; 2],
    receiver: AtomicWaker,
    /// The receiver waits for a message that is claimed.
    is_late: AtomicBool,
}

/// A sender's place for a message, which it fills whatever happens.
#[must_use]
pub(crate) struct Claimed<'a, T> {
    queue: &'a Queue<T>,
    slot: &'a Slot<T>,
    /// The receiver waits for it.
    is_awaited: bool,
}

impl<'a, T: Message> Claimed<'a, T> {
    /// Puts a message there. `kind` is not 0.
    #[inline(always)]
    pub(crate) fn publish(self, kind: u32, value: T) {
        // SAFETY: the place is claimed, and not published (see the module's documentation).
        self.slot.value.with_mut(|place| unsafe { value.write(place.cast()) });
        self.slot.kind.store(kind, Ordering::Release);
        light_fence();
        if self.is_awaited || self.queue.is_late.load(Ordering::Relaxed) {
            self.queue.wake();
        }
    }

    /// With code in between that may panic: then a message of kind `otherwise` is put there.
    pub(crate) fn guarded(self, otherwise: u32) -> Place<'a, T> {
        Place { claimed: Some(self), otherwise }
    }
}

/// A claimed place. Dropped before a message was put there, it gets [`Message::missing`] instead.
#[must_use]
pub(crate) struct Place<'a, T: Message> {
    claimed: Option<Claimed<'a, T>>,
    otherwise: u32,
}

impl<T: Message> Place<'_, T> {
    /// Puts a message there. `kind` is not 0.
    pub(crate) fn publish(mut self, kind: u32, value: T) {
        if let Some(claimed) = self.claimed.take() {
            claimed.publish(kind, value);
        }
    }
}

impl<T: Message> Drop for Place<'_, T> {
    fn drop(&mut self) {
        if let Some(claimed) = self.claimed.take() {
            claimed.publish(self.otherwise, T::missing());
        }
    }
}

/// A message that has come, behind which the cursor is. It is to be taken: else it is leaked, and its place lost.
#[must_use]
pub(crate) struct Published<'a, T> {
    slot: &'a Slot<T>,
    kind: u32,
}

impl<T> Published<'_, T> {
    #[inline(always)]
    pub(crate) fn kind(&self) -> u32 {
        self.kind
    }

    /// The message itself; its place is free.
    ///
    /// It is moved straight to where it is wanted, as a whole. A copy at another alignment, or a read that is
    /// wider than the writes before it, waits until those have left the processor's store buffer, which takes
    /// longer than all else that is done with a message.
    #[inline(always)]
    pub(crate) fn take(self) -> T {
        // SAFETY: it is published, and this is the receiver (see the module's documentation); it is read once,
        // since its place is free from then on.
        let value = self.slot.value.with_mut(|value| unsafe { value.cast::<T>().read() });
        self.slot.kind.store(FREE, Ordering::Relaxed);
        value
    }
}

/// Where the receiver is.
pub(crate) struct Cursor<'a, T> {
    /// The next places, of one bucket.
    run: slice::Iter<'a, Slot<T>>,
    /// The buffer that it empties.
    buffer: usize,
    /// The place behind `run`.
    at: u32,
    /// Messages that were claimed in that buffer.
    len: u32,
    /// The end was among what was claimed.
    has_end: bool,
}

impl<T> Cursor<'_, T> {
    fn new(buffer: usize, at: u32, len: u32, has_end: bool) -> Self {
        Self { run: [].iter(), buffer, at, len, has_end }
    }

    /// Of the receiver of a stream that was just opened.
    pub(crate) fn begin() -> Self {
        Self::new(1, 0, 0, false)
    }

    /// Of a receiver that has left.
    pub(crate) fn end() -> Self {
        Self::new(1, 0, 0, true)
    }

    /// The next place.
    fn at(&self) -> u32 {
        self.at - self.run.as_slice().len() as u32
    }
}

/// What was claimed and not taken when the receiver left.
#[derive(Debug, Clone, Copy)]
#[must_use]
pub(crate) struct Remains {
    parts: [(usize, u32, u32); 2],
}

impl Remains {
    /// How many messages.
    pub(crate) fn len(&self) -> usize {
        self.parts.iter().map(|(_, at, len)| (len - at) as usize).sum()
    }
}

impl<T: Message> Queue<T> {
    pub(crate) fn new() -> Self {
        Self {
            credit: Credit::new(),
            buffers: [Buffer::new(), Buffer::new()],
            receiver: AtomicWaker::new(),
            is_late: AtomicBool::new(false),
        }
    }

    /// Claims a place for a frame of `len` bytes on stream `sid`; at a bound sets `mark` instead.
    #[inline(always)]
    pub(crate) fn claim(&self, sid: u64, len: u64, mark: u64) -> Result<Claimed<'_, T>, Rejected> {
        let before = self.credit.take(sid, len, mark)?;
        Ok(self.claimed(before))
    }

    /// Claims the place of the end of stream `sid`; with the word before.
    pub(crate) fn claim_end(&self, sid: u64) -> Option<(Claimed<'_, T>, u64)> {
        let before = self.credit.end(sid)?;
        Some((self.claimed(before), before))
    }

    /// The same, if the word still is `word`.
    pub(crate) fn claim_end_from(&self, word: u64) -> Result<Claimed<'_, T>, u64> {
        self.credit.end_from(word).map(|()| self.claimed(word))
    }

    /// The place that was claimed by the exchange of the word `before`.
    #[inline(always)]
    fn claimed(&self, before: u64) -> Claimed<'_, T> {
        let [first, second] = &self.buffers;
        let buffer = if buffer_of(before) == 0 { first } else { second };
        let slot = buffer.get_or_make(frames_of(before) as u32);
        Claimed { queue: self, slot, is_awaited: is_awaited(before) }
    }

    #[cold]
    fn wake(&self) {
        // Cleared first: a receiver that sets it again is woken by this, and sets it again after that.
        self.is_late.store(false, Ordering::Relaxed);
        if let Some(waker) = self.receiver.take() {
            wake(waker);
        }
    }

    /// The next message, if it is published.
    #[inline(always)]
    pub(crate) fn next<'a>(&'a self, cursor: &mut Cursor<'a, T>) -> Option<Published<'a, T>> {
        if cursor.run.as_slice().is_empty() && (cursor.at == cursor.len || !self.begin_run(cursor))
        {
            return None;
        }
        let slot = cursor.run.as_slice().first()?;
        let kind = slot.kind.load(Ordering::Acquire);
        if kind == FREE {
            return None;
        }
        cursor.run.next();
        Some(Published { slot, kind })
    }

    /// Takes the next places that were claimed into the cursor, if it has none; false if there are none, or their
    /// bucket was not made yet.
    #[inline(never)]
    fn begin_run<'a>(&'a self, cursor: &mut Cursor<'a, T>) -> bool {
        if !cursor.run.as_slice().is_empty() {
            return true;
        }
        let [first, second] = &self.buffers;
        let buffer = if cursor.buffer == 0 { first } else { second };
        let Some(bucket) = buffer.rest(cursor.at).filter(|_| cursor.at < cursor.len) else {
            return false;
        };
        let claimed = (cursor.len - cursor.at) as usize;
        let run = bucket.get(..claimed).unwrap_or(bucket);
        cursor.at += run.len() as u32;
        cursor.run = run.iter();
        true
    }

    /// The kind of the next message, and what `look` finds in it, if it is published.
    pub(crate) fn peek<R>(
        &self,
        cursor: &Cursor<'_, T>,
        look: impl FnOnce(&T) -> R,
    ) -> Option<(u32, R)> {
        let slot = self.published(cursor.buffer, cursor.at(), cursor.len)?;
        let kind = slot.kind.load(Ordering::Acquire);
        // SAFETY: as in `next`; it is lent to `look` alone.
        Some((kind, look(slot.value.with_mut(|value| unsafe { (*value).assume_init_ref() }))))
    }

    fn published(&self, buffer: usize, at: u32, len: u32) -> Option<&Slot<T>> {
        let slot = self.buffers.get(buffer).filter(|_| at < len)?.get(at)?;
        (slot.kind.load(Ordering::Acquire) != FREE).then_some(slot)
    }

    /// Waits for the next message. `flipped` is called with the word before whenever credit was given back.
    pub(crate) fn poll_published<'a>(
        &'a self,
        cursor: &mut Cursor<'a, T>,
        waker: &Waker,
        flipped: impl FnOnce(u64),
    ) -> Poll<()> {
        if cursor.at() == cursor.len {
            let Some(before) = self.credit.flip(cursor.has_end, || self.receiver.register(waker))
            else {
                return Poll::Pending;
            };
            let has_end = has_ended(before) && !cursor.has_end;
            let len = frames_of(before) as u32 + u32::from(has_end);
            *cursor = Cursor::new(buffer_of(before), 0, len, cursor.has_end || has_end);
            flipped(before);
        }
        let is_published = |slot: &Slot<T>| slot.kind.load(Ordering::Acquire) != FREE;
        if self.begin_run(cursor) && cursor.run.as_slice().first().is_some_and(is_published) {
            return Poll::Ready(());
        }
        self.poll_late(cursor.buffer, cursor.at(), cursor.len, waker)
    }

    /// Waits for the publication of a message that was claimed.
    #[cold]
    fn poll_late(&self, buffer: usize, at: u32, len: u32, waker: &Waker) -> Poll<()> {
        for _ in 0..=LOOKS {
            if self.published(buffer, at, len).is_some() {
                return Poll::Ready(());
            }
            spin_loop();
        }
        self.receiver.register(waker);
        self.is_late.store(true, Ordering::Relaxed);
        heavy_fence();
        match self.published(buffer, at, len) {
            Some(_) => Poll::Ready(()),
            None => Poll::Pending,
        }
    }

    /// The receiver leaves: nothing is claimed any more. What was, and the word before.
    pub(crate) fn close(&self, cursor: &Cursor<'_, T>) -> (Remains, u64) {
        let before = self.credit.close();
        let has_end = has_ended(before) && !cursor.has_end;
        let len = frames_of(before) as u32 + u32::from(has_end);
        let filled = (buffer_of(before), 0, len);
        (Remains { parts: [(cursor.buffer, cursor.at(), cursor.len), filled] }, before)
    }

    /// Drops the messages that remain, as far as they are published.
    pub(crate) fn drop_published(&self, remains: &mut Remains) {
        for (buffer, at, len) in &mut remains.parts {
            let mut cursor = Cursor::new(*buffer, *at, *len, true);
            while let Some(message) = self.next(&mut cursor) {
                *at = cursor.at();
                drop(message.take());
            }
            if at != len {
                return;
            }
        }
        for buffer in &self.buffers {
            // SAFETY: all that was claimed was taken, and until a stream is opened nothing is.
            unsafe { buffer.shrink(BUCKETS_KEPT) };
        }
    }

    /// Waits until all messages that remain were published, and drops them.
    pub(crate) fn poll_remains(&self, remains: &mut Remains, waker: &Waker) -> Poll<()> {
        loop {
            self.drop_published(remains);
            let Some((buffer, at, len)) = remains.parts.iter().find(|(_, at, len)| at != len)
            else {
                return Poll::Ready(());
            };
            if self.poll_late(*buffer, *at, *len, waker).is_pending() {
                return Poll::Pending;
            }
        }
    }

    /// Forgets whom it would wake.
    pub(crate) fn forget_waker(&self) {
        drop(self.receiver.take());
    }
}

#[cfg(all(test, not(feature = "loom")))]
mod tests {
    use super::*;
    use crate::{sid, stream::Frame};

    const SID: u64 = sid::of_slot(9, 1);

    #[test]
    fn places_follow_one_another_through_the_buckets() {
        let mut place = (0, 0);
        for at in 0..(1 << 20) {
            assert_eq!(bucket_of(at), place, "{at}");
            place = if place.1 + 1 == len_of(place.0) {
                (place.0 + 1, 0)
            } else {
                (place.0, place.1 + 1)
            };
        }
        assert_eq!(place, (BUCKETS, 0), "the end of a stream at its highest bound");
    }

    #[test]
    fn the_memory_of_many_messages_is_given_back_with_the_stream() {
        let queue = Queue::<Frame>::new();
        let made = |queue: &Queue<Frame>| {
            let bucket = |place: &AtomicPtr<Slot<Frame>>| {
                usize::from(!place.load(Ordering::Relaxed).is_null())
            };
            queue.buffers.each_ref().map(|buffer| buffer.buckets.iter().map(bucket).sum::<usize>())
        };
        queue.credit.open(SID, 5000, 1 << 30);
        for count in [3000, 1000] {
            for _ in 0..count {
                queue.claim(SID, 0, 0).unwrap().publish(1, Frame::missing());
            }
            let mut cursor = Cursor::begin();
            assert!(queue.poll_published(&mut cursor, Waker::noop(), |_| {}).is_ready());
            let taken = std::iter::from_fn(|| queue.next(&mut cursor).map(|m| m.take().status));
            assert_eq!(taken.count(), count);
        }
        assert_eq!(made(&queue), [9, 7]);
        let (mut remains, _) = queue.close(&Cursor::end());
        assert_eq!(remains.len(), 0);
        queue.drop_published(&mut remains);
        assert_eq!(made(&queue), [BUCKETS_KEPT; 2]);
    }
}
