// SPDX-License-Identifier: BSD-3-Clause
//! A host for unit tests: calls a plugin through its real vtable, in this process, without a file.
//!
//! Time stands still until [`FakeHost::advance`] (a plugin's `send_wait` alone waits in real time);
//! an answer is waited for by its own event; every violation of the ABI is recorded. A handler that
//! waits (of a `coroutine` or `session` entry) goes on when the test does something, until it waits
//! again.
//!
//! ```
//! use std::time::Duration;
//! use becket_plugin::testing::FakeHost;
//! use becket_plugin::{Entry, Failure, Host, NrStatus, OwnedCall, Plugin, Reply};
//! use std::sync::Arc;
//!
//! struct Nap(Host);
//!
//! impl Plugin for Nap {
//!     const NAME: &'static str = "nap";
//!     const VERSION: &'static str = "1.0.0";
//!     const ENTRIES: &'static [Entry<Self>] = &[Entry::future("nap", "", Self::nap)];
//!     fn start(host: Host) -> Result<Self, Failure> {
//!         Ok(Self(host))
//!     }
//! }
//!
//! impl Nap {
//!     async fn nap(self: Arc<Self>, _: OwnedCall) -> Result<Reply, Failure> {
//!         self.0.sleep(Duration::from_secs(3600))?.await;
//!         Ok("awake".into())
//!     }
//! }
//!
//! let host = FakeHost::of::<Nap>();
//! let nap = host.start("nap", b"");
//! host.wait_timers(1);                         // the future has come to its timer
//! host.advance(Duration::from_secs(3600));     // an hour, at once
//! assert_eq!(nap.answer().body, b"awake");
//!
//! let cancelled = host.start("nap", b"");
//! host.wait_timers(1);
//! cancelled.cancel();                          // drops the future, and with it its timer
//! host.finish().assert_clean();                // no violation, nothing left behind
//! ```

mod api;
mod book;
mod calls;
mod waits;

use std::ffi::c_void;
use std::fmt;
use std::ptr;
use std::time::Duration;

use becket_abi::{
    BK_ENTRY_NEVER_WAITS, BK_PLUGIN_WANTS_COROUTINE, BkEntryInfo, LinkedPlugin, NrBytes,
    NrOwnedBytes, NrPluginInfo, NrPluginVTable, NrRequest, NrStatus, NrStr,
};

pub use self::book::{Limits, LogLine, Report, Violation};
pub use self::calls::{Answer, Frame, TestCall, TestRequest, TestStream};

use self::api::InCall;
use self::book::Inner;
use crate::instance::Slots;
use crate::log::Level;
use crate::plugin::Plugin;

/// A host in a test. See the [module](self).
pub struct FakeHost {
    inner: &'static Inner,
    plugin_ctx: *mut c_void,
    table: NrPluginVTable,
    entries: Vec<String>,
    /// Entries whose handlers run on threads of their own.
    waiting: Vec<String>,
    running: bool,
}

/// How a [`FakeHost`] is made.
#[derive(Debug)]
pub struct Builder {
    plugin: Option<Source>,
    config: String,
    level: Level,
    plain: bool,
    limits: Limits,
    import: Option<Vec<u8>>,
}

#[derive(Debug)]
struct Source(*const NrPluginInfo);

/// The plugin refused to start.
#[derive(Debug)]
#[non_exhaustive]
pub struct StartRefused {
    /// What it returned.
    pub status: NrStatus,
    /// What it logged until then.
    pub logs: Vec<LogLine>,
}

impl fmt::Display for StartRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the plugin refused to start with {}", self.status)?;
        self.logs.iter().try_for_each(|line| write!(f, "; it logged: {}", line.message))
    }
}

impl std::error::Error for StartRefused {}

impl Builder {
    /// The plugin, by its type.
    #[must_use]
    pub fn of<P: Plugin>(mut self) -> Self {
        // Leaked, as a static would be: late threads of the plugin may still look at it.
        let slots: &'static Slots<P> = Box::leak(Box::new(Slots::new()));
        self.plugin = Some(Source(slots.hand_out()));
        self
    }

    /// The plugin, by the constant that `define_plugin!` makes.
    #[must_use]
    pub fn linked(mut self, plugin: LinkedPlugin) -> Self {
        self.plugin = Some(Source(plugin.info()));
        self
    }

    /// The configuration, as JSON text.
    #[must_use]
    pub fn config(mut self, json: impl Into<String>) -> Self {
        self.config = json.into();
        self
    }

