// SPDX-License-Identifier: BSD-3-Clause
//! The instances of a [`Plugin`], and the slots they live in.
//!
//! ```text
//!   host ── nylon_ring_get_plugin_v1() ──▶ Slots ── hands out ──▶ Slot { info, live, .. }
//!                                                                   ▲        │
//!   handle(plugin_ctx, ..) ── plugin_ctx is the slot ───────────────┘        ▼
//!                                                             Live { plugin, streams, executor }
//! ```
//!
//! Each call of the entry function hands out a slot of its own, so one file can be loaded several
//! times. A slot that was shut down is handed out again.
//!
//! # Invariants
//!
//! 1. A slot is never freed: its address stays valid for late calls.
//! 2. `info` is written only while the slot is handed out, under the lock of `Slots`, when no thread
//!    has its address yet (or any more, after `shutdown`).
//! 3. `live` is `NULL` before `init` and after `shutdown`; every function answers `Invalid` then.
//!
//! # Safety
//!
//! *The instance.* `live` is dereferenced during a vtable call only. The ABI has the host call
//! `shutdown` once, after every other call of this instance has returned, so the instance outlives
//! each borrow.

use std::cell::UnsafeCell;
use std::ffi::c_void;
use std::fmt;
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicPtr, Ordering};

use becket_abi::{BkHostApi, NR_ABI_VERSION, NrPluginInfo, NrPluginVTable, NrStatus, NrStr};

use crate::boundary::guard;
use crate::error::Failure;
use crate::executor::Executor;
use crate::host::{Host, Shared};
use crate::lock::Mutex;
use crate::log::Level;
use crate::plugin::{self, Plugin};
use crate::stream::Streams;
use crate::timer::Timers;
use crate::vtable::VTable;

/// A running instance.
pub(crate) struct Live<P> {
    host: Host,
    plugin: Arc<P>,
    streams: Arc<Streams>,
    executor: Option<Executor>,
}

impl<P: Plugin> Live<P> {
    fn start(host: Host) -> Result<Self, Failure> {
        let plugin = Arc::new(P::start(host)?);
        let futures = P::ENTRIES.iter().any(|entry| entry.has_future());
        let executor = futures
            .then(|| Executor::start(host, P::NAME, P::FUTURE_THREADS.max(1), P::FUTURES_MAX))
            .transpose()
            .inspect_err(|_| plugin.stop())?;
        let streams = Arc::new(Streams::new(P::STREAMS_MAX));
        Ok(Self { host, plugin, streams, executor })
    }

    /// The order matters: first what could start something new.
    pub(crate) fn stop(self) {
        self.plugin.stop();
        if let Some(executor) = &self.executor {
            executor.close();
        }
        self.streams.clear();
    }

    #[inline]
    pub(crate) fn plugin(&self) -> &P {
        &self.plugin
    }

    pub(crate) fn plugin_shared(&self) -> Arc<P> {
        Arc::clone(&self.plugin)
    }

    pub(crate) const fn streams(&self) -> &Arc<Streams> {
        &self.streams
    }

    pub(crate) const fn host(&self) -> Host {
        self.host
    }

    pub(crate) const fn executor(&self) -> Option<&Executor> {
        self.executor.as_ref()
    }
}

/// What `plugin_ctx` points to.
pub(crate) struct Slot<P: Plugin> {
    info: UnsafeCell<NrPluginInfo>,
    pub(crate) live: AtomicPtr<Live<P>>,
    pub(crate) attached: Mutex<Option<Attached>>,
    pub(crate) shared: Shared,
    home: AtomicPtr<Slots<P>>,
}

#[derive(Clone, Copy)]
pub(crate) struct Attached {
    pub(crate) ctx: *mut c_void,
    pub(crate) api: *const BkHostApi,
}

// SAFETY: both pointers are the host's, which may be used from any thread (ABI).
unsafe impl Send for Attached {}
// SAFETY: `info` changes only as invariant 2 says; everything else is `Sync` by itself.
unsafe impl<P: Plugin> Sync for Slot<P> {}

/// The instances of one plugin in one image. `define_plugin!` makes the static.
pub struct Slots<P: Plugin> {
    /// The usual one instance needs no memory beyond the image.
    first: Slot<P>,
    free: Mutex<Free<P>>,
}

struct Free<P: Plugin> {
    first: bool,
    others: Vec<&'static Slot<P>>,
}

impl<P: Plugin> Slots<P> {
    /// No instance yet.
    #[must_use]
    pub const fn new() -> Self {
        let free = Free { first: true, others: Vec::new() };
        Self { first: Slot::new(), free: Mutex::new(free) }
    }

