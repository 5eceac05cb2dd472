// SPDX-License-Identifier: BSD-3-Clause
// Statistics, snapshots, rates, the metrics pipe, the configuration.

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "expect.h"
#include "kcoro.h"
#include "kcoro_config_runtime.h"

static kc_chan_t *make(int kind, size_t elem_sz, size_t capacity) {
    kc_chan_t *ch = NULL;
    EXPECT_EQ(kc_chan_make(&ch, kind, elem_sz, capacity), 0);
    return ch;
}

static long now_ns(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1000000000L + time.tv_nsec;
}

static char folder[FOLDER_BYTES];
/* The configuration. */
static char path[64];

static void write_config(const char *json) {
    FILE *out = fopen(path, "w");
    EXPECT(out != NULL);
    fputs(json, out);
    EXPECT_EQ(fclose(out), 0);
}

static void configure(const char *json) {
    write_config(json);
    EXPECT_EQ(kc_runtime_config_reload(path), 0);
    EXPECT_EQ(remove(path), 0);
}

static void counts_and_times(void) {
    struct kc_chan_stats stats;
    kc_chan_t *ch = make(KC_BUFFERED, sizeof(int), 4);
    EXPECT_EQ(kc_chan_get_stats(NULL, &stats), -22);
    EXPECT_EQ(kc_chan_get_stats(ch, NULL), -22);
    EXPECT_EQ(kc_chan_get_stats(ch, &stats), 0);
    EXPECT(stats.total_sends == 0 && stats.first_op_time_ns == 0 && stats.last_op_time_ns == 0);
    EXPECT(stats.duration_sec == 0.0 && stats.send_rate_ops_sec == 0.0);
    long before = now_ns();
    for (int i = 0; i < 10; i++) {
        EXPECT_EQ(kc_chan_try_send(ch, &i), 0);
        EXPECT_EQ(kc_chan_try_recv(ch, &i), 0);
    }
    long after = now_ns();
    EXPECT_EQ(kc_chan_get_stats(ch, &stats), 0);
    EXPECT_EQ(stats.total_sends, 10);
    EXPECT_EQ(stats.total_recvs, 10);
    EXPECT_EQ(stats.total_bytes_sent, 10 * sizeof(int));
    EXPECT_EQ(stats.total_bytes_recv, 10 * sizeof(int));
    EXPECT(before <= stats.first_op_time_ns && stats.first_op_time_ns < stats.last_op_time_ns);
    EXPECT(stats.last_op_time_ns <= after);
    EXPECT(stats.duration_sec > 0.0 && stats.send_rate_ops_sec > 0.0);
    EXPECT(stats.recv_rate_bytes_sec > stats.recv_rate_ops_sec);
    kc_chan_destroy(ch);
}

static void every_failure_is_counted(void) {
    static const int kinds[] = {KC_RENDEZVOUS, KC_BUFFERED, KC_CONFLATED, KC_UNLIMITED};
    struct kc_chan_snapshot snapshot;
    for (int at = 0; at < 4; at++) {
        int value = 1, kind = kinds[at];
        int waits = kind == KC_RENDEZVOUS || kind == KC_BUFFERED;
        kc_chan_t *ch = make(kind, sizeof(int), 1);
        kc_cancel_t *token = NULL;
        EXPECT_EQ(kc_cancel_init(&token), 0);
        EXPECT_EQ(kc_chan_recv(ch, &value, 0), KC_EAGAIN);
        EXPECT_EQ(kc_chan_recv(ch, &value, 0), KC_EAGAIN);
        EXPECT_EQ(kc_chan_recv(ch, &value, 1), KC_ETIME);
        int sent = kc_chan_send(ch, &value, 0) == 0;
        if (waits) {
            EXPECT_EQ(kc_chan_send(ch, &value, 0), KC_EAGAIN);
            EXPECT_EQ(kc_chan_send(ch, &value, 1), KC_ETIME);
        }
        kc_cancel_trigger(token);
        EXPECT_EQ(kc_chan_recv_c(ch, &value, 1, token), KC_ECANCELED);
        EXPECT_EQ(kc_chan_send_c(ch, &value, -1, token), KC_ECANCELED);
        kc_chan_close(ch);
        EXPECT_EQ(kc_chan_send(ch, &value, 0), KC_EPIPE);
        EXPECT_EQ(kc_chan_send(ch, &value, 5), KC_EPIPE);
        EXPECT_EQ(kc_chan_send(ch, &value, -1), KC_EPIPE);
        EXPECT_EQ(kc_chan_recv(ch, &value, 0), sent ? 0 : KC_EPIPE);
        EXPECT_EQ(kc_chan_recv(ch, &value, -1), KC_EPIPE);
        EXPECT_EQ(kc_chan_snapshot(ch, &snapshot), 0);
        EXPECT_EQ(snapshot.recv_eagain, 2);
        EXPECT_EQ(snapshot.recv_etime, 1);
        EXPECT_EQ(snapshot.recv_epipe, 2 - sent);
        EXPECT_EQ(snapshot.send_eagain, waits + (kind == KC_RENDEZVOUS));
        EXPECT_EQ(snapshot.send_etime, waits);
        EXPECT_EQ(snapshot.send_epipe, 3);
        EXPECT_EQ(snapshot.rv_cancels, kind == KC_RENDEZVOUS ? 2 : 0);
        EXPECT_EQ(snapshot.total_sends, sent);
        EXPECT_EQ(snapshot.total_recvs, sent);
        EXPECT_EQ(snapshot.closed, 1);
        kc_chan_destroy(ch);
        kc_cancel_destroy(token);
    }
}

