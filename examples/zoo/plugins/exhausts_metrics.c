/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Defect: registers metrics until the host refuses, at most 2^20.
 * Host:   refuses at its bound; the answer is `bounded`.
 * Where:  inline and process.
 */
#include "zoo.h"

#include <stdio.h>

static NrStatus zoo_hit(uint64_t sid, NrBytes payload) {
    uint32_t metric = 0;
    char name[32];
    (void)payload;
    if (!BK_HAS(zoo_api, metric_register)) {
        return NR_UNSUPPORTED;
    }
    for (int i = 0; i < 1 << 20 && metric != BK_METRIC_UNKNOWN; i++) {
        snprintf(name, sizeof name, "zoo_metric_%d", i);
        metric = zoo_api->metric_register(zoo_host_ctx, BK_METRIC_GAUGE, zoo_str(name), zoo_str(""));
    }
    zoo_send(sid, NR_OK, metric == BK_METRIC_UNKNOWN ? "bounded" : "unbounded");
    return NR_OK;
}

ZOO_PLUGIN("exhausts_metrics")
