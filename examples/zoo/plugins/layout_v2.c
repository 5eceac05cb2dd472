/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Defect: none: version 2 of the ABI, which knows no request and no plugin_ctx.
 * Host:   tells the version by the symbol, and calls it; each owned answer is dropped once.
 * Where:  inline and process.
 */
#include <stdlib.h>
#include <string.h>

#include "nylon_ring_v2.h"

static void *host_ctx;
static const NrV2HostVTable *host;

static void drop(uint8_t *ptr, uint64_t len, uint64_t cap) {
    (void)len, (void)cap;
    free(ptr);
}

/* Answers with bytes that are the host's from then on. */
static NrStatus answer(uint64_t sid, const char *text) {
    const size_t len = strlen(text);
    uint8_t *bytes = malloc(len);
    if (bytes == NULL) {
        return NR_ERR;
    }
    memcpy(bytes, text, len);
    const NrVec vec = {bytes, len, len, 1, {0}, drop};
    return host->send_result(host_ctx, sid, NR_OK, vec);
}

static uint32_t resolve_entry(NrStr name) {
    if (name.len == 2 && memcmp(name.ptr, "ok", 2) == 0) {
        return 0;
    }
    return name.len == 3 && memcmp(name.ptr, "hit", 3) == 0 ? 1 : NR_V2_ENTRY_UNKNOWN;
}

static NrStatus handle_by_id(uint32_t id, uint64_t sid, NrBytes payload) {
    (void)payload;
    return id > 1 ? NR_UNSUPPORTED : answer(sid, id == 0 ? "ok" : "hit");
}

static NrStatus handle(NrStr entry, uint64_t sid, NrBytes payload) {
    return handle_by_id(resolve_entry(entry), sid, payload);
}

static NrStatus init(void *ctx, const NrV2HostVTable *table) {
    host_ctx = ctx;
    host = table;
    return NR_OK;
}

static void shutdown(void) {}

static const NrV2PluginVTable vtable = {
    .init = init, .handle = handle, .shutdown = shutdown, .resolve_entry = resolve_entry, .handle_by_id = handle_by_id};

NR_EXPORT const NrV2PluginInfo *nylon_ring_get_plugin(void) {
    static NrV2PluginInfo info;
    info.abi_version = NR_V2_ABI_VERSION;
    info.struct_size = sizeof info;
    info.name = NR_STR("layout_v2");
    info.version = NR_STR("1.0.0");
    info.vtable = &vtable;
    return &info;
}
