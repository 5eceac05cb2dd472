// SPDX-License-Identifier: BSD-3-Clause
//! `define_plugin!` over functions: each arm does what it says, and panics end at the boundary.
//!
//! A program of its own: the panics that are counted are those of the process.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test says no by panicking")]

use std::ffi::c_void;
use std::sync::atomic::{AtomicPtr, AtomicU64, Ordering};

use becket_plugin::testing::{FakeHost, Limits};
use becket_plugin::{
    BK_PLUGIN_THREAD_SAFE, BkHostApi, LinkedPlugin, NrBytes, NrHostVTable, NrOwnedBytes, NrRequest,
    NrStatus, NrStr, define_plugin, panics_caught,
};

static HOST: AtomicPtr<c_void> = AtomicPtr::new(std::ptr::null_mut());
static TABLE: AtomicPtr<NrHostVTable> = AtomicPtr::new(std::ptr::null_mut());
static ATTACHED: AtomicU64 = AtomicU64::new(0);
static ROOMS: AtomicU64 = AtomicU64::new(0);
static CANCELLED: AtomicU64 = AtomicU64::new(0);
static STATE: &[u8] = b"state";

// The names of these functions are those of the vtable, on purpose: the macro's own items must not
// hide them.

unsafe fn init(_: *mut c_void, host: *mut c_void, table: *const NrHostVTable) -> NrStatus {
    HOST.store(host, Ordering::Release);
    TABLE.store(table.cast_mut(), Ordering::Release);
    NrStatus::Ok
}

unsafe fn attach(_: *mut c_void, _: *mut c_void, _: *const BkHostApi) -> NrStatus {
    ATTACHED.fetch_add(1, Ordering::AcqRel);
    NrStatus::Ok
}

unsafe fn shutdown(_: *mut c_void) {}

fn answer(sid: u64, status: NrStatus, body: &[u8]) {
    // SAFETY: `init` stored both; the fake host's tables are never freed.
    unsafe {
        let table = TABLE.load(Ordering::Acquire);
        let send = (*table).send_result;
        send(HOST.load(Ordering::Acquire), sid, status, NrBytes::from_slice(body));
    }
}

unsafe fn handle(_: *mut c_void, sid: u64, request: *const NrRequest, _: NrBytes) -> NrStatus {
    answer(sid, NrStatus::Ok, if request.is_null() { b"none" } else { b"some" });
    NrStatus::Ok
}

unsafe fn handle_raw(_: *mut c_void, sid: u64, payload: NrBytes) -> NrStatus {
    // SAFETY: the host's view, valid for the call.
    answer(sid, NrStatus::Ok, unsafe { payload.as_slice() });
    NrStatus::Ok
}

unsafe fn twice(_: *mut c_void, sid: u64, _: NrBytes) -> NrStatus {
    answer(sid, NrStatus::Ok, b"one");
    answer(sid, NrStatus::Ok, b"two");
    answer(sid ^ 1, NrStatus::Ok, b"whose?");
    NrStatus::Ok
}

unsafe fn explode(_: *mut c_void, _: u64, _: NrBytes) -> NrStatus {
    panic!("on request")
}

unsafe fn open(_: *mut c_void, _: u64, _: NrBytes) -> NrStatus {
    NrStatus::Ok
}

unsafe fn stream_data(_: *mut c_void, sid: u64, data: NrBytes) -> NrStatus {
    // SAFETY: the host's view, valid for the call.
    answer(sid, NrStatus::Ok, unsafe { data.as_slice() });
    NrStatus::Ok
}

unsafe fn stream_close(_: *mut c_void, sid: u64) -> NrStatus {
    answer(sid, NrStatus::StreamEnd, b"");
    NrStatus::Ok
}

unsafe fn stream_room(_: *mut c_void, _: u64) -> NrStatus {
    ROOMS.fetch_add(1, Ordering::AcqRel);
    NrStatus::Ok
}

unsafe fn cancel(_: *mut c_void, _: u64) -> NrStatus {
    CANCELLED.fetch_add(1, Ordering::AcqRel);
    NrStatus::Ok
}

unsafe fn export(_: *mut c_void, out: *mut NrOwnedBytes) -> NrStatus {
    let owned =
        NrOwnedBytes { ptr: STATE.as_ptr(), len: STATE.len() as u64, ..NrOwnedBytes::EMPTY };
    // SAFETY: the host passes room for one.
    unsafe { out.write(owned) };
    NrStatus::Ok
}

