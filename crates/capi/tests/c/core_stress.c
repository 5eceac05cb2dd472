// SPDX-License-Identifier: BSD-3-Clause
// Wakes, resumes, timers and references from many sides at once: none is lost, nothing is freed early.

#include <stdint.h>

#include "expect.h"
#include "kcoro.h"
#include "kcoro_core.h"
#include "kcoro_sched.h"

enum { SLEEPERS = 8, WAKERS = 4, TURNS = 3000 };

struct sleeper {
    kcoro_t *co;
    counter_t asked;
    counter_t served;
};

static void serves(void *arg) {
    struct sleeper *sleeper = (struct sleeper *)arg;
    for (;;) {
        kcoro_park();
        long asked = counter_get(&sleeper->asked);
        long served = counter_get(&sleeper->served);
        if (asked < 0) {
            return;
        }
        counter_add(&sleeper->served, asked - served);
    }
}

static struct sleeper sleepers[SLEEPERS];

static void *wakes(void *arg) {
    (void)arg;
    for (int turn = 0; turn < TURNS; turn++) {
        struct sleeper *sleeper = &sleepers[turn % SLEEPERS];
        // Said first, then woken: so it is served, however the wakes fall together.
        long mine = counter_add(&sleeper->asked, 1);
        kcoro_retain(sleeper->co);
        kcoro_unpark(sleeper->co);
        kcoro_release(sleeper->co);
        counter_wait(&sleeper->served, mine);
    }
    return NULL;
}

static void wakes_from_many_threads(void) {
    kc_sched_opts_t opts = {2, 0, 0};
    kc_sched_t *sched = kc_sched_init(&opts);
    for (int i = 0; i < SLEEPERS; i++) {
        const counter_t zero = COUNTER_INIT;
        sleepers[i].asked = zero;
        sleepers[i].served = zero;
        EXPECT_EQ(kc_spawn_co(sched, serves, &sleepers[i], 0, &sleepers[i].co), 0);
    }
    pthread_t threads[WAKERS];
    for (int i = 0; i < WAKERS; i++) {
        EXPECT_EQ(pthread_create(&threads[i], NULL, wakes, NULL), 0);
    }
    for (int i = 0; i < WAKERS; i++) {
        pthread_join(threads[i], NULL);
    }
    for (int i = 0; i < SLEEPERS; i++) {
        EXPECT_EQ(counter_get(&sleepers[i].served), counter_get(&sleepers[i].asked));
        counter_add(&sleepers[i].asked, -1000000);
        kcoro_unpark(sleepers[i].co);
    }
    EXPECT_EQ(kc_sched_drain(sched, -1), 0);
    for (int i = 0; i < SLEEPERS; i++) {
        EXPECT_EQ(sleepers[i].co->refcount, 1);
        kcoro_release(sleepers[i].co);
    }
    kc_sched_shutdown(sched);
}

static void parks_once(void *arg) {
    kcoro_park();
    counter_add((counter_t *)arg, 1);
}

static void timers_against_their_cancelling(void) {
    kc_sched_opts_t opts = {2, 0, 0};
    kc_sched_t *sched = kc_sched_init(&opts);
    counter_t woken = COUNTER_INIT;
    int cancelled = 0;
    for (int i = 0; i < 1000; i++) {
        kcoro_t *co = NULL;
        EXPECT_EQ(kc_spawn_co(sched, parks_once, &woken, 0, &co), 0);
        kc_timer_handle_t timer = kc_sched_timer_wake_after(sched, co, i % 2);
        EXPECT(timer.id != 0);
        if (kc_sched_timer_cancel(sched, timer)) {
            cancelled++;
            kcoro_unpark(co);
        }
        kcoro_release(co);
    }
    EXPECT_EQ(kc_sched_drain(sched, -1), 0);
    EXPECT_EQ(counter_get(&woken), 1000);
    kc_sched_shutdown(sched);
    (void)cancelled;
}

static kc_chan_t *work;

static void takes(void *arg) {
    int value;
    for (int i = 0; i < TURNS; i++) {
        EXPECT_EQ(kc_chan_recv(work, &value, -1), 0);
        counter_add((counter_t *)arg, value);
    }
}

static void *sends(void *arg) {
    int one = *(int *)arg;
    for (int i = 0; i < TURNS; i++) {
        EXPECT_EQ(kc_chan_send(work, &one, -1), 0);
    }
    return NULL;
}

static void by_hand_against_threads(void) {
    EXPECT_EQ(kc_chan_make(&work, KC_RENDEZVOUS, sizeof(int), 0), 0);
    counter_t total = COUNTER_INIT;
    kcoro_t *co = kcoro_create(takes, &total, 0);
    pthread_t thread;
    int one = 1;
    EXPECT_EQ(pthread_create(&thread, NULL, sends, &one), 0);
    while (co->state != KCORO_FINISHED) {
        kcoro_resume(co);
        if (kcoro_is_parked(co)) {
            kc_yield();
        }
    }
    pthread_join(thread, NULL);
    EXPECT_EQ(counter_get(&total), TURNS);
    kcoro_destroy(co);

    // Driven by a scheduler, from the middle on.
    co = kcoro_create(takes, &total, 0);
    kcoro_resume(co);
    kc_sched_enqueue_ready(kc_sched_default(), co);
    EXPECT_EQ(pthread_create(&thread, NULL, sends, &one), 0);
    EXPECT_EQ(kc_sched_drain(kc_sched_default(), -1), 0);
    pthread_join(thread, NULL);
    EXPECT_EQ(counter_get(&total), 2 * TURNS);
    EXPECT_EQ(co->state, KCORO_FINISHED);
    kcoro_destroy(co);
    kc_chan_destroy(work);
}

static int counts(const void *msg, void *user) {
    counter_add((counter_t *)user, *(const int *)msg);
    return 0;
}

static void says_so(void *arg) {
    counter_add((counter_t *)arg, 1);
}

static void *stops(void *arg) {
    kc_actor_stop((kc_actor_t)arg);
    return NULL;
}

static void actors_stopped_while_they_are_fed(void) {
    kc_chan_t *mailbox = NULL;
    EXPECT_EQ(kc_chan_make(&mailbox, KC_BUFFERED, sizeof(int), 4), 0);
    for (int round = 0; round < 300; round++) {
        counter_t total = COUNTER_INIT, done = COUNTER_INIT;
        kc_actor_ctx_t ctx = {mailbox, sizeof(int), 0, counts, &total};
        kc_actor_t actor = kc_actor_start(&ctx);
        EXPECT(actor != NULL);
        kc_actor_on_done(actor, says_so, &done);
        pthread_t thread;
        EXPECT_EQ(pthread_create(&thread, NULL, stops, actor), 0);
        int one = 1, sent = 0, left;
        while (sent < 20 && kc_chan_send(mailbox, &one, 0) == 0) {
            sent++;
        }
        pthread_join(thread, NULL);
        EXPECT_EQ(counter_get(&done), 1);
        long handled = counter_get(&total);
        for (left = 0; kc_chan_recv(mailbox, &one, 0) == 0; left++) {
        }
        // Each was handled, or is still there.
        EXPECT_EQ(handled + left, sent);
    }
    kc_chan_destroy(mailbox);
}

int main(void) {
    RUN(wakes_from_many_threads);
    RUN(timers_against_their_cancelling);
    RUN(by_hand_against_threads);
    RUN(actors_stopped_while_they_are_fed);
    kc_sched_shutdown(kc_sched_default());
    return 0;
}
