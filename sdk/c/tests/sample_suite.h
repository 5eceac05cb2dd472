/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The sample plugin's behaviour (examples/plugins/README.md) over the fake
 * host, for each language that can be linked into a C or C++ test.
 */
#ifndef SAMPLE_SUITE_H
#define SAMPLE_SUITE_H

#include "becket_fake_host.h"

static BkFakeHost *sample_load(const char *greeting) {
    BkFakeHost *host = bk_fake_new();
    if (greeting != NULL) {
        bk_fake_config(host, "greeting", greeting);
    }
    BK_CHECK(bk_fake_load(host, nylon_ring_get_plugin_v1(), 1) == NR_OK);
    return host;
}

static void sample_unload(BkFakeHost *host) {
    BK_CHECK(bk_fake_unload(host) == 0);
    bk_fake_free(host);
}

static void sample_check_call(BkFakeHost *host, const char *entry, const char *payload,
                              NrStatus status, const char *text) {
    uint64_t sid = bk_fake_call(host, entry, NULL, bk_fake_text(payload));
    BK_CHECK_FRAME(host, sid, status, text);
    BK_CHECK(bk_fake_next(host, sid) == NULL);
}

static void sample_identity(const char *name) {
    static const char *const names[] = {"unary", "echo", "stream", "chat", "state", "slow", "fail"};
    static const uint32_t kinds[] = {BK_ENTRY_UNARY, BK_ENTRY_UNARY, BK_ENTRY_STREAM,
                                     BK_ENTRY_BIDIRECTIONAL, BK_ENTRY_UNARY, BK_ENTRY_UNARY,
                                     BK_ENTRY_UNARY};
    BkFakeHost *host = sample_load(NULL);
    const NrPluginInfo *info = host->info;
    BK_CHECK(info->name.len == strlen(name) && memcmp(info->name.ptr, name, strlen(name)) == 0);
    BK_CHECK(info->flags ==
             (BK_PLUGIN_THREAD_SAFE | BK_PLUGIN_MULTI_INSTANCE | BK_PLUGIN_MAY_UNLOAD |
              BK_PLUGIN_WANTS_COROUTINE | BK_PLUGIN_NEVER_BLOCKS));
    BK_CHECK(bk_fake_logged(host, BK_LOG_INFO, "sample", "ready") == 1);
    for (uint32_t i = 0; i < 7; i++) {
        BkEntryInfo entry;
        memset(&entry, 0, sizeof entry);
        entry.struct_size = sizeof entry;
        BK_CHECK(host->vtable.describe(info->plugin_ctx, i, &entry) == NR_OK);
        uint32_t never_waits = i == 3 ? 0 : BK_ENTRY_NEVER_WAITS;
        BK_CHECK(entry.kind == (kinds[i] | never_waits) && entry.help.len > 0);
        BK_CHECK(entry.name.len == strlen(names[i]));
        BK_CHECK(memcmp(entry.name.ptr, names[i], entry.name.len) == 0);
        BK_CHECK(host->vtable.resolve_entry(info->plugin_ctx, entry.name) == i);
    }
    BkEntryInfo none;
    memset(&none, 0, sizeof none);
    none.struct_size = sizeof none;
    BK_CHECK(host->vtable.describe(info->plugin_ctx, 7, &none) == NR_INVALID);
    BK_CHECK(host->vtable.resolve_entry(info->plugin_ctx, bk_fake_str("no")) == BK_ENTRY_UNKNOWN);
    sample_check_call(host, "no", "", NR_UNSUPPORTED, "");

    uint64_t sid = bk_fake_begin(host, 0);
    BK_CHECK(host->vtable.handle_raw(info->plugin_ctx, bk_fake_str("echo"), sid,
                                     bk_fake_text("raw")) == NR_OK);
    BK_CHECK_FRAME(host, sid, NR_OK, "raw");
    sid = bk_fake_begin(host, 0);
    BK_CHECK(host->vtable.handle_by_id(info->plugin_ctx, 1, sid, NULL, bk_fake_text("id")) ==
             NR_OK);
    BK_CHECK_FRAME(host, sid, NR_OK, "id");
    BK_CHECK(host->vtable.handle_by_id(info->plugin_ctx, 99, sid, NULL, bk_fake_text("")) ==
             NR_UNSUPPORTED);
    sample_unload(host);
}

