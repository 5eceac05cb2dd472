/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The test's side of the fake host: making it, calling the plugin, reading
 * what came back. See becket_fake_host.h.
 */
#ifndef BECKET_FAKE_TEST_H
#define BECKET_FAKE_TEST_H

#include "becket_fake_api.h"
#include "becket_fake_wait.h"

static inline BkFakeHost *bk_fake_new(void) {
    BkFakeHost *host = (BkFakeHost *)calloc(1, sizeof *host);
    if (host == NULL || pthread_mutex_init(&host->lock, NULL) != 0 ||
        pthread_cond_init(&host->changed, NULL) != 0) {
        fprintf(stderr, "fake host: no memory\n");
        exit(1);
    }
    host->frames_max = 1024;
    host->payload_bytes_max = BK_FAKE_PAYLOAD_BYTES_MAX;
    host->timers_max = 4096;
    host->leases_max = 1024;
    host->metrics_max = 256;
    host->state_bytes_max = 64 << 10;
    host->deadline_ms = BK_NO_DEADLINE;
    host->config_json = "{}";
    host->host_vtable.send_result = bk_fake_send_result;
    host->host_ext.set_state = bk_fake_ext_set;
    host->host_ext.get_state = bk_fake_ext_get;
    BkHostApi *api = &host->api;
    api->struct_size = sizeof *api;
    api->api_version = BK_HOST_API_VERSION;
    api->send = bk_fake_api_send;
    api->send_wait = bk_fake_api_send_wait;
    api->send_owned = bk_fake_api_send_owned;
    api->lease_acquire = bk_fake_api_lease_acquire;
    api->lease_commit = bk_fake_api_lease_commit;
    api->lease_release = bk_fake_api_lease_release;
    api->stream_ready = bk_fake_api_stream_ready;
    api->state_set = bk_fake_api_state_set;
    api->state_get = bk_fake_api_state_get;
    api->host_ext = &host->host_ext;
    api->is_cancelled = bk_fake_api_is_cancelled;
    api->remaining_ms = bk_fake_api_remaining_ms;
    api->log_enabled = bk_fake_api_log_enabled;
    api->log = bk_fake_api_log;
    api->metric_register = bk_fake_api_metric_register;
    api->counter_add = bk_fake_api_counter_add;
    api->gauge_set = bk_fake_api_gauge_set;
    api->histogram_record = bk_fake_api_histogram_record;
    api->timer_start = bk_fake_api_timer_start;
    api->timer_cancel = bk_fake_api_timer_cancel;
    api->config = bk_fake_api_config;
    api->config_get = bk_fake_api_config_get;
    bk_fake_api_waits(api);
    return host;
}

/* Before bk_fake_load. */
static inline void bk_fake_config(BkFakeHost *host, const char *key, const char *value) {
    BkFakeText *pair = (BkFakeText *)bk_fake_alloc(host, sizeof *pair);
    pair->name = (char *)bk_fake_copy(host, key, strlen(key));
    pair->text = (char *)bk_fake_copy(host, value, strlen(value));
    pair->next = host->config;
    host->config = pair;
}

/* with_api 0: a host that has send_result alone. */
static inline NrStatus bk_fake_load(BkFakeHost *host, const NrPluginInfo *info, int with_api) {
    BK_CHECK(info != NULL && info->abi_version == NR_ABI_VERSION && info->vtable != NULL);
    int grown = info->struct_size > NR_PLUGIN_INFO_SIZE_DOCUMENTED && info->vtable_size > 0;
    size_t vtable_size = grown ? info->vtable_size : 5 * sizeof(void *);
    memset(&host->vtable, 0, sizeof host->vtable);
    memcpy(&host->vtable, info->vtable,
           vtable_size < sizeof host->vtable ? vtable_size : sizeof host->vtable);
    BK_CHECK(host->vtable.init != NULL);
    host->info = info;
    if (grown && with_api && info->attach != NULL) {
        NrStatus attached = info->attach(info->plugin_ctx, host, &host->api);
        if (attached != NR_OK) {
            return attached;
        }
        host->attached = 1;
    }
    return host->vtable.init(info->plugin_ctx, host, &host->host_vtable);
}

static inline uint64_t bk_fake_begin(BkFakeHost *host, int is_stream) {
    pthread_mutex_lock(&host->lock);
    BkFakeCall *call = (BkFakeCall *)bk_fake_alloc(host, sizeof *call);
    call->sid = ++host->id_last << 8 | 0x5A;
    call->is_stream = is_stream;
    call->due_ms = host->deadline_ms == BK_NO_DEADLINE ? BK_NO_DEADLINE
                                                       : host->now_ms + host->deadline_ms;
    call->next = host->calls;
    host->calls = call;
    pthread_mutex_unlock(&host->lock);
    return call->sid;
}

/* handle returned status: anything but Ok ends the call with it. */
static inline void bk_fake_handled(BkFakeHost *host, uint64_t sid, NrStatus status) {
    pthread_mutex_lock(&host->lock);
    BkFakeCall *call = bk_fake_find(host, sid);
    if (status != NR_OK && !call->finished) {
        bk_fake_push(host, sid, status, bk_fake_bytes(NULL, 0));
    }
    pthread_mutex_unlock(&host->lock);
}

