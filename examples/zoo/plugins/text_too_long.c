/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Defect: gives the host texts of 2^32 - 1 bytes, of which one byte is there: a log
 *         message, a state key, a metric name, a configuration key.
 * Host:   refuses each without reading it; the answer is `survived`.
 * Where:  inline and process.
 */
#include "zoo.h"

static NrStatus zoo_hit(uint64_t sid, NrBytes payload) {
    static const uint8_t byte = 'x';
    NrStr huge = {&byte, UINT32_MAX, 0};
    (void)payload;
    if (BK_HAS(zoo_api, log)) {
        zoo_api->log(zoo_host_ctx, BK_LOG_ERROR, huge, huge);
    }
    if (BK_HAS(zoo_api, state_set)) {
        zoo_api->state_set(zoo_host_ctx, sid, huge, zoo_text("value"));
    }
    if (BK_HAS(zoo_api, metric_register)) {
        zoo_api->metric_register(zoo_host_ctx, BK_METRIC_COUNTER, huge, huge);
    }
    if (BK_HAS(zoo_api, config_get)) {
        zoo_api->config_get(zoo_host_ctx, huge);
    }
    zoo_send(sid, NR_OK, "survived");
    return NR_OK;
}

ZOO_PLUGIN("text_too_long")
