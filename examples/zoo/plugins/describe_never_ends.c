/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Defect: describe answers Ok for every index.
 * Host:   stops asking at its bound; `ok` goes on answering.
 * Where:  inline and process.
 */
#define ZOO_DESCRIBE describe
#include "zoo.h"

static NrStatus zoo_hit(uint64_t sid, NrBytes payload) {
    (void)payload;
    zoo_send(sid, NR_OK, "hit");
    return NR_OK;
}

static NrStatus describe(void *plugin_ctx, uint32_t index, BkEntryInfo *out) {
    return zoo_describe(plugin_ctx, index % 2, out);
}

ZOO_PLUGIN("describe_never_ends")
