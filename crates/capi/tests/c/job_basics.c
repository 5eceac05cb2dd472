// SPDX-License-Identifier: BSD-3-Clause
// Jobs: a tree that ends together; failure, supervision, detachment.

#include "expect.h"
#include "kc_context.h"
#include "kc_job.h"
#include "kcoro.h"
#include "kcoro_core.h"
#include "kcoro_sched.h"

static const kc_cancel_t *own_token(void) {
    return (const kc_cancel_t *)kc_context_get(kc_context_current(), &KC_CTX_KEY_CANCEL);
}

static kc_chan_t *no_sender;
static counter_t ran = COUNTER_INIT;

static void counts(void *arg) {
    (void)arg;
    EXPECT(kc_job_current() != NULL);
    EXPECT_EQ(kc_job_state(kc_job_current()), KC_JOB_ACTIVE);
    EXPECT(kc_context_get(kc_context_current(), &KC_CTX_KEY_JOB) == kc_job_current());
    counter_add(&ran, 1);
}

static void waits_for_cancel(void *arg) {
    int value;
    EXPECT_EQ(kc_chan_recv_c(no_sender, &value, -1, own_token()), KC_ECANCELED);
    EXPECT_EQ(kc_job_state(kc_job_current()), KC_JOB_CANCELLING);
    if (arg != NULL) {
        counter_add((counter_t *)arg, 1);
    }
}

static void fails(void *arg) {
    EXPECT_EQ(kc_job_fail(kc_job_current(), *(int *)arg), 0);
    EXPECT_EQ(kc_cancel_is_set(own_token()), 1);
}

static kc_job_t *launched(kc_job_t *parent, kcoro_fn_t fn, void *arg) {
    kc_job_t *job = NULL;
    EXPECT_EQ(kc_job_launch(parent, NULL, fn, arg, 0, &job), 0);
    EXPECT(job != NULL);
    return job;
}

static kc_job_t *created(kc_job_t *parent, unsigned flags) {
    kc_job_t *job = NULL;
    EXPECT_EQ(kc_job_create(&job, parent, flags), 0);
    EXPECT_EQ(kc_job_state(job), KC_JOB_ACTIVE);
    return job;
}

static void ends_with(kc_job_t *job, kc_job_state_t state, int code) {
    int result = 77;
    EXPECT_EQ(kc_job_join(job, &result), code);
    EXPECT_EQ(result, code);
    EXPECT_EQ(kc_job_state(job), state);
    EXPECT_EQ(kc_job_result_code(job), code);
    EXPECT_EQ(kc_job_cancel(job, 0), -114);
    EXPECT_EQ(kc_job_state(job), state);
    kc_job_release(job);
}

static void one_that_completes(void) {
    EXPECT(kc_job_current() == NULL);
    ends_with(launched(NULL, counts, NULL), KC_JOB_COMPLETED, 0);
    EXPECT_EQ(counter_get(&ran), 1);
    // Without a handle.
    EXPECT_EQ(kc_job_launch(NULL, NULL, counts, NULL, 0, NULL), 0);
    EXPECT_EQ(kc_sched_drain(kc_sched_default(), -1), 0);
    EXPECT_EQ(counter_get(&ran), 2);
}

static void wrong_arguments_are_refused(void) {
    EXPECT_EQ(kc_job_create(NULL, NULL, 0), -22);
    kc_job_t *job = NULL;
    EXPECT_EQ(kc_job_create(&job, NULL, 1u << 9), -22);
    EXPECT_EQ(kc_job_launch(NULL, NULL, NULL, NULL, 0, &job), -22);
    EXPECT(job == NULL);
    EXPECT_EQ(kc_job_cancel(NULL, 0), -22);
    EXPECT_EQ(kc_job_fail(NULL, 1), -22);
    EXPECT_EQ(kc_job_join(NULL, NULL), -22);
    EXPECT_EQ(kc_job_state(NULL), KC_JOB_FAILED);
    EXPECT(kc_job_retain(NULL) == NULL);
    kc_job_release(NULL);
    job = created(NULL, 0);
    EXPECT_EQ(kc_job_fail(job, 0), -22);
    EXPECT(kc_job_retain(job) == job);
    kc_job_release(job);
    EXPECT_EQ(kc_job_result_code(job), 0);
    ends_with(job, KC_JOB_COMPLETED, 0);
    // Let go of without a join: gone.
    kc_job_release(created(NULL, KC_JOB_F_DETACHED));
    // Its time comes from the context, and there is none.
    EXPECT_EQ(kc_job_create(&job, NULL, KC_JOB_F_TIMEOUT_WRP), -22);
}

static long long in_ns(long long ns) {
    struct timespec now;
    EXPECT_EQ(clock_gettime(CLOCK_MONOTONIC, &now), 0);
    return now.tv_sec * 1000000000LL + now.tv_nsec + ns;
}

