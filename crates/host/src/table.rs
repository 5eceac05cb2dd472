// SPDX-License-Identifier: BSD-3-Clause
//! The call table: one slot a call in flight, found by index, guarded by generation.
//!
//! ```text
//!   CHUNKS[0..4096] ─▶ [Slot; 256] ─▶ Slot ┌──────────────────────────────────────┐
//!                                          │ word     generation << 3 │ phase     │
//!                                          │ owner    the instance asked          │
//!                                          │ answer   outcome, once               │
//!                                          │ waker · stream cell · state          │
//!                                          └──────────────────────────────────────┘
//!
//!   phase of a call                                    phase of a stream
//!   FREE ──begin──▶ PENDING ──claim──▶ WRITING          FREE ──begin──▶ STREAM ──release──▶ FREE
//!     ▲               │ abandon          │ publish
//!     │◀──────────────┘                  ├──▶ DONE ──take──▶ FREE
//!     │◀─────────(the answerer)──────────┴──▶ FREE, if ABANDONED meanwhile
//! ```
//!
//! # Invariants
//!
//! 1. `FREE` with generation g+1 follows whatever ended generation g: an id of g is never valid
//!    again.
//! 2. Exactly one thread moves a slot `PENDING → WRITING`; it alone touches `answer` until it
//!    publishes. First answer wins.
//! 3. `answer` is read by the call's future in `DONE`, which only that future leaves.
//! 4. Chunks are never freed; the table grows to what was in flight at once, at most
//!    [`SLOTS_MAX`], and is shared by all hosts of the process.
//!
//! Free slots are kept per thread and moved between threads in batches (J. Bonwick, "Magazines and
//! Vmem", 2001), so that taking one costs no shared access.

use std::{
    cell::{Cell, UnsafeCell},
    hash::{BuildHasher, RandomState},
    ptr,
    sync::{
        OnceLock,
        atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64, Ordering},
    },
    task::{Poll, Waker},
};

use atomic_waker::AtomicWaker;
use becket_abi::NrStatus;

use crate::{
    body::Body,
    deadline::Deadline,
    instance::Instance,
    reentry::{Mutex, MutexGuard},
    sid::{self, GENERATION_MASK, INDEX_BITS},
    state::StateMap,
    stream::StreamCell,
    thread::ThreadRecord,
    timer,
};

const CHUNK_SLOTS: u32 = 256;
/// Calls and streams that can be in flight in one process.
pub(crate) const SLOTS_MAX: u32 = 1 << INDEX_BITS;
const CHUNKS_MAX: usize = (SLOTS_MAX / CHUNK_SLOTS) as usize;

/// A thread that has more free slots than this gives half away.
const THREAD_FREE_MAX: u32 = 512;
const BATCH: u32 = 256;
const NONE: u32 = u32::MAX;

const PHASE_BITS: u32 = 3;
const PHASE_MASK: u64 = (1 << PHASE_BITS) - 1;
const FREE: u64 = 0;
const PENDING: u64 = 1;
const WRITING: u64 = 2;
const DONE: u64 = 3;
const ABANDONED: u64 = 4;
const STREAM: u64 = 5;

/// How a call ended.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// The plugin answered.
    Answered { status: NrStatus, body: Body },
    /// `handle`, run on a worker, returned something other than `Ok`.
    Refused(NrStatus),
    /// No answer came in time.
    DeadlineExceeded,
    /// The plugin went away.
    Unloaded,
    /// What ran it has ended.
    Crashed,
    /// What would run it has ended too often.
    PluginFailed,
}

/// Why an answer was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// No such id was ever given out, or it is none of the table's.
    Unknown,
    /// The call has ended or was answered already.
    Late,
    /// The call is another plugin's.
    Foreign,
}

