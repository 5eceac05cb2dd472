// SPDX-License-Identifier: BSD-3-Clause
//! The model: one process at one moment.
//!
//! Fields are only ever added, with a default, under the same [`SCHEMA`]; a reader ignores unknown
//! fields. A change of meaning changes the number.
//!
//! Times named `at_ns` are nanoseconds of the watched process's monotonic clock, from an origin
//! that is the same within one process and meaningless outside it.

use serde::{Deserialize, Serialize};

use super::query::Page;

/// The schema's version.
pub const SCHEMA: u32 = 1;

/// A process at one moment.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Report {
    /// [`SCHEMA`].
    pub schema: u32,
    /// When the report was started, by the process's monotonic clock.
    pub at_ns: u64,
    /// When the report was started, in milliseconds since 1970.
    pub wall_ms: u64,
    /// The process.
    pub process: Process,
    /// Sums over all channels, whether on the page or not.
    pub totals: ChannelTotals,
    /// Channels.
    pub channels: Page<ChannelReport>,
    /// Coroutines of all exported runtimes.
    pub coroutines: Coroutines,
    /// Workers of all exported runtimes.
    pub workers: Vec<WorkerReport>,
    /// Plugins.
    pub plugins: Page<PluginReport>,
    /// Connections.
    pub sessions: Page<SessionReport>,
}

/// A process.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Process {
    /// Its id.
    pub pid: u32,
    /// The name that the program gave.
    pub name: String,
    /// Distinguishes processes that had the same id one after the other.
    pub instance: u64,
    /// The time since it started.
    pub uptime_ms: u64,
    /// CPU time of all its threads, with a resolution of 10 ms.
    pub cpu_ns: u64,
}

/// Sums over all channels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ChannelTotals {
    /// When the first of them was read.
    pub at_ns: u64,
    /// The number of channels.
    pub channels: u64,
    /// The number of bounded channels at their capacity.
    pub full: u64,
    /// Values held.
    pub len: u64,
    /// Waiting sends.
    pub senders_waiting: u64,
    /// Waiting receives.
    pub receivers_waiting: u64,
    /// Values accepted. Dropped channels stay included, with their last known counts.
    pub sends: u64,
    /// Values received, likewise.
    pub receives: u64,
    /// Bytes accepted, likewise.
    pub bytes_in: u64,
    /// Bytes received, likewise.
    pub bytes_out: u64,
    /// Failed operations, likewise.
    pub failures: u64,
    /// Values dropped by an overflow policy, likewise.
    pub dropped: u64,
}

/// One channel.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ChannelReport {
    /// Unique in the process, never reused.
    pub id: u64,
    /// The name under which it was exported.
    pub name: String,
    /// `rendezvous`, `bounded`, `conflated` or `unlimited`.
    pub kind: String,
    /// When its counts were read.
    pub at_ns: u64,
    /// Its capacity, if it is bounded.
    #[serde(skip_serializing_if = "is_nothing")]
    pub capacity: Option<u64>,
    /// The number of values held.
    #[serde(skip_serializing_if = "is_nothing")]
    pub len: u64,
    /// The highest observed number of values held.
    #[serde(skip_serializing_if = "is_nothing")]
    pub high_water: u64,
    /// Waiting sends.
    #[serde(skip_serializing_if = "is_nothing")]
    pub senders_waiting: u64,
    /// Waiting receives.
    #[serde(skip_serializing_if = "is_nothing")]
    pub receivers_waiting: u64,
    /// Whether it is closed.
    #[serde(skip_serializing_if = "is_nothing")]
    pub closed: bool,
    /// Values accepted.
    #[serde(skip_serializing_if = "is_nothing")]
    pub sends: u64,
    /// Values received.
    #[serde(skip_serializing_if = "is_nothing")]
    pub receives: u64,
    /// Bytes accepted.
    #[serde(skip_serializing_if = "is_nothing")]
    pub bytes_in: u64,
    /// Bytes received.
    #[serde(skip_serializing_if = "is_nothing")]
    pub bytes_out: u64,
    /// Operations that failed.
    #[serde(skip_serializing_if = "is_nothing")]
    pub failed: Failed,
    /// Values dropped by the overflow policy.
    #[serde(skip_serializing_if = "is_nothing")]
    pub dropped: u64,
    /// Values replaced by newer ones.
    #[serde(skip_serializing_if = "is_nothing")]
    pub conflated: u64,
    /// Values that were accepted and not received, and never will be.
    #[serde(skip_serializing_if = "is_nothing")]
    pub undelivered: u64,
}

/// Failures of both sides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Failed {
    /// Of sends.
    #[serde(skip_serializing_if = "is_nothing")]
    pub send: Causes,
    /// Of receives.
    #[serde(skip_serializing_if = "is_nothing")]
    pub receive: Causes,
}

/// Failures by cause.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Causes {
    /// The operation would have blocked.
    #[serde(skip_serializing_if = "is_nothing")]
    pub would_block: u64,
    /// The deadline passed.
    #[serde(skip_serializing_if = "is_nothing")]
    pub timed_out: u64,
    /// The channel was closed.
    #[serde(skip_serializing_if = "is_nothing")]
    pub closed: u64,
    /// Cancelled by a token.
    #[serde(skip_serializing_if = "is_nothing")]
    pub cancelled: u64,
}

