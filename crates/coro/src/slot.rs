// SPDX-License-Identifier: BSD-3-Clause
//! The table of coroutines: one per process, a slot for each living coroutine.
//!
//! A coroutine's key is its slot's index and the generation in which it has the slot. So a stale
//! key is detected by one comparison, and its holder needs no reference count. Slots are never
//! unmapped: data read from a stale one is old, but its memory exists.
//!
//! ```text
//!   key     63               24 23        0        table   chunk 0   chunk 1   ...
//!           ┌──────────────────┬───────────┐               ┌───────┐ ┌───────┐
//!           │ generation       │ index     │               │ slots │ │ slots │   4096 each, made
//!           └──────────────────┴───────────┘               └───────┘ └───────┘   on demand
//! ```
//!
//! # Access
//!
//! | part of a slot | accessed by |
//! |---|---|
//! | `wake` | any thread (see `wake_state`) |
//! | `flags`, `task`, `switch`, `link`, `locals`, `token`, `ending` | the holder of the slot: the thread that fills it, then the thread that takes it out of a deque, an injector or a free list; once started, its worker, or the thread that resumes it manually |
//! | `state`, `since`, `site`, `runtime`, `stack_size` | written by the holder of the slot; read by any thread, for a listing |

use std::{
    alloc::{Layout, alloc_zeroed, handle_alloc_error},
    cell::{Cell, UnsafeCell},
    mem::MaybeUninit,
    panic::Location,
    ptr,
    sync::{
        Arc,
        atomic::{AtomicPtr, AtomicU8, AtomicU32, AtomicU64, Ordering},
    },
};

use parking_lot::Mutex;

use crate::{
    error::JoinError,
    local::Locals,
    switch::{Link, Switch},
    wake_state::WakeState,
};

const INDEX_BITS: u32 = 24;
const CHUNK_SLOTS: usize = 4096;
/// The largest number of coroutines that live in a process at once.
pub(crate) const COROUTINES_MAX: usize = 1 << INDEX_BITS;
const CHUNKS: usize = COROUTINES_MAX / CHUNK_SLOTS;

/// The key of a coroutine: its slot and the generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct CoroutineKey(u64);

impl CoroutineKey {
    /// The key of no coroutine.
    pub(crate) const NONE: Self = Self(u64::MAX);

    #[inline]
    pub(crate) const fn new(index: u32, generation: u64) -> Self {
        Self((generation << INDEX_BITS) | index as u64)
    }

    #[inline]
    pub(crate) const fn index(self) -> u32 {
        (self.0 & (COROUTINES_MAX as u64 - 1)) as u32
    }

    #[inline]
    pub(crate) const fn generation(self) -> u64 {
        self.0 >> INDEX_BITS
    }

    #[inline]
    pub(crate) const fn from_bits(bits: usize) -> Self {
        Self(bits as u64)
    }

    #[inline]
    pub(crate) const fn bits(self) -> usize {
        self.0 as usize
    }
}

const _: () = assert!(usize::BITS == 64, "a coroutine's key is a word of 64 bits");

/// The state of a coroutine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum State {
    /// The slot is free.
    Free = 0,
    Fresh = 1,
    Ready = 2,
    Running = 3,
    Parked = 4,
    Sleeping = 5,
    /// Ended by an abandoned stack.
    Abandoned = 6,
    /// Ended; its slot is still in the inbox.
    Zombie = 7,
}

/// A coroutine's code, to be run once.
pub(crate) trait Run: Send + Sync {
    /// Runs it on the coroutine's own stack, to the end. Does not unwind.
    fn run(&self);
    /// Completes with this error instead of running.
    fn never(&self, why: JoinError);
}

/// One coroutine, or room for one.
#[repr(C, align(128))]
pub(crate) struct Slot {
    // The first line: what a turn touches.
    pub(crate) wake: WakeState,
    /// The slot's number. Written once, when the slot is first given out.
    index: Cell<u32>,
    state: AtomicU8,
    pub(crate) token: Cell<bool>,
    pub(crate) ending: Cell<bool>,
    flags: Cell<u8>,
    since: AtomicU64,
    switch: UnsafeCell<MaybeUninit<Switch>>,
    link: UnsafeCell<MaybeUninit<Link>>,
    // The second: what its start and its end touch.
    task: UnsafeCell<MaybeUninit<Arc<dyn Run>>>,
    pub(crate) locals: Cell<*mut Locals>,
    site: AtomicPtr<Location<'static>>,
    runtime: AtomicU32,
    /// The binary logarithm of the stack size, which is a power of two.
    stack_size_log2: AtomicU8,
}

