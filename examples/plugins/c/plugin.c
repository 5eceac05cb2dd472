/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The sample plugin in C. ../README.md says what each entry does.
 *
 * Threads: entries run on many at once. An instance's two tables, open chats
 * and delays, have a lock each; a message is sent with neither held.
 */
#include <pthread.h>

#include "becket_delay.h"
#include "becket_plugin.h"
#include "becket_text.h"

#define CHATS_MAX 65536
#define SLOW_DEFAULT_MS 5000

typedef struct Sample {
    NrStr greeting;
    uint32_t unary_total;
    uint32_t slow_cancelled_total;
    BkDelays delays;
    pthread_mutex_t chats_lock;
    BkMap chats; /* sid -> messages echoed */
} Sample;

static Sample *sample_of(const BkPlugin *plugin) { return (Sample *)plugin->user; }

/* unary */

static NrBytes or_dash(NrBytes text) { return text.len == 0 ? bk_text("-") : text; }

static NrStatus unary(const BkCall *call) {
    static const NrRequest nothing;
    const Sample *sample = sample_of(call->plugin);
    const NrRequest *request = call->request != NULL ? call->request : &nothing;
    const NrHeader *echo = bk_header(request, "x-becket-echo");

    bk_counter_add(call->plugin, sample->unary_total, 1);
    bk_logf(call->plugin, BK_LOG_DEBUG, "sample", "unary: %llu bytes",
            (unsigned long long)call->payload.len);

    BkText text;
    bk_text_init(&text);
    bk_text_add(&text, bk_str_bytes(sample->greeting));
    bk_text_add(&text, bk_text(" from c: "));
    bk_text_add(&text, or_dash(bk_str_bytes(request->method)));
    bk_text_add(&text, bk_text(" "));
    bk_text_add(&text, or_dash(bk_str_bytes(request->path)));
    if (request->query.len > 0) {
        bk_text_add(&text, bk_text("?"));
        bk_text_add(&text, bk_str_bytes(request->query));
    }
    bk_text_add(&text, bk_text(", "));
    bk_text_add_number(&text, request->headers_len);
    bk_text_add(&text, bk_text(" headers, "));
    bk_text_add_number(&text, call->payload.len);
    bk_text_add(&text, bk_text(" bytes"));
    if (echo != NULL) {
        bk_text_add(&text, bk_text(", x-becket-echo="));
        bk_text_add(&text, bk_str_bytes(echo->value));
    }
    return bk_text_answer(&text, call, NR_OK);
}

/* echo */

static NrStatus echo(const BkCall *call) { return bk_answer(call, NR_OK, call->payload); }

/* stream */

static NrStatus stream(const BkCall *call) {
    for (uint64_t i = 1; i <= 5; i++) {
        BkText text;
        bk_text_init(&text);
        bk_text_add(&text, bk_text("frame "));
        bk_text_add_number(&text, i);
        bk_text_add(&text, bk_text(" of 5"));
        NrStatus sent = bk_text_answer(&text, call, NR_OK);
        if (sent == NR_BACKPRESSURE) {
            return bk_answer_text(call, NR_BACKPRESSURE, "stream queue full");
        }
        if (sent != NR_OK) {
            return sent;
        }
    }
    return bk_answer_text(call, NR_STREAM_END, "");
}

/* chat */

static int chat_forget(BkPlugin *plugin, uint64_t sid, uint64_t *messages) {
    Sample *sample = sample_of(plugin);
    pthread_mutex_lock(&sample->chats_lock);
    int known = bk_map_take(&sample->chats, sid, messages);
    pthread_mutex_unlock(&sample->chats_lock);
    return known;
}

static NrStatus chat(const BkCall *call) {
    Sample *sample = sample_of(call->plugin);
    pthread_mutex_lock(&sample->chats_lock);
    int kept = bk_map_put(&sample->chats, call->sid, 0);
    pthread_mutex_unlock(&sample->chats_lock);
    if (!kept) {
        return NR_BACKPRESSURE;
    }
    NrStatus sent = bk_answer_text(call, NR_OK, "welcome");
    if (sent != NR_OK) {
        chat_forget(call->plugin, call->sid, NULL);
    }
    return sent;
}