static void waits_under_a_deadline(void *arg) {
    // A job that is asked for, one that is launched, and one below a child.
    kc_job_t *wrapper = created(NULL, KC_JOB_F_TIMEOUT_WRP);
    kc_job_t *root = launched(NULL, waits_for_cancel, (counter_t *)arg);
    kc_job_t *child = launched(wrapper, waits_for_cancel, (counter_t *)arg);
    ends_with(root, KC_JOB_CANCELLED, KC_ETIME);
    ends_with(child, KC_JOB_CANCELLED, KC_ETIME);
    ends_with(wrapper, KC_JOB_CANCELLED, KC_ETIME);
}

static void a_deadline_of_the_context_cancels(void) {
    counter_t ended = COUNTER_INIT;
    for (int i = 0; i < 2; i++) {
        // The second one has passed already.
        long long at = in_ns(i == 0 ? 500000000 : -1);
        kc_context_t *ctx = kc_context_add(NULL, &KC_CTX_KEY_DEADLINE, &at, NULL);
        if (i == 0) {
            EXPECT_EQ(kc_context_with(ctx, waits_under_a_deadline, &ended), 0);
            EXPECT_EQ(counter_get(&ended), 2);
        } else {
            kc_job_t *job = NULL;
            EXPECT_EQ(kc_job_launch(NULL, ctx, waits_for_cancel, &ended, 0, &job), 0);
            ends_with(job, KC_JOB_CANCELLED, KC_ETIME);
        }
        kc_context_release(ctx);
    }
}

static void joins_at_its_deadline(void *arg) {
    long long at = *(long long *)arg;
    kc_job_t *wrapper = NULL;
    EXPECT_EQ(kc_job_create(&wrapper, NULL, KC_JOB_F_TIMEOUT_WRP), 0);
    while (in_ns(0) < at) {
    }
    // Whether its timer has fired or not.
    ends_with(wrapper, KC_JOB_CANCELLED, KC_ETIME);
}

static void a_deadline_that_has_passed_outranks_the_end(void) {
    for (int i = 0; i < 50; i++) {
        long long at = in_ns(1000000);
        kc_context_t *ctx = kc_context_add(NULL, &KC_CTX_KEY_DEADLINE, &at, NULL);
        EXPECT_EQ(kc_context_with(ctx, joins_at_its_deadline, &at), 0);
        kc_context_release(ctx);
    }
}

static void cancelling_goes_down_the_tree(void) {
    kc_job_t *root = created(NULL, 0);
    kc_job_t *middle = created(root, 0);
    counter_t ended = COUNTER_INIT;
    kc_job_t *leaves[10];
    for (int i = 0; i < 10; i++) {
        leaves[i] = launched(middle, waits_for_cancel, &ended);
    }
    kc_job_t *aside = launched(NULL, counts, NULL);
    EXPECT_EQ(kc_job_cancel(root, 5), 0);
    EXPECT_EQ(kc_job_cancel(root, 6), 0);
    EXPECT_EQ(kc_job_state(middle) == KC_JOB_CANCELLING || kc_job_state(middle) == KC_JOB_CANCELLED,
              1);
    for (int i = 0; i < 10; i++) {
        ends_with(leaves[i], KC_JOB_CANCELLED, -5);
    }
    EXPECT_EQ(counter_get(&ended), 10);
    EXPECT_EQ(kc_job_launch(middle, NULL, counts, NULL, 0, NULL), KC_ECANCELED);
    ends_with(middle, KC_JOB_CANCELLED, -5);
    ends_with(kc_job_retain(root), KC_JOB_CANCELLED, -5);
    kc_job_t *late = NULL;
    EXPECT_EQ(kc_job_create(&late, root, 0), -22);
    EXPECT(late == NULL);
    kc_job_release(root);
    ends_with(aside, KC_JOB_COMPLETED, 0);
}

static void a_failure_cancels_the_siblings(void) {
    int code = 42;
    kc_job_t *root = created(NULL, 0);
    kc_job_t *sibling = launched(root, waits_for_cancel, NULL);
    kc_job_t *failing = launched(root, fails, &code);
    ends_with(failing, KC_JOB_FAILED, -42);
    ends_with(sibling, KC_JOB_CANCELLED, -42);
    ends_with(root, KC_JOB_FAILED, -42);
}

// The first code counts; what is reported counts as well.
static void a_cancel_does_not_hide_a_failure(void) {
    kc_job_t *root = created(NULL, 0);
    kc_job_t *child = created(root, 0), *inner = created(child, 0);
    EXPECT_EQ(kc_job_cancel(child, 5), 0);
    EXPECT_EQ(kc_job_fail(child, 6), 0);
    EXPECT_EQ(kc_job_state(root), KC_JOB_CANCELLING);
    ends_with(inner, KC_JOB_CANCELLED, -5);
    ends_with(child, KC_JOB_FAILED, -5);
    ends_with(root, KC_JOB_FAILED, -6);
}

