// SPDX-License-Identifier: BSD-3-Clause
//! `struct kcoro`: the fields of the header, and behind them the private ones.
//!
//! ```text
//!   0          256     264  272   280  288       296         304  308  312   316   320    368
//!   ┌──────────┬───────┬────┬─────┬────┬─────────┬───────────┬──────────────────┬───────┬─────────
//!   │ reg (32) │ state │ fn │ arg │ id │ main_co │ scheduler │ flags, refcount  │ stack,│ private
//!   └──────────┴───────┴────┴─────┴────┴─────────┴───────────┴──────────────────┴─names─┴─────────
//! ```
//!
//! # Invariants
//!
//! 1. `refcount` counts `CoroRef`s and the references of C. The last one ends the coroutine behind
//!    the object and frees it; while it ends, the count is `ENDING`, so that code on its stack may
//!    take and release references.
//! 2. The fiber belongs to the thread that set `running` from 0 to 1, or to the holder of the last
//!    reference.
//! 3. `state` is written by the thread that runs or resumes the coroutine, except PARKED → READY,
//!    which is written by a wake.

use std::alloc::{Layout, alloc, dealloc};
use std::cell::UnsafeCell;
use std::ffi::{c_char, c_int, c_void};
use std::mem::offset_of;
use std::ptr::{self, NonNull};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicPtr, AtomicU64, AtomicUsize, Ordering};
use std::thread::Thread;

use becket_chan::park::Unparker;
use becket_coro::fiber::Fiber;

use super::{main, manual, wake};
use crate::debug;

/// `kcoro_fn_t`, and `kc_task_fn`.
pub type Function = Option<unsafe extern "C" fn(*mut c_void)>;

/// `kcoro_state_t`.
pub(crate) mod state {
    use std::ffi::c_int;

    pub(crate) const CREATED: c_int = 0;
    pub(crate) const READY: c_int = 1;
    pub(crate) const RUNNING: c_int = 2;
    pub(crate) const SUSPENDED: c_int = 3;
    pub(crate) const PARKED: c_int = 4;
    pub(crate) const FINISHED: c_int = 5;
}

/// What an object stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Main,
    Manual,
    Scheduled,
}

/// `struct kcoro`.
#[repr(C)]
pub struct Coro {
    reg: [*mut c_void; 32],
    pub(crate) state: AtomicI32,
    pub(crate) function: Function,
    pub(crate) argument: *mut c_void,
    id: u64,
    pub(crate) main: AtomicPtr<Coro>,
    pub(crate) scheduler: AtomicPtr<c_void>,
    pub(crate) ready_enqueued: AtomicBool,
    pub(crate) running: AtomicI32,
    pub(crate) park_gate: AtomicI32,
    refcount: AtomicI32,
    stack_ptr: *mut c_void,
    stack_size: AtomicUsize,
    next: *mut Self,
    prev: *mut Self,
    pub(crate) name: AtomicPtr<c_char>,
    last_send_delivered: c_int,
    // The header ends here.
    role: AtomicI32,
    /// The wake word of waiting operations of a manually driven coroutine: as `park_gate`.
    pub(crate) wait_gate: AtomicI32,
    pub(crate) fiber: UnsafeCell<Option<Fiber>>,
    /// Its number for wakes, if it is driven manually; 0: none yet.
    pub(crate) number: AtomicU64,
    /// Wakes the coroutine that runs it: itself, or the one that drives the fiber.
    pub(crate) waker: OnceLock<Unparker>,
    /// The thread, of a main object.
    pub(crate) thread: OnceLock<Thread>,
}

// SAFETY: the fiber is touched by one owner at a time (invariant 2); the pointers are C's, whose
// functions may run on any thread, as the header says; the rest is atomic or never changes.
unsafe impl Send for Coro {}
// SAFETY: as above.
unsafe impl Sync for Coro {}

/// The part that the header shows.
pub(crate) const SIZE_PUBLIC: usize = 368;

const _: () = {
    assert!(offset_of!(Coro, state) == 256);
    assert!(offset_of!(Coro, function) == 264);
    assert!(offset_of!(Coro, argument) == 272);
    assert!(offset_of!(Coro, id) == 280);
    assert!(offset_of!(Coro, main) == 288);
    assert!(offset_of!(Coro, scheduler) == 296);
    assert!(offset_of!(Coro, ready_enqueued) == 304);
    assert!(offset_of!(Coro, running) == 308);
    assert!(offset_of!(Coro, park_gate) == 312);
    assert!(offset_of!(Coro, refcount) == 316);
    assert!(offset_of!(Coro, stack_ptr) == 320);
    assert!(offset_of!(Coro, stack_size) == 328);
    assert!(offset_of!(Coro, next) == 336);
    assert!(offset_of!(Coro, prev) == 344);
    assert!(offset_of!(Coro, name) == 352);
    assert!(offset_of!(Coro, last_send_delivered) == 360);
    assert!(offset_of!(Coro, role) >= 364 && offset_of!(Coro, role) <= SIZE_PUBLIC);
};

/// The count of an object that is being ended.
const ENDING: c_int = c_int::MAX / 2;

/// The smallest stack for C code: `printf` alone needs some kilobytes.
const STACK_MIN_BYTES: usize = 64 * 1024;

static IDS: AtomicU64 = AtomicU64::new(1);

/// The requested size, adjusted to the bounds.
pub(crate) fn stack_size(asked: usize) -> usize {
    asked.max(STACK_MIN_BYTES)
}

