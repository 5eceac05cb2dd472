// SPDX-License-Identifier: BSD-3-Clause
//! Loads plugins, routes calls and streams to them, supervises them.
//!
//! A [`Host`] loads a [`Plugin`] from a shared library that speaks the ABI of `becket-abi`. Calls
//! are futures that any executor can run: the host has its own thread for deadlines, threads of each
//! plugin for what may block, and needs no runtime.
//!
//! # What holds, whatever a plugin does
//!
//! 1. An answer reaches the one call it belongs to, once: ids carry index and generation, the slot
//!    knows its owner. Everything else is refused and counted.
//! 2. First answer wins. Nothing passes after a terminal frame, and the terminal frame always gets
//!    through.
//! 3. Every wait has a bound; at it the caller is freed and the plugin is notified.
//! 4. Every queue and table has a bound ([`Limits`]); at it there is backpressure or a refusal,
//!    never growth, never loss.
//! 5. A plugin may call back after a deadline, an unload or the host's end: the tables that such a
//!    call reads are never freed. An image is unmapped only when its plugin allows it and nothing
//!    leads into it.
//!
//! # Where things are
//!
//! | module | what lives there |
//! |---|---|
//! | `host`, `plugin`, `spec`, `limits` | what callers hold and configure |
//! | `call`, `notify`, `stream` | one call, one whose answer is not awaited, one stream |
//! | `dispatch` | what the three have in common, on the way to `handle` |
//! | `request`, `body`, `error` | what goes in and comes out |
//! | `load` | from a file to functions |
//! | `instance` | one loaded plugin: routing, notifications, its end |
//! | `placement` | where its functions run |
//! | `coroutine` | handlers that wait, and what they wait for |
//! | `callbacks` | the functions that a plugin calls |
//! | `table`, `sid`, `frame`, `state` | calls in flight |
//! | `unannounced` | streams of plugins that cannot describe that an entry streams |
//! | `small` | blocks for short bodies |
//! | `slab` | values of a plugin under ids: leases, channels |
//! | `thread` | which threads are inside a plugin, without locked instructions |
//! | `routing`, `executor`, `jobs` | on which thread a plugin's code runs; the callers' executor, workers |
//! | `timer`, `watchdog` | deadlines, stuck threads |
//! | `counters`, `metrics`, `buckets` | what is counted |
//! | `observer` | what a plugin reports, for another process |
//! | `workers` | the processes of a plugin that runs elsewhere |
//! | `text` | a plugin's text, escaped for a log and a terminal |

mod body;
#[doc(hidden)]
pub mod buckets;
mod call;
mod callbacks;
mod config;
mod context;
mod coroutine;
mod counters;
mod crash_stack;
mod deadline;
mod dispatch;
mod error;
mod executor;
mod frame;
mod host;
mod instance;
mod jobs;
mod limits;
mod load;
mod loading;
mod metrics;
mod notify;
mod observer;
mod placement;
mod plugin;
mod reentry;
mod request;
mod routing;
mod sid;
mod slab;
mod small;
mod spec;
mod state;
mod stream;
mod sync;
mod sys;
mod table;
mod text;
mod thread;
mod timer;
mod unannounced;
mod watchdog;
mod workers;

pub use becket_abi::{LinkedPlugin, NrStatus};

pub use crate::{
    body::Body,
    call::{Call, DetachedCall, Response},
    callbacks::{Answers, log_message},
    counters::Latency,
    crash_stack::{CrashFrame, CrashStack},
    error::{CallError, ReloadError, SendError, StreamError, UnknownEntry, UnloadError},
    executor::Work,
    host::{Host, HostBuilder, ShutdownReport},
    limits::{Dispatch, Limits},
    load::{
        CoroutineDefect, EntryInfo, EntryKind, InfoDefect, Inspection, Layout, LoadError,
        LoadStage, Metadata, NotStarted, Remote, RemoteCall, RemoteEntry, RemoteSpec, SandboxInfo,
        SandboxMeasure, SlotInfo, StartRemote, Started, inspect, read_plugin_file,
    },
    metrics::{Metric, MetricValue},
    observer::{MetricChange, Observer, ReportedCounts},
    plugin::{
        Entry, FailureCounts, Plugin, PluginInfo, PluginSnapshot, PluginState, RefusedAnswers,
        Rollout, RolloutCause, RolloutEnd, RolloutProgress, RolloutResult, RolloutSnapshot, Sticky,
    },
    request::{AnyRequest, HttpRequest, Request},
    spec::PluginSpec,
    stream::{Frame, OpenStream, Stream, StreamSender},
    text::escape_controls,
    thread::{lend_nothing, lend_nothing_here},
    workers::{
        Death, DeathId, DeathReason, RemoteState, Restarts, WorkerHistory, WorkerInfo, WorkerState,
        Workers,
    },
};
