// SPDX-License-Identifier: BSD-3-Clause
//! The model: one process at one moment.
//!
//! Fields are only ever added, with a default, under the same [`SCHEMA`]; who reads a report ignores
//! what it does not know. What changes its meaning changes the number.
//!
//! Times named `at_ns` are nanoseconds of the watched process's monotonic clock, from a beginning
//! that is the same for all of one process and means nothing outside it.

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
    /// When it was begun, by the process's monotonic clock.
    pub at_ns: u64,
    /// When it was begun, in milliseconds since 1970.
    pub wall_ms: u64,
    /// Which process.
    pub process: Process,
    /// Sums over all channels, on the page or not.
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
    /// What it calls itself.
    pub name: String,
    /// Differs between two processes that had the same id one after the other.
    pub instance: u64,
    /// How long it has run.
    pub uptime_ms: u64,
    /// CPU time of all its threads since it began. In steps of 10 ms.
    pub cpu_ns: u64,
}

/// Sums over all channels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ChannelTotals {
    /// When the first of them was read.
    pub at_ns: u64,
    /// How many channels.
    pub channels: u64,
    /// Bounded ones that hold as many as they may.
    pub full: u64,
    /// Values held.
    pub len: u64,
    /// Sends in line.
    pub senders_waiting: u64,
    /// Receives in line.
    pub receivers_waiting: u64,
    /// Values accepted. Channels that are gone stay counted, as they were seen last.
    pub sends: u64,
    /// Values received, alike.
    pub receives: u64,
    /// Bytes accepted, alike.
    pub bytes_in: u64,
    /// Bytes received, alike.
    pub bytes_out: u64,
    /// Operations that failed, alike.
    pub failures: u64,
    /// Values dropped by an overflow policy, alike.
    pub dropped: u64,
}

/// One channel.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ChannelReport {
    /// Unique in the process, never used again.
    pub id: u64,
    /// What it was exported as.
    pub name: String,
    /// `rendezvous`, `bounded`, `conflated` or `unlimited`.
    pub kind: String,
    /// When its counts were read.
    pub at_ns: u64,
    /// How many values it may hold, if there is a limit.
    #[serde(skip_serializing_if = "is_nothing")]
    pub capacity: Option<u64>,
    /// How many it holds.
    #[serde(skip_serializing_if = "is_nothing")]
    pub len: u64,
    /// The most it was seen to hold.
    #[serde(skip_serializing_if = "is_nothing")]
    pub high_water: u64,
    /// Sends in line.
    #[serde(skip_serializing_if = "is_nothing")]
    pub senders_waiting: u64,
    /// Receives in line.
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
    /// Values accepted that nobody received or will.
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
    /// Would have had to wait.
    #[serde(skip_serializing_if = "is_nothing")]
    pub would_block: u64,
    /// Waited until the deadline.
    #[serde(skip_serializing_if = "is_nothing")]
    pub timed_out: u64,
    /// Found the channel closed.
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
    /// How many live.
    pub live: u64,
    /// How many were made.
    pub spawned: u64,
    /// How many have ended.
    pub finished: u64,
    /// Whether they were looked at one by one. Not if there are too many to do so each time: then
    /// the counts by state, the rows and `held` are empty.
    pub listed: bool,
    /// Not started.
    pub fresh: u64,
    /// Can go on, wait for their turn.
    pub ready: u64,
    /// Run.
    pub running: u64,
    /// Wait to be woken.
    pub parked: u64,
    /// Wait for their time.
    pub sleeping: u64,
    /// Those that have held their worker for long, the longest first.
    pub held: Vec<Held>,
    /// One by one.
    pub rows: Page<CoroutineRow>,
}

/// A coroutine that keeps others from running.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Held {
    /// Which coroutine.
    pub id: u64,
    /// Its name, or where it was spawned.
    pub what: String,
    /// The worker's number in the process.
    pub worker: u64,
    /// For how long.
    pub held_ms: u64,
}

