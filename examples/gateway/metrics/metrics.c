/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A filter that counts answers by the class of their status, as the client gets them: first in the list
 * of a route it is the last that sees an answer, also one of the filters behind it.
 *
 * The counters are on the admin listener's /metrics.
 */
#include <stdlib.h>

#include "becket_plugin.h"

/* The counter of 2xx is at 2; nothing is at 0. */
typedef struct Counters {
    uint32_t of_class[6];
} Counters;

static NrStatus start(BkPlugin *plugin) {
    static const char *const names[6] = {NULL, NULL, "answers_2xx_total", "answers_3xx_total",
                                         "answers_4xx_total", "answers_5xx_total"};
    Counters *counters = (Counters *)calloc(1, sizeof *counters);
    if (counters == NULL) {
        return NR_ERR;
    }
    for (int class_of = 2; class_of < 6; class_of++) {
        counters->of_class[class_of] = bk_metric(plugin, BK_METRIC_COUNTER, names[class_of],
                                                 "Answers whose status has this class");
    }
    plugin->user = counters;
    return NR_OK;
}

static void stop(BkPlugin *plugin) {
    free(plugin->user);
}

/* ANCHOR: filter */
static NrStatus filter(const BkCall *call) {
    const Counters *counters = (const Counters *)call->plugin->user;
    const NrHeader *phase = bk_header(call->request, "becket-phase");
    const NrHeader *status = bk_header(call->request, "becket-status");
    if (phase == NULL || !bk_str_eq(phase->value, "response")) {
        return bk_answer_text(call, NR_OK, "continue\ncontext\n"); /* call again for the answer */
    }
    if (status != NULL && status->value.len == 3) {
        unsigned class_of = (unsigned)(((const uint8_t *)status->value.ptr)[0] - '0');
        if (class_of >= 2 && class_of < 6) {
            bk_counter_add(call->plugin, counters->of_class[class_of], 1);
        }
    }
    return bk_answer_text(call, NR_OK, "continue");
}
/* ANCHOR_END: filter */

static const BkEntry entries[] = {
    {"filter", BK_ENTRY_UNARY, "counts answers by the class of their status", filter},
};

static const BkPluginDef plugin = {
    .name = "metrics",
    .version = "1.0.0",
    .flags = BK_PLUGIN_THREAD_SAFE | BK_PLUGIN_MULTI_INSTANCE | BK_PLUGIN_MAY_UNLOAD |
             BK_PLUGIN_NEVER_BLOCKS,
    .start = start,
    .stop = stop,
    BK_ENTRIES(entries),
};

BK_PLUGIN(plugin)
