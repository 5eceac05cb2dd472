/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Defect: waits in init until its configuration is another, if `greeting` is
 *         set and is no text that it knows.
 * Host:   loads it without a configuration, or with the greeting `hello`;
 *         with another one the load does not come back.
 * Where:  inline and process.
 */
#define ZOO_START start
#include "zoo.h"

#include <unistd.h>

static NrStatus start(void) {
    if (!BK_HAS(zoo_api, config_get)) {
        return NR_OK;
    }
    for (;;) {
        NrStr greeting = zoo_api->config_get(zoo_host_ctx, zoo_str("greeting"));
        if (greeting.len == 0 || zoo_is(greeting, "hello")) {
            return NR_OK;
        }
        sleep(1);
    }
}

static NrStatus zoo_hit(uint64_t sid, NrBytes payload) {
    (void)payload;
    zoo_send(sid, NR_OK, "hit");
    return NR_OK;
}

ZOO_PLUGIN("waits_for_config")
