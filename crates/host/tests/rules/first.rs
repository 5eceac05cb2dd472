// SPDX-License-Identifier: BSD-3-Clause
//! Plugins of the first builds of the ABI, which find the table for state through `host_ctx`.

use becket_abi::NrStatus;
use becket_host::{Host, LoadError, Request};

use crate::support::{native::Workshop, unload_clean, wait::wait};
use crate::{IS_INLINE, spec};

/// Loads a build that looks `offset` bytes behind `host_ctx`, calls and streams with it, and
/// returns the answer of its entry `state`.
fn answer_of(offset: usize) -> String {
    let workshop = Workshop::new();
    let source = format!("#define EXT_AT {offset}\n{}", include_str!("host_ext.c"));
    let host = Host::new();
    let spec = spec("first", &workshop.build("first", &source));
    let plugin = host.load(spec).unwrap();
    assert_eq!(plugin.info().layout, "raw");

    let response = wait(plugin.call("state", Request::new("").path("/kept"))).unwrap();
    assert_eq!(response.status, NrStatus::Ok);

    let request = Request::new("").path("/frames");
    let mut stream = wait(plugin.stream("stream", request)).unwrap();
    for at in 1..=5 {
        let frame = wait(stream.next()).unwrap().unwrap();
        assert_eq!(*frame.body, *format!("Frame {at}/5 from /frames").as_bytes());
    }
    assert!(wait(stream.next()).unwrap().is_none());

    unload_clean(&host, &plugin);
    String::from_utf8(response.body.to_vec()).unwrap()
}

#[test]
fn builds_that_read_the_extension_table_through_host_ctx_keep_state() {
    for offset in [0x30, 0x50] {
        assert_eq!(answer_of(offset), "stored: /kept", "at {offset:#x}");
    }
}

#[test]
fn builds_that_look_elsewhere_find_no_extension() {
    for offset in [0, 0x8, 0x10, 0x18, 0x20, 0x28, 0x38, 0x40, 0x48, 0x58, 0x60, 0x68, 0x70, 0x78] {
        assert_eq!(answer_of(offset), "no extension", "at {offset:#x}");
    }
}

/// A plugin as the published crate 0.1 makes it: no function takes `plugin_ctx`.
const WITHOUT_PLUGIN_CTX: &str = r#"
#include "nylon_ring.h"
#include <stddef.h>
static NrStatus init(void *host_ctx, const void *host_vtable) {
    return host_ctx == NULL || host_vtable == NULL ? NR_INVALID : NR_OK;
}
static NrStatus handle(NrStr entry, uint64_t sid, NrBytes payload) {
    (void)entry, (void)sid, (void)payload;
    return NR_OK;
}
static void shutdown(void) {}
static NrStatus stream_data(uint64_t sid, NrBytes data) { (void)sid, (void)data; return NR_OK; }
static NrStatus stream_close(uint64_t sid) { (void)sid; return NR_OK; }
static void *const vtable[] = {
    (void *)init, (void *)handle, (void *)shutdown, (void *)stream_data, (void *)stream_close};
static struct {
    uint32_t abi_version, struct_size;
    NrStr name, version;
    void *plugin_ctx;
    const void *vtable;
} info = {1, 56, {0}, {0}, NULL, vtable};
NR_EXPORT const NrPluginInfo *nylon_ring_get_plugin_v1(void) { return (const NrPluginInfo *)&info; }
"#;

#[test]
fn a_plugin_of_the_published_crate_is_refused_with_the_true_reason() {
    let workshop = Workshop::new();
    let path = workshop.build("published", WITHOUT_PLUGIN_CTX);
    let error = Host::new().load(spec("published", &path)).unwrap_err();
    let is_typed = matches!(error, LoadError::InitFailed { may_lack_plugin_ctx: true, .. });
    assert_eq!(is_typed, IS_INLINE, "{error:?}");
    assert!(error.cause().unwrap().contains("nylon-ring 0.1.0 to 0.1.4"));
    let hint = error.hint().unwrap();
    assert!(hint.contains("build it again") && !hint.contains("configuration"), "{hint}");
}

/// A plugin of the first builds that counts the views with `NULL` in them. Its Rust siblings end the
/// process there: they make a slice of each, which may be empty and must not be `NULL`.
const COUNTS_NULLS: &str = r#"
#include "nylon_ring.h"
#include <stddef.h>
static void *host_ctx;
static const NrHostVTable *host;
static uint8_t nulls;
static void look(const void *ptr) { nulls += ptr == NULL; }
static void answer(uint64_t sid, NrStatus status) {
    NrBytes bytes = {&nulls, 1};
    host->send_result(host_ctx, sid, status, bytes);
}
static NrStatus init(void *ctx, void *context, const NrHostVTable *table) {
    (void)ctx;
    host_ctx = context;
    host = table;
    return NR_OK;
}
static NrStatus handle(void *ctx, NrStr entry, uint64_t sid, const NrRequest *request, NrBytes payload) {
    (void)ctx, (void)entry;
    nulls = 0;
    look(request->path.ptr), look(request->method.ptr), look(request->query.ptr), look(request->headers);
    for (uint32_t at = 0; at < request->headers_len; at++) {
        look(request->headers[at].key.ptr), look(request->headers[at].value.ptr);
    }
    const NrHostExt *ext = *(const NrHostExt *const *)((const char *)host_ctx + 0x30);
    look(ext->get_state(host_ctx, sid, NR_STR("absent")).ptr);
    look(payload.ptr);
    if (request->headers_len < 2) {
        answer(sid, NR_OK);
    }
    return NR_OK;
}
static NrStatus handle_raw(void *ctx, NrStr entry, uint64_t sid, NrBytes payload) {
    (void)ctx, (void)entry;
    nulls = 0;
    look(payload.ptr);
    answer(sid, NR_OK);
    return NR_OK;
}
static void shutdown(void *ctx) { (void)ctx; }
static NrStatus stream_data(void *ctx, uint64_t sid, NrBytes data) {
    (void)ctx;
    look(data.ptr);
    answer(sid, NR_STREAM_END);
    return NR_OK;
}
static NrStatus stream_close(void *ctx, uint64_t sid) { (void)ctx, (void)sid; return NR_OK; }
static void *const vtable[] = {(void *)init,     (void *)handle,      (void *)handle_raw,
                               (void *)shutdown, (void *)stream_data, (void *)stream_close};
static struct {
    uint32_t abi_version, struct_size;
    NrStr name, version;
    void *plugin_ctx;
    const void *vtable;
} info = {1, 56, {0}, {0}, NULL, vtable};
NR_EXPORT const NrPluginInfo *nylon_ring_get_plugin_v1(void) { return (const NrPluginInfo *)&info; }
"#;

#[test]
fn no_view_is_null_for_plugins_of_the_first_builds() {
    let workshop = Workshop::new();
    let host = Host::new();
    let path = workshop.build("nulls", COUNTS_NULLS);
    let plugin = host.load(spec("nulls", &path)).unwrap();
    for request in [Request::new(""), Request::new("").header("", "")] {
        assert_eq!(*wait(plugin.call("any", request)).unwrap().body, [0]);
    }
    assert_eq!(*wait(plugin.call_raw("any", b"")).unwrap().body, [0]);
    let request = Request::new("").header("a", "").header("", "b");
    let mut stream = wait(plugin.stream("any", request)).unwrap();
    wait(stream.send(b"")).unwrap();
    assert_eq!(*wait(stream.next()).unwrap().unwrap().body, [0]);
    assert!(wait(stream.next()).unwrap().is_none());
    unload_clean(&host, &plugin);
}
