/* SPDX-License-Identifier: BSD-3-Clause */
/* The wrappers: views, text, leases, owned answers, logs, older hosts. */
#include "becket_call.h"

#include "becket_fake_host.h"
#include "becket_plugin.h"
#include "becket_text.h"

static BkPlugin plugin;
static int releases;

static NrStatus keep(BkPlugin *given) {
    plugin = *given;
    return NR_OK;
}

static NrStatus later(const BkCall *call) {
    (void)call;
    return NR_OK;
}

/* Longer than the host takes. */
static uint8_t huge[BK_FAKE_PAYLOAD_BYTES_MAX + 1];

static NrStatus too_long(const BkCall *call) {
    BK_CHECK(bk_answer(call, 99, bk_bytes(huge, sizeof huge)) == NR_TOO_LONG);
    return NR_OK;
}

static NrStatus too_long_text(const BkCall *call) {
    BkText text;
    bk_text_init(&text);
    bk_text_add(&text, bk_bytes(huge, sizeof huge));
    BK_CHECK(bk_text_answer(&text, call, NR_OK) == NR_TOO_LONG);
    return NR_OK;
}

static NrStatus too_long_frames(const BkCall *call) {
    BK_CHECK(bk_answer(call, NR_OK, bk_bytes(huge, sizeof huge)) == NR_TOO_LONG);
    BK_CHECK(!bk_is_cancelled(call->plugin, call->sid));
    BK_CHECK(bk_answer_text(call, NR_OK, "fits") == NR_OK);
    BK_CHECK(bk_answer(call, NR_STREAM_END, bk_bytes(huge, sizeof huge)) == NR_TOO_LONG);
    return NR_OK;
}

static const BkEntry entries[] = {
    {"later", BK_ENTRY_UNARY, "is answered by the test", later},
    {"too_long", BK_ENTRY_UNARY | BK_ENTRY_NEVER_WAITS, "", too_long},
    {"too_long_text", BK_ENTRY_UNARY, "", too_long_text},
    {"too_long_frames", BK_ENTRY_STREAM, "", too_long_frames},
};
static const BkPluginDef def = {
    .name = "calls", .version = "1", BK_ENTRIES(entries), .start = keep};

BK_PLUGIN(def)

static void count_release(void *owner_ctx, const uint8_t *ptr, uint64_t len) {
    (void)owner_ctx;
    (void)ptr;
    (void)len;
    releases++;
}

static void views(void) {
    BK_CHECK(bk_str("").ptr == NULL && bk_str(NULL).len == 0 && bk_bytes("x", 0).ptr == NULL);
    BK_CHECK(bk_str_eq(NR_STR("ab"), "ab") && !bk_str_eq(NR_STR("ab"), "abc"));
    BK_CHECK(bk_str_eq_ignore_case(NR_STR("X-A"), "x-a"));
    BK_CHECK(bk_is_utf8(bk_text("gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x98\x80")));
    static const char *const broken[] = {"\x80", "\xc0\x80", "\xe0\x80\x80", "\xed\xa0\x80",
                                         "\xf4\x90\x80\x80", "\xe2\x82", "\xff", "\xc3" "A"};
    for (size_t i = 0; i < sizeof broken / sizeof broken[0]; i++) {
        BK_CHECK(!bk_is_utf8(bk_text(broken[i])));
    }
    uint64_t number = 7;
    BK_CHECK(bk_number(bk_text("18446744073709551615"), UINT64_MAX, &number));
    BK_CHECK(number == UINT64_MAX);
    BK_CHECK(!bk_number(bk_text("18446744073709551616"), UINT64_MAX, &number));
    BK_CHECK(!bk_number(bk_text("256"), 255, &number) && bk_number(bk_text("255"), 255, &number));
    BK_CHECK(!bk_number(bk_text(""), 9, &number) && !bk_number(bk_text("1 "), 9, &number));
    BK_CHECK(bk_number(bk_text("3"), 3, &number) && !bk_number(bk_text("4"), 3, &number));
}

