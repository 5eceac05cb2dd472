// SPDX-License-Identifier: BSD-3-Clause
//! A plugin whose functions are closures of the test, behind a real vtable.
//!
//! # Safety
//!
//! What the plugin hands to the host lives for ever: a [`Running`] is leaked, its address is the
//! `plugin_ctx` of every function. Views that come in are read during the call only.

use std::{
    cell::Cell,
    ffi::c_void,
    panic::{AssertUnwindSafe, catch_unwind},
    ptr,
    sync::OnceLock,
};

use becket_abi::{
    BK_PLUGIN_MULTI_INSTANCE, BK_PLUGIN_NEVER_BLOCKS, BK_PLUGIN_THREAD_SAFE, BkHostApi, BkTimerFn,
    LinkedPlugin, NR_ABI_VERSION, NrBufferLease, NrBytes, NrHostVTable, NrOwnedBytes, NrPluginInfo,
    NrPluginVTable, NrRequest, NrStatus, NrStr,
};
use becket_host::{Host, Plugin, PluginSpec};

type Handle = dyn Fn(&Api, Incoming<'_>) -> NrStatus + Send + Sync;
type OnData = dyn Fn(&Api, u64, &[u8]) -> NrStatus + Send + Sync;
type OnSid = dyn Fn(&Api, u64) -> NrStatus + Send + Sync;
type OnEnd = dyn Fn(&Api) + Send + Sync;

/// Where scripts run: in this process. A test program for another placement has its own function in its root.
pub fn linked(name: &str, plugin: LinkedPlugin) -> PluginSpec {
    PluginSpec::linked(name, plugin)
}

/// What `handle` was given.
#[derive(Clone, Copy)]
pub struct Incoming<'a> {
    pub entry: &'a str,
    pub sid: u64,
    pub payload: &'a [u8],
}

/// The plugin as the test writes it.
pub struct Script {
    flags: u32,
    handle: Box<Handle>,
    stream_data: Option<Box<OnData>>,
    stream_close: Option<Box<OnSid>>,
    cancel: Option<Box<OnSid>>,
    shutdown: Option<Box<OnEnd>>,
}

impl Script {
    /// A thread-safe plugin with this `handle`.
    pub fn new(handle: impl Fn(&Api, Incoming<'_>) -> NrStatus + Send + Sync + 'static) -> Self {
        Self {
            flags: BK_PLUGIN_THREAD_SAFE | BK_PLUGIN_MULTI_INSTANCE,
            handle: Box::new(handle),
            stream_data: None,
            stream_close: None,
            cancel: None,
            shutdown: None,
        }
    }

    /// A plugin that answers every call inside `handle` with its payload.
    pub fn echo() -> Self {
        Self::new(|api, call| api.send(call.sid, NrStatus::Ok, call.payload))
    }

    /// The plugin does not say that it is thread-safe.
    pub fn one_at_a_time(mut self) -> Self {
        self.flags &= !BK_PLUGIN_THREAD_SAFE;
        self
    }

    /// The plugin says that it never blocks.
    pub fn never_blocks(mut self) -> Self {
        self.flags |= BK_PLUGIN_NEVER_BLOCKS;
        self
    }

    pub fn on_data(
        mut self,
        f: impl Fn(&Api, u64, &[u8]) -> NrStatus + Send + Sync + 'static,
    ) -> Self {
        self.stream_data = Some(Box::new(f));
        self
    }

    pub fn on_close(mut self, f: impl Fn(&Api, u64) -> NrStatus + Send + Sync + 'static) -> Self {
        self.stream_close = Some(Box::new(f));
        self
    }

    pub fn on_cancel(mut self, f: impl Fn(&Api, u64) -> NrStatus + Send + Sync + 'static) -> Self {
        self.cancel = Some(Box::new(f));
        self
    }

    pub fn on_shutdown(mut self, f: impl Fn(&Api) + Send + Sync + 'static) -> Self {
        self.shutdown = Some(Box::new(f));
        self
    }

    /// Loads it under `name`, with its defaults.
    pub fn load(self, host: &Host, name: &str) -> (Plugin, Api) {
        self.load_with(host, name, |spec| spec)
    }

    /// Loads it under `name`, with what `configure` sets.
    pub fn load_with(
        self,
        host: &Host,
        name: &str,
        configure: impl FnOnce(PluginSpec) -> PluginSpec,
    ) -> (Plugin, Api) {
        let running: &'static Running =
            Box::leak(Box::new(Running { script: self, api: OnceLock::new() }));
        let script = &running.script;
        let vtable: &'static NrPluginVTable = Box::leak(Box::new(NrPluginVTable {
            init: Some(init),
            handle: Some(handle),
            shutdown: Some(shutdown),
            stream_data: script.stream_data.as_ref().map(|_| stream_data as _),
            stream_close: script.stream_close.as_ref().map(|_| stream_close as _),
            cancel: script.cancel.as_ref().map(|_| cancel as _),
            ..NrPluginVTable::default()
        }));
        let info: &'static NrPluginInfo = Box::leak(Box::new(NrPluginInfo {
            abi_version: NR_ABI_VERSION,
            struct_size: size_of::<NrPluginInfo>() as u32,
            name: NrStr::from_str("script"),
            version: NrStr::from_str("1"),
            plugin_ctx: ptr::from_ref(running).cast_mut().cast(),
            vtable,
            vtable_size: size_of::<NrPluginVTable>() as u32,
            flags: script.flags,
            config_default: NrStr::EMPTY,
            attach: Some(attach),
            coroutine_stack_bytes: 0,
        }));
        NEXT.set(info);
        // SAFETY: `get` returns what was just leaked; its functions keep the ABI's rules.
        let linked = unsafe { LinkedPlugin::new(get) };
        let spec = configure(crate::scripted(name, linked));
        let plugin = host.load(spec).expect("the script loads");
        (plugin, *running.api.get().expect("attach was called"))
    }
}

