/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the fake host keeps, and the one way in for answers. See
 * becket_fake_host.h.
 */
#ifndef BECKET_FAKE_CORE_H
#define BECKET_FAKE_CORE_H

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "becket.h"

#define BK_FAKE_PAYLOAD_BYTES_MAX (64u << 20) /* unless the test sets another */
#define BK_FAKE_TEXT_BYTES_MAX (64u << 10)

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
    int was_full; /* a frame was refused since stream_room was last called */
    uint64_t state_bytes;
    /* A handler that may wait: becket_fake_wait.h. */
    int waits, parked, returned;
    int closed; /* the test has closed the stream */
    uint64_t in_queued;
    BkFakeFrame *in_first, *in_last;
    pthread_t thread;
    BkFakeFrame *first, *last;
    BkFakeState *state;
    struct BkFakeCall *next;
} BkFakeCall;

typedef struct BkFakeLease {
    uint64_t token, cap;
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
    int attached, ending;
    uint64_t lent; /* received frames that the plugin has not released */
    uint64_t leases_open, metrics_len;
    uint64_t frames_max;        /* a stream's queue; 1024 */
    uint64_t payload_bytes_max; /* an answer or a frame; 64 MiB */
    uint64_t timers_max;        /* pending at once; 4096 */
    uint64_t leases_max;        /* open at once; 1024 */
    uint64_t metrics_max;       /* 256 */
    uint64_t state_bytes_max;   /* keys and values of one call; 64 KiB */
    uint64_t deadline_ms;       /* of each call, from its begin; BK_NO_DEADLINE */
    uint64_t refused;           /* answers without a caller, bad ones, refused leases */
    uint64_t waiting;           /* handlers that were given a thread: becket_fake_wait.h */
    const char *config_json;    /* the whole configuration; "{}" */
    uintptr_t user;             /* the test's own */
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

static inline int bk_fake_is_text(NrStr text) {
    return text.len <= BK_FAKE_TEXT_BYTES_MAX && (text.ptr != NULL || text.len == 0);
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

static inline BkFakeMetric *bk_fake_metric_by_name(BkFakeHost *host, NrStr name) {
    BkFakeMetric *metric = host->metrics;
    while (metric != NULL && (strlen(metric->name) != name.len ||
                              memcmp(metric->name, name.ptr, name.len) != 0)) {
        metric = metric->next;
    }
    return metric;
}

static inline void bk_fake_finish(BkFakeCall *call) {
    call->finished = 1;
    call->state = NULL;
}

/* The one way in for answers, whatever their shape. Of what is too long an answer or a last frame
 * ends its call, without bytes. */
static inline NrStatus bk_fake_push(BkFakeHost *host, uint64_t sid, NrStatus status,
                                    NrBytes payload) {
    BkFakeCall *call = bk_fake_find(host, sid);
    if (call == NULL || call->finished || (payload.ptr == NULL && payload.len > 0)) {
        host->refused++;
        return NR_INVALID;
    }
    int terminal = !call->is_stream || status != NR_OK;
    int too_long = payload.len > host->payload_bytes_max;
    if (too_long) {
        host->refused++;
        if (!terminal) {
            return NR_TOO_LONG;
        }
        status = NR_TOO_LONG;
        payload.len = 0;
    }
    if (!terminal && call->queued >= host->frames_max) {
        call->was_full = 1;
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
    return too_long ? NR_TOO_LONG : NR_OK;
}

#endif /* BECKET_FAKE_CORE_H */