static void snapshots_say_what_it_is(void) {
    struct kc_chan_snapshot snapshot;
    EXPECT_EQ(KC_CHAN_SNAPSHOT_DEFINED, 1);
    EXPECT_EQ(KC_CHAN_RATE_SAMPLE_DEFINED, 1);
    EXPECT_EQ(kc_chan_snapshot(NULL, &snapshot), -22);
    kc_chan_t *ch = make(7, 24, 0);
    char element[24] = {0};
    EXPECT_EQ(kc_chan_snapshot(ch, NULL), -22);
    EXPECT_EQ(kc_chan_try_send(ch, element), 0);
    EXPECT_EQ(kc_chan_snapshot(ch, &snapshot), 0);
    EXPECT(snapshot.chan == ch);
    EXPECT_EQ(snapshot.kind, KC_BUFFERED);
    EXPECT_EQ(snapshot.elem_sz, 24);
    EXPECT_EQ(snapshot.capacity, 7);
    EXPECT_EQ(snapshot.count, 1);
    EXPECT(!snapshot.closed && !snapshot.zref_mode && !snapshot.ptr_mode && !snapshot.capabilities);
    kc_chan_destroy(ch);
    ch = make(KC_UNLIMITED, 24, 0);
    EXPECT_EQ(kc_chan_snapshot(ch, &snapshot), 0);
    EXPECT_EQ(snapshot.capacity, 64);
    EXPECT_EQ(snapshot.kind, KC_UNLIMITED);
    kc_chan_destroy(ch);
    ch = make(KC_CONFLATED, 24, 9);
    EXPECT_EQ(kc_chan_try_send(ch, element), 0);
    EXPECT_EQ(kc_chan_snapshot(ch, &snapshot), 0);
    EXPECT_EQ(snapshot.capacity, 0);
    EXPECT_EQ(snapshot.count, 1);
    EXPECT_EQ(snapshot.kind, KC_CONFLATED);
    kc_chan_destroy(ch);
}

static void rates(void) {
    struct kc_chan_snapshot none, one, two;
    struct kc_chan_rate_sample rate;
    memset(&none, 0, sizeof none);
    one = two = none;
    one.total_sends = 100;
    one.total_bytes_sent = 400;
    one.duration_sec = 2.0;
    two = one;
    two.total_sends = 150;
    two.total_recvs = 30;
    two.recv_eagain = 3;
    two.rv_cancels = 4;
    two.duration_sec = 7.0;
    EXPECT_EQ(kc_chan_compute_rate(&one, NULL, &rate), -22);
    EXPECT_EQ(kc_chan_compute_rate(&one, &two, NULL), -22);
    EXPECT_EQ(kc_chan_compute_rate(&one, &two, &rate), 0);
    EXPECT(rate.interval_sec == 5.0 && rate.sends_per_sec == 10.0 && rate.recvs_per_sec == 6.0);
    EXPECT(rate.delta_sends == 50 && rate.delta_bytes_sent == 0 && rate.delta_recv_eagain == 3);
    EXPECT(rate.delta_rv_cancels == 4);
    EXPECT_EQ(kc_chan_compute_rate(NULL, &one, &rate), 0);
    EXPECT(rate.interval_sec == 2.0 && rate.delta_sends == 100 && rate.bytes_sent_per_sec == 200.0);
    EXPECT_EQ(kc_chan_compute_rate(&none, &one, &rate), 0);
    EXPECT(rate.interval_sec == 2.0 && rate.delta_sends == 100);
    // Nothing between them, and something in no time.
    EXPECT_EQ(kc_chan_compute_rate(&two, &two, &rate), 0);
    EXPECT(rate.interval_sec == 0.0 && rate.sends_per_sec == 0.0);
    one.duration_sec = two.duration_sec;
    EXPECT_EQ(kc_chan_compute_rate(&one, &two, &rate), 0);
    EXPECT(rate.interval_sec == 1e-6 && rate.delta_sends == 50);
}

