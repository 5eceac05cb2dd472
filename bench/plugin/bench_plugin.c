/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The plugin that every host in this benchmark loads.
 *
 * It speaks two dialects from one file: nylon_ring_get_plugin_v1, which Becket loads, and
 * nylon_ring_get_plugin, which nylon-ring-host 0.2 loads. Both vtables lead to the same work_*
 * functions, compiled twice with the dialect's host functions as constants, so that the hosts are
 * compared over the same machine code. What differs is only what the dialects themselves make different: the shape
 * of the answer functions, and how a request's metadata comes in.
 *
 * Each host loads a copy of its own of the built file, so no two hosts share the statics here.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "becket.h"

#define BLOCK_BYTES 4096u
#define CHAT_FRAMES 5u
#define CHAT_FRAME_BYTES 16u
#define HEADERS 4u
#define FRAME_BYTES_MAX 64u

enum {
    ENTRY_NOTIFY,  /* returns, answers nothing */
    ENTRY_ECHO,    /* answers its payload */
    ENTRY_REQUEST, /* finds the last of four headers, answers nothing in it */
    ENTRY_OWNED,   /* answers 4 KiB that stay the plugin's */
    ENTRY_LEASED,  /* writes 4 KiB into a buffer of the host */
    ENTRY_STREAM,  /* payload: u32 frames, u32 bytes each; sends them and the end */
    ENTRY_CHAT,    /* five frames, then echoes what comes, ends when closed */
    ENTRY_THREAD,  /* answered by another thread */
    ENTRY_HELLO,   /* answers a short text */
    ENTRY_PARKED,  /* answers when the thread that its payload names sleeps, with the times */
    ENTRY_COUNT
};

typedef struct Entry {
    NrStr name;
    uint32_t kind;
} Entry;

#define ENTRY(text, kind) {{(const uint8_t *)(text), sizeof(text) - 1, 0}, kind}

static const Entry ENTRIES[ENTRY_COUNT] = {
    [ENTRY_NOTIFY] = ENTRY("notify", BK_ENTRY_UNARY),
    [ENTRY_ECHO] = ENTRY("echo", BK_ENTRY_UNARY),
    [ENTRY_REQUEST] = ENTRY("request", BK_ENTRY_UNARY),
    [ENTRY_OWNED] = ENTRY("owned", BK_ENTRY_UNARY),
    [ENTRY_LEASED] = ENTRY("leased", BK_ENTRY_UNARY),
    [ENTRY_STREAM] = ENTRY("stream", BK_ENTRY_STREAM),
    [ENTRY_CHAT] = ENTRY("chat", BK_ENTRY_BIDIRECTIONAL),
    [ENTRY_THREAD] = ENTRY("thread", BK_ENTRY_UNARY),
    [ENTRY_HELLO] = ENTRY("hello", BK_ENTRY_UNARY),
    [ENTRY_PARKED] = ENTRY("parked", BK_ENTRY_UNARY),
};

/* What the host must find in an answer of 4 KiB and in a frame. */
static uint8_t block[BLOCK_BYTES];

/* Counts calls of "notify" while the harness checks that they arrive; off while it measures. */
static atomic_bool counting;
static atomic_ullong notified;

static const NrBytes NOTHING = {NULL, 0};

/* The host functions that the work needs. */
typedef struct Ops {
    void (*send)(uint64_t sid, NrStatus status, NrBytes payload);
    void (*send_owned)(uint64_t sid, NrOwnedBytes payload);
    NrStatus (*send_leased)(uint64_t sid);
} Ops;

/* ---- the thread that answers "thread": awake for as long as the row runs ---- */

static pthread_t answerer;
static atomic_bool answering;
static _Alignas(64) atomic_ullong mailbox; /* the sid to answer; 0: none */
static const Ops *answerer_ops;

static void *answer_loop(void *unused)
{
    (void)unused;
    while (atomic_load_explicit(&answering, memory_order_relaxed)) {
        uint64_t sid = atomic_load_explicit(&mailbox, memory_order_acquire);
        if (sid == 0)
            continue; /* no pause: a hypervisor may take it as leave to run somebody else */
        atomic_store_explicit(&mailbox, 0, memory_order_relaxed);
        answerer_ops->send(sid, NR_OK, NOTHING);
    }
    return NULL;
}

/* ---- the work, the same for both dialects: inlined into the handlers below ---- */

#define WORK static inline __attribute__((always_inline)) NrStatus

/* A handler. The request is NULL in the dialect that has none. */
typedef NrStatus (*Handler)(uint64_t sid, const NrRequest *request, NrBytes payload);