    fn give_back(&'static self, slot: &'static Slot<P>) {
        let mut free = self.free.lock();
        if ptr::eq(slot, &self.first) {
            free.first = true;
        } else {
            free.others.push(slot);
        }
    }

    /// The info of an instance that is not handed out yet.
    pub fn hand_out(&'static self) -> *const NrPluginInfo {
        guard(
            "nylon_ring_get_plugin_v1",
            || None,
            || {
                let mut free = self.free.lock();
                let slot = if std::mem::take(&mut free.first) {
                    &self.first
                } else {
                    free.others.pop().unwrap_or_else(|| Box::leak(Box::new(Slot::new())))
                };
                slot.home.store(ptr::from_ref(self).cast_mut(), Ordering::Release);
                let info = NrPluginInfo {
                    abi_version: NR_ABI_VERSION,
                    struct_size: size_of::<NrPluginInfo>() as u32,
                    name: NrStr::from_str(P::NAME),
                    version: NrStr::from_str(P::VERSION),
                    plugin_ctx: ptr::from_ref(slot).cast_mut().cast(),
                    vtable: &raw const *VTable::<P>::TABLE,
                    vtable_size: size_of::<NrPluginVTable>() as u32,
                    flags: plugin::flags::<P>(),
                    config_default: NrStr::from_str(P::CONFIG_DEFAULT),
                    attach: Some(VTable::<P>::attach),
                    coroutine_stack_bytes: P::COROUTINE_STACK_BYTES,
                };
                // SAFETY: invariant 2; the lock of `Slots` is held.
                unsafe { *slot.info.get() = info };
                slot.info.get().cast_const()
            },
        )
    }
}

impl<P: Plugin> Default for Slots<P> {
    fn default() -> Self {
        Self::new()
    }
}

impl<P: Plugin> fmt::Debug for Slots<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Slots").field("free", &self.free.lock().others.len()).finish()
    }
}

impl<P: Plugin> Slot<P> {
    const fn new() -> Self {
        Self {
            info: UnsafeCell::new(NrPluginInfo {
                abi_version: NR_ABI_VERSION,
                struct_size: 0,
                name: NrStr::EMPTY,
                version: NrStr::EMPTY,
                plugin_ctx: ptr::null_mut(),
                vtable: ptr::null(),
                vtable_size: 0,
                flags: 0,
                config_default: NrStr::EMPTY,
                attach: None,
                coroutine_stack_bytes: 0,
            }),
            live: AtomicPtr::new(ptr::null_mut()),
            attached: Mutex::new(None),
            shared: Shared { config_default: P::CONFIG_DEFAULT, timers: Timers::new() },
            home: AtomicPtr::new(ptr::null_mut()),
        }
    }

    /// # Safety
    /// `plugin_ctx` is `NULL` or what [`Slots::hand_out`] put into an info.
    #[inline]
    pub(crate) unsafe fn of(plugin_ctx: *mut c_void) -> Option<&'static Self> {
        // SAFETY: the caller's promise; a slot is never freed (invariant 1).
        unsafe { plugin_ctx.cast::<Self>().as_ref() }
    }

    /// # Safety
    /// As for [`Self::of`], and the caller is a vtable call that ends before `'a` does.
    #[inline]
    pub(crate) unsafe fn live<'a>(plugin_ctx: *mut c_void) -> Option<&'a Live<P>> {
        // SAFETY: the caller's promise.
        let slot = unsafe { Self::of(plugin_ctx) }?;
        // SAFETY: see "The instance" above.
        unsafe { slot.live.load(Ordering::Acquire).as_ref() }
    }

    pub(crate) fn init(&'static self, host: Host) -> NrStatus {
        if !self.live.load(Ordering::Acquire).is_null() {
            return NrStatus::Invalid;
        }
        match Live::start(host) {
            Ok(live) => {
                let live = Box::into_raw(Box::new(live));
                self.live.store(live, Ordering::Release);
                NrStatus::Ok
            }
            Err(failure) => {
                host.log(Level::Error, P::NAME, format_args!("{}", failure.text()));
                match failure.status() {
                    NrStatus::Ok => NrStatus::Err,
                    other => other,
                }
            }
        }
    }

    /// The instance is over: what may still run is stopped, and the slot is free again.
    ///
    /// A late timer, sink or answer still finds the slot's address valid; its host context is the
    /// old one, whose ids the host refuses.
    pub(crate) fn retire(&'static self, host: Host) {
        self.shared.timers.close(host);
        *self.attached.lock() = None;
        // SAFETY: `hand_out` stored the address of a static.
        if let Some(home) = unsafe { self.home.load(Ordering::Acquire).as_ref::<'static>() } {
            home.give_back(self);
        }
    }
}
