/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A plugin whose handler does not return. It opens the named pipe that the
 * payload names: opening the other side shows that the handler is inside, and
 * holds it there for as long as that is open.
 */
#include <stdio.h>
#include <string.h>

#include "becket.h"
#include "nylon_ring.h"

static NrStatus init(void *ctx, void *host_ctx, const NrHostVTable *vtable) {
    (void)ctx, (void)host_ctx, (void)vtable;
    return NR_OK;
}

static NrStatus handle(void *ctx, NrStr entry, uint64_t sid, const NrRequest *request, NrBytes payload) {
    (void)ctx, (void)entry, (void)sid, (void)request;
    char path[4096];
    snprintf(path, sizeof path, "%.*s", (int)payload.len, (const char *)payload.ptr);
    FILE *pipe = fopen(path, "r");
    if (pipe == NULL) {
        return NR_INVALID;
    }
    while (fgetc(pipe) != EOF) {
    }
    fclose(pipe);
    return NR_ERR;
}

static const NrPluginVTable vtable = {.init = init, .handle = handle};

NR_EXPORT const NrPluginInfo *nylon_ring_get_plugin_v1(void) {
    static NrPluginInfo info;
    info.abi_version = NR_ABI_VERSION;
    info.struct_size = sizeof info;
    info.name = NR_STR("stuck");
    info.version = NR_STR("1");
    info.vtable = &vtable;
    info.vtable_size = sizeof vtable;
    info.flags = BK_PLUGIN_THREAD_SAFE;
    return &info;
}
