// SPDX-License-Identifier: BSD-3-Clause
//! From a command to a plugin that is ready.

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use becket_host::{
    Dispatch, EntryInfo, EntryKind, Layout, Limits, NotStarted, Remote, RemoteSpec, StartRemote,
    Started, Sticky,
};
use becket_ipc::session::Locked;
use becket_ipc::{Ended, Options};
use becket_sandbox::Profile;
use bytes::Bytes;
use parking_lot::{Condvar, Mutex};
use tracing::{Level, enabled};

use crate::balance::WORKERS_MAX;
use crate::child::{self, Confinement, Launch, Spawned};
use crate::image::PluginImage;
use crate::lines;
use crate::output::Output;
use crate::protocol::{self, Failed, Load, Loaded, Native, operation, reply};
use crate::restart::Restart;
use crate::supervisor::Supervised;

/// See [`Process::ping_timeout`].
const PING_TIMEOUT: Duration = Duration::from_secs(5);

/// A plugin in a process of its own.
#[derive(Debug, Clone)]
pub struct Process {
    worker: Vec<OsString>,
    command: Option<Vec<OsString>>,
    folder: Option<PathBuf>,
    confinement: Confinement,
    native: Option<Native>,
    /// The program speaks JSON lines.
    has_lines: bool,
    pub(crate) options: Options,
    pub(crate) restart: Restart,
    pub(crate) workers: u32,
    pub(crate) sticky: Option<Sticky>,
}

impl Process {
    /// A program that speaks the session itself, by its path and its arguments. `worker`, a program that
    /// calls [`crate::worker::run_on_stdin`], enters the sandbox and becomes it.
    #[must_use]
    pub fn program(worker: Vec<OsString>, command: Vec<OsString>) -> Self {
        let mut options = options();
        options.shared_memory = false;
        Self::new(worker, Some(command), None, options)
    }

    /// A program that speaks JSON lines on its stdin and stdout; the rest is as for [`program`](Self::program).
    #[must_use]
    pub fn lines(worker: Vec<OsString>, command: Vec<OsString>) -> Self {
        let program = Self::program(worker, command);
        Self { has_lines: true, options: lines::session_options(), ..program }
    }

    /// A native plugin, which `worker` (a program that calls [`crate::worker::run_on_stdin`]) loads.
    #[must_use]
    pub fn native(worker: Vec<OsString>, path: impl Into<PathBuf>) -> Self {
        let native = Native {
            path: path.into(),
            search_path: Vec::new(),
            layout: None,
            sha256: None,
            dispatch: Dispatch::default(),
            limits: Limits::default(),
        };
        Self::new(worker, None, Some(native), options())
    }

    fn new(
        worker: Vec<OsString>,
        command: Option<Vec<OsString>>,
        native: Option<Native>,
        options: Options,
    ) -> Self {
        Self {
            worker,
            command,
            folder: None,
            confinement: Confinement::default(),
            native,
            has_lines: false,
            options,
            restart: Restart::default(),
            workers: 1,
            sticky: None,
        }
        .ping_timeout(PING_TIMEOUT)
    }

    /// The folder that a program runs in, and that the relative paths of its command are relative to: by default
    /// this process's working directory.
    #[must_use]
    pub fn folder(mut self, folder: impl Into<PathBuf>) -> Self {
        self.folder = Some(folder.into());
        self
    }

    /// How often a worker that has ended is started again.
    #[must_use]
    pub fn restart(mut self, restart: Restart) -> Self {
        self.restart = restart;
        self
    }

    /// How many workers there are, from 1 to [`WORKERS_MAX`]: 1 by default.
    #[must_use]
    pub fn workers(mut self, workers: u32) -> Self {
        self.workers = workers.clamp(1, WORKERS_MAX);
        self
    }

    /// Which calls go to the same worker.
    #[must_use]
    pub fn sticky(mut self, sticky: Sticky) -> Self {
        self.sticky = Some(sticky);
        self
    }

