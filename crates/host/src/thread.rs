// SPDX-License-Identifier: BSD-3-Clause
//! One record a thread: which plugin it is inside of, and what it needs without sharing.
//!
//! A call marks its thread as "inside this instance" with a plain store, and the side that wants
//! to retire an instance pays: it runs [`becket_chan::fence::heavy`] and then reads every thread's
//! marks. These are hazard pointers whose fence the reader does not execute (M. Michael, "Hazard
//! Pointers", 2004; asymmetric fences as in Folly).
//!
//! ```text
//!   ThreadRecord
//!   ├─ shared: written by the owner, read by any thread
//!   │    marks [0..8]   the instances the thread is inside of, outermost first
//!   │    turns          how often it entered; the watchdog compares it over time
//!   │    waiting        it is not inside yet: another thread has to leave first
//!   │    worker, tid    what kind of thread it is, and its number
//!   │    kept           wakes that wait until it is not lent any more
//!   └─ owner only
//!        depth · frame · lent · answers came · local sequence · free slots and blocks
//! ```
//!
//! # Invariants
//!
//! 1. The record of a running thread belongs to that thread alone; it is handed to another through
//!    the registry's lock only after its owner ended.
//! 2. `marks[..depth]` are set, the rest are null.
//! 3. Records are never freed: a thread may call back at any time. There are as many as there were
//!    threads at once.

use std::{
    cell::Cell,
    collections::VecDeque,
    ffi::c_void,
    ptr,
    sync::{
        LazyLock,
        atomic::{AtomicBool, AtomicI32, AtomicPtr, AtomicU64, Ordering},
    },
    task::Waker,
};

use becket_chan::fence;

use crate::{
    frame::CallFrame, instance::Instance, jobs, reentry::Mutex, small::FreeBlocks, sys,
    table::FreeList, timer,
};

/// Vtable calls of one thread that may be nested in one another.
pub(crate) const DEPTH_MAX: usize = 8;

/// See the module's documentation.
pub(crate) struct ThreadRecord {
    marks: [AtomicPtr<Instance>; DEPTH_MAX],
    turns: AtomicU64,
    waiting: AtomicBool,
    /// It is a worker of some plugin, or acts as one: nothing else waits on it.
    worker: AtomicBool,
    /// It has been inside a plugin for longer than a tick of the watchdog, since it last looked.
    was_stuck: AtomicBool,
    /// The system's number of the thread.
    tid: AtomicI32,
    /// A number that no other running thread has.
    pub(crate) index: u32,
    depth: Cell<usize>,
    frame: Cell<*const CallFrame>,
    local_sequence: Cell<u64>,
    /// The thread is an executor's, and counted as being inside a plugin.
    pub(crate) lent: Cell<bool>,
    /// The thread holds what others wait for: see [`lend_nothing`].
    pub(crate) lends_nothing: Cell<bool>,
    /// A deferral of wakes, and when the first answer under it came.
    answers_came: Cell<(u64, u64)>,
    /// What is woken when the thread is not lent any more.
    kept: Mutex<VecDeque<Waker>>,
    pub(crate) free_slots: FreeList,
    pub(crate) free_blocks: FreeBlocks,
}

/// See [`ThreadRecord::as_worker`]. Dropped when the thread has left the plugin.
#[must_use]
pub(crate) struct AsWorker {
    record: &'static ThreadRecord,
    was: bool,
}

impl Drop for AsWorker {
    fn drop(&mut self) {
        self.record.worker.store(self.was, Ordering::Relaxed);
    }
}

// SAFETY: the atomics may be used from anywhere; the cells are touched only through `current()`,
// that is, by the thread that owns the record, and ownership passes through the registry's lock.
unsafe impl Sync for ThreadRecord {}

struct Registry {
    all: Vec<&'static ThreadRecord>,
    idle: Vec<&'static ThreadRecord>,
}

static REGISTRY: Mutex<Registry> = Mutex::new(Registry { all: Vec::new(), idle: Vec::new() });

/// Gives the record back when its thread ends.
unsafe extern "C" fn give_back(_: *mut c_void) {
    if let Some(record) = CURRENT.take() {
        record.free_slots.give_all_back();
        record.worker.store(false, Ordering::Relaxed);
        record.lends_nothing.set(false);
        REGISTRY.lock().idle.push(record);
    }
}

