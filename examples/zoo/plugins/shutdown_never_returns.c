/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Defect: its shutdown does not return.
 * Host:   waits for it a while, reports the thread that is stuck in it, and
 *         leaves it there; the unload comes back.
 * Where:  inline and process.
 */
#define ZOO_SHUTDOWN wait_forever
#include "zoo.h"

#include <unistd.h>

static void wait_forever(void *plugin_ctx) {
    (void)plugin_ctx;
    for (;;) {
        pause();
    }
}

static NrStatus zoo_hit(uint64_t sid, NrBytes payload) {
    (void)payload;
    zoo_send(sid, NR_OK, "hit");
    return NR_OK;
}

ZOO_PLUGIN("shutdown_never_returns")