static kc_chan_t *pipe_of(kc_chan_t *ch, size_t capacity) {
    kc_chan_t *pipe = NULL, *same = NULL;
    EXPECT(kc_chan_metrics_pipe(ch) == NULL);
    EXPECT_EQ(kc_chan_enable_metrics_pipe(ch, &pipe, capacity), 0);
    EXPECT_EQ(kc_chan_enable_metrics_pipe(ch, &same, 1), 0);
    EXPECT(pipe != NULL && pipe == same && kc_chan_metrics_pipe(ch) == pipe);
    return pipe;
}

static void send_and_recv(kc_chan_t *ch, int pairs) {
    for (int i = 0, value = 0; i < pairs; i++) {
        EXPECT_EQ(kc_chan_try_send(ch, &value), 0);
        EXPECT_EQ(kc_chan_try_recv(ch, &value), 0);
    }
}

static void events_by_number(void) {
    struct kc_chan_metrics_event event;
    configure("{\"channel\":{\"metrics\":{\"emit_min_ops\":10,\"emit_min_ms\":-1}}}");
    kc_chan_t *ch = make(KC_BUFFERED, sizeof(int), 4);
    EXPECT_EQ(kc_chan_enable_metrics_pipe(NULL, NULL, 0), -22);
    EXPECT_EQ(kc_chan_enable_metrics_pipe(ch, NULL, 0), -22);
    EXPECT_EQ(kc_chan_disable_metrics_pipe(NULL), -22);
    kc_chan_t *pipe = pipe_of(ch, 2);
    // Ten operations, not nine.
    int value = 0;
    send_and_recv(ch, 4);
    EXPECT_EQ(kc_chan_try_send(ch, &value), 0);
    EXPECT_EQ(kc_chan_try_recv(pipe, &event), KC_EAGAIN);
    EXPECT_EQ(kc_chan_try_recv(ch, &value), 0);
    EXPECT_EQ(kc_chan_try_recv(pipe, &event), 0);
    EXPECT(event.chan == ch);
    EXPECT_EQ(event.delta_sends, 5);
    EXPECT_EQ(event.delta_recvs, 5);
    EXPECT_EQ(event.delta_bytes_sent, 20);
    EXPECT_EQ(event.total_bytes_recv, 20);
    EXPECT(event.first_op_time_ns > 0 && event.emit_time_ns >= event.last_op_time_ns);
    // Two fit; the third and the fourth are dropped, and are in the fifth.
    send_and_recv(ch, 20);
    EXPECT_EQ(kc_chan_len(pipe), 2);
    EXPECT_EQ(kc_chan_try_recv(pipe, &event), 0);
    EXPECT_EQ(event.total_sends, 10);
    EXPECT_EQ(kc_chan_try_recv(pipe, &event), 0);
    EXPECT_EQ(event.total_sends, 15);
    send_and_recv(ch, 5);
    EXPECT_EQ(kc_chan_try_recv(pipe, &event), 0);
    EXPECT_EQ(event.total_sends, 30);
    EXPECT_EQ(event.delta_sends, 15);
    EXPECT_EQ(event.delta_recvs, 15);
    // Off: nothing more comes, and the pipe is still there.
    EXPECT_EQ(kc_chan_disable_metrics_pipe(ch), 0);
    EXPECT(kc_chan_metrics_pipe(ch) == NULL);
    send_and_recv(ch, 20);
    EXPECT_EQ(kc_chan_try_recv(pipe, &event), KC_EAGAIN);
    kc_chan_destroy(pipe);
    // On again: another one, which outlives its channel.
    pipe = pipe_of(ch, 0);
    send_and_recv(ch, 5);
    kc_chan_destroy(ch);
    EXPECT_EQ(kc_chan_try_recv(pipe, &event), 0);
    EXPECT_EQ(event.delta_sends, 5);
    EXPECT_EQ(event.total_sends, 55);
    kc_chan_destroy(pipe);
    // A pipe that goes first ends it.
    ch = make(KC_BUFFERED, sizeof(int), 4);
    pipe = pipe_of(ch, 0);
    kc_chan_destroy(pipe);
    EXPECT(kc_chan_metrics_pipe(ch) == NULL);
    send_and_recv(ch, 20);
    kc_chan_destroy(ch);
}

