/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Between the host and Go.
 *
 *   host ──vtable──> on_handle (C) ──> bkGoHandle (Go)      views are checked here
 *   host <──api───── bk_go_send (C) <── Go                  host pointers stay here
 *
 * Invariants
 * 1. Go sees no pointer that was not checked: a view is empty (NULL, 0), or it
 *    has an address, and its range does not wrap. Go's stack scanner aborts the
 *    process when it finds a small integer in a pointer's place.
 * 2. Go keeps no pointer of the host. host_ctx and the tables live in
 *    BkGoInstance, in C memory, which is never freed: a late goroutine may use
 *    it after shutdown.
 * 3. No Go pointer stays in C: every callee copies before it returns.
 */
#include "abi.h"

#include <stdlib.h>
#include <string.h>

#include "_cgo_export.h"

/* More headers than this in one request are refused. */
#define HEADERS_MAX 65536u

/* -- Views ---------------------------------------------------------------- */

static int view_ok(const void *ptr, uint64_t len) {
    if (len == 0)
        return 1;
    return ptr != NULL && len <= INT64_MAX && (uint64_t)(uintptr_t)ptr + len >= len;
}

static int request_ok(const NrRequest *r) {
    if (r == NULL)
        return 1;
    if (!view_ok(r->path.ptr, r->path.len) || !view_ok(r->method.ptr, r->method.len) ||
        !view_ok(r->query.ptr, r->query.len))
        return 0;
    if (r->headers_len == 0)
        return 1;
    if (r->headers == NULL || r->headers_len > HEADERS_MAX)
        return 0;
    for (uint32_t i = 0; i < r->headers_len; i++) {
        const NrHeader *h = &r->headers[i];
        if (!view_ok(h->key.ptr, h->key.len) || !view_ok(h->value.ptr, h->value.len))
            return 0;
    }
    return 1;
}

/* The address of a checked view, in the type that cgo exports. */
static uint8_t *at(const uint8_t *ptr, uint64_t len) {
    return len == 0 ? NULL : (uint8_t *)ptr;
}

static NrStr str(const char *text, uint32_t len) {
    NrStr s = {len == 0 ? NULL : (const uint8_t *)text, len, 0};
    return s;
}

static NrBytes bytes(const uint8_t *ptr, uint64_t len) {
    NrBytes b = {len == 0 ? NULL : ptr, len};
    return b;
}

/* -- From the host to Go -------------------------------------------------- */

/* By way of Go, and so after every func init has run. */
const NrPluginInfo *nylon_ring_get_plugin_v1(void) {
    return bkGoPlugin();
}

static NrStatus on_attach(void *ctx, void *host_ctx, const BkHostApi *api) {
    BkGoInstance *self = ctx;
    if (self == NULL || api == NULL)
        return NR_INVALID;
    uint32_t size = api->struct_size;
    memset(&self->api, 0, sizeof self->api);
    memcpy(&self->api, api, size < sizeof self->api ? size : sizeof self->api);
    self->host_ctx = host_ctx;
    self->has_api = 1;
    __atomic_store_n(&self->attached, 1, __ATOMIC_RELEASE);
    return bkGoAttach(self->index);
}

static NrStatus on_init(void *ctx, void *host_ctx, const NrHostVTable *host) {
    BkGoInstance *self = ctx;
    if (self == NULL || host == NULL)
        return NR_INVALID;
    if (!self->has_api)
        memset(&self->api, 0, sizeof self->api);
    self->has_api = 0;
    self->host_ctx = host_ctx;
    self->host = host;
    __atomic_store_n(&self->attached, 1, __ATOMIC_RELEASE);
    return bkGoInit(self->index);
}

static void on_shutdown(void *ctx) {
    BkGoInstance *self = ctx;
    if (self != NULL)
        bkGoShutdown(self->index);
}

static NrStatus on_handle(void *ctx, NrStr entry, uint64_t sid, const NrRequest *request,
                          NrBytes payload) {
    BkGoInstance *self = ctx;
    if (self == NULL || !view_ok(entry.ptr, entry.len) || !view_ok(payload.ptr, payload.len) ||
        !request_ok(request))
        return NR_INVALID;
    return bkGoHandle(self->index, at(entry.ptr, entry.len), entry.len, sid, (NrRequest *)request,
                      at(payload.ptr, payload.len), payload.len);
}

static NrStatus on_handle_raw(void *ctx, NrStr entry, uint64_t sid, NrBytes payload) {
    return on_handle(ctx, entry, sid, NULL, payload);
}

static uint32_t on_resolve_entry(void *ctx, NrStr name) {
    BkGoInstance *self = ctx;
    if (self == NULL || !view_ok(name.ptr, name.len))
        return BK_ENTRY_UNKNOWN;
    return bkGoResolve(self->index, at(name.ptr, name.len), name.len);
}

static NrStatus on_handle_by_id(void *ctx, uint32_t id, uint64_t sid, const NrRequest *request,
                                NrBytes payload) {
    BkGoInstance *self = ctx;
    if (self == NULL || !view_ok(payload.ptr, payload.len) || !request_ok(request))
        return NR_INVALID;
    return bkGoHandleByID(self->index, id, sid, (NrRequest *)request,
                          at(payload.ptr, payload.len), payload.len);
}

