// SPDX-License-Identifier: BSD-3-Clause
// Schedulers: tasks and coroutines, drain, timers, shutdown.

#include <stdint.h>
#include <time.h>

#include "expect.h"
#include "kcoro_core.h"
#include "kcoro_sched.h"

enum { ETIME_NEGATIVE = -62 };

static kc_sched_t *new_sched(int workers) {
    kc_sched_opts_t opts = {workers, 0, 0};
    kc_sched_t *sched = kc_sched_init(&opts);
    EXPECT(sched != NULL);
    return sched;
}

static void count_up(void *arg) {
    counter_add((counter_t *)arg, 1);
}

static void tasks_run(void) {
    kc_sched_t *sched = new_sched(2);
    counter_t ran = COUNTER_INIT;
    for (int i = 0; i < 1000; i++) {
        EXPECT_EQ(kc_spawn(sched, count_up, &ran), 0);
    }
    counter_wait(&ran, 1000);
    EXPECT_EQ(kc_sched_drain(sched, -1), 0);
    kc_sched_stats_t stats;
    kc_sched_get_stats(sched, &stats);
    EXPECT_EQ(stats.tasks_submitted, 1000);
    EXPECT_EQ(stats.tasks_completed, 1000);
    EXPECT_EQ(stats.inject_pulls, 1000);
    kc_sched_shutdown(sched);
}

static void wrong_arguments_are_refused(void) {
    kc_sched_t *sched = kc_sched_init(NULL);
    EXPECT(sched != NULL);
    EXPECT_EQ(kc_spawn(NULL, count_up, NULL), -1);
    EXPECT_EQ(kc_spawn(sched, NULL, NULL), -1);
    kcoro_t *co = NULL;
    EXPECT_EQ(kc_spawn_co(NULL, count_up, NULL, 0, &co), -1);
    EXPECT_EQ(kc_spawn_co(sched, NULL, NULL, 0, &co), -1);
    EXPECT(co == NULL);
    EXPECT_EQ(kc_sched_drain(NULL, 0), -1);
    EXPECT_EQ(kc_sched_drain(sched, 0), 0);
    kc_sched_get_stats(NULL, NULL);
    kc_sched_enqueue_ready(sched, NULL);
    kc_sched_enqueue_ready(NULL, NULL);
    EXPECT_EQ(kc_sched_timer_wake_after(NULL, NULL, 1).id, 0);
    EXPECT_EQ(kc_sched_timer_wake_after(sched, NULL, 1).id, 0);
    kc_timer_handle_t none = {0};
    EXPECT_EQ(kc_sched_timer_cancel(sched, none), 0);
    EXPECT_EQ(kc_sched_timer_cancel(NULL, none), 0);
    EXPECT(kc_sched_current() == NULL);
    kc_sched_shutdown(sched);
    kc_sched_shutdown(NULL);
}

struct seen {
    kc_sched_t *sched;
    kcoro_t *self;
    counter_t done;
};

static void looks_around(void *arg) {
    struct seen *seen = (struct seen *)arg;
    EXPECT(kc_sched_current() == seen->sched);
    kcoro_t *self = kcoro_current();
    EXPECT(self != NULL && self == seen->self);
    EXPECT(self->scheduler == (kcoro_sched_t *)(void *)seen->sched);
    EXPECT_EQ(self->state, KCORO_RUNNING);
    EXPECT(self->main_co != NULL);
    // Gives way, and goes on.
    kcoro_yield();
    kc_yield();
    kcoro_yield_to(self->main_co);
    EXPECT(kcoro_current() == self);
    counter_add(&seen->done, 1);
}

static void a_coroutine_knows_where_it_is(void) {
    struct seen seen = {new_sched(2), NULL, COUNTER_INIT};
    EXPECT_EQ(kc_spawn_co(seen.sched, looks_around, &seen, 0, &seen.self), 0);
    EXPECT(seen.self != NULL);
    EXPECT_EQ(kc_sched_drain(seen.sched, -1), 0);
    EXPECT_EQ(counter_get(&seen.done), 1);
    EXPECT_EQ(seen.self->state, KCORO_FINISHED);
    EXPECT_EQ(seen.self->refcount, 1);
    kcoro_release(seen.self);
    kc_sched_shutdown(seen.sched);
}

