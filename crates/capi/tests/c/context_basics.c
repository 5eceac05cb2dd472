// SPDX-License-Identifier: BSD-3-Clause
// Contexts: layers, values given back once, what a coroutine starts with. And dispatchers.

#include "expect.h"
#include "kc_blocking.h"
#include "kc_context.h"
#include "kc_job.h"
#include "kcoro.h"
#include "kcoro_core.h"
#include "kcoro_dispatch.h"
#include "kcoro_ext.h"
#include "kcoro_sched.h"

static const kc_ctx_key_t COLOUR = {"colour"};
static const kc_ctx_key_t SHAPE = {"shape"};
static counter_t dropped = COUNTER_INIT;

static void drop(void *value) {
    counter_add(&dropped, *(int *)value);
}

static void the_nearest_layer_wins(void) {
    static int one = 1, ten = 10, hundred = 100;
    kc_context_t *empty = kc_context_empty();
    EXPECT(empty != NULL && kc_context_get(empty, &COLOUR) == NULL);
    EXPECT(kc_context_get(NULL, &COLOUR) == NULL && kc_context_get(empty, NULL) == NULL);
    kc_context_t *a = kc_context_add(NULL, &COLOUR, &one, drop);
    kc_context_t *b = kc_context_add(a, &SHAPE, &ten, drop);
    kc_context_t *c = kc_context_add(b, &COLOUR, &hundred, drop);
    EXPECT(kc_context_get(b, &COLOUR) == &one && kc_context_get(b, &SHAPE) == &ten);
    EXPECT(kc_context_get(c, &COLOUR) == &hundred && kc_context_get(c, &SHAPE) == &ten);
    EXPECT(kc_context_get(a, &SHAPE) == NULL);
    EXPECT(kc_context_retain(c) == c);
    kc_context_release(c);
    kc_context_release(a);
    kc_context_release(b);
    EXPECT_EQ(counter_get(&dropped), 0);
    kc_context_release(c);
    EXPECT_EQ(counter_get(&dropped), 111);
    EXPECT(kc_context_add(empty, NULL, &one, drop) == NULL);
    EXPECT(kc_context_replace(empty, NULL, &one, drop) == NULL);
    EXPECT(kc_context_retain(NULL) == NULL);
    kc_context_release(NULL);
    kc_context_release(empty);
    EXPECT_EQ(counter_get(&dropped), 111);
}

static void a_replaced_value_is_let_go(void) {
    static int one = 1, ten = 10, hundred = 100, thousand = 1000;
    long before = counter_get(&dropped);
    kc_context_t *a = kc_context_add(NULL, &COLOUR, &one, drop);
    kc_context_t *b = kc_context_add(a, &SHAPE, &ten, drop);
    kc_context_t *c = kc_context_replace(b, &COLOUR, &hundred, drop);
    kc_context_release(a);
    kc_context_release(b);
    // c has the shape still, and not the first colour.
    EXPECT_EQ(counter_get(&dropped) - before, 1);
    EXPECT(kc_context_get(c, &COLOUR) == &hundred && kc_context_get(c, &SHAPE) == &ten);
    kc_context_t *d = kc_context_replace(NULL, &SHAPE, &thousand, drop);
    EXPECT(kc_context_get(d, &SHAPE) == &thousand);
    kc_context_release(c);
    kc_context_release(d);
    EXPECT_EQ(counter_get(&dropped) - before, 1111);
}

static void deadlines(void) {
    static long long at = 123456789012345LL;
    long long out = 0;
    EXPECT_EQ(kc_context_get_deadline_ns(NULL, &out), -2);
    kc_context_t *ctx = kc_context_add(NULL, &KC_CTX_KEY_DEADLINE, &at, NULL);
    EXPECT_EQ(kc_context_get_deadline_ns(ctx, NULL), -22);
    EXPECT_EQ(kc_context_get_deadline_ns(ctx, &out), 0);
    EXPECT_EQ(out, at);
    EXPECT(kc_context_get(ctx, &KC_CTX_KEY_TRACE_ID) == NULL);
    EXPECT(kc_context_get(ctx, &KC_CTX_KEY_DISPATCHER) == NULL);
    kc_context_release(ctx);
}

static int sleeps_a_moment(void *arg) {
    (void)arg;
    sleep_ms(200);
    return 0;
}

