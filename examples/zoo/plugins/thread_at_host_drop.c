/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Defect: init starts a thread that sends and logs every millisecond, and that
 *         shutdown does not stop.
 * Host:   goes away under it without harm: what the thread calls and reads lives as
 *         long as the process.
 * Where:  inline and process.
 */
#define ZOO_START start
#include "zoo.h"

#include <pthread.h>
#include <time.h>

static uint64_t some_sid;

static void *never_stops(void *context) {
    (void)context;
    for (;;) {
        struct timespec a_while = {0, 1000000};
        nanosleep(&a_while, NULL);
        zoo_send(__atomic_load_n(&some_sid, __ATOMIC_SEQ_CST), NR_OK, "from a thread");
        if (BK_HAS(zoo_api, log)) {
            zoo_api->log(zoo_host_ctx, BK_LOG_TRACE, zoo_str("zoo"), zoo_str("still here"));
        }
    }
    return NULL;
}

static NrStatus start(void) {
    pthread_t thread;
    if (pthread_create(&thread, NULL, never_stops, NULL) != 0) {
        return NR_ERR;
    }
    pthread_detach(thread);
    return NR_OK;
}

static NrStatus zoo_hit(uint64_t sid, NrBytes payload) {
    (void)payload;
    __atomic_store_n(&some_sid, sid, __ATOMIC_SEQ_CST);
    zoo_send(sid, NR_OK, "hit");
    return NR_OK;
}

ZOO_PLUGIN("thread_at_host_drop")