static inline uint64_t bk_fake_send_request(BkFakeHost *host, int is_stream, const char *entry,
                                            const NrRequest *request, NrBytes payload) {
    uint64_t sid = bk_fake_begin(host, is_stream);
    BK_CHECK(host->vtable.handle != NULL);
    if (bk_fake_may_wait(host, entry)) {
        bk_fake_start_task(host, sid, entry, request, payload);
        return sid;
    }
    bk_fake_handled(host, sid,
                    host->vtable.handle(host->info->plugin_ctx, bk_fake_str(entry), sid, request,
                                        payload));
    return sid;
}

/* Calls a unary entry; the answer is the one frame of the sid. request may be
 * NULL. */
static inline uint64_t bk_fake_call(BkFakeHost *host, const char *entry, const NrRequest *request,
                                    NrBytes payload) {
    return bk_fake_send_request(host, 0, entry, request, payload);
}

static inline uint64_t bk_fake_stream(BkFakeHost *host, const char *entry,
                                      const NrRequest *request, NrBytes payload) {
    return bk_fake_send_request(host, 1, entry, request, payload);
}

/* The call, if its handler runs on a thread of its own. */
static inline BkFakeCall *bk_fake_task_of(BkFakeHost *host, uint64_t sid) {
    pthread_mutex_lock(&host->lock);
    BkFakeCall *call = bk_fake_find(host, sid);
    pthread_mutex_unlock(&host->lock);
    return call != NULL && call->waits ? call : NULL;
}

static inline NrStatus bk_fake_stream_data(BkFakeHost *host, uint64_t sid, NrBytes data) {
    BkFakeCall *task = bk_fake_task_of(host, sid);
    if (task != NULL) {
        return bk_fake_task_data(host, task, data);
    }
    return host->vtable.stream_data == NULL
               ? NR_UNSUPPORTED
               : host->vtable.stream_data(host->info->plugin_ctx, sid, data);
}

static inline NrStatus bk_fake_stream_close(BkFakeHost *host, uint64_t sid) {
    BkFakeCall *task = bk_fake_task_of(host, sid);
    if (task != NULL) {
        return bk_fake_task_close(host, task);
    }
    return host->vtable.stream_close == NULL
               ? NR_UNSUPPORTED
               : host->vtable.stream_close(host->info->plugin_ctx, sid);
}

/* The caller leaves: the call ends, and the plugin is notified. */
static inline NrStatus bk_fake_cancel(BkFakeHost *host, uint64_t sid) {
    pthread_mutex_lock(&host->lock);
    bk_fake_finish(bk_fake_find(host, sid));
    bk_fake_step(host);
    pthread_mutex_unlock(&host->lock);
    return host->vtable.cancel == NULL ? NR_UNSUPPORTED
                                       : host->vtable.cancel(host->info->plugin_ctx, sid);
}

/* Takes the next frame; NULL: none there. If one was refused for want of room,
 * the plugin gets stream_room, on this thread. */
static inline const BkFakeFrame *bk_fake_next(BkFakeHost *host, uint64_t sid) {
    int room = 0;
    pthread_mutex_lock(&host->lock);
    BkFakeCall *call = bk_fake_find(host, sid);
    BkFakeFrame *frame = call == NULL ? NULL : call->first;
    if (frame != NULL) {
        call->first = frame->next;
        call->last = frame->next == NULL ? NULL : call->last;
        call->queued--;
        room = call->was_full && !call->finished;
        call->was_full = 0;
        bk_fake_step(host);
    }
    pthread_mutex_unlock(&host->lock);
    if (room && host->vtable.stream_room != NULL) {
        host->vtable.stream_room(host->info->plugin_ctx, sid);
    }
    return frame;
}

/* As bk_fake_next, but waits for a thread of the plugin to send one. */
static inline const BkFakeFrame *bk_fake_wait(BkFakeHost *host, uint64_t sid,
                                              uint64_t timeout_ms) {
    struct timespec until;
    timespec_get(&until, TIME_UTC);
    until.tv_sec += (time_t)(timeout_ms / 1000);
    until.tv_nsec += (long)(timeout_ms % 1000) * 1000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    pthread_mutex_lock(&host->lock);
    BkFakeCall *call = bk_fake_find(host, sid);
    int waited = 0;
    while (call != NULL && call->first == NULL && !call->finished && waited == 0) {
        waited = pthread_cond_timedwait(&host->changed, &host->lock, &until);
    }
    pthread_mutex_unlock(&host->lock);
    return bk_fake_next(host, sid);
}

static inline void bk_fake_check_frame(BkFakeHost *host, uint64_t sid, NrStatus status,
                                       const char *text, const char *file, int line) {
    const BkFakeFrame *frame = bk_fake_next(host, sid);
    if (frame == NULL) {
        fprintf(stderr, "%s:%d: no frame; expected %u `%s`\n", file, line, (unsigned)status, text);
        exit(1);
    }
    if (frame->status != status || frame->len != strlen(text) ||
        (frame->len > 0 && memcmp(frame->data, text, frame->len) != 0)) {
        fprintf(stderr, "%s:%d: expected %u `%s`, got %u `%.*s`\n", file, line, (unsigned)status,
                text, (unsigned)frame->status, (int)frame->len,
                frame->data == NULL ? "" : (const char *)frame->data);
        exit(1);
    }
}

