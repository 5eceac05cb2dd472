/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a Becket host offers a plugin beyond send_result: answers with
 * backpressure, owned and leased buffers, per-call state, cancellation, logs,
 * metrics, timers, configuration, coroutines and channels.
 *
 * The plugin gets the table in NrPluginInfo.attach and keeps the pointer; it
 * is valid for the rest of the process. Every function may be called from any
 * thread. One that takes a sid answers Invalid for an id that is finished,
 * foreign or made up, and the host counts it.
 *
 * No function may be called from a signal handler: it may have interrupted the
 * host, or malloc, on the same thread. Where the host sees that it was
 * interrupted it refuses and counts the call; elsewhere the thread may hang.
 *
 * The table grows at its end: compare struct_size before using a function
 * newer than your header (BK_HAS).
 */
#ifndef BECKET_H
#define BECKET_H

#include "nylon_ring.h"

#ifdef __cplusplus
extern "C" {
#endif

#define BK_HOST_API_VERSION 1u

/* Log levels. */
#define BK_LOG_ERROR 1u
#define BK_LOG_WARN 2u
#define BK_LOG_INFO 3u
#define BK_LOG_DEBUG 4u
#define BK_LOG_TRACE 5u

/* Metric kinds. */
#define BK_METRIC_COUNTER 0u
#define BK_METRIC_GAUGE 1u
#define BK_METRIC_HISTOGRAM 2u
#define BK_METRIC_UNKNOWN 0xFFFFFFFFu /* metric_register refused */

#define BK_NO_DEADLINE UINT64_MAX /* remaining_ms: none */
#define BK_FOREVER UINT64_MAX     /* a wait without a limit in time */

/* Runs on a thread of the host. */
typedef void (*BkTimerFn)(void *user_data);

/* Runs on a coroutine; may not unwind. */
typedef void (*BkCoroutineFn)(void *argument);

typedef struct BkHostApi {
    uint32_t struct_size;
    uint32_t api_version; /* BK_HOST_API_VERSION */

    /* Answers. Ok: taken. Backpressure: the stream's queue is full, not
     * taken. Invalid: sid has no caller, or the payload is bad. TooLong: longer
     * than the host's payload_bytes_max; an answer or a last frame ended its
     * call with that status, any other frame was not sent. */
    NrStatus (*send)(void *host_ctx, uint64_t sid, NrStatus status, NrBytes payload);
    /* Waits up to timeout_ms for room, then Backpressure; inside a vtable call
     * it never waits. */
    NrStatus (*send_wait)(void *host_ctx, uint64_t sid, NrStatus status, NrBytes payload,
                          uint64_t timeout_ms);
    /* No copy. The host owns payload and releases it, unless this returns
     * Backpressure: then it is still the plugin's. */
    NrStatus (*send_owned)(void *host_ctx, uint64_t sid, NrStatus status, NrOwnedBytes payload);
    /* A buffer of cap bytes or more to write the answer of sid into; cap 0 is
     * refused. It is the plugin's until it is committed or released, also
     * beyond the call. */
    NrBufferLease (*lease_acquire)(void *host_ctx, uint64_t sid, uint64_t cap);
    /* Sends its first len bytes; the lease is over unless Backpressure, or
     * len is above its cap. */
    NrStatus (*lease_commit)(void *host_ctx, uint64_t sid, NrStatus status, uint64_t token,
                             uint64_t len);
    NrStatus (*lease_release)(void *host_ctx, uint64_t token);
    /* The plugin takes data of sid again, after its stream_data returned
     * Backpressure: the host offers the frame again. */
    NrStatus (*stream_ready)(void *host_ctx, uint64_t sid);

    /* State of a call, gone when the call ends. Backpressure: quota used up. */
    NrStatus (*state_set)(void *host_ctx, uint64_t sid, NrStr key, NrBytes value);
    /* Copies at most cap bytes; *len_out is the whole length. Err: no such key. */
    NrStatus (*state_get)(void *host_ctx, uint64_t sid, NrStr key, uint8_t *buf, uint64_t cap,
                          uint64_t *len_out);
    const NrHostExt *host_ext;

    /* 1: sid has no caller any more. */
    uint32_t (*is_cancelled)(void *host_ctx, uint64_t sid);
    /* Milliseconds to the deadline; 0 over, BK_NO_DEADLINE none. */
    uint64_t (*remaining_ms)(void *host_ctx, uint64_t sid);

    uint32_t (*log_enabled)(void *host_ctx, uint32_t level);
    /* A message above 64 KiB is dropped and counted. */
    void (*log)(void *host_ctx, uint32_t level, NrStr target, NrStr message);

    /* The same id for the same name. name: at most 128 bytes of ASCII letters,
     * digits and '_', not beginning with a digit; help: at most 1024 bytes. */
    uint32_t (*metric_register)(void *host_ctx, uint32_t kind, NrStr name, NrStr help);
    NrStatus (*counter_add)(void *host_ctx, uint32_t metric, uint64_t delta);
    NrStatus (*gauge_set)(void *host_ctx, uint32_t metric, double value);
    NrStatus (*histogram_record)(void *host_ctx, uint32_t metric, double value);

    /* Runs callback(user_data) once, delay_ms from now. 0: refused. Before
     * shutdown the host cancels those left and waits for one that runs. */
    uint64_t (*timer_start)(void *host_ctx, uint64_t delay_ms, BkTimerFn callback,
                            void *user_data);
    /* Ok: it will never run. Invalid: it ran, runs, or is unknown. */
    NrStatus (*timer_cancel)(void *host_ctx, uint64_t timer);

    /* The plugin's configuration as a JSON object; lives as long as the plugin. */
    NrStr (*config)(void *host_ctx);
    /* One value by dotted key: text bare, else JSON; empty if unset. */
    NrStr (*config_get)(void *host_ctx, NrStr key);

    /* Coroutines: the handlers of a plugin that sets BK_PLUGIN_WANTS_COROUTINE
     * run on them, and may wait. A wait returns Cancelled when the call that it
     * serves has no caller any more, or the plugin is about to end: the handler
     * should return then. On a thread of the plugin's own it blocks the thread;
     * on a thread of the host (in a vtable call that is on no coroutine, in a
     * timer) it returns Unsupported at once. Timeouts are in nanoseconds:
     * BK_FOREVER for no limit, 0 for no wait. When one has passed: Timeout. */

    /* Names the calling coroutine of this plugin; 0 on a plain thread. */
    uint64_t (*coroutine_current)(void *host_ctx);
    /* Lets the others of this thread run first. */
    NrStatus (*coroutine_yield)(void *host_ctx);
    NrStatus (*coroutine_sleep)(void *host_ctx, uint64_t duration_ns);
    /* Runs function(argument) on a coroutine of its own; stack_bytes 0: as the
     * handlers'. It serves the call of the coroutine that spawned it. */
    NrStatus (*coroutine_spawn)(void *host_ctx, BkCoroutineFn function, void *argument,
                                uint64_t stack_bytes);
    /* The next frame of stream sid. Ok: *out holds it until the caller calls
     * out->release(out->owner_ctx, out->ptr, out->len), if it is not NULL.
     * Closed: the host has closed and all was received. Cancelled: it is over. */
    NrStatus (*stream_recv)(void *host_ctx, uint64_t sid, NrOwnedBytes *out,
                            uint64_t timeout_ns);
    /* A frame of stream sid, when there is room. Cancelled: it is over. */
    NrStatus (*stream_send)(void *host_ctx, uint64_t sid, NrBytes payload, uint64_t timeout_ns);

    /* Channels of byte messages within the plugin; any senders and receivers.
     * capacity 0: a send waits for its receiver. Returns 0 if refused. */
    uint64_t (*channel_make)(void *host_ctx, uint64_t capacity);
    NrStatus (*channel_send)(void *host_ctx, uint64_t channel, NrBytes message,
                             uint64_t timeout_ns);
    /* *out as for stream_recv. Closed: closed and empty. */
    NrStatus (*channel_recv)(void *host_ctx, uint64_t channel, NrOwnedBytes *out,
                             uint64_t timeout_ns);
    NrStatus (*channel_close)(void *host_ctx, uint64_t channel); /* nothing more is sent */
    NrStatus (*channel_destroy)(void *host_ctx, uint64_t channel);
} BkHostApi;

/* True if the table at api (may be NULL) has the function. */
#define BK_HAS(api, function)                                        \
    ((api) != NULL && (api)->struct_size >= offsetof(BkHostApi, function) + sizeof(void *))

#ifdef __cplusplus
}
#endif

#endif /* BECKET_H */