/// What calls [`give_back`]. A key of pthreads and no variable with a destructor, because what else
/// the thread destroys may come back here, and the destructor of a key runs after those of all such
/// variables, and again if it was set anew meanwhile.
static AT_END: LazyLock<Option<libc::pthread_key_t>> = LazyLock::new(|| {
    let mut key = 0;
    // SAFETY: `key` is ours to write; the function is one of this program, for any value.
    let made = unsafe { libc::pthread_key_create(&raw mut key, Some(give_back)) };
    (made == 0).then_some(key)
});

thread_local! {
    // Needs no registration of a destructor, and can be read until the thread is gone.
    static CURRENT: Cell<Option<&'static ThreadRecord>> = const { Cell::new(None) };
}

/// The calling thread's record.
#[inline]
pub(crate) fn current() -> &'static ThreadRecord {
    match CURRENT.get() {
        Some(record) => record,
        None => adopt(),
    }
}

/// The innermost frame of the calling thread, or null. Makes no record for a thread that has none, so that it is a few
/// loads and no call.
#[inline]
pub(crate) fn innermost_frame() -> *const CallFrame {
    CURRENT.get().map_or(ptr::null(), ThreadRecord::frame)
}

#[cold]
fn adopt() -> &'static ThreadRecord {
    fence::register();
    let record = {
        let mut registry = REGISTRY.lock();
        if let Some(idle) = registry.idle.pop() {
            idle
        } else {
            let record: &'static ThreadRecord =
                Box::leak(Box::new(ThreadRecord::new(registry.all.len() as u32)));
            registry.all.push(record);
            record
        }
    };
    record.tid.store(sys::thread_number(), Ordering::Relaxed);
    // Those were another thread's deferrals.
    record.answers_came.set((0, 0));
    CURRENT.set(Some(record));
    // Without a key, of which a process has some thousand, the record stays out of use at the end.
    if let Some(key) = *AT_END {
        // SAFETY: the key was made and is never deleted. Any value but null has it called.
        unsafe { libc::pthread_setspecific(key, ptr::from_ref(record).cast()) };
    }
    record
}

/// Every record, to be read from outside its thread.
pub(crate) fn all() -> Vec<&'static ThreadRecord> {
    REGISTRY.lock().all.clone()
}

/// True while some thread is inside `instance`, which the caller has made unreachable.
pub(crate) fn anyone_inside(instance: &Instance) -> bool {
    fence::heavy();
    all().iter().any(|record| record.is_inside(instance))
}

/// The instance was replaced while it was being marked: marks the new one, and wakes the drain of
/// the old one: the mark on it, which a retirement may have seen, is gone.
#[cold]
fn follow(
    mark: &AtomicPtr<Instance>,
    current: &AtomicPtr<Instance>,
    mut marked: *mut Instance,
) -> *mut Instance {
    loop {
        let now = current.load(Ordering::Acquire);
        if now == marked {
            return now;
        }
        mark.store(now, Ordering::Relaxed);
        fence::light();
        // SAFETY: null, or an instance, which are never freed.
        if let Some(old) = unsafe { marked.as_ref() } {
            old.notify_drain();
        }
        marked = now;
    }
}

/// Runs `f`, in which the calling thread is not lent to plugins that another process's host runs here
/// ([`Observer`](crate::Observer)) or that [mind](crate::Plugin::mind_lending) it, nor releases bytes of any other:
/// workers of the plugin do that. For code that holds a lock and polls calls or drops responses under it, and may be
/// woken to do so inside a plugin.
pub fn lend_nothing<R>(f: impl FnOnce() -> R) -> R {
    let record = current();
    let before = record.lends_nothing.replace(true);
    let result = f();
    record.lends_nothing.set(before);
    result
}

/// As [`lend_nothing`], for all that the calling thread runs until it ends. For a thread that has more to do than to
/// call plugins: it serves a connection, say.
pub fn lend_nothing_here() {
    current().lends_nothing.set(true);
}

