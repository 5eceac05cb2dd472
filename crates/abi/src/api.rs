// SPDX-License-Identifier: BSD-3-Clause
//! What the host offers beyond `send_result`, to plugins in every language.
//!
//! A plugin gets the table in `attach` and keeps the pointer: it stays valid for the rest of the
//! process. Before it calls a function it compares the function's offset with
//! [`BkHostApi::struct_size`]; the SDKs do that once, in `attach`.
//!
//! Every function may be called from any thread. One that takes a `sid` answers `Invalid` for an
//! id that is finished, foreign or made up, and the host counts it. None may be called from a signal
//! handler, which may have interrupted the host or `malloc` on the same thread. Where the host sees
//! that it was interrupted it refuses and counts the call; elsewhere the thread may hang.

use core::ffi::c_void;

use crate::{NrBytes, NrHostExt, NrStatus, NrStr};

/// The version in [`BkHostApi::api_version`].
pub const BK_HOST_API_VERSION: u32 = 1;

/// Log level: something failed.
pub const BK_LOG_ERROR: u32 = 1;
/// Log level: something looks wrong.
pub const BK_LOG_WARN: u32 = 2;
/// Log level: something worth knowing happened.
pub const BK_LOG_INFO: u32 = 3;
/// Log level: for debugging the plugin.
pub const BK_LOG_DEBUG: u32 = 4;
/// Log level: everything.
pub const BK_LOG_TRACE: u32 = 5;

/// Metric kind: a number that only grows.
pub const BK_METRIC_COUNTER: u32 = 0;
/// Metric kind: a number that is set.
pub const BK_METRIC_GAUGE: u32 = 1;
/// Metric kind: a distribution of recorded values.
pub const BK_METRIC_HISTOGRAM: u32 = 2;
/// `metric_register` refused: bad name, known under another kind, or too many.
pub const BK_METRIC_UNKNOWN: u32 = 0xFFFF_FFFF;

/// Entry kind: one answer.
pub const BK_ENTRY_UNARY: u32 = 0;
/// Entry kind: many frames out.
pub const BK_ENTRY_STREAM: u32 = 1;
/// Entry kind: frames both ways.
pub const BK_ENTRY_BIDIRECTIONAL: u32 = 2;
/// Added to an entry's kind in `describe`: its handler never waits. It runs on its caller's thread
/// although the plugin wants coroutines, and its streams get their frames by `stream_data`.
pub const BK_ENTRY_NEVER_WAITS: u32 = 0x100;

/// A wait without a limit in time.
pub const BK_FOREVER: u64 = u64::MAX;

/// `remaining_ms`: the call has no deadline.
pub const BK_NO_DEADLINE: u64 = u64::MAX;

/// A timer's function; runs on a thread of the host.
pub type BkTimerFn = unsafe extern "C" fn(user_data: *mut c_void);

/// What `coroutine_spawn` runs. It may not unwind.
pub type BkCoroutineFn = unsafe extern "C" fn(argument: *mut c_void);

/// Bytes that the plugin owns and the host reads in place. From `stream_recv` and `channel_recv`
/// the roles are exchanged: the host owns the bytes, and the plugin calls `release`.
///
/// The host calls `release(owner_ctx, ptr, len)` exactly once, from any thread, when it has
/// finished with them; also when it refuses them.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct NrOwnedBytes {
    /// The first byte.
    pub ptr: *const u8,
    /// Length in bytes.
    pub len: u64,
    /// Passed back to `release`.
    pub owner_ctx: *mut c_void,
    /// Frees the bytes; `NULL` for static ones.
    pub release: Option<unsafe extern "C" fn(owner_ctx: *mut c_void, ptr: *const u8, len: u64)>,
}

impl NrOwnedBytes {
    /// No bytes, nothing to release.
    pub const EMPTY: Self =
        Self { ptr: core::ptr::null(), len: 0, owner_ctx: core::ptr::null_mut(), release: None };
}

/// A buffer of the host that the plugin writes an answer into.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct NrBufferLease {
    /// `cap` writable bytes; `NULL` if the lease was refused.
    pub ptr: *mut u8,
    /// Capacity in bytes; 0 if the lease was refused.
    pub cap: u64,
    /// Names the lease; 0 if it was refused.
    pub token: u64,
}

