// SPDX-License-Identifier: BSD-3-Clause
//! Distance `inline`: the plugin's functions are called on this thread, in this process.
//!
//! A plugin that did not say that it is thread-safe is called under a lock. It is re-entrant,
//! since a plugin's answer may wake a task that sends to another stream of the same plugin.
//!
//! # Safety
//!
//! The entry points were validated by the loader: each is code of the plugin's image, or `NULL`
//! and `None` here. The image stays mapped while a thread is marked as inside the instance, while
//! calls or streams are open and while the instance is held; every caller of [`Distance`] is one
//! of those. Views passed are borrowed from slices that outlive the call.

use std::ptr;

use becket_abi::{BK_ENTRY_UNKNOWN, NrBytes, NrOwnedBytes, NrRequest, NrStatus, NrStr};
use parking_lot::{ReentrantMutex, ReentrantMutexGuard};

use super::{Distance, EntryRef, Resolved};
use crate::{
    load::{EntryInfo, EntryPoints},
    thread,
};

/// See the module's documentation.
pub(crate) struct Inline {
    points: EntryPoints,
    /// Present for a plugin that must not be called from two threads at once.
    gate: Option<ReentrantMutex<()>>,
}

// SAFETY: the pointers inside are the plugin's context and its functions; the ABI lets the host
// call those from any thread, or from one at a time, which `gate` sees to.
unsafe impl Send for Inline {}
// SAFETY: as above.
unsafe impl Sync for Inline {}

impl Inline {
    pub(crate) fn new(points: EntryPoints, thread_safe: bool) -> Self {
        Self { points, gate: (!thread_safe).then(|| ReentrantMutex::new(())) }
    }

    /// The functions, for the load and the end of the instance.
    pub(crate) fn points(&self) -> &EntryPoints {
        &self.points
    }

    /// True if a call would have to wait for another thread to leave the plugin.
    #[inline]
    pub(crate) fn would_wait(&self) -> bool {
        self.gate.as_ref().is_some_and(|gate| gate.try_lock().is_none())
    }

    /// Runs a function that the plugin gave the host, like one of its own.
    pub(crate) fn run<R>(&self, f: impl FnOnce() -> R) -> R {
        let _gate = self.enter();
        f()
    }

    /// Every form of a call; [`Distance::handle`] has the usual one in place.
    #[inline(never)]
    fn handle_any(
        &self,
        entry: EntryRef<'_>,
        sid: u64,
        request: Option<&NrRequest>,
        payload: &[u8],
    ) -> NrStatus {
        let _gate = self.enter();
        let points = &self.points;
        let payload = NrBytes::from_slice(payload);
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

    #[inline]
    fn enter(&self) -> Option<ReentrantMutexGuard<'_, ()>> {
        let gate = self.gate.as_ref()?;
        // Waiting for one's turn is not being stuck inside.
        Some(gate.try_lock().unwrap_or_else(|| thread::current().while_waiting(|| gate.lock())))
    }
}

impl Distance for Inline {
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
            (entry, self.points.handle_by_id, &self.gate)
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
        let _gate = self.enter();
        // SAFETY: see the module's documentation.
        Some(unsafe { function(self.points.plugin_ctx, sid, NrBytes::from_slice(data)) })
    }

    fn stream_room(&self, sid: u64) {
        if let Some(function) = self.points.stream_room {
            let _gate = self.enter();
            // SAFETY: see the module's documentation.
            unsafe { function(self.points.plugin_ctx, sid) };
        }
    }

    fn stream_close(&self, sid: u64) -> Option<NrStatus> {
        let function = self.points.stream_close?;
        let _gate = self.enter();
        // SAFETY: see the module's documentation.
        Some(unsafe { function(self.points.plugin_ctx, sid) })
    }

    fn cancel(&self, sid: u64, stream: bool) {
        if let Some(function) = self.points.cancel {
            let _gate = self.enter();
            // SAFETY: see the module's documentation.
            unsafe { function(self.points.plugin_ctx, sid) };
        } else if stream {
            // The first layouts have no other way to hear that nobody listens.
            self.stream_close(sid);
        }
    }

    fn resolve(&self, entry: &str) -> Resolved {
        let (Some(resolve), Some(_)) = (self.points.resolve_entry, self.points.handle_by_id) else {
            return Resolved::ByName;
        };
        let _gate = self.enter();
        // SAFETY: see the module's documentation.
        match unsafe { resolve(self.points.plugin_ctx, NrStr::from_str(entry)) } {
            BK_ENTRY_UNKNOWN => Resolved::Unknown,
            id => Resolved::Id(id),
        }
    }

    fn entries(&self) -> Vec<EntryInfo> {
        let _gate = self.enter();
        self.points.entries()
    }

    fn hands_over_state(&self) -> bool {
        self.points.reload_export.is_some()
    }

    fn export_state(&self) -> Option<Result<Vec<u8>, NrStatus>> {
        let function = self.points.reload_export?;
        let _gate = self.enter();
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
        if let Some(release) = out.release {
            // SAFETY: the plugin gave this function for these bytes; this is the only call.
            unsafe { release(out.owner_ctx, out.ptr, out.len) };
        }
        Some(copy.map_err(|_| NrStatus::Invalid))
    }

    fn import_state(&self, state: &[u8]) -> Option<NrStatus> {
        let function = self.points.reload_import?;
        let _gate = self.enter();
        // SAFETY: see the module's documentation.
        Some(unsafe { function(self.points.plugin_ctx, NrBytes::from_slice(state)) })
    }

    fn shutdown(&self) {
        if let Some(function) = self.points.shutdown {
            let _gate = self.enter();
            // SAFETY: see the module's documentation; called once, when nobody is inside.
            unsafe { function(self.points.plugin_ctx) };
        }
    }
}
