/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Defect: starts timers of an hour until the host refuses, at most 2^20, and cancels
 *         none.
 * Host:   refuses at its bound; the answer is `bounded`. The timers are gone with the
 *         plugin.
 * Where:  inline and process.
 */
#include "zoo.h"

static void never_runs(void *user_data) {
    (void)user_data;
    abort();
}

static NrStatus zoo_hit(uint64_t sid, NrBytes payload) {
    uint64_t timer = 1;
    (void)payload;
    if (!BK_HAS(zoo_api, timer_start)) {
        return NR_UNSUPPORTED;
    }
    for (int i = 0; i < 1 << 20 && timer != 0; i++) {
        timer = zoo_api->timer_start(zoo_host_ctx, 3600000, never_runs, NULL);
    }
    zoo_send(sid, NR_OK, timer == 0 ? "bounded" : "unbounded");
    return NR_OK;
}

ZOO_PLUGIN("exhausts_timers")
