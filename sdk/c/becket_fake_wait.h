/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Handlers that wait, in the fake host. See becket_fake_host.h.
 *
 * A handler of an entry that may wait gets a thread, and the test goes on when
 * every handler waits or has returned. What the test does then (a message, a
 * close, a frame taken, a cancellation, time) lets the handlers go on, and the
 * test waits again until all of them wait. So each step is the same each time.
 *
 * A call is parked only while what it waits for has not come since it looked:
 * each change un-parks all, under the lock, and they look again.
 *
 * There are no channels, and nothing is spawned: those functions refuse.
 */
#ifndef BECKET_FAKE_WAIT_H
#define BECKET_FAKE_WAIT_H

#include "becket_fake_core.h"

/* The call that this thread serves; NULL: it is no handler's. */
static __thread BkFakeCall *bk_fake_self;

/* The lock is held, here and in what follows. */
static inline void bk_fake_stir(BkFakeHost *host) {
    for (BkFakeCall *call = host->calls; call != NULL; call = call->next) {
        call->parked = 0;
    }
    pthread_cond_broadcast(&host->changed);
}

/* Waits until each handler waits, or all have returned. */
static inline void bk_fake_settle(BkFakeHost *host, int until_returned) {
    BkFakeCall *call = host->calls;
    while (call != NULL) {
        int at_work = call->waits && !call->returned && (until_returned || !call->parked);
        if (at_work) {
            pthread_cond_wait(&host->changed, &host->lock);
            call = host->calls;
        } else {
            call = call->next;
        }
    }
}

/* The test did something. */
static inline void bk_fake_step(BkFakeHost *host) {
    if (bk_fake_self == NULL && host->waiting > 0) {
        bk_fake_stir(host);
        bk_fake_settle(host, 0);
    }
}

/* What a wait ends with for certain; NR_OK: go on waiting. */
static inline NrStatus bk_fake_over(BkFakeHost *host, uint64_t due_ms) {
    if (host->ending || bk_fake_self->finished) {
        return NR_CANCELLED;
    }
    return host->now_ms >= due_ms ? NR_TIMEOUT : NR_OK;
}

static inline void bk_fake_park(BkFakeHost *host) {
    if (!bk_fake_self->parked) {
        bk_fake_self->parked = 1;
        pthread_cond_broadcast(&host->changed);
    }
    pthread_cond_wait(&host->changed, &host->lock);
}

static inline uint64_t bk_fake_due_ms(BkFakeHost *host, uint64_t timeout_ns) {
    uint64_t ms = timeout_ns / 1000000 + (timeout_ns % 1000000 != 0);
    return timeout_ns == BK_FOREVER || ms > UINT64_MAX - host->now_ms ? UINT64_MAX
                                                                      : host->now_ms + ms;
}

/* The plugin's side. */

static inline uint64_t bk_fake_api_coroutine_current(void *ctx) {
    (void)ctx;
    return bk_fake_self == NULL ? 0 : bk_fake_self->sid;
}

static inline NrStatus bk_fake_api_coroutine_sleep(void *ctx, uint64_t duration_ns) {
    BkFakeHost *host = (BkFakeHost *)ctx;
    if (bk_fake_self == NULL) {
        return NR_UNSUPPORTED;
    }
    pthread_mutex_lock(&host->lock);
    uint64_t due_ms = bk_fake_due_ms(host, duration_ns);
    NrStatus status;
    while ((status = bk_fake_over(host, due_ms)) == NR_OK) {
        bk_fake_park(host);
    }
    pthread_mutex_unlock(&host->lock);
    return status == NR_TIMEOUT ? NR_OK : status;
}

static inline NrStatus bk_fake_api_coroutine_yield(void *ctx) {
    return bk_fake_api_coroutine_sleep(ctx, 0);
}

static inline NrStatus bk_fake_api_coroutine_spawn(void *ctx, BkCoroutineFn function,
                                                   void *argument, uint64_t stack_bytes) {
    (void)ctx, (void)function, (void)argument, (void)stack_bytes;
    return NR_UNSUPPORTED;
}

static inline void bk_fake_take_back(void *owner, const uint8_t *ptr, uint64_t len) {
    BkFakeHost *host = (BkFakeHost *)owner;
    (void)ptr, (void)len;
    pthread_mutex_lock(&host->lock);
    host->lent--;
    pthread_mutex_unlock(&host->lock);
}