static int chat_known(BkPlugin *plugin, uint64_t sid) {
    Sample *sample = sample_of(plugin);
    pthread_mutex_lock(&sample->chats_lock);
    int known = bk_map_get(&sample->chats, sid) != NULL;
    pthread_mutex_unlock(&sample->chats_lock);
    return known;
}

static NrStatus chat_data(BkPlugin *plugin, uint64_t sid, NrBytes data) {
    Sample *sample = sample_of(plugin);
    if (!chat_known(plugin, sid)) {
        return NR_INVALID;
    }

    BkText text;
    bk_text_init(&text);
    bk_text_add(&text, bk_text("echo: "));
    bk_text_add(&text, data);
    NrStatus sent = bk_text_send(&text, plugin, sid, NR_OK);
    if (sent == NR_OK) {
        pthread_mutex_lock(&sample->chats_lock);
        uint64_t *messages = bk_map_get(&sample->chats, sid);
        if (messages != NULL) {
            *messages += 1;
        }
        pthread_mutex_unlock(&sample->chats_lock);
    } else if (sent != NR_BACKPRESSURE) {
        chat_forget(plugin, sid, NULL);
    }
    return sent; /* Backpressure: not echoed; the host keeps the message for chat_room. */
}

static NrStatus chat_room(BkPlugin *plugin, uint64_t sid) {
    return chat_known(plugin, sid) ? bk_stream_ready(plugin, sid) : NR_INVALID;
}

static NrStatus chat_close(BkPlugin *plugin, uint64_t sid) {
    uint64_t messages = 0;
    if (!chat_forget(plugin, sid, &messages)) {
        return NR_INVALID;
    }
    BkText text;
    bk_text_init(&text);
    bk_text_add(&text, bk_text("bye after "));
    bk_text_add_number(&text, messages);
    bk_text_add(&text, bk_text(" messages"));
    return bk_text_send(&text, plugin, sid, NR_STREAM_END);
}

/* state */

static NrStatus state(const BkCall *call) {
    const uint8_t *equals = call->payload.len == 0
                                ? NULL
                                : (const uint8_t *)memchr(call->payload.ptr, '=',
                                                          call->payload.len);
    uint64_t key_len =
        equals == NULL ? call->payload.len : (uint64_t)(equals - call->payload.ptr);
    NrBytes key_bytes = bk_bytes(call->payload.ptr, key_len);
    if (key_len == 0 || key_len > UINT32_MAX || !bk_is_utf8(key_bytes)) {
        return bk_answer_text(call, NR_INVALID, "expected key=value");
    }
    NrStr key = {key_bytes.ptr, (uint32_t)key_len, 0};
    if (!BK_HAS(call->plugin->api, state_get)) {
        return bk_answer_text(call, NR_UNSUPPORTED, "needs a host with state");
    }
    if (equals != NULL) {
        NrBytes value = bk_bytes(equals + 1, call->payload.len - key_len - 1);
        NrStatus set = bk_state_set(call->plugin, call->sid, key, value);
        if (set != NR_OK) {
            return bk_answer_text(call, set, "state refused");
        }
    }

    BkText text;
    bk_text_init(&text);
    bk_text_add(&text, key_bytes);
    bk_text_add(&text, bk_text("="));
    uint64_t len = 0;
    if (bk_state_get(call->plugin, call->sid, key, NULL, 0, &len) == NR_OK && len > 0) {
        uint8_t *room = bk_text_reserve(&text, len);
        uint64_t len_now = 0;
        if (room != NULL) {
            bk_state_get(call->plugin, call->sid, key, room, len, &len_now);
            text.len += len_now < len ? len_now : len;
        }
    }
    return bk_text_answer(&text, call, NR_OK);
}

/* slow */

static void slow_done(BkPlugin *plugin, uint64_t sid) {
    bk_send(plugin, sid, NR_OK, bk_text("slow done"));
}