static NrStatus on_stream_data(void *ctx, uint64_t sid, NrBytes data) {
    BkGoInstance *self = ctx;
    if (self == NULL || !view_ok(data.ptr, data.len))
        return NR_INVALID;
    return bkGoStreamData(self->index, sid, at(data.ptr, data.len), data.len);
}

static NrStatus on_stream_close(void *ctx, uint64_t sid) {
    BkGoInstance *self = ctx;
    return self == NULL ? NR_INVALID : bkGoStreamClose(self->index, sid);
}

static NrStatus on_stream_room(void *ctx, uint64_t sid) {
    BkGoInstance *self = ctx;
    return self == NULL ? NR_INVALID : bkGoStreamRoom(self->index, sid);
}

static NrStatus on_cancel(void *ctx, uint64_t sid) {
    BkGoInstance *self = ctx;
    return self == NULL ? NR_INVALID : bkGoCancel(self->index, sid);
}

static NrStatus on_describe(void *ctx, uint32_t entry, BkEntryInfo *out) {
    BkGoInstance *self = ctx;
    if (self == NULL || out == NULL || out->struct_size < sizeof *out)
        return NR_INVALID;
    return bkGoDescribe(self->index, entry, out);
}

static NrStatus on_reload_export(void *ctx, NrOwnedBytes *out) {
    BkGoInstance *self = ctx;
    if (self == NULL || out == NULL)
        return NR_INVALID;
    memset(out, 0, sizeof *out);
    return bkGoReloadExport(self->index, out);
}

static NrStatus on_reload_import(void *ctx, NrBytes state) {
    BkGoInstance *self = ctx;
    if (self == NULL || !view_ok(state.ptr, state.len))
        return NR_INVALID;
    return bkGoReloadImport(self->index, at(state.ptr, state.len), state.len);
}

static const NrPluginVTable vtable = {
    .init = on_init,
    .handle = on_handle,
    .shutdown = on_shutdown,
    .stream_data = on_stream_data,
    .stream_close = on_stream_close,
    .handle_raw = on_handle_raw,
    .resolve_entry = on_resolve_entry,
    .handle_by_id = on_handle_by_id,
    .describe = on_describe,
    .cancel = on_cancel,
    .reload_export = on_reload_export,
    .reload_import = on_reload_import,
    .stream_room = on_stream_room,
};

BkGoInstance *bk_go_instance_new(uint32_t index, const char *name, uint32_t name_len,
                                 const char *version, uint32_t version_len, const char *config,
                                 uint32_t config_len, int exports, int imports,
                                 int never_blocks) {
    BkGoInstance *self = calloc(1, sizeof *self);
    if (self == NULL)
        return NULL;
    self->index = index;
    self->info.abi_version = NR_ABI_VERSION;
    self->info.struct_size = sizeof self->info;
    self->info.name = str(name, name_len);
    self->info.version = str(version, version_len);
    self->info.plugin_ctx = self;
    self->vtable = vtable;
    if (!exports)
        self->vtable.reload_export = NULL;
    if (!imports)
        self->vtable.reload_import = NULL;
    self->info.vtable = &self->vtable;
    self->info.vtable_size = sizeof self->vtable;
    /* Not MAY_UNLOAD: the threads of a Go runtime never end. */
    self->info.flags = BK_PLUGIN_THREAD_SAFE | (never_blocks ? BK_PLUGIN_NEVER_BLOCKS : 0);
    self->info.config_default = str(config, config_len);
    self->info.attach = on_attach;
    return self;
}

void bk_go_set_str(NrStr *out, const char *text, uint32_t len) {
    *out = str(text, len);
}

static void free_export(void *owner_ctx, const uint8_t *ptr, uint64_t len) {
    (void)ptr;
    (void)len;
    free(owner_ctx);
}

NrStatus bk_go_export(NrOwnedBytes *out, const uint8_t *ptr, uint64_t len) {
    if (len == 0)
        return NR_OK;
    uint8_t *copy = malloc(len);
    if (copy == NULL)
        return NR_BACKPRESSURE;
    memcpy(copy, ptr, len);
    out->ptr = copy;
    out->len = len;
    out->owner_ctx = copy;
    out->release = free_export;
    return NR_OK;
}

/* -- From Go to the host -------------------------------------------------- */

/* The host's function, or NULL: not attached yet, or an older host. */
#define HOST_FN(self, function) \
    (__atomic_load_n(&(self)->attached, __ATOMIC_ACQUIRE) ? (self)->api.function : NULL)

NrStatus bk_go_send(BkGoInstance *self, uint64_t sid, NrStatus status, const uint8_t *ptr,
                    uint64_t len) {
    if (!__atomic_load_n(&self->attached, __ATOMIC_ACQUIRE))
        return NR_INVALID;
    if (self->api.send != NULL)
        return self->api.send(self->host_ctx, sid, status, bytes(ptr, len));
    if (self->host == NULL)
        return NR_INVALID;
    self->host->send_result(self->host_ctx, sid, status, bytes(ptr, len));
    return NR_OK;
}