    /// The most verbose level that is logged; all of them by default.
    #[must_use]
    pub const fn log_level(mut self, level: Level) -> Self {
        self.level = level;
        self
    }

    /// A host that never calls `attach`: it has `send_result` and nothing else.
    #[must_use]
    pub const fn plain(mut self) -> Self {
        self.plain = true;
        self
    }

    /// The limits, to see what the plugin does at them.
    #[must_use]
    pub const fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// What the version before handed over.
    #[must_use]
    pub fn import(mut self, state: impl Into<Vec<u8>>) -> Self {
        self.import = Some(state.into());
        self
    }

    /// Attaches and starts the plugin.
    ///
    /// # Errors
    /// [`StartRefused`] if `attach`, `init` or the import returns anything but `Ok`.
    pub fn build(self) -> Result<FakeHost, StartRefused> {
        // SAFETY: an info that `Slots` or a `LinkedPlugin` gave is `NULL` or valid for the process.
        let info = self.plugin.and_then(|source| unsafe { source.0.as_ref() }.copied());
        let refused = |status, inner: &Inner| StartRefused { status, logs: inner.logs() };
        let inner = Inner::leak(self.config, self.level, self.limits);
        let Some(info) = info else { return Err(refused(NrStatus::Invalid, inner)) };
        // SAFETY: the info is valid, and so is its table; at least ours in size, as this SDK made
        // it. A table of another origin says its size.
        let table = unsafe { read_table(&info) };
        let mut host = FakeHost {
            inner,
            plugin_ctx: info.plugin_ctx,
            table,
            entries: Vec::new(),
            waiting: Vec::new(),
            running: false,
        };
        host.describe(info.flags & BK_PLUGIN_WANTS_COROUTINE != 0 && !self.plain);
        let ctx = ptr::from_ref(inner).cast_mut().cast::<c_void>();
        if !self.plain
            && info.struct_size as usize >= size_of::<NrPluginInfo>()
            && let Some(attach) = info.attach
        {
            // SAFETY: the ABI's `attach`, with a context and a table that are never freed.
            let status =
                host.enter(|| unsafe { attach(info.plugin_ctx, ctx, &raw const api::API) });
            if !status.is_ok() {
                return Err(refused(status, inner));
            }
        }
        let Some(init) = table.init else { return Err(refused(NrStatus::Invalid, inner)) };
        // SAFETY: the ABI's `init`, as above.
        let status = host.enter(|| unsafe { init(info.plugin_ctx, ctx, &raw const api::PLAIN) });
        if !status.is_ok() {
            return Err(refused(status, inner));
        }
        host.running = true;
        if let (Some(state), Some(import)) = (self.import, table.reload_import) {
            // SAFETY: the ABI's `reload_import`; the view is borrowed for the call.
            let status =
                host.enter(|| unsafe { import(info.plugin_ctx, NrBytes::from_slice(&state)) });
            if !status.is_ok() {
                return Err(refused(status, inner));
            }
        }
        Ok(host)
    }
}

/// # Safety
/// The info is valid, and its table as long as its `vtable_size` says.
unsafe fn read_table(info: &NrPluginInfo) -> NrPluginVTable {
    let mut table = NrPluginVTable::default();
    let documented = 5 * size_of::<usize>();
    let size = if info.struct_size > NrPluginInfo::STRUCT_SIZE_DOCUMENTED {
        (info.vtable_size as usize).max(documented)
    } else {
        documented
    };
    if !info.vtable.is_null() {
        // SAFETY: the caller's promise; the copy ends within both tables.
        unsafe {
            ptr::copy_nonoverlapping(
                info.vtable.cast::<u8>(),
                (&raw mut table).cast::<u8>(),
                size.min(size_of::<NrPluginVTable>()),
            );
        }
    }
    table
}

impl FakeHost {
    /// A host with no configuration and the usual limits.
    #[must_use]
    pub const fn builder() -> Builder {
        Builder {
            plugin: None,
            config: String::new(),
            level: Level::Trace,
            plain: false,
            limits: Limits::DEFAULT,
            import: None,
        }
    }

    /// A host that runs the plugin `P`.
    ///
    /// # Panics
    /// If the plugin refuses to start; [`Self::builder`] returns the error instead.
    #[must_use]
    pub fn of<P: Plugin>() -> Self {
        match Self::builder().of::<P>().build() {
            Ok(host) => host,
            Err(refused) => book::fail(format_args!("{refused}")),
        }
    }

    /// The entries that the plugin describes.
    #[must_use]
    pub fn entries(&self) -> &[String] {
        &self.entries
    }

