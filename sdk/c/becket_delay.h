/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Something to do for a call after a while, unless the call is cancelled.
 *
 * A host's timer carries one pointer and cannot always be cancelled: when its
 * callback is about to run, it runs. So the pointer is a number, looked up in
 * a table of the image: a callback that comes too late finds nothing.
 *
 * A delay belongs to what removes it from the table: the callback, bk_delay_cancel
 * or bk_delays_stop, never two of them. bk_delays_stop returns when no
 * callback runs; after it the image may be unmapped as soon as the host has
 * settled its timers.
 *
 * One delay a sid. Include it in one source file of the plugin.
 */
#ifndef BECKET_DELAY_H
#define BECKET_DELAY_H

#include <pthread.h>

#include "becket_call.h"
#include "becket_map.h"

#define BK_DELAYS_MAX 65536 /* pending at once, of all instances together */

typedef void (*BkDelayFn)(BkPlugin *plugin, uint64_t sid);

/* The delays of one instance. */
typedef struct BkDelays {
    BkPlugin *plugin;
    BkMap by_sid; /* sid -> id */
    uint64_t running;
} BkDelays;

typedef struct BkDelay {
    BkDelays *delays;
    uint64_t sid;
    uint64_t timer; /* 0: timer_start has not returned */
    BkDelayFn run;
} BkDelay;

/* Guards everything here, of every instance. */
static pthread_mutex_t bk_delay_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t bk_delay_idle = PTHREAD_COND_INITIALIZER;
static BkMap bk_delay_by_id = {NULL, 0, 0, BK_DELAYS_MAX}; /* id -> BkDelay * */
static uint64_t bk_delay_id_last;

static inline void bk_delays_start(BkDelays *delays, BkPlugin *plugin) {
    memset(delays, 0, sizeof *delays);
    delays->plugin = plugin;
    delays->by_sid.len_max = BK_DELAYS_MAX;
}

/* With the lock held. The caller frees it. */
static inline BkDelay *bk_delay_take(uint64_t id) {
    uint64_t address = 0;
    if (!bk_map_take(&bk_delay_by_id, id, &address)) {
        return NULL;
    }
    BkDelay *delay = (BkDelay *)(uintptr_t)address;
    bk_map_take(&delay->delays->by_sid, delay->sid, NULL);
    return delay;
}

static inline void bk_delay_fire(void *user_data) {
    pthread_mutex_lock(&bk_delay_lock);
    BkDelay *delay = bk_delay_take((uint64_t)(uintptr_t)user_data);
    if (delay != NULL) {
        BkDelays *delays = delay->delays;
        delays->running++;
        pthread_mutex_unlock(&bk_delay_lock);
        delay->run(delays->plugin, delay->sid);
        pthread_mutex_lock(&bk_delay_lock);
        delays->running--;
        pthread_cond_broadcast(&bk_delay_idle);
    }
    pthread_mutex_unlock(&bk_delay_lock);
    free(delay);
}

/* Runs run(plugin, sid) once, on a thread of the host. Unsupported: the host has
 * no timers. Backpressure: no more of them, or sid has a delay already. */
static inline NrStatus bk_delay_start(BkDelays *delays, uint64_t sid, uint64_t delay_ms,
                                      BkDelayFn run) {
    if (!BK_HAS(delays->plugin->api, timer_start)) {
        return NR_UNSUPPORTED;
    }
    BkDelay *delay = (BkDelay *)malloc(sizeof *delay);
    if (delay == NULL) {
        return NR_BACKPRESSURE;
    }
    delay->delays = delays;
    delay->sid = sid;
    delay->timer = 0;
    delay->run = run;

    pthread_mutex_lock(&bk_delay_lock);
    uint64_t id = ++bk_delay_id_last;
    int kept = bk_map_get(&delays->by_sid, sid) == NULL &&
               bk_map_put(&bk_delay_by_id, id, (uint64_t)(uintptr_t)delay);
    if (kept && !bk_map_put(&delays->by_sid, sid, id)) {
        bk_map_take(&bk_delay_by_id, id, NULL);
        kept = 0;
    }
    pthread_mutex_unlock(&bk_delay_lock);
    if (!kept) {
        free(delay);
        return NR_BACKPRESSURE;
    }

    uint64_t timer = bk_timer_start(delays->plugin, delay_ms, bk_delay_fire, (void *)(uintptr_t)id);

    NrStatus status = NR_OK;
    pthread_mutex_lock(&bk_delay_lock);
    if (timer == 0) {
        free(bk_delay_take(id));
        status = NR_BACKPRESSURE;
    } else if (bk_map_get(&bk_delay_by_id, id) != NULL) {
        delay->timer = timer; /* neither fired nor cancelled yet */
    }
    pthread_mutex_unlock(&bk_delay_lock);
    return status;
}

/* Ok: it was taken out, and *never is whether the host's timer will never run.
 * Invalid: sid has no delay (any more). never may be NULL. */
static inline NrStatus bk_delay_cancel(BkDelays *delays, uint64_t sid, int *never) {
    pthread_mutex_lock(&bk_delay_lock);
    uint64_t *id = bk_map_get(&delays->by_sid, sid);
    BkDelay *delay = id == NULL ? NULL : bk_delay_take(*id);
    pthread_mutex_unlock(&bk_delay_lock);
    if (delay == NULL) {
        return NR_INVALID;
    }
    int stopped = delay->timer != 0 && bk_timer_cancel(delays->plugin, delay->timer) == NR_OK;
    if (never != NULL) {
        *never = stopped;
    }
    free(delay);
    return NR_OK;
}

/* Cancels what is left and waits for the callbacks that run. */
static inline void bk_delays_stop(BkDelays *delays) {
    uint64_t sid = 0, id = 0;
    pthread_mutex_lock(&bk_delay_lock);
    while (bk_map_pop(&delays->by_sid, &sid, &id)) {
        BkDelay *delay = bk_delay_take(id);
        uint64_t timer = delay == NULL ? 0 : delay->timer;
        pthread_mutex_unlock(&bk_delay_lock);
        free(delay);
        if (timer != 0) {
            bk_timer_cancel(delays->plugin, timer);
        }
        pthread_mutex_lock(&bk_delay_lock);
    }
    while (delays->running > 0) {
        pthread_cond_wait(&bk_delay_idle, &bk_delay_lock);
    }
    bk_map_free(&delays->by_sid);
    if (bk_delay_by_id.len == 0) {
        bk_map_free(&bk_delay_by_id);
    }
    pthread_mutex_unlock(&bk_delay_lock);
}

#endif /* BECKET_DELAY_H */