/* Moves the time on and runs what is due, on this thread. */
static inline void bk_fake_advance(BkFakeHost *host, uint64_t by_ms) {
    pthread_mutex_lock(&host->lock);
    uint64_t until_ms = host->now_ms + by_ms;
    BkFakeTimer *timer = host->timers;
    while (timer != NULL && timer->due_ms <= until_ms) {
        if (timer->pending) {
            timer->pending = 0;
            host->now_ms = timer->due_ms > host->now_ms ? timer->due_ms : host->now_ms;
            pthread_mutex_unlock(&host->lock);
            timer->callback(timer->user_data);
            pthread_mutex_lock(&host->lock);
            timer = host->timers; /* it may have started others */
        } else {
            timer = timer->next;
        }
    }
    host->now_ms = until_ms;
    bk_fake_step(host);
    pthread_mutex_unlock(&host->lock);
}

static inline void bk_fake_deadline(BkFakeHost *host, uint64_t sid, uint64_t in_ms) {
    pthread_mutex_lock(&host->lock);
    bk_fake_find(host, sid)->due_ms = host->now_ms + in_ms;
    pthread_mutex_unlock(&host->lock);
}

/* Calls of stream_ready for sid. */
static inline uint64_t bk_fake_ready(BkFakeHost *host, uint64_t sid) {
    pthread_mutex_lock(&host->lock);
    uint64_t ready = bk_fake_find(host, sid)->ready;
    pthread_mutex_unlock(&host->lock);
    return ready;
}

/* A counter's or gauge's value, a histogram's sum. 0: not registered. */
static inline int bk_fake_metric_read(BkFakeHost *host, const char *name, double *value) {
    pthread_mutex_lock(&host->lock);
    const BkFakeMetric *metric = bk_fake_metric_by_name(host, bk_fake_str(name));
    if (metric != NULL) {
        *value = metric->value;
    }
    pthread_mutex_unlock(&host->lock);
    return metric != NULL;
}

/* The same; -1: not registered. */
static inline double bk_fake_metric(BkFakeHost *host, const char *name) {
    double value = -1;
    bk_fake_metric_read(host, name, &value);
    return value;
}

/* The messages so far, the last one first. They stay as they are. */
static inline const BkFakeText *bk_fake_logs(BkFakeHost *host) {
    pthread_mutex_lock(&host->lock);
    const BkFakeText *last = host->logs;
    pthread_mutex_unlock(&host->lock);
    return last;
}

/* Answers without a caller, or that were bad. */
static inline uint64_t bk_fake_refused(BkFakeHost *host) {
    pthread_mutex_lock(&host->lock);
    uint64_t refused = host->refused;
    pthread_mutex_unlock(&host->lock);
    return refused;
}

/* Messages of this level and target that contain text. */
static inline int bk_fake_logged(BkFakeHost *host, uint32_t level, const char *target,
                                 const char *text) {
    int count = 0;
    pthread_mutex_lock(&host->lock);
    for (BkFakeText *entry = host->logs; entry != NULL; entry = entry->next) {
        count += entry->level == level && strcmp(entry->name, target) == 0 &&
                 strstr(entry->text, text) != NULL;
    }
    pthread_mutex_unlock(&host->lock);
    return count;
}

/* Shuts the plugin down and lists on stderr what it left behind; returns how
 * many things, 0 if none. */
static inline int bk_fake_unload(BkFakeHost *host) {
    int left = 0;
    bk_fake_end_tasks(host);
    if (host->vtable.shutdown != NULL) {
        host->vtable.shutdown(host->info->plugin_ctx);
    }
    pthread_mutex_lock(&host->lock);
    for (BkFakeLease *lease = host->leases; lease != NULL; lease = lease->next) {
        if (lease->open) {
            fprintf(stderr, "left behind: a lease of %llu bytes\n", (unsigned long long)lease->cap);
            left++;
        }
    }
    for (BkFakeTimer *timer = host->timers; timer != NULL; timer = timer->next) {
        if (timer->pending) {
            fprintf(stderr, "left behind: a timer due at %llu ms\n",
                    (unsigned long long)timer->due_ms);
            left++;
        }
    }
    if (host->lent > 0) {
        fprintf(stderr, "left behind: %llu received frames, not released\n",
                (unsigned long long)host->lent);
        left++;
    }
    pthread_mutex_unlock(&host->lock);
    return left;
}

static inline void bk_fake_free(BkFakeHost *host) {
    BkFakeBlock *block = host->blocks;
    while (block != NULL) {
        BkFakeBlock *next = block->next;
        free(block);
        block = next;
    }
    pthread_cond_destroy(&host->changed);
    pthread_mutex_destroy(&host->lock);
    free(host);
}

#endif /* BECKET_FAKE_TEST_H */
