// SPDX-License-Identifier: BSD-3-Clause
//! One loaded plugin: what stands behind the `host_ctx` that the plugin was given.
//!
//! ```text
//!   load ──▶ Starting ──▶ live ──(replaced, unloaded)──▶ draining ──▶ shut down ──▶ unmapped?
//!                          │ calls, streams, timers         │ no thread inside, nothing pending,
//!                          ▼                                ▼ nothing held
//! ```
//!
//! # Invariants
//!
//! 1. An instance is never freed: a plugin's thread may call back with its address at any time,
//!    also after its end. What it holds that can grow is given up when it is shut down.
//! 2. The plugin's image stays mapped while `pending`, `streams` or `retained` is not zero, a thread
//!    is marked as inside, or a coroutine of the plugin is alive. It is unmapped only when the
//!    plugin's flags allow it.
//! 3. What outlives a call (a body, a timer, a notification) retains the instance while something else
//!    still keeps the instance, so that there is no gap.

mod starting;

use std::{
    collections::HashMap,
    ffi::c_void,
    future::poll_fn,
    ptr,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering},
    },
    task::{Context, Poll, Waker},
    time::Duration,
};

use becket_abi::{BK_PLUGIN_MAY_UNLOAD, NrStatus, is_user_range};
use becket_chan::fence;

use crate::{
    callbacks::{self, CallLeases, Leases},
    config::PluginConfig,
    context::HostContext,
    coroutine::{Coroutines, Handler, Pool},
    jobs::{self, Jobs},
    limits::{Dispatch, Limits},
    load::{self, InfoDefect, Layout, LoadError, LoadStage, Loaded, SandboxInfo},
    loading::Loading,
    placement::{Inline, Placement, Resolved},
    plugin::{Entered, Shared},
    reentry::Mutex,
    routing::{Pace, Route},
    spec::PluginSpec,
    thread,
    timer::{self, PluginTimer},
    unannounced::Unannounced,
};

pub(crate) use self::starting::Ready;

/// How long a coroutine that ignored its cancellation may take until it waits once more, in the
/// background: an unload has returned by then.
const ABANDON_PATIENCE: Duration = Duration::from_secs(5);

/// How long the end of an instance waits, when a drain has waited before, for a thread that does
/// not come back.
const AFTER_DRAIN: Duration = Duration::from_millis(500);

/// See the module's documentation. In the order of C, so that `context` is at its address.
#[repr(C)]
pub(crate) struct Instance {
    /// What a plugin that reads behind `host_ctx` finds there.
    context: HostContext,
    pub(crate) plugin: Arc<Shared>,
    /// Counts the loads of the plugin, from 1.
    pub(crate) generation: u64,
    pub(crate) placement: Inline,
    pub(crate) limits: Limits,
    pub(crate) about: About,
    pub(crate) config: PluginConfig,
    /// The ids of the entries that the plugin describes.
    pub(crate) resolved: OnceLock<HashMap<String, Resolved>>,
    pub(crate) leases: Leases,
    pub(crate) coroutines: Coroutines,
    /// Present for a plugin that does not describe its entries.
    pub(crate) unannounced: Option<Unannounced>,
    pub(crate) dispatch: Dispatch,
    /// A [`Route`].
    pub(crate) route: AtomicU8,
    pub(crate) pace: Pace,
    /// Threads that are stuck inside, and the most there were at once.
    pub(crate) blocked: AtomicU32,
    pub(crate) blocked_most: AtomicU32,
    /// Those of them that are not workers of the plugin.
    pub(crate) blocked_callers: AtomicU32,
    pub(crate) pending: AtomicU64,
    pub(crate) streams: AtomicU64,
    pub(crate) timers: Mutex<callbacks::TimerTable>,
    retained: AtomicU64,
    /// Notifications that the plugin is still to get.
    pending_notifications: AtomicU64,
    /// `shutdown` was called, or the plugin never started: it is called no more.
    stopped: AtomicBool,
    draining: AtomicBool,
    /// Notifications that wait for a worker are dropped.
    given_up: AtomicBool,
    exporting: AtomicBool,
    drain_wakers: Mutex<Vec<Waker>>,
    /// What is offloaded from callers' threads.
    pub(crate) calls: Jobs,
    /// Notifications to the plugin, and its timers, one at a time.
    notifications: Jobs,
    /// Of a plugin of version 2: which of its leases is which call's.
    pub(crate) call_leases: CallLeases,
}

