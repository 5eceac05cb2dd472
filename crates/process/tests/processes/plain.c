/* SPDX-License-Identifier: BSD-3-Clause */
/* A plugin without coroutines: `echo` answers inside `handle`, `chat` greets and echoes, as the samples do.
 * VERSION is what `version` answers. */
#include <string.h>

#include "nylon_ring.h"

#ifndef VERSION
#define VERSION "one"
#endif

static void *host;
static const NrHostVTable *table;

static NrBytes text(const char *of) {
    NrBytes bytes = {(const uint8_t *)of, strlen(of)};
    return bytes;
}

static NrStatus init(void *ctx, void *h, const NrHostVTable *t) {
    (void)ctx;
    host = h;
    table = t;
    return NR_OK;
}

static NrStatus handle(void *ctx, NrStr entry, uint64_t sid, const NrRequest *request, NrBytes payload) {
    (void)ctx;
    (void)request;
    if (entry.len == 4 && memcmp(entry.ptr, "chat", 4) == 0) {
        table->send_result(host, sid, NR_OK, text("welcome"));
    } else if (entry.len == 4 && memcmp(entry.ptr, "echo", 4) == 0) {
        table->send_result(host, sid, NR_OK, payload);
    } else if (entry.len == 7 && memcmp(entry.ptr, "version", 7) == 0) {
        table->send_result(host, sid, NR_OK, text(VERSION));
#ifdef FAILS
    } else if (entry.len == 5 && memcmp(entry.ptr, "fails", 5) == 0) {
        __builtin_trap();
#endif
    } else {
        table->send_result(host, sid, NR_ERR, text("no such entry"));
    }
    return NR_OK;
}

static void end(void *ctx) { (void)ctx; }

static NrStatus stream_data(void *ctx, uint64_t sid, NrBytes data) {
    char said[64] = "echo: ";
    (void)ctx;
    if (data.len > sizeof said - 7) {
        return NR_INVALID;
    }
    memcpy(said + 6, data.ptr, data.len);
    table->send_result(host, sid, NR_OK, text(said));
    return NR_OK;
}

static NrStatus stream_close(void *ctx, uint64_t sid) {
    (void)ctx;
    table->send_result(host, sid, NR_STREAM_END, text(""));
    return NR_OK;
}

static const NrPluginVTable vtable = {
    .init = init,
    .handle = handle,
    .shutdown = end,
    .stream_data = stream_data,
    .stream_close = stream_close,
};
static const NrPluginInfo info = {
    .abi_version = 1,
    .struct_size = 56,
    .name = {(const uint8_t *)"plain", 5, 0},
    .version = {(const uint8_t *)VERSION, sizeof VERSION - 1, 0},
    .vtable = (NrPluginVTable *)&vtable,
};

NR_EXPORT const NrPluginInfo *nylon_ring_get_plugin_v1(void) { return &info; }