WORK work_notify(const Ops *ops, uint64_t sid, NrBytes payload)
{
    (void)ops, (void)sid, (void)payload;
    if (__builtin_expect(atomic_load_explicit(&counting, memory_order_relaxed), 0))
        atomic_fetch_add(&notified, 1);
    return NR_OK;
}

WORK work_echo(const Ops *ops, uint64_t sid, NrBytes payload)
{
    ops->send(sid, NR_OK, payload);
    return NR_OK;
}

static void release_nothing(void *owner_ctx, const uint8_t *ptr, uint64_t len)
{
    (void)owner_ctx, (void)ptr, (void)len;
}

WORK work_owned(const Ops *ops, uint64_t sid, NrBytes payload)
{
    (void)payload;
    ops->send_owned(sid, (NrOwnedBytes){block, BLOCK_BYTES, NULL, release_nothing});
    return NR_OK;
}

WORK work_leased(const Ops *ops, uint64_t sid, NrBytes payload)
{
    (void)payload;
    return ops->send_leased(sid);
}

WORK work_stream(const Ops *ops, uint64_t sid, NrBytes payload)
{
    uint32_t frames, bytes;
    if (payload.len != 8)
        return NR_INVALID;
    memcpy(&frames, payload.ptr, 4);
    memcpy(&bytes, payload.ptr + 4, 4);
    if (bytes > FRAME_BYTES_MAX)
        return NR_INVALID;
    NrBytes frame = {bytes == 0 ? NULL : block, bytes};
    for (uint32_t i = 0; i < frames; i++)
        ops->send(sid, NR_OK, frame);
    ops->send(sid, NR_STREAM_END, NOTHING);
    return NR_OK;
}

WORK work_chat(const Ops *ops, uint64_t sid, NrBytes payload)
{
    (void)payload;
    for (uint32_t i = 0; i < CHAT_FRAMES; i++)
        ops->send(sid, NR_OK, (NrBytes){block, CHAT_FRAME_BYTES});
    return NR_OK;
}

WORK work_thread(const Ops *ops, uint64_t sid, NrBytes payload)
{
    (void)ops, (void)payload;
    atomic_store_explicit(&mailbox, sid, memory_order_release);
    return NR_OK;
}

WORK work_hello(const Ops *ops, uint64_t sid, NrBytes payload)
{
    (void)payload;
    ops->send(sid, NR_OK, (NrBytes){(const uint8_t *)"Hello, world!", 13});
    return NR_OK;
}

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* Payload: u32 process, u32 thread. Answer: when the call was here, and when the answer left; in a
 * block as long as the payload. */
WORK work_parked(const Ops *ops, uint64_t sid, NrBytes payload)
{
    uint64_t times[2] = {now_ns(), 0};
    uint32_t ids[2];
    uint8_t answer[64] = {0};
    char path[64], text[8];
    if (payload.len != sizeof answer)
        return NR_INVALID;
    memcpy(ids, payload.ptr, sizeof ids);
    snprintf(path, sizeof path, "/proc/%u/task/%u/syscall", (unsigned)ids[0], (unsigned)ids[1]);
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return NR_ERR;
    for (;;) {
        ssize_t got = pread(file, text, sizeof text - 1, 0);
        if (got < 0)
            continue; /* the kernel asks for another try */
        text[got] = 0;
        if (strncmp(text, "running", 7) != 0 && strncmp(text, "-1", 2) != 0)
            break;
    }
    close(file);
    times[1] = now_ns();
    memcpy(answer, times, sizeof times);
    ops->send(sid, NR_OK, (NrBytes){answer, sizeof answer});
    return NR_OK;
}

#define HANDLER(dialect, OPS, entry)                                                         \
    static NrStatus dialect##_##entry(uint64_t sid, const NrRequest *request, NrBytes payload) \
    {                                                                                        \
        (void)request;                                                                       \
        return work_##entry(&(OPS), sid, payload);                                           \
    }

