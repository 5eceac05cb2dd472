/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What stands in front of a test's plugin of one function, `handle`: it knows
 * its host by `host_ctx`, `api` and `host`.
 */
#define _GNU_SOURCE
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "becket.h"
#include "nylon_ring.h"

static void *host_ctx;
static const BkHostApi *api;
static const NrHostVTable *host;

static NrStatus attach(void *ctx, void *context, const BkHostApi *offered) {
    (void)ctx;
    host_ctx = context;
    api = offered;
    return NR_OK;
}

static NrStatus init(void *ctx, void *context, const NrHostVTable *vtable) {
    (void)ctx, (void)context;
    host = vtable;
    return NR_OK;
}

static NrStatus handle(void *ctx, NrStr entry, uint64_t sid, const NrRequest *request, NrBytes payload);

static const NrPluginVTable vtable = {.init = init, .handle = handle};

NR_EXPORT const NrPluginInfo *nylon_ring_get_plugin_v1(void) {
    static NrPluginInfo info;
    info.abi_version = NR_ABI_VERSION;
    info.struct_size = sizeof info;
    info.name = NR_STR("test");
    info.version = NR_STR("1");
    info.vtable = &vtable;
    info.vtable_size = sizeof vtable;
    info.flags = BK_PLUGIN_THREAD_SAFE;
    info.attach = attach;
    return &info;
}
