/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The plugin's side of the fake host: what BkHostApi and NrHostVTable lead to.
 * See becket_fake_host.h. Each callback takes the lock for itself.
 */
#ifndef BECKET_FAKE_API_H
#define BECKET_FAKE_API_H

#include "becket_fake_core.h"

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
    if (call != NULL && !call->finished && cap <= host->payload_bytes_max &&
        host->leases_open < host->leases_max) {
        host->leases_open++;
        BkFakeLease *lease = (BkFakeLease *)bk_fake_alloc(host, sizeof *lease);
        lease->token = ++host->id_last;
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
    if (lease == NULL || len > lease->cap) {
        host->refused++;
    } else {
        sent = bk_fake_push(host, sid, status, bk_fake_bytes(lease->data, len));
        if (sent != NR_BACKPRESSURE) {
            lease->open = 0;
            host->leases_open--;
        }
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
        host->leases_open--;
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
    if (call != NULL && !call->finished && key.len > 0 && bk_fake_is_text(key) &&
        (value.ptr != NULL || value.len == 0)) {
        BkFakeState *state = bk_fake_state_find(call, key);
        uint64_t before = state == NULL ? 0 : state->key_len + state->value_len;
        uint64_t after = call->state_bytes - before + key.len + value.len;
        if (value.len > host->state_bytes_max || after > host->state_bytes_max) {
            pthread_mutex_unlock(&host->lock);
            return NR_BACKPRESSURE;
        }
        call->state_bytes = after;
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
    if (!bk_fake_is_text(target) || !bk_fake_is_text(message)) {
        return;
    }
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
    if (name.len == 0 || !bk_fake_is_text(name) || kind > BK_METRIC_HISTOGRAM) {
        return id;
    }
    pthread_mutex_lock(&host->lock);
    BkFakeMetric *metric = bk_fake_metric_by_name(host, name);
    if (metric == NULL && host->metrics_len < host->metrics_max) {
        host->metrics_len++;
        metric = (BkFakeMetric *)bk_fake_alloc(host, sizeof *metric);
        metric->id = (uint32_t)++host->id_last;
        metric->kind = kind;
        metric->name = (char *)bk_fake_copy(host, name.ptr, name.len);
        metric->next = host->metrics;
        host->metrics = metric;
    }
    if (metric != NULL && metric->kind == kind) {
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
    return bk_fake_str(((BkFakeHost *)host_ctx)->config_json);
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

#endif /* BECKET_FAKE_API_H */
