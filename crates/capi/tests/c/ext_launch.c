// SPDX-License-Identifier: BSD-3-Clause
// Jobs and producers started in the caller's context; tasks of a certain worker; the description of
// a scheduler.

#include <string.h>

#include "expect.h"
#include "kc_context.h"
#include "kc_job.h"
#include "kcoro.h"
#include "kcoro_dispatch.h"
#include "kcoro_ext.h"
#include "kcoro_sched.h"
#include "kcoro_task.h"

static void fails(void *arg) {
    EXPECT_EQ(kc_job_fail(kc_job_current(), *(int *)arg), 0);
}

static void launches_another(void *arg) {
    kc_job_t *child = NULL;
    EXPECT_EQ(kc_launch(fails, arg, 0, &child), 0);
    EXPECT_EQ(kc_job_join(child, NULL), -9);
    kc_job_release(child);
}

static void a_job_is_below_the_callers(void) {
    int code = 9, result = 0;
    kc_job_t *job = NULL;
    EXPECT_EQ(kc_launch(launches_another, &code, 0, &job), 0);
    // The failure of its child is its own.
    EXPECT_EQ(kc_job_join(job, &result), -9);
    EXPECT_EQ(result, -9);
    EXPECT_EQ(kc_job_state(job), KC_JOB_FAILED);
    kc_job_release(job);
    EXPECT_EQ(kc_launch(NULL, NULL, 0, &job), -22);
    // No handle is needed.
    EXPECT_EQ(kc_launch(fails, &code, 0, NULL), 0);
    EXPECT_EQ(kc_sched_drain(kc_sched_default(), -1), 0);
}

static int counts(kc_chan_t *ch, void *user) {
    for (int value = 1; value <= *(int *)user; value++) {
        int sent = kc_chan_send(ch, &value, -1);
        if (sent != 0) {
            return sent;
        }
    }
    return 42;
}

static int on_which(kc_chan_t *ch, void *user) {
    (void)user;
    kc_sched_t *sched = kc_sched_current();
    return kc_chan_send(ch, &sched, -1);
}

static void a_producer_fills_a_channel(void) {
    int up_to = 100, value, expected = 1, reason = 0;
    kc_chan_t *ch = kc_produce(KC_RENDEZVOUS, sizeof(int), 0, counts, &up_to);
    EXPECT(ch != NULL);
    while (kc_chan_recv(ch, &value, -1) == 0) {
        EXPECT_EQ(value, expected++);
    }
    EXPECT_EQ(expected, 101);
    EXPECT_EQ(kc_chan_close_reason(ch, &reason), 0);
    EXPECT_EQ(reason, 42);
    kc_chan_destroy(ch);
    // One of a scope reports its result alike.
    kc_scope_t *scope = NULL;
    EXPECT_EQ(kc_scope_init(&scope, NULL), 0);
    ch = kc_scope_produce(scope, KC_BUFFERED, sizeof(int), 200, counts, &up_to);
    EXPECT_EQ(kc_scope_wait_all(scope, -1), 0);
    EXPECT_EQ(kc_chan_close_reason(ch, &reason), 0);
    EXPECT_EQ(reason, 42);
    kc_scope_destroy(scope);
    kc_chan_destroy(ch);
    // A channel that is destroyed ends its producer.
    ch = kc_produce(KC_BUFFERED, sizeof(int), 2, counts, &up_to);
    EXPECT_EQ(kc_chan_recv(ch, &value, -1), 0);
    kc_chan_destroy(ch);
    EXPECT_EQ(kc_sched_drain(kc_sched_default(), -1), 0);
    EXPECT(kc_produce(KC_BUFFERED, sizeof(int), 2, NULL, NULL) == NULL);
    EXPECT(kc_produce(KC_BUFFERED, 0, 2, counts, &up_to) == NULL);
    EXPECT(kc_produce(-3, sizeof(int), 2, counts, &up_to) == NULL);
}

