// SPDX-License-Identifier: BSD-3-Clause
//! `kc_job.h`: a tree of work that ends together.
//!
//! The tree, its states and its codes are `becket_coro::Job`. A handle adds the job's own part:
//!
//! | job | its own part is over |
//! |---|---|
//! | launched | with its coroutine, however that ends |
//! | created | when it is joined, cancelled, failed, or its last handle is released |

use std::ffi::{c_int, c_uint, c_void};
use std::future::Future as _;
use std::panic::Location;
use std::pin::Pin;
use std::ptr;
use std::sync::{Arc, Weak};
use std::task::{self, Wake, Waker};
use std::time::Instant;

use becket_chan::timer::{self, Sleep};
use becket_coro::job::{self, JobState};
use parking_lot::Mutex;

use crate::boundary::call;
use crate::cancel::{Cancel, kc_cancel_destroy};
use crate::context::{self, Context, KC_CTX_KEY_CANCEL, KC_CTX_KEY_JOB};
use crate::core::flow;
use crate::core::object::{Coro, Function, Role, stack_size};
use crate::errno;
use crate::handle::share;
use crate::sched::{Body, Start, default};

const SUPERVISOR: c_uint = 1;
const DETACHED: c_uint = 2;
const TIMEOUT_WRAPPER: c_uint = 4;

/// Internal flag: it has a coroutine of its own.
const LAUNCHED: c_uint = 1 << 31;

const EDEADLK: c_int = -libc::EDEADLK;

/// `kc_job_state_t`.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub enum State {
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

impl From<JobState> for State {
    fn from(state: JobState) -> Self {
        match state {
            JobState::Active => Self::Active,
            JobState::Cancelling => Self::Cancelling,
            JobState::Cancelled => Self::Cancelled,
            JobState::Completed => Self::Completed,
            JobState::Failed => Self::Failed,
        }
    }
}

/// `kc_job_t`.
pub struct Job {
    job: job::Job,
    /// Its own part, until that is over.
    own: Mutex<Option<job::Body>>,
    /// It has a coroutine of its own.
    launched: bool,
    /// The job's token.
    cancel: Arc<Cancel>,
    /// Cancels it at the deadline of a context.
    deadline: Mutex<Option<Sleep>>,
}

/// The waker of a job's deadline.
struct AtDeadline(Weak<Job>);

impl Wake for AtDeadline {
    fn wake(self: Arc<Self>) {
        if let Some(job) = self.0.upgrade() {
            job.cancel(errno::ETIME);
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
        let parent = parent.filter(|_| flags & DETACHED == 0).map(|parent| &parent.job);
        let mut builder = job::Job::builder();
        if let Some(parent) = parent {
            builder = builder.parent(parent);
        }
        if flags & SUPERVISOR != 0 {
            builder = builder.supervisor();
        }
        let body = builder.begin();
        let job = body.job().clone();
        if parent.is_some_and(|parent| !job.is_below(parent)) {
            return Err(());
        }
        Ok(Arc::new(Self {
            cancel: Cancel::over(job.token().clone()),
            job,
            own: Mutex::new(Some(body)),
            launched: flags & LAUNCHED != 0,
            deadline: Mutex::new(None),
        }))
    }

    /// Cancels it at an instant, unless it has ended by then.
    fn cancel_at(self: &Arc<Self>, at: Instant) {
        let waker = Waker::from(Arc::new(AtDeadline(Arc::downgrade(self))));
        let mut sleep = timer::sleep_until(at);
        if Pin::new(&mut sleep).poll(&mut task::Context::from_waker(&waker)).is_ready() {
            self.cancel(errno::ETIME);
        } else {
            *self.deadline.lock() = Some(sleep);
        }
    }

    /// Its own part is over.
    fn let_go(&self) {
        let own = self.own.lock().take();
        if let Some(body) = own {
            body.complete();
        }
    }

    /// The same for one without a coroutine.
    fn let_go_of_created(&self) {
        if !self.launched {
            self.let_go();
        }
    }

    /// Cancels it; one without a coroutine ends with its children. False: it has ended.
    fn cancel(&self, code: c_int) -> bool {
        self.stop(|job| {
            job.cancel_with_code(code, "by its C handle");
        })
    }

    /// As [`cancel`](Self::cancel), with a failure.
    fn fail(&self, code: c_int) -> bool {
        self.stop(|job| job.fail_with_code(code))
    }

    fn stop(&self, stop: impl FnOnce(&job::Job)) -> bool {
        if self.job.state().is_ended() {
            return false;
        }
        stop(&self.job);
        self.let_go_of_created();
        true
    }

    fn result(&self) -> c_int {
        match self.job.state() {
            JobState::Cancelled | JobState::Failed => code_of(self.job.code()),
            JobState::Active | JobState::Cancelling | JobState::Completed => 0,
        }
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        self.let_go();
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
        if job.cancel(code_of(reason)) { errno::OK } else { errno::EALREADY }
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
        if job.fail(code_of(code)) { errno::OK } else { errno::EALREADY }
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
            && current.job.is_below(&job.job)
        {
            return EDEADLK;
        }
        job.let_go_of_created();
        job.job.join();
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
pub unsafe extern "C" fn kc_job_state(job: *const Job) -> State {
    call(State::Failed, || {
        // SAFETY: the caller's promise.
        unsafe { job.as_ref() }.map_or(State::Failed, |job| job.job.state().into())
    })
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
        let (parent, base) = unsafe { (share(parent), share(context)) };
        if parent.as_ref().is_some_and(|parent| parent.job.state() != JobState::Active) {
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
