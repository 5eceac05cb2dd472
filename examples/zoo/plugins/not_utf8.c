/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Defect: gives the host text that is not UTF-8: a log message, a state key, a metric
 *         name; then answers those bytes.
 * Host:   shows the log with replacement characters, refuses the key and the name;
 *         the answer is the four bytes ff fe 80 c0.
 * Where:  inline and process.
 */
#include "zoo.h"

static NrStatus zoo_hit(uint64_t sid, NrBytes payload) {
    static const char text[] = "\xff\xfe\x80\xc0";
    (void)payload;
    if (BK_HAS(zoo_api, log)) {
        zoo_api->log(zoo_host_ctx, BK_LOG_INFO, zoo_str(text), zoo_str(text));
    }
    if (BK_HAS(zoo_api, state_set)) {
        zoo_api->state_set(zoo_host_ctx, sid, zoo_str(text), zoo_text(text));
    }
    if (BK_HAS(zoo_api, metric_register)) {
        zoo_api->metric_register(zoo_host_ctx, BK_METRIC_COUNTER, zoo_str(text), zoo_str(text));
    }
    zoo_send(sid, NR_OK, text);
    return NR_OK;
}

ZOO_PLUGIN("not_utf8")