static void no_object(void *arg) {
    EXPECT(kcoro_current() == NULL);
    EXPECT(kc_sched_current() != NULL);
    // A task may wait as well.
    kc_sleep_ms(1);
    kc_yield();
    // And use a stack that code for threads expects.
    volatile char large[128 * 1024];
    for (size_t i = 0; i < sizeof large; i += 4096) {
        large[i] = 1;
    }
    counter_add((counter_t *)arg, large[4096]);
}

static void a_task_has_no_object(void) {
    kc_sched_t *sched = new_sched(1);
    counter_t ran = COUNTER_INIT;
    EXPECT_EQ(kc_spawn(sched, no_object, &ran), 0);
    EXPECT_EQ(kc_sched_drain(sched, -1), 0);
    EXPECT_EQ(counter_get(&ran), 1);
    kc_sched_shutdown(sched);
}

static void sleeps(void *arg) {
    counter_t *others = (counter_t *)arg;
    EXPECT_EQ(kc_spawn_co(kc_sched_current(), count_up, others, 0, NULL), 0);
    kc_sleep_ms(0);
    kc_sleep_ms(-1);
    EXPECT_EQ(counter_get(others), 0);
    // There is one worker: the other runs if this one leaves it.
    kc_sleep_ms(1);
    EXPECT_EQ(counter_get(others), 1);
}

static void sleeping_leaves_the_worker_to_others(void) {
    kc_sched_t *sched = new_sched(1);
    counter_t others = COUNTER_INIT;
    EXPECT_EQ(kc_spawn_co(sched, sleeps, &others, 0, NULL), 0);
    EXPECT_EQ(kc_sched_drain(sched, -1), 0);
    EXPECT_EQ(counter_get(&others), 1);
    kc_sched_shutdown(sched);
}

static void parks(void *arg) {
    kcoro_park();
    counter_add((counter_t *)arg, 1);
}

static void a_drain_waits_for_parked_ones(void) {
    kc_sched_t *sched = new_sched(2);
    counter_t woken = COUNTER_INIT;
    kcoro_t *co = NULL;
    EXPECT_EQ(kc_spawn_co(sched, parks, &woken, 0, &co), 0);
    EXPECT_EQ(kc_sched_drain(sched, 0), ETIME_NEGATIVE);
    EXPECT_EQ(kc_sched_drain(sched, 10), ETIME_NEGATIVE);
    EXPECT_EQ(counter_get(&woken), 0);
    kcoro_unpark(co);
    EXPECT_EQ(kc_sched_drain(sched, -1), 0);
    EXPECT_EQ(counter_get(&woken), 1);
    kcoro_release(co);
    kc_sched_shutdown(sched);
}

static void drains_its_own(void *arg) {
    kc_sched_t *sched = kc_sched_current();
    counter_t *woken = (counter_t *)arg;
    for (int i = 0; i < 10; i++) {
        EXPECT_EQ(kc_spawn(sched, count_up, woken), 0);
    }
    EXPECT_EQ(kc_sched_drain(sched, -1), 0);
    EXPECT_EQ(counter_add(woken, 1), 11);
}

static void a_coroutine_may_drain(void) {
    kc_sched_t *sched = new_sched(1);
    counter_t woken = COUNTER_INIT;
    EXPECT_EQ(kc_spawn_co(sched, drains_its_own, &woken, 0, NULL), 0);
    EXPECT_EQ(kc_sched_drain(sched, -1), 0);
    EXPECT_EQ(counter_get(&woken), 11);
    kc_sched_shutdown(sched);
}

enum { WAKES = 20000 };

static void parks_often(void *arg) {
    counter_t *parked = (counter_t *)arg;
    for (int i = 0; i < WAKES; i++) {
        kcoro_park();
        counter_add(parked, 1);
    }
}