NrBufferLease bk_go_lease_acquire(BkGoInstance *self, uint64_t sid, uint64_t cap) {
    NrBufferLease refused = {NULL, 0, 0};
    if (HOST_FN(self, lease_acquire) == NULL || HOST_FN(self, lease_commit) == NULL)
        return refused;
    NrBufferLease lease = self->api.lease_acquire(self->host_ctx, sid, cap);
    return lease.token == 0 || lease.ptr == NULL ? refused : lease;
}

NrStatus bk_go_lease_commit(BkGoInstance *self, uint64_t sid, NrStatus status, uint64_t token,
                            uint64_t len) {
    if (HOST_FN(self, lease_commit) == NULL)
        return NR_UNSUPPORTED;
    return self->api.lease_commit(self->host_ctx, sid, status, token, len);
}

NrStatus bk_go_lease_release(BkGoInstance *self, uint64_t token) {
    if (HOST_FN(self, lease_release) == NULL)
        return NR_UNSUPPORTED;
    return self->api.lease_release(self->host_ctx, token);
}

NrStatus bk_go_stream_ready(BkGoInstance *self, uint64_t sid) {
    if (HOST_FN(self, stream_ready) == NULL)
        return NR_UNSUPPORTED;
    return self->api.stream_ready(self->host_ctx, sid);
}

NrStatus bk_go_state_set(BkGoInstance *self, uint64_t sid, const char *key, uint32_t key_len,
                         const uint8_t *ptr, uint64_t len) {
    if (HOST_FN(self, state_set) == NULL)
        return NR_UNSUPPORTED;
    return self->api.state_set(self->host_ctx, sid, str(key, key_len), bytes(ptr, len));
}

BkGoState bk_go_state_get(BkGoInstance *self, uint64_t sid, const char *key, uint32_t key_len,
                          uint8_t *buf, uint64_t cap) {
    BkGoState got = {NR_UNSUPPORTED, 0};
    if (HOST_FN(self, state_get) != NULL)
        got.status =
            self->api.state_get(self->host_ctx, sid, str(key, key_len), buf, cap, &got.len);
    return got;
}

uint32_t bk_go_is_cancelled(BkGoInstance *self, uint64_t sid) {
    return HOST_FN(self, is_cancelled) == NULL ? 0 : self->api.is_cancelled(self->host_ctx, sid);
}

uint64_t bk_go_remaining_ms(BkGoInstance *self, uint64_t sid) {
    return HOST_FN(self, remaining_ms) == NULL ? BK_NO_DEADLINE
                                               : self->api.remaining_ms(self->host_ctx, sid);
}

uint32_t bk_go_log_enabled(BkGoInstance *self, uint32_t level) {
    return HOST_FN(self, log_enabled) == NULL ? 0 : self->api.log_enabled(self->host_ctx, level);
}

void bk_go_log(BkGoInstance *self, uint32_t level, const char *target, uint32_t target_len,
               const char *message, uint32_t message_len) {
    if (HOST_FN(self, log) != NULL)
        self->api.log(self->host_ctx, level, str(target, target_len), str(message, message_len));
}

uint32_t bk_go_metric_register(BkGoInstance *self, uint32_t kind, const char *name,
                               uint32_t name_len, const char *help, uint32_t help_len) {
    if (HOST_FN(self, metric_register) == NULL)
        return BK_METRIC_UNKNOWN;
    return self->api.metric_register(self->host_ctx, kind, str(name, name_len),
                                     str(help, help_len));
}

NrStatus bk_go_counter_add(BkGoInstance *self, uint32_t metric, uint64_t delta) {
    if (HOST_FN(self, counter_add) == NULL)
        return NR_UNSUPPORTED;
    return self->api.counter_add(self->host_ctx, metric, delta);
}

NrStatus bk_go_gauge_set(BkGoInstance *self, uint32_t metric, double value) {
    if (HOST_FN(self, gauge_set) == NULL)
        return NR_UNSUPPORTED;
    return self->api.gauge_set(self->host_ctx, metric, value);
}

NrStatus bk_go_histogram_record(BkGoInstance *self, uint32_t metric, double value) {
    if (HOST_FN(self, histogram_record) == NULL)
        return NR_UNSUPPORTED;
    return self->api.histogram_record(self->host_ctx, metric, value);
}

/* The empty view in place of one that Go must not read. */
static NrStr checked(NrStr text) {
    return text.len == 0 || !view_ok(text.ptr, text.len) ? str(NULL, 0) : text;
}

NrStr bk_go_config(BkGoInstance *self) {
    return HOST_FN(self, config) == NULL ? self->info.config_default
                                         : checked(self->api.config(self->host_ctx));
}

NrStr bk_go_config_get(BkGoInstance *self, const char *key, uint32_t key_len) {
    return HOST_FN(self, config_get) == NULL
               ? str(NULL, 0)
               : checked(self->api.config_get(self->host_ctx, str(key, key_len)));
}