static void answers(BkFakeHost *host) {
    NrOwnedBytes owned = {(const uint8_t *)"owned", 5, NULL, count_release};
    uint64_t sid = bk_fake_call(host, "later", NULL, bk_fake_text(""));
    BK_CHECK(bk_send_owned(&plugin, sid, NR_OK, owned) == NR_OK && releases == 1);
    BK_CHECK_FRAME(host, sid, NR_OK, "owned");
    BK_CHECK(bk_send_owned(&plugin, sid, NR_OK, owned) == NR_INVALID && releases == 2);

    host->frames_max = 0;
    sid = bk_fake_stream(host, "later", NULL, bk_fake_text(""));
    BK_CHECK(bk_send_owned(&plugin, sid, NR_OK, owned) == NR_BACKPRESSURE && releases == 2);
    NrBufferLease lease = bk_lease_acquire(&plugin, sid, 3);
    memcpy(lease.ptr, "abc", 3);
    BK_CHECK(bk_lease_commit(&plugin, sid, NR_OK, lease.token, 3) == NR_BACKPRESSURE);
    BK_CHECK(bk_lease_commit(&plugin, sid, NR_STREAM_END, lease.token, 4) == NR_INVALID);
    BK_CHECK(bk_lease_commit(&plugin, sid, NR_STREAM_END, lease.token, 2) == NR_OK);
    BK_CHECK_FRAME(host, sid, NR_STREAM_END, "ab");
    BK_CHECK(bk_lease_release(&plugin, lease.token) == NR_INVALID);
    BK_CHECK(bk_is_cancelled(&plugin, sid) == 1);
    BK_CHECK(bk_lease_acquire(&plugin, sid, 3).token == 0);

    sid = bk_fake_call(host, "later", NULL, bk_fake_text(""));
    BK_CHECK(bk_remaining_ms(&plugin, sid) == BK_NO_DEADLINE);
    bk_fake_deadline(host, sid, 30);
    bk_fake_advance(host, 10);
    BK_CHECK(bk_remaining_ms(&plugin, sid) == 20);
    bk_fake_advance(host, 30);
    BK_CHECK(bk_remaining_ms(&plugin, sid) == 0);
    BK_CHECK(bk_send_wait(&plugin, sid, 99, bk_text("any number"), 5) == NR_OK);
    BK_CHECK_FRAME(host, sid, 99, "any number");
}

static void too_long_answers(BkFakeHost *host) {
    static const char *const names[] = {"too_long", "too_long_text"};
    uint64_t before = host->refused;
    host->frames_max = 1;
    uint64_t sid;
    for (size_t i = 0; i < 2; i++) {
        sid = bk_fake_call(host, names[i], NULL, bk_fake_text(""));
        BK_CHECK_FRAME(host, sid, NR_TOO_LONG, "");
    }
    sid = bk_fake_stream(host, "too_long_frames", NULL, bk_fake_text(""));
    BK_CHECK_FRAME(host, sid, NR_OK, "fits");
    BK_CHECK_FRAME(host, sid, NR_TOO_LONG, "");
    sid = bk_fake_call(host, "later", NULL, bk_fake_text(""));
    BK_CHECK(bk_send(&plugin, sid, NR_OK, bk_bytes(huge, sizeof huge)) == NR_TOO_LONG);
    BK_CHECK_FRAME(host, sid, NR_TOO_LONG, "");
    sid = bk_fake_call(host, "later", NULL, bk_fake_text(""));
    BkText text;
    bk_text_init(&text);
    bk_text_add(&text, bk_bytes(huge, sizeof huge));
    BK_CHECK(bk_text_end(&text, &plugin, sid, NR_OK) == NR_TOO_LONG);
    BK_CHECK_FRAME(host, sid, NR_TOO_LONG, "");
    BK_CHECK(host->refused == before + 6);
    /* One without a caller is refused once. */
    BK_CHECK(bk_send(&plugin, sid, NR_OK, bk_text("late")) == NR_INVALID);
    BK_CHECK(host->refused == before + 7);
}

