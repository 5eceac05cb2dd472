/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Handlers that wait, in straight-line C. May be defined in front of this text:
 * FLAGS instead of those below; STACK_BYTES; LIKE_GO, to look as if the Go
 * compiler had made it.
 *
 *   chat      answers each frame with it, until it is closed; then says `bye`
 *   sleep     sleeps as many nanoseconds as the payload says, then answers the
 *             status of that as a number
 *   wait      waits for ever on a channel, says how that ended in the log
 *   deaf      as `wait`, again and again
 *   relay     a coroutine of its own sends the payload through a channel
 *   where     `coroutine` or `thread`, and the status of a sleep of 0 ns
 *   inline    the same; described as one that never waits
 *   thread    a thread of its own sleeps, and answers the status
 *   refuse    refuses before it waits
 *   late      refuses after it has waited
 *   both      refuses after it has answered, as the payload says: here, before it
 *             waits, after it has waited, elsewhere, or never
 *   recv      waits for a frame for the nanoseconds of the payload; answers the
 *             status
 *   flood     sends frames until one is not taken within 0 ns, says how many
 *   deep      overflows its stack
 *   spin      keeps its thread until the file is there that the payload names
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "becket.h"
#include "nylon_ring.h"

#ifndef FLAGS
#define FLAGS (BK_PLUGIN_WANTS_COROUTINE | BK_PLUGIN_THREAD_SAFE | BK_PLUGIN_MAY_UNLOAD)
#endif
#ifndef STACK_BYTES
#define STACK_BYTES 0
#endif

static void *host;
static const BkHostApi *api;

static NrBytes view(const char *text) {
    NrBytes bytes = {(const uint8_t *)text, strlen(text)};
    return bytes;
}

static void say(const char *text) {
    NrStr message = {(const uint8_t *)text, (uint32_t)strlen(text), 0};
    api->log(host, BK_LOG_INFO, NR_STR("waits"), message);
}

static void say_status(const char *what, NrStatus status) {
    char text[64];
    snprintf(text, sizeof text, "%s %u", what, (unsigned)status);
    say(text);
}

static void answer_number(uint64_t sid, unsigned long number) {
    char text[32];
    snprintf(text, sizeof text, "%lu", number);
    api->send(host, sid, NR_OK, view(text));
}

static uint64_t number(NrBytes payload) {
    char text[32] = {0};
    size_t len = payload.len < sizeof text - 1 ? (size_t)payload.len : sizeof text - 1;
    if (len > 0) {
        memcpy(text, payload.ptr, len);
    }
    return strtoull(text, NULL, 10);
}

static int is(NrStr entry, const char *name) {
    return entry.len == strlen(name) && memcmp(entry.ptr, name, entry.len) == 0;
}

static void release(NrOwnedBytes bytes) {
    if (bytes.release != NULL) {
        bytes.release(bytes.owner_ctx, bytes.ptr, bytes.len);
    }
}

static NrStatus chat(uint64_t sid) {
    for (;;) {
        NrOwnedBytes frame;
        NrStatus status = api->stream_recv(host, sid, &frame, BK_FOREVER);
        if (status != NR_OK) {
            say_status("chat ended with", status);
            if (status == NR_CLOSED) {
                api->send(host, sid, NR_STREAM_END, view("bye"));
            }
            return NR_OK;
        }
        NrBytes bytes = {frame.ptr, frame.len};
        status = api->stream_send(host, sid, bytes, BK_FOREVER);
        release(frame);
        if (status != NR_OK) {
            say_status("chat could not send:", status);
            return NR_OK;
        }
    }
}

typedef struct Relay {
    uint64_t channel;
    char text[32];
} Relay;

static void relay_sender(void *argument) {
    Relay *relay = argument;
    api->coroutine_yield(host);
    api->channel_send(host, relay->channel, view(relay->text), BK_FOREVER);
    api->channel_close(host, relay->channel);
    free(relay);
}

