/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A plugin that blocks where the payload says, for as many milliseconds as it says:
 *
 *   quick     nowhere
 *   handle    in handle
 *   data      in stream_data, for each frame
 *   release   in the release of its owned answer
 *
 * Before it does, it writes the byte that its configuration has as `generation` to the named pipe
 * that is `inside` there. How it blocks is the language's: with BLOCK_ELSEWHERE, becket_block is in another file.
 */
#define _POSIX_C_SOURCE 200809L

#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "becket.h"
#include "nylon_ring.h"

#ifdef BLOCK_ELSEWHERE
void becket_block(uint64_t ms);
#else
static void becket_block(uint64_t ms) {
    struct timespec left = {(time_t)(ms / 1000), (long)(ms % 1000) * 1000000};
    while (nanosleep(&left, &left) != 0) {
    }
}
#endif

static const struct {
    const char *name;
    uint32_t kind;
} entries[] = {
    {"quick", BK_ENTRY_UNARY},
    {"handle", BK_ENTRY_UNARY},
    {"data", BK_ENTRY_BIDIRECTIONAL},
    {"release", BK_ENTRY_UNARY},
};

static void *host;
static const BkHostApi *api;
static const uint8_t text[] = "ok";

static uint64_t number(NrBytes payload) {
    uint64_t value = 0;
    for (uint64_t i = 0; i < payload.len; i++) {
        value = value * 10 + (uint64_t)(payload.ptr[i] - '0');
    }
    return value;
}

static NrStr str(const char *from) {
    NrStr view = {(const uint8_t *)from, (uint32_t)strlen(from), 0};
    return view;
}

static int is(NrStr entry, const char *name) {
    return entry.len == strlen(name) && memcmp(entry.ptr, name, entry.len) == 0;
}

static void configured(const char *key, char *text, size_t cap) {
    NrStr value = api->config_get(host, str(key));
    size_t len = value.len < cap ? value.len : 0;
    if (len > 0) {
        memcpy(text, value.ptr, len);
    }
    text[len] = 0;
}

static void block(uint64_t ms) {
    char path[1024], generation[8];
    configured("inside", path, sizeof path);
    configured("generation", generation, sizeof generation);
    int pipe = open(path, O_WRONLY | O_NONBLOCK);
    if (pipe >= 0) {
        ssize_t written = write(pipe, generation, 1);
        (void)written;
        close(pipe);
    }
    becket_block(ms);
}

/* The context is the number itself: nothing is allocated. */
static void release(void *owner_ctx, const uint8_t *ptr, uint64_t len) {
    (void)ptr;
    (void)len;
    block((uint64_t)(uintptr_t)owner_ctx);
}

static NrStatus attach(void *plugin_ctx, void *host_ctx, const BkHostApi *host_api) {
    (void)plugin_ctx;
    host = host_ctx;
    api = host_api;
    return NR_OK;
}

static NrStatus init(void *plugin_ctx, void *host_ctx, const NrHostVTable *table) {
    (void)plugin_ctx;
    (void)host_ctx;
    (void)table;
    return NR_OK;
}

static NrStatus handle(void *plugin_ctx, NrStr entry, uint64_t sid, const NrRequest *request,
                       NrBytes payload) {
    (void)plugin_ctx;
    (void)request;
    NrBytes ok = {text, 2};
    if (is(entry, "data")) {
        return NR_OK;
    }
    if (is(entry, "release")) {
        NrOwnedBytes owned = {text, 2, (void *)(uintptr_t)number(payload), release};
        api->send_owned(host, sid, NR_OK, owned);
        return NR_OK;
    }
    if (is(entry, "handle")) {
        block(number(payload));
    }
    api->send(host, sid, NR_OK, ok);
    return NR_OK;
}

static NrStatus stream_data(void *plugin_ctx, uint64_t sid, NrBytes data) {
    (void)plugin_ctx;
    (void)sid;
    block(number(data));
    return NR_OK;
}

static NrStatus stream_close(void *plugin_ctx, uint64_t sid) {
    (void)plugin_ctx;
    (void)sid;
    return NR_OK;
}

static void stop(void *plugin_ctx) { (void)plugin_ctx; }

static NrStatus describe(void *plugin_ctx, uint32_t index, BkEntryInfo *out) {
    (void)plugin_ctx;
    if (index >= sizeof entries / sizeof entries[0]) {
        return NR_ERR;
    }
    out->name = str(entries[index].name);
    out->kind = entries[index].kind;
    return NR_OK;
}

static NrPluginVTable vtable;
static NrPluginInfo info;

__attribute__((visibility("default"))) const NrPluginInfo *nylon_ring_get_plugin_v1(void) {
    vtable.init = init;
    vtable.handle = handle;
    vtable.shutdown = stop;
    vtable.stream_data = stream_data;
    vtable.stream_close = stream_close;
    vtable.describe = describe;
    info.abi_version = NR_ABI_VERSION;
    info.struct_size = sizeof info;
    info.name = str("blocks");
    info.version = str("1.0.0");
    info.vtable = &vtable;
    info.vtable_size = sizeof vtable;
    info.flags = BK_PLUGIN_THREAD_SAFE;
#ifdef DECLARED
    /* Which is not true. */
    info.flags |= BK_PLUGIN_NEVER_BLOCKS;
#endif
    info.attach = attach;
    return &info;
}