static void no_wake_is_lost(void) {
    kc_sched_t *sched = new_sched(1);
    counter_t parked = COUNTER_INIT;
    kcoro_t *co = NULL;
    EXPECT_EQ(kc_spawn_co(sched, parks_often, &parked, 0, &co), 0);
    for (int i = 0; i < WAKES; i++) {
        // Before, while or after it parks: each counts, as the next waits for this.
        kcoro_unpark(co);
        counter_wait(&parked, i + 1);
    }
    EXPECT_EQ(kc_sched_drain(sched, -1), 0);
    EXPECT_EQ(co->state, KCORO_FINISHED);
    kcoro_unpark(co);
    kcoro_release(co);
    kc_sched_shutdown(sched);
}

static void wakes_at_a_time(void) {
    kc_sched_t *sched = new_sched(1);
    counter_t woken = COUNTER_INIT;
    kcoro_t *co = NULL;
    EXPECT_EQ(kc_spawn_co(sched, parks, &woken, 0, &co), 0);
    kc_timer_handle_t never = kc_sched_timer_wake_after(sched, co, 3600 * 1000L);
    EXPECT(never.id != 0);
    EXPECT_EQ(kc_sched_timer_cancel(sched, never), 1);
    EXPECT_EQ(kc_sched_timer_cancel(sched, never), 0);
    EXPECT_EQ(counter_get(&woken), 0);
    kc_timer_handle_t soon = kc_sched_timer_wake_after(sched, co, 5);
    EXPECT(soon.id != 0 && soon.id != never.id);
    EXPECT_EQ(kc_sched_drain(sched, -1), 0);
    EXPECT_EQ(counter_get(&woken), 1);
    EXPECT_EQ(kc_sched_timer_cancel(sched, soon), 0);
    kcoro_release(co);

    EXPECT_EQ(kc_spawn_co(sched, parks, &woken, 0, &co), 0);
    struct timespec now;
    EXPECT_EQ(clock_gettime(CLOCK_MONOTONIC, &now), 0);
    unsigned long long at = (unsigned long long)now.tv_sec * 1000000000ULL +
                            (unsigned long long)now.tv_nsec + 3000000ULL;
    EXPECT(kc_sched_timer_wake_at(sched, co, at).id != 0);
    EXPECT_EQ(kc_sched_drain(sched, -1), 0);
    EXPECT_EQ(clock_gettime(CLOCK_MONOTONIC, &now), 0);
    EXPECT((unsigned long long)now.tv_sec * 1000000000ULL + (unsigned long long)now.tv_nsec >= at);
    EXPECT_EQ(counter_get(&woken), 2);
    kcoro_release(co);

    // In the past: at once. It may ring before the coroutine parks, and is not lost.
    for (int i = 0; i < 200; i++) {
        EXPECT_EQ(kc_spawn_co(sched, parks, &woken, 0, &co), 0);
        EXPECT(kc_sched_timer_wake_after(sched, co, i % 2 == 0 ? 0 : -5).id != 0);
        EXPECT_EQ(kc_sched_drain(sched, -1), 0);
        kcoro_release(co);
    }
    EXPECT_EQ(counter_get(&woken), 202);
    kc_sched_shutdown(sched);
}

static void shutdown_ends_what_waits(void) {
    kc_sched_t *sched = new_sched(2);
    counter_t woken = COUNTER_INIT;
    kcoro_t *parked[10];
    for (int i = 0; i < 10; i++) {
        EXPECT_EQ(kc_spawn_co(sched, parks, &woken, 0, &parked[i]), 0);
    }
    EXPECT(kc_sched_timer_wake_after(sched, parked[0], 3600 * 1000L).id != 0);
    kc_sched_shutdown(sched);
    EXPECT_EQ(counter_get(&woken), 0);
    for (int i = 0; i < 10; i++) {
        EXPECT_EQ(parked[i]->state, KCORO_FINISHED);
        kcoro_unpark(parked[i]);
        EXPECT_EQ(parked[i]->refcount, 1);
        kcoro_release(parked[i]);
    }
}