impl Coro {
    /// A new object with one reference; `None`: no memory.
    pub(crate) fn make(
        role: Role,
        function: Function,
        argument: *mut c_void,
        stack_size: usize,
    ) -> Option<CoroRef> {
        let layout = Layout::new::<Self>();
        // SAFETY: the layout is not empty.
        let place = NonNull::new(unsafe { alloc(layout) })?.cast::<Self>();
        let coro = Self {
            reg: [ptr::null_mut(); 32],
            state: AtomicI32::new(state::CREATED),
            function,
            argument,
            id: IDS.fetch_add(1, Ordering::Relaxed),
            main: AtomicPtr::new(ptr::null_mut()),
            scheduler: AtomicPtr::new(ptr::null_mut()),
            ready_enqueued: AtomicBool::new(false),
            running: AtomicI32::new(0),
            park_gate: AtomicI32::new(0),
            refcount: AtomicI32::new(1),
            stack_ptr: ptr::null_mut(),
            stack_size: AtomicUsize::new(stack_size),
            next: ptr::null_mut(),
            prev: ptr::null_mut(),
            name: AtomicPtr::new(ptr::null_mut()),
            last_send_delivered: 0,
            role: AtomicI32::new(role as c_int),
            wait_gate: AtomicI32::new(0),
            fiber: UnsafeCell::new(None),
            number: AtomicU64::new(0),
            waker: OnceLock::new(),
            thread: OnceLock::new(),
        };
        // SAFETY: just allocated, with this layout.
        unsafe { place.write(coro) };
        let made = CoroRef(place);
        if role != Role::Main {
            debug::log(debug::OBJECTS, || format!("coroutine {}: made", made.id));
        }
        Some(made)
    }

    pub(crate) fn role(&self) -> Role {
        match self.role.load(Ordering::Acquire) {
            value if value == Role::Main as c_int => Role::Main,
            value if value == Role::Manual as c_int => Role::Manual,
            _ => Role::Scheduled,
        }
    }

    /// Passes a manual coroutine that has not started to a scheduler. For the thread that set
    /// `running`.
    pub(crate) fn becomes_scheduled(&self) {
        self.role.store(Role::Scheduled as c_int, Ordering::Release);
    }

    /// Its number, for lines for a person.
    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    pub(crate) fn state(&self) -> c_int {
        self.state.load(Ordering::Relaxed)
    }

    pub(crate) fn set_state(&self, state: c_int) {
        self.state.store(state, Ordering::Relaxed);
    }

    pub(crate) fn is_finished(&self) -> bool {
        self.state.load(Ordering::Acquire) == state::FINISHED
    }

    pub(crate) fn finish(&self) {
        self.state.store(state::FINISHED, Ordering::Release);
        debug::log(debug::OBJECTS, || format!("coroutine {}: ended", self.id));
    }

    /// Wakes it: PARKED becomes READY. Other states stay.
    pub(crate) fn becomes_ready(&self) {
        let _ = self.state.compare_exchange(
            state::PARKED,
            state::READY,
            Ordering::AcqRel,
            Ordering::Relaxed,
        );
    }

    pub(crate) fn stack_size(&self) -> usize {
        self.stack_size.load(Ordering::Relaxed)
    }

    /// One more reference.
    pub(crate) fn share(&self) -> CoroRef {
        let before = self.refcount.fetch_add(1, Ordering::Relaxed);
        debug::log(debug::REFS, || counted(self.id, before.wrapping_add(1)));
        CoroRef(NonNull::from(self))
    }

    pub(crate) fn references(&self) -> c_int {
        self.refcount.load(Ordering::Acquire)
    }
}

/// A reference to an object.
#[derive(Debug)]
pub(crate) struct CoroRef(NonNull<Coro>);

// SAFETY: a counted reference to what is Send and Sync.
unsafe impl Send for CoroRef {}
// SAFETY: as above.
unsafe impl Sync for CoroRef {}

impl CoroRef {
    /// Converts the reference to a handle for C.
    pub(crate) fn into_raw(self) -> *mut Coro {
        let raw = self.0.as_ptr();
        let _given = std::mem::ManuallyDrop::new(self);
        raw
    }

    /// Takes over a reference of C.
    ///
    /// # Safety
    ///
    /// C gives up one reference to a valid object.
    pub(crate) unsafe fn from_raw(raw: NonNull<Coro>) -> Self {
        Self(raw)
    }

    pub(crate) fn as_ptr(&self) -> *mut Coro {
        self.0.as_ptr()
    }
}

impl std::ops::Deref for CoroRef {
    type Target = Coro;

    fn deref(&self) -> &Coro {
        // SAFETY: counted, so it is alive.
        unsafe { self.0.as_ref() }
    }
}

impl Clone for CoroRef {
    fn clone(&self) -> Self {
        self.share()
    }
}

impl Drop for CoroRef {
    fn drop(&mut self) {
        let id = self.id;
        let before = self.refcount.fetch_sub(1, Ordering::AcqRel);
        debug::log(debug::REFS, || counted(id, before.wrapping_sub(1)));
        if before == 1 {
            self.refcount.store(ENDING, Ordering::Relaxed);
            end(self.0);
        }
    }
}

/// A line of `KCORO_REF_DEBUG`.
fn counted(id: u64, references: c_int) -> String {
    format!("coroutine {id}: references {references}")
}

/// Called with the last reference.
#[cold]
fn end(raw: NonNull<Coro>) {
    // SAFETY: alive until it is freed below, by this thread.
    let coro = unsafe { raw.as_ref() };
    match coro.role() {
        Role::Main => main::forget(raw.as_ptr()),
        Role::Manual => manual::end(coro),
        Role::Scheduled => {}
    }
    wake::retire(coro);
    // SAFETY: no reference is left, and the coroutine behind it has ended.
    unsafe {
        ptr::drop_in_place(raw.as_ptr());
        dealloc(raw.as_ptr().cast(), Layout::new::<Coro>());
    }
}
