/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A plugin whose state has so many bytes as its last call had; each call is
 * answered with the state, and becomes the state.
 */
#include <stdlib.h>
#include <string.h>

#include "becket.h"
#include "nylon_ring.h"

static void *host_ctx;
static const BkHostApi *api;
static uint8_t *state;
static uint64_t state_len;

static NrStatus keep(NrBytes bytes) {
    uint8_t *copy = malloc(bytes.len + 1);
    if (copy == NULL) {
        return NR_ERR;
    }
    memcpy(copy, bytes.ptr, bytes.len);
    free(state);
    state = copy;
    state_len = bytes.len;
    return NR_OK;
}

static NrStatus attach(void *ctx, void *host, const BkHostApi *offered) {
    (void)ctx;
    host_ctx = host;
    api = offered;
    return NR_OK;
}

static NrStatus init(void *ctx, void *host, const NrHostVTable *vtable) {
    (void)ctx, (void)host, (void)vtable;
    return NR_OK;
}

static NrStatus handle(void *ctx, NrStr entry, uint64_t sid, const NrRequest *request,
                       NrBytes payload) {
    (void)ctx, (void)entry, (void)request;
    NrBytes before = {state, state_len};
    api->send(host_ctx, sid, NR_OK, before);
    return keep(payload);
}

static void stop(void *ctx) {
    (void)ctx;
}

static void release(void *owner_ctx, const uint8_t *ptr, uint64_t len) {
    (void)owner_ctx, (void)ptr, (void)len;
}

static NrStatus reload_export(void *ctx, NrOwnedBytes *out) {
    (void)ctx;
    out->ptr = state;
    out->len = state_len;
    out->release = release;
    return NR_OK;
}

static NrStatus reload_import(void *ctx, NrBytes bytes) {
    (void)ctx;
    return keep(bytes);
}

static const NrPluginVTable vtable = {
    .init = init,
    .handle = handle,
    .shutdown = stop,
    .reload_export = reload_export,
    .reload_import = reload_import,
};

NR_EXPORT const NrPluginInfo *nylon_ring_get_plugin_v1(void) {
    static NrPluginInfo info;
    info.abi_version = NR_ABI_VERSION;
    info.struct_size = sizeof info;
    info.name = NR_STR("states");
    info.version = NR_STR("1");
    info.vtable = &vtable;
    info.vtable_size = sizeof vtable;
    info.attach = attach;
    return &info;
}
