// SPDX-License-Identifier: BSD-3-Clause
// Event channels: several channels report to one, one to several, and every new one.

#include <string.h>

#include "expect.h"
#include "kcoro.h"
#include "kcoro_config_runtime.h"
#include "kcoro_ext.h"

static char folder[FOLDER_BYTES];
static char path[64];

static void configure(const char *json) {
    FILE *out = fopen(path, "w");
    EXPECT(out != NULL);
    fputs(json, out);
    EXPECT_EQ(fclose(out), 0);
    EXPECT_EQ(kc_runtime_config_reload(path), 0);
    EXPECT_EQ(remove(path), 0);
}

static kc_chan_t *make(int kind) {
    kc_chan_t *ch = NULL;
    EXPECT_EQ(kc_chan_make(&ch, kind, sizeof(int), 8), 0);
    return ch;
}

static kc_chan_t *make_events(size_t capacity) {
    kc_chan_t *events = NULL;
    EXPECT_EQ(kc_metrics_event_channel(&events, capacity), 0);
    return events;
}

// Two operations.
static void use(kc_chan_t *ch, int times) {
    for (int value = 0; times-- > 0;) {
        EXPECT_EQ(kc_chan_try_send(ch, &value), 0);
        EXPECT_EQ(kc_chan_try_recv(ch, &value), 0);
    }
}

static void expect_event(kc_chan_t *events, kc_chan_t *of, unsigned long sends,
                         unsigned long total) {
    struct kc_chan_metrics_event event;
    EXPECT_EQ(kc_chan_try_recv(events, &event), 0);
    EXPECT(event.chan == of);
    EXPECT_EQ(event.delta_sends, sends);
    EXPECT_EQ(event.delta_recvs, sends);
    EXPECT_EQ(event.delta_bytes_sent, sends * sizeof(int));
    EXPECT_EQ(event.total_sends, total);
    EXPECT(event.emit_time_ns >= event.last_op_time_ns);
}

static void on_drop(void *elem, size_t len, void *arg) {
    (void)elem;
    (void)len;
    (void)arg;
}

static void refuses_what_makes_no_sense(void) {
    kc_chan_t *ch = make(KC_BUFFERED), *events = make_events(0), *pipe = NULL;
    struct kc_chan_snapshot snapshot;
    EXPECT_EQ(kc_metrics_event_channel(NULL, 0), -22);
    EXPECT_EQ(kc_metrics_subscribe(ch, NULL), -22);
    EXPECT_EQ(kc_metrics_subscribe(ch, ch), -22);
    EXPECT_EQ(kc_metrics_subscribe(events, events), -22);
    EXPECT_EQ(kc_metrics_subscribe(NULL, ch), -22);
    EXPECT_EQ(kc_chan_set_on_drop(events, on_drop, NULL), KC_ENOTSUP);
    EXPECT_EQ(kc_chan_snapshot(events, &snapshot), 0);
    EXPECT_EQ(snapshot.capacity, 64);
    EXPECT_EQ(snapshot.elem_sz, sizeof(struct kc_chan_metrics_event));
    // A pipe takes the events of other channels, and has none itself.
    EXPECT_EQ(kc_chan_enable_metrics_pipe(ch, &pipe, 0), 0);
    EXPECT_EQ(kc_metrics_subscribe(pipe, events), -22);
    EXPECT_EQ(kc_metrics_subscribe(ch, pipe), -EALREADY);
    kc_chan_t *other = make(KC_BUFFERED);
    EXPECT_EQ(kc_metrics_subscribe(other, pipe), 0);
    use(other, 5);
    expect_event(pipe, other, 5, 5);
    kc_chan_destroy(other);
    EXPECT_EQ(kc_metrics_subscribe(ch, events), 0);
    EXPECT_EQ(kc_metrics_subscribe(ch, events), -EALREADY);
    kc_chan_close(events);
    EXPECT_EQ(kc_metrics_subscribe(ch, events), KC_EPIPE);
    EXPECT_EQ(kc_metrics_subscribe(NULL, events), KC_EPIPE);
    kc_chan_destroy(events);
    kc_chan_destroy(pipe);
    kc_chan_destroy(ch);
}

static void at_most_eight(void) {
    enum { MOST = 8 };
    kc_chan_t *all[MOST + 1], *ch = make(KC_BUFFERED);
    for (int i = 0; i <= MOST; i++) {
        all[i] = make_events(1);
        EXPECT_EQ(kc_metrics_subscribe(ch, all[i]), i < MOST ? 0 : -ENOSPC);
    }
    // One that is closed makes room.
    kc_chan_destroy(all[0]);
    EXPECT_EQ(kc_metrics_subscribe(ch, all[MOST]), 0);
    for (int i = 1; i <= MOST; i++) {
        kc_chan_destroy(all[i]);
    }
    kc_chan_destroy(ch);
}

