/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a plugin in C calls: answers, state, logs, metrics, configuration.
 *
 * Each function asks BK_HAS first, so a plugin built with this header runs on
 * an older host: a function that the host lacks answers NR_UNSUPPORTED, or
 * what its comment says, and an answer falls back to send_result.
 *
 * All of them may be called from any thread, until shutdown and after it.
 */
#ifndef BECKET_CALL_H
#define BECKET_CALL_H

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "becket.h"

#define BK_LOG_MESSAGE_BYTES_MAX 1024 /* bk_logf cuts longer messages */

struct BkPluginDef;

/* One live instance of the plugin. Written by attach and init, then read only;
 * user is the plugin's own. */
typedef struct BkPlugin {
    const struct BkPluginDef *def;
    void *host_ctx;
    const NrHostVTable *host;
    const BkHostApi *api; /* NULL on a host without one */
    void *user;
} BkPlugin;

/* One request. request and payload are borrowed for the handler; plugin and
 * sid may be kept to answer later. */
typedef struct BkCall {
    BkPlugin *plugin;
    uint64_t sid;
    const NrRequest *request; /* NULL: a raw call */
    NrBytes payload;
    int is_stream; /* NR_OK is a frame of many, not the answer */
} BkCall;

/* Views. */

static inline NrStr bk_str(const char *text) {
    size_t len = text == NULL ? 0 : strlen(text);
    NrStr view = {NULL, 0, 0};
    if (len > 0 && len <= UINT32_MAX) {
        view.ptr = (const uint8_t *)text;
        view.len = (uint32_t)len;
    }
    return view;
}

static inline NrBytes bk_bytes(const void *data, uint64_t len) {
    NrBytes view = {len == 0 ? NULL : (const uint8_t *)data, len};
    return view;
}

static inline NrBytes bk_text(const char *text) {
    return bk_bytes(text, text == NULL ? 0 : strlen(text));
}

static inline NrBytes bk_str_bytes(NrStr text) { return bk_bytes(text.ptr, text.len); }

static inline int bk_str_eq(NrStr view, const char *text) {
    size_t len = strlen(text);
    return view.len == len && (len == 0 || memcmp(view.ptr, text, len) == 0);
}

/* ASCII case is ignored, as HTTP does in header names. */
static inline int bk_str_eq_ignore_case(NrStr view, const char *text) {
    size_t len = strlen(text);
    if (view.len != len) {
        return 0;
    }
    for (size_t i = 0; i < len; i++) {
        unsigned char a = view.ptr[i];
        unsigned char b = (unsigned char)text[i];
        a = (unsigned char)(a >= 'A' && a <= 'Z' ? a + 32 : a);
        b = (unsigned char)(b >= 'A' && b <= 'Z' ? b + 32 : b);
        if (a != b) {
            return 0;
        }
    }
    return 1;
}

/* The first header of that name; NULL without one, or in a raw call. */
static inline const NrHeader *bk_header(const NrRequest *request, const char *name) {
    for (uint32_t i = 0; request != NULL && i < request->headers_len; i++) {
        if (bk_str_eq_ignore_case(request->headers[i].key, name)) {
            return &request->headers[i];
        }
    }
    return NULL;
}

/* True if the bytes are well-formed UTF-8: no overlong form, no surrogate,
 * nothing above U+10FFFF. */
static inline int bk_is_utf8(NrBytes text) {
    uint64_t i = 0;
    while (i < text.len) {
        uint8_t lead = text.ptr[i++];
        uint8_t low = 0x80, high = 0xBF; /* of the byte after lead */
        int more = 0;
        if (lead < 0x80) {
            continue;
        } else if (lead >= 0xC2 && lead <= 0xDF) {
            more = 1;
        } else if (lead >= 0xE0 && lead <= 0xEF) {
            more = 2;
            low = lead == 0xE0 ? 0xA0 : 0x80;
            high = lead == 0xED ? 0x9F : 0xBF;
        } else if (lead >= 0xF0 && lead <= 0xF4) {
            more = 3;
            low = lead == 0xF0 ? 0x90 : 0x80;
            high = lead == 0xF4 ? 0x8F : 0xBF;
        } else {
            return 0;
        }
        for (; more > 0; more--, i++, low = 0x80, high = 0xBF) {
            if (i >= text.len || text.ptr[i] < low || text.ptr[i] > high) {
                return 0;
            }
        }
    }
    return 1;
}

/* Reads decimal digits without sign or space; false if there is anything else,
 * nothing at all, or more than max. */
