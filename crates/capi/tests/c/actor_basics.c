// SPDX-License-Identifier: BSD-3-Clause
// Actors: one message at a time, stop, cancel, listeners.

#include <string.h>

#include "expect.h"
#include "kc_cancel.h"
#include "kcoro.h"
#include "kcoro_core.h"
#include "kcoro_sched.h"

struct sum {
    counter_t handled;
    long total;
    int inside;
};

static int add(const void *msg, void *user) {
    struct sum *sum = (struct sum *)user;
    EXPECT_EQ(sum->inside++, 0);
    EXPECT(kcoro_current() != NULL);
    sum->total += *(const int *)msg;
    kcoro_yield();
    EXPECT_EQ(--sum->inside, 0);
    counter_add(&sum->handled, 1);
    return -1;
}

static kc_chan_t *new_chan(int kind, size_t size, size_t capacity) {
    kc_chan_t *chan = NULL;
    EXPECT_EQ(kc_chan_make(&chan, kind, size, capacity), 0);
    return chan;
}

static kc_actor_ctx_t context(kc_chan_t *chan, size_t size, kc_actor_fn process, void *user) {
    kc_actor_ctx_t ctx;
    memset(&ctx, 0, sizeof ctx);
    ctx.chan = chan;
    ctx.msg_size = size;
    ctx.process = process;
    ctx.user = user;
    return ctx;
}

static void tell(void *arg) {
    counter_add((counter_t *)arg, 1);
}

static void handles_every_message_in_order(void) {
    const int kinds[] = {KC_RENDEZVOUS, KC_BUFFERED, KC_UNLIMITED};
    for (int i = 0; i < 3; i++) {
        kc_chan_t *chan = new_chan(kinds[i], sizeof(int), i == 1 ? 4 : 0);
        struct sum sum = {COUNTER_INIT, 0, 0};
        counter_t done = COUNTER_INIT;
        kc_actor_ctx_t ctx = context(chan, sizeof(int), add, &sum);
        kc_actor_t actor = kc_actor_start(&ctx);
        EXPECT(actor != NULL);
        kc_actor_on_done(actor, tell, &done);
        for (int value = 1; value <= 100; value++) {
            EXPECT_EQ(kc_chan_send(chan, &value, -1), 0);
        }
        // Closed and drained: it ends by itself.
        kc_chan_close(chan);
        counter_wait(&done, 1);
        EXPECT_EQ(counter_get(&sum.handled), 100);
        EXPECT_EQ(sum.total, 5050);
        // It has ended: at once.
        kc_actor_on_done(actor, tell, &done);
        EXPECT_EQ(counter_get(&done), 2);
        kc_actor_stop(actor);
        EXPECT_EQ(counter_get(&done), 2);
        kc_chan_destroy(chan);
    }
}

static void wrong_arguments_are_refused(void) {
    kc_chan_t *chan = new_chan(KC_BUFFERED, sizeof(int), 1);
    kc_actor_ctx_t ctx = context(chan, sizeof(int), NULL, NULL);
    EXPECT(kc_actor_start(&ctx) == NULL);
    ctx = context(NULL, sizeof(int), add, NULL);
    EXPECT(kc_actor_start(&ctx) == NULL);
    ctx = context(chan, 0, add, NULL);
    EXPECT(kc_actor_start(&ctx) == NULL);
    EXPECT(kc_actor_start(NULL) == NULL);
    EXPECT(kc_actor_start_ex(NULL) == NULL);
    kc_chan_t *pointers = NULL;
    EXPECT_EQ(kc_chan_make_ptr(&pointers, KC_BUFFERED, 1), 0);
    ctx = context(pointers, 16, add, NULL);
    EXPECT(kc_actor_start(&ctx) == NULL);
    kc_actor_stop(NULL);
    kc_actor_cancel(NULL);
    kc_actor_on_done(NULL, tell, NULL);
    kc_chan_destroy(pointers);
    kc_chan_destroy(chan);
}

static int waits_inside(const void *msg, void *user) {
    (void)msg;
    counter_t *handled = (counter_t *)user;
    counter_add(handled, 1);
    kc_sleep_ms(2);
    counter_add(handled, 1);
    return 0;
}

static void nothing_is_handled_after_stop(void) {
    for (int round = 0; round < 20; round++) {
        kc_chan_t *chan = new_chan(KC_BUFFERED, sizeof(int), 8);
        counter_t handled = COUNTER_INIT;
        kc_actor_ctx_t ctx = context(chan, sizeof(int), waits_inside, &handled);
        kc_actor_t actor = kc_actor_start(&ctx);
        for (int value = 0; value < 8; value++) {
            EXPECT_EQ(kc_chan_send(chan, &value, -1), 0);
        }
        counter_wait(&handled, 1);
        kc_actor_stop(actor);
        long before = counter_get(&handled);
        // The message that was being handled was finished; what is left stays in the channel.
        EXPECT_EQ(before % 2, 0);
        EXPECT_EQ(kc_chan_len(chan), 8 - before / 2);
        EXPECT_EQ(counter_get(&handled), before);
        kc_chan_destroy(chan);
    }
}

