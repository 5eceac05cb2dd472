// SPDX-License-Identifier: BSD-3-Clause
//! The functions of `kcoro_core.h`.
//!
//! # Safety
//!
//! Every handle that C passes is null or valid: C holds a reference, or borrows one as the header
//! says. There are no other requirements.

use std::ffi::{c_char, c_int, c_void};
use std::io::Write as _;
use std::ptr::{self, NonNull};
use std::sync::atomic::Ordering;

use super::object::{Coro, CoroRef, Function, Role, stack_size, state};
use super::{flow, main, manual, park};
use crate::boundary::call;

/// A reference to the object of a handle; `None` for null.
///
/// # Safety
///
/// See the module.
unsafe fn share(coro: *const Coro) -> Option<CoroRef> {
    // SAFETY: the caller's promise.
    unsafe { coro.as_ref() }.map(Coro::share)
}

/// See `kcoro_core.h`.
///
/// # Safety
///
/// `function` may be called with `argument` when the coroutine is resumed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kcoro_create(
    function: Function,
    argument: *mut c_void,
    size: usize,
) -> *mut Coro {
    call(ptr::null_mut(), || {
        if function.is_none() {
            return ptr::null_mut();
        }
        match Coro::make(Role::Manual, function, argument, stack_size(size)) {
            Some(coro) if manual::prepare(&coro) => coro.into_raw(),
            _ => ptr::null_mut(),
        }
    })
}

/// See `kcoro_core.h`.
///
/// # Safety
///
/// See the module; the caller gives up a reference.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kcoro_destroy(coro: *mut Coro) {
    // SAFETY: as for this function.
    unsafe { kcoro_release(coro) };
}

/// See `kcoro_core.h`.
///
/// # Safety
///
/// See the module; the text lives as long as the coroutine.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kcoro_set_name(coro: *mut Coro, name: *const c_char) {
    call((), || {
        // SAFETY: see the module.
        if let Some(coro) = unsafe { coro.as_ref() } {
            coro.name.store(name.cast_mut(), Ordering::Relaxed);
        }
    });
}

/// See `kcoro_core.h`.
///
/// # Safety
///
/// See the module.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kcoro_resume(coro: *mut Coro) {
    call((), || {
        // SAFETY: see the module. The reference keeps it while it runs.
        if let Some(coro) = unsafe { share(coro) } {
            manual::resume(coro);
        }
    });
}

/// See `kcoro_core.h`.
#[unsafe(no_mangle)]
pub extern "C" fn kcoro_current() -> *mut Coro {
    call(ptr::null_mut(), || {
        let coro = flow::coro().cast_mut();
        if coro.is_null() { main::installed() } else { coro }
    })
}

/// See `kcoro_core.h`.
#[unsafe(no_mangle)]
pub extern "C" fn kcoro_thread_main() -> *mut Coro {
    call(ptr::null_mut(), main::installed)
}

/// See `kcoro_core.h`.
///
/// # Safety
///
/// See the module.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kcoro_retain(coro: *mut Coro) {
    call((), || {
        // SAFETY: see the module.
        if let Some(coro) = unsafe { share(coro) } {
            coro.into_raw();
        }
    });
}

/// See `kcoro_core.h`.
///
/// # Safety
///
/// See the module; the caller gives up a reference.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kcoro_release(coro: *mut Coro) {
    call((), || {
        let Some(coro) = NonNull::new(coro) else { return };
        // SAFETY: the caller gives its reference up.
        let coro = unsafe { CoroRef::from_raw(coro) };
        match coro.role() {
            Role::Main => main::release(coro),
            Role::Manual | Role::Scheduled => drop(coro),
        }
    });
}

/// See `kcoro_core.h`.
#[unsafe(no_mangle)]
pub extern "C" fn kcoro_yield() {
    call((), || {
        flow::with_coro(|coro| match coro.role() {
            Role::Manual => manual::yield_back(coro),
            Role::Scheduled => yield_scheduled(coro),
            Role::Main => {}
        });
    });
}