static inline NrStatus bk_fake_api_stream_recv(void *ctx, uint64_t sid, NrOwnedBytes *out,
                                               uint64_t timeout_ns) {
    BkFakeHost *host = (BkFakeHost *)ctx;
    memset(out, 0, sizeof *out);
    if (bk_fake_self == NULL || bk_fake_self->sid != sid) {
        return bk_fake_self == NULL ? NR_UNSUPPORTED : NR_INVALID;
    }
    BkFakeCall *call = bk_fake_self;
    pthread_mutex_lock(&host->lock);
    uint64_t due_ms = bk_fake_due_ms(host, timeout_ns);
    NrStatus status = NR_OK;
    while (!call->finished && call->in_first == NULL && !call->closed &&
           (status = bk_fake_over(host, due_ms)) == NR_OK) {
        bk_fake_park(host);
    }
    if (call->finished || host->ending) {
        status = NR_CANCELLED;
    } else if (call->in_first != NULL) {
        BkFakeFrame *frame = call->in_first;
        call->in_first = frame->next;
        call->in_last = frame->next == NULL ? NULL : call->in_last;
        call->in_queued--;
        status = NR_OK;
        if (frame->len > 0) {
            NrOwnedBytes owned = {frame->data, frame->len, host, bk_fake_take_back};
            *out = owned;
            host->lent++;
        }
    } else if (call->closed) {
        status = NR_CLOSED;
    }
    pthread_mutex_unlock(&host->lock);
    return status;
}

static inline NrStatus bk_fake_api_stream_send(void *ctx, uint64_t sid, NrBytes payload,
                                               uint64_t timeout_ns) {
    BkFakeHost *host = (BkFakeHost *)ctx;
    if (bk_fake_self == NULL || bk_fake_self->sid != sid) {
        return bk_fake_self == NULL ? NR_UNSUPPORTED : NR_INVALID;
    }
    BkFakeCall *call = bk_fake_self;
    pthread_mutex_lock(&host->lock);
    uint64_t due_ms = bk_fake_due_ms(host, timeout_ns);
    NrStatus status = NR_OK;
    while (!call->finished && call->queued >= host->frames_max &&
           (status = bk_fake_over(host, due_ms)) == NR_OK) {
        bk_fake_park(host);
    }
    if (call->finished || host->ending) {
        status = NR_CANCELLED;
    } else if (call->queued < host->frames_max) {
        status = bk_fake_push(host, sid, NR_OK, payload);
    }
    pthread_mutex_unlock(&host->lock);
    return status;
}

static inline uint64_t bk_fake_api_channel_make(void *ctx, uint64_t capacity) {
    (void)ctx, (void)capacity;
    return 0;
}

static inline NrStatus bk_fake_api_channel_send(void *ctx, uint64_t channel, NrBytes message,
                                                uint64_t timeout_ns) {
    (void)ctx, (void)channel, (void)message, (void)timeout_ns;
    return NR_UNSUPPORTED;
}

static inline NrStatus bk_fake_api_channel_recv(void *ctx, uint64_t channel, NrOwnedBytes *out,
                                                uint64_t timeout_ns) {
    (void)ctx, (void)channel, (void)timeout_ns;
    memset(out, 0, sizeof *out);
    return NR_UNSUPPORTED;
}

static inline NrStatus bk_fake_api_channel_end(void *ctx, uint64_t channel) {
    (void)ctx, (void)channel;
    return NR_UNSUPPORTED;
}

static inline void bk_fake_api_waits(BkHostApi *api) {
    api->coroutine_current = bk_fake_api_coroutine_current;
    api->coroutine_yield = bk_fake_api_coroutine_yield;
    api->coroutine_sleep = bk_fake_api_coroutine_sleep;
    api->coroutine_spawn = bk_fake_api_coroutine_spawn;
    api->stream_recv = bk_fake_api_stream_recv;
    api->stream_send = bk_fake_api_stream_send;
    api->channel_make = bk_fake_api_channel_make;
    api->channel_send = bk_fake_api_channel_send;
    api->channel_recv = bk_fake_api_channel_recv;
    api->channel_close = bk_fake_api_channel_end;
    api->channel_destroy = bk_fake_api_channel_end;
}

/* The test's side. */

