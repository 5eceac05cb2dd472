/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Defect: shutdown leaves a thread behind that answers the last call of `hit` a
 *         hundred times, logs, and counts.
 * Host:   refuses and counts them; nothing that the thread reads has been freed, and
 *         the image stays mapped.
 * Where:  inline and process.
 */
#define ZOO_SHUTDOWN leave_a_thread
#include "zoo.h"

#include <pthread.h>
#include <time.h>

static uint64_t last_sid;

static void *answer_late(void *context) {
    (void)context;
    for (int i = 0; i < 100; i++) {
        struct timespec a_while = {0, 1000000};
        nanosleep(&a_while, NULL);
        zoo_send(__atomic_load_n(&last_sid, __ATOMIC_SEQ_CST), NR_OK, "after unload");
        if (BK_HAS(zoo_api, log)) {
            zoo_api->log(zoo_host_ctx, BK_LOG_INFO, zoo_str("zoo"), zoo_str("after unload"));
        }
    }
    return NULL;
}

static void leave_a_thread(void *plugin_ctx) {
    pthread_t thread;
    (void)plugin_ctx;
    if (pthread_create(&thread, NULL, answer_late, NULL) == 0) {
        pthread_detach(thread);
    }
}

static NrStatus zoo_hit(uint64_t sid, NrBytes payload) {
    (void)payload;
    __atomic_store_n(&last_sid, sid, __ATOMIC_SEQ_CST);
    return NR_OK;
}

ZOO_PLUGIN("answers_after_unload")