static void long_text(BkFakeHost *host) {
    uint64_t sid = bk_fake_call(host, "later", NULL, bk_fake_text(""));
    BkText text;
    bk_text_init(&text);
    for (int i = 0; i < 3000; i++) {
        bk_text_add_number(&text, (uint64_t)(i % 10));
    }
    BK_CHECK(bk_text_send(&text, &plugin, sid, NR_OK) == NR_OK);
    const BkFakeFrame *frame = bk_fake_next(host, sid);
    BK_CHECK(frame->len == 3000 && memcmp(frame->data, "0123456789012", 13) == 0);
    BK_CHECK(frame->data[2999] == '9');
}

static void observability(BkFakeHost *host) {
    bk_logf(&plugin, BK_LOG_WARN, "calls", "%d of %s", 3, "four");
    BK_CHECK(bk_fake_logged(host, BK_LOG_WARN, "calls", "3 of four") == 1);
    uint32_t gauge = bk_metric(&plugin, BK_METRIC_GAUGE, "depth", "how deep");
    uint32_t seconds = bk_metric(&plugin, BK_METRIC_HISTOGRAM, "seconds", "how long");
    BK_CHECK(bk_gauge_set(&plugin, gauge, 2.5) == NR_OK);
    BK_CHECK(bk_histogram_record(&plugin, seconds, 1) == NR_OK);
    BK_CHECK(bk_counter_add(&plugin, gauge, 1) == NR_INVALID);
    BK_CHECK(bk_fake_metric(host, "depth") == 2.5 && bk_fake_metric(host, "seconds") == 1);
    BK_CHECK(bk_metric(&plugin, BK_METRIC_COUNTER, "depth", "") == BK_METRIC_UNKNOWN);
}

/* A host whose table ends before `log`: what stands behind is not touched. */
static void older_host(BkFakeHost *host) {
    BkHostApi older = host->api;
    older.struct_size = offsetof(BkHostApi, log);
    older.log = NULL;
    older.config_get = NULL;
    BkPlugin old = plugin;
    old.api = &older;
    BK_CHECK(bk_log_enabled(&old, BK_LOG_ERROR) == 0);
    bk_logf(&old, BK_LOG_ERROR, "calls", "%s", "nowhere");
    BK_CHECK(bk_config_get(&old, "a").len == 0);
    BK_CHECK(bk_timer_start(&old, 1, NULL, NULL) == 0);
    BK_CHECK(bk_metric(&old, BK_METRIC_GAUGE, "a", "") == BK_METRIC_UNKNOWN);
}

/* A thread that outlives shutdown still calls the host, through the plugin that it
 * was given, when the slot has been offered again: it is refused. A host without
 * becket's functions that starts an instance in that slot gets none of before. */
static void late_thread(void) {
    BkFakeHost *host = bk_fake_new();
    BK_CHECK(bk_fake_load(host, nylon_ring_get_plugin_v1(), 1) == NR_OK);
    const BkPlugin *late = (const BkPlugin *)host->info->plugin_ctx;
    uint64_t sid = bk_fake_call(host, "later", NULL, bk_fake_text("x"));
    bk_fake_cancel(host, sid);
    BK_CHECK(bk_fake_unload(host) == 0);
    const NrPluginInfo *again = nylon_ring_get_plugin_v1();
    BK_CHECK(again->plugin_ctx == (const void *)late);
    BK_CHECK(bk_send(late, sid, NR_OK, bk_fake_text("late")) == NR_INVALID);

    BkFakeHost *plain = bk_fake_new();
    BK_CHECK(bk_fake_load(plain, again, 0) == NR_OK);
    BK_CHECK(late->api == NULL && late->host_ctx == (void *)plain);
    BK_CHECK(bk_fake_unload(plain) == 0);
    bk_fake_free(plain);
    bk_fake_free(host);
}

int main(void) {
    late_thread();
    BkFakeHost *host = bk_fake_new();
    bk_fake_config(host, "a.b", "c");
    BK_CHECK(bk_fake_load(host, nylon_ring_get_plugin_v1(), 1) == NR_OK);
    BK_CHECK(bk_str_eq(bk_config_get(&plugin, "a.b"), "c"));
    views();
    answers(host);
    too_long_answers(host);
    long_text(host);
    observability(host);
    older_host(host);
    BK_CHECK(bk_fake_unload(host) == 0);
    bk_fake_free(host);
    return 0;
}