/* True if the handler of this entry may wait. */
static inline int bk_fake_may_wait(BkFakeHost *host, const char *name) {
    const NrPluginInfo *info = host->info;
    if (!host->attached || (info->flags & BK_PLUGIN_WANTS_COROUTINE) == 0) {
        return 0;
    }
    BkEntryInfo entry;
    for (uint32_t i = 0; host->vtable.describe != NULL; i++) {
        memset(&entry, 0, sizeof entry);
        entry.struct_size = sizeof entry;
        if (host->vtable.describe(info->plugin_ctx, i, &entry) != NR_OK) {
            break;
        }
        if (entry.name.len == strlen(name) && memcmp(entry.name.ptr, name, entry.name.len) == 0) {
            return (entry.kind & BK_ENTRY_NEVER_WAITS) == 0;
        }
    }
    return 1;
}

typedef struct BkFakeTask {
    BkFakeHost *host;
    BkFakeCall *call;
    NrStr entry;
    const NrRequest *request;
    NrBytes payload;
} BkFakeTask;

static inline void *bk_fake_task(void *argument) {
    BkFakeTask *task = (BkFakeTask *)argument;
    BkFakeHost *host = task->host;
    bk_fake_self = task->call;
    NrStatus status = host->vtable.handle(host->info->plugin_ctx, task->entry, task->call->sid,
                                          task->request, task->payload);
    pthread_mutex_lock(&host->lock);
    if (status != NR_OK && !task->call->finished) {
        bk_fake_push(host, task->call->sid, status, bk_fake_bytes(NULL, 0));
    }
    task->call->returned = 1;
    bk_fake_stir(host);
    pthread_mutex_unlock(&host->lock);
    return NULL;
}

/* Runs the handler until it waits. request must live as long as the call. */
static inline void bk_fake_start_task(BkFakeHost *host, uint64_t sid, const char *entry,
                                      const NrRequest *request, NrBytes payload) {
    pthread_mutex_lock(&host->lock);
    BkFakeTask *task = (BkFakeTask *)bk_fake_alloc(host, sizeof *task);
    task->host = host;
    task->call = bk_fake_find(host, sid);
    task->entry = bk_fake_str((const char *)bk_fake_copy(host, entry, strlen(entry)));
    task->request = request;
    task->payload = bk_fake_bytes(bk_fake_copy(host, payload.ptr, payload.len), payload.len);
    task->call->waits = 1;
    host->waiting++;
    BK_CHECK(pthread_create(&task->call->thread, NULL, bk_fake_task, task) == 0);
    bk_fake_settle(host, 0);
    pthread_mutex_unlock(&host->lock);
}

/* A message to a handler that waits. */
static inline NrStatus bk_fake_task_data(BkFakeHost *host, BkFakeCall *call, NrBytes data) {
    NrStatus status = NR_OK;
    pthread_mutex_lock(&host->lock);
    if (call->finished || call->closed) {
        status = NR_INVALID;
    } else if (call->in_queued >= host->frames_max) {
        status = NR_BACKPRESSURE;
    } else {
        BkFakeFrame *frame = (BkFakeFrame *)bk_fake_alloc(host, sizeof *frame);
        frame->len = data.len;
        frame->data = (const uint8_t *)bk_fake_copy(host, data.ptr, data.len);
        if (call->in_last == NULL) {
            call->in_first = frame;
        } else {
            call->in_last->next = frame;
        }
        call->in_last = frame;
        call->in_queued++;
        bk_fake_step(host);
    }
    pthread_mutex_unlock(&host->lock);
    return status;
}

static inline NrStatus bk_fake_task_close(BkFakeHost *host, BkFakeCall *call) {
    pthread_mutex_lock(&host->lock);
    int open = !call->finished && !call->closed;
    call->closed = 1;
    bk_fake_step(host);
    pthread_mutex_unlock(&host->lock);
    return open ? NR_OK : NR_INVALID;
}

/* Cancels every handler, and waits for their ends. */
static inline void bk_fake_end_tasks(BkFakeHost *host) {
    pthread_mutex_lock(&host->lock);
    host->ending = 1;
    bk_fake_stir(host);
    bk_fake_settle(host, 1);
    BkFakeCall *calls = host->calls;
    pthread_mutex_unlock(&host->lock);
    for (BkFakeCall *call = calls; call != NULL; call = call->next) {
        if (call->waits) {
            pthread_join(call->thread, NULL);
            call->waits = 0;
        }
    }
}

#endif /* BECKET_FAKE_WAIT_H */
