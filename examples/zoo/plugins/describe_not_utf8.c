/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Defect: describe reports an entry whose name is not UTF-8, and one whose name is
 *         NULL with a length.
 * Host:   leaves the two out or shows them made readable; `ok` and `hit` are called
 *         as always.
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
    NrStatus status = index < 2 ? zoo_describe(plugin_ctx, index, out) : NR_OK;
    if (index == 2) {
        out->name = zoo_str("\xff\xfe entry");
        out->help = zoo_str("\xc0\x80");
    } else if (index == 3) {
        out->name.ptr = NULL;
        out->name.len = UINT32_MAX;
    } else if (index > 3) {
        status = NR_INVALID;
    }
    return status;
}

ZOO_PLUGIN("describe_not_utf8")
