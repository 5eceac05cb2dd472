/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Defect: sets state under new keys until the host refuses, at most 2^20.
 * Host:   refuses with Backpressure at its bound; the answer is `bounded`. The state
 *         is gone with the call.
 * Where:  inline and process.
 */
#include "zoo.h"

#include <stdio.h>

static NrStatus zoo_hit(uint64_t sid, NrBytes payload) {
    NrStatus status = NR_OK;
    char key[24];
    (void)payload;
    if (!BK_HAS(zoo_api, state_set)) {
        return NR_UNSUPPORTED;
    }
    for (int i = 0; i < 1 << 20 && status == NR_OK; i++) {
        snprintf(key, sizeof key, "key %d", i);
        status = zoo_api->state_set(zoo_host_ctx, sid, zoo_str(key), zoo_text("0123456789abcdef"));
    }
    zoo_send(sid, NR_OK, status == NR_BACKPRESSURE ? "bounded" : "unbounded");
    return NR_OK;
}

ZOO_PLUGIN("exhausts_state")
