/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Defect: answers after 50 ms, and at once when it is notified that the call has
 *         ended.
 * Host:   fails the call at its deadline; refuses and counts the answer.
 * Where:  inline and process.
 */
#define ZOO_CANCEL answer_too_late
#include "zoo.h"

#define DELAY_MS 50

static void answer(void *user_data) { zoo_send((uint64_t)(uintptr_t)user_data, NR_OK, "hit"); }

static NrStatus answer_too_late(void *plugin_ctx, uint64_t sid) {
    (void)plugin_ctx;
    zoo_send(sid, NR_OK, "too late");
    return NR_OK;
}

static NrStatus zoo_hit(uint64_t sid, NrBytes payload) {
    (void)payload;
    if (!BK_HAS(zoo_api, timer_start)) {
        return NR_UNSUPPORTED;
    }
    uint64_t timer = zoo_api->timer_start(zoo_host_ctx, DELAY_MS, answer, (void *)(uintptr_t)sid);
    return timer == 0 ? NR_BACKPRESSURE : NR_OK;
}

ZOO_PLUGIN("answers_who_has_left")
