// SPDX-License-Identifier: BSD-3-Clause
//! Placement `inline`: the plugin's functions are called on this thread, in this process.
//!
//! A plugin that did not say that it is thread-safe is called under a lock. It is re-entrant,
//! since a plugin's answer may wake a task that sends to another stream of the same plugin.
//!
//! | what waits for the lock | how long | and then |
//! |---|---|---|
//! | a caller's thread that is lent | not at all | a worker calls the plugin |
//! | a caller's thread in `call_now` | `block_report_ms` | the plugin is busy: `Backpressure` |
//! | a reload, for the state and the entries | `drain_ms` | `Backpressure`; no entries |
//! | a worker, with a call whose caller is freed at its deadline | its turn | |
//! | a notice, a timer, the end | its turn | |
//!
//! # Safety
//!
//! The entry points were validated by the loader: each is code of the plugin's image, or `NULL`
//! and `None` here. The image stays mapped while a thread is marked as inside the instance, while
//! calls or streams are open and while the instance is held; every caller of [`Placement`] is one
//! of those. Views passed are borrowed from slices that outlive the call.

use std::{ptr, sync::OnceLock, time::Duration};

use becket_abi::{
    BK_ENTRY_UNKNOWN, NrBytes, NrOwnedBytes, NrRequest, NrStatus, NrStr, is_user_range,
};
use parking_lot::{ReentrantMutex, ReentrantMutexGuard};

use super::{EntryRef, Placement, Resolved, views};
use crate::{
    limits::Limits,
    load::{EntryInfo, EntryPoints},
    sid,
    table::{self, Target},
    thread,
};

/// How long each kind of thread waits for the lock.
#[derive(Debug, Clone, Copy)]
struct LockTimeouts {
    caller: Duration,
    reload: Duration,
}

impl LockTimeouts {
    fn of(limits: &Limits) -> Self {
        Self {
            caller: Duration::from_millis(limits.block_report_ms),
            reload: Duration::from_millis(limits.drain_ms),
        }
    }
}

/// See the module's documentation.
pub(crate) struct Inline {
    points: EntryPoints,
    /// The plugin carries no mark of what it was built with: no view is `NULL` for it.
    unmarked: bool,
    /// Present for a plugin that must not be called from two threads at once.
    lock: Option<ReentrantMutex<()>>,
    timeouts: OnceLock<LockTimeouts>,
}

// SAFETY: the pointers inside are the plugin's context and its functions; the ABI lets the host
// call those from any thread, or from one at a time, which `lock` sees to.
unsafe impl Send for Inline {}
// SAFETY: as above.
unsafe impl Sync for Inline {}

impl Inline {
    pub(crate) fn new(points: EntryPoints, thread_safe: bool, unmarked: bool) -> Self {
        let lock = (!thread_safe).then(|| ReentrantMutex::new(()));
        Self { points, unmarked, lock, timeouts: OnceLock::new() }
    }

    /// Sets how long the plugin is waited for, once; before, it is as long as by default.
    pub(crate) fn set_lock_timeouts(&self, limits: &Limits) {
        let _ = self.timeouts.set(LockTimeouts::of(limits));
    }

    /// The functions, for the load and the end of the instance.
    pub(crate) fn points(&self) -> &EntryPoints {
        &self.points
    }

    /// True if the plugin can be asked for the ids of its entries.
    pub(crate) fn resolves(&self) -> bool {
        self.points.resolve_entry.is_some() && self.points.handle_by_id.is_some()
    }

    /// True if no two threads may be inside.
    pub(crate) fn is_one_at_a_time(&self) -> bool {
        self.lock.is_some()
    }