static void produces(void *arg) {
    kc_sched_t *sched = NULL;
    kc_chan_t *ch = kc_produce(KC_BUFFERED, sizeof sched, 1, on_which, NULL);
    EXPECT_EQ(kc_chan_recv(ch, &sched, -1), 0);
    EXPECT(sched == (kc_sched_t *)arg);
    kc_chan_destroy(ch);
}

static void goes_elsewhere(void *arg) {
    kc_dispatcher_t *there = (kc_dispatcher_t *)arg;
    produces(kc_dispatcher_scheduler(there));
}

static void a_producer_runs_where_the_context_says(void) {
    kc_dispatcher_t *there = kc_dispatcher_new(1);
    kc_context_t *ctx = kc_context_add(NULL, &KC_CTX_KEY_DISPATCHER, there, NULL);
    EXPECT(ctx != NULL);
    EXPECT_EQ(kc_context_with(ctx, goes_elsewhere, there), 0);
    kc_context_release(ctx);
    EXPECT_EQ(kc_sched_drain(kc_dispatcher_scheduler(there), -1), 0);
    kc_dispatcher_release(there);
}

static int waits_for_ever(kc_chan_t *ch, void *user) {
    int value;
    (void)ch;
    return kc_chan_recv((kc_chan_t *)user, &value, -1);
}

static void a_producer_that_does_not_return(void) {
    kc_chan_t *never = NULL;
    int reason = 0;
    EXPECT_EQ(kc_chan_make(&never, KC_RENDEZVOUS, sizeof(int), 0), 0);
    kc_chan_t *ch = kc_produce(KC_BUFFERED, sizeof(int), 1, waits_for_ever, never);
    EXPECT_EQ(kc_chan_close_reason(ch, &reason), KC_EAGAIN);
    kc_sched_shutdown(kc_sched_default());
    EXPECT_EQ(kc_chan_close_reason(ch, &reason), 0);
    EXPECT_EQ(reason, KC_ECANCELED);
    kc_chan_destroy(ch);
    kc_chan_destroy(never);
}

enum { WORKERS = 3 };

static counter_t done = COUNTER_INIT;

static void is_on(void *arg) {
    EXPECT_EQ(kc_current_task_ctx()->worker_id, *(int *)arg);
    EXPECT(kcoro_current() == NULL);
    kc_sleep_ms(1);
    EXPECT_EQ(kc_current_task_ctx()->worker_id, *(int *)arg);
    counter_add(&done, 1);
}

static counter_t held = COUNTER_INIT;

static void holds_the_worker(void *arg) {
    (void)arg;
    counter_add(&held, 1);
    counter_wait(&held, 2);
}

static kc_sched_t *sched;
static int numbers[] = {0, 1, 2};

static void submits(void *arg) {
    (void)arg;
    for (int at = 0; at < WORKERS; at++) {
        EXPECT_EQ(kc_sched_submit_to(sched, at, is_on, &numbers[at]), 0);
    }
}

static void a_task_runs_on_its_worker(void) {
    kc_sched_opts_t opts = {WORKERS, 0, 0};
    kc_sched_stats_t stats;
    sched = kc_sched_init(&opts);
    for (int round = 0; round < 50; round++) {
        submits(NULL);
        EXPECT_EQ(kc_spawn(sched, submits, NULL), 0);
    }
    EXPECT_EQ(kc_sched_drain(sched, -1), 0);
    EXPECT_EQ(counter_get(&done), 2 * 50 * WORKERS);
    kc_sched_get_stats(sched, &stats);
    EXPECT_EQ(stats.tasks_submitted, 50 + 2 * 50 * WORKERS);
    EXPECT_EQ(stats.tasks_completed, stats.tasks_submitted);
    EXPECT_EQ(kc_sched_submit_to(NULL, 0, is_on, &numbers[0]), -1);
    EXPECT_EQ(kc_sched_submit_to(sched, 0, NULL, NULL), -1);
    EXPECT_EQ(kc_sched_submit_to(sched, -1, is_on, &numbers[0]), -1);
    EXPECT_EQ(kc_sched_submit_to(sched, WORKERS, is_on, &numbers[0]), -1);
    kc_sched_get_stats(sched, &stats);
    EXPECT_EQ(stats.tasks_submitted, 50 + 2 * 50 * WORKERS);
    EXPECT_EQ(kc_sched_drain(sched, 0), 0);
    kc_sched_shutdown(sched);
    // The bound of a queue holds for these too.
    kc_sched_opts_t one = {1, 1, 0};
    sched = kc_sched_init(&one);
    EXPECT_EQ(kc_sched_submit_to(sched, 0, holds_the_worker, NULL), 0);
    counter_wait(&held, 1);
    EXPECT_EQ(kc_sched_submit_to(sched, 0, is_on, &numbers[0]), 0);
    EXPECT_EQ(kc_sched_submit_to(sched, 0, is_on, &numbers[0]), -1);
    counter_add(&held, 1);
    EXPECT_EQ(kc_sched_drain(sched, -1), 0);
    kc_sched_shutdown(sched);
}

