/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A host for unit tests of a plugin, linked into the test: nothing is loaded,
 * no clock runs, no thread is started. C11 and C++17.
 *
 *     BkFakeHost *host = bk_fake_new();
 *     BK_CHECK(bk_fake_load(host, nylon_ring_get_plugin_v1(), 1) == NR_OK);
 *     uint64_t sid = bk_fake_call(host, "echo", NULL, bk_fake_text("hi"));
 *     BK_CHECK_FRAME(host, sid, NR_OK, "hi");
 *     BK_CHECK(bk_fake_unload(host) == 0);
 *     bk_fake_free(host);
 *
 * It keeps the rules that a plugin can notice: the first answer wins and later
 * ones get Invalid; nothing passes after a terminal frame; a full stream queue
 * says Backpressure but lets the terminal frame through; state ends with its
 * call; a lease is used once. Timers run in bk_fake_advance, in the order of
 * their times, on the caller's thread. config_get knows the keys that
 * bk_fake_config set, and reads no JSON.
 *
 * Threads: the host's callbacks may come from any thread of the plugin; the
 * bk_fake functions are the test's, one thread at a time. bk_fake_wait waits for
 * a frame that another thread sends.
 *
 * Memory: frames, logs and leases live until bk_fake_free.
 */
#ifndef BECKET_FAKE_HOST_H
#define BECKET_FAKE_HOST_H

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "becket.h"

#define BK_FAKE_PAYLOAD_BYTES_MAX (64u << 20)

typedef struct BkFakeFrame {
    NrStatus status;
    const uint8_t *data; /* NULL when empty */
    uint64_t len;
    struct BkFakeFrame *next;
} BkFakeFrame;

typedef struct BkFakeState {
    char *key;
    uint64_t key_len;
    uint8_t *value;
    uint64_t value_len;
    struct BkFakeState *next;
} BkFakeState;

typedef struct BkFakeCall {
    uint64_t sid;
    int is_stream;
    int finished;
    uint64_t due_ms; /* BK_NO_DEADLINE: none */
    uint64_t ready;  /* calls of stream_ready */
    uint64_t queued;
    BkFakeFrame *first, *last;
    BkFakeState *state;
    struct BkFakeCall *next;
} BkFakeCall;

typedef struct BkFakeLease {
    uint64_t token, sid, cap;
    uint8_t *data;
    int open;
    struct BkFakeLease *next;
} BkFakeLease;

typedef struct BkFakeTimer {
    uint64_t id, due_ms;
    BkTimerFn callback;
    void *user_data;
    int pending;
    struct BkFakeTimer *next;
} BkFakeTimer;

typedef struct BkFakeMetric {
    uint32_t id, kind;
    char *name;
    double value; /* counter, gauge; a histogram's sum */
    uint64_t records;
    struct BkFakeMetric *next;
} BkFakeMetric;

typedef struct BkFakeText { /* a log message, or a configured key */
    uint32_t level;
    char *name, *text;
    struct BkFakeText *next;
} BkFakeText;

typedef struct BkFakeBlock {
    struct BkFakeBlock *next;
    uint64_t align;
} BkFakeBlock;

typedef struct BkFakeHost {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    const NrPluginInfo *info;
    NrPluginVTable vtable; /* what the plugin lacks is NULL */
    BkHostApi api;
    NrHostVTable host_vtable;
    NrHostExt host_ext;
    uint64_t id_last, now_ms;
    uint64_t frames_max; /* a stream's queue; 1024 */
    uint64_t timers_max; /* 4096 */
    uint64_t refused;    /* answers that nobody waited for, or that were bad */
    BkFakeCall *calls;
    BkFakeLease *leases;
    BkFakeTimer *timers;
    BkFakeMetric *metrics;
    BkFakeText *logs, *config;
    BkFakeBlock *blocks;
} BkFakeHost;

#define BK_CHECK(condition)                                                             \
    do {                                                                                \
        if (!(condition)) {                                                             \
            fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition);     \
            exit(1);                                                                    \
        }                                                                               \
    } while (0)

/* The next frame of sid is there, with this status and text. */
#define BK_CHECK_FRAME(host, sid, expected_status, expected_text)                       \
    bk_fake_check_frame((host), (sid), (expected_status), (expected_text), __FILE__, __LINE__)

/* Memory and small helpers; the lock is held, or not yet needed. */