static void sample_unary(const char *lang) {
    char expected[160];
    BkFakeHost *host = sample_load("Ahoy");
    snprintf(expected, sizeof expected, "Ahoy from %s: - -, 0 headers, 0 bytes", lang);
    sample_check_call(host, "unary", "", NR_OK, expected);

    NrHeader headers[2];
    headers[0].key = bk_fake_str("Accept");
    headers[0].value = bk_fake_str("*/*");
    headers[1].key = bk_fake_str("X-Becket-ECHO");
    headers[1].value = bk_fake_str("seven");
    NrRequest request;
    memset(&request, 0, sizeof request);
    request.method = bk_fake_str("GET");
    request.path = bk_fake_str("/hello");
    request.query = bk_fake_str("x=1");
    request.headers = headers;
    request.headers_len = 2;
    snprintf(expected, sizeof expected,
             "Ahoy from %s: GET /hello?x=1, 2 headers, 5 bytes, x-becket-echo=seven", lang);
    uint64_t sid = bk_fake_call(host, "unary", &request, bk_fake_text("12345"));
    BK_CHECK_FRAME(host, sid, NR_OK, expected);
    BK_CHECK(bk_fake_metric(host, "sample_unary_total") == 2);
    BK_CHECK(bk_fake_logged(host, BK_LOG_DEBUG, "sample", "unary: 5 bytes") == 1);
    sample_unload(host);
}

static void sample_echo(void) {
    BkFakeHost *host = sample_load(NULL);
    static uint8_t big[1 << 20];
    for (size_t i = 0; i < sizeof big; i++) {
        big[i] = (uint8_t)(i * 7 + i / 256);
    }
    static const uint64_t lens[] = {0, 1, 64, 511, 512, 513, sizeof big};
    for (size_t i = 0; i < sizeof lens / sizeof lens[0]; i++) {
        uint64_t sid = bk_fake_call(host, "echo", NULL, bk_fake_bytes(big, lens[i]));
        const BkFakeFrame *frame = bk_fake_next(host, sid);
        BK_CHECK(frame != NULL && frame->status == NR_OK && frame->len == lens[i]);
        BK_CHECK(frame->len == 0 || memcmp(frame->data, big, frame->len) == 0);
    }
    sample_unload(host);
}

static void sample_stream(void) {
    BkFakeHost *host = sample_load(NULL);
    uint64_t sid = bk_fake_stream(host, "stream", NULL, bk_fake_text(""));
    char expected[32];
    for (int i = 1; i <= 5; i++) {
        snprintf(expected, sizeof expected, "frame %d of 5", i);
        BK_CHECK_FRAME(host, sid, NR_OK, expected);
    }
    BK_CHECK_FRAME(host, sid, NR_STREAM_END, "");

    host->frames_max = 3;
    sid = bk_fake_stream(host, "stream", NULL, bk_fake_text(""));
    for (int i = 1; i <= 3; i++) {
        snprintf(expected, sizeof expected, "frame %d of 5", i);
        BK_CHECK_FRAME(host, sid, NR_OK, expected);
    }
    BK_CHECK_FRAME(host, sid, NR_BACKPRESSURE, "stream queue full");
    BK_CHECK(host->refused == 0);
    sample_unload(host);
}

