// SPDX-License-Identifier: BSD-3-Clause
//! The functions of `kcoro_sched.h`.
//!
//! # Safety
//!
//! Every handle that C passes is null or valid; a scheduler is not used after its shutdown.

use std::ffi::{c_int, c_long, c_void};
use std::ptr;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::queues::Queues;
use super::{Body, Sched, Start, Stats, default};
use crate::boundary::call;
use crate::clock;
use crate::core::object::{Coro, CoroRef, Function, Role, state};
use crate::core::{flow, manual, park};
use crate::errno;
use crate::handle::write_any;
use crate::limit::Until;

/// The failure result of these functions.
const FAILED: c_int = -1;

/// `kc_sched_opts_t`.
#[repr(C)]
#[allow(missing_docs, reason = "documented in kcoro_sched.h")]
pub struct Options {
    pub workers: c_int,
    pub queue_capacity: c_int,
    pub inject_q_cap: c_int,
}

/// `kc_timer_handle_t`.
#[repr(C)]
pub struct TimerHandle {
    id: u64,
}

/// See `kcoro_sched.h`.
///
/// # Safety
///
/// `options` is null or valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kc_sched_init(options: *const Options) -> *mut Sched {
    call(ptr::null_mut(), || {
        // SAFETY: the caller's promise.
        let options = unsafe { options.as_ref() };
        let number = |option: fn(&Options) -> c_int| {
            options.and_then(|options| usize::try_from(option(options)).ok()).unwrap_or(0)
        };
        let queues =
            Queues::new(number(|options| options.queue_capacity), number(|it| it.inject_q_cap));
        Sched::with_queues("kcoro", number(|options| options.workers), queues)
            .map_or(ptr::null_mut(), Box::into_raw)
    })
}

/// See `kcoro_sched.h`.
///
/// # Safety
///
/// See the module; not used again.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kc_sched_shutdown(sched: *mut Sched) {
    call((), || {
        if !sched.is_null() {
            default::forget(sched);
            // SAFETY: made by `Box::into_raw`, given up by the caller.
            unsafe { Box::from_raw(sched) }.shutdown();
        }
    });
}

/// See `kcoro_sched.h`.
///
/// # Safety
///
/// See the module; `function` may be called with `argument` on any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kc_spawn(
    sched: *mut Sched,
    function: Function,
    argument: *mut c_void,
) -> c_int {
    call(FAILED, || {
        // SAFETY: see the module.
        let (Some(sched), Some(_)) = (unsafe { sched.as_ref() }, function) else { return FAILED };
        let started = sched.start(Start::task(Body::C { function, argument }));
        started.map_or(FAILED, |()| errno::OK)
    })
}

/// See `kcoro_ext.h`.
///
/// # Safety
///
/// See the module; `function` may be called with `argument` on any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kc_sched_submit_to(
    sched: *mut Sched,
    worker: c_int,
    function: Function,
    argument: *mut c_void,
) -> c_int {
    call(FAILED, || {
        // SAFETY: see the module.
        let (Some(sched), Some(_)) = (unsafe { sched.as_ref() }, function) else { return FAILED };
        let Ok(worker) = usize::try_from(worker) else { return FAILED };
        let task = Start::task(Body::C { function, argument });
        let started = sched.start(Start { worker: Some(worker), ..task });
        started.map_or(FAILED, |()| errno::OK)
    })
}

/// See `kcoro_sched.h`.
#[unsafe(no_mangle)]
pub extern "C" fn kc_yield() {
    call((), || {
        let yielded = flow::with_coro(|coro| match coro.role() {
            Role::Scheduled => {
                coro.set_state(state::SUSPENDED);
                becket_coro::yield_now();
                coro.set_state(state::RUNNING);
            }
            Role::Manual if coro.waker.get().is_some() => manual::yield_back(coro),
            Role::Manual | Role::Main => std::thread::yield_now(),
        });
        if yielded.is_none() {
            becket_coro::yield_now();
        }
    });
}

/// See `kcoro_sched.h`.
#[unsafe(no_mangle)]
pub extern "C" fn kc_sleep_ms(ms: c_int) {
    call((), || {
        let Ok(ms @ 1..) = u64::try_from(ms) else { return };
        let time = Duration::from_millis(ms);
        let slept = flow::with_coro(|coro| match coro.role() {
            Role::Scheduled => {
                coro.set_state(state::PARKED);
                becket_coro::sleep(time);
                coro.set_state(state::RUNNING);
            }
            Role::Manual if coro.waker.get().is_some() => manual::sleep(time),
            Role::Manual | Role::Main => sleep_thread(time),
        });
        if slept.is_none() {
            becket_coro::sleep(time);
        }
    });
}

/// Sleeps the thread itself: no coroutine could run on it.
#[expect(clippy::disallowed_methods, reason = "that is what the header says")]
fn sleep_thread(time: Duration) {
    std::thread::sleep(time);
}

/// See `kcoro_sched.h`.
#[unsafe(no_mangle)]
pub extern "C" fn kc_sched_default() -> *mut Sched {
    call(ptr::null_mut(), default::get)
}

/// See `kcoro_sched.h`.
#[unsafe(no_mangle)]
pub extern "C" fn kc_sched_current() -> *mut Sched {
    call(ptr::null_mut(), || flow::sched().cast_mut())
}