static void a_token_ends_it(void) {
    kc_chan_t *chan = new_chan(KC_RENDEZVOUS, sizeof(int), 0);
    kc_cancel_t *token = NULL;
    EXPECT_EQ(kc_cancel_init(&token), 0);
    struct sum sum = {COUNTER_INIT, 0, 0};
    counter_t done = COUNTER_INIT;
    kc_actor_ctx_ex_t ctx = {context(chan, sizeof(int), add, &sum), token};
    kc_actor_t one = kc_actor_start_ex(&ctx);
    kc_actor_t two = kc_actor_start_ex(&ctx);
    kc_actor_on_done(one, tell, &done);
    kc_actor_on_done(two, tell, &done);
    kc_cancel_trigger(token);
    counter_wait(&done, 2);
    kc_actor_stop(one);
    kc_actor_stop(two);
    // Stopping one is its own affair: the token stays unset.
    kc_cancel_t *other = NULL;
    EXPECT_EQ(kc_cancel_init(&other), 0);
    ctx.cancel = other;
    one = kc_actor_start_ex(&ctx);
    two = kc_actor_start_ex(&ctx);
    kc_actor_stop(one);
    EXPECT_EQ(kc_cancel_is_set(other), 0);
    kc_actor_cancel(two);
    EXPECT_EQ(kc_cancel_is_set(other), 1);
    kc_cancel_destroy(other);
    kc_cancel_destroy(token);
    kc_chan_destroy(chan);
}

static kc_actor_t self_stopping;
static counter_t ready = COUNTER_INIT;

static int stops_itself(const void *msg, void *user) {
    (void)msg;
    counter_wait(&ready, 1);
    kc_actor_stop(self_stopping);
    counter_add((counter_t *)user, 1);
    return 0;
}

static void one_may_stop_itself(void) {
    kc_chan_t *chan = new_chan(KC_BUFFERED, sizeof(int), 4);
    counter_t handled = COUNTER_INIT;
    kc_actor_ctx_t ctx = context(chan, sizeof(int), stops_itself, &handled);
    int value = 1;
    EXPECT_EQ(kc_chan_send(chan, &value, -1), 0);
    EXPECT_EQ(kc_chan_send(chan, &value, -1), 0);
    counter_t done = COUNTER_INIT;
    self_stopping = kc_actor_start(&ctx);
    kc_actor_on_done(self_stopping, tell, &done);
    counter_add(&ready, 1);
    counter_wait(&done, 1);
    EXPECT_EQ(counter_get(&handled), 1);
    EXPECT_EQ(kc_chan_len(chan), 1);
    EXPECT_EQ(kc_sched_drain(kc_sched_default(), -1), 0);
    kc_chan_destroy(chan);
}

static void stops_from_a_coroutine(void *arg) {
    kc_actor_stop((kc_actor_t)arg);
}

static void a_coroutine_may_stop_one(void) {
    kc_chan_t *chan = new_chan(KC_RENDEZVOUS, sizeof(int), 0);
    struct sum sum = {COUNTER_INIT, 0, 0};
    kc_actor_ctx_t ctx = context(chan, sizeof(int), add, &sum);
    for (int i = 0; i < 100; i++) {
        kc_actor_t actor = kc_actor_start(&ctx);
        EXPECT_EQ(kc_spawn_co(kc_sched_default(), stops_from_a_coroutine, actor, 0, NULL), 0);
    }
    EXPECT_EQ(kc_sched_drain(kc_sched_default(), -1), 0);
    kc_chan_destroy(chan);
}

static void its_channel_may_go_first(void) {
    kc_chan_t *chan = new_chan(KC_RENDEZVOUS, sizeof(int), 0);
    struct sum sum = {COUNTER_INIT, 0, 0};
    kc_actor_ctx_t ctx = context(chan, sizeof(int), add, &sum);
    counter_t done = COUNTER_INIT;
    kc_actor_t actor = kc_actor_start(&ctx);
    kc_actor_on_done(actor, tell, &done);
    kc_chan_destroy(chan);
    counter_wait(&done, 1);
    kc_actor_stop(actor);
}

static void ends_when_no_message_comes_in_time(void) {
    kc_chan_t *chan = new_chan(KC_BUFFERED, sizeof(int), 4);
    struct sum sum = {COUNTER_INIT, 0, 0};
    counter_t done = COUNTER_INIT;
    kc_actor_ctx_t ctx = context(chan, sizeof(int), add, &sum);
    ctx.timeout_ms = 20;
    kc_actor_t actor = kc_actor_start(&ctx);
    EXPECT(actor != NULL);
    kc_actor_on_done(actor, tell, &done);
    int value = 1;
    EXPECT_EQ(kc_chan_send(chan, &value, -1), 0);
    counter_wait(&done, 1);
    // The channel is open, and keeps what comes after its end.
    EXPECT_EQ(kc_chan_send(chan, &value, 0), 0);
    kc_actor_stop(actor);
    EXPECT_EQ((long)kc_chan_len(chan) + counter_get(&sum.handled), 2);
    kc_chan_destroy(chan);
}

int main(void) {
    RUN(handles_every_message_in_order);
    RUN(wrong_arguments_are_refused);
    RUN(nothing_is_handled_after_stop);
    RUN(a_token_ends_it);
    RUN(one_may_stop_itself);
    RUN(a_coroutine_may_stop_one);
    RUN(its_channel_may_go_first);
    RUN(ends_when_no_message_comes_in_time);
    kc_sched_shutdown(kc_sched_default());
    return 0;
}