thread_local! {
    /// What `get` returns: the host asks for it on the thread that loads.
    static NEXT: Cell<*const NrPluginInfo> = const { Cell::new(ptr::null()) };
}

struct Running {
    script: Script,
    api: OnceLock<Api>,
}

impl Running {
    /// # Safety
    /// `plugin_ctx` is the one that a script's info carries.
    unsafe fn of(plugin_ctx: *mut c_void) -> (&'static Script, &'static Api) {
        // SAFETY: leaked in `load_with`, so it lives for ever; shared access only.
        let running = unsafe { &*plugin_ctx.cast_const().cast::<Self>() };
        (&running.script, running.api.get().expect("attach comes first"))
    }
}

unsafe extern "C" fn get() -> *const NrPluginInfo {
    NEXT.get()
}

unsafe extern "C" fn attach(
    plugin_ctx: *mut c_void,
    host_ctx: *mut c_void,
    api: *const BkHostApi,
) -> NrStatus {
    // SAFETY: leaked in `load_with`, so it lives for ever; shared access only.
    let running = unsafe { &*plugin_ctx.cast_const().cast::<Running>() };
    let _ = running.api.set(Api { host_ctx, api });
    NrStatus::Ok
}

unsafe extern "C" fn init(_: *mut c_void, _: *mut c_void, _: *const NrHostVTable) -> NrStatus {
    NrStatus::Ok
}

unsafe extern "C" fn handle(
    plugin_ctx: *mut c_void,
    entry: NrStr,
    sid: u64,
    _: *const NrRequest,
    payload: NrBytes,
) -> NrStatus {
    // SAFETY: the host passes back what the info carries.
    let (script, api) = unsafe { Running::of(plugin_ctx) };
    // SAFETY: both views are the host's and valid for this call.
    let (entry, payload) = unsafe { (entry.as_str(), payload.as_slice()) };
    boundary(|| (script.handle)(api, Incoming { entry, sid, payload }))
}

unsafe extern "C" fn stream_data(plugin_ctx: *mut c_void, sid: u64, data: NrBytes) -> NrStatus {
    // SAFETY: the host passes back what the info carries; the view is valid for this call.
    let ((script, api), data) = unsafe { (Running::of(plugin_ctx), data.as_slice()) };
    boundary(|| script.stream_data.as_ref().map_or(NrStatus::Unsupported, |f| f(api, sid, data)))
}

unsafe extern "C" fn stream_close(plugin_ctx: *mut c_void, sid: u64) -> NrStatus {
    // SAFETY: the host passes back what the info carries.
    let (script, api) = unsafe { Running::of(plugin_ctx) };
    boundary(|| script.stream_close.as_ref().map_or(NrStatus::Unsupported, |f| f(api, sid)))
}

unsafe extern "C" fn cancel(plugin_ctx: *mut c_void, sid: u64) -> NrStatus {
    // SAFETY: the host passes back what the info carries.
    let (script, api) = unsafe { Running::of(plugin_ctx) };
    boundary(|| script.cancel.as_ref().map_or(NrStatus::Unsupported, |f| f(api, sid)))
}

unsafe extern "C" fn shutdown(plugin_ctx: *mut c_void) {
    // SAFETY: the host passes back what the info carries.
    let (script, api) = unsafe { Running::of(plugin_ctx) };
    if let Some(f) = &script.shutdown {
        f(api);
    }
}

/// An assertion that fails inside the plugin must not unwind into the host: the call fails with
/// `Panic` instead, and the test with it.
fn boundary(f: impl FnOnce() -> NrStatus) -> NrStatus {
    catch_unwind(AssertUnwindSafe(f)).unwrap_or(NrStatus::Panic)
}

/// The host as the plugin sees it; good on any thread, for ever.
#[derive(Clone, Copy)]
pub struct Api {
    host_ctx: *mut c_void,
    api: *const BkHostApi,
}