/// What an id leads to.
pub(crate) enum Target {
    /// A call that waits for its answer.
    Call(&'static Slot),
    /// An open stream.
    Stream(&'static Slot),
}

/// One call or stream in flight. See the module's documentation.
#[repr(align(64))]
pub(crate) struct Slot {
    word: AtomicU64,
    owner: AtomicPtr<Instance>,
    index: u32,
    next_free: AtomicU32,
    /// The deadline in milliseconds of [`crate::timer::now_ms`]; 0: none.
    deadline_ms: AtomicU64,
    deadline: Deadline,
    waker: AtomicWaker,
    answer: UnsafeCell<Option<Outcome>>,
    stream: OnceLock<Box<StreamCell>>,
    state: Mutex<Option<Box<StateMap>>>,
    /// `state` holds something.
    has_state: AtomicBool,
}

// SAFETY: `answer` is the only field that is not `Sync` by itself; invariants 2 and 3 give each
// phase one thread that may touch it, and `Outcome` is `Send`.
unsafe impl Sync for Slot {}

static CHUNKS: [AtomicPtr<Chunk>; CHUNKS_MAX] =
    [const { AtomicPtr::new(ptr::null_mut()) }; CHUNKS_MAX];

type Chunk = [Slot; CHUNK_SLOTS as usize];

struct Shared {
    /// Heads of batches of free slots, linked by `next_free`, with their lengths.
    batches: Vec<(u32, u32)>,
    chunks: usize,
}

static SHARED: Mutex<Shared> = Mutex::new(Shared { batches: Vec::new(), chunks: 0 });

/// The slot of this index, if the table has grown to it.
#[inline]
pub(crate) fn slot(index: u32) -> Option<&'static Slot> {
    let chunk = CHUNKS.get((index / CHUNK_SLOTS) as usize)?.load(Ordering::Acquire);
    // SAFETY: null, or published once after it was made and never freed (invariant 4).
    unsafe { chunk.as_ref() }?.get((index % CHUNK_SLOTS) as usize)
}

/// What `sid` leads to, if it is `owner`'s and still open. `owner` null: anybody's.
#[inline]
pub(crate) fn find(sid: u64, owner: *const Instance) -> Result<Target, Refusal> {
    let (index, generation) = sid::split(sid).ok_or(Refusal::Unknown)?;
    let slot = slot(index).ok_or(Refusal::Unknown)?;
    let word = slot.word.load(Ordering::Acquire);
    if word >> PHASE_BITS != generation {
        let age = (word >> PHASE_BITS).wrapping_sub(generation) & GENERATION_MASK;
        // A generation that this slot had lately was given out; any other number is made up.
        return Err(if age <= u64::from(u32::MAX) { Refusal::Late } else { Refusal::Unknown });
    }
    if !owner.is_null() && !ptr::eq(slot.owner.load(Ordering::Relaxed), owner) {
        return Err(Refusal::Foreign);
    }
    match word & PHASE_MASK {
        PENDING => Ok(Target::Call(slot)),
        STREAM => Ok(Target::Stream(slot)),
        _ => Err(Refusal::Late),
    }
}

/// Ends every call and stream of `owner` that is still open. Returns how many.
pub(crate) fn end_all(owner: &'static Instance) -> u64 {
    let chunks = SHARED.lock().chunks as u32;
    let mut ended = 0;
    for slot in (0..chunks * CHUNK_SLOTS).filter_map(slot) {
        let word = slot.word.load(Ordering::Acquire);
        if !ptr::eq(slot.owner.load(Ordering::Relaxed), owner) {
            continue;
        }
        let sid = sid::of_slot(slot.index, word >> PHASE_BITS);
        let done = match word & PHASE_MASK {
            PENDING => slot.complete(sid, || Outcome::Unloaded).is_ok(),
            STREAM => slot.stream().is_some_and(|cell| cell.end_unloaded(sid)),
            _ => false,
        };
        ended += u64::from(done);
    }
    ended
}

impl Slot {
    fn new(index: u32, generation: u64) -> Self {
        Self {
            word: AtomicU64::new((generation & GENERATION_MASK) << PHASE_BITS | FREE),
            owner: AtomicPtr::new(ptr::null_mut()),
            index,
            next_free: AtomicU32::new(NONE),
            deadline_ms: AtomicU64::new(0),
            deadline: Deadline::new(),
            waker: AtomicWaker::new(),
            answer: UnsafeCell::new(None),
            stream: OnceLock::new(),
            state: Mutex::new(None),
            has_state: AtomicBool::new(false),
        }
    }

