// SPDX-License-Identifier: BSD-3-Clause
//! A plugin that runs elsewhere, as the host calls every plugin: by functions of the ABI.
//!
//! ```text
//!   call ─▶ the host ─▶ handle_by_id ─▶ Remote::handle ───▶ session with a worker ──▶ plugin
//!                            │ (this file)                            │
//!   call ◀─ the host ◀──── Answers ◀──────────────────────────────────┘
//! ```
//!
//! So the call table, streams, deadlines, quotas and reload are the same for it as for a plugin in
//! this process, and those pay nothing for it. Its `handle` only passes the call on, which never
//! blocks: it is called on its callers' threads, and the answer comes later.
//!
//! # Safety
//!
//! `plugin_ctx` of each function is a [`RemotePlugin`] that [`load`] leaked. Each load leaves a few
//! hundred bytes behind, as its instance does: a late callback finds both valid. Views are made by
//! the host, and borrowed for the call.

use std::{
    ffi::c_void,
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    path::PathBuf,
    slice,
    sync::{Arc, OnceLock},
};

use becket_abi::{
    BK_ENTRY_BIDIRECTIONAL, BK_ENTRY_NEVER_WAITS, BK_ENTRY_STREAM, BK_ENTRY_UNARY,
    BK_ENTRY_UNKNOWN, BK_PLUGIN_MULTI_INSTANCE, BK_PLUGIN_NEVER_BLOCKS, BK_PLUGIN_THREAD_SAFE,
    BkEntryInfo, BkHostApi, NrBytes, NrHeader, NrHostVTable, NrOwnedBytes, NrRequest, NrStatus,
    NrStr,
};
use serde::Serialize;
use serde_json::Value;

use super::{
    EntryInfo, EntryKind, EntryPoints, Image, Layout, LoadError, LoadStage, Loaded, Mapped,
};
use crate::{
    callbacks::{Answers, Expected},
    limits::{Dispatch, Limits},
    workers::{RemoteState, WorkerHistory, WorkerInfo},
};

/// Starts a plugin that runs elsewhere: once for each load of it.
pub trait StartRemote: fmt::Debug + Send + Sync + 'static {
    /// Its placement: `process`.
    fn placement(&self) -> &'static str;

    /// Starts it and waits until it is ready for calls. Runs on a thread of its own; the load fails
    /// when that has not returned within the plugin's `load_timeout_ms`.
    ///
    /// # Errors
    /// Why it did not start.
    fn start(&self, spec: RemoteSpec<'_>) -> Result<Started, NotStarted>;
}

/// What is to be started.
#[derive(Debug, Clone, Copy)]
pub struct RemoteSpec<'a> {
    /// The plugin's name in this host.
    pub name: &'a str,
    /// Its configuration, without its own defaults.
    pub config: &'a Value,
    /// Its bounds.
    pub limits: &'a Limits,
    /// On which threads it runs, where it runs.
    pub dispatch: Dispatch,
    /// Where a file without a slash in its name is looked for.
    pub search_path: &'a [PathBuf],
    /// The load that it is: the number that its workers and their ends have.
    pub generation: u64,
    /// Where the ends of its workers are reported.
    pub history: &'a WorkerHistory,
}

/// A plugin that was started.
pub struct Started {
    /// The name that it gives itself.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Its entries; a call names one by its place in this list.
    pub entries: Vec<EntryInfo>,
    /// It has no others.
    pub is_complete: bool,
    /// The layout of its vtable, if it has no size of its own.
    pub layout: Option<Layout>,
    /// The file that it came from, if it is one.
    pub path: Option<PathBuf>,
    /// Whether it can be asked for its state.
    pub exports_state: bool,
    /// Whether its streams take data.
    pub takes_data: bool,
    /// What its process may do, if it has one.
    pub sandbox: Option<SandboxInfo>,
    /// Where its calls go.
    pub remote: Arc<dyn Remote>,
}

/// What the process of a plugin may do, as the kernel gave it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SandboxInfo {
    /// The set of measures that was asked for: `none`, `default`, `strict`.
    pub profile: &'static str,
    /// The measures.
    pub measures: Vec<SandboxMeasure>,
}

/// A measure of a sandbox.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SandboxMeasure {
    /// Which: `files`, `system-calls` and others.
    pub kind: &'static str,
    /// What the kernel did not give of it; `None`: nothing.
    pub missing: Option<String>,
}

/// Why a plugin that runs elsewhere did not start.
#[derive(Debug, thiserror::Error)]
#[error("{what}")]
pub struct NotStarted {
    /// What failed.
    pub what: String,
    /// Why, if that is known.
    pub cause: Option<String>,
    /// What to try, if there is something.
    pub hint: Option<String>,
}