static inline void *bk_fake_alloc(BkFakeHost *host, uint64_t len) {
    BkFakeBlock *block = (BkFakeBlock *)calloc(1, sizeof *block + len);
    if (block == NULL) {
        fprintf(stderr, "fake host: no memory for %llu bytes\n", (unsigned long long)len);
        exit(1);
    }
    block->next = host->blocks;
    host->blocks = block;
    return block + 1;
}

static inline void *bk_fake_copy(BkFakeHost *host, const void *data, uint64_t len) {
    char *copy = (char *)bk_fake_alloc(host, len + 1);
    if (len > 0) {
        memcpy(copy, data, len);
    }
    return copy;
}

static inline NrBytes bk_fake_bytes(const void *data, uint64_t len) {
    NrBytes view = {len == 0 ? NULL : (const uint8_t *)data, len};
    return view;
}

static inline NrBytes bk_fake_text(const char *text) { return bk_fake_bytes(text, strlen(text)); }

static inline NrStr bk_fake_str(const char *text) {
    size_t len = strlen(text);
    NrStr view = {len == 0 ? NULL : (const uint8_t *)text, (uint32_t)len, 0};
    return view;
}

static inline BkFakeCall *bk_fake_find(BkFakeHost *host, uint64_t sid) {
    BkFakeCall *call = host->calls;
    while (call != NULL && call->sid != sid) {
        call = call->next;
    }
    return call;
}

static inline BkFakeMetric *bk_fake_metric_by_id(BkFakeHost *host, uint32_t id) {
    BkFakeMetric *metric = host->metrics;
    while (metric != NULL && metric->id != id) {
        metric = metric->next;
    }
    return metric;
}

static inline void bk_fake_finish(BkFakeCall *call) {
    call->finished = 1;
    call->state = NULL;
}

/* The one way in for answers, whatever their shape. */
static inline NrStatus bk_fake_push(BkFakeHost *host, uint64_t sid, NrStatus status,
                                    NrBytes payload) {
    BkFakeCall *call = bk_fake_find(host, sid);
    if (call == NULL || call->finished || payload.len > BK_FAKE_PAYLOAD_BYTES_MAX ||
        (payload.ptr == NULL && payload.len > 0)) {
        host->refused++;
        return NR_INVALID;
    }
    int terminal = !call->is_stream || status != NR_OK;
    if (!terminal && call->queued >= host->frames_max) {
        return NR_BACKPRESSURE;
    }
    BkFakeFrame *frame = (BkFakeFrame *)bk_fake_alloc(host, sizeof *frame);
    frame->status = status;
    frame->len = payload.len;
    frame->data =
        payload.len == 0 ? NULL : (const uint8_t *)bk_fake_copy(host, payload.ptr, payload.len);
    if (call->last == NULL) {
        call->first = frame;
    } else {
        call->last->next = frame;
    }
    call->last = frame;
    call->queued++;
    if (terminal) {
        bk_fake_finish(call);
    }
    pthread_cond_broadcast(&host->changed);
    return NR_OK;
}

/* The callbacks that the plugin gets. */

static inline NrStatus bk_fake_api_send(void *host_ctx, uint64_t sid, NrStatus status,
                                        NrBytes payload) {
    BkFakeHost *host = (BkFakeHost *)host_ctx;
    pthread_mutex_lock(&host->lock);
    NrStatus sent = bk_fake_push(host, sid, status, payload);
    pthread_mutex_unlock(&host->lock);
    return sent;
}

static inline void bk_fake_send_result(void *host_ctx, uint64_t sid, NrStatus status,
                                       NrBytes payload) {
    if (bk_fake_api_send(host_ctx, sid, status, payload) == NR_BACKPRESSURE) {
        bk_fake_api_send(host_ctx, sid, NR_BACKPRESSURE, bk_fake_bytes(NULL, 0));
    }
}

static inline NrStatus bk_fake_api_send_wait(void *host_ctx, uint64_t sid, NrStatus status,
                                             NrBytes payload, uint64_t timeout_ms) {
    (void)timeout_ms; /* no clock runs, so no room can come */
    return bk_fake_api_send(host_ctx, sid, status, payload);
}

static inline NrStatus bk_fake_api_send_owned(void *host_ctx, uint64_t sid, NrStatus status,
                                              NrOwnedBytes payload) {
    NrBytes view = {payload.ptr, payload.len};
    NrStatus sent = bk_fake_api_send(host_ctx, sid, status, view);
    if (sent != NR_BACKPRESSURE && payload.release != NULL) {
        payload.release(payload.owner_ctx, payload.ptr, payload.len);
    }
    return sent;
}