    /// A worker from which nothing came for this time is pinged, and killed when nothing came for this time
    /// again: 5 s by default. A program that speaks JSON lines has no pings.
    #[must_use]
    pub fn ping_timeout(mut self, timeout: Duration) -> Self {
        if self.has_lines {
            return self;
        }
        let ms = u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX);
        self.options.limits.keep_alive_ms = ms;
        self.options.limits.silence_ms = ms;
        self
    }

    /// What bounds its workers: by default a [`Sandbox`](crate::sandbox::Sandbox) of the default profile.
    #[must_use]
    pub fn confined(mut self, confinement: Confinement) -> Self {
        self.confinement = confinement;
        self
    }

    /// The program that a worker begins as, and its arguments.
    pub(crate) fn worker(&self) -> &[OsString] {
        &self.worker
    }

    pub(crate) fn profile(&self) -> Profile {
        self.confinement.sandbox.profile
    }

    /// Starts a worker that is to load this.
    pub(crate) fn spawn(
        &self,
        load: &Load,
        image: Option<&PluginImage>,
    ) -> Result<Spawned, Failed> {
        let spawned = child::spawn(&Launch {
            worker: &self.worker,
            command: self.command.as_deref(),
            folder: self.folder.as_deref(),
            files: load.native.iter().flat_map(candidates).collect(),
            image,
            confinement: &self.confinement,
        })?;
        if self.has_lines { lines::adapt(spawned, &load.name) } else { Ok(spawned) }
    }

    /// The vtable's layout, as [`PluginSpec::layout`](becket_host::PluginSpec::layout) has it.
    #[must_use]
    pub fn layout(mut self, layout: Layout) -> Self {
        self.native.iter_mut().for_each(|native| native.layout = Some(layout));
        self
    }

    /// The digest that the file must have.
    #[must_use]
    pub fn sha256(mut self, digest: [u8; 32]) -> Self {
        self.native.iter_mut().for_each(|native| native.sha256 = Some(digest));
        self
    }
}

/// The bounds of a plugin in its worker. The host keeps those of calls and streams, of which the worker may
/// have more: one whose caller has left is over there a moment later.
fn in_worker(limits: &Limits) -> Limits {
    Limits {
        pending_max: limits.pending_max.saturating_mul(2),
        streams_max: limits.streams_max.saturating_mul(2),
        ..limits.clone()
    }
}

/// The files that a worker may load for a plugin.
fn candidates(native: &Native) -> Vec<PathBuf> {
    let path = &native.path;
    let found = match path.components().count() {
        1 => native.search_path.iter().map(|folder| folder.join(path)).collect(),
        _ => vec![path.clone()],
    };
    found.into_iter().filter(|path| path.is_file()).collect()
}

pub(crate) fn options() -> Options {
    let mut options = Options::default();
    options.limits.requests_max = 65_536;
    options.limits.regions_max = 0;
    options
}

/// Lets elements have `payload_bytes_max` bytes beside what precedes them, if that is more than by default.
pub(crate) fn element_bytes_max(options: &mut Options, payload_bytes_max: u64) {
    const BESIDE: u64 = 64 << 10;
    let limits = &mut options.limits;
    let bytes = payload_bytes_max.saturating_add(BESIDE).min(u32::MAX.into());
    limits.element_bytes_max =
        limits.element_bytes_max.max(u32::try_from(bytes).unwrap_or(u32::MAX));
    limits.session_credit_bytes = limits.session_credit_bytes.max(4 * bytes);
    limits.session_queue_bytes_max = limits.session_queue_bytes_max.max(4 * bytes);
}

/// The first answer of a worker: what it has loaded.
pub(crate) struct Loading {
    shared: Arc<LoadShared>,
    load: Option<Bytes>,
    /// The parts of a long load whose reply is still to come.
    parts: Vec<u64>,
    request: Option<u64>,
}

