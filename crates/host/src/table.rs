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
//!     ▲              │  ▲ │ poll          │ │ poll
//!     │              │  │ ▼               │ ▼
//!     │              │ WAITING ─claim─▶ WAITED
//!     │              │    │ abandon        │ publish, from either
//!     │◀─────────────┴────┘                ├──▶ DONE ──take──▶ FREE
//!     │◀─────────(the answerer)────────────┴──▶ FREE, if ABANDONED meanwhile
//! ```
//!
//! # Invariants
//!
//! 1. `FREE` with generation g+1 follows whatever ended generation g: an id of g is never valid
//!    again.
//! 2. Exactly one thread claims a slot: `PENDING → WRITING`, or `WAITING → WAITED`; it alone
//!    touches `answer` until it publishes. First answer wins.
//! 3. `answer` is read by the call's future in `DONE`, which only that future leaves.
//! 4. Chunks are never freed; the table grows to what was in flight at once, at most
//!    [`SLOTS_MAX`], and is shared by all hosts of the process.
//! 5. `waker` belongs to the call's future, except in `WAITING`, where no thread touches it, and in
//!    `WAITED`, where it is the answerer's. So a future that left a waker is woken once, and the
//!    answerer does not touch a slot that it has published.

mod free;
mod phase;

use std::{
    ptr,
    sync::{
        OnceLock,
        atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64, Ordering},
    },
    task::Waker,
};

use becket_abi::NrStatus;

use crate::{
    body::Body,
    deadline::Deadline,
    instance::Instance,
    reentry::{Mutex, MutexGuard},
    sid::{self, GENERATION_MASK, INDEX_BITS},
    state::StateMap,
    stream::StreamCell,
    sync::UnsafeCell,
    timer,
};

pub(crate) use self::free::{FreeList, take_free};
pub(crate) use self::phase::Refusal;
use self::phase::{FREE, PENDING, PHASE_BITS, PHASE_MASK, STREAM, WAITED, WAITING, WRITING};

const CHUNK_SLOTS: u32 = 256;
/// Calls and streams that can be in flight in one process.
pub(crate) const SLOTS_MAX: u32 = 1 << INDEX_BITS;
const CHUNKS_MAX: usize = (SLOTS_MAX / CHUNK_SLOTS) as usize;

/// In place of a slot's index.
const NONE: u32 = u32::MAX;

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
    waker: UnsafeCell<Option<Waker>>,
    answer: UnsafeCell<Option<Outcome>>,
    /// When it came, by [`timer::now_ns`]; 0: not known. Written with `answer`.
    answered_ns: AtomicU64,
    stream: OnceLock<Box<StreamCell>>,
    state: Mutex<Option<Box<StateMap>>>,
    /// `state` holds something.
    has_state: AtomicBool,
}

// SAFETY: `answer` and `waker` are the only fields that are not `Sync` by themselves; invariants 2, 3
// and 5 give each phase one thread that may touch them, and `Outcome` and `Waker` are `Send`.
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
        PENDING | WAITING => Ok(Target::Call(slot)),
        STREAM => Ok(Target::Stream(slot)),
        _ => Err(Refusal::Late),
    }
}