static inline int bk_number(NrBytes text, uint64_t max, uint64_t *out) {
    uint64_t value = 0;
    for (uint64_t i = 0; i < text.len; i++) {
        uint64_t digit = (uint64_t)text.ptr[i] - '0';
        if (text.ptr[i] < '0' || digit > 9 || digit > max ||
            value > (max - digit) / 10) {
            return 0;
        }
        value = value * 10 + digit;
    }
    *out = value;
    return text.len > 0;
}

/* Answers. status NR_OK on a stream means that more may follow. */

/* The payload is copied. Backpressure: the stream's queue is full, not taken.
 * Invalid: no caller waits. TooLong: the host takes no payload of that length;
 * an answer or a last frame ended its call with that status, any other frame
 * was not sent, and the stream goes on. */
static inline NrStatus bk_send(const BkPlugin *plugin, uint64_t sid, NrStatus status,
                               NrBytes payload) {
    if (BK_HAS(plugin->api, send)) {
        return plugin->api->send(plugin->host_ctx, sid, status, payload);
    }
    plugin->host->send_result(plugin->host_ctx, sid, status, payload);
    return NR_OK;
}

/* Waits up to timeout_ms for room, then Backpressure; only on a thread of the
 * plugin's own. */
static inline NrStatus bk_send_wait(const BkPlugin *plugin, uint64_t sid, NrStatus status,
                                    NrBytes payload, uint64_t timeout_ms) {
    if (BK_HAS(plugin->api, send_wait)) {
        return plugin->api->send_wait(plugin->host_ctx, sid, status, payload, timeout_ms);
    }
    plugin->host->send_result(plugin->host_ctx, sid, status, payload);
    return NR_OK;
}

/* No copy; on Backpressure the bytes are still the plugin's. */
static inline NrStatus bk_send_owned(const BkPlugin *plugin, uint64_t sid, NrStatus status,
                                     NrOwnedBytes payload) {
    if (BK_HAS(plugin->api, send_owned)) {
        return plugin->api->send_owned(plugin->host_ctx, sid, status, payload);
    }
    plugin->host->send_result(plugin->host_ctx, sid, status, bk_bytes(payload.ptr, payload.len));
    if (payload.release != NULL) {
        payload.release(payload.owner_ctx, payload.ptr, payload.len);
    }
    return NR_OK;
}

/* 1: sid has no caller any more; 0 also on a host without this function. */
static inline uint32_t bk_is_cancelled(const BkPlugin *plugin, uint64_t sid) {
    return BK_HAS(plugin->api, is_cancelled) ? plugin->api->is_cancelled(plugin->host_ctx, sid)
                                             : 0;
}

/* In a handler: the answer, or a frame. */
static inline NrStatus bk_answer(const BkCall *call, NrStatus status, NrBytes payload) {
    return bk_send(call->plugin, call->sid, status, payload);
}

static inline NrStatus bk_answer_text(const BkCall *call, NrStatus status, const char *text) {
    return bk_answer(call, status, bk_text(text));
}

/* A buffer to write the answer into; token 0: refused, or the host has none. */
static inline NrBufferLease bk_lease_acquire(const BkPlugin *plugin, uint64_t sid, uint64_t cap) {
    NrBufferLease refused = {NULL, 0, 0};
    return BK_HAS(plugin->api, lease_acquire)
               ? plugin->api->lease_acquire(plugin->host_ctx, sid, cap)
               : refused;
}

/* Sends the first len bytes; the lease is over unless Backpressure, or len is
 * above its cap. */
static inline NrStatus bk_lease_commit(const BkPlugin *plugin, uint64_t sid, NrStatus status,
                                       uint64_t token, uint64_t len) {
    return BK_HAS(plugin->api, lease_commit)
               ? plugin->api->lease_commit(plugin->host_ctx, sid, status, token, len)
               : NR_UNSUPPORTED;
}

static inline NrStatus bk_lease_release(const BkPlugin *plugin, uint64_t token) {
    return BK_HAS(plugin->api, lease_release)
               ? plugin->api->lease_release(plugin->host_ctx, token)
               : NR_UNSUPPORTED;
}

/* The plugin takes data of sid again, after its stream_data answered
 * Backpressure: the host offers the frame again. */
static inline NrStatus bk_stream_ready(const BkPlugin *plugin, uint64_t sid) {
    return BK_HAS(plugin->api, stream_ready)
               ? plugin->api->stream_ready(plugin->host_ctx, sid)
               : NR_UNSUPPORTED;
}

/* State of a call, gone when the call ends. */

static inline NrStatus bk_state_set(const BkPlugin *plugin, uint64_t sid, NrStr key,
                                    NrBytes value) {
    return BK_HAS(plugin->api, state_set)
               ? plugin->api->state_set(plugin->host_ctx, sid, key, value)
               : NR_UNSUPPORTED;
}