// The sanitizers' data about a stack adds to this size.
#[cfg(not(feature = "sanitizer"))]
const _: () = assert!(size_of::<Slot>() == 128, "a million coroutines count every byte");
// Elsewhere a switch is a word longer.
#[cfg(all(target_arch = "x86_64", not(feature = "sanitizer")))]
const _: () = assert!(std::mem::offset_of!(Slot, task) <= 64, "a turn touches one line");

// SAFETY: only the holder of the slot touches the cells, and it passes from thread to thread
// through the wake state, a deque, an injector or a lock; the rest is atomic.
unsafe impl Sync for Slot {}

/// The coroutine has a name.
const NAMED: u8 = 1;
/// A fiber.
const MANUAL: u8 = 2;
/// Its timer has fired, and ended its wait.
const FIRED: u8 = 4;

impl Slot {
    /// Its number.
    #[inline]
    pub(crate) fn index(&self) -> u32 {
        self.index.get()
    }

    /// The key of the coroutine in it.
    #[inline]
    pub(crate) fn key(&self) -> CoroutineKey {
        CoroutineKey::new(self.index(), self.wake.generation())
    }

    /// Whether the coroutine has a name.
    #[inline]
    pub(crate) fn is_named(&self) -> bool {
        self.flags.get() & NAMED != 0
    }

    /// Records that the coroutine has a name.
    pub(crate) fn set_named(&self) {
        self.flags.set(self.flags.get() | NAMED);
    }

    /// Whether it is driven manually.
    #[inline]
    pub(crate) fn is_manual(&self) -> bool {
        self.flags.get() & MANUAL != 0
    }

    /// Marks it as driven manually.
    pub(crate) fn set_manual(&self) {
        self.flags.set(self.flags.get() | MANUAL);
    }

    /// Records that its timer has fired and ended its wait.
    #[inline]
    pub(crate) fn set_fired(&self) {
        self.flags.set(self.flags.get() | FIRED);
    }

    /// Whether its timer has fired and ended its wait, once.
    #[inline]
    pub(crate) fn take_fired(&self) -> bool {
        let flags = self.flags.get();
        self.flags.set(flags & !FIRED);
        flags & FIRED != 0
    }

    /// Fills a slot that the caller has taken.
    ///
    /// # Safety
    ///
    /// The caller holds the slot, and it is free.
    #[inline]
    pub(crate) unsafe fn fill(
        &self,
        task: Option<Arc<dyn Run>>,
        site: &'static Location<'static>,
        runtime: u32,
        stack_size: usize,
        now: u64,
    ) {
        self.token.set(false);
        self.ending.set(false);
        self.flags.set(0);
        self.runtime.store(runtime, Ordering::Relaxed);
        let log2 = stack_size.checked_ilog2().unwrap_or(0) as u8;
        self.stack_size_log2.store(log2, Ordering::Relaxed);
        self.site.store(ptr::from_ref(site).cast_mut(), Ordering::Relaxed);
        self.locals.set(ptr::null_mut());
        // SAFETY: held by the caller; free, so no value is overwritten that needs a drop.
        unsafe {
            (*self.link.get()).write(Link::NOWHERE);
            if let Some(task) = task {
                (*self.task.get()).write(task);
            }
        }
        self.set_state_at(State::Fresh, now);
    }

    /// Sets its stack.
    ///
    /// # Safety
    ///
    /// The caller holds the slot, which is filled and has none.
    #[inline]
    pub(crate) unsafe fn set_switch(&self, switch: Switch) {
        // SAFETY: held by the caller; no value is overwritten that needs a drop.
        unsafe { (*self.switch.get()).write(switch) };
    }

    /// Its stack and the position on it.
    ///
    /// # Safety
    ///
    /// The caller holds the slot, which has a stack.
    #[inline]
    #[expect(clippy::mut_from_ref, reason = "the holder of the slot has exclusive access")]
    pub(crate) unsafe fn switch(&self) -> &mut Switch {
        // SAFETY: initialised by `set_switch`.
        unsafe { (*self.switch.get()).assume_init_mut() }
    }

    /// Takes its stack out, after its end.
    ///
    /// # Safety
    ///
    /// As [`Self::switch`], once.
    #[inline]
    pub(crate) unsafe fn take_switch(&self) -> Switch {
        // SAFETY: initialised by `set_switch`, read out once.
        unsafe { (*self.switch.get()).assume_init_read() }
    }

    /// Its code, which stays in the slot while it runs, so that code that ends it without unwinding
    /// can complete its join handle.
    ///
    /// # Safety
    ///
    /// The caller holds the slot, which was filled with a task that was not taken.
    #[inline]
    pub(crate) unsafe fn task(&self) -> *const dyn Run {
        // SAFETY: initialised by `fill`.
        Arc::as_ptr(unsafe { (*self.task.get()).assume_init_ref() })
    }

