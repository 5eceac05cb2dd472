// SPDX-License-Identifier: BSD-3-Clause
//! `kc_job.h`: a tree of work that ends together.
//!
//! A job counts its `open` parts: its own coroutine, or the hold of a job without one, and its
//! children. It ends when no part is open any more.
//!
//! ```text
//!   open = own (1) + children          parent ◄── held by ── child
//!   own ends with the coroutine, or when a job without one is joined, cancelled, or released
//! ```
//!
//! # Invariants
//!
//! 1. When a job is cancelled or fails, first the phase changes, with the code, then the token is
//!    set, and with it the tokens of all below. The phases below follow when they are read, or end.
//! 2. The phase changes to a final one once, together with `open` reaching 0, under the lock; then
//!    `done` is set and the parent is notified, in this order, without the lock.
//! 3. Locks are taken one at a time.

use std::ffi::{c_int, c_uint, c_void};
use std::future::Future as _;
use std::panic::Location;
use std::pin::Pin;
use std::ptr;
use std::sync::{Arc, Weak};
use std::task::{self, Wake, Waker};
use std::time::Instant;

use becket_chan::Token;
use becket_chan::timer::{self, Sleep};
use parking_lot::Mutex;

use crate::boundary::call;
use crate::cancel::{Cancel, kc_cancel_destroy};
use crate::context::{self, Context, KC_CTX_KEY_CANCEL, KC_CTX_KEY_JOB};
use crate::core::flow;
use crate::core::object::{Coro, Function, Role, stack_size};
use crate::errno;
use crate::sched::{Body, Start, default};

const SUPERVISOR: c_uint = 1;
const DETACHED: c_uint = 2;
const TIMEOUT_WRAPPER: c_uint = 4;

/// Internal flag: it has a coroutine of its own.
const LAUNCHED: c_uint = 1 << 31;

const EDEADLK: c_int = -libc::EDEADLK;

/// `kc_job_state_t`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub enum Phase {
    /// `KC_JOB_ACTIVE`.
    Active = 0,
    /// `KC_JOB_CANCELLING`.
    Cancelling,
    /// `KC_JOB_CANCELLED`.
    Cancelled,
    /// `KC_JOB_COMPLETED`.
    Completed,
    /// `KC_JOB_FAILED`.
    Failed,
}

/// `kc_job_t`.
pub struct Job {
    /// The job that waits for it; none if it is detached.
    parent: Option<Arc<Self>>,
    supervisor: bool,
    /// It has a coroutine of its own.
    launched: bool,
    cancel: Arc<Cancel>,
    state: Mutex<State>,
    done: Token,
    /// Cancels it at the deadline of a context.
    deadline: Mutex<Option<Sleep>>,
}

/// The waker of a job's deadline.
struct AtDeadline(Weak<Job>);

impl Wake for AtDeadline {
    fn wake(self: Arc<Self>) {
        if let Some(job) = self.0.upgrade() {
            job.cancel_from_outside(errno::ETIME);
        }
    }
}

struct State {
    phase: Phase,
    failed: bool,
    code: c_int,
    /// Its coroutine runs, or its handle was not released.
    own: bool,
    children: usize,
}

impl State {
    fn is_final(&self) -> bool {
        matches!(self.phase, Phase::Cancelled | Phase::Completed | Phase::Failed)
    }

    /// Starts its end, with this code unless there is one.
    fn cancelling(&mut self, code: c_int) {
        if self.phase == Phase::Active {
            self.phase = Phase::Cancelling;
            self.code = code;
        }
    }
}

/// As the header says: the result is negative whatever the sign; 0 is a plain cancel.
fn code_of(reason: c_int) -> c_int {
    match reason {
        0 => errno::ECANCELED,
        reason => reason.checked_abs().map_or(reason, |positive| -positive),
    }
}

