// SPDX-License-Identifier: BSD-3-Clause
//! A call that is answered inside `handle` allocates nothing: neither on the way in nor on the
//! way out, for payloads of up to 64 bytes, on the caller's thread.
//!
//! The allocator counts for the thread that asks, so the host's own threads do not disturb.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests fail as tests do"
)]

#[path = "support/mod.rs"]
mod support;

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
};

use becket_host::{Dispatch, Host, Limits, Plugin, Request};

use crate::support::{
    script::{Script, linked as scripted},
    unload_clean,
};

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

struct Counting;

// SAFETY: everything is the system allocator's; the count beside it allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let _ = ALLOCATIONS.try_with(|count| count.set(count.get() + 1));
        // SAFETY: the caller's promise, unchanged.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise, unchanged.
        unsafe { System.dealloc(ptr, layout) }
    }

    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        let _ = ALLOCATIONS.try_with(|count| count.set(count.get() + 1));
        // SAFETY: the caller's promise, unchanged.
        unsafe { System.realloc(ptr, layout, new_size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const CALLS: u64 = 1000;

/// Asserts that `call` allocates nothing once it has run a few times.
fn allocates_nothing(what: &str, mut call: impl FnMut()) {
    for _ in 0..200 {
        call();
    }
    let before = ALLOCATIONS.get();
    for _ in 0..CALLS {
        call();
    }
    let allocations = ALLOCATIONS.get() - before;
    assert_eq!(allocations, 0, "{what}: {allocations} allocations in {CALLS} calls");
}

/// A thread that the system runs others in place of is not taken for one that is stuck: its calls would
/// be moved to workers, whose cost is another.
fn unhurried() -> Limits {
    Limits { block_report_ms: 3_600_000, ..Limits::default() }
}

fn every_way_to_call(plugin: &Plugin, dispatch: &str) {
    let entry = plugin.entry("echo").unwrap();
    for len in [0, 1, 64] {
        let payload = vec![7; len];
        let payload = payload.as_slice();
        let name = |way: &str| format!("{way}, {len} bytes, dispatch {dispatch}");
        allocates_nothing(&name("notify"), || plugin.notify("echo", payload).unwrap());
        allocates_nothing(&name("Entry::notify"), || entry.notify(payload).unwrap());
        allocates_nothing(&name("call_now"), || {
            assert_eq!(*plugin.call_now("echo", payload).unwrap().body, *payload);
        });
        allocates_nothing(&name("Entry::call_now"), || {
            assert_eq!(*entry.call_now(payload).unwrap().body, *payload);
        });
        allocates_nothing(&name("call_raw"), || {
            let response = futures_lite::future::block_on(plugin.call_raw("echo", payload));
            assert_eq!(*response.unwrap().body, *payload);
        });
        allocates_nothing(&name("Entry::call_raw"), || {
            let response = futures_lite::future::block_on(entry.call_raw(payload));
            assert_eq!(*response.unwrap().body, *payload);
        });
        let request = Request::new(payload.to_vec()).method("GET").path("/").header("a", "b");
        allocates_nothing(&name("call with a lent request"), || {
            let response = futures_lite::future::block_on(entry.call(&request));
            assert_eq!(*response.unwrap().body, *payload);
        });
    }
}

#[test]
fn calls_on_the_callers_thread_allocate_nothing() {
    let host = Host::new();
    let (plugin, _) = Script::echo()
        .load_with(&host, "echo", |spec| spec.dispatch(Dispatch::Caller).limits(unhurried()));
    every_way_to_call(&plugin, "caller");
    unload_clean(&host, &plugin);
}

#[test]
fn calls_of_a_plugin_that_never_blocks_allocate_nothing() {
    let host = Host::new();
    host.set_executor(2, drop);
    let (plugin, _) =
        Script::echo().never_blocks().load_with(&host, "echo", |spec| spec.limits(unhurried()));
    every_way_to_call(&plugin, "auto");
    unload_clean(&host, &plugin);
}