static void waits_past_the_deadline(void *arg) {
    int pipes[2], status = 0;
    (void)arg;
    EXPECT_EQ(pipe(pipes), 0);
    EXPECT_EQ(kc_io_wait_readable(pipes[0], -1), -ETIMEDOUT);
    EXPECT_EQ(kc_io_wait_readable(pipes[0], 600000), -ETIMEDOUT);
    EXPECT_EQ(kc_io_wait_writable(pipes[1], -1), 0);
    EXPECT_EQ(kc_block_call(sleeps_a_moment, NULL, -1, &status), -ETIMEDOUT);
    EXPECT_EQ(kc_delay_ms(600000), -62);
    EXPECT_EQ(kc_delay_ms(0), 0);
    close(pipes[0]);
    close(pipes[1]);
}

static void a_deadline_ends_waits(void) {
    struct timespec now;
    EXPECT_EQ(clock_gettime(CLOCK_MONOTONIC, &now), 0);
    long long at = now.tv_sec * 1000000000LL + now.tv_nsec + 10000000;
    kc_context_t *ctx = kc_context_add(NULL, &KC_CTX_KEY_DEADLINE, &at, NULL);
    EXPECT_EQ(kc_context_with(ctx, waits_past_the_deadline, NULL), 0);
    kc_context_release(ctx);
}

static void sees_blue(void *arg) {
    EXPECT(kc_context_get(kc_context_current(), &COLOUR) == arg);
    kc_yield();
    EXPECT(kc_context_get(kc_context_current(), &COLOUR) == arg);
}

static void spawns_under(void *arg) {
    sees_blue(arg);
    kc_sched_t *sched = kc_sched_default();
    EXPECT_EQ(kc_spawn_co(sched, sees_blue, arg, 0, NULL), 0);
    EXPECT_EQ(kc_spawn(sched, sees_blue, arg), 0);
}

static void a_coroutine_starts_with_its_spawners(void) {
    static int blue = 1;
    long before = counter_get(&dropped);
    kc_context_t *outside = kc_context_current();
    EXPECT(outside != NULL);
    kc_context_t *ctx = kc_context_add(outside, &COLOUR, &blue, drop);
    EXPECT_EQ(kc_context_with(ctx, spawns_under, &blue), 0);
    EXPECT_EQ(kc_context_with(NULL, spawns_under, &blue), -22);
    EXPECT_EQ(kc_context_with(ctx, NULL, &blue), -22);
    EXPECT(kc_context_current() == outside);
    kc_context_release(ctx);
    EXPECT_EQ(kc_sched_drain(kc_sched_default(), -1), 0);
    kc_sched_shutdown(kc_sched_default());
    EXPECT_EQ(counter_get(&dropped) - before, 1);
}

static void count_up(void *arg) {
    counter_add((counter_t *)arg, 1);
}

static void dispatchers(void) {
    counter_t ran = COUNTER_INIT;
    EXPECT(kc_dispatcher_retain(NULL) == NULL && kc_dispatcher_scheduler(NULL) == NULL);
    kc_dispatcher_release(NULL);
    EXPECT_EQ(kc_dispatcher_spawn(NULL, count_up, &ran), -1);

    kc_dispatcher_t *usual = kc_dispatcher_default();
    EXPECT(usual != NULL && kc_dispatcher_scheduler(usual) == kc_sched_default());
    EXPECT_EQ(kc_dispatcher_spawn(usual, count_up, &ran), 0);
    counter_wait(&ran, 1);
    kc_dispatcher_release(usual);

    kc_dispatcher_t *io = kc_dispatcher_io(), *again = kc_dispatcher_io();
    EXPECT(io != NULL && io == again);
    EXPECT(kc_dispatcher_scheduler(io) != kc_sched_default());
    EXPECT_EQ(kc_dispatcher_spawn_co(io, count_up, &ran, 0, NULL), 0);
    counter_wait(&ran, 2);
    kc_dispatcher_release(io);
    kc_dispatcher_release(again);

    kc_dispatcher_t *own = kc_dispatcher_new(2);
    EXPECT(own != NULL && kc_dispatcher_retain(own) == own);
    kcoro_t *co = NULL;
    EXPECT_EQ(kc_dispatcher_spawn_co(own, count_up, &ran, 0, &co), 0);
    EXPECT_EQ(kc_sched_drain(kc_dispatcher_scheduler(own), -1), 0);
    EXPECT_EQ(counter_get(&ran), 3);
    kc_dispatcher_release(own);
    kc_dispatcher_release(own);
    EXPECT_EQ(co->state, KCORO_FINISHED);
    kcoro_release(co);
    kc_sched_shutdown(kc_sched_default());
}

static kc_sched_t *expected;
static kc_dispatcher_t *ending;
static kc_chan_t *no_sender;

static void is_where_expected(void *arg) {
    EXPECT(kc_sched_current() == expected);
    counter_add((counter_t *)arg, 1);
}