/// A plugin that runs elsewhere. No function waits: each passes something on.
///
/// Thread safety: any function may be called from several threads at once.
pub trait Remote: Send + Sync + 'static {
    /// Answers go here. Called once, before anything else.
    fn attach(&self, answers: Answers);

    /// One call, or the opening of a stream. `Ok`: accepted, and its answer comes later.
    fn handle(&self, call: RemoteCall<'_>) -> NrStatus;

    /// Data for stream `sid`. `Backpressure`: not taken; offered again after [`Answers::writable`].
    fn stream_data(&self, sid: u64, data: &[u8]) -> NrStatus;

    /// No more data for stream `sid`.
    fn stream_close(&self, sid: u64) -> NrStatus;

    /// Stream `sid` takes frames again: one was answered `Backpressure`.
    fn stream_room(&self, sid: u64);

    /// The caller of `sid` has left.
    fn cancel(&self, sid: u64);

    /// The state for the next load. May wait, for as long as the plugin's `drain_ms`.
    ///
    /// # Errors
    /// What the plugin answered; `Unsupported`: it has none.
    fn export_state(&self) -> Result<Vec<u8>, NrStatus>;

    /// The state of the load before. May wait.
    fn import_state(&self, state: &[u8]) -> NrStatus;

    /// Whether it takes calls.
    fn state(&self) -> RemoteState {
        RemoteState::Running
    }

    /// Threads that are stuck in it, where it runs.
    fn blocked_now(&self) -> u32 {
        0
    }

    /// Its workers. Reads what the system knows of their processes.
    fn workers(&self) -> Vec<WorkerInfo> {
        Vec::new()
    }

    /// Ends it; returns when nothing of it runs any more.
    fn shutdown(&self);
}

/// Which entry a call is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RemoteEntry<'a> {
    /// The one at this place in [`Started::entries`].
    Place(u32),
    /// One of this name, which is not in that list.
    Name(&'a str),
}

/// A call for a plugin that runs elsewhere.
#[derive(Debug, Clone, Copy)]
pub struct RemoteCall<'a> {
    /// The call's or stream's id; 0: no caller awaits an answer.
    pub sid: u64,
    /// The entry.
    pub entry: RemoteEntry<'a>,
    /// Whether it is the opening of a stream.
    pub is_stream: bool,
    /// Milliseconds until its caller gives up; `None`: never.
    pub remaining_ms: Option<u64>,
    /// Method, path, query and headers, if it has them.
    pub metadata: Option<Metadata<'a>>,
    /// The payload.
    pub payload: &'a [u8],
}

/// What accompanies the payload of a call.
#[derive(Debug, Clone, Copy)]
pub struct Metadata<'a>(&'a NrRequest);

impl<'a> Metadata<'a> {
    /// The method, in upper case for HTTP.
    #[must_use]
    pub fn method(&self) -> &'a str {
        text(self.0.method)
    }

    /// The path, without the query.
    #[must_use]
    pub fn path(&self) -> &'a str {
        text(self.0.path)
    }

    /// The query, without its `?`.
    #[must_use]
    pub fn query(&self) -> &'a str {
        text(self.0.query)
    }

    /// Names and values of the headers.
    pub fn headers(&self) -> impl ExactSizeIterator<Item = (&'a str, &'a str)> + use<'a> {
        let headers: &'a [NrHeader] = match self.0.headers_len {
            0 => &[],
            // SAFETY: the host's own view, of so many headers, borrowed for the call.
            len => unsafe { slice::from_raw_parts(self.0.headers, len as usize) },
        };
        headers.iter().map(|header| (text(header.key), text(header.value)))
    }
}

fn text<'a>(view: NrStr) -> &'a str {
    // SAFETY: a view of the host's own text, borrowed for the call.
    unsafe { view.as_str() }
}

/// What stands behind `plugin_ctx`.
struct RemotePlugin {
    remote: Arc<dyn Remote>,
    entries: Vec<EntryInfo>,
    is_complete: bool,
    answers: OnceLock<Answers>,
}

/// A plugin that runs elsewhere, to look at.
pub(crate) struct RemoteRef(pub(crate) Arc<dyn Remote>);

impl fmt::Debug for RemoteRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RemoteRef").finish_non_exhaustive()
    }
}

