/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The sample plugin in C. ../README.md says what each entry does.
 *
 * Threads: entries run on many at once, chat on coroutines of the host. An
 * instance's table of delays has a lock; a message is sent without it held.
 */
#include "becket_delay.h"
#include "becket_plugin.h"
#include "becket_text.h"

#define SLOW_DEFAULT_MS 500

typedef struct Sample {
    NrStr greeting;
    uint32_t unary_total;
    uint32_t slow_cancelled_total;
    BkDelays delays;
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

/* On a coroutine of the host: it waits for the next message, and for room where
 * the caller reads slowly. */
static NrStatus chat(const BkCall *call) {
    BkPlugin *plugin = call->plugin;
    uint64_t messages = 0;
    if (bk_coroutine(plugin) == 0) {
        return bk_answer_text(call, NR_UNSUPPORTED, "needs a host with coroutines");
    }
    NrStatus status = bk_stream_send(plugin, call->sid, bk_text("welcome"), BK_FOREVER);
    while (status == NR_OK) {
        NrOwnedBytes message;
        status = bk_stream_recv(plugin, call->sid, &message, BK_FOREVER);
        if (status == NR_OK) {
            BkText text;
            bk_text_init(&text);
            bk_text_add(&text, bk_text("echo: "));
            bk_text_add(&text, bk_view(&message));
            status = bk_text_stream(&text, plugin, call->sid, BK_FOREVER);
            bk_release(&message);
            messages++;
        }
    }
    if (status != NR_CLOSED) {
        return status; /* the caller has gone */
    }
    BkText text;
    bk_text_init(&text);
    bk_text_add(&text, bk_text("bye after "));
    bk_text_add_number(&text, messages);
    bk_text_add(&text, bk_text(" messages"));
    return bk_text_answer(&text, call, NR_STREAM_END);
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
    if (sample == NULL) {
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
    bk_delays_start(&sample->delays, plugin);
    bk_log(plugin, BK_LOG_INFO, "sample", "ready");
    return NR_OK;
}

static void stop(BkPlugin *plugin) {
    Sample *sample = sample_of(plugin);
    bk_delays_stop(&sample->delays);
    free(sample);
    plugin->user = NULL;
}

#define AT_ONCE BK_ENTRY_NEVER_WAITS

static const BkEntry entries[] = {
    {"unary", BK_ENTRY_UNARY | AT_ONCE, "greets, and says what it saw of the request", unary},
    {"echo", BK_ENTRY_UNARY | AT_ONCE, "gives the payload back", echo},
    {"stream", BK_ENTRY_STREAM | AT_ONCE, "sends five frames", stream},
    {"chat", BK_ENTRY_BIDIRECTIONAL, "echoes each message until the stream is closed", chat},
    {"state", BK_ENTRY_UNARY | AT_ONCE, "sets KEY=VALUE in the call's state and reads it back",
     state},
    {"slow", BK_ENTRY_UNARY | AT_ONCE, "answers after the milliseconds in the payload", slow},
    {"fail", BK_ENTRY_UNARY | AT_ONCE, "answers with the status in the payload", fail},
};

static const BkPluginDef sample_plugin = {
    .name = "sample-c",
    .version = "0.1.0",
    .flags = BK_PLUGIN_THREAD_SAFE | BK_PLUGIN_MULTI_INSTANCE | BK_PLUGIN_MAY_UNLOAD
             | BK_PLUGIN_WANTS_COROUTINE | BK_PLUGIN_NEVER_BLOCKS,
    .config_default = "{\"greeting\":\"Hello\"}",
    BK_ENTRIES(entries),
    .start = start,
    .stop = stop,
    .cancel = cancel,
};

BK_PLUGIN(sample_plugin)
