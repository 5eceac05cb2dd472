/* SPDX-License-Identifier: BSD-3-Clause */
/* A filter that marks answers with its version, by which a test tells which one has answered. */
#include "becket_plugin.h"
#include "becket_text.h"

static NrStatus filter(const BkCall *call) {
    const NrHeader *context = bk_header(call->request, "becket-context");
    if (context == NULL) {
        return bk_answer_text(call, NR_OK, "continue\ncontext");
    }
    char text[64] = "continue\nset x-version: VERSION";
    size_t length = 0;
    while (text[length] != '\0') {
        length++;
    }
    NrStr mark = bk_config_get(call->plugin, "mark");
    for (uint32_t i = 0; i < mark.len && length + 1 < sizeof(text); i++) {
        text[length++] = mark.ptr[i];
    }
    text[length] = '\0';
    return bk_answer_text(call, NR_OK, text);
}

static const BkEntry entries[] = {
    {"filter", BK_ENTRY_UNARY, "marks answers", filter},
};

static const BkPluginDef plugin = {
    .name = "version",
    .version = "VERSION",
    .flags = BK_PLUGIN_THREAD_SAFE | BK_PLUGIN_MULTI_INSTANCE | BK_PLUGIN_MAY_UNLOAD |
             BK_PLUGIN_NEVER_BLOCKS,
    BK_ENTRIES(entries),
};

BK_PLUGIN(plugin)
