// SPDX-License-Identifier: BSD-3-Clause
//! Placement `inline`: the plugin's functions are called on this thread, in this process.
//!
//! A plugin that is not declared thread-safe is called under a lock. It is re-entrant,
//! since a plugin's answer may wake a task that sends to another stream of the same plugin.
//!
//! | what waits for the lock | how long | and then |
//! |---|---|---|
//! | a caller's thread that is lent | not at all | a worker calls the plugin |
//! | a caller's thread in `call_now` | `block_report_ms` | the plugin is busy: `Backpressure` |
//! | a reload, for the state and the entries | `drain_ms` | `Backpressure`; no entries |
//! | a worker, with a call whose caller is freed at its deadline | its turn | |
//! | a notification, a timer, the end | its turn | |
//!
//! # Safety
//!
//! The entry points were validated by the loader: each is code of the plugin's image, or `NULL`
//! and `None` here. The image stays mapped while a thread is marked as inside the instance, while
//! calls or streams are open and while the instance is held; every caller of [`Placement`] is one
//! of those. Views passed are borrowed from slices that outlive the call.

use std::{ffi::c_void, ptr, time::Duration};

use becket_abi::{
    BK_ENTRY_UNKNOWN, BK_PLUGIN_MULTI_INSTANCE, BK_PLUGIN_THREAD_SAFE, NrBytes, NrOwnedBytes,
    NrRequest, NrStatus, NrStr, is_user_range,
};
use parking_lot::{ReentrantMutex, ReentrantMutexGuard};

use super::{Capabilities, EntryRef, Placement, Resolved, views};
use crate::{
    callbacks,
    limits::Limits,
    load::{EntryInfo, EntryPoints, Image, LoadError, Mapped, Remote, RemoteRef},
    reentry::Mutex,
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

/// See the module's documentation.
pub(crate) struct Inline {
    points: EntryPoints,
    capabilities: Capabilities,
    /// Until the plugin has ended, or refused to start.
    image: Mutex<Option<Image>>,
    /// The plugin carries no mark of what it was built with: no view is `NULL` for it.
    unmarked: bool,
    remote: Option<RemoteRef>,
    /// Present for a plugin that must not be called from two threads at once.
    lock: Option<ReentrantMutex<()>>,
    timeouts: LockTimeouts,
}

// SAFETY: the pointers inside are the plugin's context and its functions; the ABI lets the host
// call those from any thread, or from one at a time, which `lock` sees to.
unsafe impl Send for Inline {}
// SAFETY: as above.
unsafe impl Sync for Inline {}

impl Inline {
    /// Takes over a plugin that was mapped, unless its image has an instance and allows no second.
    pub(crate) fn new(name: &str, limits: &Limits, mapped: Mapped) -> Result<Self, LoadError> {
        let Mapped { image, points, flags, layout, unmarked, remote } = mapped;
        Identity::of(&points).claim(name, flags)?;
        // The first layouts promise it in their documentation; ours has a flag.
        let thread_safe = flags & BK_PLUGIN_THREAD_SAFE != 0 || layout.is_some();
        let capabilities = Capabilities {
            attaches: points.attach.is_some(),
            describes: points.describe.is_some(),
            resolves: points.resolve_entry.is_some() && points.handle_by_id.is_some(),
            cancels: points.cancel.is_some(),
            takes_data: points.stream_data.is_some(),
            takes_close: points.stream_close.is_some(),
            takes_room: points.stream_room.is_some(),
            exports_state: points.reload_export.is_some(),
            one_at_a_time: !thread_safe,
            is_remote: remote.is_some(),
        };
        Ok(Self {
            points,
            capabilities,
            remote,
            image: Mutex::new(Some(image)),
            unmarked,
            lock: (!thread_safe).then(|| ReentrantMutex::new(())),
            timeouts: LockTimeouts {
                caller: Duration::from_millis(limits.block_report_ms),
                reload: Duration::from_millis(limits.drain_ms),
            },
        })
    }

    /// Where it runs, if that is elsewhere.
    pub(crate) fn remote(&self) -> Option<&dyn Remote> {
        self.remote.as_ref().map(|remote| &*remote.0)
    }

    /// Calls `attach`, which the plugin has.
    ///
    /// # Safety
    /// `host_ctx` is an instance's; nothing of the plugin was called before.
    pub(crate) unsafe fn attach(&self, host_ctx: *mut c_void) -> NrStatus {
        let Some(attach) = self.points.attach else { return NrStatus::Unsupported };
        // SAFETY: a validated function of the mapped image; the table is static, and the caller
        // promises the rest.
        unsafe { attach(self.points.plugin_ctx, host_ctx, callbacks::api()) }
    }

    /// Calls `init`.
    ///
    /// # Safety
    /// `host_ctx` is an instance's; nothing of the plugin but `attach` was called before.
    pub(crate) unsafe fn init(&self, host_ctx: *mut c_void) -> NrStatus {
        // SAFETY: as for `attach`.
        unsafe { (self.points.init)(self.points.plugin_ctx, host_ctx, callbacks::vtable()) }
    }

    /// True for a plugin that may come from a build whose functions take no `plugin_ctx`.
    pub(crate) fn may_lack_plugin_ctx(&self) -> bool {
        self.unmarked && self.points.plugin_ctx.is_null()
    }

    /// The plugin has ended, or refused to start: its image may have another instance. Dropped, the
    /// image stays mapped.
    pub(crate) fn take_image(&self) -> Option<Image> {
        let image = self.image.lock().take()?;
        Identity::of(&self.points).give_up();
        Some(image)
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
        self.enter_within(self.timeouts.caller)
    }

    /// Enters for a reload.
    fn enter_to_reload(&self) -> Option<PluginGuard<'_>> {
        self.enter_within(self.timeouts.reload)
    }

    fn enter_within(&self, timeout: Duration) -> Option<PluginGuard<'_>> {
        let Some(lock) = &self.lock else { return Some(PluginGuard::FREE) };
        // Waiting for one's turn is not being stuck inside.
        let wait = || thread::current().while_waiting(|| lock.try_lock_for(timeout));
        lock.try_lock().or_else(wait).map(|guard| PluginGuard { _guard: Some(guard) })
    }

    /// Enters on a thread that may block for as long as others are inside.
    fn wait_for_turn(&self) -> PluginGuard<'_> {
        let wait = |lock| thread::current().while_waiting(|| ReentrantMutex::lock(lock));
        let lock = self.lock.as_ref();
        PluginGuard { _guard: lock.map(|lock| lock.try_lock().unwrap_or_else(|| wait(lock))) }
    }
}

/// What two instances of one image have in common. Private copies never do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Identity {
    init: usize,
    plugin_ctx: usize,
}

static LIVE: Mutex<Vec<Identity>> = Mutex::new(Vec::new());

impl Identity {
    fn of(points: &EntryPoints) -> Self {
        Self { init: points.init as usize, plugin_ctx: points.plugin_ctx as usize }
    }

    /// Refuses a second instance of an image that does not allow one.
    fn claim(self, name: &str, flags: u32) -> Result<(), LoadError> {
        let mut live = LIVE.lock();
        if flags & BK_PLUGIN_MULTI_INSTANCE == 0 && live.contains(&self) {
            return Err(LoadError::SecondInstance { plugin: name.to_owned() });
        }
        live.push(self);
        Ok(())
    }

    fn give_up(self) {
        let mut live = LIVE.lock();
        if let Some(at) = live.iter().position(|other| *other == self) {
            live.swap_remove(at);
        }
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
    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

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