/* The handlers of a dialect, by entry; NAME_request is its own. */
#define HANDLERS(dialect, OPS)                                                             \
    HANDLER(dialect, OPS, notify)                                                          \
    HANDLER(dialect, OPS, echo)                                                            \
    HANDLER(dialect, OPS, owned)                                                           \
    HANDLER(dialect, OPS, leased)                                                          \
    HANDLER(dialect, OPS, stream)                                                          \
    HANDLER(dialect, OPS, chat)                                                            \
    HANDLER(dialect, OPS, thread)                                                          \
    HANDLER(dialect, OPS, hello)                                                           \
    HANDLER(dialect, OPS, parked)                                                          \
    static const Handler dialect##_handlers[ENTRY_COUNT] = {                               \
        [ENTRY_NOTIFY] = dialect##_notify, [ENTRY_ECHO] = dialect##_echo,                  \
        [ENTRY_REQUEST] = dialect##_request, [ENTRY_OWNED] = dialect##_owned,              \
        [ENTRY_LEASED] = dialect##_leased, [ENTRY_STREAM] = dialect##_stream,              \
        [ENTRY_CHAT] = dialect##_chat, [ENTRY_THREAD] = dialect##_thread,                  \
        [ENTRY_HELLO] = dialect##_hello, [ENTRY_PARKED] = dialect##_parked,                \
    };

static const char WANTED[] = "x-request-id";

static bool is_wanted(const uint8_t *key, uint64_t len)
{
    return len == sizeof WANTED - 1 && memcmp(key, WANTED, sizeof WANTED - 1) == 0;
}

static uint32_t resolve(NrStr name)
{
    for (uint32_t i = 0; i < ENTRY_COUNT; i++)
        if (name.len == ENTRIES[i].name.len && memcmp(name.ptr, ENTRIES[i].name.ptr, name.len) == 0)
            return i;
    return BK_ENTRY_UNKNOWN;
}

/* ---- version 1: what Becket loads ---- */

static void *v1_host;
static const NrHostVTable *v1_vtable;
static const BkHostApi *v1_api;

static void v1_send(uint64_t sid, NrStatus status, NrBytes payload)
{
    v1_vtable->send_result(v1_host, sid, status, payload);
}

static void v1_send_owned(uint64_t sid, NrOwnedBytes payload)
{
    v1_api->send_owned(v1_host, sid, NR_OK, payload);
}

static NrStatus v1_send_leased(uint64_t sid)
{
    NrBufferLease lease = v1_api->lease_acquire(v1_host, sid, BLOCK_BYTES);
    if (lease.ptr == NULL)
        return NR_ERR;
    memcpy(lease.ptr, block, BLOCK_BYTES);
    return v1_api->lease_commit(v1_host, sid, NR_OK, lease.token, BLOCK_BYTES);
}

static const Ops V1_OPS = {v1_send, v1_send_owned, v1_send_leased};

static NrStatus v1_request(uint64_t sid, const NrRequest *request, NrBytes payload)
{
    (void)payload;
    if (request == NULL || request->headers_len != HEADERS)
        return NR_INVALID;
    for (uint32_t i = 0; i < request->headers_len; i++) {
        const NrHeader *header = &request->headers[i];
        if (is_wanted(header->key.ptr, header->key.len) && header->value.len != 0) {
            v1_send(sid, NR_OK, NOTHING);
            return NR_OK;
        }
    }
    return NR_INVALID;
}

HANDLERS(v1, V1_OPS)

static NrStatus v1_handle_by_id(void *plugin_ctx, uint32_t id, uint64_t sid,
                                const NrRequest *request, NrBytes payload)
{
    (void)plugin_ctx;
    return id < ENTRY_COUNT ? v1_handlers[id](sid, request, payload) : NR_INVALID;
}

static NrStatus v1_handle(void *plugin_ctx, NrStr entry, uint64_t sid, const NrRequest *request,
                          NrBytes payload)
{
    return v1_handle_by_id(plugin_ctx, resolve(entry), sid, request, payload);
}

static NrStatus v1_handle_raw(void *plugin_ctx, NrStr entry, uint64_t sid, NrBytes payload)
{
    return v1_handle_by_id(plugin_ctx, resolve(entry), sid, NULL, payload);
}

static uint32_t v1_resolve_entry(void *plugin_ctx, NrStr name)
{
    (void)plugin_ctx;
    return resolve(name);
}

static NrStatus v1_describe(void *plugin_ctx, uint32_t index, BkEntryInfo *out)
{
    (void)plugin_ctx;
    if (index >= ENTRY_COUNT)
        return NR_INVALID;
    out->kind = ENTRIES[index].kind;
    out->name = ENTRIES[index].name;
    out->help = (NrStr){NULL, 0, 0};
    return NR_OK;
}

static NrStatus v1_stream_data(void *plugin_ctx, uint64_t sid, NrBytes data)
{
    (void)plugin_ctx;
    v1_send(sid, NR_OK, data);
    return NR_OK;
}

static NrStatus v1_stream_close(void *plugin_ctx, uint64_t sid)
{
    (void)plugin_ctx;
    v1_send(sid, NR_STREAM_END, NOTHING);
    return NR_OK;
}