/// Starts the plugin and puts the functions of this file before it.
pub(crate) fn load(
    start: &dyn StartRemote,
    spec: RemoteSpec<'_>,
    stage: super::Begin<'_>,
) -> Result<Loaded, LoadError> {
    stage(LoadStage::Init)?;
    let started = start
        .start(spec)
        .map_err(|why| LoadError::Remote { plugin: spec.name.to_owned(), why: Box::new(why) })?;
    let Started {
        name,
        version,
        entries,
        is_complete,
        layout,
        path,
        exports_state,
        takes_data,
        sandbox,
        remote,
    } = started;
    // The load may have been given up meanwhile.
    stage(LoadStage::Attach).inspect_err(|_| remote.shutdown())?;
    let seen = RemoteRef(remote.clone());
    let plugin = RemotePlugin { remote, entries, is_complete, answers: OnceLock::new() };
    let plugin_ctx = Box::into_raw(Box::new(plugin)).cast();
    let points = EntryPoints {
        plugin_ctx,
        init,
        handle: Some(handle),
        handle_raw: None,
        shutdown: Some(shutdown),
        stream_data: takes_data.then_some(stream_data as _),
        stream_close: Some(stream_close),
        resolve_entry: is_complete.then_some(resolve_entry as _),
        handle_by_id: Some(handle_by_id),
        describe: Some(describe),
        cancel: Some(cancel),
        reload_export: exports_state.then_some(reload_export as _),
        reload_import: Some(reload_import),
        stream_room: Some(stream_room),
        attach: Some(attach),
    };
    Ok(Loaded {
        mapped: Mapped {
            image: Image::none(),
            points,
            layout,
            flags: BK_PLUGIN_THREAD_SAFE | BK_PLUGIN_MULTI_INSTANCE | BK_PLUGIN_NEVER_BLOCKS,
            unmarked: false,
            remote: Some(seen),
        },
        reported_name: name,
        version,
        coroutine_stack_bytes: 0,
        is_go: false,
        config_default: String::new(),
        placement: start.placement(),
        sandbox,
        path,
        sha256: None,
    })
}

