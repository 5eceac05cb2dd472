/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A plugin that does not describe its entries: it is asked for their ids, and
 * takes its time. It opens the named pipe that is `asked` in its configuration:
 * opening the other side shows that it was asked, and holds it there for as
 * long as that is open.
 */
#include <stdio.h>
#include <string.h>

#include "becket.h"
#include "nylon_ring.h"

static void *host;
static const BkHostApi *api;

static NrStatus attach(void *ctx, void *host_ctx, const BkHostApi *host_api) {
    (void)ctx;
    host = host_ctx;
    api = host_api;
    return NR_OK;
}

static NrStatus init(void *ctx, void *host_ctx, const NrHostVTable *table) {
    (void)ctx, (void)host_ctx, (void)table;
    return NR_OK;
}

static NrStatus handle_by_id(void *ctx, uint32_t id, uint64_t sid, const NrRequest *request,
                             NrBytes payload) {
    (void)ctx, (void)id, (void)request;
    return api->send(host, sid, NR_OK, payload);
}

static NrStatus handle(void *ctx, NrStr entry, uint64_t sid, const NrRequest *request,
                       NrBytes payload) {
    (void)entry;
    return handle_by_id(ctx, 1, sid, request, payload);
}

static uint32_t resolve_entry(void *ctx, NrStr entry) {
    (void)ctx, (void)entry;
    static const char key[] = "asked";
    NrStr value = api->config_get(host, (NrStr){(const uint8_t *)key, sizeof key - 1, 0});
    char path[1024];
    snprintf(path, sizeof path, "%.*s", (int)value.len, (const char *)value.ptr);
    FILE *pipe = fopen(path, "r");
    if (pipe != NULL) {
        while (fgetc(pipe) != EOF) {
        }
        fclose(pipe);
    }
    return 1;
}

static const NrPluginVTable vtable = {
    .init = init,
    .handle = handle,
    .resolve_entry = resolve_entry,
    .handle_by_id = handle_by_id,
};

__attribute__((visibility("default"))) const NrPluginInfo *nylon_ring_get_plugin_v1(void) {
    static NrPluginInfo info;
    info.abi_version = NR_ABI_VERSION;
    info.struct_size = sizeof info;
    info.vtable = &vtable;
    info.vtable_size = sizeof vtable;
    info.flags = BK_PLUGIN_THREAD_SAFE;
    info.attach = attach;
    return &info;
}