static void sample_chat(void) {
    BkFakeHost *host = sample_load(NULL);
    uint64_t sid = bk_fake_stream(host, "chat", NULL, bk_fake_text("ignored"));
    uint64_t other = bk_fake_stream(host, "chat", NULL, bk_fake_text(""));
    BK_CHECK_FRAME(host, sid, NR_OK, "welcome");
    BK_CHECK_FRAME(host, other, NR_OK, "welcome");
    char data[32], expected[64];
    for (int i = 0; i < 1000; i++) {
        snprintf(data, sizeof data, "message %d", i);
        snprintf(expected, sizeof expected, "echo: message %d", i);
        BK_CHECK(bk_fake_stream_data(host, sid, bk_fake_text(data)) == NR_OK);
        BK_CHECK_FRAME(host, sid, NR_OK, expected);
    }

    /* A full queue: the handler waits, then messages do, then they are refused. */
    host->frames_max = 1;
    BK_CHECK(bk_fake_stream_data(host, sid, bk_fake_text("a")) == NR_OK);
    BK_CHECK(bk_fake_stream_data(host, sid, bk_fake_text("b")) == NR_OK);
    BK_CHECK(bk_fake_stream_data(host, sid, bk_fake_text("c")) == NR_OK);
    BK_CHECK(bk_fake_stream_data(host, sid, bk_fake_text("d")) == NR_BACKPRESSURE);
    BK_CHECK_FRAME(host, sid, NR_OK, "echo: a");
    BK_CHECK(bk_fake_stream_data(host, sid, bk_fake_text("d")) == NR_OK);
    BK_CHECK(bk_fake_stream_close(host, sid) == NR_OK);
    BK_CHECK_FRAME(host, sid, NR_OK, "echo: b");
    BK_CHECK_FRAME(host, sid, NR_OK, "echo: c");
    BK_CHECK_FRAME(host, sid, NR_OK, "echo: d");
    BK_CHECK_FRAME(host, sid, NR_STREAM_END, "bye after 1004 messages");
    BK_CHECK(bk_fake_stream_data(host, sid, bk_fake_text("late")) == NR_INVALID);
    BK_CHECK(bk_fake_stream_close(host, sid) == NR_INVALID);

    bk_fake_cancel(host, other);
    BK_CHECK(bk_fake_stream_data(host, other, bk_fake_text("late")) == NR_INVALID);
    BK_CHECK(bk_fake_next(host, other) == NULL);
    BK_CHECK(host->refused == 0);

    /* One that still waits when the plugin ends. */
    bk_fake_stream(host, "chat", NULL, bk_fake_text(""));
    sample_unload(host);
}

static void sample_state(void) {
    BkFakeHost *host = sample_load(NULL);
    sample_check_call(host, "state", "color=blue=ish", NR_OK, "color=blue=ish");
    sample_check_call(host, "state", "color=", NR_OK, "color=");
    sample_check_call(host, "state", "color", NR_OK, "color=");
    sample_check_call(host, "state", "", NR_INVALID, "expected key=value");
    sample_check_call(host, "state", "=x", NR_INVALID, "expected key=value");
    sample_check_call(host, "state", "\xff\xfe=x", NR_INVALID, "expected key=value");
    char payload[3001], expected[3001];
    memset(payload, 'v', sizeof payload - 1);
    memcpy(payload, "key=", 4);
    payload[3000] = 0;
    memcpy(expected, payload, sizeof expected);
    sample_check_call(host, "state", payload, NR_OK, expected);
    host->state_bytes_max = 4;
    sample_check_call(host, "state", "key=v", NR_OK, "key=v");
    sample_check_call(host, "state", "key=va", NR_BACKPRESSURE, "state refused");
    sample_unload(host);
}

