/* SPDX-License-Identifier: BSD-3-Clause */
/* A filter that ends its process in the phase that the header x-crash names. */
#include <stdlib.h>
#include <string.h>

#include "becket_plugin.h"
#include "becket_text.h"

static NrStatus filter(const BkCall *call) {
    const NrHeader *phase = bk_header(call->request, "becket-phase");
    const NrHeader *crash = bk_header(call->request, "x-crash");
    const NrHeader *context = bk_header(call->request, "becket-context");
    const NrHeader *where = context != NULL ? context : crash;
    if (phase != NULL && where != NULL && phase->value.len == where->value.len &&
        memcmp(phase->value.ptr, where->value.ptr, phase->value.len) == 0) {
        abort();
    }
    if (context != NULL) {
        return bk_answer_text(call, NR_OK, "continue\nset x-crash: not");
    }
    if (crash != NULL && bk_str_eq(crash->value, "response")) {
        return bk_answer_text(call, NR_OK, "continue\ncontext response");
    }
    return bk_answer_text(call, NR_OK, "continue\ncontext no");
}

static const BkEntry entries[] = {
    {"filter", BK_ENTRY_UNARY, "crashes where x-crash says", filter},
};

static const BkPluginDef plugin = {
    .name = "crash",
    .version = "1.0.0",
    .flags = BK_PLUGIN_THREAD_SAFE | BK_PLUGIN_MAY_UNLOAD | BK_PLUGIN_NEVER_BLOCKS,
    BK_ENTRIES(entries),
};

BK_PLUGIN(plugin)