    /// Calls an entry without a request, and waits for its answer.
    ///
    /// # Panics
    /// If none has come after ten seconds.
    #[must_use]
    pub fn call(&self, entry: &str, payload: &[u8]) -> Answer {
        self.start(entry, payload).answer()
    }

    /// Calls an entry with a request, and waits for its answer.
    ///
    /// # Panics
    /// As for [`Self::call`].
    #[must_use]
    pub fn call_with(&self, entry: &str, request: &TestRequest, payload: &[u8]) -> Answer {
        self.start_with(entry, request, payload).answer()
    }

    /// Calls an entry without waiting.
    pub fn start(&self, entry: &str, payload: &[u8]) -> TestCall<'_> {
        let sid = self.inner.open(false);
        let returned = self.handle(entry, sid, None, payload);
        TestCall::new(self, sid, returned)
    }

    /// Calls an entry with a request, without waiting.
    pub fn start_with(&self, entry: &str, request: &TestRequest, payload: &[u8]) -> TestCall<'_> {
        let sid = self.inner.open(false);
        let returned = self.handle(entry, sid, Some(request), payload);
        TestCall::new(self, sid, returned)
    }

    /// Opens a stream.
    pub fn stream(&self, entry: &str, payload: &[u8]) -> TestStream<'_> {
        let sid = self.inner.open(true);
        let returned = self.handle(entry, sid, None, payload);
        TestStream::new(self, sid, returned)
    }

    /// A stream by its id, also while the handler that opens it is at work: its reader may react to
    /// a frame before the plugin's send has returned.
    pub const fn reader(&self, sid: u64) -> TestStream<'_> {
        TestStream::new(self, sid, NrStatus::Ok)
    }

    /// Lets virtual time pass: the timers that become due run, in order, on this thread.
    pub fn advance(&self, by: Duration) {
        self.inner.advance(by);
    }

    /// Waits until the plugin has at least `count` timers.
    ///
    /// # Panics
    /// If it has not after ten seconds.
    pub fn wait_timers(&self, count: usize) {
        self.inner.wait("that many timers", |book| (book.timers.len() >= count).then_some(()));
    }

    /// How many timers are pending.
    #[must_use]
    pub fn timers(&self) -> usize {
        self.inner.book.lock().timers.len()
    }

    /// The value of a counter or gauge, or how often a histogram was recorded.
    #[must_use]
    pub fn metric(&self, name: &str) -> Option<f64> {
        self.inner.metric(name)
    }

    /// Waits until a metric has at least this value.
    ///
    /// # Panics
    /// If it has not after ten seconds.
    pub fn wait_metric(&self, name: &str, value: f64) {
        self.inner.wait("that value of the metric", |book| {
            book.metrics.iter().any(|m| m.name == name && m.value >= value).then_some(())
        });
    }

    /// What was logged so far.
    #[must_use]
    pub fn logs(&self) -> Vec<LogLine> {
        self.inner.logs()
    }

    /// The violations so far.
    #[must_use]
    pub fn violations(&self) -> Vec<Violation> {
        self.inner.book.lock().violations.clone()
    }

    /// What the plugin would hand to its next version; `None` if nothing.
    #[must_use]
    pub fn export(&self) -> Option<Vec<u8>> {
        let export = self.table.reload_export?;
        let mut out = NrOwnedBytes::EMPTY;
        // SAFETY: the ABI's `reload_export`, with room for one.
        let status = self.enter(|| unsafe { export(self.plugin_ctx, &raw mut out) });
        if !status.is_ok() {
            return None;
        }
        // SAFETY: the plugin said Ok, so the bytes are the host's until it releases them.
        Some(unsafe { api::take_owned(out) })
    }

    /// Ends the plugin, and reports its violations and what it left behind.
    #[must_use]
    pub fn finish(mut self) -> Report {
        self.shutdown();
        self.inner.report()
    }

    fn shutdown(&mut self) {
        let running = std::mem::take(&mut self.running);
        if running {
            self.inner.end_tasks();
        }
        if running && let Some(shutdown) = self.table.shutdown {
            // SAFETY: the ABI's `shutdown`, once, with no other call at work: `FakeHost` is not
            // `Sync`.
            self.enter(|| unsafe { shutdown(self.plugin_ctx) });
        }
    }

    fn enter<R>(&self, call: impl FnOnce() -> R) -> R {
        let _in_call = InCall::enter();
        call()
    }

    fn describe(&mut self, wants_coroutine: bool) {
        let Some(describe) = self.table.describe else { return };
        for index in 0.. {
            let mut info = BkEntryInfo::EMPTY;
            // SAFETY: the ABI's `describe`, with a record whose size is set.
            let status = self.enter(|| unsafe { describe(self.plugin_ctx, index, &raw mut info) });
            if !status.is_ok() {
                return;
            }
            // SAFETY: the plugin said Ok, so the name lives as long as it does.
            let name = unsafe { info.name.as_str() }.to_owned();
            if self.table.resolve_entry.is_some() && self.resolve(&name) != Some(index) {
                self.inner.violate(Violation::DescribedOtherwise { entry: name.clone() });
            }
            if wants_coroutine && info.kind & BK_ENTRY_NEVER_WAITS == 0 {
                self.waiting.push(name.clone());
            }
            self.entries.push(name);
        }
    }

    fn resolve(&self, entry: &str) -> Option<u32> {
        let resolve = self.table.resolve_entry?;
        // SAFETY: the ABI's `resolve_entry`; the view is borrowed for the call.
        let id = self.enter(|| unsafe { resolve(self.plugin_ctx, NrStr::from_str(entry)) });
        (id != becket_abi::BK_ENTRY_UNKNOWN).then_some(id)
    }

    fn handle(
        &self,
        entry: &str,
        sid: u64,
        request: Option<&TestRequest>,
        payload: &[u8],
    ) -> NrStatus {
        if self.waiting.iter().any(|waiting| waiting == entry) {
            let handle = waits::Handle {
                plugin_ctx: self.plugin_ctx,
                table: self.table,
                entry: entry.to_owned(),
                request: request.cloned(),
                payload: payload.to_vec(),
            };
            let is_stream = self.inner.is_stream(sid);
            return self.inner.run_task(sid, is_stream, handle);
        }
        match request {
            Some(request) => {
                request.with_raw(|request| self.handle_here(entry, sid, request, payload))
            }
            None => self.handle_here(entry, sid, ptr::null(), payload),
        }
    }

    fn handle_here(
        &self,
        entry: &str,
        sid: u64,
        request: *const NrRequest,
        payload: &[u8],
    ) -> NrStatus {
        let (ctx, view) = (self.plugin_ctx, NrBytes::from_slice(payload));
        let by_id = self.resolve(entry).zip(self.table.handle_by_id);
        let status = self.enter(|| match (by_id, self.table.handle) {
            // SAFETY: the ABI's `handle_by_id`; request and payload are borrowed for the call.
            (Some((id, handle)), _) => unsafe { handle(ctx, id, sid, request, view) },
            // SAFETY: the ABI's `handle`, likewise.
            (None, Some(handle)) => unsafe {
                handle(ctx, NrStr::from_str(entry), sid, request, view)
            },
            (None, None) => NrStatus::Unsupported,
        });
        if !status.is_ok() {
            self.inner.refused(sid);
        }
        status
    }

    fn stream_data(&self, sid: u64, data: &[u8]) -> NrStatus {
        if let Some(status) = self.inner.push(sid, data) {
            return status;
        }
        let Some(stream_data) = self.table.stream_data else { return NrStatus::Unsupported };
        // SAFETY: the ABI's `stream_data`; the view is borrowed for the call.
        self.enter(|| unsafe { stream_data(self.plugin_ctx, sid, NrBytes::from_slice(data)) })
    }

    fn stream_close(&self, sid: u64) -> NrStatus {
        if let Some(status) = self.inner.close_inbound(sid) {
            return status;
        }
        let Some(stream_close) = self.table.stream_close else { return NrStatus::Unsupported };
        // SAFETY: the ABI's `stream_close`.
        self.enter(|| unsafe { stream_close(self.plugin_ctx, sid) })
    }

    fn stream_room(&self, sid: u64) {
        let Some(stream_room) = self.table.stream_room else { return };
        // SAFETY: the ABI's `stream_room`.
        let _ = self.enter(|| unsafe { stream_room(self.plugin_ctx, sid) });
    }

    fn cancel(&self, sid: u64) -> NrStatus {
        self.inner.cancel(sid);
        let Some(cancel) = self.table.cancel else { return NrStatus::Unsupported };
        // SAFETY: the ABI's `cancel`.
        let status = self.enter(|| unsafe { cancel(self.plugin_ctx, sid) });
        self.inner.notified(sid);
        status
    }
}

impl Drop for FakeHost {
    fn drop(&mut self) {
        self.shutdown();
    }
}

impl fmt::Debug for FakeHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FakeHost").field("entries", &self.entries).finish_non_exhaustive()
    }
}
