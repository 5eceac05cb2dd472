// SPDX-License-Identifier: BSD-3-Clause
// Results of coroutines, running elsewhere, and channels joined by coroutines.

#include <string.h>

#include "expect.h"
#include "kc_context.h"
#include "kc_job.h"
#include "kcoro.h"
#include "kcoro_core.h"
#include "kcoro_dispatch.h"
#include "kcoro_ext.h"
#include "kcoro_sched.h"
#include "kcoro_session.h"

static counter_t gate = COUNTER_INIT;

static void *twice(void *arg) {
    EXPECT(kcoro_current() != NULL);
    *(int *)arg *= 2;
    return arg;
}

static kc_chan_t *hold;

static void *waits(void *arg) {
    int value;
    EXPECT_EQ(kc_chan_recv(hold, &value, -1), 0);
    return arg;
}

static void a_result_is_waited_for(void) {
    int value = 21;
    void *result = NULL;
    kc_deferred_t *deferred = NULL;
    EXPECT_EQ(kc_async(twice, &value, 0, &deferred), 0);
    EXPECT_EQ(kc_await(deferred, -1, &result), 0);
    EXPECT(result == &value && kc_deferred_get(deferred) == &value);
    EXPECT_EQ(value, 42);
    EXPECT_EQ(kc_await(deferred, 0, NULL), 0);
    kc_deferred_release(deferred);

    EXPECT_EQ(kc_chan_make(&hold, KC_RENDEZVOUS, sizeof(int), 0), 0);
    EXPECT_EQ(kc_async(waits, &value, 0, &deferred), 0);
    EXPECT_EQ(kc_await(deferred, 0, &result), KC_EAGAIN);
    EXPECT_EQ(kc_await(deferred, 2, &result), KC_ETIME);
    EXPECT(kc_deferred_get(deferred) == NULL);
    EXPECT_EQ(kc_chan_send(hold, &value, -1), 0);
    EXPECT_EQ(kc_await(deferred, -1, &result), 0);
    kc_deferred_release(deferred);
    // The result need not be awaited.
    EXPECT_EQ(kc_async(twice, &value, 0, &deferred), 0);
    kc_deferred_release(deferred);
    EXPECT_EQ(kc_sched_drain(kc_sched_default(), -1), 0);
    EXPECT_EQ(value, 84);
    // Its scheduler ends first.
    EXPECT_EQ(kc_async(waits, &value, 0, &deferred), 0);
    kc_sched_shutdown(kc_sched_default());
    EXPECT_EQ(kc_await(deferred, -1, &result), KC_ECANCELED);
    EXPECT(kc_deferred_get(deferred) == NULL);
    kc_deferred_release(deferred);
    kc_chan_destroy(hold);

    EXPECT_EQ(kc_async(NULL, NULL, 0, &deferred), -22);
    EXPECT_EQ(kc_async(twice, NULL, 0, NULL), -22);
    EXPECT_EQ(kc_await(NULL, 0, NULL), -22);
    EXPECT(kc_deferred_get(NULL) == NULL);
    kc_deferred_release(NULL);
}

static void elsewhere(void *arg) {
    EXPECT(kc_sched_current() == (kc_sched_t *)arg);
    counter_add(&gate, 1);
}

static void goes_elsewhere(void *arg) {
    kc_dispatcher_t *there = (kc_dispatcher_t *)arg;
    EXPECT_EQ(kc_with_dispatcher(there, elsewhere, kc_dispatcher_scheduler(there), 0), 0);
    EXPECT_EQ(counter_get(&gate), 1);
    EXPECT(kc_sched_current() == kc_sched_default());
}

static void another_dispatcher(void) {
    kc_dispatcher_t *there = kc_dispatcher_new(1);
    EXPECT_EQ(kc_spawn_co(kc_sched_default(), goes_elsewhere, there, 0, NULL), 0);
    EXPECT_EQ(kc_sched_drain(kc_sched_default(), -1), 0);
    EXPECT_EQ(kc_with_dispatcher(NULL, elsewhere, NULL, 0), -22);
    EXPECT_EQ(kc_with_dispatcher(there, NULL, NULL, 0), -22);
    kc_dispatcher_release(there);
}

static void sleeps_long(void *arg) {
    (void)arg;
    EXPECT_EQ(kc_delay_ms(1), 0);
    EXPECT_EQ(kc_delay_ms(0), 0);
    EXPECT_EQ(kc_delay_ms(-1), 0);
    EXPECT_EQ(kc_cancel_current(4), 0);
    EXPECT_EQ(kc_delay_ms(3600 * 1000L), KC_ECANCELED);
}