static NrStatus v1_attach(void *plugin_ctx, void *host_ctx, const BkHostApi *api)
{
    (void)plugin_ctx, (void)host_ctx;
    v1_api = api;
    return BK_HAS(api, lease_commit) ? NR_OK : NR_UNSUPPORTED;
}

static void fill_block(void)
{
    for (uint32_t i = 0; i < BLOCK_BYTES; i++)
        block[i] = (uint8_t)(i * 7u + 1u);
}

static NrStatus v1_init(void *plugin_ctx, void *host_ctx, const NrHostVTable *vtable)
{
    (void)plugin_ctx;
    v1_host = host_ctx;
    v1_vtable = vtable;
    fill_block();
    return NR_OK;
}

static void v1_shutdown(void *plugin_ctx)
{
    (void)plugin_ctx;
}

static const NrPluginVTable V1_VTABLE = {
    .init = v1_init,
    .handle = v1_handle,
    .shutdown = v1_shutdown,
    .stream_data = v1_stream_data,
    .stream_close = v1_stream_close,
    .handle_raw = v1_handle_raw,
    .resolve_entry = v1_resolve_entry,
    .handle_by_id = v1_handle_by_id,
    .describe = v1_describe,
};

/* The plugin is built twice: once it declares that it never blocks, once nothing. */
#ifdef BENCH_UNDECLARED
#define NEVER_BLOCKS 0
#else
#define NEVER_BLOCKS BK_PLUGIN_NEVER_BLOCKS
#endif

NR_EXPORT const NrPluginInfo *nylon_ring_get_plugin_v1(void)
{
    static NrPluginInfo info;
    info = (NrPluginInfo){
        .abi_version = NR_ABI_VERSION,
        .struct_size = sizeof(NrPluginInfo),
        .name = NR_STR("bench"),
        .version = NR_STR("1"),
        .vtable = &V1_VTABLE,
        .vtable_size = sizeof(NrPluginVTable),
        .flags = BK_PLUGIN_THREAD_SAFE | BK_PLUGIN_MAY_UNLOAD | NEVER_BLOCKS,
        .attach = v1_attach,
    };
    return &info;
}

/* ---- the second dialect: what nylon-ring-host 0.2 loads ---- */

typedef struct V2Vec {
    const uint8_t *ptr;
    uint64_t len;
    uint64_t cap;
    uint8_t owned;
    uint8_t _reserved[7];
    void (*drop_fn)(uint8_t *ptr, uint64_t len, uint64_t cap);
} V2Vec;

typedef struct V2Host {
    NrStatus (*send_result)(void *ctx, uint64_t sid, NrStatus status, V2Vec payload);
    NrStatus (*send_result_owned)(void *ctx, uint64_t sid, NrStatus status, NrOwnedBytes payload);
    NrBufferLease (*acquire_result_buffer)(void *ctx, uint64_t sid, uint64_t cap);
    NrStatus (*commit_result_buffer)(void *ctx, uint64_t sid, NrStatus status, uint64_t token,
                                     uint64_t len);
} V2Host;

typedef struct V2VTable {
    NrStatus (*init)(void *host_ctx, const V2Host *vtable);
    NrStatus (*handle)(NrStr entry, uint64_t sid, NrBytes payload);
    void (*shutdown)(void);
    NrStatus (*stream_data)(uint64_t sid, NrBytes data);
    NrStatus (*stream_close)(uint64_t sid);
    uint32_t (*resolve_entry)(NrStr name);
    NrStatus (*handle_by_id)(uint32_t id, uint64_t sid, NrBytes payload);
} V2VTable;

typedef struct V2Info {
    uint32_t abi_version;
    uint32_t struct_size;
    NrStr name;
    NrStr version;
    void *plugin_ctx;
    const V2VTable *vtable;
} V2Info;

static void *v2_host;
static const V2Host *v2_vtable;

static void v2_send(uint64_t sid, NrStatus status, NrBytes payload)
{
    v2_vtable->send_result(v2_host, sid, status,
                           (V2Vec){.ptr = payload.ptr, .len = payload.len, .cap = payload.len});
}

static void v2_send_owned(uint64_t sid, NrOwnedBytes payload)
{
    v2_vtable->send_result_owned(v2_host, sid, NR_OK, payload);
}

static NrStatus v2_send_leased(uint64_t sid)
{
    NrBufferLease lease = v2_vtable->acquire_result_buffer(v2_host, sid, BLOCK_BYTES);
    if (lease.ptr == NULL)
        return NR_ERR;
    memcpy(lease.ptr, block, BLOCK_BYTES);
    return v2_vtable->commit_result_buffer(v2_host, sid, NR_OK, lease.token, BLOCK_BYTES);
}