    /// Opens a free slot for a call and returns its id.
    #[inline]
    pub(crate) fn begin_call(&self, owner: &'static Instance) -> u64 {
        self.begin(owner, PENDING)
    }

    /// Opens a free slot for a stream and returns its id. The stream's cell is already open.
    pub(crate) fn begin_stream(&self, owner: &'static Instance) -> u64 {
        self.begin(owner, STREAM)
    }

    #[inline]
    fn begin(&self, owner: &'static Instance, phase: u64) -> u64 {
        let generation = self.word.load(Ordering::Relaxed) >> PHASE_BITS;
        self.owner.store(ptr::from_ref(owner).cast_mut(), Ordering::Relaxed);
        self.deadline_ms.store(0, Ordering::Relaxed);
        // Release: a thread that sees this generation open sees its owner.
        self.word.store(generation << PHASE_BITS | phase, Ordering::Release);
        sid::of_slot(self.index, generation)
    }

    /// The id that the next `begin` will give; the caller holds the free slot.
    pub(crate) fn next_sid(&self) -> u64 {
        sid::of_slot(self.index, self.word.load(Ordering::Relaxed) >> PHASE_BITS)
    }

    #[inline]
    fn expected(sid: u64, phase: u64) -> u64 {
        (sid >> INDEX_BITS & GENERATION_MASK) << PHASE_BITS | phase
    }

    /// Answers the call, if it is still unanswered: the first one wins.
    #[inline]
    pub(crate) fn complete(
        &self,
        sid: u64,
        outcome: impl FnOnce() -> Outcome,
    ) -> Result<(), Refusal> {
        let pending = Self::expected(sid, PENDING);
        if self.word.load(Ordering::Relaxed) != pending {
            return Err(Refusal::Late);
        }
        // Made before the claim: nothing of the caller's runs between claim and publication.
        let outcome = outcome();
        self.word
            .compare_exchange(
                pending,
                Self::expected(sid, WRITING),
                Ordering::AcqRel,
                Ordering::Relaxed,
            )
            .map_err(|_| Refusal::Late)?;
        // SAFETY: the slot is WRITING and we moved it there (invariant 2).
        unsafe { *self.answer.get() = Some(outcome) };
        let published = self.word.compare_exchange(
            Self::expected(sid, WRITING),
            Self::expected(sid, DONE),
            Ordering::AcqRel,
            Ordering::Acquire,
        );
        if published.is_err() {
            // SAFETY: the slot is ABANDONED: the future is gone and left it to us.
            drop(unsafe { (*self.answer.get()).take() });
            self.release(sid);
            return Err(Refusal::Late);
        }
        // The future may take the answer and free the slot from here on: at worst the next call's
        // task is woken once for nothing and registers again.
        if let Some(waker) = self.waker.take() {
            crate::thread::current().wake(waker);
        }
        Ok(())
    }

    /// Claims the right to answer for the thread that is inside the call; the answer stays in its
    /// frame and the slot is released by it.
    #[inline]
    pub(crate) fn claim_for_frame(&self, sid: u64) -> bool {
        self.word
            .compare_exchange(
                Self::expected(sid, PENDING),
                Self::expected(sid, WRITING),
                Ordering::AcqRel,
                Ordering::Relaxed,
            )
            .is_ok()
    }