impl Job {
    /// A job below `parent`. It is open until [`Self::let_go`]. An error: the parent has ended.
    fn new(parent: Option<&Arc<Self>>, flags: c_uint) -> Result<Arc<Self>, ()> {
        let parent = parent.filter(|_| flags & DETACHED == 0);
        if let Some(parent) = parent {
            let mut state = parent.state.lock();
            if state.is_final() {
                return Err(());
            }
            state.children += 1;
        }
        let cancel = Cancel::below(parent.map(|parent| &parent.cancel));
        Ok(Arc::new(Self {
            parent: parent.cloned(),
            supervisor: flags & SUPERVISOR != 0,
            launched: flags & LAUNCHED != 0,
            cancel,
            state: Mutex::new(State {
                phase: Phase::Active,
                failed: false,
                code: 0,
                own: true,
                children: 0,
            }),
            done: Token::new(),
            deadline: Mutex::new(None),
        }))
    }

    /// Cancels it at an instant, unless it has ended by then.
    fn cancel_at(self: &Arc<Self>, at: Instant) {
        let waker = Waker::from(Arc::new(AtDeadline(Arc::downgrade(self))));
        let mut sleep = timer::sleep_until(at);
        if Pin::new(&mut sleep).poll(&mut task::Context::from_waker(&waker)).is_ready() {
            self.cancel_from_outside(errno::ETIME);
        } else {
            *self.deadline.lock() = Some(sleep);
        }
    }

    /// Cancels it; one without a coroutine ends with its children. False: it has ended.
    fn cancel_from_outside(&self, code: c_int) -> bool {
        let cancelled = self.cancel(code);
        if cancelled && !self.launched {
            self.let_go();
        }
        cancelled
    }

    /// If it is cancelled from above, records the code, here and on the way: so a deep tree is
    /// walked once.
    fn notice_cancel(&self) {
        if !self.cancel.token().is_cancelled() {
            return;
        }
        let mut code = errno::ECANCELED;
        let mut at = Some(self);
        while let Some(job) = at {
            let state = job.state.lock();
            if state.phase != Phase::Active {
                // The nearest job with a code. One that completed has none.
                code = if state.code == 0 { code } else { state.code };
                break;
            }
            at = job.parent.as_deref();
        }
        let mut at = Some(self);
        while let Some(job) = at {
            let mut state = job.state.lock();
            if state.phase != Phase::Active || !job.cancel.token().is_cancelled() {
                break;
            }
            state.cancelling(code);
            at = job.parent.as_deref();
        }
    }

    fn phase(&self) -> Phase {
        self.notice_cancel();
        self.state.lock().phase
    }

    /// Closes its own part; perhaps it ends.
    fn let_go(&self) {
        let mut state = self.state.lock();
        if std::mem::replace(&mut state.own, false) {
            drop(state);
            self.perhaps_end();
        }
    }

    fn perhaps_end(&self) {
        let mut job = self;
        // Upwards, without recursion: the end of one may be the end of the one above.
        while let Some(parent) = job.end_if_nothing_is_open() {
            parent.state.lock().children -= 1;
            job = parent;
        }
    }

    /// Ends it if no part is open; returns the parent to be notified.
    fn end_if_nothing_is_open(&self) -> Option<&Self> {
        self.notice_cancel();
        let mut state = self.state.lock();
        if state.own || state.children != 0 || state.is_final() {
            return None;
        }
        state.phase = match state.phase {
            Phase::Active => Phase::Completed,
            _ if state.failed => Phase::Failed,
            _ => Phase::Cancelled,
        };
        drop(state);
        self.done.cancel();
        self.parent.as_deref()
    }

    /// Cancels it. False: it has ended.
    fn cancel(&self, code: c_int) -> bool {
        let mut state = self.state.lock();
        if state.is_final() {
            return false;
        }
        state.cancelling(code);
        drop(state);
        Arc::clone(&self.cancel).set();
        true
    }

    /// Fails it: it and each job above, up to a supervisor, starts to end.
    fn fail(&self, code: c_int) -> bool {
        let mut at = Some(self);
        let mut first = true;
        while let Some(job) = at {
            let mut state = job.state.lock();
            if state.is_final() {
                return !first;
            }
            if state.phase == Phase::Active || first {
                state.failed = true;
            }
            state.cancelling(code);
            drop(state);
            Arc::clone(&job.cancel).set();
            first = false;
            at = job.parent.as_deref().filter(|parent| !parent.supervisor);
        }
        true
    }

