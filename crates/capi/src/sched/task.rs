// SPDX-License-Identifier: BSD-3-Clause
//! `kcoro_task.h`: the running task, by its number in `becket_coro`.
//!
//! A handle is the number as an address, one higher, so that none is null. Numbers have a
//! generation: a handle of a task that has ended wakes nothing.

use std::cell::UnsafeCell;
use std::ffi::c_int;
use std::ptr;

use becket_coro::Id;

use super::Sched;
use super::api::{kc_sleep_ms, kc_yield};
use crate::boundary::call;
use crate::core::flow;
use crate::core::object::{Role, state};

/// `kc_task_t`: never dereferenced.
pub struct Task(());

/// `kc_task_ctx_t`.
#[repr(C)]
pub struct TaskCtx {
    current: *mut Task,
    scheduler: *mut Sched,
    worker: c_int,
}

const _: () = assert!(size_of::<TaskCtx>() == 24);

thread_local! {
    /// What the last call on this thread returned a pointer to.
    static CURRENT: UnsafeCell<TaskCtx> = const {
        UnsafeCell::new(TaskCtx { current: ptr::null_mut(), scheduler: ptr::null_mut(), worker: 0 })
    };
}

/// The calling task, and the index of its worker; `None` if there is none.
fn current() -> Option<(Id, usize)> {
    let is_manual = flow::with_coro(|coro| coro.role() != Role::Scheduled).unwrap_or(false);
    if flow::sched().is_null() || is_manual {
        return None;
    }
    let current = becket_coro::current()?;
    Some((current.id(), current.worker()?))
}

fn handle(id: Id) -> *mut Task {
    ptr::without_provenance_mut((id.get() as usize).wrapping_add(1))
}

/// See `kcoro_task.h`.
#[unsafe(no_mangle)]
pub extern "C" fn kc_current_task() -> *mut Task {
    call(ptr::null_mut(), || current().map_or(ptr::null_mut(), |(id, _)| handle(id)))
}

/// See `kcoro_task.h`.
#[unsafe(no_mangle)]
pub extern "C" fn kc_current_task_ctx() -> *mut TaskCtx {
    call(ptr::null_mut(), || {
        let Some((id, worker)) = current() else { return ptr::null_mut() };
        let ctx = TaskCtx {
            current: handle(id),
            scheduler: flow::sched().cast_mut(),
            worker: c_int::try_from(worker).unwrap_or(c_int::MAX),
        };
        CURRENT.with(|place| {
            // SAFETY: this thread's own; C reads it between two calls, never during one.
            unsafe { place.get().write(ctx) };
            place.get()
        })
    })
}

/// See `kcoro_task.h`.
#[unsafe(no_mangle)]
pub extern "C" fn kc_task_yield() {
    kc_yield();
}

/// See `kcoro_task.h`.
#[unsafe(no_mangle)]
pub extern "C" fn kc_task_block() {
    call((), || {
        if current().is_none() {
            return;
        }
        flow::with_coro(|coro| coro.set_state(state::PARKED));
        becket_coro::park();
        flow::with_coro(|coro| coro.set_state(state::RUNNING));
    });
}

/// See `kcoro_task.h`.
#[unsafe(no_mangle)]
pub extern "C" fn kc_task_wake(task: *mut Task) {
    call((), || {
        if let Some(number) = task.addr().checked_sub(1) {
            Id::from_number(number as u64).unpark();
        }
    });
}

/// See `kcoro_task.h`.
#[unsafe(no_mangle)]
pub extern "C" fn kc_task_sleep_ms(ms: c_int) {
    kc_sleep_ms(ms);
}