static void shuts_its_own_down(void *arg) {
    kc_sched_shutdown(kc_sched_current());
    counter_add((counter_t *)arg, 1);
}

static void a_worker_may_ask_for_its_end(void) {
    kc_sched_t *sched = new_sched(1);
    counter_t asked = COUNTER_INIT;
    EXPECT_EQ(kc_spawn_co(sched, shuts_its_own_down, &asked, 0, NULL), 0);
    counter_wait(&asked, 1);
}

static void ends_and_counts(void *arg) {
    kcoro_yield();
    EXPECT(kc_sched_current() != NULL);
    kc_yield();
    kc_sleep_ms(1);
    counter_add((counter_t *)arg, 1);
    kcoro_park();
    counter_add((counter_t *)arg, 1);
}

static void what_was_made_by_hand_can_be_given_to_a_scheduler(void) {
    kc_sched_t *sched = new_sched(2);
    counter_t steps = COUNTER_INIT;
    // Not started: the scheduler starts it.
    kcoro_t *fresh = kcoro_create(ends_and_counts, &steps, 0);
    kc_sched_enqueue_ready(sched, fresh);
    counter_wait(&steps, 1);
    kc_sched_enqueue_ready(sched, fresh);
    EXPECT_EQ(kc_sched_drain(sched, -1), 0);
    EXPECT_EQ(fresh->state, KCORO_FINISHED);
    kc_sched_enqueue_ready(sched, fresh);
    kcoro_destroy(fresh);
    EXPECT_EQ(counter_get(&steps), 2);

    // Started by hand: it goes on there.
    kcoro_t *begun = kcoro_create(ends_and_counts, &steps, 0);
    kcoro_resume(begun);
    EXPECT_EQ(begun->state, KCORO_SUSPENDED);
    kc_sched_enqueue_ready(sched, begun);
    counter_wait(&steps, 3);
    // It is the scheduler's: this wakes it, and runs nothing here.
    kcoro_resume(begun);
    EXPECT_EQ(kc_sched_drain(sched, -1), 0);
    EXPECT_EQ(begun->state, KCORO_FINISHED);
    EXPECT_EQ(counter_get(&steps), 4);
    EXPECT_EQ(begun->refcount, 1);
    kcoro_destroy(begun);

    // The scheduler ends while it is parked.
    kcoro_t *left = kcoro_create(ends_and_counts, &steps, 0);
    kcoro_resume(left);
    kc_sched_enqueue_ready(sched, left);
    counter_wait(&steps, 5);
    kc_sched_shutdown(sched);
    EXPECT_EQ(counter_get(&steps), 5);
    kcoro_destroy(left);
}

static void two_of_one_worker(void *arg) {
    kcoro_t *other = (kcoro_t *)arg;
    kcoro_yield_to(other);
    EXPECT_EQ(other->state, KCORO_FINISHED);
}

static void yield_to_a_scheduled_one_wakes_it(void) {
    kc_sched_t *sched = new_sched(1);
    counter_t woken = COUNTER_INIT;
    kcoro_t *parked = NULL;
    EXPECT_EQ(kc_spawn_co(sched, parks, &woken, 0, &parked), 0);
    while (!kcoro_is_parked(parked)) {
        kc_yield();
    }
    EXPECT_EQ(kc_spawn_co(sched, two_of_one_worker, parked, 0, NULL), 0);
    EXPECT_EQ(kc_sched_drain(sched, -1), 0);
    EXPECT_EQ(counter_get(&woken), 1);
    kcoro_release(parked);
    kc_sched_shutdown(sched);
}

static void the_default_one(void) {
    kc_sched_t *sched = kc_sched_default();
    EXPECT(sched != NULL && sched == kc_sched_default());
    counter_t ran = COUNTER_INIT;
    EXPECT_EQ(kc_spawn(sched, count_up, &ran), 0);
    counter_wait(&ran, 1);
    kc_sched_shutdown(sched);
    // There is another when it is asked for.
    sched = kc_sched_default();
    EXPECT(sched != NULL);
    EXPECT_EQ(kc_spawn(sched, count_up, &ran), 0);
    counter_wait(&ran, 2);
    kc_sched_shutdown(sched);
}