    /// Takes its code out.
    ///
    /// # Safety
    ///
    /// The caller holds the slot, which was filled with a task; once.
    #[inline]
    pub(crate) unsafe fn take_task(&self) -> Arc<dyn Run> {
        // SAFETY: initialised by `fill`, read out once.
        unsafe { (*self.task.get()).assume_init_read() }
    }

    /// Stores the link by which its stack is left.
    ///
    /// # Safety
    ///
    /// The caller runs on that stack.
    #[inline]
    pub(crate) unsafe fn set_link(&self, link: Link) {
        // SAFETY: the running coroutine holds its slot.
        unsafe { (*self.link.get()).write(link) };
    }

    /// Prefetches the parts of the slot that a resume will touch (a first step); its stack is
    /// prefetched in a second, once the slot is in the cache.
    #[inline]
    pub(crate) fn prefetch(&self) {
        #[cfg(target_arch = "x86_64")]
        for line in 0..2 {
            use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
            let address = ptr::from_ref(self).cast::<i8>().wrapping_add(line * 64);
            // SAFETY: a prefetch reads nothing and never faults.
            unsafe { _mm_prefetch::<_MM_HINT_T0>(address) };
        }
    }

    /// As [`Self::prefetch`], of its stack.
    ///
    /// # Safety
    ///
    /// The caller holds the slot, which has a stack.
    #[inline]
    pub(crate) unsafe fn prefetch_stack(&self) {
        // SAFETY: the caller's promise.
        unsafe { self.switch() }.prefetch();
    }

    /// As [`Self::prefetch`], of its code's allocation, which it touches when it ends.
    ///
    /// # Safety
    ///
    /// The caller holds the slot, which was filled with a task. (If the task was taken out, its
    /// address is still there, and is not followed.)
    #[inline]
    pub(crate) unsafe fn prefetch_task(&self) {
        #[cfg(target_arch = "x86_64")]
        {
            use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
            // SAFETY: the caller's promise.
            let task = unsafe { self.task() }.cast::<i8>();
            for line in 0..2 {
                // SAFETY: a prefetch reads nothing and never faults.
                unsafe { _mm_prefetch::<_MM_HINT_T0>(task.wrapping_add(line * 64)) };
            }
        }
    }

    /// Leaves its stack for its resumer; returns when it is resumed again.
    ///
    /// # Safety
    ///
    /// The caller runs on that stack.
    #[inline]
    pub(crate) unsafe fn suspend(&self) {
        // SAFETY: set at the coroutine's start.
        unsafe { Switch::suspend((*self.link.get()).assume_init()) };
    }

    #[inline]
    pub(crate) fn state(&self) -> State {
        match self.state.load(Ordering::Relaxed) {
            1 => State::Fresh,
            2 => State::Ready,
            3 => State::Running,
            4 => State::Parked,
            5 => State::Sleeping,
            6 => State::Abandoned,
            7 => State::Zombie,
            _ => State::Free,
        }
    }

    #[inline]
    pub(crate) fn set_state(&self, state: State) {
        self.state.store(state as u8, Ordering::Relaxed);
    }

    /// Sets its state and since when.
    #[inline]
    pub(crate) fn set_state_at(&self, state: State, now: u64) {
        self.set_state(state);
        self.since.store(now, Ordering::Relaxed);
    }

    /// For a fiber: sets the deadline of its wait, in nanoseconds.
    pub(crate) fn set_since(&self, nanos: u64) {
        self.since.store(nanos, Ordering::Relaxed);
    }

    pub(crate) fn since(&self) -> u64 {
        self.since.load(Ordering::Relaxed)
    }

    pub(crate) fn runtime(&self) -> u32 {
        self.runtime.load(Ordering::Relaxed)
    }

    pub(crate) fn stack_size(&self) -> usize {
        1 << self.stack_size_log2.load(Ordering::Relaxed)
    }

    pub(crate) fn site(&self) -> Option<&'static Location<'static>> {
        // SAFETY: null, or a static location of the program.
        unsafe { self.site.load(Ordering::Relaxed).as_ref() }
    }
}

static TABLE: [AtomicPtr<Slot>; CHUNKS] = [const { AtomicPtr::new(ptr::null_mut()) }; CHUNKS];

/// The slot of this number, if its chunk exists. It may be free.
#[inline]
pub(crate) fn get(index: u32) -> Option<&'static Slot> {
    let index = index as usize;
    let chunk = TABLE.get(index / CHUNK_SLOTS)?.load(Ordering::Acquire);
    // SAFETY: a chunk has as many slots, all zeros at first, which is a valid free slot; it is
    // never unmapped.
    (!chunk.is_null()).then(|| unsafe { &*chunk.add(index % CHUNK_SLOTS) })
}

/// The number of slots that were ever given out, for a listing.
pub(crate) fn given_out() -> u32 {
    FREE.lock().untouched
}