static void events_by_time(void) {
    struct kc_chan_metrics_event event;
    configure("{\"channel\":{\"metrics\":{\"emit_min_ops\":1000000,\"emit_min_ms\":5}}}");
    kc_chan_t *ch = make(KC_BUFFERED, sizeof(int), 4);
    kc_chan_t *pipe = pipe_of(ch, 0);
    long before = now_ns();
    send_and_recv(ch, 3);
    // There are no further operations on the channel, and yet the event comes.
    unsigned long reported = 0;
    while (reported < 6) {
        EXPECT_EQ(kc_chan_recv(pipe, &event, -1), 0);
        reported += event.delta_sends + event.delta_recvs;
    }
    EXPECT_EQ(reported, 6);
    EXPECT(event.emit_time_ns > before);
    EXPECT_EQ(kc_chan_disable_metrics_pipe(ch), 0);
    kc_chan_destroy(pipe);
    kc_chan_destroy(ch);
}

static void metrics_for_every_channel(void) {
    struct kc_chan_metrics_event event;
    configure("{\"channel\":{\"metrics\":{\"emit_min_ops\":2,\"emit_min_ms\":-1,"
              "\"auto_enable\":true,\"pipe_capacity\":3}}}");
    kc_chan_t *ch = make(KC_BUFFERED, sizeof(int), 4), *other = make(KC_BUFFERED, sizeof(int), 4);
    kc_chan_t *pipe = kc_chan_metrics_pipe(ch);
    EXPECT(pipe != NULL && kc_chan_metrics_pipe(ch) == pipe);
    send_and_recv(ch, 10);
    EXPECT_EQ(kc_chan_len(pipe), 3);
    EXPECT_EQ(kc_chan_try_recv(pipe, &event), 0);
    EXPECT_EQ(event.delta_sends, 1);
    kc_chan_destroy(pipe);
    kc_chan_destroy(ch);
    // This one's pipe was not requested: it is freed with its channel.
    send_and_recv(other, 10);
    kc_chan_destroy(other);
    EXPECT_EQ(kc_runtime_config_reload("/nowhere/at/all"), 0);
}

static void configurations(void) {
    const struct kc_runtime_config *config = kc_runtime_config_get();
    EXPECT_EQ(config->chan_metrics_emit_min_ops, 1024);
    EXPECT_EQ(config->chan_metrics_emit_min_ms, 50);
    EXPECT_EQ(config->chan_metrics_auto_enable, 0);
    EXPECT_EQ(config->chan_metrics_pipe_capacity, 64);
    configure("{\"other\":[1,{}],\"channel\":{\"x\":1,\"metrics\":"
              "{\"y\":null,\"emit_min_ops\":7,\"auto_enable\":1}}}");
    EXPECT(kc_runtime_config_get() == config);
    EXPECT_EQ(config->chan_metrics_emit_min_ops, 7);
    EXPECT_EQ(config->chan_metrics_emit_min_ms, 50);
    EXPECT_EQ(config->chan_metrics_auto_enable, 1);
    // What cannot be understood changes nothing.
    write_config("{\"channel\":");
    EXPECT_EQ(kc_runtime_config_init(path), -22);
    EXPECT_EQ(config->chan_metrics_emit_min_ops, 7);
    FILE *out = fopen(path, "w");
    for (int i = 0; i < 1024 * 1024 + 1; i++) {
        fputc(' ', out);
    }
    fclose(out);
    EXPECT_EQ(kc_runtime_config_init(path), -27);
    write_config("{\"channel\":{\"metrics\":{\"emit_min_ms\":-3}}}");
    setenv("KCORO_CONFIG", path, 1);
    EXPECT_EQ(kc_runtime_config_init(NULL), 0);
    EXPECT_EQ(config->chan_metrics_emit_min_ms, -3);
    EXPECT_EQ(config->chan_metrics_emit_min_ops, 1024);
    EXPECT_EQ(remove(path), 0);
    EXPECT_EQ(kc_runtime_config_reload(NULL), 0);
    EXPECT_EQ(config->chan_metrics_emit_min_ms, 50);
    unsetenv("KCORO_CONFIG");
}

int main(void) {
    make_folder(folder, "stats");
    snprintf(path, sizeof path, "%s/config.json", folder);
    RUN(configurations);
    RUN(counts_and_times);
    RUN(every_failure_is_counted);
    RUN(snapshots_say_what_it_is);
    RUN(rates);
    RUN(events_by_number);
    RUN(events_by_time);
    RUN(metrics_for_every_channel);
    EXPECT_EQ(kc_panics_contained(), 0);
    EXPECT_EQ(rmdir(folder), 0);
    return 0;
}
