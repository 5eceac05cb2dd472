// SPDX-License-Identifier: BSD-3-Clause
//! The functions that a plugin calls: the host's side of the ABI.
//!
//! | module | functions |
//! |---|---|
//! | [`answer`] | `send_result`, `send`, `send_wait`, `send_owned`, `stream_ready` |
//! | [`lease`] | `lease_*` |
//! | [`answers`] | what a placement in another crate calls instead |
//! | [`state`] | `state_*`, `set_state`, `get_state` |
//! | [`observe`] | cancellation, deadlines, logs, metrics, configuration |
//! | [`time`] | `timer_*` |
//! | [`v2`] | all of version 2: `send_result`, `send_result_owned`, `*_result_buffer`, `*_state` |
//! | [`wait`] | `coroutine_*`, `stream_recv`, `stream_send`, `channel_*` |
//!
//! # Safety
//!
//! Every function here may be called by a plugin from any thread, at any time, with anything.
//!
//! - every pointer: `NULL`, the first page and addresses that no program has are refused and counted
//!   (`is_user_range`); any other is followed, and the plugin answers for it, as code in the same
//!   process does.
//! - `host_ctx`: an address that can be read then; whether it is an instance is checked.
//! - a view: its length is checked too, against the plugin's own limits.
//! - out-pointers: misaligned ones are refused too.
//! - functions: the address alone is checked.
//! - a signal handler: what can be seen to interrupt the host is refused ([`crate::reentry`]).
//! - nothing unwinds: [`boundary`] catches a panic of the host, logs it and gives a typed answer. The
//!   end of a coroutine's runtime, which is a panic too, abandons the coroutine there.

mod answer;
mod answers;
mod lease;
mod observe;
mod state;
mod time;
pub(crate) mod v2;
mod wait;

use std::{
    ffi::c_void,
    panic::{AssertUnwindSafe, catch_unwind},
};

use becket_abi::{BK_HOST_API_VERSION, BkHostApi, NrHostExt, NrHostVTable, NrStr, is_user_range};

pub use self::answers::Answers;
pub use self::observe::log_message;
pub(crate) use self::{
    answers::Expected,
    lease::{Leases, TakenLease},
    observe::relative,
    time::TimerTable,
    v2::CallLeases,
};
use crate::{coroutine, counters::Count, instance::Instance, reentry::Running};

static VTABLE: NrHostVTable = NrHostVTable { send_result: answer::send_result };

static EXT: NrHostExt = NrHostExt { set_state: state::ext_set, get_state: state::ext_get };

static API: BkHostApi = BkHostApi {
    struct_size: size_of::<BkHostApi>() as u32,
    api_version: BK_HOST_API_VERSION,
    send: answer::send,
    send_wait: answer::send_wait,
    send_owned: answer::send_owned,
    lease_acquire: lease::acquire,
    lease_commit: lease::commit,
    lease_release: lease::release,
    stream_ready: answer::stream_ready,
    state_set: state::set,
    state_get: state::get,
    host_ext: &raw const EXT,
    is_cancelled: observe::is_cancelled,
    remaining_ms: observe::remaining_ms,
    log_enabled: observe::log_enabled,
    log: observe::log,
    metric_register: observe::metric_register,
    counter_add: observe::counter_add,
    gauge_set: observe::gauge_set,
    histogram_record: observe::histogram_record,
    timer_start: time::start,
    timer_cancel: time::cancel,
    config: observe::config,
    config_get: observe::config_get,
    coroutine_current: wait::current,
    coroutine_yield: wait::give_way,
    coroutine_sleep: wait::sleep,
    coroutine_spawn: wait::spawn,
    stream_recv: wait::stream_recv,
    stream_send: wait::stream_send,
    channel_make: wait::channel_make,
    channel_send: wait::channel_send,
    channel_recv: wait::channel_recv,
    channel_close: wait::channel_close,
    channel_destroy: wait::channel_destroy,
};

/// The table for `init`.
pub(crate) fn vtable() -> &'static NrHostVTable {
    &VTABLE
}

/// The table that the first plugins find through `host_ctx`.
pub(crate) fn ext() -> *const NrHostExt {
    &raw const EXT
}

/// The table for `attach`.
pub(crate) fn api() -> &'static BkHostApi {
    &API
}

/// Bytes of a name or key that a plugin passes.
const NAME_BYTES_MAX: u64 = 4096;

/// Runs a callback's body for the instance behind `host_ctx`; `refused` if there is none, the call
/// interrupts the host, or the body panicked.
#[inline]
fn boundary<R>(host_ctx: *mut c_void, refused: R, body: impl FnOnce(&'static Instance) -> R) -> R {
    // SAFETY: see the module's documentation.
    let Some(instance) = (unsafe { Instance::from_host_ctx(host_ctx) }) else {
        tracing::error!(target: "becket::abi", "a plugin passed a host_ctx that is none");
        return refused;
    };
    let Some(running) = Running::begin() else {
        // Nothing is logged, and no observer notified: that may be what was interrupted.
        instance.plugin.counters.one_of_handler(Count::AnswersInvalid);
        return refused;
    };
    let result = catch_unwind(AssertUnwindSafe(|| body(instance)));
    drop(running);
    match result {
        Ok(result) => result,
        Err(payload) => {
            if becket_coro::foreign::is_ending(&*payload) {
                drop(payload);
                coroutine::abandon_here();
            }
            tracing::error!(
                target: "becket::abi",
                plugin = %instance.plugin.name,
                "a panic of the host was caught in a callback",
            );
            refused
        }
    }
}

/// A name or key that a plugin passed, if it is one; else it is counted.
fn name<'a>(instance: &Instance, view: NrStr) -> Option<&'a str> {
    // SAFETY: see the module's documentation; the borrow ends with the callback.
    let name = unsafe { view.checked(NAME_BYTES_MAX) }.ok();
    counted(instance, name.is_some()).then_some(name).flatten()
}

/// True if a value may be written to `out`; else it is counted.
fn is_writable<T>(instance: &Instance, out: *mut T) -> bool {
    counted(instance, out.is_aligned() && is_user_range(out.addr(), size_of::<T>()))
}

/// True if a function can be at `address`; else it is counted.
fn is_function(instance: &Instance, address: usize) -> bool {
    counted(instance, is_user_range(address, 1))
}

fn counted(instance: &Instance, is_sound: bool) -> bool {
    if !is_sound {
        instance.plugin.counters.one(Count::AnswersInvalid);
    }
    is_sound
}