static NrStatus relay(uint64_t sid, NrBytes payload) {
    Relay *relay = calloc(1, sizeof *relay);
    uint64_t channel = api->channel_make(host, 0);
    relay->channel = channel;
    memcpy(relay->text, payload.ptr, payload.len < 31 ? (size_t)payload.len : 31);
    if (api->coroutine_spawn(host, relay_sender, relay, 0) != NR_OK) {
        return NR_ERR;
    }
    char all[64] = {0};
    NrOwnedBytes message;
    NrStatus status;
    while ((status = api->channel_recv(host, channel, &message, BK_FOREVER)) == NR_OK) {
        strncat(all, (const char *)message.ptr, (size_t)message.len);
        release(message);
    }
    if (status != NR_CLOSED || api->channel_destroy(host, channel) != NR_OK
        || api->channel_recv(host, channel, &message, 0) != NR_INVALID) {
        return NR_ERR;
    }
    api->send(host, sid, NR_OK, view(all));
    return NR_OK;
}

/* Asked for once. It ends before the image does. */
static pthread_t own;
static int has_own;

static void *own_thread(void *argument) {
    uint64_t sid = (uint64_t)(uintptr_t)argument;
    answer_number(sid, api->coroutine_current(host) == 0 ? api->coroutine_sleep(host, 1000) : 99);
    return NULL;
}

static void *answer_elsewhere(void *argument) {
    api->send(host, (uint64_t)(uintptr_t)argument, NR_OK, view("yes"));
    return NULL;
}

static NrStatus both(uint64_t sid, NrBytes payload) {
    const NrStatus refused = 99;
    const NrStr where = {payload.ptr, (uint32_t)payload.len, 0};
    if (is(where, "never")) {
        return refused;
    }
    if (is(where, "elsewhere")) {
        pthread_t other;
        pthread_create(&other, NULL, answer_elsewhere, (void *)(uintptr_t)sid);
        pthread_join(other, NULL);
        return refused;
    }
    if (is(where, "after")) {
        api->coroutine_yield(host);
    }
    api->send(host, sid, NR_OK, view("yes"));
    if (is(where, "before")) {
        api->coroutine_yield(host);
    }
    return refused;
}

static volatile char sink;
__attribute__((noinline)) static int deep(int depth) {
    volatile char frame[1024];
    memset((void *)frame, depth, sizeof frame);
    int below = depth < 1 << 20 ? deep(depth + 1) : 0;
    sink = frame[depth % 1024];
    return below + 1;
}

static NrStatus wait_for_ever(void) {
    NrOwnedBytes nothing;
    uint64_t channel = api->channel_make(host, 1);
    NrStatus status = api->channel_recv(host, channel, &nothing, BK_FOREVER);
    api->channel_destroy(host, channel);
    return status;
}

static NrStatus handle(void *ctx, NrStr entry, uint64_t sid, const NrRequest *request,
                       NrBytes payload) {
    (void)ctx, (void)request;
    if (is(entry, "chat")) {
        return chat(sid);
    }
    if (is(entry, "sleep")) {
        answer_number(sid, api->coroutine_sleep(host, number(payload)));
        return NR_OK;
    }
    if (is(entry, "wait")) {
        say("waits");
        say_status("waited:", wait_for_ever());
        return NR_OK;
    }
    if (is(entry, "deaf")) {
        say("is deaf");
        for (;;) {
            wait_for_ever();
        }
    }
    if (is(entry, "relay")) {
        return relay(sid, payload);
    }
    if (is(entry, "where") || is(entry, "inline")) {
        int on_coroutine = api->coroutine_current(host) != 0;
        char text[64];
        snprintf(text, sizeof text, "%s %u", on_coroutine ? "coroutine" : "thread",
                 (unsigned)api->coroutine_sleep(host, 0));
        api->send(host, sid, NR_OK, view(text));
        return NR_OK;
    }
    if (is(entry, "thread")) {
        pthread_create(&own, NULL, own_thread, (void *)(uintptr_t)sid);
        has_own = 1;
        return NR_OK;
    }
    if (is(entry, "refuse")) {
        return NR_INVALID;
    }
    if (is(entry, "late")) {
        api->coroutine_yield(host);
        return NR_INVALID;
    }
    if (is(entry, "both")) {
        return both(sid, payload);
    }
    if (is(entry, "recv")) {
        NrOwnedBytes frame;
        NrStatus status = api->stream_recv(host, sid, &frame, number(payload));
        release(frame);
        answer_number(sid, status);
        api->send(host, sid, NR_STREAM_END, view(""));
        return NR_OK;
    }
    if (is(entry, "flood")) {
        unsigned long sent = 0;
        while (api->stream_send(host, sid, view("frame"), 0) == NR_OK) {
            sent++;
        }
        char text[32];
        snprintf(text, sizeof text, "%lu", sent);
        api->send(host, sid, NR_STREAM_END, view(text));
        return NR_OK;
    }
    if (is(entry, "deep")) {
        answer_number(sid, (unsigned long)deep(0));
        return NR_OK;
    }
    if (is(entry, "spin")) {
        char path[4096];
        snprintf(path, sizeof path, "%.*s", (int)payload.len, (const char *)payload.ptr);
        while (access(path, F_OK) != 0) {
        }
        api->send(host, sid, NR_OK, view("spun"));
        return NR_OK;
    }
    return NR_UNSUPPORTED;
}

