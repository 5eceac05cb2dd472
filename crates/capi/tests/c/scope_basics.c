// SPDX-License-Identifier: BSD-3-Clause
// Scopes: what is started together ends together.

#include <string.h>

#include "expect.h"
#include "kc_cancel.h"
#include "kcoro.h"
#include "kcoro_core.h"
#include "kcoro_sched.h"

static kc_scope_t *new_scope(const kc_cancel_t *parent) {
    kc_scope_t *scope = NULL;
    EXPECT_EQ(kc_scope_init(&scope, parent), 0);
    return scope;
}

static void count_up(void *arg) {
    counter_add((counter_t *)arg, 1);
}

static void waits_for_all(void) {
    kc_scope_t *scope = new_scope(NULL);
    counter_t ran = COUNTER_INIT;
    for (int i = 0; i < 500; i++) {
        EXPECT_EQ(kc_scope_launch(scope, count_up, &ran, 0, NULL), 0);
    }
    EXPECT_EQ(kc_scope_wait_all(scope, -1), 0);
    EXPECT_EQ(counter_get(&ran), 500);
    EXPECT_EQ(kc_scope_wait_all(scope, 0), 0);
    // It may be used again.
    kcoro_t *co = NULL;
    EXPECT_EQ(kc_scope_launch(scope, count_up, &ran, 128 * 1024, &co), 0);
    EXPECT_EQ(kc_scope_wait_all(scope, -1), 0);
    EXPECT_EQ(co->state, KCORO_FINISHED);
    kcoro_release(co);
    kc_scope_destroy(scope);
}

static void wrong_arguments_are_refused(void) {
    EXPECT_EQ(kc_scope_init(NULL, NULL), -22);
    EXPECT_EQ(kc_scope_launch(NULL, count_up, NULL, 0, NULL), -22);
    kc_scope_t *scope = new_scope(NULL);
    EXPECT_EQ(kc_scope_launch(scope, NULL, NULL, 0, NULL), -22);
    EXPECT(kc_scope_actor(scope, NULL) == NULL);
    EXPECT(kc_scope_actor(NULL, NULL) == NULL);
    EXPECT(kc_scope_produce(scope, KC_BUFFERED, sizeof(int), 1, NULL, NULL) == NULL);
    EXPECT(kc_scope_produce(NULL, KC_BUFFERED, sizeof(int), 1, NULL, NULL) == NULL);
    EXPECT_EQ(kc_scope_wait_all(NULL, 0), -22);
    EXPECT(kc_scope_token(NULL) == NULL);
    kc_scope_cancel(NULL);
    kc_scope_destroy(NULL);
    EXPECT_EQ(kc_scope_wait_all(scope, 0), 0);
    kc_scope_destroy(scope);
}

struct waiting {
    const kc_cancel_t *token;
    kc_chan_t *chan;
    counter_t cancelled;
};

static void waits_for_nobody(void *arg) {
    struct waiting *waiting = (struct waiting *)arg;
    int value;
    EXPECT_EQ(kc_chan_recv_c(waiting->chan, &value, -1, waiting->token), KC_ECANCELED);
    counter_add(&waiting->cancelled, 1);
}