/// The stream that `sid` leads to, if it is open and belongs to what stands at `owner`. [`find`] has the reason
/// if there is none.
#[inline(always)]
pub(crate) fn stream_of(sid: u64, owner: *const Instance) -> Option<&'static StreamCell> {
    let (index, generation) = sid::split(sid)?;
    let slot = slot(index)?;
    let is_it = slot.word.load(Ordering::Acquire) == generation << PHASE_BITS | STREAM
        && ptr::eq(slot.owner.load(Ordering::Relaxed), owner);
    if is_it { slot.stream() } else { None }
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
            PENDING | WAITING => slot.complete(sid, || Outcome::Unloaded).is_ok(),
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
            waker: UnsafeCell::new(None),
            answer: UnsafeCell::new(None),
            answered_ns: AtomicU64::new(0),
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
        self.owner.store(ptr::from_ref(owner).cast_mut(), Ordering::Relaxed);
        self.open(phase)
    }

    /// Opens it for the owner that it has.
    #[inline]
    fn open(&self, phase: u64) -> u64 {
        let generation = self.word.load(Ordering::Relaxed) >> PHASE_BITS;
        self.deadline_ms.store(0, Ordering::Relaxed);
        // Release: a thread that sees this generation open sees its owner.
        self.word.store(generation << PHASE_BITS | phase, Ordering::Release);
        sid::of_slot(self.index, generation)
    }

    /// The id that the next `begin` will give; the caller holds the free slot.
    pub(crate) fn next_sid(&self) -> u64 {
        sid::of_slot(self.index, self.word.load(Ordering::Relaxed) >> PHASE_BITS)
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
        self.is_unanswered(sid, word)
            || [STREAM, WRITING, WAITED].iter().any(|phase| word == Self::expected(sid, *phase))
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

#[cfg(test)]
mod tests {
    use std::{
        hint,
        sync::{Arc, mpsc},
        task::{Poll, Wake},
        thread::{self, Thread},
    };

    use super::*;

    struct Task {
        thread: Thread,
        is_woken: AtomicBool,
    }

    impl Wake for Task {
        fn wake(self: Arc<Self>) {
            self.is_woken.store(true, Ordering::Release);
            self.thread.unpark();
        }
    }

    #[test]
    fn the_task_that_polled_last_is_woken_whenever_the_answer_comes() {
        let (ask, asked) = mpsc::channel::<(u64, u32)>();
        let answerer = thread::spawn(move || {
            let mut taken = 0;
            for (sid, spins) in asked {
                (0..spins).for_each(|_| hint::spin_loop());
                let slot = slot(sid::split(sid).unwrap().0).unwrap();
                taken += u32::from(slot.complete(sid, || Outcome::Crashed).is_ok());
                assert_eq!(slot.complete(sid, || Outcome::Crashed), Err(Refusal::Late));
            }
            taken
        });
        let new = || Task { thread: thread::current(), is_woken: AtomicBool::new(false) };
        let tasks = [Arc::new(new()), Arc::new(new())];
        let wakers = tasks.each_ref().map(|task| Waker::from(task.clone()));
        let mut answered = 0;
        for round in 0..6000 {
            let slot = take_free(crate::thread::current()).unwrap();
            let sid = slot.open(PENDING);
            tasks.iter().for_each(|task| task.is_woken.store(false, Ordering::Relaxed));
            ask.send((sid, round * 7 % 512)).unwrap();
            (0..round % 64).for_each(|_| hint::spin_loop());
            // Polled by one task, or by both.
            let polls = if round % 2 == 0 { 1 } else { 2 };
            let mut is_over = false;
            for waker in wakers.iter().take(polls) {
                is_over = is_over || slot.poll(sid, waker).is_ready();
            }
            if is_over {
                answered += 1;
                continue;
            }
            if round % 5 == 0 {
                answered += u32::from(!slot.abandon(sid));
                continue;
            }
            loop {
                let last = &tasks[polls - 1];
                while !last.is_woken.swap(false, Ordering::Acquire) {
                    thread::park();
                }
                if let Poll::Ready((outcome, _)) = slot.poll(sid, &wakers[polls - 1]) {
                    assert!(matches!(outcome, Some(Outcome::Crashed)));
                    answered += 1;
                    break;
                }
            }
        }
        drop(ask);
        // An answer to a call that was abandoned meanwhile was not taken.
        let taken = answerer.join().unwrap();
        assert!(taken <= answered, "{taken} were taken, and {answered} found");
    }

    #[test]
    fn one_thread_notifies_the_plugin_when_the_caller_leaves_at_the_deadline() {
        let (ask, asked) = mpsc::channel::<(u64, u32)>();
        let (report, reported) = mpsc::channel();
        let timer = thread::spawn(move || {
            for (sid, spins) in asked {
                (0..spins).for_each(|_| hint::spin_loop());
                report.send(slot(sid::split(sid).unwrap().0).unwrap().expire(sid)).unwrap();
            }
        });
        for round in 0..20_000 {
            let slot = take_free(crate::thread::current()).unwrap();
            let sid = slot.open(PENDING);
            let _ = slot.poll(sid, Waker::noop());
            ask.send((sid, round * 7 % 512)).unwrap();
            (0..round % 512).for_each(|_| hint::spin_loop());
            let notifies = [slot.abandon(sid), reported.recv().unwrap()];
            assert_ne!(notifies[0], notifies[1], "the caller, the timer: round {round}");
        }
        drop(ask);
        timer.join().unwrap();
    }
}
