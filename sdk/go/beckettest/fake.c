/* SPDX-License-Identifier: BSD-3-Clause */
#include "fake.h"

#include <string.h>

#include "_cgo_export.h"

/* host_ctx is a small number: a plugin in Go must bear that. */
static uint32_t number(void *host_ctx) { return (uint32_t)(uintptr_t)host_ctx; }

static NrStatus on_send(void *ctx, uint64_t sid, NrStatus status, NrBytes data) {
    return bkFakeSend(number(ctx), sid, status, (uint8_t *)data.ptr, data.len);
}

static void on_send_result(void *ctx, uint64_t sid, NrStatus status, NrBytes data) {
    bkFakeSend(number(ctx), sid, status, (uint8_t *)data.ptr, data.len);
}

static NrBufferLease on_lease_acquire(void *ctx, uint64_t sid, uint64_t cap) {
    uint8_t *ptr = bkFakeLease(number(ctx), sid, cap);
    NrBufferLease lease = {ptr, ptr == NULL ? 0 : cap, (uint64_t)(uintptr_t)ptr};
    return lease;
}

static NrStatus on_lease_commit(void *ctx, uint64_t sid, NrStatus status, uint64_t token,
                                uint64_t len) {
    return bkFakeCommit(number(ctx), sid, status, token, len);
}

static NrStatus on_lease_release(void *ctx, uint64_t token) {
    return bkFakeRelease(number(ctx), token);
}

static NrStatus on_stream_ready(void *ctx, uint64_t sid) {
    return bkFakeReady(number(ctx), sid);
}

static NrStatus on_state_set(void *ctx, uint64_t sid, NrStr key, NrBytes value) {
    return bkFakeStateSet(number(ctx), sid, (uint8_t *)key.ptr, key.len, (uint8_t *)value.ptr,
                          value.len);
}

static NrStatus on_state_get(void *ctx, uint64_t sid, NrStr key, uint8_t *buf, uint64_t cap,
                             uint64_t *len_out) {
    return bkFakeStateGet(number(ctx), sid, (uint8_t *)key.ptr, key.len, buf, cap, len_out);
}

static uint32_t on_is_cancelled(void *ctx, uint64_t sid) {
    return bkFakeIsCancelled(number(ctx), sid);
}

static uint64_t on_remaining_ms(void *ctx, uint64_t sid) {
    return bkFakeRemaining(number(ctx), sid);
}

static uint32_t on_log_enabled(void *ctx, uint32_t level) {
    (void)ctx;
    return level <= BK_LOG_DEBUG;
}

static void on_log(void *ctx, uint32_t level, NrStr target, NrStr message) {
    bkFakeLog(number(ctx), level, (uint8_t *)target.ptr, target.len, (uint8_t *)message.ptr,
              message.len);
}

static uint32_t on_metric_register(void *ctx, uint32_t kind, NrStr name, NrStr help) {
    (void)help;
    return bkFakeMetric(number(ctx), kind, (uint8_t *)name.ptr, name.len);
}

static NrStatus on_counter_add(void *ctx, uint32_t metric, uint64_t delta) {
    return bkFakeRecord(number(ctx), metric, BK_METRIC_COUNTER, (double)delta);
}

static NrStatus on_gauge_set(void *ctx, uint32_t metric, double value) {
    return bkFakeRecord(number(ctx), metric, BK_METRIC_GAUGE, value);
}

static NrStatus on_histogram_record(void *ctx, uint32_t metric, double value) {
    return bkFakeRecord(number(ctx), metric, BK_METRIC_HISTOGRAM, value);
}

static NrStr on_config(void *ctx) {
    NrStr text = {NULL, 0, 0};
    bkFakeConfig(number(ctx), NULL, 0, &text);
    return text;
}

static NrStr on_config_get(void *ctx, NrStr key) {
    NrStr text = {NULL, 0, 0};
    bkFakeConfig(number(ctx), (uint8_t *)key.ptr, key.len, &text);
    return text;
}

static const NrHostVTable vtable = {on_send_result};

/* Without timers and send_wait: Go waits by itself. */
static const BkHostApi api = {
    .struct_size = offsetof(BkHostApi, coroutine_current), /* no coroutines for Go */
    .api_version = BK_HOST_API_VERSION,
    .send = on_send,
    .lease_acquire = on_lease_acquire,
    .lease_commit = on_lease_commit,
    .lease_release = on_lease_release,
    .stream_ready = on_stream_ready,
    .state_set = on_state_set,
    .state_get = on_state_get,
    .is_cancelled = on_is_cancelled,
    .remaining_ms = on_remaining_ms,
    .log_enabled = on_log_enabled,
    .log = on_log,
    .metric_register = on_metric_register,
    .counter_add = on_counter_add,
    .gauge_set = on_gauge_set,
    .histogram_record = on_histogram_record,
    .config = on_config,
    .config_get = on_config_get,
};

NrStatus bk_fake_load(const NrPluginInfo *info, uint32_t host, int extras) {
    void *ctx = (void *)(uintptr_t)host;
    if (extras) {
        NrStatus status = info->attach(info->plugin_ctx, ctx, &api);
        if (status != NR_OK)
            return status;
    }
    return info->vtable->init(info->plugin_ctx, ctx, &vtable);
}

void bk_fake_shutdown(const NrPluginInfo *info) { info->vtable->shutdown(info->plugin_ctx); }