impl NrBufferLease {
    /// A refused lease.
    pub const REFUSED: Self = Self { ptr: core::ptr::null_mut(), cap: 0, token: 0 };
}

/// One entry of a plugin, as `describe` reports it.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct BkEntryInfo {
    /// The size of this structure as the host was compiled with it.
    pub struct_size: u32,
    /// `BK_ENTRY_*`, and perhaps [`BK_ENTRY_NEVER_WAITS`].
    pub kind: u32,
    /// The entry's name; lives as long as the plugin.
    pub name: NrStr,
    /// One line on what it does, or empty; lives as long as the plugin.
    pub help: NrStr,
}

impl BkEntryInfo {
    /// An empty record with its size set, for `describe` to fill.
    pub const EMPTY: Self = Self {
        struct_size: size_of::<Self>() as u32,
        kind: BK_ENTRY_UNARY,
        name: NrStr::EMPTY,
        help: NrStr::EMPTY,
    };
}

/// Everything a host offers beyond `send_result`. Grows at its end; begins with its size.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct BkHostApi {
    /// The size of this structure as the host was compiled with it.
    pub struct_size: u32,
    /// [`BK_HOST_API_VERSION`].
    pub api_version: u32,

    // Answers.
    /// As `send_result`, with a status. `Ok`: taken. `Backpressure`: the stream's queue is full and
    /// the frame was not taken; `stream_room` is called when the stream is writable again.
    /// `Invalid`: `sid` has no caller, or the payload is bad. `TooLong`: longer than the host's
    /// `payload_bytes_max`; an answer or a last frame ended its call with that status, any other
    /// frame was not sent.
    pub send: unsafe extern "C" fn(
        host_ctx: *mut c_void,
        sid: u64,
        status: NrStatus,
        payload: NrBytes,
    ) -> NrStatus,
    /// `send` that waits up to `timeout_ms` milliseconds for room, then returns `Backpressure`.
    /// Inside a vtable call it never waits, since the thread is the host's.
    pub send_wait: unsafe extern "C" fn(
        host_ctx: *mut c_void,
        sid: u64,
        status: NrStatus,
        payload: NrBytes,
        timeout_ms: u64,
    ) -> NrStatus,
    /// `send` without a copy: the host reads the bytes in place and releases them. On
    /// `Backpressure` they stay the plugin's and are not released.
    pub send_owned: unsafe extern "C" fn(
        host_ctx: *mut c_void,
        sid: u64,
        status: NrStatus,
        payload: NrOwnedBytes,
    ) -> NrStatus,
    /// A buffer of at least `cap` bytes to write an answer of call `sid` into. It outlives the call:
    /// it is the plugin's until it is committed or released. A `cap` of 0, or above the host's
    /// limits, is refused.
    pub lease_acquire:
        unsafe extern "C" fn(host_ctx: *mut c_void, sid: u64, cap: u64) -> NrBufferLease,
    /// Sends the first `len` bytes of the lease. The lease is over, unless this returns
    /// `Backpressure`, or `len` is above its capacity.
    pub lease_commit: unsafe extern "C" fn(
        host_ctx: *mut c_void,
        sid: u64,
        status: NrStatus,
        token: u64,
        len: u64,
    ) -> NrStatus,
    /// Gives a lease back unused.
    pub lease_release: unsafe extern "C" fn(host_ctx: *mut c_void, token: u64) -> NrStatus,
    /// The plugin takes data of stream `sid` again, after its `stream_data` returned
    /// `Backpressure`: the host offers the frame again.
    pub stream_ready: unsafe extern "C" fn(host_ctx: *mut c_void, sid: u64) -> NrStatus,

    // State of a call, gone when the call ends.
    /// Keeps a copy of `value` under `key`. `Backpressure`: the plugin's quota is used up.
    pub state_set: unsafe extern "C" fn(
        host_ctx: *mut c_void,
        sid: u64,
        key: NrStr,
        value: NrBytes,
    ) -> NrStatus,
    /// Copies at most `cap` bytes of the value under `key` to `buf` and stores its whole length in
    /// `len_out`. `Err`: no such key.
    pub state_get: unsafe extern "C" fn(
        host_ctx: *mut c_void,
        sid: u64,
        key: NrStr,
        buf: *mut u8,
        cap: u64,
        len_out: *mut u64,
    ) -> NrStatus,
    /// The same state in its first shape.
    pub host_ext: *const NrHostExt,

    // Cancellation.
    /// 1 if `sid` has no caller any more, else 0.
    pub is_cancelled: unsafe extern "C" fn(host_ctx: *mut c_void, sid: u64) -> u32,
    /// Milliseconds until the deadline of `sid`; 0 when it is over, [`BK_NO_DEADLINE`] without one.
    pub remaining_ms: unsafe extern "C" fn(host_ctx: *mut c_void, sid: u64) -> u64,

    // Logging.
    /// 1 if a message of this level would go anywhere, else 0.
    pub log_enabled: unsafe extern "C" fn(host_ctx: *mut c_void, level: u32) -> u32,
    /// One message. Text that is not UTF-8 is shown with replacement characters. A message above
    /// 64 KiB is dropped and counted.
    pub log: unsafe extern "C" fn(host_ctx: *mut c_void, level: u32, target: NrStr, message: NrStr),

    // Metrics, shown by the host under the plugin's name.
    /// The id of a metric, the same for the same name; [`BK_METRIC_UNKNOWN`] if refused. `name` is
    /// at most 128 bytes of ASCII letters, digits and `_`, and does not begin with a digit; `help`
    /// is at most 1024 bytes.
    pub metric_register:
        unsafe extern "C" fn(host_ctx: *mut c_void, kind: u32, name: NrStr, help: NrStr) -> u32,
    /// Adds to a counter.
    pub counter_add:
        unsafe extern "C" fn(host_ctx: *mut c_void, metric: u32, delta: u64) -> NrStatus,
    /// Sets a gauge.
    pub gauge_set: unsafe extern "C" fn(host_ctx: *mut c_void, metric: u32, value: f64) -> NrStatus,
    /// Records a value in a histogram.
    pub histogram_record:
        unsafe extern "C" fn(host_ctx: *mut c_void, metric: u32, value: f64) -> NrStatus,

    // Timers.
    /// Runs `callback(user_data)` once, on a thread of the host, `delay_ms` milliseconds from now.
    /// Returns the timer's id, or 0 if refused. Before `shutdown` the host cancels those that have
    /// not run and waits for one that runs.
    pub timer_start: unsafe extern "C" fn(
        host_ctx: *mut c_void,
        delay_ms: u64,
        callback: Option<BkTimerFn>,
        user_data: *mut c_void,
    ) -> u64,
    /// `Ok`: the timer will never run. `Invalid`: it ran, runs, or is unknown.
    pub timer_cancel: unsafe extern "C" fn(host_ctx: *mut c_void, timer: u64) -> NrStatus,

    // Configuration.
    /// The plugin's configuration as a JSON object; lives as long as the plugin.
    pub config: unsafe extern "C" fn(host_ctx: *mut c_void) -> NrStr,
    /// One value by its dotted key: text bare, anything else as JSON; the empty view if unset.
    /// Lives as long as the plugin.
    pub config_get: unsafe extern "C" fn(host_ctx: *mut c_void, key: NrStr) -> NrStr,

    // Coroutines. The functions below that wait return `Cancelled` when the call that the coroutine
    // serves has no caller any more, or the plugin is about to end; the coroutine should return
    // then. On a thread of the plugin's own they block the thread. On a thread of the host (in a
    // vtable call that is not on a coroutine, in a timer) nothing may wait: they return
    // `Unsupported` at once. Timeouts are in nanoseconds: [`BK_FOREVER`] for no limit, 0 not to
    // wait. When one has passed, the function returns `Timeout`.
    /// A number that names the calling coroutine of this plugin; 0 on a plain thread.
    pub coroutine_current: unsafe extern "C" fn(host_ctx: *mut c_void) -> u64,
    /// Lets other coroutines of this thread run first. `Ok`, or `Cancelled`.
    pub coroutine_yield: unsafe extern "C" fn(host_ctx: *mut c_void) -> NrStatus,
    /// Waits for `duration_ns` nanoseconds. `Ok`: they have passed; `Cancelled`: they have not.
    pub coroutine_sleep: unsafe extern "C" fn(host_ctx: *mut c_void, duration_ns: u64) -> NrStatus,
    /// Runs `function(argument)` on a coroutine of its own, with `stack_bytes` of stack (0: as the
    /// plugin's handlers). Spawned by a coroutine, it serves the same call and is cancelled with
    /// it; else it is cancelled when the plugin ends. `Ok`, or the function will not run:
    /// `Backpressure` at the plugin's quota or for a stack above the host's limit, `Invalid` for a
    /// bad argument or a plugin that does not want coroutines or has ended.
    pub coroutine_spawn: unsafe extern "C" fn(
        host_ctx: *mut c_void,
        function: Option<BkCoroutineFn>,
        argument: *mut c_void,
        stack_bytes: u64,
    ) -> NrStatus,
    /// Waits for the next frame from the host to stream `sid`, whose handler runs or ran on a
    /// coroutine. `Ok`: `out` holds it, and the caller calls `out.release(out.owner_ctx, out.ptr,
    /// out.len)` once, if it is there. `Closed`: the host has closed, and every frame was received.
    /// `Cancelled`: the stream is over. `Invalid`: no such stream.
    pub stream_recv: unsafe extern "C" fn(
        host_ctx: *mut c_void,
        sid: u64,
        out: *mut NrOwnedBytes,
        timeout_ns: u64,
    ) -> NrStatus,
    /// Sends a frame on stream `sid`, after waiting for room. `Cancelled`: the stream is over.
    pub stream_send: unsafe extern "C" fn(
        host_ctx: *mut c_void,
        sid: u64,
        payload: NrBytes,
        timeout_ns: u64,
    ) -> NrStatus,

    // Channels of byte messages within the plugin: any number of senders and receivers.
    /// A channel that holds `capacity` messages; 0: each send waits for its receiver. Returns its
    /// id, or 0 if refused: the plugin has too many, or the capacity is too large.
    pub channel_make: unsafe extern "C" fn(host_ctx: *mut c_void, capacity: u64) -> u64,
    /// Sends a copy of `message`, after waiting for room. `Closed`: not taken.
    pub channel_send: unsafe extern "C" fn(
        host_ctx: *mut c_void,
        channel: u64,
        message: NrBytes,
        timeout_ns: u64,
    ) -> NrStatus,
    /// Waits for a message; `out` as for `stream_recv`. `Closed`: closed, and empty.
    pub channel_recv: unsafe extern "C" fn(
        host_ctx: *mut c_void,
        channel: u64,
        out: *mut NrOwnedBytes,
        timeout_ns: u64,
    ) -> NrStatus,
    /// Nothing more is sent; what was sent can be received. Wakes the receivers that wait.
    pub channel_close: unsafe extern "C" fn(host_ctx: *mut c_void, channel: u64) -> NrStatus,
    /// Closes the channel and forgets it: its id is invalid, and messages in it are dropped.
    /// Channels that are left at the plugin's end are destroyed then.
    pub channel_destroy: unsafe extern "C" fn(host_ctx: *mut c_void, channel: u64) -> NrStatus,
}