/// The coroutines of all exported runtimes.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Coroutines {
    /// The number of live coroutines.
    pub live: u64,
    /// The number of coroutines created.
    pub spawned: u64,
    /// The number of coroutines that have ended.
    pub finished: u64,
    /// Whether they were examined one by one. Not if there are too many to do so for each report:
    /// then the counts by state, the rows and `held` are empty.
    pub listed: bool,
    /// Not started.
    pub fresh: u64,
    /// Runnable, waiting for a worker.
    pub ready: u64,
    /// Running.
    pub running: u64,
    /// Parked until woken.
    pub parked: u64,
    /// Sleeping until a deadline.
    pub sleeping: u64,
    /// Coroutines that have held their worker for long, the longest first.
    pub held: Vec<Held>,
    /// The coroutines.
    pub rows: Page<CoroutineRow>,
}

/// A coroutine that holds its worker.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Held {
    /// The coroutine's id.
    pub id: u64,
    /// Its name, or where it was spawned.
    pub what: String,
    /// The worker's number in the process.
    pub worker: u64,
    /// The duration.
    pub held_ms: u64,
}

/// One coroutine.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct CoroutineRow {
    /// Unique among live coroutines.
    pub id: u64,
    /// Its name; empty if it has none.
    pub name: String,
    /// Where it was spawned.
    #[serde(skip_serializing_if = "is_nothing")]
    pub site: String,
    /// `fresh`, `ready`, `running`, `parked` or `sleeping`.
    #[serde(skip_serializing_if = "is_nothing")]
    pub state: String,
    /// The time in that state.
    #[serde(skip_serializing_if = "is_nothing")]
    pub state_ms: u64,
    /// The number of its worker in the process, once it has started.
    #[serde(skip_serializing_if = "is_nothing")]
    pub worker: Option<u64>,
    /// The size of its stack, in bytes.
    #[serde(skip_serializing_if = "is_nothing")]
    pub stack_bytes: u64,
    /// The runtime's name.
    #[serde(skip_serializing_if = "is_nothing")]
    pub runtime: String,
}

/// One worker.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct WorkerReport {
    /// The runtime's name.
    pub runtime: String,
    /// The index of the worker in its runtime.
    pub index: u64,
    /// When its counts were read.
    pub at_ns: u64,
    /// How often it ran a coroutine.
    pub dispatches: u64,
    /// How often it stole fresh coroutines from another worker.
    pub steals: u64,
    /// How often it slept.
    pub sleeps: u64,
    /// Wakes from other threads.
    pub remote_wakes: u64,
    /// Timers that fired.
    pub timers: u64,
    /// Coroutines that belong to it.
    pub coroutines: u64,
}

/// One plugin.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct PluginReport {
    /// Its name.
    pub name: String,
    /// Its placement: `inline`, `process`…
    #[serde(skip_serializing_if = "is_nothing")]
    pub placement: String,
    /// When its counts were read. Zero: when the report was started.
    pub at_ns: u64,
    /// Completed calls, including failed ones.
    #[serde(skip_serializing_if = "is_nothing")]
    pub calls: u64,
    /// Failed ones by cause.
    #[serde(skip_serializing_if = "is_nothing")]
    pub errors: Vec<(String, u64)>,
    /// The duration of calls.
    #[serde(skip_serializing_if = "is_nothing")]
    pub latency: Histogram,
    /// Queued calls.
    #[serde(skip_serializing_if = "is_nothing")]
    pub queue_depth: u64,
    /// Calls in flight.
    #[serde(skip_serializing_if = "is_nothing")]
    pub in_flight: u64,
    /// Bytes to it.
    #[serde(skip_serializing_if = "is_nothing")]
    pub bytes_in: u64,
    /// Bytes from it.
    #[serde(skip_serializing_if = "is_nothing")]
    pub bytes_out: u64,
    /// How often it was restarted.
    #[serde(skip_serializing_if = "is_nothing")]
    pub restarts: u64,
    /// How often it was replaced by a newer version.
    #[serde(skip_serializing_if = "is_nothing")]
    pub reloads: u64,
    /// The processes that it runs in, if its placement has any.
    #[serde(skip_serializing_if = "is_nothing")]
    pub workers: Vec<PluginWorker>,
    /// The rollout of a new version that is under way.
    #[serde(skip_serializing_if = "is_nothing")]
    pub rollout: Option<RolloutReport>,
    /// The rollout that ended last.
    #[serde(skip_serializing_if = "is_nothing")]
    pub last_rollout: Option<RolloutReport>,
    /// Rollouts whose version got all calls.
    #[serde(skip_serializing_if = "is_nothing")]
    pub promoted: u64,
    /// Rollouts that were taken back.
    #[serde(skip_serializing_if = "is_nothing")]
    pub taken_back: u64,
}