#[derive(Default)]
pub(crate) struct LoadShared {
    result: Mutex<Option<Result<Loaded, Failed>>>,
    changed: Condvar,
}

impl LoadShared {
    pub(crate) fn set(&self, result: Result<Loaded, Failed>) {
        let mut place = self.result.lock();
        if place.is_none() {
            *place = Some(result);
            self.changed.notify_all();
        }
    }

    /// Waits for the result, for as long as a load may take; 0 ms: for ever.
    pub(crate) fn wait(&self, timeout_ms: u64) -> Result<Loaded, Failed> {
        let until = (timeout_ms > 0)
            .then(|| Instant::now().checked_add(Duration::from_millis(timeout_ms)))
            .flatten();
        let mut result = self.result.lock();
        loop {
            if let Some(result) = result.take() {
                return result;
            }
            match until {
                Some(until) if self.changed.wait_until(&mut result, until).timed_out() => {
                    let hint = "`load_timeout_ms` of the plugin waits longer";
                    return Err(failed("the worker was not ready in time", "", hint));
                }
                Some(_) => {}
                None => self.changed.wait(&mut result),
            }
        }
    }
}

pub(crate) fn failed(error: impl Into<String>, cause: impl ToString, hint: &str) -> Failed {
    Failed { error: error.into(), cause: cause.to_string(), hint: hint.into() }
}

impl Loading {
    pub(crate) fn new(shared: Arc<LoadShared>, load: Bytes) -> Self {
        Self { shared, load: Some(load), parts: Vec::new(), request: None }
    }

    /// The session is ready: asks for the load, in frames of which the worker accepts `frame_bytes_max` bytes each.
    pub(crate) fn ready(&mut self, locked: &mut Locked<'_>, frame_bytes_max: u32) {
        let Some(mut load) = self.load.take() else { return };
        if load.len() > protocol::LOAD_BYTES_MAX {
            return self.too_long(format!("it has {} bytes as JSON", load.len()));
        }
        let frame_bytes_max = frame_bytes_max as usize;
        while load.len() > frame_bytes_max {
            let part = load.split_to(frame_bytes_max);
            match locked.session.request(operation::LOAD_PART, part) {
                Ok(part) => self.parts.push(part),
                Err(refused) => return self.too_long(refused.to_string()),
            }
        }
        match locked.session.request(operation::LOAD, load) {
            Ok(request) => self.request = Some(request),
            Err(refused) => {
                self.shared.set(Err(failed("the load cannot be asked for", refused, "")))
            }
        }
    }

    fn too_long(&self, cause: String) {
        let error = "the configuration is longer than its process takes";
        let hint =
            format!("at most {} bytes fit; put the rest into a file", protocol::LOAD_BYTES_MAX);
        self.shared.set(Err(failed(error, cause, &hint)));
    }

    /// True if it was the reply to the load, or to a part of it.
    pub(crate) fn replied(&mut self, request: u64, status: u16, body: &[u8]) -> bool {
        if let Some(part) = self.parts.iter().position(|part| *part == request) {
            self.parts.swap_remove(part);
            match status {
                reply::DONE => {}
                reply::UNKNOWN_OPERATION => {
                    self.too_long("its SDK takes a configuration of one frame".to_owned());
                }
                _ => self.too_long("it refused a part of it".to_owned()),
            }
            return true;
        }
        if self.request != Some(request) {
            return false;
        }
        self.request = None;
        let no_json = |error: serde_json::Error| failed("the worker's answer is none", error, "");
        self.shared.set(match status {
            reply::DONE => serde_json::from_slice(body).map_err(no_json),
            _ => Err(serde_json::from_slice(body).unwrap_or_else(no_json)),
        });
        true
    }

    pub(crate) fn ended(&mut self, ended: &Ended) {
        self.shared.set(Err(failed("the worker ended before it was ready", ended, "")));
    }
}