static void a_sleep_ends_with_its_job(void) {
    EXPECT_EQ(kc_delay_ms(1), 0);
    EXPECT_EQ(kc_cancel_current(0), -22);
    kc_job_t *job = NULL;
    EXPECT_EQ(kc_job_launch(NULL, NULL, sleeps_long, NULL, 0, &job), 0);
    EXPECT_EQ(kc_job_join(job, NULL), -4);
    kc_job_release(job);
}

static int counts(kc_chan_t *chan, void *user) {
    for (int value = 1; value <= *(int *)user; value++) {
        int sent = kc_chan_send(chan, &value, -1);
        if (sent != 0) {
            return sent;
        }
    }
    return 0;
}

static int squares_the_odd(const void *in, void *out, void *user) {
    int value = *(const int *)in;
    *(long *)out = (long)value * value;
    return value > *(int *)user ? -1 : value % 2 == 0;
}

static void transforms(void) {
    kc_scope_t *scope = NULL;
    EXPECT_EQ(kc_scope_init(&scope, NULL), 0);
    int up_to = 100, last = 60;
    kc_chan_t *in = kc_scope_produce(scope, KC_RENDEZVOUS, sizeof(int), 0, counts, &up_to);
    kc_chan_t *out = kc_transform(scope, in, sizeof(int), KC_BUFFERED, sizeof(long), 4,
                                  squares_the_odd, &last);
    EXPECT(out != NULL);
    long value, expected = 1;
    while (kc_chan_recv(out, &value, -1) == 0) {
        EXPECT_EQ(value, expected * expected);
        expected += 2;
    }
    EXPECT_EQ(expected, 61);
    EXPECT(kc_transform(scope, in, 3, KC_BUFFERED, 8, 4, squares_the_odd, &last) == NULL);
    EXPECT(kc_transform(scope, in, sizeof(int), KC_BUFFERED, 0, 4, squares_the_odd, NULL) == NULL);
    EXPECT(kc_transform(scope, in, sizeof(int), KC_BUFFERED, 8, 4, NULL, NULL) == NULL);
    kc_scope_destroy(scope);
    kc_chan_destroy(in);
    kc_chan_destroy(out);
}

enum { WAYS = 3 };

static void out_and_in_again(void) {
    kc_scope_t *scope = NULL;
    EXPECT_EQ(kc_scope_init(&scope, NULL), 0);
    int up_to = 3000;
    kc_chan_t *in = kc_scope_produce(scope, KC_BUFFERED, sizeof(int), 2, counts, &up_to);
    kc_chan_t *ways[WAYS], *out = NULL;
    for (int i = 0; i < WAYS; i++) {
        EXPECT_EQ(kc_chan_make(&ways[i], KC_RENDEZVOUS, sizeof(int), 0), 0);
    }
    EXPECT_EQ(kc_chan_make(&out, KC_BUFFERED, sizeof(int), 8), 0);
    EXPECT_EQ(kc_fan_in(scope, ways, WAYS, sizeof(int), out), 0);
    EXPECT_EQ(kc_fan_out(scope, in, sizeof(int), ways, WAYS), 0);
    long sum = 0, count = 0;
    int value, before[WAYS] = {0, 0, 0};
    while (kc_chan_recv(out, &value, -1) == 0) {
        // Of one way they come in order.
        EXPECT(value > before[value % WAYS]);
        before[value % WAYS] = value;
        sum += value;
        count++;
    }
    EXPECT_EQ(count, up_to);
    EXPECT_EQ(sum, (long)up_to * (up_to + 1) / 2);
    EXPECT_EQ(kc_scope_wait_all(scope, -1), 0);
    EXPECT_EQ(kc_fan_in(scope, ways, 0, sizeof(int), out), -22);
    EXPECT_EQ(kc_fan_in(scope, ways, WAYS, 3, out), -22);
    EXPECT_EQ(kc_fan_out(scope, in, sizeof(int), NULL, WAYS), -22);
    EXPECT_EQ(kc_fan_out(NULL, in, sizeof(int), ways, WAYS), -22);
    kc_scope_cancel(scope);
    EXPECT_EQ(kc_fan_out(scope, in, sizeof(int), ways, WAYS), KC_ECANCELED);
    kc_scope_destroy(scope);
    for (int i = 0; i < WAYS; i++) {
        kc_chan_destroy(ways[i]);
    }
    kc_chan_destroy(in);
    kc_chan_destroy(out);
}