    /// Whether it is `other`, or above it.
    fn is_above(&self, other: &Self) -> bool {
        let mut at = Some(other);
        while let Some(job) = at {
            if ptr::eq(job, self) {
                return true;
            }
            at = job.parent.as_deref();
        }
        false
    }

    fn result(&self) -> c_int {
        let state = self.state.lock();
        if state.is_final() { state.code } else { 0 }
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        // Only a job without a coroutine, and without children, is dropped while it is open.
        self.let_go();
        // A long chain of parents is dropped one by one, not by recursion.
        let mut parent = self.parent.take();
        while let Some(mut last) = parent.and_then(Arc::into_inner) {
            last.let_go();
            parent = last.parent.take();
        }
    }
}

/// A reference to a job; `None` for null.
///
/// # Safety
///
/// The handle is null or valid.
unsafe fn share(handle: *const Job) -> Option<Arc<Job>> {
    if handle.is_null() {
        return None;
    }
    // SAFETY: the caller's promise.
    unsafe {
        Arc::increment_strong_count(handle);
        Some(Arc::from_raw(handle))
    }
}

/// The job of the caller, borrowed from its context; null: none.
fn current() -> *mut Job {
    context::current_value(&KC_CTX_KEY_JOB).cast()
}

/// For a context that holds a job.
unsafe extern "C" fn release_job(job: *mut c_void) {
    // SAFETY: a reference was put into the context.
    unsafe { kc_job_release(job.cast()) };
}

/// For a context that holds a token.
unsafe extern "C" fn release_token(token: *mut c_void) {
    // SAFETY: a reference was put into the context.
    unsafe { kc_cancel_destroy(token.cast()) };
}

/// The context of a job's coroutine.
fn context_of(job: &Arc<Job>, base: Option<Arc<Context>>) -> Arc<Context> {
    let held = Arc::into_raw(Arc::clone(job)).cast_mut().cast();
    let token = Arc::clone(&job.cancel).into_raw().cast();
    base.unwrap_or_else(Context::empty)
        .with(&raw const KC_CTX_KEY_JOB, held, Some(release_job))
        .with(&raw const KC_CTX_KEY_CANCEL, token, Some(release_token))
}

/// See `kc_job.h`.
///
/// # Safety
///
/// `out` is null or valid for a write; `parent` is null or valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kc_job_create(
    out: *mut *mut Job,
    parent: *mut Job,
    flags: c_uint,
) -> c_int {
    call(errno::EIO, || {
        if out.is_null() || flags & !(SUPERVISOR | DETACHED | TIMEOUT_WRAPPER) != 0 {
            return errno::EINVAL;
        }
        let deadline = match flags & TIMEOUT_WRAPPER {
            0 => None,
            _ => match context::deadline() {
                None => return errno::EINVAL,
                deadline => deadline,
            },
        };
        // SAFETY: the caller's promise.
        let parent = unsafe { share(parent) };
        match Job::new(parent.as_ref(), flags) {
            Ok(job) => {
                if let Some(at) = deadline {
                    job.cancel_at(at);
                }
                // SAFETY: the caller's promise.
                unsafe { out.write(Arc::into_raw(job).cast_mut()) };
                errno::OK
            }
            Err(()) => errno::EINVAL,
        }
    })
}

/// See `kc_job.h`.
///
/// # Safety
///
/// The handle is null or valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kc_job_retain(job: *mut Job) -> *mut Job {
    call(ptr::null_mut(), || {
        if !job.is_null() {
            // SAFETY: the caller's promise.
            unsafe { Arc::increment_strong_count(job) };
        }
        job
    })
}

/// See `kc_job.h`.
///
/// # Safety
///
/// The handle is null or valid; the caller gives up a reference.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kc_job_release(job: *mut Job) {
    call((), || {
        if !job.is_null() {
            // SAFETY: the caller's promise.
            drop(unsafe { Arc::from_raw(job.cast_const()) });
        }
    });
}

/// See `kc_job.h`.
#[unsafe(no_mangle)]
pub extern "C" fn kc_job_current() -> *mut Job {
    call(ptr::null_mut(), current)
}