static void cancelling_reaches_all(void) {
    kc_cancel_t *parent = NULL;
    EXPECT_EQ(kc_cancel_init(&parent), 0);
    struct waiting waiting = {NULL, NULL, COUNTER_INIT};
    EXPECT_EQ(kc_chan_make(&waiting.chan, KC_RENDEZVOUS, sizeof(int), 0), 0);
    for (int by_parent = 0; by_parent < 2; by_parent++) {
        kc_scope_t *scope = new_scope(parent);
        waiting.token = kc_scope_token(scope);
        EXPECT_EQ(kc_cancel_is_set(waiting.token), 0);
        for (int i = 0; i < 50; i++) {
            EXPECT_EQ(kc_scope_launch(scope, waits_for_nobody, &waiting, 0, NULL), 0);
        }
        EXPECT_EQ(kc_scope_wait_all(scope, 0), KC_EAGAIN);
        EXPECT_EQ(kc_scope_wait_all(scope, 5), KC_ETIME);
        if (by_parent) {
            kc_cancel_trigger(parent);
        } else {
            kc_scope_cancel(scope);
        }
        EXPECT_EQ(kc_scope_wait_all(scope, -1), 0);
        EXPECT_EQ(counter_get(&waiting.cancelled), 50 * (by_parent + 1));
        EXPECT_EQ(kc_scope_launch(scope, count_up, NULL, 0, NULL), KC_ECANCELED);
        kc_actor_ctx_t ctx;
        memset(&ctx, 0, sizeof ctx);
        EXPECT(kc_scope_actor(scope, &ctx) == NULL);
        kc_scope_destroy(scope);
    }
    // Born cancelled.
    kc_scope_t *late = new_scope(parent);
    EXPECT_EQ(kc_scope_launch(late, count_up, NULL, 0, NULL), KC_ECANCELED);
    kc_scope_destroy(late);
    // Destroying cancels.
    kc_scope_t *scope = new_scope(NULL);
    waiting.token = kc_scope_token(scope);
    EXPECT_EQ(kc_scope_launch(scope, waits_for_nobody, &waiting, 0, NULL), 0);
    kc_scope_destroy(scope);
    EXPECT_EQ(counter_get(&waiting.cancelled), 101);
    kc_chan_destroy(waiting.chan);
    kc_cancel_destroy(parent);
}

static int produces(kc_chan_t *chan, void *user) {
    int up_to = *(int *)user;
    for (int value = 0; value < up_to; value++) {
        int sent = kc_chan_send(chan, &value, -1);
        if (sent != 0) {
            return sent;
        }
    }
    return 0;
}

static void what_is_produced_ends(void) {
    kc_scope_t *scope = new_scope(NULL);
    int up_to = 1000;
    kc_chan_t *chan = kc_scope_produce(scope, KC_BUFFERED, sizeof(int), 3, produces, &up_to);
    EXPECT(chan != NULL);
    int value = -1;
    for (int expected = 0; expected < up_to; expected++) {
        EXPECT_EQ(kc_chan_recv(chan, &value, -1), 0);
        EXPECT_EQ(value, expected);
    }
    EXPECT_EQ(kc_chan_recv(chan, &value, -1), KC_EPIPE);
    EXPECT_EQ(kc_scope_wait_all(scope, -1), 0);
    kc_chan_destroy(chan);
    // There is no receiver: destroying the channel ends the producer.
    chan = kc_scope_produce(scope, KC_RENDEZVOUS, sizeof(int), 0, produces, &up_to);
    kc_chan_destroy(chan);
    kc_scope_destroy(scope);
}

static int adds(const void *msg, void *user) {
    counter_add((counter_t *)user, *(const int *)msg);
    return 0;
}

static void an_actor_ends_with_its_scope(void) {
    kc_chan_t *chan = NULL;
    EXPECT_EQ(kc_chan_make(&chan, KC_RENDEZVOUS, sizeof(int), 0), 0);
    counter_t total = COUNTER_INIT, done = COUNTER_INIT;
    kc_actor_ctx_t ctx;
    memset(&ctx, 0, sizeof ctx);
    ctx.chan = chan;
    ctx.msg_size = sizeof(int);
    ctx.process = adds;
    ctx.user = &total;
    kc_scope_t *scope = new_scope(NULL);
    kc_actor_t one = kc_scope_actor(scope, &ctx);
    kc_actor_t two = kc_scope_actor(scope, &ctx);
    EXPECT(one != NULL && two != NULL);
    kc_actor_on_done(one, count_up, &done);
    kc_actor_on_done(two, count_up, &done);
    int value = 5;
    EXPECT_EQ(kc_chan_send(chan, &value, -1), 0);
    counter_wait(&total, 5);
    // One of them earlier; the scope goes on.
    kc_actor_stop(one);
    EXPECT_EQ(counter_get(&done), 1);
    EXPECT_EQ(kc_cancel_is_set(kc_scope_token(scope)), 0);
    EXPECT_EQ(kc_chan_send(chan, &value, -1), 0);
    counter_wait(&total, 10);
    EXPECT_EQ(kc_scope_wait_all(scope, 0), KC_EAGAIN);
    kc_scope_destroy(scope);
    EXPECT_EQ(counter_get(&done), 2);
    kc_chan_destroy(chan);
}