// SAFETY: the ABI lets any thread use the table and the context, at any time.
unsafe impl Send for Api {}
// SAFETY: as above.
unsafe impl Sync for Api {}

impl Api {
    fn table(&self) -> &'static BkHostApi {
        // SAFETY: the host's table is static.
        unsafe { &*self.api }
    }

    pub fn send(&self, sid: u64, status: NrStatus, payload: &[u8]) -> NrStatus {
        self.send_view(sid, status, NrBytes::from_slice(payload))
    }

    /// `send` of any view.
    pub fn send_view(&self, sid: u64, status: NrStatus, payload: NrBytes) -> NrStatus {
        // SAFETY: the host checks what it can of the view; the callers pass readable memory, or
        // what is refused without being read.
        unsafe { (self.table().send)(self.host_ctx, sid, status, payload) }
    }

    pub fn send_wait(&self, sid: u64, status: NrStatus, payload: &[u8]) -> NrStatus {
        let limit_ms = super::wait::LIMIT.as_millis() as u64;
        let payload = NrBytes::from_slice(payload);
        // SAFETY: the payload is borrowed for the call.
        unsafe { (self.table().send_wait)(self.host_ctx, sid, status, payload, limit_ms) }
    }

    pub fn send_owned(&self, sid: u64, status: NrStatus, payload: NrOwnedBytes) -> NrStatus {
        // SAFETY: the callers' payloads stay readable until they are released.
        unsafe { (self.table().send_owned)(self.host_ctx, sid, status, payload) }
    }

    pub fn lease(&self, sid: u64, cap: u64) -> NrBufferLease {
        // SAFETY: takes numbers.
        unsafe { (self.table().lease_acquire)(self.host_ctx, sid, cap) }
    }

    pub fn commit(&self, sid: u64, token: u64, len: u64) -> NrStatus {
        // SAFETY: takes numbers.
        unsafe { (self.table().lease_commit)(self.host_ctx, sid, NrStatus::Ok, token, len) }
    }

    pub fn release(&self, token: u64) -> NrStatus {
        // SAFETY: takes numbers.
        unsafe { (self.table().lease_release)(self.host_ctx, token) }
    }

    pub fn stream_ready(&self, sid: u64) -> NrStatus {
        // SAFETY: takes numbers.
        unsafe { (self.table().stream_ready)(self.host_ctx, sid) }
    }

    pub fn state_set(&self, sid: u64, key: &str, value: &[u8]) -> NrStatus {
        let (key, value) = (NrStr::from_str(key), NrBytes::from_slice(value));
        // SAFETY: the views are borrowed for the call.
        unsafe { (self.table().state_set)(self.host_ctx, sid, key, value) }
    }

    /// The value, or the status that came instead.
    pub fn state_get(&self, sid: u64, key: &str) -> Result<Vec<u8>, NrStatus> {
        let mut buffer = vec![0; 256];
        let mut len = 0;
        let key = NrStr::from_str(key);
        let cap = buffer.len() as u64;
        // SAFETY: the buffer has `cap` bytes, and `len` is ours to write.
        let status = unsafe {
            (self.table().state_get)(self.host_ctx, sid, key, buffer.as_mut_ptr(), cap, &mut len)
        };
        if !status.is_ok() {
            return Err(status);
        }
        buffer.truncate(len as usize);
        Ok(buffer)
    }

    pub fn is_cancelled(&self, sid: u64) -> bool {
        // SAFETY: takes numbers.
        unsafe { (self.table().is_cancelled)(self.host_ctx, sid) == 1 }
    }

    pub fn remaining_ms(&self, sid: u64) -> u64 {
        // SAFETY: takes numbers.
        unsafe { (self.table().remaining_ms)(self.host_ctx, sid) }
    }

    pub fn metric(&self, kind: u32, name: &str) -> u32 {
        let name = NrStr::from_str(name);
        // SAFETY: the views are borrowed for the call.
        unsafe { (self.table().metric_register)(self.host_ctx, kind, name, NrStr::EMPTY) }
    }

    /// Starts a timer that runs `f` once.
    pub fn timer(&self, delay_ms: u64, f: impl FnOnce() + Send + 'static) -> u64 {
        let boxed: Box<Box<dyn FnOnce() + Send>> = Box::new(Box::new(f));
        let user_data = Box::into_raw(boxed).cast();
        let callback: BkTimerFn = run;
        // SAFETY: the function takes what it was given here, once. A timer that never runs leaks it.
        unsafe { (self.table().timer_start)(self.host_ctx, delay_ms, Some(callback), user_data) }
    }

    pub fn timer_cancel(&self, timer: u64) -> NrStatus {
        // SAFETY: takes numbers.
        unsafe { (self.table().timer_cancel)(self.host_ctx, timer) }
    }
}

unsafe extern "C" fn run(user_data: *mut c_void) {
    // SAFETY: made by `Api::timer` for this one run.
    let f = unsafe { Box::from_raw(user_data.cast::<Box<dyn FnOnce() + Send>>()) };
    f();
}