static const Ops V2_OPS = {v2_send, v2_send_owned, v2_send_leased};

static bool take(NrBytes *rest, uint64_t len, const uint8_t **out)
{
    if (rest->len < len)
        return false;
    *out = rest->ptr;
    rest->ptr += len;
    rest->len -= len;
    return true;
}

static bool take_u32(NrBytes *rest, uint32_t *out)
{
    const uint8_t *from;
    if (!take(rest, 4, &from))
        return false;
    memcpy(out, from, 4);
    return true;
}

/* This dialect has no request: the metadata travels in the payload, each text behind its length
 * (path, method, query, then the number of headers and their names and values). */
static NrStatus v2_request(uint64_t sid, const NrRequest *request, NrBytes rest)
{
    (void)request;
    const uint8_t *key, *value;
    uint32_t len, value_len, headers;
    for (int i = 0; i < 3; i++)
        if (!take_u32(&rest, &len) || !take(&rest, len, &key))
            return NR_INVALID;
    if (!take_u32(&rest, &headers) || headers != HEADERS)
        return NR_INVALID;
    for (uint32_t i = 0; i < headers; i++) {
        if (!take_u32(&rest, &len) || !take(&rest, len, &key) || !take_u32(&rest, &value_len) ||
            !take(&rest, value_len, &value))
            return NR_INVALID;
        if (is_wanted(key, len) && value_len != 0) {
            v2_send(sid, NR_OK, NOTHING);
            return NR_OK;
        }
    }
    return NR_INVALID;
}

HANDLERS(v2, V2_OPS)

static NrStatus v2_handle_by_id(uint32_t id, uint64_t sid, NrBytes payload)
{
    return id < ENTRY_COUNT ? v2_handlers[id](sid, NULL, payload) : NR_INVALID;
}

static NrStatus v2_handle(NrStr entry, uint64_t sid, NrBytes payload)
{
    return v2_handle_by_id(resolve(entry), sid, payload);
}

static NrStatus v2_stream_data(uint64_t sid, NrBytes data)
{
    v2_send(sid, NR_OK, data);
    return NR_OK;
}

static NrStatus v2_stream_close(uint64_t sid)
{
    v2_send(sid, NR_STREAM_END, NOTHING);
    return NR_OK;
}

static NrStatus v2_init(void *host_ctx, const V2Host *vtable)
{
    v2_host = host_ctx;
    v2_vtable = vtable;
    fill_block();
    return NR_OK;
}

static void v2_shutdown(void)
{
}

NR_EXPORT const V2Info *nylon_ring_get_plugin(void);
NR_EXPORT const V2Info *nylon_ring_get_plugin(void)
{
    static const V2VTable vtable = {
        .init = v2_init,
        .handle = v2_handle,
        .shutdown = v2_shutdown,
        .stream_data = v2_stream_data,
        .stream_close = v2_stream_close,
        .resolve_entry = resolve,
        .handle_by_id = v2_handle_by_id,
    };
    static V2Info info;
    info = (V2Info){
        .abi_version = 2,
        .struct_size = sizeof(V2Info),
        .name = NR_STR("bench"),
        .version = NR_STR("1"),
        .vtable = &vtable,
    };
    return &info;
}

/* ---- what the harness itself calls ---- */

/* Starts or stops counting calls of "notify"; returns how many were counted. */
NR_EXPORT uint64_t bench_count(uint32_t on);
NR_EXPORT uint64_t bench_count(uint32_t on)
{
    atomic_store(&counting, on != 0);
    return atomic_exchange(&notified, 0);
}

/* Starts the thread that answers "thread", on one CPU; 0: it runs. */
NR_EXPORT int32_t bench_answerer_start(uint32_t cpu);
NR_EXPORT int32_t bench_answerer_start(uint32_t cpu)
{
    answerer_ops = v1_host != NULL ? &V1_OPS : &V2_OPS;
    atomic_store(&answering, true);
    if (pthread_create(&answerer, NULL, answer_loop, NULL) != 0)
        return -1;
    cpu_set_t cpus;
    CPU_ZERO(&cpus);
    CPU_SET(cpu, &cpus);
    return pthread_setaffinity_np(answerer, sizeof cpus, &cpus);
}

/* Stops that thread and waits for its end. */
NR_EXPORT void bench_answerer_stop(void);
NR_EXPORT void bench_answerer_stop(void)
{
    atomic_store(&answering, false);
    pthread_join(answerer, NULL);
}