static char text[8192];

static void describe(void) {
    FILE *file = tmpfile();
    EXPECT(file != NULL);
    EXPECT_EQ(kc_sched_debug_dump(sched, fileno(file)), 0);
    rewind(file);
    text[fread(text, 1, sizeof text - 1, file)] = 0;
    fclose(file);
}

static int lines_with(const char *words) {
    int count = 0;
    for (const char *at = text; (at = strstr(at, words)) != NULL; at++) {
        count++;
    }
    return count;
}

static kc_chan_t *hold;

static void waits(void *arg) {
    int value;
    (void)arg;
    counter_add(&done, 1);
    EXPECT_EQ(kc_chan_recv(hold, &value, -1), KC_EPIPE);
}

static void a_description(void) {
    kc_sched_opts_t opts = {2, 0, 0};
    sched = kc_sched_init(&opts);
    EXPECT_EQ(kc_chan_make(&hold, KC_RENDEZVOUS, sizeof(int), 0), 0);
    describe();
    EXPECT_EQ(lines_with("workers=2 alive=0 tasks_submitted=0"), 1);
    EXPECT_EQ(lines_with(": worker="), 2);
    EXPECT_EQ(lines_with(": coroutine="), 0);
    for (int i = 0; i < 3; i++) {
        EXPECT_EQ(kc_spawn_co(sched, waits, NULL, 0, NULL), 0);
    }
    EXPECT_EQ(kc_spawn(sched, waits, NULL), 0);
    do {
        describe();
    } while (lines_with(" parked ") < 4);
    EXPECT_EQ(lines_with("workers=2 alive=4 tasks_submitted=1 tasks_completed=0 injected=4"), 1);
    EXPECT_EQ(lines_with(": coroutine="), 4);
    EXPECT_EQ(lines_with("stack_bytes=65536"), 3);
    EXPECT_EQ(lines_with("stack_bytes=262144"), 1);
    // More than are listed.
    for (int i = 0; i < 1000; i++) {
        EXPECT_EQ(kc_spawn_co(sched, waits, NULL, 0, NULL), 0);
    }
    FILE *file = tmpfile();
    EXPECT(file != NULL);
    EXPECT_EQ(kc_sched_debug_dump(sched, fileno(file)), 0);
    EXPECT_EQ(fseek(file, -60, SEEK_END), 0);
    text[fread(text, 1, sizeof text - 1, file)] = 0;
    fclose(file);
    EXPECT_EQ(lines_with(": 4 more coroutines\n"), 1);
    EXPECT_EQ(kc_sched_debug_dump(NULL, 2), -22);
    EXPECT_EQ(kc_sched_debug_dump(sched, -1), -EBADF);
    kc_chan_close(hold);
    EXPECT_EQ(kc_sched_drain(sched, -1), 0);
    kc_sched_shutdown(sched);
    kc_chan_destroy(hold);
}

int main(void) {
    RUN(a_job_is_below_the_callers);
    RUN(a_producer_fills_a_channel);
    RUN(a_producer_runs_where_the_context_says);
    RUN(a_producer_that_does_not_return);
    RUN(a_task_runs_on_its_worker);
    RUN(a_description);
    EXPECT_EQ(kc_panics_contained(), 0);
    return 0;
}