// SAFETY: the table is read-only data of the host; its one pointer leads to another such table.
unsafe impl Sync for BkHostApi {}
// SAFETY: as above.
unsafe impl Send for BkHostApi {}

crate::assert_layout!(NrOwnedBytes, 32, { ptr: 0, len: 8, owner_ctx: 16, release: 24 });
crate::assert_layout!(NrBufferLease, 24, { ptr: 0, cap: 8, token: 16 });
crate::assert_layout!(BkEntryInfo, 40, { struct_size: 0, kind: 4, name: 8, help: 24 });
crate::assert_layout!(BkHostApi, 272, {
    struct_size: 0, api_version: 4, send: 8, send_wait: 16, send_owned: 24, lease_acquire: 32,
    lease_commit: 40, lease_release: 48, stream_ready: 56, state_set: 64, state_get: 72,
    host_ext: 80, is_cancelled: 88, remaining_ms: 96, log_enabled: 104, log: 112,
    metric_register: 120, counter_add: 128, gauge_set: 136, histogram_record: 144,
    timer_start: 152, timer_cancel: 160, config: 168, config_get: 176,
    coroutine_current: 184, coroutine_yield: 192, coroutine_sleep: 200, coroutine_spawn: 208,
    stream_recv: 216, stream_send: 224, channel_make: 232, channel_send: 240, channel_recv: 248,
    channel_close: 256, channel_destroy: 264,
});