static inline NrBufferLease bk_fake_api_lease_acquire(void *host_ctx, uint64_t sid, uint64_t cap) {
    BkFakeHost *host = (BkFakeHost *)host_ctx;
    NrBufferLease out = {NULL, 0, 0};
    pthread_mutex_lock(&host->lock);
    BkFakeCall *call = bk_fake_find(host, sid);
    if (call != NULL && !call->finished && cap <= BK_FAKE_PAYLOAD_BYTES_MAX) {
        BkFakeLease *lease = (BkFakeLease *)bk_fake_alloc(host, sizeof *lease);
        lease->token = ++host->id_last;
        lease->sid = sid;
        lease->cap = cap;
        lease->data = (uint8_t *)bk_fake_alloc(host, cap);
        lease->open = 1;
        lease->next = host->leases;
        host->leases = lease;
        out.ptr = lease->data;
        out.cap = cap;
        out.token = lease->token;
    } else {
        host->refused++;
    }
    pthread_mutex_unlock(&host->lock);
    return out;
}

static inline BkFakeLease *bk_fake_lease_find(BkFakeHost *host, uint64_t token) {
    BkFakeLease *lease = host->leases;
    while (lease != NULL && (lease->token != token || !lease->open)) {
        lease = lease->next;
    }
    return lease;
}

static inline NrStatus bk_fake_api_lease_commit(void *host_ctx, uint64_t sid, NrStatus status,
                                                uint64_t token, uint64_t len) {
    BkFakeHost *host = (BkFakeHost *)host_ctx;
    NrStatus sent = NR_INVALID;
    pthread_mutex_lock(&host->lock);
    BkFakeLease *lease = bk_fake_lease_find(host, token);
    if (lease == NULL || lease->sid != sid || len > lease->cap) {
        host->refused++;
    } else {
        sent = bk_fake_push(host, sid, status, bk_fake_bytes(lease->data, len));
        lease->open = sent == NR_BACKPRESSURE;
    }
    pthread_mutex_unlock(&host->lock);
    return sent;
}

static inline NrStatus bk_fake_api_lease_release(void *host_ctx, uint64_t token) {
    BkFakeHost *host = (BkFakeHost *)host_ctx;
    pthread_mutex_lock(&host->lock);
    BkFakeLease *lease = bk_fake_lease_find(host, token);
    if (lease != NULL) {
        lease->open = 0;
    }
    pthread_mutex_unlock(&host->lock);
    return lease == NULL ? NR_INVALID : NR_OK;
}

static inline NrStatus bk_fake_api_stream_ready(void *host_ctx, uint64_t sid) {
    BkFakeHost *host = (BkFakeHost *)host_ctx;
    pthread_mutex_lock(&host->lock);
    BkFakeCall *call = bk_fake_find(host, sid);
    int known = call != NULL && !call->finished;
    if (known) {
        call->ready++;
        pthread_cond_broadcast(&host->changed);
    }
    pthread_mutex_unlock(&host->lock);
    return known ? NR_OK : NR_INVALID;
}

static inline BkFakeState *bk_fake_state_find(BkFakeCall *call, NrStr key) {
    BkFakeState *state = call == NULL || call->finished ? NULL : call->state;
    while (state != NULL &&
           (state->key_len != key.len || memcmp(state->key, key.ptr, key.len) != 0)) {
        state = state->next;
    }
    return state;
}

static inline NrStatus bk_fake_api_state_set(void *host_ctx, uint64_t sid, NrStr key,
                                             NrBytes value) {
    BkFakeHost *host = (BkFakeHost *)host_ctx;
    NrStatus status = NR_INVALID;
    pthread_mutex_lock(&host->lock);
    BkFakeCall *call = bk_fake_find(host, sid);
    if (call != NULL && !call->finished && key.len > 0 && key.ptr != NULL &&
        (value.ptr != NULL || value.len == 0)) {
        BkFakeState *state = bk_fake_state_find(call, key);
        if (state == NULL) {
            state = (BkFakeState *)bk_fake_alloc(host, sizeof *state);
            state->key = (char *)bk_fake_copy(host, key.ptr, key.len);
            state->key_len = key.len;
            state->next = call->state;
            call->state = state;
        }
        state->value = (uint8_t *)bk_fake_copy(host, value.ptr, value.len);
        state->value_len = value.len;
        status = NR_OK;
    }
    pthread_mutex_unlock(&host->lock);
    return status;
}