    /// The plugin's lock, if it can be had at once: what this thread calls before the guard is
    /// dropped waits for no other thread.
    #[inline]
    pub(crate) fn try_enter(&self) -> Option<PluginGuard<'_>> {
        match &self.lock {
            Some(lock) => lock.try_lock().map(|guard| PluginGuard { _guard: Some(guard) }),
            None => Some(PluginGuard::FREE),
        }
    }

    /// Runs a function that the plugin gave the host, like one of its own.
    pub(crate) fn run<R>(&self, f: impl FnOnce() -> R) -> R {
        let _guard = self.wait_for_turn();
        f()
    }

    /// Every form of a call; [`Placement::handle`] has the usual one in place.
    #[inline(never)]
    fn handle_any(
        &self,
        entry: EntryRef<'_>,
        sid: u64,
        request: Option<&NrRequest>,
        payload: &[u8],
    ) -> NrStatus {
        let payload = NrBytes::from_slice(payload);
        if !self.unmarked {
            return self.handle_views(entry, sid, request, payload);
        }
        let payload = views::bytes(payload);
        let handle = |request: Option<&NrRequest>| self.handle_views(entry, sid, request, payload);
        match request {
            // SAFETY: the request is of a caller of the host.
            Some(request) => unsafe { views::with_request(request, |view| handle(Some(view))) },
            None => handle(None),
        }
    }

    fn handle_views(
        &self,
        entry: EntryRef<'_>,
        sid: u64,
        request: Option<&NrRequest>,
        payload: NrBytes,
    ) -> NrStatus {
        let lock = if is_callers(sid) { self.enter() } else { Some(self.wait_for_turn()) };
        let Some(_guard) = lock else { return NrStatus::Backpressure };
        let points = &self.points;
        let view = request.map_or(ptr::null(), ptr::from_ref);
        let name = match (entry, points.handle_by_id) {
            (EntryRef::Id(id, _), Some(handle)) => {
                // SAFETY: see the module's documentation.
                return unsafe { handle(points.plugin_ctx, id, sid, view, payload) };
            }
            (EntryRef::Id(_, name) | EntryRef::Name(name), _) => name,
        };
        let name = NrStr::from_str(name);
        match (request, points.handle_raw, points.handle) {
            // SAFETY: see the module's documentation.
            (None, Some(raw), _) => unsafe { raw(points.plugin_ctx, name, sid, payload) },
            // SAFETY: see the module's documentation.
            (_, _, Some(handle)) => unsafe { handle(points.plugin_ctx, name, sid, view, payload) },
            // SAFETY: see the module's documentation.
            (Some(_), Some(raw), None) => unsafe { raw(points.plugin_ctx, name, sid, payload) },
            (_, None, None) => NrStatus::Unsupported,
        }
    }

    /// Enters on a caller's thread; `None` if the plugin was busy for too long.
    fn enter(&self) -> Option<PluginGuard<'_>> {
        self.enter_within(|timeouts| timeouts.caller)
    }

    /// Enters for a reload.
    fn enter_to_reload(&self) -> Option<PluginGuard<'_>> {
        self.enter_within(|timeouts| timeouts.reload)
    }

    fn enter_within(
        &self,
        limit: impl FnOnce(&LockTimeouts) -> Duration,
    ) -> Option<PluginGuard<'_>> {
        let Some(lock) = &self.lock else { return Some(PluginGuard::FREE) };
        // Waiting for one's turn is not being stuck inside.
        let wait = || {
            let timeouts = self.timeouts.get().copied();
            let limit = limit(&timeouts.unwrap_or_else(|| LockTimeouts::of(&Limits::default())));
            thread::current().while_waiting(|| lock.try_lock_for(limit))
        };
        lock.try_lock().or_else(wait).map(|guard| PluginGuard { _guard: Some(guard) })
    }

    /// Enters on a thread that may block for as long as others are inside.
    fn wait_for_turn(&self) -> PluginGuard<'_> {
        let wait = |lock| thread::current().while_waiting(|| ReentrantMutex::lock(lock));
        let lock = self.lock.as_ref();
        PluginGuard { _guard: lock.map(|lock| lock.try_lock().unwrap_or_else(|| wait(lock))) }
    }
}

/// This thread may call the plugin until this is dropped.
pub(crate) struct PluginGuard<'a> {
    _guard: Option<ReentrantMutexGuard<'a, ()>>,
}

impl PluginGuard<'_> {
    /// Of a plugin that may be called from several threads at once.
    pub(crate) const FREE: Self = Self { _guard: None };
}

/// True if call `sid` runs on its caller's own thread: it has an id or a frame of this thread.
fn is_callers(sid: u64) -> bool {
    let frame = thread::current().frame();
    // SAFETY: null, or a frame on this thread's stack that is put back before it ends.
    sid::split(sid).is_none() || unsafe { frame.as_ref() }.is_some_and(|frame| frame.sid == sid)
}

/// Lets the sender of stream `sid` try again: the host did not take the data, and the plugin would
/// send no notification.
fn send_again(sid: u64) {
    if let Ok(Target::Stream(slot)) = table::find(sid, ptr::null())
        && let Some(cell) = slot.stream()
    {
        cell.set_ready(sid);
    }
}

impl Placement for Inline {
    // Always: at a call's site most of it is known, and what is left are two loads and the call.
    #[inline(always)]
    fn handle(
        &self,
        entry: EntryRef<'_>,
        sid: u64,
        request: Option<&NrRequest>,
        payload: &[u8],
    ) -> NrStatus {
        if let (EntryRef::Id(id, _), Some(handle), None) =
            (entry, self.points.handle_by_id, &self.lock)
        {
            let view = request.map_or(ptr::null(), ptr::from_ref);
            let payload = NrBytes::from_slice(payload);
            // SAFETY: see the module's documentation.
            return unsafe { handle(self.points.plugin_ctx, id, sid, view, payload) };
        }
        self.handle_any(entry, sid, request, payload)
    }

