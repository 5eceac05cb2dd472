/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Delays under threads: a host thread runs timers while others start and
 * cancel them, and the plugin stops in the middle. Each delay runs or is
 * cancelled, once; none runs after bk_delays_stop; a cancelled one that said
 * "never" does not come back.
 */
#include "becket_delay.h"

#include "becket_fake_host.h"

#define ROUNDS 50
#define STARTERS 4
#define DELAYS_EACH 200

static BkPlugin plugin;
static BkDelays delays;
static uint64_t ran, cancelled, stopped;

/* A host whose timers are due at once: a thread takes them, newest first. */
typedef struct Timer {
    uint64_t id;
    BkTimerFn callback;
    void *user_data;
} Timer;

static pthread_mutex_t timers_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t timers_changed = PTHREAD_COND_INITIALIZER;
static Timer timers[STARTERS * DELAYS_EACH];
static uint64_t timers_len, timer_id_last;
static int host_ends;

static uint64_t timer_start(void *host_ctx, uint64_t delay_ms, BkTimerFn callback,
                            void *user_data) {
    (void)host_ctx;
    (void)delay_ms;
    pthread_mutex_lock(&timers_lock);
    uint64_t id = ++timer_id_last;
    timers[timers_len].id = id;
    timers[timers_len].callback = callback;
    timers[timers_len].user_data = user_data;
    timers_len++;
    pthread_cond_signal(&timers_changed);
    pthread_mutex_unlock(&timers_lock);
    return id;
}

static NrStatus timer_cancel(void *host_ctx, uint64_t id) {
    (void)host_ctx;
    NrStatus status = NR_INVALID;
    pthread_mutex_lock(&timers_lock);
    for (uint64_t i = 0; i < timers_len; i++) {
        if (timers[i].id == id) {
            timers[i] = timers[--timers_len];
            status = NR_OK;
            break;
        }
    }
    pthread_mutex_unlock(&timers_lock);
    return status;
}

static void *run_timers(void *context) {
    (void)context;
    pthread_mutex_lock(&timers_lock);
    for (;;) {
        while (timers_len == 0 && !host_ends) {
            pthread_cond_wait(&timers_changed, &timers_lock);
        }
        if (timers_len == 0) {
            break;
        }
        Timer timer = timers[--timers_len];
        pthread_mutex_unlock(&timers_lock);
        timer.callback(timer.user_data);
        pthread_mutex_lock(&timers_lock);
    }
    pthread_mutex_unlock(&timers_lock);
    return NULL;
}

static void run(BkPlugin *given, uint64_t sid) {
    (void)sid;
    BK_CHECK(given == &plugin && __atomic_load_n(&stopped, __ATOMIC_SEQ_CST) == 0);
    __atomic_fetch_add(&ran, 1, __ATOMIC_SEQ_CST);
}

static void *start_and_cancel(void *context) {
    uint64_t first = (uint64_t)(uintptr_t)context * DELAYS_EACH + 1;
    for (uint64_t sid = first; sid < first + DELAYS_EACH; sid++) {
        BK_CHECK(bk_delay_start(&delays, sid, 0, run) == NR_OK);
        if (sid % 3 != 0 && bk_delay_cancel(&delays, sid, NULL) == NR_OK) {
            __atomic_fetch_add(&cancelled, 1, __ATOMIC_SEQ_CST);
            BK_CHECK(bk_delay_cancel(&delays, sid, NULL) == NR_INVALID);
        }
    }
    return NULL;
}

int main(void) {
    BkHostApi api;
    memset(&api, 0, sizeof api);
    api.struct_size = sizeof api;
    api.timer_start = timer_start;
    api.timer_cancel = timer_cancel;
    plugin.api = &api;

    for (int round = 0; round < ROUNDS; round++) {
        pthread_t host, starters[STARTERS];
        ran = cancelled = 0;
        host_ends = 0;
        __atomic_store_n(&stopped, 0, __ATOMIC_SEQ_CST);
        bk_delays_start(&delays, &plugin);
        BK_CHECK(pthread_create(&host, NULL, run_timers, NULL) == 0);
        for (uintptr_t i = 0; i < STARTERS; i++) {
            BK_CHECK(pthread_create(&starters[i], NULL, start_and_cancel, (void *)i) == 0);
        }
        for (int i = 0; i < STARTERS; i++) {
            pthread_join(starters[i], NULL);
        }
        bk_delays_stop(&delays);
        __atomic_store_n(&stopped, 1, __ATOMIC_SEQ_CST);
        BK_CHECK(ran + cancelled <= STARTERS * DELAYS_EACH);
        BK_CHECK(bk_delay_by_id.len == 0);
        uint64_t ran_at_stop = ran;

        pthread_mutex_lock(&timers_lock);
        host_ends = 1;
        pthread_cond_signal(&timers_changed);
        pthread_mutex_unlock(&timers_lock);
        pthread_join(host, NULL);
        BK_CHECK(ran == ran_at_stop);
    }
    return 0;
}