/// Runs `f` for the plugin behind `plugin_ctx`; `panicked` if it panics, since nothing may unwind
/// from here.
#[inline]
fn with<R>(plugin_ctx: *mut c_void, panicked: R, f: impl FnOnce(&'static RemotePlugin) -> R) -> R {
    // SAFETY: see the module's documentation.
    let plugin = unsafe { &*plugin_ctx.cast::<RemotePlugin>() };
    catch_unwind(AssertUnwindSafe(|| f(plugin))).unwrap_or(panicked)
}

unsafe extern "C" fn attach(
    plugin_ctx: *mut c_void,
    host_ctx: *mut c_void,
    _api: *const BkHostApi,
) -> NrStatus {
    with(plugin_ctx, NrStatus::Panic, |plugin| {
        // SAFETY: the host passes an instance, as to every plugin.
        let Some(answers) = (unsafe { Answers::of(host_ctx) }) else { return NrStatus::Invalid };
        let _ = plugin.answers.set(answers);
        plugin.remote.attach(answers);
        NrStatus::Ok
    })
}

unsafe extern "C" fn init(
    _plugin_ctx: *mut c_void,
    _host_ctx: *mut c_void,
    _host_vtable: *const NrHostVTable,
) -> NrStatus {
    NrStatus::Ok
}

unsafe extern "C" fn handle(
    plugin_ctx: *mut c_void,
    entry: NrStr,
    sid: u64,
    request: *const NrRequest,
    payload: NrBytes,
) -> NrStatus {
    with(plugin_ctx, NrStatus::Panic, |plugin| {
        let name = text(entry);
        let entry = match plugin.entry(name) {
            Some(place) => RemoteEntry::Place(place),
            None if plugin.is_complete => return NrStatus::Unsupported,
            None => RemoteEntry::Name(name),
        };
        plugin.call(entry, sid, request, payload)
    })
}

unsafe extern "C" fn handle_by_id(
    plugin_ctx: *mut c_void,
    entry: u32,
    sid: u64,
    request: *const NrRequest,
    payload: NrBytes,
) -> NrStatus {
    with(plugin_ctx, NrStatus::Panic, |plugin| {
        plugin.call(RemoteEntry::Place(entry), sid, request, payload)
    })
}

impl RemotePlugin {
    fn entry(&self, name: &str) -> Option<u32> {
        let at = self.entries.iter().position(|entry| entry.name == name)?;
        u32::try_from(at).ok()
    }

    #[inline]
    fn call(
        &self,
        entry: RemoteEntry<'_>,
        sid: u64,
        request: *const NrRequest,
        payload: NrBytes,
    ) -> NrStatus {
        let Some(answers) = self.answers.get() else { return NrStatus::Invalid };
        let (sid, is_stream, remaining_ms) = match answers.expected(sid) {
            Expected::Later { is_stream, remaining_ms } => (sid, is_stream, remaining_ms),
            Expected::Nothing => (0, false, None),
            Expected::Now => return NrStatus::Unsupported,
        };
        self.remote.handle(RemoteCall {
            sid,
            entry,
            is_stream,
            remaining_ms,
            // SAFETY: null, or the host's own view, borrowed for the call.
            metadata: unsafe { request.as_ref() }.map(Metadata),
            // SAFETY: a view of the host's own bytes, borrowed for the call.
            payload: unsafe { payload.as_slice() },
        })
    }
}

unsafe extern "C" fn shutdown(plugin_ctx: *mut c_void) {
    with(plugin_ctx, (), |plugin| plugin.remote.shutdown());
}

unsafe extern "C" fn stream_data(plugin_ctx: *mut c_void, sid: u64, data: NrBytes) -> NrStatus {
    // SAFETY: a view of the host's own bytes, borrowed for the call.
    let data = unsafe { data.as_slice() };
    with(plugin_ctx, NrStatus::Panic, |plugin| plugin.remote.stream_data(sid, data))
}

unsafe extern "C" fn stream_close(plugin_ctx: *mut c_void, sid: u64) -> NrStatus {
    with(plugin_ctx, NrStatus::Panic, |plugin| plugin.remote.stream_close(sid))
}

unsafe extern "C" fn stream_room(plugin_ctx: *mut c_void, sid: u64) -> NrStatus {
    with(plugin_ctx, NrStatus::Panic, |plugin| {
        plugin.remote.stream_room(sid);
        NrStatus::Ok
    })
}

unsafe extern "C" fn cancel(plugin_ctx: *mut c_void, sid: u64) -> NrStatus {
    with(plugin_ctx, NrStatus::Panic, |plugin| {
        plugin.remote.cancel(sid);
        NrStatus::Ok
    })
}

unsafe extern "C" fn resolve_entry(plugin_ctx: *mut c_void, name: NrStr) -> u32 {
    with(plugin_ctx, BK_ENTRY_UNKNOWN, |plugin| {
        plugin.entry(text(name)).unwrap_or(BK_ENTRY_UNKNOWN)
    })
}

unsafe extern "C" fn describe(
    plugin_ctx: *mut c_void,
    index: u32,
    out: *mut BkEntryInfo,
) -> NrStatus {
    with(plugin_ctx, NrStatus::Panic, |plugin| {
        let Some(entry) = plugin.entries.get(index as usize) else { return NrStatus::Invalid };
        let kind = match entry.kind {
            EntryKind::Unary => BK_ENTRY_UNARY,
            EntryKind::Stream => BK_ENTRY_STREAM,
            EntryKind::Bidirectional => BK_ENTRY_BIDIRECTIONAL,
        };
        let kind = if entry.never_waits { kind | BK_ENTRY_NEVER_WAITS } else { kind };
        let (name, help) = (NrStr::from_str(&entry.name), NrStr::from_str(&entry.help));
        // SAFETY: the host's own record, which is exclusive.
        unsafe { *out = BkEntryInfo { kind, name, help, ..BkEntryInfo::EMPTY } };
        NrStatus::Ok
    })
}

unsafe extern "C" fn reload_export(plugin_ctx: *mut c_void, out: *mut NrOwnedBytes) -> NrStatus {
    with(plugin_ctx, NrStatus::Panic, |plugin| {
        let state = match plugin.remote.export_state() {
            Ok(state) => state.into_boxed_slice(),
            Err(status) => return status,
        };
        if state.is_empty() {
            return NrStatus::Ok;
        }
        let len = state.len() as u64;
        let ptr = Box::into_raw(state).cast::<u8>();
        let release: unsafe extern "C" fn(*mut c_void, *const u8, u64) = release_state;
        // SAFETY: the host's own record, which is exclusive.
        unsafe { *out = NrOwnedBytes { ptr, len, release: Some(release), ..NrOwnedBytes::EMPTY } };
        NrStatus::Ok
    })
}

unsafe extern "C" fn release_state(_owner: *mut c_void, ptr: *const u8, len: u64) {
    let state = std::ptr::slice_from_raw_parts_mut(ptr.cast_mut(), len as usize);
    // SAFETY: the box that `reload_export` gave away, released once.
    drop(unsafe { Box::from_raw(state) });
}

unsafe extern "C" fn reload_import(plugin_ctx: *mut c_void, state: NrBytes) -> NrStatus {
    // SAFETY: a view of the host's own bytes, borrowed for the call.
    let state = unsafe { state.as_slice() };
    with(plugin_ctx, NrStatus::Panic, |plugin| plugin.remote.import_state(state))
}
