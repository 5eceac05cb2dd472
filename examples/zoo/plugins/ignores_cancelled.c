/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Defect: on its coroutine, waits again and again although each wait says Cancelled.
 * Host:   fails the call at its deadline; does not let it spin; abandons the
 *         coroutine when the plugin is unloaded, and unloads it.
 * Where:  inline and process.
 */
#define ZOO_FLAGS (BK_PLUGIN_WANTS_COROUTINE | BK_PLUGIN_THREAD_SAFE)
#include "zoo.h"

static NrStatus zoo_hit(uint64_t sid, NrBytes payload) {
    (void)sid;
    (void)payload;
    if (zoo_api->coroutine_current(zoo_host_ctx) == 0) {
        return NR_OK; /* nothing waits on a thread of the host */
    }
    for (;;) {
        zoo_api->coroutine_sleep(zoo_host_ctx, BK_FOREVER);
    }
}

ZOO_PLUGIN("ignores_cancelled")
