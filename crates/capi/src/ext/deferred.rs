// SPDX-License-Identifier: BSD-3-Clause
//! Results of coroutines.
//!
//! The result is written by the coroutine before `ended` is set, which is at the end of its life,
//! however it ends: a wait that finds no result then reports that it was cut short.

use std::ffi::{c_int, c_long, c_void};
use std::panic::Location;
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicPtr, Ordering};

use becket_chan::Token;

use crate::blocking::{Event, Until};
use crate::boundary::call;
use crate::core::flow;
use crate::core::object::{Coro, Function, Role, stack_size};
use crate::dispatch::{Dispatcher, kc_dispatcher_scheduler};
use crate::errno;
use crate::job::{kc_job_cancel, kc_job_current};
use crate::limit::Wait;
use crate::sched::{Body, Refused, Start, default};

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
    fn new() -> Arc<Self> {
        Arc::new(Self {
            result: AtomicPtr::new(ptr::null_mut()),
            returned: AtomicBool::new(false),
            ended: Token::new(),
        })
    }

    /// Runs `body` by `start`; its return value is the result.
    fn start(
        self: &Arc<Self>,
        start: impl FnOnce(Start) -> Option<Result<(), Refused>>,
        size: usize,
        body: impl Fn() -> *mut c_void + Send + 'static,
    ) -> Result<(), c_int> {
        let coro = Coro::make(Role::Scheduled, None, ptr::null_mut(), stack_size(size));
        let (running, ending) = (Arc::clone(self), Arc::clone(self));
        let started = start(Start {
            coro: Some(coro.ok_or(errno::ENOMEM)?),
            body: Body::Rust(Box::new(move || {
                running.result.store(body(), Ordering::Relaxed);
                running.returned.store(true, Ordering::Release);
            })),
            context: flow::context(),
            at_end: Some(Box::new(move |_| {
                ending.ended.cancel();
            })),
            site: Location::caller(),
        });
        if matches!(started, Some(Ok(()))) { Ok(()) } else { Err(errno::ENOMEM) }
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
    call(errno::EIO, || {
        let Some(function) = function else { return errno::EINVAL };
        if out.is_null() {
            return errno::EINVAL;
        }
        let deferred = Deferred::new();
        let called = Called { function, argument };
        let started = deferred.start(default::start, size, move || {
            let called = &called;
            // SAFETY: the caller's promise.
            unsafe { (called.function)(called.argument) }
        });
        match started {
            Ok(()) => {
                // SAFETY: the caller's promise.
                unsafe { out.write(Arc::into_raw(deferred).cast_mut()) };
                errno::OK
            }
            Err(code) => code,
        }
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
    call(errno::EIO, || {
        // SAFETY: the caller's promise.
        let Some(deferred) = (unsafe { deferred.as_ref() }) else { return errno::EINVAL };
        let (ended, late) = match Wait::of(timeout_ms) {
            Wait::Not => (deferred.ended.is_cancelled(), errno::EAGAIN),
            Wait::For(time) => (deferred.ended.cancelled().timeout(time).wait(), errno::ETIME),
            Wait::Forever => (deferred.ended.cancelled().wait(), errno::ETIME),
        };
        if !ended {
            return late;
        }
        match deferred.outcome() {
            Ok(result) => {
                if !out.is_null() {
                    // SAFETY: the caller's promise.
                    unsafe { out.write(result) };
                }
                errno::OK
            }
            Err(code) => code,
        }
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
    call((), || {
        if !deferred.is_null() {
            // SAFETY: the caller gives up the handle's share.
            drop(unsafe { Arc::from_raw(deferred.cast_const()) });
        }
    });
}

/// See `kcoro_ext.h`.
#[unsafe(no_mangle)]
pub extern "C" fn kc_delay_ms(ms: c_long) -> c_int {
    call(errno::EIO, || {
        let (never, until) = (Event::new(), Until::of(ms.max(0)));
        match never.wait(until) {
            Err(errno::ECANCELED) => errno::ECANCELED,
            // Only a timeout can end the wait: its own, or an earlier one of the context.
            _ if never.is_shortened(until) => errno::ETIME,
            _ => errno::OK,
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
    call(errno::EIO, || {
        // SAFETY: the caller's promise.
        let sched = unsafe { kc_dispatcher_scheduler(dispatcher).as_ref() };
        let (Some(sched), Some(function)) = (sched, function) else { return errno::EINVAL };
        let deferred = Deferred::new();
        let called = Called { function, argument };
        let started = deferred.start(
            |start| Some(sched.start(start)),
            size,
            move || {
                let called = &called;
                // SAFETY: the caller's promise.
                unsafe { (called.function)(called.argument) };
                ptr::null_mut()
            },
        );
        if let Err(code) = started {
            return code;
        }
        deferred.ended.cancelled().wait();
        deferred.outcome().map_or_else(|code| code, |_| errno::OK)
    })
}
