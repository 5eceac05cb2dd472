/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A plugin of either version of the ABI that takes leases and lends bytes, for a worker that ends with them:
 *
 *   lease   keeps a lease of its call, and does not answer: `none` if there is no lease
 *   owned   answers with 5000 owned bytes, whose release writes its process into the file of the payload
 *   pid     answers with its process
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#ifdef V2
#include "nylon_ring_v2.h"
static const NrV2HostVTable *host;
#else
#include "becket.h"
#include "nylon_ring.h"
static const BkHostApi *host;
#endif

static void *host_ctx;
static char place[4096];
static uint8_t bytes[5000];

static void written(void) {
    FILE *file = fopen(place, "a");
    fprintf(file, "%d\n", (int)getpid());
    fclose(file);
}

#ifdef V2
static void drop(uint8_t *ptr, uint64_t len, uint64_t cap) {
    (void)ptr, (void)len, (void)cap;
    written();
}
static NrStatus send(uint64_t sid, const char *text) {
    NrVec vec = {(uint8_t *)text, strlen(text), 0, 0, {0}, NULL};
    return host->send_result(host_ctx, sid, NR_OK, vec);
}
static NrStatus lend(uint64_t sid) {
    NrVec vec = {bytes, sizeof bytes, sizeof bytes, 1, {0}, drop};
    return host->send_result(host_ctx, sid, NR_OK, vec);
}
static NrBufferLease lease(uint64_t sid) { return host->acquire_result_buffer(host_ctx, sid, 64); }
#else
static void release(void *owner, const uint8_t *ptr, uint64_t len) {
    (void)owner, (void)ptr, (void)len;
    written();
}
static NrStatus send(uint64_t sid, const char *text) {
    NrBytes view = {(const uint8_t *)text, strlen(text)};
    return host->send(host_ctx, sid, NR_OK, view);
}
static NrStatus lend(uint64_t sid) {
    NrOwnedBytes owned = {bytes, sizeof bytes, NULL, release};
    return host->send_owned(host_ctx, sid, NR_OK, owned);
}
static NrBufferLease lease(uint64_t sid) { return host->lease_acquire(host_ctx, sid, 64); }
#endif

static int is(NrStr entry, const char *name) {
    return entry.len == strlen(name) && memcmp(entry.ptr, name, entry.len) == 0;
}

static NrStatus run(NrStr entry, uint64_t sid, NrBytes payload) {
    if (is(entry, "lease")) {
        return lease(sid).token == 0 ? send(sid, "none") : NR_OK;
    } else if (is(entry, "owned")) {
        snprintf(place, sizeof place, "%.*s", (int)payload.len, (const char *)payload.ptr);
        return lend(sid);
    }
    char text[32];
    snprintf(text, sizeof text, "%d", (int)getpid());
    return send(sid, text);
}

#ifdef V2
static NrStatus init(void *ctx, const NrV2HostVTable *table) {
    host_ctx = ctx;
    host = table;
    return NR_OK;
}
static NrStatus handle(NrStr entry, uint64_t sid, NrBytes payload) { return run(entry, sid, payload); }
NR_EXPORT const NrV2PluginInfo *nylon_ring_get_plugin(void) {
    static const NrV2PluginVTable vtable = {.init = init, .handle = handle};
    static NrV2PluginInfo info = {.abi_version = NR_V2_ABI_VERSION, .struct_size = sizeof info, .vtable = &vtable};
    return &info;
}
#else
static NrStatus attach(void *ctx, void *context, const BkHostApi *api) {
    (void)ctx;
    host_ctx = context;
    host = api;
    return NR_OK;
}
static NrStatus init(void *ctx, void *context, const NrHostVTable *table) {
    (void)ctx, (void)context, (void)table;
    return NR_OK;
}
static NrStatus handle(void *ctx, NrStr entry, uint64_t sid, const NrRequest *request, NrBytes payload) {
    (void)ctx, (void)request;
    return run(entry, sid, payload);
}
NR_EXPORT const NrPluginInfo *nylon_ring_get_plugin_v1(void) {
    static const NrPluginVTable vtable = {.init = init, .handle = handle};
    static NrPluginInfo info = {.abi_version = NR_ABI_VERSION, .struct_size = sizeof info, .vtable = &vtable,
                                .vtable_size = sizeof vtable, .flags = BK_PLUGIN_THREAD_SAFE, .attach = attach};
    return &info;
}
#endif
