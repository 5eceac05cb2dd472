/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Defect: none: the short layout, three slots and an info of 56 bytes.
 * Host:   tells the layout, says so in its log, and calls it.
 * Where:  inline and process.
 */
#include "zoo.h"

static NrStatus zoo_hit(uint64_t sid, NrBytes payload) {
    (void)payload;
    zoo_send(sid, NR_OK, "hit");
    return NR_OK;
}

static const struct {
    NrStatus (*init)(void *, void *, const NrHostVTable *);
    NrStatus (*handle)(void *, NrStr, uint64_t, const NrRequest *, NrBytes);
    void (*shutdown)(void *);
} vtable = {zoo_init, zoo_handle, zoo_shutdown};

NR_EXPORT const NrPluginInfo *nylon_ring_get_plugin_v1(void) {
    static NrPluginInfo info;
    info.abi_version = NR_ABI_VERSION;
    info.struct_size = NR_PLUGIN_INFO_SIZE_DOCUMENTED;
    info.name = NR_STR("layout_short");
    info.version = NR_STR("1.0.0");
    info.vtable = (const NrPluginVTable *)&vtable;
    return &info;
}