static inline NrStatus bk_fake_api_state_get(void *host_ctx, uint64_t sid, NrStr key, uint8_t *buf,
                                             uint64_t cap, uint64_t *len_out) {
    BkFakeHost *host = (BkFakeHost *)host_ctx;
    pthread_mutex_lock(&host->lock);
    BkFakeCall *call = bk_fake_find(host, sid);
    BkFakeState *state = bk_fake_state_find(call, key);
    int known = call != NULL && !call->finished;
    *len_out = state == NULL ? 0 : state->value_len;
    if (state != NULL && cap > 0 && state->value_len > 0) {
        memcpy(buf, state->value, cap < state->value_len ? cap : state->value_len);
    }
    pthread_mutex_unlock(&host->lock);
    return !known ? NR_INVALID : state == NULL ? NR_ERR : NR_OK;
}

static inline NrBytes bk_fake_ext_set(void *host_ctx, uint64_t sid, NrStr key, NrBytes value) {
    NrStatus status = bk_fake_api_state_set(host_ctx, sid, key, value);
    return status == NR_OK ? bk_fake_bytes(NULL, 0) : bk_fake_text("refused");
}

static inline NrBytes bk_fake_ext_get(void *host_ctx, uint64_t sid, NrStr key) {
    BkFakeHost *host = (BkFakeHost *)host_ctx;
    pthread_mutex_lock(&host->lock);
    BkFakeState *state = bk_fake_state_find(bk_fake_find(host, sid), key);
    NrBytes value = state == NULL ? bk_fake_bytes(NULL, 0)
                                  : bk_fake_bytes(state->value, state->value_len);
    pthread_mutex_unlock(&host->lock);
    return value;
}

static inline uint32_t bk_fake_api_is_cancelled(void *host_ctx, uint64_t sid) {
    BkFakeHost *host = (BkFakeHost *)host_ctx;
    pthread_mutex_lock(&host->lock);
    BkFakeCall *call = bk_fake_find(host, sid);
    uint32_t cancelled = call == NULL || call->finished;
    pthread_mutex_unlock(&host->lock);
    return cancelled;
}

static inline uint64_t bk_fake_api_remaining_ms(void *host_ctx, uint64_t sid) {
    BkFakeHost *host = (BkFakeHost *)host_ctx;
    uint64_t remaining_ms = 0;
    pthread_mutex_lock(&host->lock);
    BkFakeCall *call = bk_fake_find(host, sid);
    if (call != NULL && !call->finished) {
        remaining_ms = call->due_ms == BK_NO_DEADLINE   ? BK_NO_DEADLINE
                       : call->due_ms <= host->now_ms ? 0
                                                      : call->due_ms - host->now_ms;
    }
    pthread_mutex_unlock(&host->lock);
    return remaining_ms;
}

static inline uint32_t bk_fake_api_log_enabled(void *host_ctx, uint32_t level) {
    (void)host_ctx;
    return level >= BK_LOG_ERROR && level <= BK_LOG_TRACE;
}

static inline void bk_fake_api_log(void *host_ctx, uint32_t level, NrStr target, NrStr message) {
    BkFakeHost *host = (BkFakeHost *)host_ctx;
    pthread_mutex_lock(&host->lock);
    BkFakeText *entry = (BkFakeText *)bk_fake_alloc(host, sizeof *entry);
    entry->level = level;
    entry->name = (char *)bk_fake_copy(host, target.ptr, target.len);
    entry->text = (char *)bk_fake_copy(host, message.ptr, message.len);
    entry->next = host->logs;
    host->logs = entry;
    pthread_mutex_unlock(&host->lock);
}

static inline uint32_t bk_fake_api_metric_register(void *host_ctx, uint32_t kind, NrStr name,
                                                   NrStr help) {
    BkFakeHost *host = (BkFakeHost *)host_ctx;
    uint32_t id = BK_METRIC_UNKNOWN;
    (void)help;
    if (name.len == 0 || kind > BK_METRIC_HISTOGRAM) {
        return id;
    }
    pthread_mutex_lock(&host->lock);
    BkFakeMetric *metric = host->metrics;
    while (metric != NULL && (strlen(metric->name) != name.len ||
                              memcmp(metric->name, name.ptr, name.len) != 0)) {
        metric = metric->next;
    }
    if (metric == NULL) {
        metric = (BkFakeMetric *)bk_fake_alloc(host, sizeof *metric);
        metric->id = (uint32_t)++host->id_last;
        metric->kind = kind;
        metric->name = (char *)bk_fake_copy(host, name.ptr, name.len);
        metric->next = host->metrics;
        host->metrics = metric;
    }
    if (metric->kind == kind) {
        id = metric->id;
    }
    pthread_mutex_unlock(&host->lock);
    return id;
}