void bk_fake_str(NrStr *out, const char *text, uint32_t len) {
    out->ptr = len == 0 ? NULL : (const uint8_t *)text;
    out->len = len;
}

uint32_t bk_fake_resolve(const NrPluginInfo *info, const char *name, uint32_t len) {
    NrStr view = {NULL, 0, 0};
    bk_fake_str(&view, name, len);
    return info->vtable->resolve_entry(info->plugin_ctx, view);
}

NrStatus bk_fake_describe(const NrPluginInfo *info, uint32_t entry, BkEntryInfo *out) {
    memset(out, 0, sizeof *out);
    out->struct_size = sizeof *out;
    return info->vtable->describe(info->plugin_ctx, entry, out);
}

NrStatus bk_fake_handle(const NrPluginInfo *info, uint32_t entry, uint64_t sid,
                        const NrRequest *request, const uint8_t *ptr, uint64_t len) {
    NrBytes payload = {len == 0 ? NULL : ptr, len};
    return info->vtable->handle_by_id(info->plugin_ctx, entry, sid, request, payload);
}

NrStatus bk_fake_stream_data(const NrPluginInfo *info, uint64_t sid, const uint8_t *ptr,
                             uint64_t len) {
    NrBytes data = {len == 0 ? NULL : ptr, len};
    return info->vtable->stream_data(info->plugin_ctx, sid, data);
}

NrStatus bk_fake_stream_close(const NrPluginInfo *info, uint64_t sid) {
    return info->vtable->stream_close(info->plugin_ctx, sid);
}

NrStatus bk_fake_stream_room(const NrPluginInfo *info, uint64_t sid) {
    return info->vtable->stream_room(info->plugin_ctx, sid);
}

NrStatus bk_fake_cancel(const NrPluginInfo *info, uint64_t sid) {
    return info->vtable->cancel(info->plugin_ctx, sid);
}

NrStatus bk_fake_reload(const NrPluginInfo *from, const NrPluginInfo *to) {
    if (from->vtable->reload_export == NULL || to->vtable->reload_import == NULL)
        return NR_UNSUPPORTED;
    NrOwnedBytes state;
    NrStatus status = from->vtable->reload_export(from->plugin_ctx, &state);
    if (status != NR_OK)
        return status;
    NrBytes view = {state.ptr, state.len};
    status = to->vtable->reload_import(to->plugin_ctx, view);
    if (state.release != NULL)
        state.release(state.owner_ctx, state.ptr, state.len);
    return status;
}

uint32_t bk_fake_hostile(const NrPluginInfo *info) {
    void *ctx = info->plugin_ctx;
    const NrPluginVTable *v = info->vtable;
    const uint8_t *dangling = (const uint8_t *)1;
    NrStr name = {NULL, 0, 0};
    NrBytes none = {dangling, 0}; /* empty: its address is never looked at */
    NrBytes null = {NULL, 8};
    NrBytes wraps = {(const uint8_t *)(UINTPTR_MAX - 3), 8};
    NrBytes huge = {dangling, UINT64_MAX};
    NrStr null_text = {NULL, 8, 0};
    NrRequest no_headers = {.headers_len = 1};
    NrHeader header = {.value = null_text};
    NrRequest bad_header = {.headers = &header, .headers_len = 1};
    NrRequest flood = {.headers = &header, .headers_len = UINT32_MAX};
    NrRequest bad_path = {.path = null_text};
    uint32_t step = 0;
#define REFUSED(expression, expected) \
    do {                              \
        step++;                       \
        if ((expression) != (expected)) \
            return step;              \
    } while (0)
    REFUSED(v->handle(ctx, null_text, 1, NULL, none), NR_INVALID);
    REFUSED(v->handle(ctx, name, 1, NULL, none), NR_UNSUPPORTED);
    REFUSED(v->handle_by_id(ctx, 0, 1, NULL, null), NR_INVALID);
    REFUSED(v->handle_by_id(ctx, 0, 1, NULL, wraps), NR_INVALID);
    REFUSED(v->handle_by_id(ctx, 0, 1, NULL, huge), NR_INVALID);
    REFUSED(v->handle_by_id(ctx, UINT32_MAX, 1, NULL, none), NR_UNSUPPORTED);
    REFUSED(v->handle_by_id(ctx, 0, 1, &no_headers, none), NR_INVALID);
    REFUSED(v->handle_by_id(ctx, 0, 1, &bad_header, none), NR_INVALID);
    REFUSED(v->handle_by_id(ctx, 0, 1, &flood, none), NR_INVALID);
    REFUSED(v->handle_by_id(ctx, 0, 1, &bad_path, none), NR_INVALID);
    REFUSED(v->handle_raw(ctx, null_text, 1, none), NR_INVALID);
    REFUSED(v->resolve_entry(ctx, null_text), BK_ENTRY_UNKNOWN);
    REFUSED(v->stream_data(ctx, 77, null), NR_INVALID);
    REFUSED(v->stream_data(ctx, 77, none), NR_INVALID);
    REFUSED(v->stream_close(ctx, 77), NR_INVALID);
    REFUSED(v->stream_room(ctx, 77), NR_INVALID);
    REFUSED(v->cancel(ctx, 77), NR_INVALID);
    REFUSED(v->reload_import(ctx, null), NR_INVALID);
    REFUSED(v->describe(ctx, 0, NULL), NR_INVALID);
    REFUSED(v->handle_by_id(NULL, 0, 1, NULL, none), NR_INVALID);
#undef REFUSED
    return 0;
}
