/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Defect: abi_version is 7.
 * Host:   refuses the load, with the version found and the version expected.
 * Where:  inline and process; it never loads.
 */
#include "zoo.h"

static NrStatus zoo_hit(uint64_t sid, NrBytes payload) {
    (void)payload;
    zoo_send(sid, NR_OK, "hit");
    return NR_OK;
}

static const NrPluginVTable vtable = {
    .init = zoo_init, .handle = zoo_handle, .shutdown = zoo_shutdown};

NR_EXPORT const NrPluginInfo *nylon_ring_get_plugin_v1(void) {
    static NrPluginInfo info;
    info.abi_version = NR_ABI_VERSION;
    info.struct_size = NR_PLUGIN_INFO_SIZE_DOCUMENTED;
    info.name = NR_STR("wrong_version");
    info.version = NR_STR("1.0.0");
    info.vtable = &vtable;
    info.abi_version = 7;
    return &info;
}