    /// Looks for the answer; registers `waker` if there is none yet. On `Ready` the slot has been
    /// released.
    pub(crate) fn poll(&self, sid: u64, waker: &Waker) -> Poll<Option<Outcome>> {
        let done = Self::expected(sid, DONE);
        if self.word.load(Ordering::Acquire) != done {
            self.waker.register(waker);
            if self.word.load(Ordering::Acquire) != done {
                return Poll::Pending;
            }
        }
        // SAFETY: the slot is DONE and only the call's one future gets here (invariant 3).
        let outcome = unsafe { (*self.answer.get()).take() };
        self.release(sid);
        Poll::Ready(outcome)
    }

    /// Ends a call that its own `handle` refused, and gives the slot up. False if it was answered.
    pub(crate) fn withdraw(&self, sid: u64) -> bool {
        let withdrawn = self.claim_for_frame(sid);
        if withdrawn {
            self.release(sid);
        }
        withdrawn
    }

    /// The caller leaves. True if the call was unanswered.
    pub(crate) fn abandon(&self, sid: u64) -> bool {
        loop {
            let word = self.word.load(Ordering::Acquire);
            if word == Self::expected(sid, PENDING) {
                let claimed = self.word.compare_exchange(
                    word,
                    Self::expected(sid, WRITING),
                    Ordering::AcqRel,
                    Ordering::Acquire,
                );
                if claimed.is_ok() {
                    self.release(sid);
                    return true;
                }
            } else if word == Self::expected(sid, WRITING) {
                let left = self.word.compare_exchange(
                    word,
                    Self::expected(sid, ABANDONED),
                    Ordering::AcqRel,
                    Ordering::Acquire,
                );
                if left.is_ok() {
                    return false;
                }
            } else {
                if word == Self::expected(sid, DONE) {
                    // SAFETY: the slot is DONE and the future that may read it is leaving.
                    drop(unsafe { (*self.answer.get()).take() });
                    self.release(sid);
                }
                return false;
            }
        }
    }

    /// Ends this generation and puts the slot on the calling thread's free list. The caller is the
    /// one that the phase entitles to it.
    #[inline]
    pub(crate) fn release(&self, sid: u64) {
        let next = ((sid >> INDEX_BITS).wrapping_add(1) & GENERATION_MASK) << PHASE_BITS | FREE;
        self.word.store(next, Ordering::Release);
        if self.has_state.load(Ordering::Relaxed) {
            self.drop_state();
        }
        crate::thread::current().free_slots.put(self);
    }

    /// The instance that was asked last.
    ///
    /// The slot must have been begun once, as every slot found by an id has.
    pub(crate) fn owner(&self) -> &'static Instance {
        // SAFETY: set by `begin` from a `&'static`, never to null, and instances are never freed.
        unsafe { &*self.owner.load(Ordering::Relaxed) }
    }

    /// True while `sid` is open, as a call or as a stream.
    pub(crate) fn is_open(&self, sid: u64) -> bool {
        let word = self.word.load(Ordering::Acquire);
        word == Self::expected(sid, PENDING)
            || word == Self::expected(sid, STREAM)
            || word == Self::expected(sid, WRITING)
    }

    #[inline]
    pub(crate) fn set_deadline_ms(&self, deadline_ms: u64) {
        self.deadline_ms.store(deadline_ms, Ordering::Relaxed);
    }

    /// The call is over at this time of [`timer::now_ns`].
    #[inline]
    pub(crate) fn set_due(&self, sid: u64, due_ns: u64) {
        self.set_deadline_ms(timer::ms_of_ns(due_ns));
        self.deadline.set(self.index, sid, due_ns);
    }

    /// Its place in the table.
    pub(crate) fn index(&self) -> u32 {
        self.index
    }

    pub(crate) fn deadline(&self) -> &Deadline {
        &self.deadline
    }

    pub(crate) fn deadline_ms(&self) -> u64 {
        self.deadline_ms.load(Ordering::Relaxed)
    }

