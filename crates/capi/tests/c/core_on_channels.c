// SPDX-License-Identifier: BSD-3-Clause
// Coroutines made by hand, and scheduled ones, that wait on channels: a wait gives control back, a wake
// only makes ready, and what is destroyed while it waits leaves nothing behind.

#include "expect.h"
#include "kcoro.h"
#include "kcoro_core.h"
#include "kcoro_sched.h"

static kc_chan_t *chan;

static void renew(int kind, size_t capacity) {
    EXPECT_EQ(kc_chan_make(&chan, kind, sizeof(int), capacity), 0);
}

static void receives(void *arg) {
    int *out = (int *)arg;
    EXPECT_EQ(kc_chan_recv(chan, out, -1), 0);
}

static void a_wait_gives_control_back(void) {
    renew(KC_RENDEZVOUS, 0);
    int got = 0, value = 7;
    kcoro_t *co = kcoro_create(receives, &got, 0);
    kcoro_resume(co);
    EXPECT_EQ(co->state, KCORO_PARKED);
    EXPECT_EQ(kcoro_is_parked(co), 1);
    // Nothing has come: it looks, and waits again.
    kcoro_resume(co);
    EXPECT_EQ(co->state, KCORO_PARKED);
    // A wake of another kind does not end an operation.
    kcoro_unpark(co);
    EXPECT_EQ(co->state, KCORO_PARKED);
    EXPECT_EQ(kc_chan_send(chan, &value, 0), 0);
    EXPECT_EQ(co->state, KCORO_READY);
    EXPECT_EQ(got, 0);
    kcoro_resume(co);
    EXPECT_EQ(co->state, KCORO_FINISHED);
    EXPECT_EQ(got, 7);
    kcoro_destroy(co);
    kc_chan_destroy(chan);
}

static void pings(void *arg) {
    kc_chan_t **pair = (kc_chan_t **)arg;
    for (int i = 0; i < 100; i++) {
        int back = -1;
        EXPECT_EQ(kc_chan_send(pair[0], &i, -1), 0);
        EXPECT_EQ(kc_chan_recv(pair[1], &back, -1), 0);
        EXPECT_EQ(back, -i);
    }
}

static void pongs(void *arg) {
    kc_chan_t **pair = (kc_chan_t **)arg;
    for (int i = 0; i < 100; i++) {
        int value = -1;
        EXPECT_EQ(kc_chan_recv(pair[0], &value, -1), 0);
        value = -value;
        EXPECT_EQ(kc_chan_send(pair[1], &value, -1), 0);
    }
}

static void two_by_hand(void) {
    kc_chan_t *pair[2];
    renew(KC_RENDEZVOUS, 0);
    pair[0] = chan;
    renew(KC_RENDEZVOUS, 0);
    pair[1] = chan;
    kcoro_t *ping = kcoro_create(pings, pair, 0);
    kcoro_t *pong = kcoro_create(pongs, pair, 0);
    int turns = 0;
    while (ping->state != KCORO_FINISHED || pong->state != KCORO_FINISHED) {
        kcoro_resume(ping);
        kcoro_resume(pong);
        EXPECT(++turns < 1000);
    }
    kcoro_destroy(ping);
    kcoro_destroy(pong);
    kc_chan_destroy(pair[0]);
    kc_chan_destroy(pair[1]);
}

static void destroyed_while_it_waits(void) {
    renew(KC_RENDEZVOUS, 0);
    int got = 0, other = 0, value = 3;
    kcoro_t *first = kcoro_create(receives, &got, 0);
    kcoro_t *second = kcoro_create(receives, &other, 0);
    kcoro_resume(first);
    kcoro_resume(second);
    kcoro_destroy(first);
    // The next in line is served.
    EXPECT_EQ(kc_chan_send(chan, &value, 0), 0);
    EXPECT_EQ(second->state, KCORO_READY);
    // What it was given it has not taken: it goes back, and on to the next.
    kcoro_destroy(second);
    EXPECT_EQ(got, 0);
    EXPECT_EQ(other, 0);
    kc_chan_destroy(chan);
}