unsafe fn import(_: *mut c_void, state: NrBytes) -> NrStatus {
    // SAFETY: the host's view, valid for the call.
    if unsafe { state.as_slice() } == STATE { NrStatus::Ok } else { NrStatus::Invalid }
}

mod full {
    use super::*;
    // In an order of its own.
    define_plugin! {
        version: "9.9",
        cancel: cancel,
        stream_room: stream_room,
        reload: { export: export, import: import },
        raw_entries: { "raw" => handle_raw, "twice" => twice, "explode" => explode, "open" => open },
        init: init,
        flags: BK_PLUGIN_THREAD_SAFE,
        stream_handlers: { data: stream_data, close: stream_close },
        entries: {
            "request" => handle,
        },
        export: false,
        name: "bare",
        config_default: "{}",
        attach: attach,
        shutdown: shutdown,
    }
}

mod least {
    use super::*;
    define_plugin! { entries: { "request" => handle } , export: cfg(any()) }
}

fn text(view: NrStr) -> &'static str {
    // SAFETY: the info's texts are the plugin's constants.
    unsafe { view.as_str() }
}

fn host(plugin: LinkedPlugin) -> FakeHost {
    FakeHost::builder().linked(plugin).build().unwrap()
}

// One test: the plugin keeps its host in statics, as bare plugins do.
#[test]
fn every_arm_does_what_it_says() {
    // SAFETY: a `LinkedPlugin`'s info is valid for the process.
    let info = unsafe { *full::PLUGIN.info() };
    assert_eq!((text(info.name), text(info.version)), ("bare", "9.9"));
    assert_eq!((info.flags, text(info.config_default)), (BK_PLUGIN_THREAD_SAFE, "{}"));

    let limits = Limits { stream_frames_max: 1, ..Limits::DEFAULT };
    let host =
        FakeHost::builder().linked(full::PLUGIN).limits(limits).import(STATE).build().unwrap();
    assert_eq!(ATTACHED.load(Ordering::Acquire), 1);
    assert_eq!(host.entries(), ["request", "raw", "twice", "explode", "open"]);
    assert_eq!(host.call("request", b"").body, b"none");
    let request = becket_plugin::testing::TestRequest::new("GET", "/");
    assert_eq!(host.call_with("request", &request, b"").body, b"some");
    assert_eq!(host.call("raw", b"bytes").body, b"bytes");
    assert_eq!(host.call("absent", b"").status, NrStatus::Unsupported);
    assert_eq!(host.export().as_deref(), Some(STATE));

    let stream = host.stream("open", b"");
    assert_eq!(stream.send(b"ping"), NrStatus::Ok);
    assert_eq!(stream.send(b"no room"), NrStatus::Ok);
    assert_eq!(ROOMS.load(Ordering::Acquire), 0);
    assert_eq!(stream.next().unwrap().body, b"ping");
    assert_eq!(ROOMS.load(Ordering::Acquire), 1);
    assert_eq!(stream.close(), NrStatus::Ok);
    assert_eq!(stream.collect(), Vec::<Vec<u8>>::new());
    assert_eq!(host.start("open", b"").cancel(), NrStatus::Ok);
    assert_eq!(CANCELLED.load(Ordering::Acquire), 1);

    let before = panics_caught();
    assert_eq!(host.call("explode", b"").status, NrStatus::Panic);
    assert_eq!(panics_caught(), before + 1);
    assert_eq!(host.logs().last().unwrap().message, "caught in handle_by_id: on request");
    assert!(host.violations().is_empty());

    // The fake host reports what a real one would count.
    assert_eq!(host.call("twice", b"").body, b"one");
    assert_eq!(host.violations().len(), 2, "{:?}", host.violations());
    assert!(!host.finish().is_clean());

    let refused = FakeHost::builder().linked(full::PLUGIN).import("other").build().unwrap_err();
    assert_eq!(refused.status, NrStatus::Invalid);

    // Everything but the entries has a default.
    // SAFETY: as above.
    let info = unsafe { *least::PLUGIN.info() };
    assert_eq!((text(info.name), info.flags), ("becket-plugin", 0));
    let bare = self::host(least::PLUGIN);
    assert_eq!(bare.entries(), ["request"]);
}