impl StartRemote for Process {
    fn placement(&self) -> &'static str {
        "process"
    }

    fn start(&self, spec: RemoteSpec<'_>) -> Result<Started, NotStarted> {
        let not_started = |failed: Failed| {
            let some = |text: String| Some(text).filter(|text| !text.is_empty());
            NotStarted { what: failed.error, cause: some(failed.cause), hint: some(failed.hint) }
        };
        let image =
            self.native.as_ref().map(|native| PluginImage::read(&native.path, spec.search_path));
        let image = image.transpose().map_err(not_started)?;
        let load = Load {
            protocol: protocol::VERSION,
            name: spec.name.to_owned(),
            config: spec.config.clone(),
            log_level_max: log_level_max(),
            native: self.native.clone().map(|native| Native {
                path: image.as_ref().map_or(native.path, |image| image.path().to_owned()),
                search_path: spec.search_path.to_vec(),
                limits: in_worker(spec.limits),
                dispatch: spec.dispatch,
                layout: native.layout,
                sha256: native.sha256,
            }),
        };
        let output =
            Output::start(spec.name, spec.history.clone()).map_err(|error| NotStarted {
                what: "no thread for the output of its workers".to_owned(),
                cause: Some(error.to_string()),
                hint: None,
            })?;
        let history = (spec.generation, spec.history.clone());
        let mut process = self.clone();
        element_bytes_max(&mut process.options, spec.limits.payload_bytes_max);
        let supervised = Supervised::new(process, output, history, (load, image), spec.limits);
        let supervised = Arc::new(supervised);
        let started: Vec<_> = (0..self.workers as usize)
            .map(|slot| start_slot(&supervised, spec.name, slot))
            .collect();
        let mut loaded = Err(failed("it has no workers", "", ""));
        for first in started {
            loaded = first.and_then(|first| first.wait(0));
            if loaded.is_err() {
                supervised.shutdown();
                break;
            }
        }
        let loaded = loaded.map_err(not_started)?;
        Ok(Started {
            name: loaded.name,
            version: loaded.version,
            entries: loaded.entries.into_iter().map(entry).collect(),
            is_complete: loaded.is_complete,
            layout: loaded.layout,
            path: supervised.path(),
            exports_state: loaded.exports_state && self.workers == 1,
            takes_data: loaded.takes_data,
            sandbox: supervised.sandbox(),
            remote: supervised,
        })
    }
}

/// Starts the thread of a slot.
fn start_slot(
    supervised: &Arc<Supervised>,
    plugin: &str,
    slot: usize,
) -> Result<Arc<LoadShared>, Failed> {
    let first: Arc<LoadShared> = Arc::default();
    let (at, started) = (supervised.clone(), first.clone());
    let name = format!("becket-{plugin}");
    let thread = thread::Builder::new().name(name).spawn(move || at.supervise(slot, &started));
    thread.map_err(|error| {
        supervised.slot_ended();
        failed("no thread for its supervisor", error, "")
    })?;
    Ok(first)
}

/// The least severe level of plugins' messages that this process logs.
fn log_level_max() -> u32 {
    const TARGET: &str = "becket::plugin";
    u32::from(enabled!(target: TARGET, Level::ERROR))
        + u32::from(enabled!(target: TARGET, Level::WARN))
        + u32::from(enabled!(target: TARGET, Level::INFO))
        + u32::from(enabled!(target: TARGET, Level::DEBUG))
        + u32::from(enabled!(target: TARGET, Level::TRACE))
}

fn entry(entry: protocol::Entry) -> EntryInfo {
    let kind = match entry.kind.as_str() {
        "unary" => EntryKind::Unary,
        "stream" => EntryKind::Stream,
        _ => EntryKind::Bidirectional,
    };
    EntryInfo { name: entry.name, kind, help: entry.help, never_waits: entry.never_waits }
}