/* Copies at most cap bytes; *len_out is the whole length. Err: no such key. */
static inline NrStatus bk_state_get(const BkPlugin *plugin, uint64_t sid, NrStr key, void *buf,
                                    uint64_t cap, uint64_t *len_out) {
    *len_out = 0;
    return BK_HAS(plugin->api, state_get)
               ? plugin->api->state_get(plugin->host_ctx, sid, key, (uint8_t *)buf, cap, len_out)
               : NR_UNSUPPORTED;
}

/* Milliseconds; BK_NO_DEADLINE also on a host without this function. */
static inline uint64_t bk_remaining_ms(const BkPlugin *plugin, uint64_t sid) {
    return BK_HAS(plugin->api, remaining_ms) ? plugin->api->remaining_ms(plugin->host_ctx, sid)
                                             : BK_NO_DEADLINE;
}

/* Logs. Nothing happens on a host without them. */

static inline uint32_t bk_log_enabled(const BkPlugin *plugin, uint32_t level) {
    return BK_HAS(plugin->api, log_enabled) && BK_HAS(plugin->api, log)
               ? plugin->api->log_enabled(plugin->host_ctx, level)
               : 0;
}

static inline void bk_log(const BkPlugin *plugin, uint32_t level, const char *target,
                          const char *message) {
    if (bk_log_enabled(plugin, level)) {
        plugin->api->log(plugin->host_ctx, level, bk_str(target), bk_str(message));
    }
}

#if defined(__GNUC__)
__attribute__((format(printf, 4, 5)))
#endif
static inline void
bk_logf(const BkPlugin *plugin, uint32_t level, const char *target, const char *format, ...) {
    char message[BK_LOG_MESSAGE_BYTES_MAX];
    va_list args;
    if (!bk_log_enabled(plugin, level)) {
        return;
    }
    va_start(args, format);
    int len = vsnprintf(message, sizeof message, format, args);
    va_end(args);
    if (len >= 0) {
        plugin->api->log(plugin->host_ctx, level, bk_str(target), bk_str(message));
    }
}

/* Metrics. kind is BK_METRIC_*; register once, in start. */

static inline uint32_t bk_metric(const BkPlugin *plugin, uint32_t kind, const char *name,
                                 const char *help) {
    return BK_HAS(plugin->api, metric_register)
               ? plugin->api->metric_register(plugin->host_ctx, kind, bk_str(name), bk_str(help))
               : BK_METRIC_UNKNOWN;
}

static inline NrStatus bk_counter_add(const BkPlugin *plugin, uint32_t metric, uint64_t delta) {
    return BK_HAS(plugin->api, counter_add)
               ? plugin->api->counter_add(plugin->host_ctx, metric, delta)
               : NR_UNSUPPORTED;
}

static inline NrStatus bk_gauge_set(const BkPlugin *plugin, uint32_t metric, double value) {
    return BK_HAS(plugin->api, gauge_set)
               ? plugin->api->gauge_set(plugin->host_ctx, metric, value)
               : NR_UNSUPPORTED;
}

static inline NrStatus bk_histogram_record(const BkPlugin *plugin, uint32_t metric, double value) {
    return BK_HAS(plugin->api, histogram_record)
               ? plugin->api->histogram_record(plugin->host_ctx, metric, value)
               : NR_UNSUPPORTED;
}

/* Timers. The callback gets user_data and nothing else, and may run until
 * shutdown; becket_delay.h ties a timer to a call and keeps the books. */

static inline uint64_t bk_timer_start(const BkPlugin *plugin, uint64_t delay_ms,
                                      BkTimerFn callback, void *user_data) {
    return BK_HAS(plugin->api, timer_start)
               ? plugin->api->timer_start(plugin->host_ctx, delay_ms, callback, user_data)
               : 0;
}

static inline NrStatus bk_timer_cancel(const BkPlugin *plugin, uint64_t timer) {
    return BK_HAS(plugin->api, timer_cancel)
               ? plugin->api->timer_cancel(plugin->host_ctx, timer)
               : NR_UNSUPPORTED;
}

/* Configuration. Empty on a host without it. */

static inline NrStr bk_config(const BkPlugin *plugin) {
    return BK_HAS(plugin->api, config) ? plugin->api->config(plugin->host_ctx) : bk_str(NULL);
}

static inline NrStr bk_config_get(const BkPlugin *plugin, const char *key) {
    return BK_HAS(plugin->api, config_get)
               ? plugin->api->config_get(plugin->host_ctx, bk_str(key))
               : bk_str(NULL);
}

#endif /* BECKET_CALL_H */
