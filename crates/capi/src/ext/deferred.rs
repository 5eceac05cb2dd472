// SPDX-License-Identifier: BSD-3-Clause
//! Results of coroutines.
//!
//! The result is written by the coroutine before `ended` is set, which is at the end of its life,
//! however it ends: a wait that finds no result then reports that it was cut short.

use std::ffi::{c_int, c_long, c_void};
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicPtr, Ordering};

use becket_chan::Token;

use crate::blocking::Event;
use crate::boundary::{answer, call};
use crate::core::object::Function;
use crate::dispatch::{Dispatcher, kc_dispatcher_scheduler};
use crate::errno;
use crate::handle::{lend, place, take_back, write_any};
use crate::job::{kc_job_cancel, kc_job_current};
use crate::limit::{self, Until};
use crate::sched::{Body, Start, default};

/// `kc_async_fn`.
pub type Async = unsafe extern "C" fn(*mut c_void) -> *mut c_void;

/// `kc_deferred_t`.
pub struct Deferred {
    result: AtomicPtr<c_void>,
    returned: AtomicBool,
    ended: Token,
}

/// A function of C and its argument.
struct Called<F> {
    function: F,
    argument: *mut c_void,
}

// SAFETY: C's function may be called by any thread, as the header says.
unsafe impl<F> Send for Called<F> {}

impl Deferred {
    /// Runs `body` by `start`; its return value is the result.
    fn start(
        start: impl FnOnce(Start) -> Result<(), c_int>,
        size: usize,
        body: impl Fn() -> *mut c_void + Send + 'static,
    ) -> Result<Arc<Self>, c_int> {
        let deferred = Arc::new(Self {
            result: AtomicPtr::new(ptr::null_mut()),
            returned: AtomicBool::new(false),
            ended: Token::new(),
        });
        let (running, ending) = (Arc::clone(&deferred), Arc::clone(&deferred));
        let run = move || {
            running.result.store(body(), Ordering::Relaxed);
            running.returned.store(true, Ordering::Release);
        };
        let starting = Start::coroutine(Body::Rust(Box::new(run)), size)?;
        start(starting.at_end(move |_| {
            ending.ended.cancel();
        }))?;
        Ok(deferred)
    }

    fn outcome(&self) -> Result<*mut c_void, c_int> {
        if self.returned.load(Ordering::Acquire) {
            Ok(self.result.load(Ordering::Relaxed))
        } else {
            Err(errno::ECANCELED)
        }
    }
}

/// See `kcoro_ext.h`.
///
/// # Safety
///
/// `out` is null or valid for a write; `function` may be called with `argument` by any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kc_async(
    function: Option<Async>,
    argument: *mut c_void,
    size: usize,
    out: *mut *mut Deferred,
) -> c_int {
    answer(|| {
        let (function, out) = (function.ok_or(errno::EINVAL)?, place(out)?);
        let called = Called { function, argument };
        let deferred = Deferred::start(default::start, size, move || {
            let called = &called;
            // SAFETY: the caller's promise.
            unsafe { (called.function)(called.argument) }
        })?;
        // SAFETY: the caller's promise.
        unsafe { out.write(lend(deferred)) };
        Ok(())
    })
}

/// See `kcoro_ext.h`.
///
/// # Safety
///
/// `deferred` is null or valid; `out` is null or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kc_await(
    deferred: *mut Deferred,
    timeout_ms: c_long,
    out: *mut *mut c_void,
) -> c_int {
    answer(|| {
        // SAFETY: the caller's promise.
        let deferred = unsafe { deferred.as_ref() }.ok_or(errno::EINVAL)?;
        match Until::of(timeout_ms) {
            until if limit::wait_for(&deferred.ended, until) => {}
            Until::Now => return Err(errno::EAGAIN),
            Until::At(_) | Until::Ever => return Err(errno::ETIME),
        }
        let result = deferred.outcome()?;
        // SAFETY: the caller's promise.
        unsafe { write_any(out, result) };
        Ok(())
    })
}

/// See `kcoro_ext.h`.
///
/// # Safety
///
/// `deferred` is null or valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kc_deferred_get(deferred: *const Deferred) -> *mut c_void {
    call(ptr::null_mut(), || {
        // SAFETY: the caller's promise.
        unsafe { deferred.as_ref() }
            .and_then(|deferred| deferred.outcome().ok())
            .unwrap_or(ptr::null_mut())
    })
}

/// See `kcoro_ext.h`.
///
/// # Safety
///
/// `deferred` is null, or valid and not used again.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kc_deferred_release(deferred: *mut Deferred) {
    // SAFETY: the caller gives up the handle's share.
    call((), || drop(unsafe { take_back(deferred) }));
}

/// See `kcoro_ext.h`.
#[unsafe(no_mangle)]
pub extern "C" fn kc_delay_ms(ms: c_long) -> c_int {
    answer(|| {
        let (never, until) = (Event::new(), Until::of(ms.max(0)));
        match never.wait(until) {
            Err(errno::ECANCELED) => Err(errno::ECANCELED),
            // Only a timeout can end the wait: its own, or an earlier one of the context.
            _ if never.is_shortened(until) => Err(errno::ETIME),
            _ => Ok(()),
        }
    })
}

/// See `kcoro_ext.h`.
#[unsafe(no_mangle)]
pub extern "C" fn kc_cancel_current(reason: c_int) -> c_int {
    // SAFETY: null, or the caller's own.
    unsafe { kc_job_cancel(kc_job_current(), reason) }
}

/// See `kcoro_ext.h`.
///
/// # Safety
///
/// `dispatcher` is null or valid; `function` may be called with `argument` by any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kc_with_dispatcher(
    dispatcher: *mut Dispatcher,
    function: Function,
    argument: *mut c_void,
    size: usize,
) -> c_int {
    answer(|| {
        // SAFETY: the caller's promise.
        let sched = unsafe { kc_dispatcher_scheduler(dispatcher).as_ref() };
        let (sched, function) = sched.zip(function).ok_or(errno::EINVAL)?;
        let called = Called { function, argument };
        let deferred = Deferred::start(
            |start| sched.start(start),
            size,
            move || {
                let called = &called;
                // SAFETY: the caller's promise.
                unsafe { (called.function)(called.argument) };
                ptr::null_mut()
            },
        )?;
        deferred.ended.cancelled().wait();
        deferred.outcome().map(drop)
    })
}