static void a_cancelled_child_harms_no_sender(void) {
    kc_job_t *root = created(NULL, 0);
    kc_job_t *child = launched(root, waits_for_cancel, NULL);
    EXPECT_EQ(kc_job_cancel(child, 0), 0);
    ends_with(child, KC_JOB_CANCELLED, KC_ECANCELED);
    EXPECT_EQ(kc_job_state(root), KC_JOB_ACTIVE);
    ends_with(root, KC_JOB_COMPLETED, 0);
}

static void a_supervisor_lets_them_fail(void) {
    int code = -7;
    kc_job_t *root = created(NULL, KC_JOB_F_SUPERVISOR);
    kc_job_t *sibling = launched(root, waits_for_cancel, NULL);
    ends_with(launched(root, fails, &code), KC_JOB_FAILED, -7);
    EXPECT_EQ(kc_job_state(sibling), KC_JOB_ACTIVE);
    EXPECT_EQ(kc_job_state(root), KC_JOB_ACTIVE);
    EXPECT_EQ(kc_job_cancel(sibling, 0), 0);
    ends_with(sibling, KC_JOB_CANCELLED, KC_ECANCELED);
    ends_with(root, KC_JOB_COMPLETED, 0);
}

static void a_detached_job_is_alone(void) {
    kc_job_t *root = created(NULL, 0);
    kc_job_t *detached = created(root, KC_JOB_F_DETACHED);
    EXPECT_EQ(kc_job_cancel(root, 0), 0);
    ends_with(root, KC_JOB_CANCELLED, KC_ECANCELED);
    EXPECT_EQ(kc_job_state(detached), KC_JOB_ACTIVE);
    EXPECT_EQ(kc_job_fail(detached, 3), 0);
    ends_with(detached, KC_JOB_FAILED, -3);
}

static void has_children(void *arg) {
    (void)arg;
    kc_job_t *self = kc_job_current();
    EXPECT_EQ(kc_job_join(self, NULL), -35);
    // Under the caller's job.
    for (int i = 0; i < 5; i++) {
        EXPECT_EQ(kc_job_launch(NULL, NULL, counts, NULL, 0, NULL), 0);
    }
}

static void a_parent_ends_after_its_children(void) {
    long before = counter_get(&ran);
    ends_with(launched(NULL, has_children, NULL), KC_JOB_COMPLETED, 0);
    EXPECT_EQ(counter_get(&ran), before + 5);
}

static void joins_above(void *arg) {
    EXPECT_EQ(kc_job_join((kc_job_t *)arg, NULL), -35);
}

static void waiting_for_oneself_is_refused(void) {
    kc_job_t *root = created(NULL, 0);
    kc_job_t *child = launched(root, joins_above, root);
    ends_with(child, KC_JOB_COMPLETED, 0);
    ends_with(root, KC_JOB_COMPLETED, 0);
}

static void what_a_scheduler_leaves_is_cancelled(void) {
    kc_job_t *job = launched(NULL, waits_for_cancel, NULL);
    kc_sched_shutdown(kc_sched_default());
    ends_with(job, KC_JOB_CANCELLED, KC_ECANCELED);
}

static void deep_trees(void) {
    kc_job_t *root = created(NULL, 0);
    kc_job_t *last = kc_job_retain(root);
    for (int i = 0; i < 20000; i++) {
        kc_job_t *next = created(last, 0);
        kc_job_release(last);
        last = next;
    }
    EXPECT_EQ(kc_job_cancel(root, 9), 0);
    EXPECT_EQ(kc_job_state(last), KC_JOB_CANCELLING);
    ends_with(last, KC_JOB_CANCELLED, -9);
    ends_with(root, KC_JOB_CANCELLED, -9);
}

int main(void) {
    EXPECT_EQ(kc_chan_make(&no_sender, KC_RENDEZVOUS, sizeof(int), 0), 0);
    RUN(one_that_completes);
    RUN(wrong_arguments_are_refused);
    RUN(a_deadline_of_the_context_cancels);
    RUN(a_deadline_that_has_passed_outranks_the_end);
    RUN(cancelling_goes_down_the_tree);
    RUN(a_failure_cancels_the_siblings);
    RUN(a_cancel_does_not_hide_a_failure);
    RUN(a_cancelled_child_harms_no_sender);
    RUN(a_supervisor_lets_them_fail);
    RUN(a_detached_job_is_alone);
    RUN(a_parent_ends_after_its_children);
    RUN(waiting_for_oneself_is_refused);
    RUN(deep_trees);
    RUN(what_a_scheduler_leaves_is_cancelled);
    kc_sched_shutdown(kc_sched_default());
    kc_chan_destroy(no_sender);
    return 0;
}