static void sample_slow(void) {
    BkFakeHost *host = sample_load(NULL);
    uint64_t first = bk_fake_call(host, "slow", NULL, bk_fake_text("30"));
    uint64_t second = bk_fake_call(host, "slow", NULL, bk_fake_text("20"));
    uint64_t gone = bk_fake_call(host, "slow", NULL, bk_fake_text("10"));
    uint64_t whole = bk_fake_call(host, "slow", NULL, bk_fake_text(""));
    BK_CHECK(bk_fake_cancel(host, gone) == NR_OK);
    BK_CHECK(bk_fake_metric(host, "sample_slow_cancelled_total") == 1);
    bk_fake_advance(host, 25);
    BK_CHECK(bk_fake_next(host, first) == NULL);
    BK_CHECK_FRAME(host, second, NR_OK, "slow done");
    bk_fake_advance(host, 25);
    BK_CHECK_FRAME(host, first, NR_OK, "slow done");
    BK_CHECK(bk_fake_next(host, gone) == NULL);
    bk_fake_advance(host, 449);
    BK_CHECK(bk_fake_next(host, whole) == NULL);
    bk_fake_advance(host, 1);
    BK_CHECK_FRAME(host, whole, NR_OK, "slow done");
    BK_CHECK(host->vtable.cancel(host->info->plugin_ctx, whole) == NR_INVALID);

    sample_check_call(host, "slow", "soon", NR_INVALID, "expected milliseconds");
    sample_check_call(host, "slow", "-1", NR_INVALID, "expected milliseconds");
    sample_check_call(host, "slow", "99999999999999999999", NR_INVALID, "expected milliseconds");
    host->timers_max = 0;
    sample_check_call(host, "slow", "1", NR_BACKPRESSURE, "no timer free");
    BK_CHECK(host->refused == 0);
    host->timers_max = 8;
    bk_fake_call(host, "slow", NULL, bk_fake_text("1000")); /* shutdown cancels it */
    sample_unload(host);
}

static void sample_fail(void) {
    BkFakeHost *host = sample_load(NULL);
    sample_check_call(host, "fail", "0", NR_OK, "failed on request");
    sample_check_call(host, "fail", "2", NR_INVALID, "failed on request");
    sample_check_call(host, "fail", "4294967295", (NrStatus)4294967295u, "failed on request");
    sample_check_call(host, "fail", "4294967296", NR_INVALID, "expected a status or panic");
    sample_check_call(host, "fail", "", NR_ERR, "");
    sample_check_call(host, "fail", "panic", NR_PANIC, "");
    sample_check_call(host, "fail", "panics", NR_INVALID, "expected a status or panic");
    sample_unload(host);
}

static void sample_without_extras(const char *lang) {
    char expected[80];
    BkFakeHost *host = bk_fake_new();
    BK_CHECK(bk_fake_load(host, nylon_ring_get_plugin_v1(), 0) == NR_OK);
    snprintf(expected, sizeof expected, "Hello from %s: - -, 0 headers, 1 bytes", lang);
    sample_check_call(host, "unary", "x", NR_OK, expected);
    sample_check_call(host, "echo", "x", NR_OK, "x");
    sample_check_call(host, "state", "a=b", NR_UNSUPPORTED, "needs a host with state");
    sample_check_call(host, "slow", "1", NR_UNSUPPORTED, "needs a host with timers");
    sample_check_call(host, "chat", "", NR_UNSUPPORTED, "needs a host with coroutines");
    sample_unload(host);
}

/* Two at once from one image answer their own hosts, and slots come back. */
static void sample_instances(void) {
    for (int round = 0; round < 100; round++) {
        BkFakeHost *one = sample_load("one");
        BkFakeHost *two = sample_load("two");
        BK_CHECK(one->info->plugin_ctx != two->info->plugin_ctx);
        uint64_t sid_one = bk_fake_call(one, "slow", NULL, bk_fake_text("5"));
        uint64_t sid_two = bk_fake_call(two, "slow", NULL, bk_fake_text("5"));
        BK_CHECK(sid_one == sid_two);
        bk_fake_advance(two, 5);
        BK_CHECK_FRAME(two, sid_two, NR_OK, "slow done");
        BK_CHECK(bk_fake_next(one, sid_one) == NULL);
        sample_unload(two);
        bk_fake_advance(one, 5);
        BK_CHECK_FRAME(one, sid_one, NR_OK, "slow done");
        sample_unload(one);
        BK_CHECK(nylon_ring_get_plugin_v1() != NULL); /* looked at, never started */
    }
}

static int sample_suite(const char *name, const char *lang) {
    sample_identity(name);
    sample_unary(lang);
    sample_echo();
    sample_stream();
    sample_chat();
    sample_state();
    sample_slow();
    sample_fail();
    sample_without_extras(lang);
    sample_instances();
    return 0;
}

#endif /* SAMPLE_SUITE_H */
