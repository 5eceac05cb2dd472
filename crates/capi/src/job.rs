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
use std::pin::Pin;
use std::ptr;
use std::sync::{Arc, Weak};
use std::task::{self, Wake, Waker};
use std::time::Instant;

use becket_chan::timer::{self, Sleep};
use becket_coro::job::{self, JobState};
use parking_lot::Mutex;

use crate::boundary::{answer, call};
use crate::cancel::{Cancel, kc_cancel_destroy};
use crate::context::{self, Context, KC_CTX_KEY_CANCEL, KC_CTX_KEY_JOB};
use crate::core::object::Function;
use crate::errno;
use crate::handle::{lend, place, retain, share, shared, take_back, write_any};
use crate::sched::{Body, Start, default};

const SUPERVISOR: c_uint = 1;
const DETACHED: c_uint = 2;
const TIMEOUT_WRAPPER: c_uint = 4;

/// Internal flag: it has a coroutine of its own.
const LAUNCHED: c_uint = 1 << 31;

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
            // It may have ended.
            let _ = job.cancel(errno::ETIME);
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
    /// A job below `parent`. It is open until [`Self::let_go`]. `None`: the parent has ended.
    fn new(parent: Option<&Arc<Self>>, flags: c_uint) -> Option<Arc<Self>> {
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
            return None;
        }
        Some(Arc::new(Self {
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
            let _ = self.cancel(errno::ETIME);
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

    /// Cancels it if its deadline has passed: the timer may not have fired yet.
    fn cancel_if_late(&self) {
        let is_late =
            self.deadline.lock().as_ref().is_some_and(|sleep| sleep.deadline() <= Instant::now());
        if is_late {
            let _ = self.cancel(errno::ETIME);
        }
    }

    /// Cancels it; one without a coroutine ends with its children. An error: it has ended.
    fn cancel(&self, code: c_int) -> Result<(), c_int> {
        self.stop(|job| {
            job.cancel_with_code(code, "by its C handle");
        })
    }

    /// As [`cancel`](Self::cancel), with a failure.
    fn fail(&self, code: c_int) -> Result<(), c_int> {
        self.stop(|job| job.fail_with_code(code))
    }

    fn stop(&self, stop: impl FnOnce(&job::Job)) -> Result<(), c_int> {
        if self.job.state().is_ended() {
            return Err(errno::EALREADY);
        }
        stop(&self.job);
        self.let_go_of_created();
        Ok(())
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
    let held = lend(Arc::clone(job)).cast();
    let token = lend(Arc::clone(&job.cancel)).cast();
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
    answer(|| {
        let out = place(out)?;
        if flags & !(SUPERVISOR | DETACHED | TIMEOUT_WRAPPER) != 0 {
            return Err(errno::EINVAL);
        }
        let deadline = match flags & TIMEOUT_WRAPPER {
            0 => None,
            _ => Some(context::deadline().ok_or(errno::EINVAL)?),
        };
        // SAFETY: the caller's promise.
        let parent = unsafe { share(parent) };
        let job = Job::new(parent.as_ref(), flags).ok_or(errno::EINVAL)?;
        if let Some(at) = deadline {
            job.cancel_at(at);
        }
        // SAFETY: the caller's promise.
        unsafe { out.write(lend(job)) };
        Ok(())
    })
}

/// See `kc_job.h`.
///
/// # Safety
///
/// The handle is null or valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kc_job_retain(job: *mut Job) -> *mut Job {
    // SAFETY: the caller's promise.
    call(ptr::null_mut(), || unsafe { retain(job) })
}

/// See `kc_job.h`.
///
/// # Safety
///
/// The handle is null or valid; the caller gives up a reference.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kc_job_release(job: *mut Job) {
    // SAFETY: the caller's promise.
    call((), || drop(unsafe { take_back(job) }));
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
    // SAFETY: the caller's promise.
    answer(|| unsafe { shared(job) }?.cancel(code_of(reason)))
}

/// See `kc_job.h`.
///
/// # Safety
///
/// The handle is null or valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kc_job_fail(job: *mut Job, code: c_int) -> c_int {
    answer(|| {
        // SAFETY: the caller's promise.
        let job = unsafe { shared(job) }?;
        if code == 0 { Err(errno::EINVAL) } else { job.fail(code_of(code)) }
    })
}

/// See `kc_job.h`.
///
/// # Safety
///
/// The handle is null or valid; `out` is null or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kc_job_join(job: *mut Job, out: *mut c_int) -> c_int {
    answer(|| {
        // SAFETY: the caller's promise.
        let job = unsafe { shared(job) }?;
        // SAFETY: null, or held by the caller's context.
        if let Some(current) = unsafe { current().as_ref() }
            && current.job.is_below(&job.job)
        {
            return Err(errno::EDEADLK);
        }
        job.cancel_if_late();
        job.let_go_of_created();
        job.job.join();
        let code = job.result();
        // SAFETY: the caller's promise.
        unsafe { write_any(out, code) };
        if code == errno::OK { Ok(()) } else { Err(code) }
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
    answer(|| {
        function.ok_or(errno::EINVAL)?;
        let parent = if parent.is_null() { current() } else { parent };
        // SAFETY: the caller's promise; the current one is held by the caller's context.
        let (parent, base) = unsafe { (share(parent), share(context)) };
        if parent.as_ref().is_some_and(|parent| parent.job.state() != JobState::Active) {
            return Err(errno::ECANCELED);
        }
        // It is let go when it is dropped, should it not start.
        let job = Job::new(parent.as_ref(), LAUNCHED).ok_or(errno::ECANCELED)?;
        let start = Start::coroutine(Body::C { function, argument }, size)?;
        let base = base.or_else(|| start.context.clone());
        let deadline = base.as_ref().and_then(|context| context.deadline());
        let ended = Arc::clone(&job);
        let start = Start { context: Some(context_of(&job, base)), ..start };
        default::start(start.at_end(move |returned| {
            if !returned {
                let _ = ended.cancel(errno::ECANCELED);
            }
            ended.let_go();
        }))?;
        if let Some(at) = deadline {
            job.cancel_at(at);
        }
        if !out.is_null() {
            // SAFETY: the caller's promise.
            unsafe { out.write(lend(job)) };
        }
        Ok(())
    })
}
