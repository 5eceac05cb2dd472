// SPDX-License-Identifier: BSD-3-Clause
//! `kcoro_dispatch.h`: counted handles of schedulers.

use std::ffi::{c_int, c_void};
use std::ptr;
use std::sync::Arc;

use becket_coro::cpus;
use parking_lot::Mutex;

use crate::boundary::call;
use crate::core::object::{Coro, Function};
use crate::handle::{lend, lend_any, retain, take_back};
use crate::sched::api::{kc_spawn, kc_spawn_co};
use crate::sched::{Sched, default};

/// The failure result of these functions.
const FAILED: c_int = -1;
/// Workers of the dispatcher for blocking calls, at least.
const IO_WORKERS_MIN: usize = 64;

/// `kc_dispatcher_t`.
pub struct Dispatcher(Place);

enum Place {
    /// The default scheduler at the time of use.
    Default,
    /// Ended with the last reference.
    Own(Mutex<Option<Box<Sched>>>),
}

/// Kept for the life of the process: the default scheduler's dispatcher.
static DEFAULT: Mutex<Option<Arc<Dispatcher>>> = Mutex::new(None);
/// The dispatcher for blocking calls, kept likewise.
static IO: Mutex<Option<Arc<Dispatcher>>> = Mutex::new(None);

impl Dispatcher {
    fn with_workers(name: &str, workers: usize) -> Option<Arc<Self>> {
        let sched = Sched::new(name, workers)?;
        Some(Arc::new(Self(Place::Own(Mutex::new(Some(sched))))))
    }

    fn sched(&self) -> *mut Sched {
        match &self.0 {
            Place::Default => default::get(),
            Place::Own(sched) => {
                sched.lock().as_deref_mut().map_or(ptr::null_mut(), |sched| &raw mut *sched)
            }
        }
    }
}

impl Drop for Dispatcher {
    fn drop(&mut self) {
        if let Place::Own(sched) = &mut self.0
            && let Some(sched) = sched.get_mut().take()
        {
            sched.shutdown();
        }
    }
}

/// See `kcoro_dispatch.h`.
///
/// # Safety
///
/// The handle is null or valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kc_dispatcher_retain(dispatcher: *mut Dispatcher) -> *mut Dispatcher {
    // SAFETY: the caller's promise.
    call(ptr::null_mut(), || unsafe { retain(dispatcher) })
}

/// See `kcoro_dispatch.h`.
///
/// # Safety
///
/// The handle is null or valid; the caller gives up a reference.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kc_dispatcher_release(dispatcher: *mut Dispatcher) {
    // SAFETY: the caller's promise.
    call((), || drop(unsafe { take_back(dispatcher) }));
}

/// See `kcoro_dispatch.h`.
#[unsafe(no_mangle)]
pub extern "C" fn kc_dispatcher_default() -> *mut Dispatcher {
    call(ptr::null_mut(), || {
        if default::get().is_null() {
            return ptr::null_mut();
        }
        let mut dispatcher = DEFAULT.lock();
        lend(dispatcher.get_or_insert_with(|| Arc::new(Dispatcher(Place::Default))).clone())
    })
}

/// See `kcoro_dispatch.h`.
#[unsafe(no_mangle)]
pub extern "C" fn kc_dispatcher_io() -> *mut Dispatcher {
    call(ptr::null_mut(), || {
        let mut io = IO.lock();
        if io.is_none() {
            *io = Dispatcher::with_workers("kcoro-io", cpus().max(IO_WORKERS_MIN));
        }
        lend_any(io.clone())
    })
}

/// See `kcoro_dispatch.h`.
#[unsafe(no_mangle)]
pub extern "C" fn kc_dispatcher_new(workers: c_int) -> *mut Dispatcher {
    call(ptr::null_mut(), || {
        lend_any(Dispatcher::with_workers("kcoro", usize::try_from(workers).unwrap_or(0)))
    })
}

/// See `kcoro_dispatch.h`.
///
/// # Safety
///
/// The handle is null or valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kc_dispatcher_scheduler(dispatcher: *mut Dispatcher) -> *mut Sched {
    call(ptr::null_mut(), || {
        // SAFETY: the caller's promise.
        unsafe { dispatcher.as_ref() }.map_or(ptr::null_mut(), Dispatcher::sched)
    })
}

/// See `kcoro_dispatch.h`.
///
/// # Safety
///
/// The handle is null or valid; `function` may be called with `argument` by any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kc_dispatcher_spawn(
    dispatcher: *mut Dispatcher,
    function: Function,
    argument: *mut c_void,
) -> c_int {
    call(FAILED, || {
        // SAFETY: the caller's promise; null is refused below.
        unsafe { kc_spawn(kc_dispatcher_scheduler(dispatcher), function, argument) }
    })
}

/// See `kcoro_dispatch.h`.
///
/// # Safety
///
/// As [`kc_dispatcher_spawn`]; `out` is null or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kc_dispatcher_spawn_co(
    dispatcher: *mut Dispatcher,
    function: Function,
    argument: *mut c_void,
    size: usize,
    out: *mut *mut Coro,
) -> c_int {
    call(FAILED, || {
        // SAFETY: the caller's promise; null is refused below.
        unsafe { kc_spawn_co(kc_dispatcher_scheduler(dispatcher), function, argument, size, out) }
    })
}