/// The rollout of a new version of a plugin, which gets a share of the calls.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct RolloutReport {
    /// The new version.
    pub version: String,
    /// Its share of the calls.
    pub percent: u32,
    /// Its calls that were answered or failed.
    #[serde(skip_serializing_if = "is_nothing")]
    pub calls: u64,
    /// After so many it gets all.
    pub calls_min: u64,
    /// Those of them that failed.
    #[serde(skip_serializing_if = "is_nothing")]
    pub errors: u64,
    /// So many may fail.
    pub errors_max: u64,
    /// How long it is, or was, under way.
    pub age_ms: u64,
    /// How long it may be under way; zero: there is no limit.
    #[serde(skip_serializing_if = "is_nothing")]
    pub timeout_ms: u64,
    /// How the last of the failed calls failed.
    #[serde(skip_serializing_if = "is_nothing")]
    pub last_error: String,
    /// `promoted` or `taken_back`; empty: it is under way.
    #[serde(skip_serializing_if = "is_nothing")]
    pub result: String,
    /// Why: `passed`, `errors`, `timeout`…
    #[serde(skip_serializing_if = "is_nothing")]
    pub cause: String,
}

/// One worker of a plugin: a process of its own.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct PluginWorker {
    /// Its number, from 0. It stays the same when its process is started again.
    pub worker: u32,
    /// Whether it runs the new version that a rollout gives a share of the calls.
    #[serde(skip_serializing_if = "is_nothing")]
    pub canary: bool,
    /// `running`, `restarting`, `failed`.
    pub state: String,
    /// Its process; zero: there is none.
    #[serde(skip_serializing_if = "is_nothing")]
    pub pid: u32,
    /// How long its process has been ready.
    #[serde(skip_serializing_if = "is_nothing")]
    pub ready_ms: u64,
    /// Calls and streams that it has in hand.
    #[serde(skip_serializing_if = "is_nothing")]
    pub in_hand: u64,
    /// How often it was started again.
    #[serde(skip_serializing_if = "is_nothing")]
    pub restarts: u64,
    /// The resident memory of its process.
    #[serde(skip_serializing_if = "is_nothing")]
    pub resident_bytes: u64,
    /// CPU time of its process, with a resolution of 10 ms.
    #[serde(skip_serializing_if = "is_nothing")]
    pub cpu_ns: u64,
    /// Its last end that was not asked for.
    #[serde(skip_serializing_if = "is_nothing")]
    pub last_end: Option<WorkerEnd>,
}

/// How a worker of a plugin ended.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct WorkerEnd {
    /// `signal`, `exit`, `killed`, `memory`…
    pub reason: String,
    /// The exit status or the signal, or why it did not start.
    pub status: String,
    /// How long ago.
    pub age_ms: u64,
}

/// A histogram of durations.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Histogram {
    /// Upper bounds of the buckets in nanoseconds, ascending.
    pub upper_ns: Vec<u64>,
    /// The count of each bucket; one entry more than there are bounds, for durations above all.
    pub counts: Vec<u64>,
    /// The sum of all durations.
    pub sum_ns: u64,
}

/// One connection.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct SessionReport {
    /// Unique in the process, never reused.
    pub id: u64,
    /// The peer's process id; zero if it is unknown.
    pub peer_pid: u32,
    /// The peer's user id.
    pub peer_uid: u32,
    /// `unix-stream`, `unix-seqpacket`, `shared-memory`, `memory`.
    #[serde(skip_serializing_if = "is_nothing")]
    pub transport: String,
    /// The protocol's major version.
    #[serde(skip_serializing_if = "is_nothing")]
    pub protocol: u32,
    /// When its counts were read. Zero: when the report was started.
    pub at_ns: u64,
    /// The time since it began.
    #[serde(skip_serializing_if = "is_nothing")]
    pub age_ms: u64,
    /// Open streams.
    #[serde(skip_serializing_if = "is_nothing")]
    pub streams: u64,
    /// Pending requests.
    #[serde(skip_serializing_if = "is_nothing")]
    pub requests: u64,
    /// Frames from the peer.
    #[serde(skip_serializing_if = "is_nothing")]
    pub frames_in: u64,
    /// Frames to the peer.
    #[serde(skip_serializing_if = "is_nothing")]
    pub frames_out: u64,
    /// Bytes from the peer.
    #[serde(skip_serializing_if = "is_nothing")]
    pub bytes_in: u64,
    /// Bytes to the peer.
    #[serde(skip_serializing_if = "is_nothing")]
    pub bytes_out: u64,
    /// Bytes that wait to be written.
    #[serde(skip_serializing_if = "is_nothing")]
    pub queued_bytes: u64,
    /// Messages that may still be sent to the peer, over all streams.
    #[serde(skip_serializing_if = "is_nothing")]
    pub credit_messages: u64,
    /// Bytes that may still be sent to the peer.
    #[serde(skip_serializing_if = "is_nothing")]
    pub credit_bytes: u64,
    /// Refusals by cause.
    #[serde(skip_serializing_if = "is_nothing")]
    pub refused: Vec<(String, u64)>,
}

/// Whether a field can be omitted in JSON: most counts of most rows are zero.
fn is_nothing<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}
