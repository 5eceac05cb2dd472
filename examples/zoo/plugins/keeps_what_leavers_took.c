/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Defect: takes a lease for each call and answers after the milliseconds in its
 *         payload (100); if the caller has left before that, it keeps the lease,
 *         whether it was notified or notices when it answers.
 * Host:   grants leases_max of them, and then refuses: such a call is answered
 *         `refused`.
 * Where:  inline and process.
 */
#define ZOO_CANCEL cancel
#include "zoo.h"

#include <pthread.h>

#define DELAY_MS 100

/* Calls that wait for their answer; a place that is free has token 0. */
#define CALLS_MAX 4096
static struct {
    uint64_t sid;
    uint64_t token;
} calls[CALLS_MAX];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

/* The lease of a call, which is forgotten here. 0: there is none. */
static uint64_t forget(uint64_t sid) {
    uint64_t token = 0;
    pthread_mutex_lock(&lock);
    for (int at = 0; at < CALLS_MAX && token == 0; at++) {
        if (calls[at].token != 0 && calls[at].sid == sid) {
            token = calls[at].token;
            calls[at].token = 0;
        }
    }
    pthread_mutex_unlock(&lock);
    return token;
}

static int keep(uint64_t sid, uint64_t token) {
    int is_kept = 0;
    pthread_mutex_lock(&lock);
    for (int at = 0; at < CALLS_MAX && !is_kept; at++) {
        if (calls[at].token == 0) {
            calls[at].sid = sid;
            calls[at].token = token;
            is_kept = 1;
        }
    }
    pthread_mutex_unlock(&lock);
    return is_kept;
}

static void answer(void *user_data) {
    uint64_t sid = (uint64_t)(uintptr_t)user_data;
    uint64_t token = forget(sid);
    /* It is to be released otherwise. */
    if (token != 0 && !zoo_api->is_cancelled(zoo_host_ctx, sid)) {
        zoo_api->lease_commit(zoo_host_ctx, sid, NR_OK, token, 3);
    }
}

static NrStatus cancel(void *plugin_ctx, uint64_t sid) {
    (void)plugin_ctx;
    /* The lease is to be released here. */
    (void)forget(sid);
    return NR_OK;
}

static NrStatus zoo_hit(uint64_t sid, NrBytes payload) {
    if (!BK_HAS(zoo_api, timer_start)) {
        return NR_UNSUPPORTED;
    }
    NrBufferLease lease = zoo_api->lease_acquire(zoo_host_ctx, sid, 3);
    if (lease.token == 0) {
        zoo_send(sid, NR_BACKPRESSURE, "refused");
        return NR_OK;
    }
    memcpy(lease.ptr, "hit", 3);
    if (!keep(sid, lease.token) ||
        zoo_api->timer_start(zoo_host_ctx, zoo_number(payload, DELAY_MS), answer,
                             (void *)(uintptr_t)sid) == 0) {
        (void)forget(sid);
        zoo_api->lease_release(zoo_host_ctx, lease.token);
        zoo_send(sid, NR_BACKPRESSURE, "refused");
    }
    return NR_OK;
}

ZOO_PLUGIN("keeps_what_leavers_took")