/// See `kc_job.h`.
///
/// # Safety
///
/// The handle is null or valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kc_job_cancel(job: *mut Job, reason: c_int) -> c_int {
    call(errno::EIO, || {
        // SAFETY: the caller's promise.
        let Some(job) = (unsafe { share(job) }) else { return errno::EINVAL };
        if job.cancel_from_outside(code_of(reason)) { errno::OK } else { errno::EALREADY }
    })
}

/// See `kc_job.h`.
///
/// # Safety
///
/// The handle is null or valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kc_job_fail(job: *mut Job, code: c_int) -> c_int {
    call(errno::EIO, || {
        // SAFETY: the caller's promise.
        let Some(job) = (unsafe { share(job) }) else { return errno::EINVAL };
        if code == 0 {
            return errno::EINVAL;
        }
        if !job.fail(code_of(code)) {
            return errno::EALREADY;
        }
        if !job.launched {
            job.let_go();
        }
        errno::OK
    })
}

/// See `kc_job.h`.
///
/// # Safety
///
/// The handle is null or valid; `out` is null or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kc_job_join(job: *mut Job, out: *mut c_int) -> c_int {
    call(errno::EIO, || {
        // SAFETY: the caller's promise.
        let Some(job) = (unsafe { share(job) }) else { return errno::EINVAL };
        // SAFETY: null, or held by the caller's context.
        if let Some(current) = unsafe { current().as_ref() }
            && job.is_above(current)
        {
            return EDEADLK;
        }
        if !job.launched {
            job.let_go();
        }
        job.done.cancelled().wait();
        let code = job.result();
        if !out.is_null() {
            // SAFETY: the caller's promise.
            unsafe { out.write(code) };
        }
        code
    })
}

/// See `kc_job.h`.
///
/// # Safety
///
/// The handle is null or valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kc_job_state(job: *const Job) -> Phase {
    // SAFETY: the caller's promise.
    call(Phase::Failed, || unsafe { job.as_ref() }.map_or(Phase::Failed, Job::phase))
}

/// See `kc_job.h`.
///
/// # Safety
///
/// The handle is null or valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kc_job_result_code(job: *const Job) -> c_int {
    // SAFETY: the caller's promise.
    call(errno::EIO, || unsafe { job.as_ref() }.map_or(errno::EINVAL, Job::result))
}

/// See `kc_job.h`.
///
/// # Safety
///
/// `parent` and `context` are null or valid, `out` null or valid for a write; `function` may be
/// called with `argument` by any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kc_job_launch(
    parent: *mut Job,
    context: *mut Context,
    function: Function,
    argument: *mut c_void,
    size: usize,
    out: *mut *mut Job,
) -> c_int {
    call(errno::EIO, || {
        if function.is_none() {
            return errno::EINVAL;
        }
        let parent = if parent.is_null() { current() } else { parent };
        // SAFETY: the caller's promise; the current one is held by the caller's context.
        let (parent, base) = unsafe { (share(parent), context::share(context)) };
        if parent.as_ref().is_some_and(|parent| parent.phase() != Phase::Active) {
            return errno::ECANCELED;
        }
        let Ok(job) = Job::new(parent.as_ref(), LAUNCHED) else { return errno::ECANCELED };
        let base = base.or_else(flow::context);
        let deadline = base.as_ref().and_then(|context| context.deadline());
        let context = context_of(&job, base);
        let coro = Coro::make(Role::Scheduled, function, argument, stack_size(size));
        let Some(coro) = coro else {
            job.let_go();
            return errno::ENOMEM;
        };
        let ended = Arc::clone(&job);
        let start = Start {
            coro: Some(coro),
            body: Body::C { function, argument },
            context: Some(context),
            at_end: Some(Box::new(move |returned| {
                if !returned {
                    ended.cancel(errno::ECANCELED);
                }
                ended.let_go();
            })),
            site: Location::caller(),
        };
        if !matches!(default::start(start), Some(Ok(()))) {
            job.let_go();
            return errno::ENOMEM;
        }
        if let Some(at) = deadline {
            job.cancel_at(at);
        }
        if !out.is_null() {
            // SAFETY: the caller's promise.
            unsafe { out.write(Arc::into_raw(job).cast_mut()) };
        }
        errno::OK
    })
}
