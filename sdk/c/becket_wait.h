/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a handler on a coroutine of the host waits for, in straight-line C.
 *
 *     static NrStatus chat(const BkCall *call) {
 *         NrOwnedBytes frame;
 *         NrStatus status;
 *         while ((status = bk_stream_recv(call->plugin, call->sid, &frame, BK_FOREVER)) == NR_OK) {
 *             status = bk_stream_send(call->plugin, call->sid, bk_view(&frame), BK_FOREVER);
 *             bk_release(&frame);
 *         }
 *         return status == NR_CLOSED ? bk_answer_text(call, NR_STREAM_END, "") : status;
 *     }
 *
 * The plugin sets BK_PLUGIN_WANTS_COROUTINE and BK_PLUGIN_THREAD_SAFE; an entry
 * that never waits is described with BK_ENTRY_NEVER_WAITS, and is called faster.
 *
 * NR_CANCELLED: the call has no caller any more, or the plugin is about to
 * end. Free what you hold, and return: a handler that waits on and on is given
 * up by the host where it stands. Hold no lock across a wait, and keep nothing
 * of the thread's (errno, thread-local variables) across one.
 *
 * All of them wait as a thread on a thread of the plugin's own. On a thread of
 * the host, and on a host without coroutines, they answer NR_UNSUPPORTED.
 * Times are nanoseconds: BK_FOREVER, or 0 not to wait; then NR_TIMEOUT.
 */
#ifndef BECKET_WAIT_H
#define BECKET_WAIT_H

#include "becket_call.h"

#define BK_MILLISECOND UINT64_C(1000000) /* in nanoseconds */

/* Names the calling coroutine; 0: a thread, or a host without coroutines. */
static inline uint64_t bk_coroutine(const BkPlugin *plugin) {
    return BK_HAS(plugin->api, coroutine_current)
               ? plugin->api->coroutine_current(plugin->host_ctx)
               : 0;
}

static inline NrStatus bk_yield(const BkPlugin *plugin) {
    return BK_HAS(plugin->api, coroutine_yield) ? plugin->api->coroutine_yield(plugin->host_ctx)
                                                : NR_UNSUPPORTED;
}

static inline NrStatus bk_sleep(const BkPlugin *plugin, uint64_t duration_ns) {
    return BK_HAS(plugin->api, coroutine_sleep)
               ? plugin->api->coroutine_sleep(plugin->host_ctx, duration_ns)
               : NR_UNSUPPORTED;
}

/* Runs function(argument) on a coroutine that serves the same call. */
static inline NrStatus bk_spawn(const BkPlugin *plugin, BkCoroutineFn function, void *argument) {
    return BK_HAS(plugin->api, coroutine_spawn)
               ? plugin->api->coroutine_spawn(plugin->host_ctx, function, argument, 0)
               : NR_UNSUPPORTED;
}

/* Bytes that were received: read them in place, release them once. */

static inline NrBytes bk_view(const NrOwnedBytes *bytes) {
    return bk_bytes(bytes->ptr, bytes->len);
}

static inline void bk_release(NrOwnedBytes *bytes) {
    if (bytes->release != NULL) {
        bytes->release(bytes->owner_ctx, bytes->ptr, bytes->len);
    }
    memset(bytes, 0, sizeof *bytes);
}

/* The next frame from the host. NR_CLOSED: it has closed, and all was received. */
static inline NrStatus bk_stream_recv(const BkPlugin *plugin, uint64_t sid, NrOwnedBytes *out,
                                      uint64_t timeout_ns) {
    memset(out, 0, sizeof *out);
    return BK_HAS(plugin->api, stream_recv)
               ? plugin->api->stream_recv(plugin->host_ctx, sid, out, timeout_ns)
               : NR_UNSUPPORTED;
}

/* A frame to the host, when there is room. */
static inline NrStatus bk_stream_send(const BkPlugin *plugin, uint64_t sid, NrBytes frame,
                                      uint64_t timeout_ns) {
    return BK_HAS(plugin->api, stream_send)
               ? plugin->api->stream_send(plugin->host_ctx, sid, frame, timeout_ns)
               : NR_UNSUPPORTED;
}

/* Channels of byte messages within the plugin. 0: refused. */

static inline uint64_t bk_channel_make(const BkPlugin *plugin, uint64_t capacity) {
    return BK_HAS(plugin->api, channel_make)
               ? plugin->api->channel_make(plugin->host_ctx, capacity)
               : 0;
}

static inline NrStatus bk_channel_send(const BkPlugin *plugin, uint64_t channel, NrBytes message,
                                       uint64_t timeout_ns) {
    return BK_HAS(plugin->api, channel_send)
               ? plugin->api->channel_send(plugin->host_ctx, channel, message, timeout_ns)
               : NR_UNSUPPORTED;
}

static inline NrStatus bk_channel_recv(const BkPlugin *plugin, uint64_t channel,
                                       NrOwnedBytes *out, uint64_t timeout_ns) {
    memset(out, 0, sizeof *out);
    return BK_HAS(plugin->api, channel_recv)
               ? plugin->api->channel_recv(plugin->host_ctx, channel, out, timeout_ns)
               : NR_UNSUPPORTED;
}

/* Nothing more is sent; what was sent can be received. */
static inline NrStatus bk_channel_close(const BkPlugin *plugin, uint64_t channel) {
    return BK_HAS(plugin->api, channel_close)
               ? plugin->api->channel_close(plugin->host_ctx, channel)
               : NR_UNSUPPORTED;
}

static inline NrStatus bk_channel_destroy(const BkPlugin *plugin, uint64_t channel) {
    return BK_HAS(plugin->api, channel_destroy)
               ? plugin->api->channel_destroy(plugin->host_ctx, channel)
               : NR_UNSUPPORTED;
}

#endif /* BECKET_WAIT_H */
