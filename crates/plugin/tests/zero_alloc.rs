// SPDX-License-Identifier: BSD-3-Clause
//! A unary call that is answered inside its handler allocates nothing, through every door.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test says no by panicking")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::ffi::c_void;
use std::ptr;

use becket_plugin::abi::{BkHostApi, NrOwnedBytes};
use becket_plugin::{
    Answered, Call, Entry, Failure, Host, LinkedPlugin, NrBytes, NrHeader, NrHostVTable, NrRequest,
    NrStatus, NrStr, Plugin, define_plugin,
};

struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
    static ANSWERS: Cell<u64> = const { Cell::new(0) };
}

// SAFETY: the system's allocator, with a count beside it.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller's promises, unchanged.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        // SAFETY: the caller's promises, unchanged.
        unsafe { System.dealloc(ptr, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

struct Quick;

impl Plugin for Quick {
    const NAME: &'static str = "quick";
    const VERSION: &'static str = "1";
    const ENTRIES: &'static [Entry<Self>] = &[
        Entry::unary("empty", "", |_, call| Ok(call.answer(b""))),
        Entry::unary("echo", "", Self::echo),
        Entry::unary("static", "", |_, call| Ok(call.answer_owned("static"))),
        Entry::unary("refuse", "", |_, call| Ok(call.refuse(NrStatus::Err))),
    ];

    fn start(_: Host) -> Result<Self, Failure> {
        Ok(Self)
    }
}

impl Quick {
    fn echo(&self, call: Call<'_>) -> Result<Answered, Failure> {
        let payload = call.payload();
        assert_eq!(call.request().header("X-Id").unwrap_or("7"), "7");
        Ok(call.answer(payload))
    }
}

mod safe {
    use super::*;
    define_plugin! { plugin: Quick, export: false }
}

mod bare {
    use super::*;

    unsafe fn empty(_: *mut c_void, sid: u64, _: *const NrRequest, _: NrBytes) -> NrStatus {
        // SAFETY: this test's host looks at no context.
        unsafe { send_result(ptr::null_mut(), sid, NrStatus::Ok, NrBytes::EMPTY) };
        NrStatus::Ok
    }

    define_plugin! {
        entries: { "empty" => empty, "echo" => empty, "static" => empty, "refuse" => empty },
        export: false,
    }
}

unsafe extern "C" fn send_result(_: *mut c_void, _: u64, _: NrStatus, _: NrBytes) {
    ANSWERS.set(ANSWERS.get() + 1);
}

unsafe extern "C" fn send(_: *mut c_void, _: u64, _: NrStatus, _: NrBytes) -> NrStatus {
    ANSWERS.set(ANSWERS.get() + 1);
    NrStatus::Ok
}

unsafe extern "C" fn send_owned(
    _: *mut c_void,
    _: u64,
    _: NrStatus,
    owned: NrOwnedBytes,
) -> NrStatus {
    assert!(owned.release.is_none(), "static bytes have nothing to release");
    ANSWERS.set(ANSWERS.get() + 1);
    NrStatus::Ok
}

static TABLE: NrHostVTable = NrHostVTable { send_result };

fn calls_allocate_nothing(plugin: LinkedPlugin, api: Option<&'static BkHostApi>) {
    // SAFETY: the ABI's calls, in the ABI's order, with tables that are statics.
    unsafe {
        let info = *plugin.info();
        let table = *info.vtable;
        let ctx = info.plugin_ctx;
        if let Some(api) = api {
            assert!(info.attach.unwrap()(ctx, ptr::null_mut(), api).is_ok());
        }
        assert!(table.init.unwrap()(ctx, ptr::null_mut(), &TABLE).is_ok());

        let headers = [NrHeader::new("accept", "*/*"), NrHeader::new("x-id", "7")];
        let request = NrRequest::build("GET", "/path", "q=1", &headers);
        let body = NrBytes::from_slice(&[7; 64]);
        let (allocations, answers) = (ALLOCATIONS.get(), ANSWERS.get());
        for round in 0..1000 {
            for (id, name) in (0..).zip(["empty", "echo", "static", "refuse"]) {
                let name = NrStr::from_str(name);
                assert_eq!(table.resolve_entry.unwrap()(ctx, name), id);
                table.handle_by_id.unwrap()(ctx, id, round, &request, body);
                table.handle.unwrap()(ctx, name, round, &request, body);
                table.handle_raw.unwrap()(ctx, name, round, body);
            }
        }
        assert_eq!(ALLOCATIONS.get() - allocations, 0);
        assert!(ANSWERS.get() - answers >= 9000);
        if let Some(shutdown) = table.shutdown {
            shutdown(ctx);
        }
    }
}

#[test]
fn of_a_type() {
    // A host with `send_result` alone.
    calls_allocate_nothing(safe::PLUGIN, None);
}

#[test]
fn of_functions() {
    calls_allocate_nothing(bare::PLUGIN, None);
}

#[test]
fn of_a_type_on_a_host_with_everything() {
    calls_allocate_nothing(safe::PLUGIN, Some(full_table()));
}

/// A full table whose answers are counted; this test calls nothing else of it.
fn full_table() -> &'static BkHostApi {
    let mut words = [0_usize; size_of::<BkHostApi>() / size_of::<usize>()];
    // Every slot must hold a function; those that are never called may be any.
    words.fill(send as *const () as usize);
    // SAFETY: same size, each slot a function's address, the first word the sizes.
    let mut api: BkHostApi = unsafe { std::mem::transmute(words) };
    api.struct_size = size_of::<BkHostApi>() as u32;
    api.send = send;
    api.send_owned = send_owned;
    Box::leak(Box::new(api))
}