static void the_channel_goes_first(void) {
    renew(KC_RENDEZVOUS, 0);
    int got = 0;
    kcoro_t *co = kcoro_create(receives, &got, 0);
    kcoro_t *left = kcoro_create(receives, &got, 0);
    kcoro_resume(co);
    kcoro_destroy(left);
    kcoro_t *kept = kcoro_create(receives, &got, 0);
    kcoro_resume(kept);
    kc_chan_destroy(chan);
    // Both hear of it; neither is resumed any more.
    EXPECT_EQ(co->state, KCORO_READY);
    EXPECT_EQ(kept->state, KCORO_READY);
    kcoro_destroy(co);
    kcoro_destroy(kept);
}

static void waits_a_while(void *arg) {
    int got;
    *(int *)arg = kc_chan_recv(chan, &got, 3);
}

static void a_deadline_makes_it_ready(void) {
    renew(KC_BUFFERED, 1);
    int answer = 1;
    kcoro_t *co = kcoro_create(waits_a_while, &answer, 0);
    kcoro_resume(co);
    while (kcoro_is_parked(co)) {
        kc_yield();
    }
    kcoro_resume(co);
    EXPECT_EQ(answer, KC_ETIME);
    EXPECT_EQ(co->state, KCORO_FINISHED);
    kcoro_destroy(co);
    // Destroyed before it passes.
    co = kcoro_create(waits_a_while, &answer, 0);
    kcoro_resume(co);
    kcoro_destroy(co);
    kc_chan_destroy(chan);
}

static void cancelled(void *arg) {
    int got;
    EXPECT_EQ(kc_chan_recv_c(chan, &got, -1, (const kc_cancel_t *)arg), KC_ECANCELED);
}

static void a_token_makes_it_ready(void) {
    renew(KC_UNLIMITED, 0);
    kc_cancel_t *token = NULL;
    EXPECT_EQ(kc_cancel_init(&token), 0);
    kcoro_t *co = kcoro_create(cancelled, token, 0);
    kcoro_resume(co);
    EXPECT_EQ(co->state, KCORO_PARKED);
    kc_cancel_trigger(token);
    EXPECT_EQ(co->state, KCORO_READY);
    kcoro_resume(co);
    EXPECT_EQ(co->state, KCORO_FINISHED);
    kcoro_destroy(co);
    kc_cancel_destroy(token);
    kc_chan_destroy(chan);
}

static void scheduled_ones_show_that_they_wait(void) {
    renew(KC_RENDEZVOUS, 0);
    kc_sched_opts_t opts = {1, 0, 0};
    kc_sched_t *sched = kc_sched_init(&opts);
    int got = 0, value = 9;
    kcoro_t *co = NULL;
    EXPECT_EQ(kc_spawn_co(sched, receives, &got, 0, &co), 0);
    // Another thread sees it wait.
    while (!kcoro_is_parked(co)) {
        kc_yield();
    }
    // A wake of another kind does not end the wait.
    kcoro_unpark(co);
    EXPECT_EQ(kc_chan_send(chan, &value, -1), 0);
    EXPECT_EQ(kc_sched_drain(sched, -1), 0);
    EXPECT_EQ(got, 9);
    EXPECT_EQ(kcoro_is_parked(co), 0);
    kcoro_release(co);
    kc_sched_shutdown(sched);
    kc_chan_destroy(chan);
}

static void a_shutdown_leaves_nothing_in_a_channel(void) {
    renew(KC_RENDEZVOUS, 0);
    for (int round = 0; round < 20; round++) {
        kc_sched_opts_t opts = {2, 0, 0};
        kc_sched_t *sched = kc_sched_init(&opts);
        int got[8];
        kcoro_t *last = NULL;
        for (int i = 0; i < 8; i++) {
            EXPECT_EQ(kc_spawn_co(sched, receives, &got[i], 0, i == 7 ? &last : NULL), 0);
        }
        while (!kcoro_is_parked(last)) {
            kc_yield();
        }
        kc_sched_shutdown(sched);
        EXPECT_EQ(last->state, KCORO_FINISHED);
        kcoro_release(last);
        // No receiver waits.
        int value = 1;
        EXPECT_EQ(kc_chan_send(chan, &value, 0), KC_EAGAIN);
    }
    kc_chan_destroy(chan);
}