static NrStatus describe(void *ctx, uint32_t index, BkEntryInfo *out) {
    (void)ctx;
    static const struct {
        const char *name;
        uint32_t kind;
    } entries[] = {
        {"chat", BK_ENTRY_BIDIRECTIONAL}, {"sleep", BK_ENTRY_UNARY},
        {"wait", BK_ENTRY_UNARY},         {"deaf", BK_ENTRY_UNARY},
        {"relay", BK_ENTRY_UNARY},        {"where", BK_ENTRY_UNARY},
        {"thread", BK_ENTRY_UNARY},       {"refuse", BK_ENTRY_BIDIRECTIONAL},
        {"late", BK_ENTRY_BIDIRECTIONAL}, {"recv", BK_ENTRY_BIDIRECTIONAL},
        {"flood", BK_ENTRY_STREAM},       {"deep", BK_ENTRY_UNARY},
        {"both", BK_ENTRY_BIDIRECTIONAL}, {"spin", BK_ENTRY_UNARY},
        {"inline", BK_ENTRY_UNARY | BK_ENTRY_NEVER_WAITS},
    };
    if (index >= sizeof entries / sizeof *entries) {
        return NR_INVALID;
    }
    const char *name = entries[index].name;
    out->kind = entries[index].kind;
    out->name = (NrStr){(const uint8_t *)name, (uint32_t)strlen(name), 0};
    out->help = (NrStr){NULL, 0, 0};
    return NR_OK;
}

static NrStatus stream_data(void *ctx, uint64_t sid, NrBytes data) {
    (void)ctx, (void)sid, (void)data;
    say("stream_data was called");
    return NR_OK;
}

static NrStatus attach(void *ctx, void *host_ctx, const BkHostApi *offered) {
    (void)ctx;
    host = host_ctx;
    api = offered;
    return NR_OK;
}

static NrStatus init(void *ctx, void *host_ctx, const NrHostVTable *vtable) {
    (void)ctx, (void)host_ctx, (void)vtable;
    return NR_OK;
}

static void shut_down(void *ctx) {
    (void)ctx;
    if (has_own) {
        pthread_join(own, NULL);
    }
    say("shut down");
}

#ifdef LIKE_GO
__attribute__((section(".go.buildinfo"), used)) static const char go_build_info[32] = "like Go";
#endif

static const NrPluginVTable vtable = {
    .init = init,
    .handle = handle,
    .shutdown = shut_down,
    .stream_data = stream_data,
    .describe = describe,
};

static const NrPluginInfo info = {
    .abi_version = NR_ABI_VERSION,
    .struct_size = sizeof(NrPluginInfo),
    .vtable = &vtable,
    .vtable_size = sizeof(NrPluginVTable),
    .flags = FLAGS,
    .attach = attach,
    .coroutine_stack_bytes = STACK_BYTES,
};

NR_EXPORT const NrPluginInfo *nylon_ring_get_plugin_v1(void) {
    return &info;
}
