/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Defect: holds a mutex while its coroutine waits; the next call blocks its thread on
 *         it, which may be the one that the first needs to go on.
 * Host:   fails the calls at their deadlines, and reports the coroutine that keeps its
 *         thread; the child loses the threads that it blocks, and other plugins lose
 *         nothing.
 * Where:  process; inline it blocks threads that other plugins' coroutines need.
 */
#define ZOO_FLAGS (BK_PLUGIN_WANTS_COROUTINE | BK_PLUGIN_THREAD_SAFE)
#define ZOO_OK_KIND (BK_ENTRY_UNARY | BK_ENTRY_NEVER_WAITS)
#include "zoo.h"

#include <pthread.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static NrStatus zoo_hit(uint64_t sid, NrBytes payload) {
    (void)sid;
    (void)payload;
    pthread_mutex_lock(&lock);
    zoo_api->coroutine_sleep(zoo_host_ctx, BK_FOREVER);
    pthread_mutex_unlock(&lock);
    return NR_OK;
}

ZOO_PLUGIN("waits_with_lock")