static inline NrStatus bk_fake_record(void *host_ctx, uint32_t id, uint32_t kind, double value) {
    BkFakeHost *host = (BkFakeHost *)host_ctx;
    pthread_mutex_lock(&host->lock);
    BkFakeMetric *metric = bk_fake_metric_by_id(host, id);
    int known = metric != NULL && metric->kind == kind;
    if (known) {
        metric->value = kind == BK_METRIC_GAUGE ? value : metric->value + value;
        metric->records++;
    }
    pthread_mutex_unlock(&host->lock);
    return known ? NR_OK : NR_INVALID;
}

static inline NrStatus bk_fake_api_counter_add(void *host_ctx, uint32_t metric, uint64_t delta) {
    return bk_fake_record(host_ctx, metric, BK_METRIC_COUNTER, (double)delta);
}

static inline NrStatus bk_fake_api_gauge_set(void *host_ctx, uint32_t metric, double value) {
    return bk_fake_record(host_ctx, metric, BK_METRIC_GAUGE, value);
}

static inline NrStatus bk_fake_api_histogram_record(void *host_ctx, uint32_t metric,
                                                    double value) {
    return bk_fake_record(host_ctx, metric, BK_METRIC_HISTOGRAM, value);
}

static inline uint64_t bk_fake_api_timer_start(void *host_ctx, uint64_t delay_ms,
                                               BkTimerFn callback, void *user_data) {
    BkFakeHost *host = (BkFakeHost *)host_ctx;
    uint64_t pending = 0, id = 0;
    pthread_mutex_lock(&host->lock);
    for (BkFakeTimer *timer = host->timers; timer != NULL; timer = timer->next) {
        pending += timer->pending != 0;
    }
    if (callback != NULL && pending < host->timers_max) {
        BkFakeTimer *timer = (BkFakeTimer *)bk_fake_alloc(host, sizeof *timer);
        timer->id = id = ++host->id_last;
        timer->due_ms = delay_ms > UINT64_MAX - host->now_ms ? UINT64_MAX : host->now_ms + delay_ms;
        timer->callback = callback;
        timer->user_data = user_data;
        timer->pending = 1;
        /* Behind its equals: timers of one moment run in the order of their start. */
        BkFakeTimer **at = &host->timers;
        while (*at != NULL && (*at)->due_ms <= timer->due_ms) {
            at = &(*at)->next;
        }
        timer->next = *at;
        *at = timer;
    }
    pthread_mutex_unlock(&host->lock);
    return id;
}

static inline NrStatus bk_fake_api_timer_cancel(void *host_ctx, uint64_t id) {
    BkFakeHost *host = (BkFakeHost *)host_ctx;
    NrStatus status = NR_INVALID;
    pthread_mutex_lock(&host->lock);
    for (BkFakeTimer *timer = host->timers; timer != NULL; timer = timer->next) {
        if (timer->id == id && timer->pending) {
            timer->pending = 0;
            status = NR_OK;
        }
    }
    pthread_mutex_unlock(&host->lock);
    return status;
}

static inline NrStr bk_fake_api_config(void *host_ctx) {
    (void)host_ctx;
    return bk_fake_str("{}");
}

static inline NrStr bk_fake_api_config_get(void *host_ctx, NrStr key) {
    BkFakeHost *host = (BkFakeHost *)host_ctx;
    NrStr value = {NULL, 0, 0};
    pthread_mutex_lock(&host->lock);
    for (BkFakeText *pair = host->config; pair != NULL; pair = pair->next) {
        if (strlen(pair->name) == key.len && memcmp(pair->name, key.ptr, key.len) == 0) {
            value = bk_fake_str(pair->text);
            break;
        }
    }
    pthread_mutex_unlock(&host->lock);
    return value;
}

#include "becket_fake_test.h" /* the test's side */

#endif /* BECKET_FAKE_HOST_H */
