/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A plugin that is replaced by another version of itself. Defined in front of
 * this text: VERSION; STATE, if it hands its count over; ONE_AT_A_TIME, if it
 * is not thread-safe; INIT_FAILS, EXPORT_FAILS, IMPORT_FAILS, IMPORT_HANGS;
 * IMPORT_STAYS, the pipe until whose end the import stays inside; ANSWER, the
 * status of `version` and `later`; ABORTS, if `version` ends its process;
 * NEVER_BLOCKS, if it promises that.
 *
 *   version  answers VERSION
 *   later    answers VERSION from a timer; as a stream, with the end
 *   count    answers how often it was asked
 *   hold     never answers
 *   stuck    stays inside until somebody writes to the pipe that the payload
 *            names, then answers VERSION
 *   chat     a frame VERSION for each message, until it is closed
 */
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "becket.h"
#include "nylon_ring.h"

#ifndef ANSWER
#define ANSWER NR_OK
#endif

static void *host_ctx;
static const BkHostApi *api;
static atomic_ulong count;

static NrBytes view(const char *text) {
    NrBytes bytes = {(const uint8_t *)text, strlen(text)};
    return bytes;
}

static void say(const char *text) {
    NrStr message = {(const uint8_t *)text, (uint32_t)strlen(text), 0};
    api->log(host_ctx, BK_LOG_INFO, NR_STR("reloaded"), message);
}

/* Runs when the image is unmapped, and at the end of the process, when no
 * message is expected any more. */
static int shut_down;
__attribute__((destructor)) static void unmapped(void) {
    if (shut_down) {
        say("unmapped");
    }
}

static NrStatus attach(void *ctx, void *host, const BkHostApi *offered) {
    (void)ctx;
    host_ctx = host;
    api = offered;
    return NR_OK;
}

static NrStatus init(void *ctx, void *host, const NrHostVTable *vtable) {
    (void)ctx, (void)host, (void)vtable;
#ifdef INIT_FAILS
    return NR_ERR;
#else
    return NR_OK;
#endif
}

static void stop(void *ctx) {
    (void)ctx;
    say("shut down " VERSION);
    shut_down = 1;
}

static void answer_later(void *user_data) {
    api->send(host_ctx, (uint64_t)(uintptr_t)user_data, ANSWER, view(VERSION));
}

static int is(NrStr entry, const char *name) {
    return entry.len == strlen(name) && memcmp(entry.ptr, name, entry.len) == 0;
}

/* Stays inside until all that is written to a pipe has been: false if there is none. */
static int read_to_end(const char *path) {
    FILE *pipe = fopen(path, "r");
    if (pipe == NULL) {
        return 0;
    }
    /* What is written is read: the side that closes first breaks the pipe. */
    while (fgetc(pipe) != EOF) {
    }
    fclose(pipe);
    return 1;
}

static NrStatus handle(void *ctx, NrStr entry, uint64_t sid, const NrRequest *request,
                       NrBytes payload) {
    (void)ctx, (void)request;
    if (is(entry, "version")) {
#ifdef ABORTS
        abort();
#endif
        return api->send(host_ctx, sid, ANSWER, view(VERSION));
    }
    if (is(entry, "stuck")) {
        char path[4096];
        snprintf(path, sizeof path, "%.*s", (int)payload.len, (const char *)payload.ptr);
        return read_to_end(path) ? api->send(host_ctx, sid, NR_OK, view(VERSION)) : NR_INVALID;
    }
    if (is(entry, "later")) {
        uint64_t timer = api->timer_start(host_ctx, 0, answer_later, (void *)(uintptr_t)sid);
        return timer == 0 ? NR_BACKPRESSURE : NR_OK;
    }
    if (is(entry, "count")) {
        char text[32];
        snprintf(text, sizeof text, "%lu", atomic_fetch_add(&count, 1) + 1);
        return api->send(host_ctx, sid, NR_OK, view(text));
    }
    return is(entry, "hold") || is(entry, "chat") ? NR_OK : NR_UNSUPPORTED;
}

static NrStatus stream_data(void *ctx, uint64_t sid, NrBytes data) {
    (void)ctx, (void)data;
    return api->send(host_ctx, sid, NR_OK, view(VERSION));
}

static NrStatus stream_close(void *ctx, uint64_t sid) {
    (void)ctx;
    return api->send(host_ctx, sid, NR_STREAM_END, view(""));
}

#ifdef STATE
static void release(void *owner_ctx, const uint8_t *ptr, uint64_t len) {
    (void)ptr, (void)len;
    free(owner_ctx);
}

static NrStatus reload_export(void *ctx, NrOwnedBytes *out) {
    (void)ctx;
#ifdef EXPORT_HANGS
    say("asked for its state");
    for (;;) {
        pause();
    }
#endif
#ifdef EXPORT_FAILS
    (void)out, (void)release;
    return NR_ERR;
#else
    unsigned long *state = malloc(sizeof *state);
    if (state == NULL) {
        return NR_ERR;
    }
    *state = atomic_load(&count);
    out->ptr = (const uint8_t *)state;
    out->len = sizeof *state;
    out->owner_ctx = state;
    out->release = release;
    return NR_OK;
#endif
}

static NrStatus reload_import(void *ctx, NrBytes state) {
    (void)ctx;
    unsigned long value;
#ifdef IMPORT_HANGS
    for (;;) {
        pause();
    }
#endif
#ifdef IMPORT_STAYS
    if (!read_to_end(IMPORT_STAYS)) {
        return NR_INVALID;
    }
#endif
#ifdef IMPORT_FAILS
    return NR_INVALID;
#endif
    if (state.len != sizeof value) {
        return NR_INVALID;
    }
    memcpy(&value, state.ptr, sizeof value);
    atomic_store(&count, value);
    return NR_OK;
}
#endif

static const NrPluginVTable vtable = {
    .init = init,
    .handle = handle,
    .shutdown = stop,
    .stream_data = stream_data,
    .stream_close = stream_close,
#ifdef STATE
    .reload_export = reload_export,
    .reload_import = reload_import,
#endif
};

NR_EXPORT const NrPluginInfo *nylon_ring_get_plugin_v1(void) {
    static NrPluginInfo info;
    info.abi_version = NR_ABI_VERSION;
    info.struct_size = sizeof info;
    info.name = NR_STR("reloaded");
    info.version = NR_STR(VERSION);
    info.vtable = &vtable;
    info.vtable_size = sizeof vtable;
    info.flags = BK_PLUGIN_MULTI_INSTANCE | BK_PLUGIN_MAY_UNLOAD;
#ifndef ONE_AT_A_TIME
    info.flags |= BK_PLUGIN_THREAD_SAFE;
#endif
#ifdef NEVER_BLOCKS
    info.flags |= BK_PLUGIN_NEVER_BLOCKS;
#endif
    info.attach = attach;
    return &info;
}