/// What the load found.
#[derive(Debug, Clone)]
pub(crate) struct About {
    pub(crate) reported_name: String,
    pub(crate) version: String,
    pub(crate) placement: &'static str,
    pub(crate) sandbox: Option<SandboxInfo>,
    pub(crate) layout: &'static str,
    pub(crate) flags: u32,
    pub(crate) is_go: bool,
    pub(crate) path: Option<std::path::PathBuf>,
    pub(crate) sha256: Option<[u8; 32]>,
}

impl Instance {
    /// Takes over a loaded image and starts the plugin: `attach`, then `init`.
    pub(crate) fn start(
        plugin: &Arc<Shared>,
        spec: &PluginSpec,
        generation: u64,
        loaded: Loaded,
        loading: &Loading,
    ) -> Result<Ready, LoadError> {
        let (flags, layout) = (loaded.mapped.flags, load::layout_name(loaded.mapped.layout));
        let is_v2 = loaded.mapped.layout == Some(Layout::V2);
        let config =
            PluginConfig::merge(&loaded.config_default, &spec.config).map_err(|error| {
                LoadError::Info {
                    plugin: spec.name.clone(),
                    defect: InfoDefect::ConfigDefault { why: error.to_string() },
                }
            })?;
        let coroutines = Coroutines::new(
            flags,
            loaded.coroutine_stack_bytes,
            loaded.is_go,
            &spec.limits,
            Pool::new(&spec.name, plugin.coroutine_workers, plugin.observer.clone()),
        )
        .map_err(|defect| LoadError::Coroutine { plugin: spec.name.clone(), defect })?;
        // What only passes calls on to another process does so on its callers' threads.
        let is_remote = loaded.mapped.remote.is_some();
        let dispatch = if is_remote { Dispatch::Auto } else { spec.dispatch };
        let route = Route::new(dispatch, flags);
        let queued_max = spec.limits.pending_max as usize + spec.limits.streams_max as usize;
        let placement = Inline::new(&spec.name, &spec.limits, loaded.mapped)?;
        let unannounced = (!placement.capabilities().describes).then(Unannounced::new);
        let instance: &'static Self = Box::leak(Box::new(Self {
            context: HostContext::new(is_v2),
            plugin: plugin.clone(),
            generation,
            placement,
            limits: spec.limits.clone(),
            about: About {
                reported_name: loaded.reported_name,
                version: loaded.version,
                placement: loaded.placement,
                sandbox: loaded.sandbox,
                layout,
                flags,
                is_go: loaded.is_go,
                path: loaded.path,
                sha256: loaded.sha256,
            },
            config,
            resolved: OnceLock::new(),
            leases: Leases::default(),
            call_leases: CallLeases::default(),
            coroutines,
            unannounced,
            dispatch,
            route: AtomicU8::new(route as u8),
            pace: Pace::new(),
            blocked: AtomicU32::new(0),
            blocked_most: AtomicU32::new(0),
            blocked_callers: AtomicU32::new(0),
            pending: AtomicU64::new(0),
            streams: AtomicU64::new(0),
            timers: Mutex::default(),
            retained: AtomicU64::new(0),
            pending_notifications: AtomicU64::new(0),
            stopped: AtomicBool::new(false),
            draining: AtomicBool::new(false),
            given_up: AtomicBool::new(false),
            exporting: AtomicBool::new(false),
            drain_wakers: Mutex::default(),
            calls: Jobs::new(spec.name.clone(), spec.limits.workers_max, queued_max),
            notifications: Jobs::new(
                spec.name.clone(),
                1,
                queued_max + spec.limits.timers_max as usize,
            ),
        }));
        loading.made(instance);
        let host_ctx = instance.host_ctx();
        if instance.placement.capabilities().attaches {
            instance.begin(loading, LoadStage::Attach)?;
            // SAFETY: called once, before anything else; it is never freed (invariant 1).
            let status = unsafe { instance.placement.attach(host_ctx) };
            if !status.is_ok() {
                instance.forget_image();
                return Err(LoadError::AttachFailed { plugin: spec.name.clone(), status });
            }
        }
        instance.begin(loading, LoadStage::Init)?;
        // SAFETY: as above.
        let status = unsafe { instance.placement.init(host_ctx) };
        if !status.is_ok() {
            instance.forget_image();
            return Err(LoadError::InitFailed {
                plugin: spec.name.clone(),
                status,
                may_lack_plugin_ctx: status == NrStatus::Invalid
                    && instance.placement.may_lack_plugin_ctx(),
            });
        }
        // Its image is kept from here on also if the load is given up: it has been started, and is
        // shut down.
        let described = loading.begin(LoadStage::Describe).map(|()| instance.placement.entries());
        let entries = described.unwrap_or_default();
        instance.coroutines.set_entries(&entries);
        instance.resolve_all(&entries);
        Ok(Ready { instance, entries: entries.into() })
    }

    /// The plugin refused to start: its image stays mapped, since a thread of it may run.
    fn forget_image(&self) {
        self.stopped.store(true, Ordering::SeqCst);
        self.cancel_timers();
        self.coroutines.cancel_all();
        self.coroutines.abandon_all();
        if self.placement.capabilities().is_remote {
            // What was started elsewhere ends.
            self.placement.shutdown();
        }
        let _stays_mapped = self.placement.take_image();
    }

    fn host_ctx(&'static self) -> *mut c_void {
        ptr::from_ref(self).cast_mut().cast()
    }

    /// The instance behind what a plugin passed as `host_ctx`.
    ///
    /// # Safety
    /// `host_ctx` is an address that can be read, unless it is one that no program has.
    #[inline]
    pub(crate) unsafe fn from_host_ctx(host_ctx: *mut c_void) -> Option<&'static Self> {
        let instance = host_ctx.cast_const().cast::<Self>();
        if !instance.is_aligned() || !is_user_range(instance.addr(), size_of::<HostContext>()) {
            return None;
        }
        // SAFETY: readable, by the caller's promise.
        let is_instance = unsafe { HostContext::is_at(host_ctx.cast_const().cast()) };
        // SAFETY: only instances carry the mark, and they are never freed (invariant 1).
        is_instance.then(|| unsafe { &*instance })
    }

    // Notifications.

    /// Ends a call or stream by `end`, and notifies the plugin if that was what ended it.
    pub(crate) fn end_and_notify(&'static self, sid: u64, end: impl FnOnce() -> bool) {
        // Retained first: once it has ended, nothing else may keep the instance (invariant 3).
        self.retain();
        // Found first too: once a stream has ended, its receiver may leave, which forgets the handler.
        let handler = self.coroutines.find(sid);
        if end() {
            self.notify_handler(sid, true, handler.as_deref());
        }
        self.release();
    }

    /// Notifies the plugin that the caller of `sid` has left. The caller of this keeps the
    /// instance.
    pub(crate) fn notify_cancelled(&'static self, sid: u64, stream: bool) {
        self.notify_handler(sid, stream, self.coroutines.find(sid).as_deref());
    }

    /// The same; `handler`: of the coroutines that serve it, which are notified where they wait.
    fn notify_handler(&'static self, sid: u64, stream: bool, handler: Option<&Handler>) {
        self.call_leases.ended(self, sid);
        handler.inspect(|handler| handler.cancel());
        if handler.is_some() && !self.placement.capabilities().cancels {
            return;
        }
        self.notify(move |placement| placement.cancel(sid, stream));
    }

    /// Notifies the plugin that stream `sid` is writable again. The caller keeps the instance.
    pub(crate) fn notify_writable(&'static self, sid: u64) {
        if self.placement.capabilities().takes_room {
            self.notify(move |placement| placement.stream_room(sid));
        }
    }

    /// Runs `f` on the thread of this plugin's notifications.
    fn notify(&'static self, f: impl FnOnce(&Inline) + Send + 'static) {
        self.retain();
        self.pending_notifications.fetch_add(1, Ordering::SeqCst);
        let done = move || {
            self.pending_notifications.fetch_sub(1, Ordering::SeqCst);
            self.release();
        };
        let queued = self.notifications.submit(Box::new(move || {
            if !self.is_stopped() {
                self.inside(|| f(&self.placement));
            }
            done();
        }));
        if queued.is_err() {
            self.notification_dropped();
            done();
        }
    }

    /// Runs a plugin's timer that is due; it retains its instance.
    pub(crate) fn run_timer(timer: PluginTimer) {
        let (instance, id) = (timer.instance, timer.id);
        let queued = instance.notifications.submit(Box::new(move || {
            let timer = timer;
            if instance.timers.lock().finish(timer.id) && !instance.is_stopped() {
                // SAFETY: the plugin gave the function with its argument, for one call; its image
                // is mapped because the timer retains the instance.
                let run = || unsafe { (timer.callback)(timer.user_data) };
                instance.inside(|| instance.placement.run(run));
            }
            instance.release();
        }));
        if queued.is_err() {
            instance.notification_dropped();
            instance.timers.lock().finish(id);
            instance.release();
        }
    }

    /// The queue of the plugin's notifications is full.
    fn notification_dropped(&self) {
        tracing::warn!(
            target: "becket::host",
            plugin = %self.plugin.name,
            "the plugin takes too long over its notifications: one was dropped",
        );
    }

    /// True once the plugin is called no more.
    pub(crate) fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::SeqCst)
    }

    /// Runs `f`, which calls the plugin, with this thread marked as inside; `None` if too many
    /// calls are nested on it. The caller keeps the instance.
    pub(crate) fn inside<R>(&'static self, f: impl FnOnce() -> R) -> Option<R> {
        let entered = Entered::kept(thread::current(), self)?;
        let result = f();
        drop(entered);
        Some(result)
    }

    // The end.

    /// Keeps the instance from being shut down and its image from being unmapped.
    pub(crate) fn retain(&self) {
        self.retained.fetch_add(1, Ordering::SeqCst);
    }

    /// Undoes a [`Self::retain`].
    pub(crate) fn release(&self) {
        self.retained.fetch_sub(1, Ordering::SeqCst);
        self.notify_drain();
    }

    /// Something that keeps the instance went away, or a thread left it.
    #[inline]
    pub(crate) fn notify_drain(&self) {
        if self.draining.load(Ordering::Relaxed) {
            self.wake_drain();
        }
    }

    #[cold]
    fn wake_drain(&self) {
        let wakers = std::mem::take(&mut *self.drain_wakers.lock());
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Gives up what waits for a worker and has no caller to end it: notifications. Returns how
    /// many there were.
    pub(crate) fn give_up(&self) -> u64 {
        self.given_up.store(true, Ordering::SeqCst);
        self.calls.drop_unattended() as u64
    }

    /// True once notifications are not run any more. Checked inside: the search for threads that
    /// are inside has its barrier after the flag was set.
    pub(crate) fn is_given_up(&self) -> bool {
        self.given_up.load(Ordering::SeqCst)
    }

    /// Makes [`Self::notify_drain`] wake the draining task. The instance is out of its callers'
    /// reach.
    pub(crate) fn begin_drain(&self) {
        self.draining.store(true, Ordering::SeqCst);
        fence::heavy();
    }

    /// Takes [`Self::begin_drain`] back: the instance goes on.
    pub(crate) fn end_drain(&self) {
        self.draining.store(false, Ordering::SeqCst);
    }

    /// Waits until `quiet` holds; checks it after each [`Self::notify_drain`].
    async fn until(&self, quiet: impl Fn(&Self) -> bool) {
        poll_fn(|context: &mut Context<'_>| {
            {
                let mut wakers = self.drain_wakers.lock();
                if !wakers.iter().any(|waker| waker.will_wake(context.waker())) {
                    wakers.push(context.waker().clone());
                }
            }
            if quiet(self) { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }

    /// Waits until no call waits for an answer, no coroutine is in the `handle` of one, and no
    /// thread is inside. Streams may be open.
    pub(crate) async fn calls_done(&self) {
        self.until(|this| {
            let none =
                || this.pending.load(Ordering::SeqCst) == 0 && this.coroutines.in_calls() == 0;
            this.is_left(none)
        })
        .await;
    }

    /// Waits until neither calls nor streams are open and no thread is inside.
    pub(crate) async fn quiet(&self) {
        self.until(Self::is_quiet).await;
    }

    fn is_quiet(&self) -> bool {
        self.is_left(|| self.has_no_calls())
    }

    fn is_unused(&self) -> bool {
        self.is_left(|| {
            self.retained.load(Ordering::SeqCst) == 0
                && self.coroutines.running() == 0
                && self.has_no_calls()
        })
    }

    fn has_no_calls(&self) -> bool {
        self.pending.load(Ordering::SeqCst) == 0 && self.streams.load(Ordering::SeqCst) == 0
    }

    /// Whether no thread is inside and the counters that `is_zero` reads are 0. They are read once
    /// more after the threads: a thread that was inside at the first look may have begun a call, or
    /// set a timer, and left before its mark was looked at.
    fn is_left(&self, is_zero: impl Fn() -> bool) -> bool {
        is_zero() && !thread::anyone_inside(self) && is_zero()
    }

    /// Ends the plugin and gives up what can be. The instance is out of its callers' reach and its
    /// calls have ended. Returns true if the image was unmapped.
    pub(crate) async fn shut_down(&'static self) -> bool {
        let patience = self.end_patience();
        // First the notifications, since the plugin may want to cancel its timers itself.
        let is_notified = |this: &Self| this.pending_notifications.load(Ordering::SeqCst) == 0;
        timer::within(self.until(is_notified), patience).await;
        self.cancel_timers();
        // Handlers that go on have no caller any more.
        self.coroutines.cancel_all();
        timer::within(self.until(Self::is_unused), self.end_patience()).await;
        self.give_up();
        if self.coroutines.running() > 0 {
            self.coroutines.abandon_all();
            let none = |this: &Self| this.coroutines.running() == 0;
            timer::within(self.until(none), ABANDON_PATIENCE).await;
        }
        let is_unmapped = self.stop_and_unmap(patience).await;
        self.calls.end();
        self.notifications.end();
        is_unmapped
    }

    async fn stop_and_unmap(&'static self, patience: Duration) -> bool {
        if !self.on_notifications(move || self.stop()).await.unwrap_or(false) {
            // Ending a plugin under a thread that is inside would pull its memory from under it.
            tracing::warn!(
                target: "becket::host",
                plugin = %self.plugin.name,
                generation = self.generation,
                "left as it is: a thread does not come back from it",
            );
            return false;
        }
        let image = self.placement.take_image();
        self.coroutines.end();
        let leases = self.leases.end_all();
        if leases > 0 {
            tracing::warn!(
                target: "becket::host",
                plugin = %self.plugin.name,
                generation = self.generation,
                leases,
                "the plugin did not give back all leases: their buffers stay as long as its image",
            );
        }
        let Some(image) = image else { return false };
        if self.about.flags & BK_PLUGIN_MAY_UNLOAD == 0 {
            // Dropped without being unmapped.
            return false;
        }
        timer::within(self.until(Self::is_unused), patience).await;
        if !self.is_unused() || !fence::is_sound() {
            return false;
        }
        let unmap = move || {
            // SAFETY: the plugin said that it leaves nothing behind once `shutdown` has returned; no
            // thread is inside, and nothing that leads into the image is held (invariant 2).
            unsafe { image.unmap() };
            self.leases.clear();
        };
        // Its destructors are the plugin's code as well.
        self.on_notifications(unmap).await.is_some()
    }

    /// How long its end waits for what still uses it. An unload has waited before.
    fn end_patience(&self) -> Duration {
        let patience = Duration::from_millis(self.limits.drain_ms);
        if self.plugin.is_drain_over() { patience.min(AFTER_DRAIN) } else { patience }
    }

    /// Calls `shutdown`, on the thread of the notifications, so that no notification and no timer runs
    /// beside it, and none after it. False if a thread is inside.
    fn stop(&'static self) -> bool {
        if thread::anyone_inside(self) || self.coroutines.running() > 0 {
            return false;
        }
        self.stopped.store(true, Ordering::SeqCst);
        self.cancel_timers();
        self.inside(|| self.placement.shutdown());
        true
    }

    /// Runs `f` on the thread of the notifications; `None` if it cannot be queued there.
    async fn on_notifications<T: Send + 'static>(
        &'static self,
        f: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        let (once, task) = jobs::once(f);
        match self.notifications.submit(Box::new(move || _ = once.run())) {
            Ok(()) => task.fallible().await,
            Err(_full) => None,
        }
    }

    fn cancel_timers(&self) {
        let keys = self.timers.lock().take_all();
        for key in keys {
            if timer::cancel(key).is_some() {
                self.release();
            }
        }
    }

    /// The plugin's state; `None` if it has none to give.
    pub(crate) fn export(&self) -> Option<Result<Vec<u8>, NrStatus>> {
        self.exporting.store(true, Ordering::SeqCst);
        let state = self.placement.export_state();
        self.exporting.store(false, Ordering::SeqCst);
        state
    }

    /// True while a thread is in [`Self::export`]. To a reload, of which there is one at a time, it
    /// is the thread of one that was given up: the plugin cannot be asked for its state, and one
    /// that takes one call at a time can be asked for nothing.
    pub(crate) fn is_export_hanging(&self) -> bool {
        self.exporting.load(Ordering::SeqCst)
    }

    /// Gives the plugin the state of another instance of it.
    pub(crate) fn import(&self, state: &[u8]) -> Result<(), NrStatus> {
        match self.placement.import_state(state) {
            None | Some(NrStatus::Ok) => Ok(()),
            Some(status) => Err(status),
        }
    }
}

impl std::fmt::Debug for Instance {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Instance")
            .field("plugin", &self.plugin.name)
            .field("generation", &self.generation)
            .finish_non_exhaustive()
    }
}

const _: () = assert!(std::mem::offset_of!(Instance, context) == 0);
