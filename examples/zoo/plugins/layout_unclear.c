/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Defect: the vtable holds init and handle, and then words that are no code: no
 *         layout is that short.
 * Host:   refuses the load with the hint to set the layout.
 * Where:  inline and process; it never loads.
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
    uint64_t behind[2];
} vtable = {zoo_init, zoo_handle, {1, 2}};

NR_EXPORT const NrPluginInfo *nylon_ring_get_plugin_v1(void) {
    static NrPluginInfo info;
    info.abi_version = NR_ABI_VERSION;
    info.struct_size = NR_PLUGIN_INFO_SIZE_DOCUMENTED;
    info.name = NR_STR("layout_unclear");
    info.version = NR_STR("1.0.0");
    info.vtable = (const NrPluginVTable *)&vtable;
    return &info;
}
