/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Defect: none: the layout with handle_raw in the middle, six slots, an info of 56
 *         bytes.
 * Host:   tells the layout, says so in its log, and calls it.
 * Where:  inline and process.
 */
#include "zoo.h"

static NrStatus zoo_hit(uint64_t sid, NrBytes payload) {
    (void)payload;
    zoo_send(sid, NR_OK, "hit");
    return NR_OK;
}

static NrStatus handle_raw(void *plugin_ctx, NrStr entry, uint64_t sid, NrBytes payload) {
    return zoo_handle(plugin_ctx, entry, sid, NULL, payload);
}

static NrStatus stream_data(void *plugin_ctx, uint64_t sid, NrBytes data) {
    (void)plugin_ctx;
    zoo_send_bytes(sid, NR_OK, data);
    return NR_OK;
}

static NrStatus stream_close(void *plugin_ctx, uint64_t sid) {
    (void)plugin_ctx;
    zoo_send(sid, NR_STREAM_END, "");
    return NR_OK;
}

static const struct {
    NrStatus (*init)(void *, void *, const NrHostVTable *);
    NrStatus (*handle)(void *, NrStr, uint64_t, const NrRequest *, NrBytes);
    NrStatus (*handle_raw)(void *, NrStr, uint64_t, NrBytes);
    void (*shutdown)(void *);
    NrStatus (*stream_data)(void *, uint64_t, NrBytes);
    NrStatus (*stream_close)(void *, uint64_t);
} vtable = {zoo_init, zoo_handle, handle_raw, zoo_shutdown, stream_data, stream_close};

NR_EXPORT const NrPluginInfo *nylon_ring_get_plugin_v1(void) {
    static NrPluginInfo info;
    info.abi_version = NR_ABI_VERSION;
    info.struct_size = NR_PLUGIN_INFO_SIZE_DOCUMENTED;
    info.name = NR_STR("layout_raw");
    info.version = NR_STR("1.0.0");
    info.vtable = (const NrPluginVTable *)&vtable;
    return &info;
}
