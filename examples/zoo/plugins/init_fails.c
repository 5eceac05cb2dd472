/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Defect: init answers Err, and shutdown aborts if it is called all the same.
 * Host:   refuses the load with the status; never calls shutdown.
 * Where:  inline and process; it never loads.
 */
#define ZOO_START start
#define ZOO_SHUTDOWN shutdown_after_failure
#include "zoo.h"

static NrStatus zoo_hit(uint64_t sid, NrBytes payload) {
    (void)payload;
    zoo_send(sid, NR_OK, "hit");
    return NR_OK;
}

static NrStatus start(void) { return NR_ERR; }

static void shutdown_after_failure(void *plugin_ctx) {
    (void)plugin_ctx;
    abort();
}

ZOO_PLUGIN("init_fails")