fn yield_scheduled(coro: &Coro) {
    coro.set_state(state::SUSPENDED);
    becket_coro::yield_now();
    coro.set_state(state::RUNNING);
}

/// See `kcoro_core.h`.
///
/// # Safety
///
/// See the module.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kcoro_yield_to(target: *mut Coro) {
    call((), || {
        // SAFETY: see the module.
        if let Some(target) = unsafe { share(target) } {
            yield_to(target);
        }
    });
}

/// Lets the target run instead of the caller.
fn yield_to(target: CoroRef) {
    // SAFETY: the object of the calling coroutine; held by its life or its resumer.
    let Some(coro) = (unsafe { flow::coro().as_ref() }) else {
        manual::resume(target);
        return;
    };
    if ptr::eq(coro, target.as_ptr()) || target.is_finished() {
        return;
    }
    let to_main =
        target.role() == Role::Main || ptr::eq(coro.main.load(Ordering::Relaxed), target.as_ptr());
    match coro.role() {
        Role::Manual if to_main => {
            drop(target);
            manual::yield_back(coro);
        }
        Role::Manual => manual::yield_to(coro, target),
        Role::Scheduled if to_main => {
            drop(target);
            yield_scheduled(coro);
        }
        Role::Scheduled if target.role() == Role::Scheduled => {
            park::unpark(&target);
            drop(target);
            yield_scheduled(coro);
        }
        Role::Scheduled => {
            coro.set_state(state::SUSPENDED);
            manual::resume(target);
            coro.set_state(state::RUNNING);
        }
        Role::Main => {}
    }
}

/// See `kcoro_core.h`.
#[unsafe(no_mangle)]
pub extern "C" fn kcoro_park() {
    call((), || {
        // SAFETY: the object of the calling coroutine, or the thread's own.
        if let Some(coro) = unsafe { kcoro_current().as_ref() } {
            park::park(coro);
        }
    });
}

/// See `kcoro_core.h`.
///
/// # Safety
///
/// See the module.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kcoro_unpark(coro: *mut Coro) {
    call((), || {
        // SAFETY: see the module. The reference keeps it if the caller's is given up meanwhile.
        if let Some(coro) = unsafe { share(coro) } {
            park::unpark(&coro);
        }
    });
}

/// See `kcoro_core.h`.
///
/// # Safety
///
/// See the module.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kcoro_is_parked(coro: *const Coro) -> c_int {
    call(0, || {
        // SAFETY: see the module.
        unsafe { coro.as_ref() }.is_some_and(|coro| coro.state() == state::PARKED).into()
    })
}

/// See `kcoro_core.h`.
#[unsafe(no_mangle)]
pub extern "C" fn kcoro_create_main() -> *mut Coro {
    call(ptr::null_mut(), || main::create().map_or(ptr::null_mut(), CoroRef::into_raw))
}

/// See `kcoro_core.h`.
///
/// # Safety
///
/// See the module.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kcoro_set_thread_main(coro: *mut Coro) {
    call((), || {
        // SAFETY: see the module.
        match unsafe { share(coro) } {
            Some(coro) if coro.role() != Role::Main => {}
            main => main::install(main),
        }
    });
}

/// See `kcoro_core.h`.
///
/// # Safety
///
/// See the module.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kcoro_switch(from: *mut Coro, to: *mut Coro) -> *mut c_void {
    call(ptr::null_mut(), || {
        // SAFETY: see the module.
        let Some(target) = (unsafe { share(to) }) else { return ptr::null_mut() };
        if from.is_null() || !ptr::eq(from, kcoro_current()) {
            return ptr::null_mut();
        }
        yield_to(target);
        from.cast()
    })
}

/// See `kcoro_core.h`.
#[unsafe(no_mangle)]
pub extern "C" fn kcoro_funcp_protector() {
    let text = "kcoro: fatal: a coroutine's function came to a place behind its end\n";
    // A failure cannot be reported anywhere.
    let _ = std::io::stderr().write_all(text.as_bytes());
    std::process::abort();
}