static NrStatus slow(const BkCall *call) {
    uint64_t delay_ms = SLOW_DEFAULT_MS;
    if (call->payload.len > 0 && !bk_number(call->payload, UINT64_MAX, &delay_ms)) {
        return bk_answer_text(call, NR_INVALID, "expected milliseconds");
    }
    switch (bk_delay_start(&sample_of(call->plugin)->delays, call->sid, delay_ms, slow_done)) {
    case NR_OK:
        return NR_OK;
    case NR_UNSUPPORTED:
        return bk_answer_text(call, NR_UNSUPPORTED, "needs a host with timers");
    default:
        return bk_answer_text(call, NR_BACKPRESSURE, "no timer free");
    }
}

static NrStatus cancel(BkPlugin *plugin, uint64_t sid) {
    Sample *sample = sample_of(plugin);
    int never = 0;
    if (chat_forget(plugin, sid, NULL)) {
        return NR_OK;
    }
    NrStatus status = bk_delay_cancel(&sample->delays, sid, &never);
    if (status == NR_OK && never) {
        bk_counter_add(plugin, sample->slow_cancelled_total, 1);
    }
    return status;
}

/* fail */

static NrStatus fail(const BkCall *call) {
    uint64_t status = 0;
    if (call->payload.len == 0) {
        return NR_ERR;
    }
    if (bk_number(call->payload, UINT32_MAX, &status)) {
        return bk_answer_text(call, (NrStatus)status, "failed on request");
    }
    if (call->payload.len == 5 && memcmp(call->payload.ptr, "panic", 5) == 0) {
        return NR_PANIC;
    }
    return bk_answer_text(call, NR_INVALID, "expected a status or panic");
}

/* The plugin. */

static NrStatus start(BkPlugin *plugin) {
    Sample *sample = (Sample *)calloc(1, sizeof *sample);
    if (sample == NULL || pthread_mutex_init(&sample->chats_lock, NULL) != 0) {
        free(sample);
        return NR_ERR;
    }
    plugin->user = sample;
    sample->greeting = bk_config_get(plugin, "greeting");
    if (sample->greeting.len == 0) {
        sample->greeting = bk_str("Hello");
    }
    sample->unary_total = bk_metric(plugin, BK_METRIC_COUNTER, "sample_unary_total",
                                    "Calls of the entry unary");
    sample->slow_cancelled_total =
        bk_metric(plugin, BK_METRIC_COUNTER, "sample_slow_cancelled_total",
                  "Calls of the entry slow that were cancelled");
    sample->chats.len_max = CHATS_MAX;
    bk_delays_start(&sample->delays, plugin);
    bk_log(plugin, BK_LOG_INFO, "sample", "ready");
    return NR_OK;
}

static void stop(BkPlugin *plugin) {
    Sample *sample = sample_of(plugin);
    bk_delays_stop(&sample->delays);
    bk_map_free(&sample->chats);
    pthread_mutex_destroy(&sample->chats_lock);
    free(sample);
    plugin->user = NULL;
}

static const BkEntry entries[] = {
    {"unary", BK_ENTRY_UNARY, "greets, and says what it saw of the request", unary},
    {"echo", BK_ENTRY_UNARY, "gives the payload back", echo},
    {"stream", BK_ENTRY_STREAM, "sends five frames", stream},
    {"chat", BK_ENTRY_BIDIRECTIONAL, "echoes each message until the stream is closed", chat},
    {"state", BK_ENTRY_UNARY, "sets KEY=VALUE in the call's state and reads it back", state},
    {"slow", BK_ENTRY_UNARY, "answers after the milliseconds in the payload", slow},
    {"fail", BK_ENTRY_UNARY, "answers with the status in the payload", fail},
};

static const BkPluginDef sample_plugin = {
    .name = "sample-c",
    .version = "0.1.0",
    .flags = BK_PLUGIN_THREAD_SAFE | BK_PLUGIN_MULTI_INSTANCE | BK_PLUGIN_MAY_UNLOAD,
    .config_default = "{\"greeting\":\"Hello\"}",
    BK_ENTRIES(entries),
    .start = start,
    .stop = stop,
    .stream_data = chat_data,
    .stream_close = chat_close,
    .stream_room = chat_room,
    .cancel = cancel,
};

BK_PLUGIN(sample_plugin)