static void *is_there_too(void *arg) {
    is_where_expected(arg);
    return arg;
}

static int handles_there(const void *msg, void *user) {
    (void)msg;
    is_where_expected(user);
    return 0;
}

static void starts_one_of_each(void *arg) {
    kc_deferred_t *deferred = NULL;
    kc_job_t *job = NULL;
    kc_scope_t *scope = NULL;
    kc_chan_t *chan = NULL;
    EXPECT_EQ(kc_async(is_there_too, arg, 0, &deferred), 0);
    EXPECT_EQ(kc_job_launch(NULL, NULL, is_where_expected, arg, 0, &job), 0);
    EXPECT_EQ(kc_scope_init(&scope, NULL), 0);
    EXPECT_EQ(kc_scope_launch(scope, is_where_expected, arg, 0, NULL), 0);
    EXPECT_EQ(kc_chan_make(&chan, KC_RENDEZVOUS, 1, 0), 0);
    kc_actor_ctx_t ctx = {chan, 1, -1, handles_there, arg};
    kc_actor_t actor = kc_actor_start(&ctx);
    EXPECT(actor != NULL);
    EXPECT_EQ(kc_chan_send(chan, "", -1), 0);
    counter_wait((counter_t *)arg, 4);
    EXPECT_EQ(kc_await(deferred, -1, NULL), 0);
    EXPECT_EQ(kc_job_join(job, NULL), 0);
    EXPECT_EQ(kc_scope_wait_all(scope, -1), 0);
    kc_actor_stop(actor);
    kc_scope_destroy(scope);
    kc_job_release(job);
    kc_deferred_release(deferred);
    kc_chan_destroy(chan);
}

static void a_dispatcher_of_the_context_runs_them(void) {
    counter_t ran = COUNTER_INIT;
    kc_dispatcher_t *own = kc_dispatcher_new(1);
    expected = kc_dispatcher_scheduler(own);
    kc_context_t *ctx = kc_context_add(NULL, &KC_CTX_KEY_DISPATCHER, own, NULL);
    EXPECT_EQ(kc_context_with(ctx, starts_one_of_each, &ran), 0);
    EXPECT_EQ(counter_get(&ran), 4);
    kc_context_release(ctx);
    EXPECT_EQ(kc_sched_drain(expected, -1), 0);
    kc_dispatcher_release(own);
}

static void waits_for_ever(void *arg) {
    int value;
    counter_add((counter_t *)arg, 1);
    kc_chan_recv(no_sender, &value, -1);
}

static void *waits_on_a_dispatcher(void *arg) {
    EXPECT_EQ(kc_with_dispatcher(ending, waits_for_ever, arg, 0), KC_ECANCELED);
    return NULL;
}

static void release_dispatcher(void *arg) {
    kc_dispatcher_release((kc_dispatcher_t *)arg);
}

static void waits_for_the_release(void *arg) {
    counter_wait((counter_t *)arg, 1);
}

// Its scheduler ends when the last coroutine of that context has ended, on its own worker.
static void the_last_of_a_context_may_end_its_dispatcher(void) {
    EXPECT_EQ(kc_chan_make(&no_sender, KC_RENDEZVOUS, sizeof(int), 0), 0);
    for (int i = 0; i < 20; i++) {
        counter_t waiting = COUNTER_INIT, released = COUNTER_INIT;
        pthread_t threads[3];
        ending = kc_dispatcher_new(1);
        for (int j = 0; j < 3; j++) {
            pthread_create(&threads[j], NULL, waits_on_a_dispatcher, &waiting);
        }
        counter_wait(&waiting, 3);
        kc_context_t *ctx =
            kc_context_add(NULL, &KC_CTX_KEY_DISPATCHER, ending, release_dispatcher);
        kc_job_t *job = NULL;
        EXPECT_EQ(kc_job_launch(NULL, ctx, waits_for_the_release, &released, 0, &job), 0);
        kc_context_release(ctx);
        counter_add(&released, 1);
        EXPECT_EQ(kc_job_join(job, NULL), 0);
        kc_job_release(job);
        for (int j = 0; j < 3; j++) {
            pthread_join(threads[j], NULL);
        }
    }
    kc_chan_destroy(no_sender);
}

int main(void) {
    RUN(the_nearest_layer_wins);
    RUN(a_replaced_value_is_let_go);
    RUN(deadlines);
    RUN(a_coroutine_starts_with_its_spawners);
    RUN(dispatchers);
    RUN(a_deadline_ends_waits);
    RUN(a_dispatcher_of_the_context_runs_them);
    RUN(the_last_of_a_context_may_end_its_dispatcher);
    return 0;
}
