/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Defect: answers the sid in its payload, which is another plugin's, and opens state
 *         and a lease of it.
 * Host:   refuses and counts each; that plugin's call goes on. The answer is `done`.
 * Where:  inline and process.
 */
#include "zoo.h"

static NrStatus zoo_hit(uint64_t sid, NrBytes payload) {
    uint64_t foreign = zoo_number(payload, sid + 1);
    zoo_send(foreign, NR_OK, "forged");
    zoo_send(foreign, NR_STREAM_END, "forged");
    if (BK_HAS(zoo_api, state_set)) {
        zoo_api->state_set(zoo_host_ctx, foreign, zoo_str("forged"), zoo_text("forged"));
    }
    if (BK_HAS(zoo_api, lease_acquire)) {
        zoo_api->lease_acquire(zoo_host_ctx, foreign, 16);
    }
    zoo_send(sid, NR_OK, "done");
    return NR_OK;
}

ZOO_PLUGIN("answers_foreign_sid")