/// See `kcoro_sched.h`.
///
/// # Safety
///
/// See the module; `out` is null or valid for a write; `function` may be called with `argument` on
/// any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kc_spawn_co(
    sched: *mut Sched,
    function: Function,
    argument: *mut c_void,
    size: usize,
    out: *mut *mut Coro,
) -> c_int {
    call(FAILED, || {
        // SAFETY: see the module.
        let (Some(sched), Some(_)) = (unsafe { sched.as_ref() }, function) else { return FAILED };
        let Ok(start) = Start::coroutine(Body::C { function, argument }, size) else {
            return FAILED;
        };
        let coro = start.coro.clone();
        let handle = coro.as_ref().map_or(ptr::null_mut(), CoroRef::as_ptr);
        // SAFETY: the caller's promise. Before it starts: it may read its own handle there.
        unsafe { write_any(out, handle) };
        if sched.start(start).is_err() {
            // SAFETY: the caller's promise.
            unsafe { write_any(out, ptr::null_mut()) };
            return FAILED;
        }
        if !out.is_null() {
            // The reference is C's.
            coro.map(CoroRef::into_raw);
        }
        errno::OK
    })
}

/// See `kcoro_sched.h`.
///
/// # Safety
///
/// See the module.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kc_sched_enqueue_ready(sched: *mut Sched, coro: *mut Coro) {
    call((), || {
        // SAFETY: see the module.
        if let (Some(sched), Some(coro)) = (unsafe { sched.as_ref() }, unsafe { coro.as_ref() }) {
            enqueue(sched, coro);
        }
    });
}

fn enqueue(sched: &Sched, coro: &Coro) {
    match coro.role() {
        Role::Main => {}
        Role::Scheduled => park::unpark(coro),
        Role::Manual if coro.is_finished() || coro.running.load(Ordering::Acquire) != 0 => {}
        Role::Manual if coro.ready_enqueued.swap(true, Ordering::AcqRel) => park::unpark(coro),
        Role::Manual => {
            let start = if manual::take_unstarted(coro) {
                let (function, argument) = (coro.function, coro.argument);
                let task = Start::task(Body::C { function, argument });
                Start { coro: Some(coro.share()), ..task }
            } else {
                let driven = coro.share();
                let place = ptr::from_ref(sched).cast_mut().cast();
                coro.scheduler.store(place, Ordering::Relaxed);
                Start::task(Body::Rust(Box::new(move || manual::drive(&driven))))
            };
            // If there is no stack for it, it ends here: no other owner could resume it.
            let _ = sched.start(start);
        }
    }
}

/// See `kcoro_sched.h`.
///
/// # Safety
///
/// See the module; `out` is null or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kc_sched_get_stats(sched: *mut Sched, out: *mut Stats) {
    call((), || {
        // SAFETY: see the module.
        if let Some(sched) = unsafe { sched.as_ref() }
            && !out.is_null()
        {
            // SAFETY: the caller's promise.
            unsafe { out.write(sched.stats()) };
        }
    });
}

/// See `kcoro_sched.h`.
///
/// # Safety
///
/// See the module.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kc_sched_drain(sched: *mut Sched, timeout_ms: c_long) -> c_int {
    call(FAILED, || {
        // SAFETY: see the module.
        let Some(place) = (unsafe { sched.as_ref() }) else { return FAILED };
        // The waiting member does not count itself.
        let own = usize::from(ptr::eq(flow::sched(), sched));
        let drained = place.members.wait(own, Until::of(timeout_ms));
        if drained { errno::OK } else { errno::ETIME }
    })
}

/// See `kcoro_sched.h`.
///
/// # Safety
///
/// See the module.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kc_sched_timer_wake_after(
    sched: *mut Sched,
    coro: *mut Coro,
    delay_ms: c_long,
) -> TimerHandle {
    let delay = Duration::from_millis(u64::try_from(delay_ms).unwrap_or(0));
    // SAFETY: as for this function.
    unsafe { set_timer(sched, coro, delay) }
}

/// See `kcoro_sched.h`.
///
/// # Safety
///
/// See the module.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kc_sched_timer_wake_at(
    sched: *mut Sched,
    coro: *mut Coro,
    deadline_ns: u64,
) -> TimerHandle {
    let now = u64::try_from(clock::now_ns()).unwrap_or(0);
    let delay = Duration::from_nanos(deadline_ns.saturating_sub(now));
    // SAFETY: as for this function.
    unsafe { set_timer(sched, coro, delay) }
}

/// # Safety
///
/// See the module.
unsafe fn set_timer(sched: *mut Sched, coro: *mut Coro, delay: Duration) -> TimerHandle {
    call(TimerHandle { id: 0 }, || {
        // SAFETY: see the module.
        match (unsafe { sched.as_ref() }, unsafe { coro.as_ref() }) {
            (Some(sched), Some(coro)) => {
                let at = becket_chan::timer::after(delay);
                TimerHandle { id: sched.alarms.set(at, coro.share()) }
            }
            _ => TimerHandle { id: 0 },
        }
    })
}

/// See `kcoro_sched.h`.
///
/// # Safety
///
/// See the module.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kc_sched_timer_cancel(sched: *mut Sched, handle: TimerHandle) -> c_int {
    call(0, || {
        // SAFETY: see the module.
        unsafe { sched.as_ref() }.is_some_and(|sched| sched.alarms.cancel(handle.id)).into()
    })
}