    /// The stream's cell, if this slot ever carried a stream.
    #[inline]
    pub(crate) fn stream(&self) -> Option<&StreamCell> {
        self.stream.get().map(|cell| &**cell)
    }

    /// The stream's cell, made on first use and kept for the next stream in this slot.
    pub(crate) fn stream_or_new(&self) -> &StreamCell {
        self.stream.get_or_init(|| Box::new(StreamCell::new()))
    }

    /// The call's state, under its lock.
    pub(crate) fn state(&self) -> MutexGuard<'_, Option<Box<StateMap>>> {
        let state = self.state.lock();
        self.has_state.store(true, Ordering::Relaxed);
        state
    }

    /// The call is over, and with it its state. One that is set at this very moment is never
    /// seen: it carries the id of its call.
    #[cold]
    fn drop_state(&self) {
        let mut state = self.state.lock();
        self.has_state.store(false, Ordering::Relaxed);
        let ended = state.take();
        drop(state);
        drop(ended);
    }
}

/// Free slots of one thread, linked through their `next_free`.
pub(crate) struct FreeList {
    head: Cell<u32>,
    len: Cell<u32>,
}

impl FreeList {
    pub(crate) const fn new() -> Self {
        Self { head: Cell::new(NONE), len: Cell::new(0) }
    }

    /// Puts a free slot on the list.
    #[inline]
    fn put(&self, slot: &Slot) {
        slot.next_free.store(self.head.get(), Ordering::Relaxed);
        self.head.set(slot.index);
        self.len.set(self.len.get() + 1);
        if self.len.get() > THREAD_FREE_MAX {
            self.give_back(BATCH);
        }
    }

    #[inline]
    fn take(&self) -> Option<&'static Slot> {
        let slot = slot(self.head.get())?;
        self.head.set(slot.next_free.load(Ordering::Relaxed));
        self.len.set(self.len.get().saturating_sub(1));
        Some(slot)
    }

    /// Gives everything back for other threads; its thread ends.
    pub(crate) fn give_all_back(&self) {
        self.give_back(self.len.get());
    }

    #[cold]
    fn give_back(&self, count: u32) {
        let head = self.head.get();
        let mut last = None;
        let mut moved = 0;
        while moved < count {
            let Some(slot) = self.take() else { break };
            last = Some(slot);
            moved += 1;
        }
        if let Some(last) = last {
            last.next_free.store(NONE, Ordering::Relaxed);
            SHARED.lock().batches.push((head, moved));
        }
    }
}

/// A free slot, or `None` when [`SLOTS_MAX`] are in flight.
#[inline]
pub(crate) fn take_free(record: &ThreadRecord) -> Option<&'static Slot> {
    match record.free_slots.take() {
        Some(slot) => Some(slot),
        None => refill(record),
    }
}

#[cold]
fn refill(record: &ThreadRecord) -> Option<&'static Slot> {
    let mut shared = SHARED.lock();
    if let Some((head, len)) = shared.batches.pop() {
        record.free_slots.head.set(head);
        record.free_slots.len.set(len);
    } else {
        let at = shared.chunks;
        let place = CHUNKS.get(at)?;
        let first = at as u32 * CHUNK_SLOTS;
        // Random, so that an id cannot be guessed from the outside.
        let seed = RandomState::new();
        let chunk: Box<Chunk> = Box::new(std::array::from_fn(|offset| {
            let index = first + offset as u32;
            Slot::new(index, seed.hash_one(index))
        }));
        place.store(Box::into_raw(chunk), Ordering::Release);
        shared.chunks = at + 1;
        for index in first..first + CHUNK_SLOTS {
            if let Some(slot) = slot(index) {
                slot.next_free.store(record.free_slots.head.get(), Ordering::Relaxed);
                record.free_slots.head.set(index);
            }
        }
        record.free_slots.len.set(CHUNK_SLOTS);
    }
    drop(shared);
    record.free_slots.take()
}
