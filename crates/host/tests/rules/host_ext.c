/* SPDX-License-Identifier: BSD-3-Clause
 *
 * A plugin of the first builds of this ABI: 56 bytes of info, and the extension table for state taken from the word at
 * EXT_AT behind `host_ctx`, as their guide says to. NULL there means to them that there is no extension. It answers
 * from threads of its own, as the plugins that were published do. */
#include "nylon_ring.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FRAMES 5

static void *host_ctx;
static const NrHostVTable *host;
static const NrHostExt *ext;

typedef struct Call {
    uint64_t sid;
    int streams;
    char path[64];
} Call;

static NrBytes bytes(const char *text) {
    NrBytes view = {(const uint8_t *)text, strlen(text)};
    return view;
}

static void put(uint64_t sid, NrStr key, const char *value) {
    if (ext != NULL) {
        ext->set_state(host_ctx, sid, key, bytes(value));
    }
}

static void *run(void *argument) {
    Call *call = argument;
    char text[192];
    if (call->streams) {
        for (int at = 1; at <= FRAMES; at++) {
            snprintf(text, sizeof text, "%d", at);
            put(call->sid, NR_STR("frame_count"), text);
            snprintf(text, sizeof text, "Frame %d/%d from %s", at, FRAMES, call->path);
            host->send_result(host_ctx, call->sid, NR_OK, bytes(text));
        }
        host->send_result(host_ctx, call->sid, NR_STREAM_END, bytes(""));
    } else if (ext == NULL) {
        host->send_result(host_ctx, call->sid, NR_OK, bytes("no extension"));
    } else {
        put(call->sid, NR_STR("request_path"), call->path);
        NrBytes stored = ext->get_state(host_ctx, call->sid, NR_STR("request_path"));
        snprintf(text, sizeof text, "stored: %.*s", (int)stored.len, (const char *)stored.ptr);
        host->send_result(host_ctx, call->sid, NR_OK, bytes(text));
    }
    free(call);
    return NULL;
}

static NrStatus handle(void *ctx, NrStr entry, uint64_t sid, const NrRequest *request, NrBytes payload) {
    (void)ctx;
    (void)payload;
    Call *call = calloc(1, sizeof *call);
    if (call == NULL || request == NULL) {
        free(call);
        return NR_INVALID;
    }
    call->sid = sid;
    call->streams = entry.len == 6 && memcmp(entry.ptr, "stream", 6) == 0;
    size_t len = request->path.len < sizeof call->path ? request->path.len : sizeof call->path - 1;
    memcpy(call->path, request->path.ptr, len);
    pthread_t thread;
    if (pthread_create(&thread, NULL, run, call) != 0) {
        free(call);
        return NR_ERR;
    }
    pthread_detach(thread);
    return NR_OK;
}

static NrStatus init(void *ctx, void *context, const NrHostVTable *table) {
    (void)ctx;
    host_ctx = context;
    host = table;
    memcpy(&ext, (const char *)context + EXT_AT, sizeof ext);
    return NR_OK;
}

static void shutdown(void *ctx) { (void)ctx; }

static NrStatus stream_data(void *ctx, uint64_t sid, NrBytes data) {
    (void)ctx;
    char text[64];
    snprintf(text, sizeof text, "Echo: %.*s", (int)data.len, (const char *)data.ptr);
    host->send_result(host_ctx, sid, NR_OK, bytes(text));
    return NR_OK;
}

static NrStatus stream_close(void *ctx, uint64_t sid) {
    (void)ctx;
    host->send_result(host_ctx, sid, NR_STREAM_END, bytes("Stream closed by host"));
    return NR_OK;
}

static const struct {
    void *slots[6];
} vtable = {{(void *)init, (void *)handle, NULL, (void *)shutdown, (void *)stream_data, (void *)stream_close}};

static struct {
    uint32_t abi_version, struct_size;
    NrStr name, version;
    void *plugin_ctx;
    const void *vtable;
} info = {1, 56, {0}, {0}, NULL, &vtable};

NR_EXPORT const NrPluginInfo *nylon_ring_get_plugin_v1(void) {
    info.name = NR_STR("first");
    return (const NrPluginInfo *)&info;
}