impl ThreadRecord {
    fn new(index: u32) -> Self {
        Self {
            marks: [const { AtomicPtr::new(ptr::null_mut()) }; DEPTH_MAX],
            turns: AtomicU64::new(0),
            waiting: AtomicBool::new(false),
            worker: AtomicBool::new(false),
            was_stuck: AtomicBool::new(false),
            tid: AtomicI32::new(0),
            index,
            depth: Cell::new(0),
            frame: Cell::new(ptr::null()),
            local_sequence: Cell::new(0),
            lent: Cell::new(false),
            lends_nothing: Cell::new(false),
            answers_came: Cell::new((0, 0)),
            kept: Mutex::new(VecDeque::new()),
            free_slots: FreeList::new(),
            free_blocks: FreeBlocks::new(),
        }
    }

    /// Marks this thread as inside what `current` points to, and returns that. `None` at
    /// [`DEPTH_MAX`] nested calls; `Some(null)` when nothing is there.
    #[inline]
    pub(crate) fn enter(&self, current: &AtomicPtr<Instance>) -> Option<*mut Instance> {
        let depth = self.depth.get();
        let mark = self.marks.get(depth)?;
        let mut instance = current.load(Ordering::Acquire);
        mark.store(instance, Ordering::Relaxed);
        // Pairs with the heavy barrier of a retirement: either it sees the mark, or we see that
        // the instance was replaced.
        fence::light();
        let now = current.load(Ordering::Acquire);
        if now != instance {
            instance = follow(mark, current, instance);
        }
        self.entered(depth);
        Some(instance)
    }

    /// The same for an instance that something else keeps. False at [`DEPTH_MAX`] nested calls.
    #[inline]
    pub(crate) fn enter_kept(&self, instance: &Instance) -> bool {
        let depth = self.depth.get();
        let Some(mark) = self.marks.get(depth) else { return false };
        mark.store(ptr::from_ref(instance).cast_mut(), Ordering::Relaxed);
        // What keeps the instance may be looked at from here on: as in `enter`.
        fence::light();
        self.entered(depth);
        true
    }

