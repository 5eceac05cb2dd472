/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Defect: attach answers Unsupported, and init aborts if it is called all the same.
 * Host:   refuses the load with the status; calls neither init nor shutdown.
 * Where:  inline and process; it never loads.
 */
#include "zoo.h"

static NrStatus zoo_hit(uint64_t sid, NrBytes payload) {
    (void)payload;
    zoo_send(sid, NR_OK, "hit");
    return NR_OK;
}

static NrStatus refuse(void *plugin_ctx, void *host_ctx, const BkHostApi *api) {
    zoo_attach(plugin_ctx, host_ctx, api);
    return NR_UNSUPPORTED;
}

static NrStatus init_after_refusal(void *plugin_ctx, void *host_ctx, const NrHostVTable *host) {
    zoo_init(plugin_ctx, host_ctx, host);
    abort();
}

static const NrPluginVTable vtable = {
    .init = init_after_refusal, .handle = zoo_handle, .shutdown = zoo_shutdown};

NR_EXPORT const NrPluginInfo *nylon_ring_get_plugin_v1(void) {
    static NrPluginInfo info;
    info.abi_version = NR_ABI_VERSION;
    info.struct_size = sizeof info;
    info.name = NR_STR("attach_fails");
    info.version = NR_STR("1.0.0");
    info.vtable = &vtable;
    info.vtable_size = sizeof vtable;
    info.attach = refuse;
    return &info;
}