static void nested(void *arg) {
    // By hand, from a scheduled coroutine: the wait gives control back to that.
    int *got = (int *)arg;
    kcoro_t *co = kcoro_create(receives, got, 0);
    kcoro_resume(co);
    EXPECT_EQ(co->state, KCORO_PARKED);
    EXPECT(co->main_co == kcoro_current());
    int value = 5;
    EXPECT_EQ(kc_chan_send(chan, &value, -1), 0);
    kc_yield();
    EXPECT_EQ(*got, 0);
    kcoro_resume(co);
    EXPECT_EQ(co->state, KCORO_FINISHED);
    EXPECT_EQ(*got, 5);
    kcoro_destroy(co);
}

static void by_hand_inside_a_scheduled_one(void) {
    renew(KC_RENDEZVOUS, 0);
    int got = 0;
    EXPECT_EQ(kc_spawn_co(kc_sched_default(), nested, &got, 0, NULL), 0);
    EXPECT_EQ(kc_sched_drain(kc_sched_default(), -1), 0);
    EXPECT_EQ(got, 5);
    kc_chan_destroy(chan);
}

static void driven(void) {
    renew(KC_RENDEZVOUS, 0);
    // Begun by hand, it waits; then a scheduler drives it.
    int got = 0, value = 11;
    kcoro_t *co = kcoro_create(receives, &got, 0);
    kcoro_resume(co);
    EXPECT_EQ(co->state, KCORO_PARKED);
    kc_sched_enqueue_ready(kc_sched_default(), co);
    EXPECT_EQ(kc_chan_send(chan, &value, -1), 0);
    EXPECT_EQ(kc_sched_drain(kc_sched_default(), -1), 0);
    EXPECT_EQ(co->state, KCORO_FINISHED);
    EXPECT_EQ(got, 11);
    kcoro_destroy(co);
    kc_chan_destroy(chan);
}

enum { PRODUCERS = 4, EACH = 2000 };

static void produces(void *arg) {
    for (int i = 0; i < EACH; i++) {
        EXPECT_EQ(kc_chan_send((kc_chan_t *)arg, &i, -1), 0);
    }
}

static counter_t total = COUNTER_INIT;

static void consumes(void *arg) {
    long sum = 0;
    int value;
    while (kc_chan_recv((kc_chan_t *)arg, &value, -1) == 0) {
        sum += value;
    }
    counter_add(&total, sum);
}

static void many_to_many(void) {
    for (int kind = KC_RENDEZVOUS; kind <= KC_BUFFERED; kind++) {
        renew(kind, 4);
        kc_scope_t *senders = NULL, *receivers = NULL;
        EXPECT_EQ(kc_scope_init(&senders, NULL), 0);
        EXPECT_EQ(kc_scope_init(&receivers, NULL), 0);
        for (int i = 0; i < PRODUCERS; i++) {
            EXPECT_EQ(kc_scope_launch(senders, produces, chan, 0, NULL), 0);
            EXPECT_EQ(kc_scope_launch(receivers, consumes, chan, 0, NULL), 0);
        }
        EXPECT_EQ(kc_scope_wait_all(senders, -1), 0);
        kc_chan_close(chan);
        EXPECT_EQ(kc_scope_wait_all(receivers, -1), 0);
        kc_scope_destroy(senders);
        kc_scope_destroy(receivers);
        kc_chan_destroy(chan);
    }
    EXPECT_EQ(counter_get(&total), 2L * PRODUCERS * EACH * (EACH - 1) / 2);
}

int main(void) {
    RUN(a_wait_gives_control_back);
    RUN(two_by_hand);
    RUN(destroyed_while_it_waits);
    RUN(the_channel_goes_first);
    RUN(a_deadline_makes_it_ready);
    RUN(a_token_makes_it_ready);
    RUN(scheduled_ones_show_that_they_wait);
    RUN(a_shutdown_leaves_nothing_in_a_channel);
    RUN(by_hand_inside_a_scheduled_one);
    RUN(driven);
    RUN(many_to_many);
    kc_sched_shutdown(kc_sched_default());
    return 0;
}