    fn stream_data(&self, sid: u64, data: &[u8]) -> Option<NrStatus> {
        let function = self.points.stream_data?;
        let data = NrBytes::from_slice(data);
        let data = if self.unmarked { views::bytes(data) } else { data };
        if self.lock.is_none() {
            // SAFETY: see the module's documentation.
            return Some(unsafe { function(self.points.plugin_ctx, sid, data) });
        }
        let Some(_guard) = self.enter() else {
            send_again(sid);
            return Some(NrStatus::Backpressure);
        };
        // SAFETY: as above.
        Some(unsafe { function(self.points.plugin_ctx, sid, data) })
    }

    fn stream_room(&self, sid: u64) {
        if let Some(function) = self.points.stream_room {
            let _guard = self.wait_for_turn();
            // SAFETY: see the module's documentation.
            unsafe { function(self.points.plugin_ctx, sid) };
        }
    }

    fn stream_close(&self, sid: u64) -> Option<NrStatus> {
        let function = self.points.stream_close?;
        let Some(_guard) = self.enter() else { return Some(NrStatus::Backpressure) };
        // SAFETY: see the module's documentation.
        Some(unsafe { function(self.points.plugin_ctx, sid) })
    }

    fn cancel(&self, sid: u64, stream: bool) {
        if self.points.cancel.is_none() && !stream {
            return;
        }
        // Its turn is waited for here, where that may block: what follows enters again at once.
        let _guard = self.wait_for_turn();
        if let Some(function) = self.points.cancel {
            // SAFETY: see the module's documentation.
            unsafe { function(self.points.plugin_ctx, sid) };
        } else if stream {
            // The first layouts have no other notification that the receiver has left.
            self.stream_close(sid);
        }
    }

    fn resolve(&self, entry: &str) -> Resolved {
        let (Some(resolve), Some(_)) = (self.points.resolve_entry, self.points.handle_by_id) else {
            return Resolved::ByName;
        };
        // Busy: it goes by name until the plugin can be asked.
        let Some(_guard) = self.enter() else { return Resolved::ByName };
        // SAFETY: see the module's documentation.
        match unsafe { resolve(self.points.plugin_ctx, NrStr::from_str(entry)) } {
            BK_ENTRY_UNKNOWN => Resolved::Unknown,
            id => Resolved::Id(id),
        }
    }

    fn entries(&self) -> Vec<EntryInfo> {
        let Some(_guard) = self.enter_to_reload() else { return Vec::new() };
        self.points.entries()
    }

    fn hands_over_state(&self) -> bool {
        self.points.reload_export.is_some()
    }

    fn export_state(&self) -> Option<Result<Vec<u8>, NrStatus>> {
        let function = self.points.reload_export?;
        let Some(_guard) = self.enter_to_reload() else {
            return Some(Err(NrStatus::Backpressure));
        };
        let mut out = NrOwnedBytes::EMPTY;
        // SAFETY: see the module's documentation; `out` is ours to write.
        let status = unsafe { function(self.points.plugin_ctx, &raw mut out) };
        match status {
            NrStatus::Ok => {}
            NrStatus::Unsupported => return None,
            status => return Some(Err(status)),
        }
        let view = NrBytes { ptr: out.ptr, len: out.len };
        // SAFETY: the plugin says that `len` bytes stand at `ptr` until they are released.
        let copy = unsafe { view.checked(u64::MAX) }.map(<[u8]>::to_vec);
        if let Some(release) = out.release.filter(|release| is_user_range(*release as usize, 1)) {
            // SAFETY: the plugin gave this function for these bytes; this is the only call.
            unsafe { release(out.owner_ctx, out.ptr, out.len) };
        }
        Some(copy.map_err(|_| NrStatus::Invalid))
    }

    fn import_state(&self, state: &[u8]) -> Option<NrStatus> {
        let function = self.points.reload_import?;
        let Some(_guard) = self.enter_to_reload() else { return Some(NrStatus::Backpressure) };
        // SAFETY: see the module's documentation.
        Some(unsafe { function(self.points.plugin_ctx, NrBytes::from_slice(state)) })
    }

    fn shutdown(&self) {
        if let Some(function) = self.points.shutdown {
            let _guard = self.wait_for_turn();
            // SAFETY: see the module's documentation; called once, when no thread is inside.
            unsafe { function(self.points.plugin_ctx) };
        }
    }
}
