// SPDX-License-Identifier: BSD-3-Clause
//! Everything about a plugin that has a bound, and what happens at each.

use serde::{Deserialize, Serialize};

/// The bounds of one plugin. Names end in their unit; a refusal at a bound is typed and counted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Default deadline of a call, in milliseconds; 0: none. At it the caller is freed with
    /// `DeadlineExceeded` and the plugin is notified.
    pub deadline_ms: u64,
    /// Default deadline of a whole stream, in milliseconds; 0: none.
    pub stream_deadline_ms: u64,
    /// A stream without a frame in either direction for this long ends with `Idle`; it may take up
    /// to twice as long. In milliseconds; 0: never.
    pub stream_idle_ms: u64,
    /// Calls that wait for their answer, and notifications that wait for a worker; one more is
    /// refused. Threads that enter at the same moment may each exceed it by one.
    pub pending_max: u32,
    /// Open streams; one more is refused. May be exceeded as `pending_max` may.
    pub streams_max: u32,
    /// Frames queued from the plugin on one stream; one more gets `Backpressure`. More than
    /// 1 048 575 are taken as that many. As many may wait for a worker to the plugin (`try_send`).
    pub stream_frames_max: u32,
    /// Bytes queued from the plugin on one stream, or for it. A frame that exceeds it is taken only
    /// when the queue is empty. Above 2 MiB each frame is rounded up to at most a millionth of
    /// the bound.
    pub stream_bytes_max: u64,
    /// Bytes of one payload, either way; a longer one is refused.
    pub payload_bytes_max: u64,
    /// Leases handed out and not yet given back; one more is refused.
    pub leases_max: u32,
    /// Bytes of one lease.
    pub lease_bytes_max: u64,
    /// Bytes of keys and values that one call may keep as state.
    pub state_bytes_max: u64,
    /// Timers set and not yet run; one more is refused.
    pub timers_max: u32,
    /// Metrics of one plugin; one more is answered with `BK_METRIC_UNKNOWN`.
    pub metrics_max: u32,
    /// A thread inside the plugin for longer than this is reported. In milliseconds.
    pub block_report_ms: u64,
    /// So many callers' threads blocked in the plugin at once quarantine it until its next reload.
    /// Its workers do not count: they are there to be blocked.
    pub blocked_max: u32,
    /// Threads that run the plugin's code in place of its callers'. When all are blocked, calls
    /// wait for one, each at most until its deadline.
    pub workers_max: u32,
    /// Coroutines of the plugin, those of its calls and streams included, at which one that it
    /// spawns itself is refused. Calls and streams have their own bounds.
    pub coroutines_max: u32,
    /// Bytes of stack that the plugin may ask for, for a coroutine.
    pub coroutine_stack_bytes_max: u64,
    /// Channels that the plugin may have; one more is refused.
    pub channels_max: u32,
    /// Messages that one channel of the plugin may hold.
    pub channel_messages_max: u32,
    /// How long a load may take: mapping the file, which runs its constructors, its entry function,
    /// `attach`, `init` and `describe`; and, again, what moves the state at a reload. Then it is
    /// given up, on the thread that it runs on. In milliseconds; 0: as long as it takes.
    pub load_timeout_ms: u64,
    /// How long an unload waits for calls to finish before it fails them. In milliseconds.
    pub drain_ms: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            deadline_ms: 30_000,
            stream_deadline_ms: 3_600_000,
            stream_idle_ms: 60_000,
            pending_max: 65_536,
            streams_max: 16_384,
            stream_frames_max: 1024,
            stream_bytes_max: 4 << 20,
            payload_bytes_max: 64 << 20,
            leases_max: 1024,
            lease_bytes_max: 64 << 20,
            state_bytes_max: 64 << 10,
            timers_max: 4096,
            metrics_max: 256,
            block_report_ms: 100,
            blocked_max: 16,
            workers_max: 32,
            coroutines_max: 65_536,
            coroutine_stack_bytes_max: 8 << 20,
            channels_max: 1024,
            channel_messages_max: 65_536,
            load_timeout_ms: 10_000,
            drain_ms: 10_000,
        }
    }
}

/// On which threads the plugin's code runs.
///
/// Whatever is set, `call_now`, which is over when `handle` returns, runs on the caller's thread, or,
/// of a plugin in another process, is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Dispatch {
    /// On workers of the plugin, unless it declares that it never blocks
    /// (`BK_PLUGIN_NEVER_BLOCKS`): then as `Caller`.
    #[default]
    Auto,
    /// On its callers' threads, as if it declared that it never blocks: the fastest. A plugin that
    /// blocks all the same is moved to workers until its next load.
    Caller,
    /// On workers always, whatever the plugin declares.
    Worker,
}
