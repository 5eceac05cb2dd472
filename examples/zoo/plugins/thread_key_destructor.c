/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Defect: leaves a thread-specific value with a destructor on each calling thread. It
 *         does not promise that it may be unmapped.
 * Host:   keeps the image mapped after unload, so that the destructor is still there
 *         when the thread ends.
 * Where:  inline and process.
 */
#define ZOO_START start
#include "zoo.h"

#include <pthread.h>

static pthread_key_t key;
static uint64_t destroyed;

static void destroy(void *value) {
    (void)value;
    __atomic_fetch_add(&destroyed, 1, __ATOMIC_SEQ_CST);
}

static NrStatus start(void) {
    return pthread_key_create(&key, destroy) == 0 ? NR_OK : NR_ERR;
}

static NrStatus zoo_hit(uint64_t sid, NrBytes payload) {
    static const char value[] = "value";
    (void)payload;
    pthread_setspecific(key, value);
    zoo_send(sid, NR_OK, "hit");
    return NR_OK;
}

ZOO_PLUGIN("thread_key_destructor")
