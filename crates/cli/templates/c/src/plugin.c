/*
 * The plugin {{name}}.
 *
 * An entry is a function and a line in the table at the end. It may answer at
 * once, as these do, or keep call->plugin and call->sid and answer later, from
 * any thread.
 */
#include "becket_plugin.h"
#include "becket_text.h"

/* One answer: a greeting from the configuration, and what was sent. */
static NrStatus hello(const BkCall *call) {
    NrStr greeting = bk_config_get(call->plugin, "greeting");
    BkText text;
    bk_text_init(&text);
    bk_text_add(&text, greeting.len > 0 ? bk_str_bytes(greeting) : bk_text("Hello"));
    bk_text_add(&text, bk_text(", "));
    bk_text_add(&text, call->payload.len > 0 ? call->payload : bk_text("world"));
    return bk_text_answer(&text, call, NR_OK);
}

/* A stream: as many frames as it likes, then the end. */
static NrStatus countdown(const BkCall *call) {
    static const char *const frames[] = {"3", "2", "1"};
    for (size_t i = 0; i < sizeof frames / sizeof frames[0]; i++) {
        NrStatus sent = bk_answer_text(call, NR_OK, frames[i]);
        if (sent != NR_OK) {
            return sent;
        }
    }
    return bk_answer_text(call, NR_STREAM_END, "");
}

static const BkEntry entries[] = {
    {"hello", BK_ENTRY_UNARY, "greets whom the payload names", hello},
    {"countdown", BK_ENTRY_STREAM, "sends 3, 2, 1", countdown},
};

static const BkPluginDef plugin = {
    .name = "{{name}}",
    .version = "0.1.0",
    .flags = BK_PLUGIN_THREAD_SAFE | BK_PLUGIN_MULTI_INSTANCE | BK_PLUGIN_MAY_UNLOAD,
    .config_default = "{\"greeting\":\"Hello\"}",
    BK_ENTRIES(entries),
};

BK_PLUGIN(plugin)
