// SPDX-License-Identifier: BSD-3-Clause
//! Coroutines started in the caller's context: as a job, as the producer of a channel.

use std::ffi::{c_int, c_void};
use std::ptr;

use crate::boundary::call;
use crate::chan::Chan;
use crate::core::object::Function;
use crate::job::{Job, kc_job_launch};
use crate::produce::{Producer, Target, produce};
use crate::sched::default;

/// See `kcoro_ext.h`.
///
/// # Safety
///
/// `out` is null or valid for a write; `function` may be called with `argument` by any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kc_launch(
    function: Function,
    argument: *mut c_void,
    size: usize,
    out: *mut *mut Job,
) -> c_int {
    // SAFETY: the caller's promise.
    unsafe { kc_job_launch(ptr::null_mut(), ptr::null_mut(), function, argument, size, out) }
}

/// See `kcoro_ext.h`.
///
/// # Safety
///
/// `producer` may be called with `user` by any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kc_produce(
    kind: c_int,
    elem_size: usize,
    capacity: usize,
    producer: Option<Producer>,
    user: *mut c_void,
) -> *mut Chan {
    call(ptr::null_mut(), || {
        let Some(producer) = producer else { return ptr::null_mut() };
        let target = Target { kind, elem_size, capacity };
        produce(&target, producer, user, |starting, output| {
            default::start(starting.at_end(move |_| output.close()))
        })
    })
}