    #[inline]
    fn entered(&self, depth: usize) {
        self.depth.set(depth + 1);
        self.turns.store(self.turns.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
        crate::watchdog::notify_entered();
    }

    /// Takes the innermost mark back.
    #[inline]
    pub(crate) fn leave(&self) {
        let depth = self.depth.get().wrapping_sub(1);
        // Always there: `enter` set it.
        if let Some(mark) = self.marks.get(depth) {
            mark.store(ptr::null_mut(), Ordering::Release);
            self.depth.set(depth);
        }
        // Pairs with the heavy barrier of a retirement, as in `enter`, for the flag that asks
        // for a notification.
        fence::light();
    }

    /// How many vtable calls the thread is inside of.
    #[inline]
    pub(crate) fn depth(&self) -> usize {
        self.depth.get()
    }

    /// True while the thread is inside any vtable call.
    #[inline]
    pub(crate) fn is_busy(&self) -> bool {
        self.depth.get() > 0
    }

    /// True if `sid` is the local one that this thread gave out last: that of the notification it
    /// is inside of.
    pub(crate) fn is_latest_local(&self, sid: u64) -> bool {
        self.is_busy() && sid == crate::sid::local(self.index, self.local_sequence.get())
    }

    /// The calling thread is a worker of a plugin.
    pub(crate) fn set_worker(&self) {
        self.worker.store(true, Ordering::Relaxed);
    }

    /// Until the result is dropped, what runs inside a plugin on this thread is a worker's: it
    /// was not lent for a call, and may take its time.
    pub(crate) fn as_worker(&'static self) -> AsWorker {
        AsWorker { record: self, was: self.worker.swap(true, Ordering::Relaxed) }
    }

    /// It has been inside a plugin for longer than a tick of the watchdog.
    pub(crate) fn set_stuck(&self) {
        self.was_stuck.store(true, Ordering::Relaxed);
    }

    /// Whether it was, since this was asked last.
    pub(crate) fn take_stuck(&self) -> bool {
        self.was_stuck.load(Ordering::Relaxed) && self.was_stuck.swap(false, Ordering::Relaxed)
    }

    /// True on a worker of some plugin.
    #[inline]
    pub(crate) fn is_worker(&self) -> bool {
        self.worker.load(Ordering::Relaxed)
    }

    /// Wakes a task, for the owner of the record, where [`becket_chan::wakes`] allows it. On a thread
    /// that is lent to a plugin the wake is kept: see [`crate::executor`].
    #[inline]
    pub(crate) fn wake(&self, waker: Waker) {
        match self.lent.get() {
            true => self.kept.lock().push_back(waker),
            false => becket_chan::wakes::wake(waker),
        }
    }

    /// Answers from elsewhere come under a deferral of wakes, many at once: the clock is read for the
    /// first one.
    #[inline]
    pub(crate) fn answers_come(&self) {
        if let Some(deferral) = becket_chan::wakes::deferral()
            && self.answers_came.get().0 != deferral
        {
            self.answers_came.set((deferral, timer::now_ns()));
        }
    }

    /// When the answers came that this thread now hands over, by [`timer::now_ns`]; 0: not known.
    #[inline]
    pub(crate) fn answers_came(&self) -> u64 {
        let (deferral, ns) = self.answers_came.get();
        if becket_chan::wakes::deferral() == Some(deferral) { ns } else { 0 }
    }

    /// Wakes the tasks whose wakes were kept.
    pub(crate) fn fire_kept(&self) {
        loop {
            let next = self.kept.lock().pop_front();
            let Some(waker) = next else { return };
            jobs::wake(waker);
        }
    }

    /// The system's number of the thread.
    pub(crate) fn tid(&self) -> i32 {
        self.tid.load(Ordering::Relaxed)
    }

    pub(crate) fn is_inside(&self, instance: &Instance) -> bool {
        self.marks.iter().any(|mark| ptr::eq(mark.load(Ordering::Acquire), instance))
    }

    /// Runs `f`, which waits for another thread to leave the plugin.
    #[cold]
    pub(crate) fn while_waiting<R>(&self, f: impl FnOnce() -> R) -> R {
        self.waiting.store(true, Ordering::Relaxed);
        let result = f();
        self.waiting.store(false, Ordering::Relaxed);
        result
    }

    /// What the watchdog compares: how often the thread entered, and the innermost instance that
    /// it is inside of, or null.
    pub(crate) fn observed(&self) -> (u64, *mut Instance) {
        let turns = self.turns.load(Ordering::Acquire);
        if self.waiting.load(Ordering::Relaxed) {
            return (turns, ptr::null_mut());
        }
        let marks = self.marks.iter().map(|mark| mark.load(Ordering::Acquire));
        (turns, marks.take_while(|mark| !mark.is_null()).last().unwrap_or(ptr::null_mut()))
    }

    /// The innermost frame of this thread, or null.
    #[inline]
    pub(crate) fn frame(&self) -> *const CallFrame {
        self.frame.get()
    }

    /// Makes `frame` the innermost one and returns the one before.
    #[inline]
    pub(crate) fn swap_frame(&self, frame: *const CallFrame) -> *const CallFrame {
        self.frame.replace(frame)
    }

    /// An id for a call that is answered on this thread or not at all.
    #[inline]
    pub(crate) fn next_local_sid(&self) -> u64 {
        let sequence = self.local_sequence.get().wrapping_add(1);
        self.local_sequence.set(sequence);
        crate::sid::local(self.index, sequence)
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, task::Wake};

    use super::*;

    /// Comes back to the host while its thread is being torn down.
    struct Late;

    impl Drop for Late {
        fn drop(&mut self) {
            let record = current();
            assert!(crate::table::take_free(record).is_some());
        }
    }

    thread_local! {
        static LATE: Late = const { Late };
    }

    fn run_a_thread() {
        let thread = std::thread::spawn(|| {
            // Registered first, so dropped last.
            LATE.with(|_| ());
            assert!(crate::table::take_free(current()).is_some());
        });
        thread.join().unwrap();
    }

    struct Count(AtomicU64);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    struct Panics;

    impl Wake for Panics {
        fn wake(self: Arc<Self>) {
            panic!("a waker of the user's");
        }
    }

    #[test]
    fn a_kept_wake_that_panics_keeps_back_none_of_the_others() {
        let count = Arc::new(Count(AtomicU64::new(0)));
        let record = current();
        record.lent.set(true);
        record.wake(Arc::new(Panics).into());
        record.wake(count.clone().into());
        record.lent.set(false);
        record.fire_kept();
        assert_eq!(count.0.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn a_thread_that_comes_back_while_it_ends_loses_no_record() {
        let before = all().len();
        (0..64).for_each(|_| run_a_thread());
        // Other tests run beside this one, on fewer threads than that.
        assert!(all().len() < before + 48, "{before} records, then {}", all().len());
    }
}
