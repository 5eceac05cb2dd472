/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A filter for the gateway: the plugin of the book's chapter "Filters".
 *
 * It lets a request pass whose header x-api-key has the key of its configuration,
 * and tells the service behind it so in x-caller, which no client can write then.
 */
#include "becket_plugin.h"
#include "becket_text.h"

static NrStatus start(BkPlugin *plugin) {
    /* Without a key nothing could ever pass: better not to load at all. */
    return bk_config_get(plugin, "key").len == 0 ? NR_INVALID : NR_OK;
}

/* Takes the same time wherever the first difference is. */
static int same(NrStr a, NrStr b) {
    const uint8_t *left = (const uint8_t *)a.ptr, *right = (const uint8_t *)b.ptr;
    uint8_t differs = 0;
    if (a.len != b.len) {
        return 0;
    }
    for (uint32_t i = 0; i < a.len; i++) {
        differs |= (uint8_t)(left[i] ^ right[i]);
    }
    return differs == 0;
}

/* ANCHOR: filter */
static NrStatus filter(const BkCall *call) {
    const NrHeader *phase = bk_header(call->request, "becket-phase");
    const NrHeader *key = bk_header(call->request, "x-api-key");
    if (phase != NULL && bk_str_eq(phase->value, "response")) {
        return bk_answer_text(call, NR_OK, "continue\nadd vary: x-api-key");
    }
    if (key == NULL || !same(key->value, bk_config_get(call->plugin, "key"))) {
        return bk_answer_text(call, NR_OK,
                              "respond 401\n"
                              "set content-type: application/json\n"
                              "\n"
                              "{\"error\":\"a key is needed\"}\n");
    }
    return bk_answer_text(call, NR_OK,
                          "continue\n"
                          "remove x-api-key\n" /* the service need not see it */
                          "set x-caller: with-a-key\n"
                          "context\n"); /* call again in the response phase */
}
/* ANCHOR_END: filter */

static const BkEntry entries[] = {
    {"filter", BK_ENTRY_UNARY, "lets requests with the right x-api-key pass", filter},
};

static const BkPluginDef plugin = {
    .name = "api-key",
    .version = "1.0.0",
    .flags = BK_PLUGIN_THREAD_SAFE | BK_PLUGIN_MULTI_INSTANCE | BK_PLUGIN_MAY_UNLOAD |
             BK_PLUGIN_NEVER_BLOCKS,
    .start = start,
    BK_ENTRIES(entries),
};

BK_PLUGIN(plugin)