/// Free slots: those that were returned, and those from number `untouched` on. Number 0 is never
/// used, so that no coroutine's key is 0.
struct Free {
    given_back: Vec<&'static Slot>,
    untouched: u32,
}

static FREE: Mutex<Free> = Mutex::new(Free { given_back: Vec::new(), untouched: 1 });

/// A few free slots for one thread: an array used as a stack.
///
/// Addresses, not a list through the slots: the data of a slot that was free for a while has left
/// the caches, so a list has to wait for each slot before it finds the next.
pub(crate) struct Cache {
    /// Those below `len` are ours and free.
    slots: [Cell<Option<&'static Slot>>; Self::CAPACITY],
    len: Cell<usize>,
}

impl Cache {
    /// The number of slots moved between a cache and the process's list at once.
    const BATCH: usize = 64;
    const CAPACITY: usize = 2 * Self::BATCH;
    /// The number of takes ahead at which a slot is prefetched.
    const AHEAD: usize = 2;

    pub(crate) const fn new() -> Self {
        Self { slots: [const { Cell::new(None) }; Self::CAPACITY], len: Cell::new(0) }
    }

    /// A free slot, now held by the caller. `None`: there are [`COROUTINES_MAX`].
    #[inline]
    pub(crate) fn take(&self) -> Option<&'static Slot> {
        if self.len.get() == 0 {
            self.refill();
        }
        let top = self.len.get().checked_sub(1)?;
        let slot = self.at(top)?;
        self.len.set(top);
        if let Some(soon) = top.checked_sub(Self::AHEAD).and_then(|place| self.at(place)) {
            soon.prefetch();
        }
        Some(slot)
    }

    #[inline]
    fn at(&self, place: usize) -> Option<&'static Slot> {
        self.slots.get(place).and_then(Cell::get)
    }

    /// Frees a slot whose generation was closed.
    #[inline]
    pub(crate) fn give(&self, slot: &'static Slot) {
        if self.len.get() == Self::CAPACITY {
            self.give_back(Self::BATCH);
        }
        let len = self.len.get();
        if let Some(place) = self.slots.get(len) {
            place.set(Some(slot));
            self.len.set(len + 1);
        }
    }

    #[cold]
    fn refill(&self) {
        let mut free = FREE.lock();
        let mut len = 0;
        for place in self.slots.iter().take(Self::BATCH) {
            let Some(slot) = free.take() else { break };
            place.set(Some(slot));
            len += 1;
        }
        self.len.set(len);
    }

    /// Gives the `count` oldest to the process's list.
    #[cold]
    fn give_back(&self, count: usize) {
        let len = self.len.get();
        let count = count.min(len);
        FREE.lock().given_back.extend(self.slots.iter().take(count).filter_map(Cell::get));
        for (place, kept) in (count..len).enumerate() {
            if let Some(place) = self.slots.get(place) {
                place.set(self.at(kept));
            }
        }
        self.len.set(len - count);
    }
}

impl Drop for Cache {
    fn drop(&mut self) {
        self.give_back(self.len.get());
    }
}

impl Free {
    fn take(&mut self) -> Option<&'static Slot> {
        if let Some(slot) = self.given_back.pop() {
            return Some(slot);
        }
        let index = self.untouched;
        let chunk = TABLE.get(index as usize / CHUNK_SLOTS)?;
        if chunk.load(Ordering::Relaxed).is_null() {
            chunk.store(new_chunk(), Ordering::Release);
        }
        let slot = get(index)?;
        slot.index.set(index);
        self.untouched += 1;
        Some(slot)
    }
}

fn new_chunk() -> *mut Slot {
    let Ok(layout) = Layout::array::<Slot>(CHUNK_SLOTS) else { return ptr::null_mut() };
    // SAFETY: the layout is not empty.
    let chunk = unsafe { alloc_zeroed(layout) };
    if chunk.is_null() {
        handle_alloc_error(layout);
    }
    chunk.cast()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn each_free_slot_is_given_out_once_and_the_newest_first() {
        let cache = Cache::new();
        let count = 3 * Cache::CAPACITY + 1;
        for _ in 0..2 {
            let slots: Vec<_> = (0..count).map(|_| cache.take().unwrap()).collect();
            let numbers: HashSet<_> = slots.iter().map(|slot| slot.index()).collect();
            assert_eq!(numbers.len(), count);
            for slot in &slots {
                cache.give(slot);
                assert!(cache.len.get() <= Cache::CAPACITY);
            }
            let kept = cache.len.get();
            assert!(kept >= Cache::CAPACITY - Cache::BATCH);
            let again: Vec<_> = (0..kept).map(|_| cache.take().unwrap()).collect();
            assert!(again.iter().zip(slots.iter().rev()).all(|(a, b)| ptr::eq(*a, *b)));
            again.into_iter().rev().for_each(|slot| cache.give(slot));
        }
    }
}