static void a_cancelled_scope_ends_the_joints(void) {
    kc_scope_t *scope = NULL;
    EXPECT_EQ(kc_scope_init(&scope, NULL), 0);
    kc_chan_t *in = NULL, *out = NULL;
    EXPECT_EQ(kc_chan_make(&in, KC_RENDEZVOUS, sizeof(int), 0), 0);
    EXPECT_EQ(kc_chan_make(&out, KC_RENDEZVOUS, sizeof(int), 0), 0);
    EXPECT_EQ(kc_fan_in(scope, &in, 1, sizeof(int), out), 0);
    int value;
    EXPECT_EQ(kc_chan_recv(out, &value, 2), KC_ETIME);
    kc_scope_destroy(scope);
    EXPECT_EQ(kc_chan_recv(out, &value, -1), KC_EPIPE);
    kc_chan_destroy(in);
    kc_chan_destroy(out);
}

static void count_lost(void *elem, size_t len, void *arg) {
    EXPECT(elem != NULL);
    EXPECT_EQ(len, sizeof(int));
    ++*(int *)arg;
}

// How the joint ends: its output is closed, or its scope cancelled, while it holds an element.
static void end(kc_scope_t *scope, kc_chan_t *out, int cancels) {
    if (cancels) {
        kc_scope_cancel(scope);
    } else {
        kc_chan_close(out);
    }
    EXPECT_EQ(kc_scope_wait_all(scope, -1), 0);
    kc_scope_destroy(scope);
}

static void an_element_that_a_joint_holds_goes_to_the_hook(int cancels, int waits) {
    kc_scope_t *scope = NULL;
    kc_chan_t *in = NULL, *out = NULL;
    int lost = 0, value = 5;
    EXPECT_EQ(kc_scope_init(&scope, NULL), 0);
    EXPECT_EQ(kc_chan_make(&in, KC_RENDEZVOUS, sizeof(int), 0), 0);
    EXPECT_EQ(kc_chan_make(&out, KC_RENDEZVOUS, sizeof(int), 0), 0);
    EXPECT_EQ(kc_chan_set_on_drop(out, count_lost, &lost), 0);
    if (!waits) {
        kc_chan_close(out);
    }
    EXPECT_EQ(kc_fan_in(scope, &in, 1, sizeof(int), out), 0);
    EXPECT_EQ(kc_chan_send(in, &value, -1), 0);
    end(scope, out, cancels);
    EXPECT_EQ(lost, 1);
    kc_chan_destroy(in);
    kc_chan_destroy(out);
    EXPECT_EQ(lost, 1);
}

// Of a pool with one block: it is free again only if the message was released.
static void a_message_that_a_joint_holds_is_released(int cancels, int waits) {
    kc_scope_t *scope = NULL;
    kc_chan_t *in = NULL, *out = NULL;
    kc_pool_t *pool = NULL;
    kc_msg_t *msg = NULL;
    void *bytes = NULL;
    EXPECT_EQ(kc_pool_make(&pool, 4096, 1), 0);
    EXPECT_EQ(kc_scope_init(&scope, NULL), 0);
    EXPECT_EQ(kc_chan_make_msg(&in, KC_RENDEZVOUS, 0), 0);
    EXPECT_EQ(kc_chan_make_msg(&out, KC_RENDEZVOUS, 0), 0);
    EXPECT_EQ(kc_pool_lease(pool, 100, 0, &msg, &bytes), 0);
    memset(bytes, 7, 100);
    if (!waits) {
        kc_chan_close(out);
    }
    EXPECT_EQ(kc_fan_in(scope, &in, 1, sizeof msg, out), 0);
    EXPECT_EQ(kc_chan_send(in, &msg, -1), 0);
    end(scope, out, cancels);
    kc_chan_destroy(in);
    kc_chan_destroy(out);
    EXPECT_EQ(kc_pool_lease(pool, 100, 0, &msg, &bytes), 0);
    kc_msg_release(msg);
    kc_pool_release(pool);
}

static void what_a_joint_holds_at_its_end(void) {
    for (int cancels = 0; cancels < 2; cancels++) {
        for (int waits = cancels; waits < 2; waits++) {
            an_element_that_a_joint_holds_goes_to_the_hook(cancels, waits);
            a_message_that_a_joint_holds_is_released(cancels, waits);
        }
    }
}

int main(void) {
    RUN(a_result_is_waited_for);
    RUN(another_dispatcher);
    RUN(a_sleep_ends_with_its_job);
    RUN(transforms);
    RUN(out_and_in_again);
    RUN(a_cancelled_scope_ends_the_joints);
    RUN(what_a_joint_holds_at_its_end);
    kc_sched_shutdown(kc_sched_default());
    return 0;
}