enum { CROWD = 20000 };

static void spawns_more(void *arg) {
    for (int i = 0; i < 10; i++) {
        EXPECT_EQ(kc_spawn_co(kc_sched_current(), count_up, arg, 0, NULL), 0);
    }
}

static void a_crowd_from_within(void) {
    kc_sched_t *sched = new_sched(0);
    counter_t ran = COUNTER_INIT;
    for (int i = 0; i < CROWD / 10; i++) {
        EXPECT_EQ(kc_spawn_co(sched, spawns_more, &ran, 0, NULL), 0);
    }
    EXPECT_EQ(kc_sched_drain(sched, -1), 0);
    EXPECT_EQ(counter_get(&ran), CROWD);
    kc_sched_shutdown(sched);
}

static void spawns_three(void *arg) {
    kc_sched_t *sched = kc_sched_current();
    // One worker, and it is here: nothing of these has started.
    for (int i = 0; i < 3; i++) {
        EXPECT_EQ(kc_spawn(sched, count_up, arg), i < 2 ? 0 : -1);
    }
    EXPECT_EQ(kc_spawn_co(sched, count_up, arg, 0, NULL), -1);
    counter_add((counter_t *)arg, 10);
}

static void holds_the_worker(void *arg) {
    counter_t **both = (counter_t **)arg;
    counter_add(both[0], 1);
    counter_wait(both[1], 1);
}

static void queues_are_as_long_as_asked_for(void) {
    kc_sched_opts_t opts = {1, 2, 0};
    kc_sched_t *sched = kc_sched_init(&opts);
    counter_t ran = COUNTER_INIT;
    for (int round = 0; round < 3; round++) {
        EXPECT_EQ(kc_spawn(sched, spawns_three, &ran), 0);
        EXPECT_EQ(kc_sched_drain(sched, -1), 0);
        EXPECT_EQ(counter_get(&ran), 12 * (round + 1));
    }
    kc_sched_shutdown(sched);

    // Those of other threads have a bound of their own.
    kc_sched_opts_t inject = {1, 0, 1};
    sched = kc_sched_init(&inject);
    counter_t started = COUNTER_INIT, go_on = COUNTER_INIT;
    counter_t *both[] = {&started, &go_on};
    EXPECT_EQ(kc_spawn(sched, holds_the_worker, both), 0);
    counter_wait(&started, 1);
    EXPECT_EQ(kc_spawn(sched, count_up, &ran), 0);
    EXPECT_EQ(kc_spawn(sched, count_up, &ran), -1);
    counter_add(&go_on, 1);
    EXPECT_EQ(kc_sched_drain(sched, -1), 0);
    EXPECT_EQ(kc_spawn(sched, count_up, &ran), 0);
    EXPECT_EQ(kc_sched_drain(sched, -1), 0);
    EXPECT_EQ(counter_get(&ran), 38);
    kc_sched_shutdown(sched);
}

int main(void) {
    RUN(tasks_run);
    RUN(wrong_arguments_are_refused);
    RUN(a_coroutine_knows_where_it_is);
    RUN(a_task_has_no_object);
    RUN(sleeping_leaves_the_worker_to_others);
    RUN(a_drain_waits_for_parked_ones);
    RUN(a_coroutine_may_drain);
    RUN(no_wake_is_lost);
    RUN(wakes_at_a_time);
    RUN(shutdown_ends_what_waits);
    RUN(a_worker_may_ask_for_its_end);
    RUN(what_was_made_by_hand_can_be_given_to_a_scheduler);
    RUN(yield_to_a_scheduled_one_wakes_it);
    RUN(the_default_one);
    RUN(a_crowd_from_within);
    RUN(queues_are_as_long_as_asked_for);
    return 0;
}