static void several_report_to_one(void) {
    kc_chan_t *one = make(KC_BUFFERED), *two = make(KC_CONFLATED), *events = make_events(4);
    EXPECT_EQ(kc_metrics_subscribe(one, events), 0);
    EXPECT_EQ(kc_metrics_subscribe(two, events), 0);
    use(one, 5);
    use(two, 5);
    use(one, 5);
    expect_event(events, one, 5, 5);
    expect_event(events, two, 5, 5);
    expect_event(events, one, 5, 10);
    // A channel that is destroyed reports no more; the others do.
    kc_chan_destroy(one);
    use(two, 5);
    expect_event(events, two, 5, 10);
    EXPECT_EQ(kc_chan_len(events), 0);
    kc_chan_destroy(two);
    kc_chan_destroy(events);
}

static void one_reports_to_several(void) {
    kc_chan_t *ch = make(KC_BUFFERED), *pipe = NULL;
    kc_chan_t *small = make_events(1), *large = make_events(8);
    EXPECT_EQ(kc_metrics_subscribe(ch, small), 0);
    use(ch, 5);
    EXPECT_EQ(kc_metrics_subscribe(ch, large), 0);
    EXPECT_EQ(kc_chan_enable_metrics_pipe(ch, &pipe, 8), 0);
    use(ch, 5);
    use(ch, 5);
    // What one of them has no room for is in its next event, and that of no other.
    expect_event(small, ch, 5, 5);
    use(ch, 5);
    expect_event(small, ch, 15, 20);
    kc_chan_t *each[] = {large, pipe};
    for (int at = 0; at < 2; at++) {
        expect_event(each[at], ch, 5, 10);
        expect_event(each[at], ch, 5, 15);
        expect_event(each[at], ch, 5, 20);
        EXPECT_EQ(kc_chan_len(each[at]), 0);
    }
    // Each ends alone.
    EXPECT_EQ(kc_chan_disable_metrics_pipe(ch), 0);
    EXPECT(kc_chan_metrics_pipe(ch) == NULL);
    kc_chan_destroy(small);
    use(ch, 5);
    EXPECT_EQ(kc_chan_len(pipe), 0);
    expect_event(large, ch, 5, 25);
    kc_chan_destroy(large);
    use(ch, 10);
    kc_chan_destroy(pipe);
    kc_chan_destroy(ch);
}

static void the_latest_events(void) {
    kc_chan_t *ch = make(KC_BUFFERED), *events = make_events(1);
    EXPECT_EQ(kc_chan_set_policy(events, KC_CHAN_DROP_OLDEST), 0);
    EXPECT_EQ(kc_metrics_subscribe(ch, events), 0);
    use(ch, 15);
    expect_event(events, ch, 5, 15);
    kc_chan_destroy(events);
    kc_chan_destroy(ch);
}

static void every_new_channel(void) {
    kc_chan_t *before = make(KC_BUFFERED), *events = make_events(4);
    EXPECT_EQ(kc_metrics_subscribe(NULL, events), 0);
    EXPECT_EQ(kc_metrics_subscribe(NULL, events), -EALREADY);
    kc_chan_t *one = make(KC_BUFFERED), *two = make(KC_UNLIMITED), *other = make_events(4);
    EXPECT_EQ(kc_metrics_subscribe(one, events), -EALREADY);
    use(before, 5);
    use(one, 5);
    use(two, 5);
    expect_event(events, one, 5, 5);
    expect_event(events, two, 5, 5);
    EXPECT_EQ(kc_chan_len(events), 0);
    // Event channels are not among them.
    EXPECT_EQ(kc_metrics_subscribe(one, other), 0);
    use(one, 5);
    expect_event(other, one, 5, 10);
    expect_event(events, one, 5, 10);
    EXPECT_EQ(kc_chan_len(events), 0);
    // With the event channel the subscription ends, for all.
    kc_chan_destroy(events);
    kc_chan_t *after = make(KC_BUFFERED);
    use(one, 5);
    use(after, 5);
    kc_chan_destroy(before);
    kc_chan_destroy(one);
    kc_chan_destroy(two);
    kc_chan_destroy(after);
    kc_chan_destroy(other);
}

static void *destroys(void *arg) {
    kc_chan_destroy((kc_chan_t *)arg);
    return NULL;
}

static void an_event_channel_may_end_at_any_time(void) {
    for (int round = 0; round < 100; round++) {
        kc_chan_t *ch = make(KC_BUFFERED), *events = make_events(64);
        EXPECT_EQ(kc_metrics_subscribe(ch, events), 0);
        pthread_t thread;
        pthread_create(&thread, NULL, destroys, events);
        use(ch, 50);
        pthread_join(thread, NULL);
        kc_chan_destroy(ch);
    }
}

int main(void) {
    make_folder(folder, "events");
    snprintf(path, sizeof path, "%s/config.json", folder);
    configure("{\"channel\": {\"metrics\": {\"emit_min_ops\": 10, \"emit_min_ms\": -1}}}");
    RUN(refuses_what_makes_no_sense);
    RUN(at_most_eight);
    RUN(several_report_to_one);
    RUN(one_reports_to_several);
    RUN(the_latest_events);
    RUN(every_new_channel);
    RUN(an_event_channel_may_end_at_any_time);
    EXPECT_EQ(kc_panics_contained(), 0);
    EXPECT_EQ(rmdir(folder), 0);
    return 0;
}
