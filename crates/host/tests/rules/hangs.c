/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A plugin that does not come back from a part of its load. Defined in front of
 * this text: HANGS_IN, which is constructor, entry_function, attach, init,
 * describe or nothing; and PIPE, a named pipe: it comes back once that is
 * opened for writing.
 */
#include <stdio.h>
#include <string.h>

#include "becket.h"
#include "nylon_ring.h"

enum Part { nothing, constructor, entry_function, attach, init, describe };

static void *host_ctx;
static const BkHostApi *api;

static void may_hang(enum Part part) {
    static int hung;
    if (part == HANGS_IN && !hung) {
        hung = 1;
        FILE *pipe = fopen(PIPE, "r");
        if (pipe != NULL) {
            fclose(pipe);
        }
    }
}

static void say(NrStr text) { api->log(host_ctx, BK_LOG_INFO, NR_STR("hangs"), text); }

__attribute__((constructor)) static void construct(void) { may_hang(constructor); }

static void on_timer(void *user_data) {
    (void)user_data;
    say(NR_STR("a timer of a load that was given up ran"));
}

static NrStatus on_attach(void *ctx, void *host, const BkHostApi *offered) {
    (void)ctx;
    host_ctx = host;
    api = offered;
    may_hang(attach);
    return NR_OK;
}

static NrStatus on_init(void *ctx, void *host, const NrHostVTable *vtable) {
    (void)ctx, (void)host;
    may_hang(init);
    if (HANGS_IN == init) {
        NrBytes late = {(const uint8_t *)"late", 4};
        vtable->send_result(host_ctx, 7, NR_OK, late);
        uint64_t timer = api->timer_start(host_ctx, 0, on_timer, NULL);
        say(timer == 0 ? NR_STR("late init: no timer") : NR_STR("late init: a timer"));
    }
    return NR_OK;
}

static void shutdown(void *ctx) {
    (void)ctx;
    say(NR_STR("shut down after " NAME));
}

static NrStatus handle(void *ctx, NrStr entry, uint64_t sid, const NrRequest *request, NrBytes payload) {
    (void)ctx, (void)entry, (void)request;
    return api->send(host_ctx, sid, NR_OK, payload);
}

static NrStatus on_describe(void *ctx, uint32_t index, BkEntryInfo *out) {
    (void)ctx;
    may_hang(describe);
    if (index > 0) {
        return NR_INVALID;
    }
    out->name = NR_STR("echo");
    out->kind = BK_ENTRY_UNARY;
    return NR_OK;
}

static const NrPluginVTable vtable = {
    .init = on_init,
    .handle = handle,
    .shutdown = shutdown,
    .describe = on_describe,
};

NR_EXPORT const NrPluginInfo *nylon_ring_get_plugin_v1(void) {
    static NrPluginInfo info;
    may_hang(entry_function);
    info.abi_version = NR_ABI_VERSION;
    info.struct_size = sizeof info;
    info.name = NR_STR("hangs");
    info.version = NR_STR("1");
    info.vtable = &vtable;
    info.vtable_size = sizeof vtable;
    info.flags = BK_PLUGIN_THREAD_SAFE;
    info.attach = on_attach;
    return &info;
}