static void scopes_in_coroutines(void *arg) {
    kc_scope_t *scope = new_scope(NULL);
    for (int i = 0; i < 5; i++) {
        EXPECT_EQ(kc_scope_launch(scope, count_up, arg, 0, NULL), 0);
    }
    // Parks, also where there is one worker alone.
    EXPECT_EQ(kc_scope_wait_all(scope, -1), 0);
    kc_scope_destroy(scope);
    counter_add((counter_t *)arg, 1);
}

static void scopes_nest(void) {
    kc_scope_t *scope = new_scope(NULL);
    counter_t ran = COUNTER_INIT;
    for (int i = 0; i < 100; i++) {
        EXPECT_EQ(kc_scope_launch(scope, scopes_in_coroutines, &ran, 0, NULL), 0);
    }
    kc_scope_wait_all(scope, -1);
    EXPECT_EQ(counter_get(&ran), 600);
    kc_scope_destroy(scope);
}

struct inside {
    kc_scope_t *scope;
    kc_chan_t *chan;
    counter_t ended;
};

static void waits_inside(void *arg) {
    struct inside *inside = (struct inside *)arg;
    EXPECT_EQ(kc_scope_wait_all(inside->scope, -1), -EDEADLK);
    EXPECT_EQ(kc_scope_wait_all(inside->scope, 0), -EDEADLK);
    counter_add(&inside->ended, 1);
}

static int produces_inside(kc_chan_t *chan, void *arg) {
    (void)chan;
    waits_inside(arg);
    return 0;
}

static int acts_inside(const void *msg, void *arg) {
    (void)msg;
    waits_inside(arg);
    return 0;
}

static void no_member_waits_for_itself(void) {
    struct inside inside = {new_scope(NULL), NULL, COUNTER_INIT};
    EXPECT_EQ(kc_scope_launch(inside.scope, waits_inside, &inside, 0, NULL), 0);
    kc_chan_t *made = kc_scope_produce(inside.scope, KC_BUFFERED, 1, 1, produces_inside, &inside);
    EXPECT(made != NULL);
    EXPECT_EQ(kc_chan_make(&inside.chan, KC_BUFFERED, 1, 1), 0);
    kc_actor_ctx_t ctx = {inside.chan, 1, 0, acts_inside, &inside};
    EXPECT(kc_scope_actor(inside.scope, &ctx) != NULL);
    EXPECT_EQ(kc_chan_send(inside.chan, "", -1), 0);
    kc_chan_close(inside.chan);
    EXPECT_EQ(kc_scope_wait_all(inside.scope, -1), 0);
    EXPECT_EQ(counter_get(&inside.ended), 3);
    // Another scope's member may wait for this one, and does.
    struct inside other = {inside.scope, NULL, COUNTER_INIT};
    kc_scope_t *outer = new_scope(NULL);
    EXPECT_EQ(kc_scope_launch(outer, scopes_in_coroutines, &other.ended, 0, NULL), 0);
    EXPECT_EQ(kc_scope_wait_all(outer, -1), 0);
    EXPECT_EQ(counter_get(&other.ended), 6);
    kc_scope_destroy(outer);
    kc_scope_destroy(inside.scope);
    kc_chan_destroy(inside.chan);
    kc_chan_destroy(made);
}

static void destroys_inside(void *arg) {
    struct inside *inside = (struct inside *)arg;
    const kc_cancel_t *token = kc_scope_token(inside->scope);
    kc_scope_destroy(inside->scope);
    // Its memory is there as long as a member is.
    EXPECT_EQ(kc_cancel_is_set(token), 1);
    counter_add(&inside->ended, 1);
}

static void a_member_destroys_its_scope(void) {
    struct inside inside = {new_scope(NULL), NULL, COUNTER_INIT};
    EXPECT_EQ(kc_scope_launch(inside.scope, destroys_inside, &inside, 0, NULL), 0);
    counter_wait(&inside.ended, 1);
    EXPECT_EQ(kc_sched_drain(kc_sched_default(), -1), 0);
}

int main(void) {
    RUN(waits_for_all);
    RUN(wrong_arguments_are_refused);
    RUN(cancelling_reaches_all);
    RUN(what_is_produced_ends);
    RUN(an_actor_ends_with_its_scope);
    RUN(scopes_nest);
    RUN(no_member_waits_for_itself);
    RUN(a_member_destroys_its_scope);
    kc_sched_shutdown(kc_sched_default());
    return 0;
}
