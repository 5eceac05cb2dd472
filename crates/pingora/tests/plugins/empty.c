/* SPDX-License-Identifier: BSD-3-Clause */
/* Filters that do nothing: what remains is what a filter costs. And an entry behind them. */
#include "becket_plugin.h"
#include "becket_text.h"

static NrStatus filter(const BkCall *call) {
    return bk_answer_text(call, NR_OK, "continue");
}

/* Called in the response phase, too. */
static NrStatus both(const BkCall *call) {
    const NrHeader *context = bk_header(call->request, "becket-context");
    return bk_answer_text(call, NR_OK, context == NULL ? "continue\ncontext" : "continue");
}

static NrStatus hello(const BkCall *call) {
    return bk_answer_text(call, NR_OK, "Hello, world!");
}

static const BkEntry entries[] = {
    {"filter", BK_ENTRY_UNARY, "lets every request pass", filter},
    {"hello", BK_ENTRY_UNARY, "what a route can lead to", hello},
    {"both", BK_ENTRY_UNARY, "lets every request and answer pass", both},
};

static const BkPluginDef plugin = {
    .name = "empty",
    .version = "1.0.0",
    .flags = BK_PLUGIN_THREAD_SAFE | BK_PLUGIN_MULTI_INSTANCE | BK_PLUGIN_MAY_UNLOAD |
             BK_PLUGIN_NEVER_BLOCKS,
    BK_ENTRIES(entries),
};

BK_PLUGIN(plugin)