/// One coroutine.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct CoroutineRow {
    /// Unique among those that live.
    pub id: u64,
    /// Its name; empty if it has none.
    pub name: String,
    /// Where it was spawned.
    #[serde(skip_serializing_if = "is_nothing")]
    pub site: String,
    /// `fresh`, `ready`, `running`, `parked` or `sleeping`.
    #[serde(skip_serializing_if = "is_nothing")]
    pub state: String,
    /// For how long it has been so.
    #[serde(skip_serializing_if = "is_nothing")]
    pub state_ms: u64,
    /// The number of its worker in the process, once it has started.
    #[serde(skip_serializing_if = "is_nothing")]
    pub worker: Option<u64>,
    /// Bytes of its stack.
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
    /// Which of the runtime's workers.
    pub index: u64,
    /// When its counts were read.
    pub at_ns: u64,
    /// How often it let a coroutine run.
    pub dispatches: u64,
    /// How often it took fresh coroutines from another.
    pub steals: u64,
    /// How often it slept.
    pub sleeps: u64,
    /// Wakes from other threads.
    pub remote_wakes: u64,
    /// Timers whose time came.
    pub timers: u64,
    /// Coroutines that are its own.
    pub coroutines: u64,
}

/// One plugin.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct PluginReport {
    /// Its name.
    pub name: String,
    /// Where it runs: `inline`, `process`…
    #[serde(skip_serializing_if = "is_nothing")]
    pub placement: String,
    /// When its counts were read. Zero: when the report was begun.
    pub at_ns: u64,
    /// Calls that are over, failed ones too.
    #[serde(skip_serializing_if = "is_nothing")]
    pub calls: u64,
    /// Failed ones by cause.
    #[serde(skip_serializing_if = "is_nothing")]
    pub errors: Vec<(String, u64)>,
    /// How long calls took.
    #[serde(skip_serializing_if = "is_nothing")]
    pub latency: Histogram,
    /// Calls that wait for their turn.
    #[serde(skip_serializing_if = "is_nothing")]
    pub queue_depth: u64,
    /// Calls under way.
    #[serde(skip_serializing_if = "is_nothing")]
    pub in_flight: u64,
    /// Bytes to it.
    #[serde(skip_serializing_if = "is_nothing")]
    pub bytes_in: u64,
    /// Bytes from it.
    #[serde(skip_serializing_if = "is_nothing")]
    pub bytes_out: u64,
    /// How often it was started again.
    #[serde(skip_serializing_if = "is_nothing")]
    pub restarts: u64,
    /// How often it was replaced by a newer one.
    #[serde(skip_serializing_if = "is_nothing")]
    pub reloads: u64,
}

/// How often which durations were seen.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Histogram {
    /// Upper bounds of the buckets in nanoseconds, rising.
    pub upper_ns: Vec<u64>,
    /// How many in each bucket by itself; one entry more than there are bounds: those above all.
    pub counts: Vec<u64>,
    /// The sum of all.
    pub sum_ns: u64,
}

/// One connection.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct SessionReport {
    /// Unique in the process, never used again.
    pub id: u64,
    /// The peer's process id; zero if it is not known.
    pub peer_pid: u32,
    /// The peer's user id.
    pub peer_uid: u32,
    /// `unix-stream`, `unix-seqpacket`, `shared-memory`, `memory`.
    #[serde(skip_serializing_if = "is_nothing")]
    pub transport: String,
    /// The protocol's major version.
    #[serde(skip_serializing_if = "is_nothing")]
    pub protocol: u32,
    /// When its counts were read. Zero: when the report was begun.
    pub at_ns: u64,
    /// How long it has been there.
    #[serde(skip_serializing_if = "is_nothing")]
    pub age_ms: u64,
    /// Streams open.
    #[serde(skip_serializing_if = "is_nothing")]
    pub streams: u64,
    /// Requests under way.
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
    /// What was refused, by cause.
    #[serde(skip_serializing_if = "is_nothing")]
    pub refused: Vec<(String, u64)>,
}

/// Whether a field can be left out of JSON: most counts of most rows are nothing.
fn is_nothing<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}
